package forecast_test

import "github.com/llm-inferno/inferno/optimizer/forecast"

// tracker follows one server for one horizon.
type tracker struct {
	forecast.Predictor
	memory forecast.Memory
	now    float64
}

func track(f forecast.Forecaster, horizon, quantile float64) *tracker {
	return &tracker{Predictor: f.For(horizon, quantile)}
}

func (k *tracker) observe(samples ...forecast.Sample) *tracker {
	for _, s := range samples {
		k.memory, k.now = k.Observe(k.memory, s), s.Time
	}
	return k
}

func (k *tracker) forecast() forecast.Prediction { return k.Forecast(k.memory, k.now) }
