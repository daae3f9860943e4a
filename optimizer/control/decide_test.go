package control_test

import (
	"context"
	"encoding/json"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

const systems = "../../test/data/systems"

func load(t testing.TB, name string) *jsonspec.System {
	t.Helper()
	s, err := specification.Load(filepath.Join(systems, name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// With unlimited capacity the plans cost what the reference implementation finds.
func TestGoldenTotals(t *testing.T) {
	for name, want := range map[string]float64{"small": 21252, "large": 20439} {
		s := load(t, name)
		s.Optimizer.Spec.Unlimited = true
		d := decide(t, s, control.State{})
		if math.Abs(d.Plan.TotalCost/want-1) > 0.005 {
			t.Errorf("%s: total cost %v, want %v within 0.5 %%", name, d.Plan.TotalCost, want)
		}
		if len(d.Plan.Unserved) > 0 {
			t.Errorf("%s: unserved %v", name, d.Plan.Unserved)
		}
		sound(t, s, d)
	}
}

// sound checks what holds for every decision: costs add up, capacity is not exceeded, targets are met where the plan says so, every server is
// allocated or unserved with a reason.
func sound(t *testing.T, s *jsonspec.System, d *decided) {
	t.Helper()
	accelerators := map[string]jsonspec.AcceleratorEntry{}
	for _, a := range s.Accelerators.Spec {
		accelerators[a.Name] = a
	}
	perReplica := map[[3]string]int{}
	for _, m := range s.Models.Spec {
		perReplica[[3]string{m.Name, m.Acc, m.Way()}] = max(m.AccCount, 1)
	}
	left := map[string]int{}
	for _, c := range s.Capacity.Count {
		left[c.Type] = c.Count
	}
	unserved := map[string]bool{}
	for _, u := range d.Plan.Unserved {
		if u.Reason == "" {
			t.Errorf("%s is unserved without a reason", u.Server)
		}
		unserved[u.Server] = true
	}
	sum := 0.0
	for _, e := range s.Servers.Spec {
		a, ok := d.Plan.Allocations[e.Name]
		if !ok {
			if !unserved[e.Name] {
				t.Errorf("%s was dropped", e.Name)
			}
			continue
		}
		sum += a.Cost
		if a.NumReplicas < 0 || (a.Accelerator == "") != (a.NumReplicas == 0) {
			t.Errorf("%s: %d replicas on %q", e.Name, a.NumReplicas, a.Accelerator)
		}
		if a.Accelerator == "" {
			continue
		}
		parts := a.Parts
		if len(parts) == 0 {
			parts = []jsonspec.AllocationPart{{Accelerator: a.Accelerator, Variant: a.Variant, Replicas: a.NumReplicas, Share: 1}}
		}
		cost, replicas, share := 0.0, 0, 0.0
		for _, p := range parts {
			acc := accelerators[p.Accelerator]
			accs := perReplica[[3]string{e.Model, p.Accelerator, p.Variant}]
			cost += float64(p.Replicas*accs) * acc.Cost
			replicas += p.Replicas
			if p.Role != jsonspec.RolePrefill { // each role gets all requests
				share += p.Share
			}
			left[acc.Type] -= p.Replicas * accs * max(acc.Multiplicity, 1)
		}
		if math.Abs(a.Cost-cost) > 1e-6 || replicas != a.NumReplicas || math.Abs(share-1) > 1e-9 {
			t.Errorf("%s: cost %v, want %v; parts %+v of %d replicas", e.Name, a.Cost, cost, parts, a.NumReplicas)
		}
		if target := targetOf(s, e); !a.BestEffort && !unserved[e.Name] {
			if a.ITLAverage > target.ITL*1.0001 || (target.TTFT > 0 && a.TTFTAverage > target.TTFT*1.0001) {
				t.Errorf("%s: ITL %v and TTFT %v ms miss the targets %v", e.Name, a.ITLAverage, a.TTFTAverage, target)
			}
		}
	}
	if math.Abs(sum-d.Plan.TotalCost) > 1e-6 {
		t.Errorf("total cost %v, but allocations cost %v", d.Plan.TotalCost, sum)
	}
	for typ, n := range left {
		if n < 0 && !s.Optimizer.Spec.Unlimited {
			t.Errorf("%d more cards of type %s are planned than there are", -n, typ)
		}
	}
}

func targetOf(s *jsonspec.System, e jsonspec.ServerEntry) jsonspec.ModelTarget {
	for _, c := range s.ServiceClasses.Spec {
		for _, m := range c.ModelTargets {
			if c.Name == e.Class && m.Model == e.Model {
				return m
			}
		}
	}
	return jsonspec.ModelTarget{}
}

func TestLimitedCapacityIsNeverExceeded(t *testing.T) {
	policies := []string{jsonspec.SaturationNone, jsonspec.SaturationPriorityExhaustive, jsonspec.SaturationPriorityRoundRobin, jsonspec.SaturationRoundRobin}
	for _, name := range []string{"small", "large"} {
		for _, factor := range []float64{1, 0.3, 0} {
			for _, policy := range policies {
				s := load(t, name)
				s.Optimizer.Spec.SaturationPolicy = policy
				for i := range s.Capacity.Count {
					s.Capacity.Count[i].Count = int(factor * float64(s.Capacity.Count[i].Count))
				}
				sound(t, s, decide(t, s, control.State{}))
			}
		}
	}
}

// The same question has the same answer, byte for byte, whatever the order in which it is put.
func TestDeterministic(t *testing.T) {
	s := load(t, "large")
	for i := range s.Capacity.Count {
		s.Capacity.Count[i].Count /= 3
	}
	first := written(t, decide(t, s, control.State{}))
	for range 5 {
		if again := written(t, decide(t, s, control.State{})); again != first {
			t.Fatal("two runs differ: " + cmp.Diff(first, again))
		}
	}
	reverse(s.Servers.Spec)
	reverse(s.Accelerators.Spec)
	reverse(s.Models.Spec)
	if diff := cmp.Diff(first, written(t, decide(t, s, control.State{}))); diff != "" {
		t.Error("the order of the input matters: " + diff)
	}
}

func reverse[T any](list []T) {
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
}

func TestInputIsUnchanged(t *testing.T) {
	s := load(t, "small")
	s.Servers.Spec[0].DesiredAlloc = &jsonspec.Allocation{Accelerator: "G2", NumReplicas: 7, MaxBatch: 38}
	before := s.DeepCopy()
	decide(t, s, control.State{})
	if diff := cmp.Diff(before, s); diff != "" {
		t.Error(diff)
	}
}

// one is a system of one server with the given changes.
func one(t *testing.T, change func(*jsonspec.System, *jsonspec.ServerEntry)) *jsonspec.System {
	s := load(t, "small")
	s.Servers.Spec = s.Servers.Spec[:1]
	change(s, &s.Servers.Spec[0])
	return s
}

// A server's own trouble is told as its reason and harms no other.
func TestVerdicts(t *testing.T) {
	inForce := &jsonspec.Allocation{Accelerator: "G2", NumReplicas: 7, MaxBatch: 38, Cost: 161}
	for _, c := range []struct {
		name     string
		change   func(*jsonspec.System, *jsonspec.ServerEntry)
		reason   string
		message  string
		planned  bool
		replicas int // -1 for no allocation
	}{
		{"planned", func(*jsonspec.System, *jsonspec.ServerEntry) {}, v1alpha1.ReasonPlanned, "is the cheapest of", true, 3},
		{"unknown model", func(_ *jsonspec.System, e *jsonspec.ServerEntry) { e.Model = "gpt-9" }, v1alpha1.ReasonUnknownModel, `model "gpt-9" does not exist, known are granite_13b,`, false, -1},
		{"unknown class", func(_ *jsonspec.System, e *jsonspec.ServerEntry) { e.Class = "Gold" }, v1alpha1.ReasonUnknownServiceClass, `"Gold" does not exist, known are Bronze, Free, Premium`, false, -1},
		{"no target", func(s *jsonspec.System, e *jsonspec.ServerEntry) { s.ServiceClasses.Spec[0].ModelTargets = nil }, v1alpha1.ReasonNoTarget, "has no targets for model", false, -1},
		{"no performance data", func(s *jsonspec.System, e *jsonspec.ServerEntry) {
			s.Models.Spec, s.Models.Info = nil, []jsonspec.ModelInfo{{Name: e.Model}}
		}, v1alpha1.ReasonInfeasible, "has no performance data", false, -1},
		{"targets that nothing meets", func(s *jsonspec.System, _ *jsonspec.ServerEntry) { s.ServiceClasses.Spec[0].ModelTargets[0].ITL = 0.5 }, v1alpha1.ReasonInfeasible, "ITL: target 0.5 ms", false, -1},
		{"targets that nothing meets, plan in force", func(s *jsonspec.System, e *jsonspec.ServerEntry) {
			s.ServiceClasses.Spec[0].ModelTargets[0].ITL = 0.5
			e.DesiredAlloc = inForce
		}, v1alpha1.ReasonInfeasible, "the last plan stands", false, 7},
		{"pinned to a type that cannot serve", func(_ *jsonspec.System, e *jsonspec.ServerEntry) {
			e.KeepAccelerator, e.DesiredAlloc = true, &jsonspec.Allocation{Accelerator: "abacus", NumReplicas: 1}
		}, v1alpha1.ReasonInfeasible, "keepAccelerator holds the server on abacus", false, 1},
		{"no capacity", func(s *jsonspec.System, _ *jsonspec.ServerEntry) { s.Capacity.Count = nil }, v1alpha1.ReasonNoCapacity, "needs", false, -1},
		{"too many replicas needed", func(_ *jsonspec.System, e *jsonspec.ServerEntry) { e.MaxNumReplicas = 1 }, v1alpha1.ReasonBestEffort, "maxNumReplicas is 1", false, 1},
		{"load unknown, plan in force", func(_ *jsonspec.System, e *jsonspec.ServerEntry) { e.CurrentAlloc, e.DesiredAlloc = nil, inForce }, v1alpha1.ReasonNoMetrics, "the last plan stands", false, 7},
		{"load unknown, no plan", func(_ *jsonspec.System, e *jsonspec.ServerEntry) { e.CurrentAlloc = nil }, v1alpha1.ReasonPlanned, "no load observed yet", true, 1},
		{"Prometheus away", func(_ *jsonspec.System, e *jsonspec.ServerEntry) {
			e.DesiredAlloc, e.Observation = inForce, &jsonspec.Observation{Fault: v1alpha1.ReasonPrometheusUnreachable, Detail: "connection refused"}
		}, v1alpha1.ReasonPrometheusUnreachable, "connection refused", false, 7},
		{"lengths unknown", func(_ *jsonspec.System, e *jsonspec.ServerEntry) {
			e.DesiredAlloc, e.CurrentAlloc.Load.AvgOutTokens = inForce, 0
		}, v1alpha1.ReasonNoMetrics, "their length is not known", false, 7},
		{"a load that cannot be", func(_ *jsonspec.System, e *jsonspec.ServerEntry) {
			e.DesiredAlloc, e.CurrentAlloc.Load.ArrivalRate = inForce, 1e20
		}, v1alpha1.ReasonNoMetrics, "1e+20 requests per minute are no arrival rate", false, 7},
		{"a load that cannot be, no plan", func(_ *jsonspec.System, e *jsonspec.ServerEntry) {
			e.CurrentAlloc.Load.ArrivalRate = math.NaN()
		}, v1alpha1.ReasonPlanned, "no load observed yet", true, 1},
		{"no load, may be scaled to zero", func(_ *jsonspec.System, e *jsonspec.ServerEntry) { e.CurrentAlloc.Load.ArrivalRate = 0 }, v1alpha1.ReasonPlanned, "scaled to zero", true, 0},
		{"no load, at least two", func(_ *jsonspec.System, e *jsonspec.ServerEntry) {
			e.CurrentAlloc.Load.ArrivalRate, e.MinNumReplicas = 0, 2
		}, v1alpha1.ReasonPlanned, "2 ×", true, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := one(t, c.change)
			name := s.Servers.Spec[0].Name
			// Another server, untouched, is planned all the same.
			other := load(t, "small").Servers.Spec[7]
			s.Servers.Spec = append(s.Servers.Spec, other)
			d := decide(t, s, control.State{})
			v := d.Verdicts[name]
			if v.Reason != c.reason || v.Planned != c.planned || !strings.Contains(v.Message, c.message) {
				t.Errorf("verdict %+v, want planned %t, reason %s, message with %q", v, c.planned, c.reason, c.message)
			}
			replicas := -1
			if a, ok := d.Plan.Allocations[name]; ok {
				replicas = a.NumReplicas
			}
			if replicas != c.replicas {
				t.Errorf("%d replicas, want %d", replicas, c.replicas)
			}
			if s.Capacity.Count != nil && len(s.Models.Spec) > 0 && !d.Verdicts[other.Name].Planned {
				t.Errorf("the other server suffers: %+v", d.Verdicts[other.Name])
			}
			sound(t, s, d)
		})
	}
}

// What a held plan uses is not there for others.
func TestHeldPlansKeepTheirCapacity(t *testing.T) {
	s := load(t, "small")
	s.Servers.Spec = s.Servers.Spec[:2]
	s.Servers.Spec[1].CurrentAlloc = nil
	s.Servers.Spec[1].DesiredAlloc = &jsonspec.Allocation{Accelerator: "4xA100", NumReplicas: 2, Cost: 320}
	s.Optimizer.Spec.SaturationPolicy = jsonspec.SaturationNone
	s.Capacity.Count = []jsonspec.AcceleratorCount{{Type: "A100", Count: 9}}
	d := decide(t, s, control.State{})
	if a, ok := d.Plan.Allocations[s.Servers.Spec[0].Name]; ok && a.NumReplicas > 1 {
		t.Errorf("%+v uses cards that the held plan has", a)
	}
	if a := d.Plan.Allocations[s.Servers.Spec[1].Name]; a.NumReplicas != 2 || !strings.HasPrefix(a.Reason, "held: ") {
		t.Errorf("held plan became %+v", a)
	}
}

func TestKeepAccelerator(t *testing.T) {
	s := one(t, func(_ *jsonspec.System, e *jsonspec.ServerEntry) {
		e.KeepAccelerator = true
		e.DesiredAlloc = &jsonspec.Allocation{Accelerator: "A100", NumReplicas: 1}
	})
	d := decide(t, s, control.State{})
	if a := d.Plan.Allocations[s.Servers.Spec[0].Name]; a.Accelerator != "A100" {
		t.Errorf("the server was moved to %s", a.Accelerator)
	}
	for _, c := range d.Candidates {
		if c.Accelerator != "A100" && (c.Feasible || !strings.Contains(c.Reason, "keepAccelerator")) {
			t.Errorf("candidate %+v", c)
		}
	}
}

// An engine refuses a batch above its token budget, so none is ever planned; and a batch close to the one in force stays.
func TestBatchSize(t *testing.T) {
	s := one(t, func(_ *jsonspec.System, e *jsonspec.ServerEntry) { e.MaxBatchedTokens = 16 })
	for _, c := range decide(t, s, control.State{}).Candidates {
		if c.MaxBatch > 16 {
			t.Errorf("batch %d on %s above the token budget 16", c.MaxBatch, c.Accelerator)
		}
	}
	for last, want := range map[int]int{30: 30, 45: 45, 20: 38, 60: 38} {
		s := one(t, func(_ *jsonspec.System, e *jsonspec.ServerEntry) {
			e.DesiredAlloc = &jsonspec.Allocation{Accelerator: "G2", NumReplicas: 3, MaxBatch: last}
		})
		for _, c := range decide(t, s, control.State{}).Candidates {
			if c.Accelerator == "G2" && c.MaxBatch != want {
				t.Errorf("batch in force %d: planned %d, want %d", last, c.MaxBatch, want)
			}
		}
	}
}

func TestPlugsAreChecked(t *testing.T) {
	s := load(t, "small")
	s.Optimizer.Spec.Solver = &jsonspec.Plug{Name: "oracle"}
	s.Optimizer.Spec.Forecaster = &jsonspec.Plug{Name: "crystal-ball"}
	_, err := control.NewStages(&s.Optimizer.Spec)
	for _, want := range []string{`solver: unknown name "oracle", allowed are`, `forecaster: unknown name "crystal-ball"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// The state survives being written and read: a decision from either is the same.
func TestStateSurvivesJSON(t *testing.T) {
	s := load(t, "small")
	first := decide(t, s, control.State{})
	for i := range s.Servers.Spec {
		e := &s.Servers.Spec[i]
		a := first.Plan.Allocations[e.Name]
		e.DesiredAlloc = &a
		e.CurrentAlloc.Load.ArrivalRate /= 3
	}
	data, err := json.Marshal(first.State)
	if err != nil {
		t.Fatal(err)
	}
	var read control.State
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(written(t, decide(t, s, first.State)), written(t, decide(t, s, read))); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkDecideLarge(b *testing.B) {
	s := load(b, "large")
	st := stages(b, s)
	snap := (&specification.Snapshot{System: *s}).Core()
	for b.Loop() {
		if _, err := st.Decide(context.Background(), snap, control.State{}, nil); err != nil {
			b.Fatal(err)
		}
	}
}
