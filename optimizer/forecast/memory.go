package forecast

import "math"

// Memory is what a forecaster remembers of a server: a value that can be written and read back. The zero value is that of a server of which
// nothing is known.
type Memory struct {
	// By is the forecaster that it is the memory of.
	By string `json:"by,omitempty"`
	// Samples that it was given, oldest first.
	Samples []Sample `json:"samples,omitempty"`
}

// IsZero tells whether nothing is known.
func (m Memory) IsZero() bool { return len(m.Samples) == 0 }

// Since is the time of the first sample that is remembered; NaN where there is none.
func (m Memory) Since() float64 {
	if m.IsZero() {
		return math.NaN()
	}
	return m.Samples[0].Time
}

// predictor is a forecaster with a horizon.
type predictor struct {
	by         string
	forecaster Forecaster
	horizon    float64
}

func (p predictor) of(m Memory) Memory {
	if m.By != p.by {
		return Memory{}
	}
	return m
}

// Observe remembers a sample.
func (p predictor) Observe(m Memory, s Sample) Memory {
	return Memory{By: p.by, Samples: p.forecaster.Remember(p.of(m).Samples, s)}
}

// Forecast from what is remembered.
func (p predictor) Forecast(m Memory, now float64) Prediction {
	k := p.forecaster.Track(p.horizon)
	for _, s := range p.of(m).Samples {
		k.Observe(s)
	}
	k.Pass(now)
	return k.Forecast()
}

// Span is that of the histories that are kept.
func (p predictor) Span() (span, window float64) { return p.forecaster.Memory() }
