package contributing_test

import (
	"encoding/json"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/forecast"
	"github.com/llm-inferno/inferno/optimizer/forecast/conformance"
)

// Steady is the forecaster "steady": the project's Holt without a trend.
type Steady struct{ forecast.Forecaster }

// NewSteady smooths the level alone.
func NewSteady() (Steady, error) {
	f, err := forecast.Forecasters().New(forecast.NameHolt, []byte(`{"trend": 0}`))
	return Steady{f}, err
}

func TestForecaster(t *testing.T) {
	conformance.Run(t, func(t *testing.T) forecast.Forecaster {
		f, err := NewSteady()
		if err != nil {
			t.Fatal(err)
		}
		return f
	})
}

func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}
