// Package forecast predicts arrival rates. Forecasters are chosen by registered name and are deterministic functions of the history.
package forecast

import "github.com/llm-inferno/inferno/optimizer/plug"

// Sample is an arrival rate that was observed.
type Sample struct {
	// Time in seconds since the Unix epoch.
	Time float64 `json:"time"`
	// Rate in requests per second.
	Rate float64 `json:"rate"`
}

// Prediction of the arrival rate over the horizon, in requests per second.
type Prediction struct {
	// Mean is the expected rate at the end of the horizon.
	Mean float64
	// Upper is the rate to size for: the forecaster's quantile, at least 0.
	Upper float64
}

// Forecaster predicts the arrival rate of one server.
type Forecaster interface {
	// Forecast predicts the rate horizon seconds after the last sample. Samples are in ascending order of time and there is at least one.
	Forecast(history []Sample, horizon float64) Prediction
	// Memory is how many seconds of history the forecaster wants.
	Memory() float64
}

// None predicts that the rate stays as it is: persistence.
type None struct{}

// Forecast returns the last rate.
func (None) Forecast(history []Sample, _ float64) Prediction {
	last := history[len(history)-1].Rate
	return Prediction{Mean: last, Upper: last}
}

// Memory is nothing beyond the last sample.
func (None) Memory() float64 { return 0 }

// Default is the forecaster used where none is named.
const Default = "none"

// Forecasters are the registered forecasters.
func Forecasters() plug.Registry[Forecaster] {
	return plug.NewRegistry("forecaster",
		plug.Of("none", func() plug.NoOptions { return plug.NoOptions{} }, func(plug.NoOptions) (Forecaster, error) { return None{}, nil }),
	)
}

// Remember appends a sample to a history and drops what lies further back than memory seconds. A sample that is not newer than the last one
// changes nothing.
func Remember(history []Sample, s Sample, memory float64) []Sample {
	if n := len(history); n > 0 && s.Time <= history[n-1].Time {
		return history
	}
	kept := make([]Sample, 0, len(history)+1)
	for _, h := range history {
		if h.Time >= s.Time-memory {
			kept = append(kept, h)
		}
	}
	return append(kept, s)
}
