package queueing_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

func TestNewLaw(t *testing.T) {
	for _, c := range []struct {
		name string
		perf jsonspec.Performance
		want queueing.Law
		errs []string
	}{
		{"work in ms", jsonspec.Performance{PerfParms: &jsonspec.PerfParms{Alpha: 8, Beta: 0.5, Gamma: 0.25}},
			queueing.Work{Alpha: 0.008, Beta: 0.0005, Gamma: 0.00025}, nil},
		{"linear in ms", jsonspec.Performance{DecodeParms: &jsonspec.DecodeParms{Alpha: 8, Beta: 4}, PrefillParms: &jsonspec.PrefillParms{Gamma: 2, Delta: 1}},
			queueing.Linear{Alpha: 0.008, Beta: 0.004, Gamma: 0.002, Delta: 0.001}, nil},
		{"the named law wins", jsonspec.Performance{PerfParms: &jsonspec.PerfParms{Alpha: 8}, Law: &jsonspec.LawParms{
			Name: "roofline", Version: 1, Parameters: map[string]float64{"overhead": 2, "share": 0.5, "calibration.0.itl": 1}}},
			queueing.Roofline{Overhead: 0.002, Share: 0.5}, nil},
		{"half of linear", jsonspec.Performance{DecodeParms: &jsonspec.DecodeParms{Alpha: 8}}, nil, []string{"together"}},
		{"nothing", jsonspec.Performance{}, nil, []string{"no parameters"}},
		{"unknown law", jsonspec.Performance{Law: &jsonspec.LawParms{Name: "ohm"}}, nil, []string{`"ohm"`, "work"}},
		{"unknown parameter", jsonspec.Performance{Law: &jsonspec.LawParms{Name: "work", Parameters: map[string]float64{"alpha": 1, "omega": 1}}}, nil, []string{"omega"}},
		{"unknown version", jsonspec.Performance{Law: &jsonspec.LawParms{Name: "roofline", Version: 9}}, nil, []string{"version: 9"}},
		{"all faults at once", jsonspec.Performance{PerfParms: &jsonspec.PerfParms{Alpha: 0, Beta: -1, Gamma: -1}}, nil, []string{"alpha: 0", "beta: -1", "gamma: -1"}},
		{"not a number", jsonspec.Performance{PerfParms: &jsonspec.PerfParms{Alpha: math.NaN()}}, nil, []string{"NaN"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := queueing.NewLaw(c.perf)
			if diff := cmp.Diff(c.want, got, cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) <= 1e-12 })); diff != "" {
				t.Errorf("law (-want +got):\n%s", diff)
			}
			if (err != nil) != (c.errs != nil) {
				t.Fatalf("error %v", err)
			}
			for _, part := range c.errs {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %v does not say %q", err, part)
				}
			}
		})
	}
	if _, err := queueing.NewLaw(jsonspec.Performance{}); !errors.Is(err, queueing.ErrNoParameters) {
		t.Errorf("error %v is not ErrNoParameters", err)
	}
}

func TestRooflineParametersRoundTrip(t *testing.T) {
	law := queueing.Roofline{
		Overhead: 1e-3, Weights: 2e-3, Experts: 3e-3, Share: 0.1, Spread: 0.9, Compute: 4e-6, Attention: 5e-10, KV: 6e-9, Sequence: 7e-6,
		Prefill: 8e-4, Delay: 9e-3, Bunch: 1, Step: 0.1, Serial: 0.3, KVTokens: 1e5,
	}
	parms, err := queueing.ParmsOf(law)
	if err != nil || parms.Name != queueing.LawRoofline || parms.Version != queueing.RooflineVersion {
		t.Fatalf("%+v, %v", parms, err)
	}
	got, err := queueing.NewLaw(jsonspec.Performance{Law: &parms})
	if err != nil {
		t.Fatal(err)
	}
	same := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) <= 1e-12*math.Abs(a) })
	if diff := cmp.Diff(queueing.Law(law), got, same); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// randomLaws are laws with parameters over many orders of magnitude.
func randomLaws(r *rand.Rand) []queueing.Law {
	v := func() float64 { return math.Pow(10, -10+9*r.Float64()) }
	return []queueing.Law{
		queueing.Work{Alpha: v(), Beta: v(), Gamma: v()},
		queueing.Linear{Alpha: v(), Beta: v(), Gamma: v(), Delta: v()},
		queueing.Roofline{
			Overhead: v(), Weights: v(), Experts: v(), Share: r.Float64(), Spread: 2 * r.Float64(), Compute: v(), Attention: v(), KV: v(),
			Sequence: v(), Prefill: v(), Serial: 3 * r.Float64(),
		},
	}
}

func randomBatch(r *rand.Rand) queueing.Batch {
	v := func() float64 { return math.Floor(math.Pow(10, 9*r.Float64())) - 1 }
	return queueing.Batch{Decodes: v(), DecodeContext: v(), PrefillTokens: v(), PrefillContext: v(), Prefills: v(), PrefillPairs: v()}
}

func TestLawsArePositiveAndDoNotDecrease(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		b := randomBatch(r)
		for _, law := range randomLaws(r) {
			at := law.IterationTime(b)
			if !(at > 0) || math.IsInf(at, 0) {
				t.Fatalf("%+v takes %v for %+v", law, at, b)
			}
			for name, field := range map[string]func(*queueing.Batch) *float64{
				"decodes":         func(b *queueing.Batch) *float64 { return &b.Decodes },
				"decode context":  func(b *queueing.Batch) *float64 { return &b.DecodeContext },
				"prefill tokens":  func(b *queueing.Batch) *float64 { return &b.PrefillTokens },
				"prefill context": func(b *queueing.Batch) *float64 { return &b.PrefillContext },
				"prefills":        func(b *queueing.Batch) *float64 { return &b.Prefills },
				"prefill pairs":   func(b *queueing.Batch) *float64 { return &b.PrefillPairs },
			} {
				more := b
				*field(&more) += 1 + r.Float64()*1e3
				if after := law.IterationTime(more); after < at*(1-1e-12) {
					t.Errorf("%+v: more %s takes %v instead of %v", law, name, after, at)
				}
			}
		}
	}
}

// TestRooflineRegimes checks the law against what each regime must give.
func TestRooflineRegimes(t *testing.T) {
	law := queueing.Roofline{Overhead: 1e-3, Weights: 5e-3, Experts: 20e-3, Share: 1.0 / 16, Spread: 1, Compute: 1e-5}
	for _, c := range []struct {
		name   string
		tokens float64
		want   float64
	}{
		{"one token reads its share of the experts", 1, 1e-3 + 5e-3 + 20e-3/16},
		{"two tokens touch some of the same experts", 2, 1e-3 + 5e-3 + 20e-3*(1-math.Pow(15.0/16, 2))},
		{"many tokens are bound by compute", 1e6, 1e-3 + 10},
	} {
		if got := law.IterationTime(queueing.Batch{PrefillTokens: c.tokens}); math.Abs(got/c.want-1) > 1e-3 {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestWhatDoesNotOverlapAddsUp(t *testing.T) {
	law := queueing.Roofline{Overhead: 1e-3, Weights: 5e-3, Compute: 1e-5}
	batch := queueing.Batch{PrefillTokens: 500} // as long to compute as the weights are to read
	for serial, want := range map[float64]float64{0: 1e-3 + 5e-3*math.Pow(2, 0.25), 1: 1e-3 + 10e-3} {
		law.Serial = serial
		if got := law.IterationTime(batch); math.Abs(got/want-1) > 1e-12 {
			t.Errorf("serial %v: %v, want %v", serial, got, want)
		}
	}
}

func FuzzNewLaw(f *testing.F) {
	f.Add("roofline", 1, `{"overhead": 1}`)
	f.Add("work", 0, `{"alpha": 1, "beta": 1, "gamma": 1}`)
	f.Add("", -1, `{"alpha": 1e309}`)
	f.Fuzz(func(t *testing.T, name string, version int, text string) {
		var parameters map[string]float64
		if json.Unmarshal([]byte(text), &parameters) != nil {
			t.Skip()
		}
		law, err := queueing.NewLaw(jsonspec.Performance{Law: &jsonspec.LawParms{Name: name, Version: version, Parameters: parameters}})
		if err != nil {
			return
		}
		if at := law.IterationTime(queueing.Batch{Decodes: 1}); !(at > 0) {
			t.Errorf("accepted %s %s, which takes %v", name, text, at)
		}
	})
}
