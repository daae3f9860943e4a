package forecast

import "math"

// NoneOptions are those of persistence.
type NoneOptions struct {
	// Quantile above the last rate that Upper is to be, as Options have it; 0 for the last rate itself.
	Quantile float64 `json:"quantile"`
	// Window in seconds, as Options have it.
	Window float64 `json:"window"`
}

// Validate joins what is wrong with the options.
func (o NoneOptions) Validate() error {
	if o.Quantile == 0 {
		return validWindow(o.Window)
	}
	return Options(o).Validate()
}

func newNone(o NoneOptions) (Forecaster, error) {
	if o.Quantile == 0 {
		return None{}, nil
	}
	return windowed{Options(o), func(int) *mixture { return newMixture(o.Quantile, plain, persistence{}) }}, nil
}

// None predicts that the rate stays as it is: persistence, without a margin.
type None struct{}

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
