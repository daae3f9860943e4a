// Package conformance is what every forecaster must pass.
package conformance

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/forecast"
)

const (
	day = 86400.0 // Exact: a day has so many seconds.
	// memoryBytes is the most that the memory of a server may take where it is written as JSON.
	//
	// Tuned: bytes; derived from the 4 kB that a server may take of a line of the decision log, half of which is for what was measured and decided;
	// at half: adaptive fails, which takes up to 1,315; at twice: no difference
	memoryBytes = 2000
)

// Run checks a forecaster. New must return equal ones each time.
func Run(t *testing.T, make func(t *testing.T) forecast.Forecaster) {
	for name, check := range map[string]func(*testing.T, forecast.Forecaster){
		"sane on hostile series":            sane,
		"constant load is forecast as such": constant,
		"no load is forecast as such":       idle,
		"memory is a bounded value":         bounded,
		"memory can be written":             written,
		"memory is not written to":          untouched,
		"strange memories are harmless":     strange,
		"bad samples are ignored":           ignored,
		"unit of rate does not matter":      scaled,
	} {
		t.Run(name, func(t *testing.T) { check(t, make(t)) })
	}
}

// follower follows one server for one horizon.
type follower struct {
	forecast.Predictor
	memory forecast.Memory
	last   float64
}

func follow(f forecast.Forecaster, horizon float64, samples ...forecast.Sample) *follower {
	k := &follower{Predictor: f.For(horizon, 0)}
	for _, s := range samples {
		k.observe(s)
	}
	return k
}

func (k *follower) observe(s forecast.Sample) { k.memory, k.last = k.Observe(k.memory, s), s.Time }

func (k *follower) forecast() forecast.Prediction { return k.Forecast(k.memory, k.last) }

func sound(p forecast.Prediction) bool {
	return p.Upper >= 0 && p.Mean >= 0 && !math.IsInf(p.Upper, 0) && !math.IsInf(p.Mean, 0)
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
			k := follow(f, horizon)
			if p := k.forecast(); !math.IsNaN(p.Mean) || !math.IsNaN(p.Upper) {
				t.Fatalf("%s: a forecast %+v from nothing", name, p)
			}
			for _, s := range samples {
				k.observe(s)
				if p := k.forecast(); !sound(p) {
					t.Fatalf("%s, horizon %v, at %v: %+v", name, horizon, s.Time, p)
				}
			}
			for _, later := range []float64{3600, 10 * day, 1e15, math.Inf(1), math.NaN()} {
				if p := k.Forecast(k.memory, k.last+later); !sound(p) {
					t.Fatalf("%s, horizon %v, %v s after the last sample: %+v", name, horizon, later, p)
				}
			}
		}
	}
}

func constant(t *testing.T, f forecast.Forecaster) {
	for _, rate := range []float64{0.02, 7, 3e4} {
		k := follow(f, 7200)
		for i := range 1100 {
			k.observe(forecast.Sample{Time: 600 * float64(i), Rate: rate})
			if p := k.forecast(); math.Abs(p.Upper/rate-1) > 1e-3 || math.Abs(p.Mean/rate-1) > 1e-3 {
				t.Fatalf("window %d at %v requests/s: %+v", i, rate, p)
			}
		}
	}
}

func idle(t *testing.T, f forecast.Forecaster) {
	k := follow(f, 600)
	for i := range 300 {
		k.observe(forecast.Sample{Time: 600 * float64(i)})
	}
	if p := k.forecast(); p.Upper != 0 || p.Mean != 0 {
		t.Errorf("no requests in two days, forecast %+v", p)
	}
}

// season is a load with days and weeks, in samples at irregular times with gaps.
func season(days int) []forecast.Sample {
	r := rand.New(rand.NewPCG(2, 1))
	var samples []forecast.Sample
	for time := 3 * day; time < (3+float64(days))*day; time += 100 + 500*r.Float64() {
		if r.IntN(500) == 0 {
			time += day / 4 * r.Float64()
		}
		rate := 50 * math.Exp(0.7*math.Sin(time/day*2*math.Pi)+0.3*math.Sin(time/day*2*math.Pi/7)+0.1*r.NormFloat64())
		samples = append(samples, forecast.Sample{Time: math.Round(time), Rate: rate})
	}
	return samples
}

// bounded: two weeks with seasons, and hostile series, leave a memory of a bounded size.
func bounded(t *testing.T, f forecast.Forecaster) {
	all := hostile(4)
	all["season"] = season(16)
	for name, samples := range all {
		for _, horizon := range []float64{600, 7200, day} {
			data, err := json.Marshal(follow(f, horizon, samples...).memory)
			if err != nil {
				t.Fatal(err)
			}
			if len(data) > memoryBytes {
				t.Errorf("%s, horizon %v: a memory of %d bytes, want at most %d", name, horizon, len(data), memoryBytes)
			}
		}
	}
}

// written: a memory that was written and read back after every sample is the same, and so are the forecasts, to the last bit; asking changes nothing.
func written(t *testing.T, f forecast.Forecaster) {
	k, other := follow(f, 1800), follow(f, 1800)
	for i, s := range season(10) {
		k.observe(s)
		other.observe(s)
		data, err := json.Marshal(other.memory)
		if err != nil {
			t.Fatal(err)
		}
		other.memory = forecast.Memory{}
		if err := json.Unmarshal(data, &other.memory); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(k.memory, other.memory); d != "" {
			t.Fatalf("sample %d: the memory that was read back differs:\n%s", i, d)
		}
		if got, again, want := other.forecast(), other.forecast(), k.forecast(); got != want || got != again {
			t.Fatalf("sample %d: %v from the memory that was read back, then %v, want %v", i, got, again, want)
		}
	}
}

func untouched(t *testing.T, f forecast.Forecaster) {
	k := follow(f, 1800)
	for i, s := range season(3) {
		before := k.memory
		data := bytes.Clone(before.Data)
		k.observe(s)
		k.forecast()
		if !bytes.Equal(before.Data, data) {
			t.Fatalf("sample %d changed the memory it was added to", i)
		}
	}
}

// strange memories: what another forecaster wrote, or nobody, is begun anew or gone on with, and leads to no nonsense. One for another horizon is
// gone on with: a start-up time that is measured anew must not make a server a stranger.
func strange(t *testing.T, f forecast.Forecaster) {
	r := rand.New(rand.NewPCG(5, 1))
	samples := season(4)
	good := follow(f, 600, samples...).memory
	last := samples[len(samples)-1]
	check := func(what string, m forecast.Memory, horizon float64) *follower {
		t.Helper()
		k := follow(f, horizon)
		k.memory, k.last = m, last.Time
		if p := k.forecast(); !sound(p) && !math.IsNaN(p.Upper) {
			t.Errorf("%s: %+v", what, p)
		}
		for i := range 30 {
			k.observe(forecast.Sample{Time: last.Time + 600*float64(i+1), Rate: last.Rate})
		}
		if p := k.forecast(); !sound(p) {
			t.Errorf("%s, after more samples: %+v", what, p)
		}
		return k
	}
	if k := check("of another forecaster", forecast.Memory{By: "another", Since: 1, Data: good.Data}, 600); k.memory.By != good.By {
		t.Errorf("the memory is still one of %s", k.memory.By)
	}
	for i := range 300 {
		m := good
		m.Data = bytes.Clone(good.Data)
		for range 1 + r.IntN(4) {
			m.Data[r.IntN(len(m.Data))] = byte(r.IntN(256))
		}
		check("a few bytes changed", m, []float64{600, 7200}[i%2])
		m.Data = good.Data[:r.IntN(len(good.Data))]
		check("cut short", m, 600)
	}
	for _, since := range []float64{math.NaN(), math.Inf(-1), 1e300} {
		check("of no time", forecast.Memory{By: good.By, Since: since, Data: good.Data}, 600)
	}
	k := check("of another horizon", good, 1800)
	if k.memory.Since < last.Time && k.memory.Since != good.Since {
		t.Errorf("another horizon made a memory since %v one since %v", good.Since, k.memory.Since)
	}
}

func ignored(t *testing.T, f forecast.Forecaster) {
	k := follow(f, 600, forecast.Sample{Time: 1000, Rate: 5})
	want, wanted := k.memory, k.forecast()
	for _, bad := range []forecast.Sample{
		{Time: math.NaN(), Rate: 1}, {Time: math.Inf(1), Rate: 1}, {Time: 2000, Rate: math.NaN()}, {Time: 2000, Rate: -1},
		{Time: 2000, Rate: math.Inf(1)}, {Time: 300, Rate: 1}, {Time: 1000, Rate: 1},
	} {
		if d := cmp.Diff(want, k.Observe(k.memory, bad)); d != "" {
			t.Errorf("%v was remembered:\n%s", bad, d)
		}
	}
	if got := k.forecast(); got != wanted {
		t.Errorf("the forecast went from %v to %v", wanted, got)
	}
}

// scaled: a thousandfold rate gives a thousandfold forecast, where requests are many.
func scaled(t *testing.T, f forecast.Forecaster) {
	r := rand.New(rand.NewPCG(3, 1))
	one, many := follow(f, 1800), follow(f, 1800)
	for i := range 600 {
		rate := 1e4 * math.Exp(math.Sin(float64(i)*2*math.Pi/144)+0.1*r.NormFloat64())
		one.observe(forecast.Sample{Time: 600 * float64(i), Rate: rate})
		many.observe(forecast.Sample{Time: 600 * float64(i), Rate: 1000 * rate})
	}
	if a, b := one.forecast(), many.forecast(); math.Abs(b.Upper/a.Upper/1000-1) > 1e-2 {
		t.Errorf("%v, and a thousandfold %v", a, b)
	}
}
