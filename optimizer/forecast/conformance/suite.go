// Package conformance is what every forecaster must pass.
package conformance

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/forecast"
)

const (
	day = 86400.0
	// keptSamples is the most that a history may hold.
	keptSamples = 5000
)

// Run checks a forecaster. New must return equal ones each time.
func Run(t *testing.T, make func(t *testing.T) forecast.Forecaster) {
	for name, check := range map[string]func(*testing.T, forecast.Forecaster){
		"sane on hostile series":            sane,
		"tracking equals forecasting":       tracking,
		"constant load is forecast as such": constant,
		"no load is forecast as such":       idle,
		"history is bounded":                bounded,
		"history is not written to":         untouched,
		"bad samples are ignored":           ignored,
		"unit of rate does not matter":      scaled,
	} {
		t.Run(name, func(t *testing.T) { check(t, make(t)) })
	}
}

// hostile series of ten-minute windows: what a careless forecaster divides by, learns from or extrapolates.
func hostile(seed uint64) map[string][]forecast.Sample {
	r := rand.New(rand.NewPCG(seed, 1))
	rates := map[string]func(i int) float64{
		"zeros":      func(int) float64 { return 0 },
		"rarely any": func(int) float64 { return math.Floor(1.05 * r.Float64()) },
		"spikes":     func(i int) float64 { return 10 + 1e6*math.Floor(float64(i%97)/96) },
		"on and off": func(i int) float64 { return 100 * float64(i/40%2) },
		"grows":      func(i int) float64 { return math.Exp(float64(i) / 60) },
		"vanishes":   func(i int) float64 { return math.Exp(-float64(i) / 30) },
		"square":     func(i int) float64 { return 10 + 90*float64(i/72%2) },
		"noise":      func(int) float64 { return math.Exp(3 * r.NormFloat64()) },
		"greatest":   func(i int) float64 { return 1e9 * float64(i%2) },
	}
	all := map[string][]forecast.Sample{}
	for name, rate := range rates {
		for i := range 900 {
			if r.IntN(20) > 0 {
				all[name] = append(all[name], forecast.Sample{Time: 600 * float64(i), Rate: min(rate(i), 1e9)})
			}
		}
	}
	return all
}

func sane(t *testing.T, f forecast.Forecaster) {
	for name, samples := range hostile(1) {
		horizons := []float64{600, 7200}
		if name == "square" {
			horizons = []float64{-5, 0, 86400, 1e9, math.Inf(1), math.NaN()}
		}
		for _, horizon := range horizons {
			k := f.Track(horizon)
			if p := k.Forecast(); !math.IsNaN(p.Mean) || !math.IsNaN(p.Upper) {
				t.Fatalf("%s: a forecast %+v from nothing", name, p)
			}
			for _, s := range samples {
				k.Observe(s)
				if int(s.Time/600)%5 != 0 {
					continue
				}
				if p := k.Forecast(); !(p.Upper >= 0 && p.Mean >= 0) || math.IsInf(p.Upper, 0) || math.IsInf(p.Mean, 0) {
					t.Fatalf("%s, horizon %v, at %v: %+v", name, horizon, s.Time, p)
				}
			}
		}
	}
}

// tracking gives what a forecast from the remembered history gives, also with several samples per window, gaps and more time than is
// remembered; and asking changes nothing.
func tracking(t *testing.T, f forecast.Forecaster) {
	r := rand.New(rand.NewPCG(2, 1))
	k := f.Track(1800)
	var history []forecast.Sample
	time := 3 * day
	for i := range 6000 {
		time += 100 + 500*r.Float64()
		if r.IntN(300) == 0 {
			time += day * r.Float64()
		}
		s := forecast.Sample{Time: math.Round(time), Rate: 50 + 20*math.Sin(time/day*2*math.Pi) + 5*r.NormFloat64()}
		history = f.Remember(history, s)
		k.Observe(s)
		if i%1500 < 2 {
			got, again, want := k.Forecast(), k.Forecast(), f.Forecast(history, 1800)
			if got != again {
				t.Fatalf("asked twice: %v, then %v", got, again)
			}
			if !close(got.Upper, want.Upper) || !close(got.Mean, want.Mean) {
				t.Fatalf("after %d samples the tracker says %v, the history %v", i+1, got, want)
			}
			if other := f.Forecast(history, 1800); other != want {
				t.Fatalf("the same history gives %v, then %v", want, other)
			}
		}
	}
}

func close(a, b float64) bool { return math.Abs(a-b) <= 1e-9*(1+math.Abs(b)) }

func constant(t *testing.T, f forecast.Forecaster) {
	for _, rate := range []float64{0.02, 7, 3e4} {
		k := f.Track(7200)
		for i := range 1100 {
			k.Observe(forecast.Sample{Time: 600 * float64(i), Rate: rate})
			if p := k.Forecast(); i%7 == 0 && math.Abs(p.Upper/rate-1) > 1e-3 || math.Abs(p.Mean/rate-1) > 1e-3 {
				t.Fatalf("window %d at %v requests/s: %+v", i, rate, p)
			}
		}
	}
}

func idle(t *testing.T, f forecast.Forecaster) {
	k := f.Track(600)
	for i := range 300 {
		k.Observe(forecast.Sample{Time: 600 * float64(i)})
	}
	if p := k.Forecast(); p.Upper > 1e-9 || p.Mean > 1e-9 {
		t.Errorf("no requests in two days, forecast %+v", p)
	}
}

func bounded(t *testing.T, f forecast.Forecaster) {
	var history []forecast.Sample
	for i := range 6000 {
		history = f.Remember(history, forecast.Sample{Time: 600 * float64(i), Rate: 1})
		if len(history) > keptSamples {
			t.Fatalf("%d samples kept after %d windows", len(history), i+1)
		}
	}
	for i := range 300 {
		history = f.Remember(history, forecast.Sample{Time: 4e6 + float64(i), Rate: 1})
	}
	if len(history) > keptSamples {
		t.Errorf("%d samples kept", len(history))
	}
}

func untouched(t *testing.T, f forecast.Forecaster) {
	var history []forecast.Sample
	for i := range 3000 {
		before := slices.Clone(history)
		next := f.Remember(history, forecast.Sample{Time: 300 * float64(i), Rate: float64(i % 7)})
		if !slices.Equal(before, history) {
			t.Fatalf("sample %d changed the history it was added to:\n%s", i, cmp.Diff(before, history))
		}
		history = next
	}
}

func ignored(t *testing.T, f forecast.Forecaster) {
	good := forecast.Sample{Time: 1000, Rate: 5}
	history := f.Remember(nil, good)
	k := f.Track(600)
	k.Observe(good)
	want := k.Forecast()
	for _, bad := range []forecast.Sample{
		{Time: math.NaN(), Rate: 1}, {Time: math.Inf(1), Rate: 1}, {Time: 2000, Rate: math.NaN()}, {Time: 2000, Rate: -1},
		{Time: 2000, Rate: math.Inf(1)}, {Time: 300, Rate: 1},
	} {
		if d := cmp.Diff(history, f.Remember(history, bad)); d != "" {
			t.Errorf("%v was remembered:\n%s", bad, d)
		}
		k.Observe(bad)
		if got := k.Forecast(); got != want {
			t.Errorf("%v changed the forecast from %v to %v", bad, want, got)
		}
	}
}

// scaled: a thousandfold rate gives a thousandfold forecast, where requests are many.
func scaled(t *testing.T, f forecast.Forecaster) {
	r := rand.New(rand.NewPCG(3, 1))
	one, many := f.Track(1800), f.Track(1800)
	for i := range 600 {
		rate := 1e4 * math.Exp(math.Sin(float64(i)*2*math.Pi/144)+0.1*r.NormFloat64())
		one.Observe(forecast.Sample{Time: 600 * float64(i), Rate: rate})
		many.Observe(forecast.Sample{Time: 600 * float64(i), Rate: 1000 * rate})
	}
	if a, b := one.Forecast(), many.Forecast(); math.Abs(b.Upper/a.Upper/1000-1) > 1e-3 {
		t.Errorf("%v, and a thousandfold %v", a, b)
	}
}
