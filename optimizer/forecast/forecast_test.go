package forecast_test

import (
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/forecast"
	"github.com/llm-inferno/inferno/optimizer/forecast/conformance"
)

func TestConformance(t *testing.T) {
	for _, c := range []struct{ name, options string }{
		{"none", ""},
		{"none", `{"quantile": 0.9}`},
		{"holt", ""},
		{"holt-winters", ""},
		{"adaptive", ""},
		{"adaptive", `{"quantile": 0.5}`},
		{"adaptive", `{"quantile": 0.99, "window": 300}`},
	} {
		t.Run(c.name+c.options, func(t *testing.T) {
			conformance.Run(t, func(t *testing.T) forecast.Forecaster { return mustNew(t, c.name, c.options) })
		})
	}
}

func TestOptionsAreRefused(t *testing.T) {
	for _, c := range []struct{ name, options, want string }{
		{"prophet", "", "allowed are adaptive, holt, holt-winters, none"},
		{"adaptive", `{"quantile": 1}`, "quantile: 1, want above 0 and below 1"},
		{"adaptive", `{"window": 601}`, "window: 601, want 10 to 3600 seconds and a divisor of a day"},
		{"adaptive", `{"quantile": 0, "window": 0}`, "window: 0"},
		{"holt", `{"level": 1.5, "damping": -1}`, "damping: -1, want 0 to 1"},
		{"none", `{"quantile": 2}`, "quantile: 2"},
		{"none", `{"horizon": 2}`, "horizon"},
	} {
		if _, err := forecast.Forecasters().New(c.name, []byte(c.options)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: error %v, want %q", c.name, c.options, err, c.want)
		}
	}
}
