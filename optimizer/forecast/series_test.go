package forecast_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/forecast"
)

const window = forecast.DefaultWindow

func mustNew(t testing.TB, name, options string) forecast.Forecaster {
	t.Helper()
	f, err := forecast.Forecasters().New(name, []byte(options))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// build makes a series of windows from the logarithm of the rate, 100 requests/s where that is 0; NaN is a missing window.
func build(days int, log func(i int) float64) []forecast.Sample {
	var samples []forecast.Sample
	for i := range days * 144 {
		if x := log(i); !math.IsNaN(x) {
			samples = append(samples, forecast.Sample{Time: float64(i) * window, Rate: 100 * math.Exp(x)})
		}
	}
	return samples
}

// season has the height 1 between night and noon, and a quieter weekend.
func season(i int) float64 {
	x := 0.5 * math.Sin(2*math.Pi*float64(i)/144-2)
	if i/144%7 >= 5 {
		x -= 0.25
	}
	return x
}

// daily is a seasonal series with noise that is partly carried on.
func daily(days int, seed uint64) []forecast.Sample {
	r := rand.New(rand.NewPCG(seed, 0))
	slow := 0.0
	return build(days, func(i int) float64 {
		slow = 0.97*slow + 0.03*r.NormFloat64()
		return season(i) + slow + 0.06*r.NormFloat64()
	})
}
