package forecast_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/forecast"
)

func recent(rates ...float64) []forecast.Sample {
	var s []forecast.Sample
	for i, r := range rates {
		s = forecast.Recent(s, forecast.Sample{Time: 30 * float64(i), Rate: r})
	}
	return s
}

func TestRise(t *testing.T) {
	none := math.NaN()
	for _, c := range []struct {
		name  string
		rates []float64
		want  float64
	}{
		{"steady", []float64{10, 10, 10, 10}, none},
		{"noise", []float64{10, 10.5, 9.8, 10.6}, none},
		{"falling", []float64{20, 15, 10, 5}, none},
		{"a ramp of 0.1/s, 120 s and half a minute ahead", []float64{10, 13, 16, 19}, 19 + 0.1*150},
		{"a flash crowd is not extrapolated beyond twice itself", []float64{10, 10, 25, 40}, 80},
		{"only the last minutes count", []float64{1, 1, 1, 1, 10, 13, 16, 19}, 19 + 0.1*150},
		{"two samples tell nothing", []float64{1, 100}, none},
		{"nothing", []float64{0, 0, 0, 0}, none},
	} {
		if got := forecast.Rise(recent(c.rates...), 60, 120, 0); !(math.Abs(got-c.want) <= 1e-9) && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if got := forecast.Rise(recent(10, 13, 16, 19), 60, 3600, 0); math.Abs(got-34) > 1e-9 {
		t.Errorf("an hour ahead: %v, want 34, for a rise is expected to last as long again as it was seen, two and a half minutes", got)
	}
	if got := forecast.Rise(nil, 60, 120, 0); !math.IsNaN(got) {
		t.Errorf("from nothing %v", got)
	}
}

func TestRiseIsSilentAtConstantLoad(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, rate := range []float64{0.5, 5, 50} {
		rises, n := 0, 20000
		var s []forecast.Sample
		for i := range n {
			// Poisson counts of a minute, bursty by a variance of twice the mean.
			x := rate + math.Sqrt(2*rate/60)*r.NormFloat64()
			s = forecast.Recent(s, forecast.Sample{Time: 30 * float64(i), Rate: math.Max(x, 0)})
			if forecast.Rise(s, 60, 150, 0) > s[len(s)-1].Rate {
				rises++
			}
		}
		if share := float64(rises) / float64(n); share > 0.001 {
			t.Errorf("%v requests/s: a rise in %.2f %% of the windows", rate, 100*share)
		}
	}
}

func TestRecentIsBoundedAndUntouched(t *testing.T) {
	var s []forecast.Sample
	for i := range 100 {
		before := append([]forecast.Sample(nil), s...)
		next := forecast.Recent(s, forecast.Sample{Time: float64(i), Rate: 1})
		for k := range before {
			if before[k] != s[k] {
				t.Fatal("the given samples changed")
			}
		}
		if s = next; len(s) > 20 {
			t.Fatalf("%d samples", len(s))
		}
	}
	if got := forecast.Recent(s, forecast.Sample{Time: 5, Rate: 1}); len(got) != len(s) {
		t.Error("a sample from the past was taken")
	}
}

func TestLevel(t *testing.T) {
	for _, c := range []struct {
		name  string
		rates []float64
		want  float64
	}{
		{"one sample", []float64{7}, 7},
		{"noise is averaged out", []float64{10, 10.8, 9.6, 10.2, 9.4}, 10},
		{"a step is followed at once", []float64{10, 10, 10, 10, 20}, 20},
		{"and so is a fall", []float64{10, 10, 10, 10, 4}, 4},
		{"nothing", []float64{0, 0, 0}, 0},
		{"from nothing", []float64{0, 0, 5}, 5},
	} {
		if got := forecast.Level(recent(c.rates...), 60, 0); !(math.Abs(got-c.want) <= 1e-9) && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// Samples that were written and read back are the same to the last bit; what are none is refused.
func TestSamplesSurviveJSON(t *testing.T) {
	var s forecast.Samples
	for i := range 30 {
		s = forecast.Recent(s, forecast.Sample{Time: 1.7e9 + 29.9973*float64(i), Rate: math.Exp(math.Sin(float64(i)))})
	}
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var read forecast.Samples
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(s, read); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{`[1]`, `[1, -2]`, `[1e13, 2]`, `[null, "x"]`, `{"time": 1}`} {
		if err := json.Unmarshal([]byte(bad), &read); err == nil {
			t.Errorf("%s was read as %v", bad, read)
		}
	}
}
