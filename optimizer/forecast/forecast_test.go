package forecast_test

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/forecast"
	"github.com/llm-inferno/inferno/optimizer/forecast/conformance"
)

func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name, options string
		quantile      float64
	}{
		{"none", "", 0},
		{"none", "", 0.9},
		{"holt", "", 0},
		{"holt-winters", "", 0},
		{"adaptive", "", 0},
		{"adaptive", "", 0.5},
		{"adaptive", `{"window": 300}`, 0.99},
	} {
		t.Run(fmt.Sprint(c.name, c.options, c.quantile), func(t *testing.T) {
			conformance.Run(t, func(t *testing.T) forecast.Forecaster { return at{mustNew(t, c.name, c.options), c.quantile} })
		})
	}
}

// at is a forecaster with another quantile of its own.
type at struct {
	forecast.Forecaster
	quantile float64
}

func (a at) For(horizon, quantile float64) forecast.Predictor {
	return a.Forecaster.For(horizon, cmp.Or(quantile, a.quantile))
}

func TestQuantilesAreOrdered(t *testing.T) {
	history := daily(6, 3)
	for _, name := range forecast.Forecasters().Names() {
		f, last := mustNew(t, name, ""), 0.0
		for _, q := range []float64{0.1, 0.5, 0.9, 0.99} {
			upper := track(f, 1800, q).observe(history...).forecast().Upper
			if upper <= last {
				t.Errorf("%s: the %v quantile is %v, that of a lower one %v", name, q, upper, last)
			}
			last = upper
		}
		if name == forecast.NameNone {
			continue
		}
		if got, want := follow(f, 1800, history).forecast(), track(f, 1800, forecast.DefaultQuantile).observe(history...).forecast(); got != want {
			t.Errorf("%s without a quantile gives %+v, with the default one %+v", name, got, want)
		}
	}
}

func TestSpan(t *testing.T) {
	for _, c := range []struct {
		options      string
		quantile     float64
		span, window float64
	}{
		{"", 0, 0, 0},
		{"", 0.9, 21 * 86400, 600},
		{`{"window": 60}`, 0.9, 21 * 86400, 60},
	} {
		span, window := mustNew(t, forecast.NameNone, c.options).For(600, c.quantile).Span()
		if span != c.span || window != c.window {
			t.Errorf("%s at %v remembers %v s in windows of %v s, want %v and %v", c.options, c.quantile, span, window, c.span, c.window)
		}
	}
}

func TestOptionsAreRefused(t *testing.T) {
	for _, c := range []struct{ name, options, want string }{
		{"prophet", "", "allowed are adaptive, holt, holt-winters, none"},
		{"adaptive", `{"quantile": 0.9}`, "quantile"},
		{"adaptive", `{"window": 601}`, "window: 601, want 10 to 3600 seconds and a divisor of a day"},
		{"adaptive", `{"window": 0}`, "window: 0"},
		{"holt", `{"level": 1.5, "damping": -1}`, "damping: -1, want 0 to 1"},
		{"none", `{"horizon": 2}`, "horizon"},
	} {
		if _, err := forecast.Forecasters().New(c.name, []byte(c.options)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: error %v, want %q", c.name, c.options, err, c.want)
		}
	}
	for _, q := range []float64{0, 1, -0.5, 2, math.NaN()} {
		if err := forecast.ValidQuantile(q); err == nil || !strings.Contains(err.Error(), "want above 0 and below 1") {
			t.Errorf("quantile %v: error %v", q, err)
		}
	}
}
