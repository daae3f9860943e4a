package forecast

import "math"

// None predicts that the rate stays as it is: persistence, without a margin unless a quantile is asked for.
type None struct{ Options }

// At is persistence times the quantile of its own past ratios.
func (n None) At(quantile float64) Forecaster {
	return windowed{n.Options, NameNone, n.Options, quantile, func(quantile float64, _ int) *mixture { return newMixture(quantile, plain, persistence{}) }}
}

// For is persistence, with a margin where a quantile is given.
func (n None) For(horizon, quantile float64) Predictor {
	if quantile > 0 {
		return n.At(quantile).For(horizon, quantile)
	}
	return predictor{NameNone, n, horizon}
}

// Memory is none: the last rate is measured anew.
func (None) Memory() (span, window float64) { return 0, 0 }

// Forecast returns the last rate.
func (None) Forecast(history []Sample, _ float64) Prediction {
	last := history[len(history)-1].Rate
	return Prediction{Mean: last, Upper: last}
}

// Track remembers the last sample.
func (None) Track(float64) Tracker { return &lastRate{Sample{Rate: math.NaN(), Time: math.Inf(-1)}} }

type lastRate struct{ last Sample }

func (l *lastRate) Observe(s Sample) {
	if s.sound() && s.Time > l.last.Time {
		l.last = s
	}
}

func (*lastRate) Pass(float64) {}

func (l *lastRate) Forecast() Prediction { return Prediction{Mean: l.last.Rate, Upper: l.last.Rate} }

// Remember keeps the last sample.
func (None) Remember(history []Sample, s Sample) []Sample {
	if n := len(history); !s.sound() || n > 0 && s.Time <= history[n-1].Time {
		return history
	}
	return []Sample{s}
}
