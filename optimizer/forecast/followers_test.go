package forecast_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/forecast"
)

// Followers answer what the forecaster answers: as a history grows, when it is cut, when it is another one, and when it is asked again.
func TestFollowersEqualTheForecaster(t *testing.T) {
	for _, name := range forecast.Forecasters().Names() {
		f := mustNew(t, name, "")
		followers := forecast.NewFollowers(f, 1800)
		r := rand.New(rand.NewPCG(4, 4))
		var history, branch []forecast.Sample
		check := func(server string, h []forecast.Sample) {
			t.Helper()
			got, want := followers.Forecast(server, h), f.Forecast(h, 1800)
			if math.Abs(got.Upper-want.Upper) > 1e-6*want.Upper || math.Abs(got.Mean-want.Mean) > 1e-6*want.Mean {
				t.Fatalf("%s after %d samples: %+v, want %+v", name, len(h), got, want)
			}
		}
		for i := range 5000 {
			s := forecast.Sample{Time: 400 * float64(i), Rate: 100 * math.Exp(0.1*r.NormFloat64())}
			history = f.Remember(history, s)
			if i == 2000 {
				branch = history
			}
			switch {
			case i > 4985 || i%800 == 0:
				check("a", history)
				check("a", history)
			case i > 4000:
				followers.Forecast("a", history)
			}
		}
		branch = f.Remember(branch, forecast.Sample{Time: 400 * 2001, Rate: 500})
		check("a", branch)
		check("a", history)
		check("b", history)
		followers.Keep([]string{"b"})
		check("a", history)
	}
}

// BenchmarkFollowers is a cycle's forecast of one server from its history.
func BenchmarkFollowers(b *testing.B) {
	f := mustNew(b, forecast.NameAdaptive, "")
	followers := forecast.NewFollowers(f, 1800)
	history := daily(14, 1)
	last := history[len(history)-1]
	for b.Loop() {
		last.Time += 60
		history = f.Remember(history, last)
		followers.Forecast("a", history)
	}
}
