package forecast

import "math"

// persistence expects no growth.
type persistence struct{}

func (persistence) expect(*view, float64) []float64               { return []float64{0} }
func (persistence) features(*view) []float64                      { return nil }
func (persistence) learn(*view, []float64, float64, float64, int) {}
func (persistence) close(*view)                                   {}
func (persistence) rescale(float64)                               {}
func (persistence) walk(*codec)                                   {}

// none is persistence, with a margin only where a quantile is asked for: times that quantile of its own past ratios.
type none struct{ kind }

// For persistence a quantile makes a margin.
func (n none) For(horizon, quantile float64) Predictor {
	if quantile > 0 {
		return n.kind.For(horizon, quantile)
	}
	return lastRate{}
}

// lastRate is persistence without a margin: it remembers the last sample alone.
type lastRate struct{}

// Observe remembers the sample.
func (lastRate) Observe(m Memory, s Sample) Memory {
	if last := rateIn(m); !s.sound() || s.Time <= last.Time {
		return m
	}
	var c codec
	c.exact(&s.Time)
	c.exact(&s.Rate)
	return Memory{By: NameNone, Since: s.Time, Data: c.data}
}

// Forecast is the last rate.
func (lastRate) Forecast(m Memory, _ float64) Prediction {
	last := rateIn(m).Rate
	return Prediction{Mean: last, Upper: last}
}

// Span is none: the last rate is measured anew.
func (lastRate) Span() (span, window float64) { return 0, 0 }

// rateIn is the sample that a memory holds; NaN, before all others, where there is none.
func rateIn(m Memory) Sample {
	var s Sample
	c := codec{data: m.Data, reading: true}
	c.exact(&s.Time)
	c.exact(&s.Rate)
	if c.bad || len(c.data) > 0 || m.By != NameNone || !s.sound() {
		return Sample{Time: math.Inf(-1), Rate: math.NaN()}
	}
	return s
}
