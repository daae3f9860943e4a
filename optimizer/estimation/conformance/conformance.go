// Package conformance tests what every estimator must hold, whatever it learns.
package conformance

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Run tests an estimator.
func Run(t *testing.T, e estimation.Estimator) {
	t.Run("no observations change nothing", func(t *testing.T) {
		for name, given := range laws() {
			out := estimate(t, e, given, nil)
			if len(out.Judgements) != 0 {
				t.Errorf("%s: %d judgements of no observation", name, len(out.Judgements))
			}
			a, b := law(t, given), law(t, out.Performance)
			batch := queueing.Batch{Decodes: 20, DecodeContext: 25000, PrefillTokens: 40, PrefillContext: 40, Prefills: 0.04, PrefillPairs: 20000}
			if x, y := a.IterationTime(batch), b.IterationTime(batch); math.Abs(x/y-1) > 1e-9 {
				t.Errorf("%s: an iteration takes %v with what was given, %v with what was not learned", name, x, y)
			}
		}
	})
	t.Run("same answer twice, memory unchanged", func(t *testing.T) {
		for name, given := range laws() {
			first := estimate(t, e, given, nil, steady(10)...)
			before := text(t, first.Learned)
			a := text(t, estimate(t, e, given, first.Learned, steady(20)[10:]...))
			b := text(t, estimate(t, e, given, first.Learned, steady(20)[10:]...))
			if diff := cmp.Diff(a, b); diff != "" {
				t.Errorf("%s: two answers to the same question:\n%s", name, diff)
			}
			if diff := cmp.Diff(before, text(t, first.Learned)); diff != "" {
				t.Errorf("%s: what was remembered was changed:\n%s", name, diff)
			}
		}
	})
	t.Run("a restart continues identically", func(t *testing.T) {
		for name, given := range laws() {
			straight, restarted := estimation.Estimate{}, estimation.Estimate{}
			for _, o := range steady(60) {
				straight = estimate(t, e, given, straight.Learned, o)
				restarted = estimate(t, e, given, reborn(t, restarted.Learned), o)
			}
			if diff := cmp.Diff(text(t, straight), text(t, restarted)); diff != "" {
				t.Errorf("%s: a restart changes the answer:\n%s", name, diff)
			}
		}
	})
	t.Run("every observation is judged, garbage with a reason", func(t *testing.T) {
		for name, given := range laws() {
			learned := estimate(t, e, given, nil, steady(10)...).Learned
			for fault, o := range garbage() {
				out := estimate(t, e, given, learned, o)
				if len(out.Judgements) != 1 || out.Judgements[0].Accepted || out.Judgements[0].Reason == "" {
					t.Errorf("%s: %s: judgements %+v, want one that rejects with a reason", name, fault, out.Judgements)
				}
				if out.Learned != nil {
					text(t, out.Learned) // NaN and infinity cannot be written
				}
				law(t, out.Performance)
			}
		}
	})
	t.Run("laws stay laws", func(t *testing.T) {
		for name, given := range laws() {
			var learned *v1alpha1.PairMemory
			for i, o := range steady(40) {
				o.ITL *= math.Pow(3, float64(i%5)-2)
				o.TTFT *= math.Pow(3, float64(i%3)-1)
				out := estimate(t, e, given, learned, o)
				learned = out.Learned
				law(t, out.Performance)
				if m := out.Performance.Law; m != nil {
					positive(t, name, m.Covariance)
				}
			}
		}
	})
	t.Run("what cannot be used is an error, what is missing is not", func(t *testing.T) {
		bad := jsonspec.Performance{Acc: "A", PerfParms: &jsonspec.PerfParms{Alpha: -1}}
		if _, err := e.Estimate(bad, nil, steady(1)); err == nil {
			t.Error("a negative parameter is taken")
		}
		if _, err := e.Estimate(jsonspec.Performance{Acc: "A"}, nil, steady(1)); err != nil {
			t.Errorf("model data without a law: %v", err)
		}
	})
}

func estimate(t *testing.T, e estimation.Estimator, given jsonspec.Performance, learned *v1alpha1.PairMemory, seen ...estimation.Observation) estimation.Estimate {
	t.Helper()
	out, err := e.Estimate(given, learned, seen)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Judgements) != len(seen) {
		t.Fatalf("%d judgements of %d observations", len(out.Judgements), len(seen))
	}
	return out
}

// law must be one.
func law(t *testing.T, p jsonspec.Performance) queueing.Law {
	t.Helper()
	l, err := queueing.NewLaw(p)
	if err != nil {
		t.Fatalf("what was learned is no law: %v", err)
	}
	return l
}

// text for comparison; judgements may hold NaN and are left out.
func text(t *testing.T, v any) string {
	t.Helper()
	if e, ok := v.(estimation.Estimate); ok {
		e.Judgements = nil
		v = e
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func reborn(t *testing.T, s *v1alpha1.PairMemory) *v1alpha1.PairMemory {
	if s == nil {
		return nil
	}
	out := new(v1alpha1.PairMemory)
	if err := json.Unmarshal([]byte(text(t, s)), out); err != nil {
		t.Fatal(err)
	}
	return out
}

// positive checks that a covariance has no negative variance and no correlation beyond 1.
func positive(t *testing.T, name string, c [][]float64) {
	t.Helper()
	for i := range c {
		for j := range c[i] {
			if c[i][j] != c[j][i] || math.Abs(c[i][j]) > math.Sqrt(c[i][i]*c[j][j])*(1+1e-9) {
				t.Fatalf("%s: no covariance: [%d][%d] is %v and %v beside variances %v and %v", name, i, j, c[i][j], c[j][i], c[i][i], c[j][j])
			}
		}
	}
}

// laws by name, one of each that is registered.
func laws() map[string]jsonspec.Performance {
	roofline := queueing.Roofline{
		Overhead: 1e-3, Weights: 6e-3, Experts: 2e-3, Share: 0.1, Spread: 1, Compute: 3e-5, Attention: 1e-9, KV: 5e-8, Sequence: 2e-5,
		Prefill: 2e-3, Delay: 5e-3,
	}
	parms, err := queueing.ParmsOf(roofline)
	if err != nil {
		panic(err)
	}
	return map[string]jsonspec.Performance{
		queueing.LawWork:     {Acc: "A", PerfParms: &jsonspec.PerfParms{Alpha: 12, Beta: 0.04, Gamma: 5e-5}},
		"work without gamma": {Acc: "A", PerfParms: &jsonspec.PerfParms{Alpha: 12, Beta: 0.04}},
		queueing.LawLinear: {
			Acc: "A", DecodeParms: &jsonspec.DecodeParms{Alpha: 12, Beta: 0.15}, PrefillParms: &jsonspec.PrefillParms{Gamma: 20, Delta: 0.002},
		},
		queueing.LawRoofline: {
			Acc: "A", Law: &parms,
		},
	}
}

// steady is a run of observations of one server under a load that varies.
func steady(n int) []estimation.Observation {
	all := make([]estimation.Observation, n)
	for i := range all {
		o := estimation.Unmeasured("s")
		running := 5 + 40*math.Abs(math.Sin(float64(i)))
		o.Time, o.Replicas, o.Running = 1.7e9+61.5*float64(i), 2, running
		o.InputTokens, o.OutputTokens = 900+100*math.Cos(float64(3*i)), 400+50*math.Sin(float64(7*i))
		o.ArrivalRate, o.ITL, o.TTFT = 2, 0.012+0.00018*running, 0.06+0.0005*running
		all[i] = o
	}
	return all
}

// garbage by what is wrong with it.
func garbage() map[string]estimation.Observation {
	all := map[string]estimation.Observation{}
	add := func(fault string, spoil func(*estimation.Observation)) {
		o := steady(11)[10]
		spoil(&o)
		all[fault] = o
	}
	nan, inf := math.NaN(), math.Inf(1)
	add("nothing measured", func(o *estimation.Observation) { *o = estimation.Unmeasured("s") })
	add("no latency", func(o *estimation.Observation) { o.ITL, o.TTFT = nan, nan })
	add("zero latency", func(o *estimation.Observation) { o.ITL, o.TTFT = 0, 0 })
	add("negative latency", func(o *estimation.Observation) { o.ITL = -1 })
	add("infinite latency", func(o *estimation.Observation) { o.ITL = inf })
	add("nothing ran", func(o *estimation.Observation) { o.Running = 0 })
	add("negative batch", func(o *estimation.Observation) { o.Running = -3 })
	add("neither batch nor arrivals", func(o *estimation.Observation) { o.Running, o.ArrivalRate = nan, nan })
	add("no tokens", func(o *estimation.Observation) { o.InputTokens, o.OutputTokens = nan, nan })
	add("no output", func(o *estimation.Observation) { o.OutputTokens = 0 })
	add("hits beyond all", func(o *estimation.Observation) { o.PrefixHitRate = 2 })
	add("time before all", func(o *estimation.Observation) { o.Time = -1 })
	return all
}
