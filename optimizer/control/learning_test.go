package control_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// observed is a system of one server on one accelerator, in which so many replicas measured an ITL, in ms, at a time.
func observed(seconds int64, ready int, itl, waiting float64) *jsonspec.System {
	value := func(v float64) *float64 { return &v }
	load := &jsonspec.Load{ArrivalRate: 3000, AvgInTokens: 1000, AvgOutTokens: 200}
	s := &jsonspec.System{
		Accelerators: jsonspec.AcceleratorData{Spec: []jsonspec.AcceleratorEntry{{Name: "A"}}},
		Models: jsonspec.ModelData{Spec: []jsonspec.PerformanceEntry{{Name: "m", Performance: jsonspec.Performance{
			Acc: "A", MaxBatchSize: 64, PerfParms: &jsonspec.PerfParms{Alpha: 12, Beta: 0.04, Gamma: 5e-5},
		}}}},
		ServiceClasses: jsonspec.ServiceClassData{Spec: []jsonspec.ServiceClassEntry{{Name: "c", ServiceClassSpec: jsonspec.ServiceClassSpec{
			Priority: 1, ModelTargets: []jsonspec.ModelTarget{{Model: "m", ITL: 35, TTFT: 4000}},
		}}}},
		Servers: jsonspec.ServerData{Spec: []jsonspec.ServerEntry{{
			Name: "s", Model: "m", Class: "c",
			CurrentAlloc: &jsonspec.Allocation{Accelerator: "A", NumReplicas: ready, MaxBatch: 64, Load: load},
			Observation: &jsonspec.Observation{
				Time: metav1.NewTime(time.Unix(seconds, 0)), Running: value(20), Waiting: value(waiting), KVUsage: value(0.5),
				Parts: []jsonspec.ObservedPart{{Accelerator: "A", Ready: ready, MaxBatchSize: 64}},
				Groups: []jsonspec.ObservedGroup{{
					Accelerator: "A", MaxBatchSize: 64, Replicas: ready, WindowSeconds: 60, Running: value(20 + float64(seconds%7)), Waiting: value(waiting),
					InputTokens: value(1000), OutputTokens: value(200), ITL: &jsonspec.ObservedLatency{Mean: itl},
				}},
			},
		}}},
		Optimizer: jsonspec.OptimizerData{Spec: jsonspec.OptimizerEntry{SolverPolicy: jsonspec.SolverPolicy{Unlimited: true}}},
	}
	s.Accelerators.Spec[0].Cost = 100
	s.Optimizer.Spec.Stability = &jsonspec.Plug{Name: "none"}
	return s
}

// cycles decides again and again, with what was remembered, and returns the last decision.
func cycles(t *testing.T, n int, system func(i int) *jsonspec.System) *decided {
	t.Helper()
	var d *decided
	var state control.State
	for i := range n {
		d = decide(t, system(i), state)
		state = d.State
	}
	return d
}

// Every observation is judged, and the plan is made with what was learned of it.
func TestPlansFollowWhatIsLearned(t *testing.T) {
	given := cycles(t, 1, func(int) *jsonspec.System { return observed(1000, 2, 22, 0) })
	slower := cycles(t, 30, func(i int) *jsonspec.System { return observed(1000+60*int64(i), 2, 30, 0) })
	if a, b := given.Plan.Allocations["s"].NumReplicas, slower.Plan.Allocations["s"].NumReplicas; b <= a {
		t.Errorf("%d replicas as given, %d after the model was seen to be slower", a, b)
	}
	j := slower.Learning
	if len(j) != 1 || !j[0].Accepted || j[0].Model != "m" || j[0].Accelerator != "A" || *j[0].ITL != 30 || *j[0].PredictedITL < 28 || *j[0].PredictedITL > 32 {
		t.Errorf("judgements %+v", j)
	}
}

// While predictions keep failing, as many replicas stay as there are, and more where requests wait.
func TestSaturationFloor(t *testing.T) {
	fixed := func(i int, itl, waiting float64) *jsonspec.System {
		s := observed(1000+60*int64(i), 12, itl, waiting)
		s.Optimizer.Spec.Estimator = &jsonspec.Plug{Name: "fixed"}
		return s
	}
	const predicted = 22.0
	trusted := cycles(t, 6, func(i int) *jsonspec.System { return fixed(i, predicted, 0) })
	need := trusted.Plan.Allocations["s"].NumReplicas
	if need >= 12 || need < 1 {
		t.Fatalf("%d replicas are needed, want fewer than there are", need)
	}
	failing := cycles(t, 6, func(i int) *jsonspec.System { return fixed(i, 4*predicted, 0) })
	if a := failing.Plan.Allocations["s"]; a.NumReplicas != 12 || !strings.Contains(a.Reason, "do not hold") {
		t.Errorf("%d replicas while predictions fail, want the 12 there are: %s", a.NumReplicas, a.Reason)
	}
	queued := cycles(t, 6, func(i int) *jsonspec.System { return fixed(i, 4*predicted, 10) })
	if n := queued.Plan.Allocations["s"].NumReplicas; n != 18 {
		t.Errorf("%d replicas while half as many wait as run, want half as many more", n)
	}
	again := cycles(t, 16, func(i int) *jsonspec.System {
		if i < 6 {
			return fixed(i, 4*predicted, 0)
		}
		return fixed(i, predicted, 0)
	})
	if n := again.Plan.Allocations["s"].NumReplicas; n >= 12 {
		t.Errorf("%d replicas after predictions hold again, want about %d", n, need)
	}
}

// A fresh pair is served carefully and a well-known one nearly as tightly as without caution.
func TestConfidence(t *testing.T) {
	replicas := func(confidence float64, n int) int {
		return cycles(t, n, func(i int) *jsonspec.System {
			s := observed(1000+60*int64(i), 2, 22, 0)
			s.Servers.Spec[0].CurrentAlloc.Load.ArrivalRate = 60000
			s.Servers.Spec[0].Observation.Groups[0].ITL.Mean = 22 + 0.2*(*s.Servers.Spec[0].Observation.Groups[0].Running-20)
			s.Optimizer.Spec.Confidence = confidence
			return s
		}).Plan.Allocations["s"].NumReplicas
	}
	fresh, freshCareful, known, knownCareful := replicas(0, 1), replicas(0.9, 1), replicas(0.5, 40), replicas(0.9, 40)
	margin := func(careful, n int) float64 { return float64(careful)/float64(n) - 1 }
	if freshCareful <= fresh || knownCareful < known || margin(knownCareful, known) > 0.6*margin(freshCareful, fresh) {
		t.Errorf("fresh: %d replicas, careful %d; known: %d, careful %d", fresh, freshCareful, known, knownCareful)
	}
}

// Probes are suggested where that is asked for, and nothing else changes.
func TestProbing(t *testing.T) {
	run := func(probing string) *decided {
		return cycles(t, 12, func(i int) *jsonspec.System {
			s := observed(1000+60*int64(i), 2, 13, 0)
			*s.Servers.Spec[0].Observation.Groups[0].Running = 1
			s.Optimizer.Spec.Probing = probing
			return s
		})
	}
	silent, asked := run(""), run(jsonspec.ProbingSuggest)
	if len(silent.Probes) != 0 || len(asked.Probes) != 1 {
		t.Fatalf("probes: %v without asking, %v with", silent.Probes, asked.Probes)
	}
	if p := asked.Probes[0]; p.Server != "s" || !(p.SDAfter < 0.7*p.SDBefore) || p.Running < 2 {
		t.Errorf("probe %+v", p)
	}
	if a, b := silent.Plan.TotalCost, asked.Plan.TotalCost; a != b {
		t.Errorf("suggesting a probe changes the cost of the plan from %v to %v", a, b)
	}
}

// The batch is twice what the KV cache holds of whole requests, as seen of the engines where the performance data do not say, and as long as nobody
// sees another.
func TestObservedCacheBoundsTheBatch(t *testing.T) {
	batch := func(given int, seen ...float64) int {
		return cycles(t, len(seen), func(i int) *jsonspec.System {
			s := observed(1000+60*int64(i), 2, 22, 0)
			s.Models.Spec[0].KVTokens = given
			s.Servers.Spec[0].Observation.Parts[0].MaxBatchSize = 0 // what pods run with would be kept
			if seen[i] > 0 {
				s.Servers.Spec[0].Observation.Groups[0].KVTokens = &seen[i]
			}
			return s
		}).Plan.Allocations["s"].MaxBatch
	}
	free := batch(0, 0)
	for _, c := range []struct{ got, want int }{
		{batch(0, 24000), 40}, {batch(0, 24000, 0), 40}, {batch(0, 24000, 12000), 20}, {batch(36000, 24000), 60}, {batch(0, 1e7), free}, {batch(0, 10), 1},
	} {
		if c.got != c.want {
			t.Errorf("max batch %d, want %d of requests of 1,200 tokens", c.got, c.want)
		}
	}
}

// A replica is sized for what its cache holds, as engines tell it, also when none of them runs any more and with every estimator; what the
// performance data say goes before.
func TestPlansKnowTheCache(t *testing.T) {
	for _, estimator := range []string{"fixed", "ekf"} {
		system := func(cache float64, given int) *jsonspec.System {
			s := observed(1000, 2, 22, 0)
			s.Optimizer.Spec.Estimator = &jsonspec.Plug{Name: estimator}
			s.Models.Spec[0].KVTokens = given
			if cache > 0 {
				s.Servers.Spec[0].Observation.Groups[0].KVTokens, s.Servers.Spec[0].Observation.Groups[0].Engines = &cache, 2
			}
			return s
		}
		plan := func(systems ...*jsonspec.System) int {
			return cycles(t, len(systems), func(i int) *jsonspec.System { return systems[i] }).Plan.Allocations["s"].NumReplicas
		}
		free, told := plan(system(0, 0)), plan(system(6000, 0))
		if told <= free {
			t.Errorf("%s: %d replicas with a cache for ten requests, %d without a limit", estimator, told, free)
		}
		if n := plan(system(6000, 0), system(0, 0)); n != told {
			t.Errorf("%s: %d replicas when the cache is told no more, %d before", estimator, n, told)
		}
		if n := plan(system(6000, 1e6)); n != free {
			t.Errorf("%s: %d replicas though a large cache was given, want %d", estimator, n, free)
		}
	}
}

// Hardware that becomes twice as slow, unannounced: no cycle takes a replica away meanwhile, and after ten the plan is that of the slower one.
func TestSlowerHardwareIsFollowed(t *testing.T) {
	system := func(i int, factor float64) *jsonspec.System {
		s := observed(1000+60*int64(i), 4, 0, 0)
		g := &s.Servers.Spec[0].Observation.Groups[0]
		s.ServiceClasses.Spec[0].ModelTargets[0].ITL = 80
		s.Models.Spec[0].MaxBatchSize = 128
		g.ITL.Mean = factor * (12 + 0.25**g.Running)
		return s
	}
	var state control.State
	plan := func(i int, factor float64) int {
		d := decide(t, system(i, factor), state)
		state = d.State
		return d.Plan.Allocations["s"].NumReplicas
	}
	fast := 0
	for i := range 60 {
		fast = plan(i, 1)
	}
	last := fast
	for i := range 10 {
		n := plan(60+i, 2)
		if n < fast {
			t.Errorf("%d cycles after the change %d replicas, fewer than the %d before", i+1, n, fast)
		}
		last = n
	}
	if float64(last) < 1.6*float64(fast) {
		t.Errorf("%d replicas ten cycles after the hardware became twice as slow, %d before", last, fast)
	}
}
