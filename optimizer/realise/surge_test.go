package realise

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement"
)

// roomy is a fleet of one type of card with so many that no plan takes; a replica takes one.
func roomy(cards int) *fleet {
	return &fleet{spare: map[string]*placement.Stock{"T": placement.NewStock(cards)}, of: func(string, string) (string, string, int) { return "T", "", 1 }}
}

// surged is a plan with the surge that it gets in a fleet.
func surged(f *fleet, plan []jsonspec.AllocationPart, current []jsonspec.ObservedPart) ([]jsonspec.AllocationPart, int) {
	surge, _ := f.surges("s", plan, current)
	return withSurge(plan, surge, current)
}

// Pods that fail where the plan has left are surplus, so that a ReplicaSet makes others elsewhere; where the plan is they are its own.
func TestFailingPodsAreReplaced(t *testing.T) {
	failing := []jsonspec.ObservedPart{{Accelerator: "A", Starting: 3, Failing: 3}}
	if parts, total := surged(roomy(9), plan("B", 2), failing); total != 3 || parts[0].Surge != 0 {
		t.Errorf("surge %d, %+v", total, parts)
	}
	if _, total := surged(roomy(9), plan("A", 2), failing); total != 0 {
		t.Errorf("surge %d where the plan is", total)
	}
	if _, total := surged(roomy(9), plan("B", 2), append(failing, jsonspec.ObservedPart{Accelerator: "B", Ready: 2})); total != 0 {
		t.Errorf("surge %d once the plan is realised", total)
	}
}

func plan(accelerator string, replicas int) []jsonspec.AllocationPart {
	return []jsonspec.AllocationPart{{Accelerator: accelerator, Replicas: replicas}}
}

func on(accelerator string, ready, starting int) jsonspec.ObservedPart {
	return jsonspec.ObservedPart{Accelerator: accelerator, Ready: ready, Starting: starting}
}

func TestSurge(t *testing.T) {
	for _, c := range []struct {
		name    string
		plan    []jsonspec.AllocationPart
		current []jsonspec.ObservedPart
		want    int
	}{
		{"nothing runs yet", plan("A", 3), nil, 0},
		{"as planned", plan("A", 3), []jsonspec.ObservedPart{on("A", 3, 0)}, 0},
		{"scale out on the same accelerator", plan("A", 5), []jsonspec.ObservedPart{on("A", 3, 0)}, 0},
		{"scale in on the same accelerator", plan("A", 2), []jsonspec.ObservedPart{on("A", 3, 0)}, 0},
		{"moving: the old ones stay", plan("B", 2), []jsonspec.ObservedPart{on("A", 3, 0)}, 3},
		{"moving: new ones start", plan("B", 2), []jsonspec.ObservedPart{on("A", 3, 0), on("B", 0, 2)}, 3},
		{"moving: one of two is ready", plan("B", 2), []jsonspec.ObservedPart{on("A", 3, 0), on("B", 1, 1)}, 3},
		{"moved: the old ones go", plan("B", 2), []jsonspec.ObservedPart{on("A", 3, 0), on("B", 2, 0)}, 0},
		{"scaled to zero", nil, []jsonspec.ObservedPart{on("A", 3, 0)}, 0},
		{"shifting between two", []jsonspec.AllocationPart{{Accelerator: "A", Replicas: 1}, {Accelerator: "B", Replicas: 2}}, []jsonspec.ObservedPart{on("A", 3, 0)}, 2},
		{"limits that the plan does not say", plan("A", 4), []jsonspec.ObservedPart{on("A", 2, 0), {Accelerator: "A", Ready: 2, MaxBatchSize: 7}}, 0},
	} {
		_, got := surged(roomy(100), c.plan, c.current)
		if got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func with(batch, ready, starting int) jsonspec.ObservedPart {
	return jsonspec.ObservedPart{Accelerator: "A", Ready: ready, Starting: starting, MaxBatchSize: batch}
}

func TestRenewal(t *testing.T) {
	part := jsonspec.AllocationPart{Accelerator: "A", Replicas: 5, MaxBatchSize: 64}
	for _, c := range []struct {
		name    string
		current []jsonspec.ObservedPart
		room    int
		want    int
	}{
		{"as planned", []jsonspec.ObservedPart{with(64, 5, 0)}, 9, 0},
		{"limits nobody knows are no difference", []jsonspec.ObservedPart{with(0, 5, 0)}, 9, 0},
		{"a wave begins", []jsonspec.ObservedPart{with(32, 5, 0)}, 9, 2},
		{"as far as there is room", []jsonspec.ObservedPart{with(32, 5, 0)}, 1, 1},
		{"or not at all", []jsonspec.ObservedPart{with(32, 5, 0)}, 0, 0},
		{"plans that take more than there is leave no room", []jsonspec.ObservedPart{with(32, 5, 0)}, -3, 0},
		{"its pods wait for a node", []jsonspec.ObservedPart{with(32, 5, 0), {Starting: 2}}, 9, 2},
		{"they start", []jsonspec.ObservedPart{with(32, 5, 0), with(64, 0, 2)}, 0, 2},
		{"one is ready", []jsonspec.ObservedPart{with(32, 5, 0), with(64, 1, 1)}, 0, 2},
		{"all are: old ones go", []jsonspec.ObservedPart{with(32, 5, 0), with(64, 2, 0)}, 9, 0},
		{"the next wave", []jsonspec.ObservedPart{with(32, 3, 0), with(64, 2, 0)}, 9, 2},
		{"the last one", []jsonspec.ObservedPart{with(32, 1, 0), with(64, 4, 0)}, 9, 1},
		{"scaling out needs no surge", []jsonspec.ObservedPart{with(32, 3, 0), with(64, 0, 2)}, 9, 0},
		{"scaling in is not held up by more than a wave", []jsonspec.ObservedPart{with(32, 11, 0), with(64, 0, 1)}, 9, 2},
		{"other accelerators are another matter", []jsonspec.ObservedPart{with(64, 5, 0), {Accelerator: "B", Ready: 3, MaxBatchSize: 1}}, 9, 0},
	} {
		if got := renewal(part, c.current, func(most int) int { return max(min(most, c.room), 0) }); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// Waves of renewal end with every replica renewed, and ready replicas never fall below the plan's, whatever the size, however late the
// autoscaler and the pods are, and whether or not the last pods of a move are still there. The cluster is a model: one card a replica, pods of the
// lowest deletion cost go first.
func TestRenewalConverges(t *testing.T) {
	for i, replicas := range []int{1, 2, 3, 7, 40, 1, 2, 3, 7, 40} {
		for lag := range 3 {
			elsewhere := i / 5 * (lag + 1)
			t.Run(fmt.Sprintf("%d replicas, lag %d, %d elsewhere", replicas, lag, elsewhere), func(t *testing.T) {
				part := jsonspec.AllocationPart{Accelerator: "A", Replicas: replicas, MaxBatchSize: 64}
				old, fresh, asked := replicas, 0, replicas+elsewhere
				var starting []int // turns until ready
				for turn := range 1000 {
					current := []jsonspec.ObservedPart{with(32, old, 0), with(64, fresh, len(starting)), on("B", elsewhere, 0)}
					parts, surge := surged(roomy(2), []jsonspec.AllocationPart{part}, current)
					if parts[0].Surge != surge || surge > 2 {
						t.Fatalf("surge %d in all, parts %+v", surge, parts)
					}
					if turn%(lag+1) == 0 {
						asked = replicas + surge
					}
					for n := elsewhere + old + fresh + len(starting); n < asked; n++ {
						starting = append(starting, lag)
					}
					for n := elsewhere + old + fresh + len(starting); n > asked; n-- {
						switch {
						case len(starting) > 0:
							starting = starting[1:]
						case elsewhere > 0:
							elsewhere--
						case old > 0:
							old--
						default:
							fresh--
						}
					}
					if old+fresh < replicas {
						t.Fatalf("turn %d: %d ready of %d", turn, old+fresh, replicas)
					}
					if old == 0 && fresh == replicas && elsewhere == 0 && surge == 0 {
						return
					}
					var still []int
					for _, left := range starting {
						if left == 0 {
							fresh++
						} else {
							still = append(still, left-1)
						}
					}
					starting = still
				}
				t.Errorf("after 1000 turns %d of %d are renewed", fresh, replicas)
			})
		}
	}
}

// Pods that a move leaves behind go before a wave of renewal begins. Were it to begin with them there, the number of pods would be what it asks
// for: none would start and none go, for ever.
func TestMovedPodsGoBeforeRenewal(t *testing.T) {
	part := []jsonspec.AllocationPart{{Accelerator: "A", Replicas: 3, MaxBatchSize: 64}}
	elsewhere := jsonspec.ObservedPart{Accelerator: "B", Ready: 1}
	for _, c := range []struct {
		name    string
		current []jsonspec.ObservedPart
		want    int
	}{
		{"the last one elsewhere", []jsonspec.ObservedPart{with(32, 3, 0), elsewhere}, 0},
		{"one that starts elsewhere", []jsonspec.ObservedPart{with(32, 3, 0), {Accelerator: "B", Starting: 1}}, 0},
		{"one on a node of nobody knows what", []jsonspec.ObservedPart{with(32, 3, 0), {Ready: 1}}, 0},
		{"it is gone", []jsonspec.ObservedPart{with(32, 3, 0)}, 1},
		{"a new one waits for its node", []jsonspec.ObservedPart{with(32, 3, 0), {Starting: 1}}, 1},
		{"a new one starts", []jsonspec.ObservedPart{with(32, 3, 0), with(64, 0, 1)}, 1},
		{"the move has not ended", []jsonspec.ObservedPart{with(32, 2, 1), elsewhere}, 1},
	} {
		s := roomy(5)
		if _, got := surged(s, part, c.current); got != c.want {
			t.Errorf("%s: surge %d, want %d", c.name, got, c.want)
		}
		if taken := 5 - s.spare["T"].Left(); c.want == 0 && taken != 0 {
			t.Errorf("%s: %d cards are taken for no surge", c.name, taken)
		}
	}
}

// Surges of several servers never add up to more than what is spare.
func TestRenewalsShareWhatIsSpare(t *testing.T) {
	s := roomy(3)
	part := []jsonspec.AllocationPart{{Accelerator: "A", Replicas: 8, MaxBatchSize: 64}}
	for i, want := range []int{2, 1, 0} {
		if _, got := surged(s, part, []jsonspec.ObservedPart{with(32, 8, 0)}); got != want {
			t.Errorf("server %d: surge %d, want %d", i, got, want)
		}
	}
}

// A surge is told by accelerator, so that workloads of their own keep their pods until others are ready.
func TestSurgeByAccelerator(t *testing.T) {
	parts, total := surged(roomy(0), plan("B", 2), []jsonspec.ObservedPart{on("A", 3, 0), on("B", 1, 1), on("", 1, 0)})
	want := []jsonspec.AllocationPart{{Accelerator: "B", Replicas: 2}, {Accelerator: "A", Surge: 3}}
	if diff := cmp.Diff(want, parts); diff != "" || total != 4 {
		t.Error(total, diff)
	}
}

// On each accelerator those with other limits than the plan's go first, however old, then the youngest.
func TestOverQuota(t *testing.T) {
	started := func(accelerator string, batch int) jsonspec.ObservedPart {
		return jsonspec.ObservedPart{Accelerator: accelerator, MaxBatchSize: batch}
	}
	pods := []Pod{
		{Name: "old", Created: 2, Started: started("A", 32)}, {Name: "new", Created: 9, Started: started("A", 64)},
		{Name: "older", Created: 1, Started: started("A", 32)}, {Name: "unknown", Created: 5, Started: started("A", 0)},
		{Name: "elsewhere", Created: 1, Started: started("B", 64)}, {Name: "twin-b", Created: 3, Started: started("C", 1)}, {Name: "twin-a", Created: 3, Started: started("C", 1)},
	}
	var names []string
	for _, i := range OverQuota([]jsonspec.AllocationPart{{Accelerator: "A", Replicas: 2, Surge: 1, MaxBatchSize: 64}, {Accelerator: "C", Replicas: 1}}, pods) {
		names = append(names, pods[i].Name)
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"elsewhere", "old", "older", "twin-b"}, names); diff != "" {
		t.Error(diff)
	}
}

// Of pods with the plan's limits those go that lose the least, and stay those that go until another would lose much less.
func TestTheIdleGoFirst(t *testing.T) {
	pods := func() []Pod {
		return []Pod{
			{Name: "busy", Created: 9, Requests: 8}, {Name: "idle", Created: 1, Warmth: 0.2}, {Name: "idle, and warm", Created: 1, Warmth: 0.6}, {Name: "busier", Created: 9, Requests: 20},
		}
	}
	outdated := Pod{Name: "outdated", Requests: 50, Started: jsonspec.ObservedPart{MaxBatchSize: 8}}
	for _, tt := range []struct {
		name   string
		plan   int
		change func([]Pod) []Pod
		want   []string
	}{
		{"one", 3, nil, []string{"idle"}},
		{"two", 2, nil, []string{"idle", "idle, and warm"}},
		{"three", 1, nil, []string{"busy", "idle", "idle, and warm"}},
		{"other limits before all", 4, func(p []Pod) []Pod { return append(p, outdated) }, []string{"outdated"}},
		{"it got a few requests, and stays the one that goes", 3, func(p []Pod) []Pod {
			p[3].Going, p[0].Requests, p[1].Requests, p[2].Requests, p[3].Requests = true, 8, 5, 5, 8
			return p
		}, []string{"busier"}},
		{"it got many more", 3, func(p []Pod) []Pod { p[1].Going, p[1].Requests = true, 3; return p }, []string{"idle, and warm"}},
	} {
		list := pods()
		if tt.change != nil {
			list = tt.change(list)
		}
		var names []string
		for _, i := range OverQuota([]jsonspec.AllocationPart{{Replicas: tt.plan, MaxBatchSize: 64}}, list) {
			names = append(names, list[i].Name)
		}
		slices.Sort(names)
		if diff := cmp.Diff(tt.want, names); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// Servers that wait for each other's cards do not wait for ever where one of them matters less: after a pod start its pod makes way. What is as
// important, or has not waited for long, takes nobody's place.
func TestPodsMakeWay(t *testing.T) {
	observed := func(parts ...jsonspec.ObservedPart) *jsonspec.Observation { return &jsonspec.Observation{Parts: parts} }
	plans := func(low int, waits bool) map[string]*v1alpha1.DesiredState {
		s := &jsonspec.System{
			Accelerators: jsonspec.AcceleratorData{Spec: []jsonspec.AcceleratorEntry{{Name: "A"}, {Name: "B"}}},
			Models:       jsonspec.ModelData{Spec: []jsonspec.PerformanceEntry{{Name: "m", Performance: jsonspec.Performance{Acc: "A"}}, {Name: "m", Performance: jsonspec.Performance{Acc: "B"}}}},
			ServiceClasses: jsonspec.ServiceClassData{Spec: []jsonspec.ServiceClassEntry{
				{Name: "high", ServiceClassSpec: jsonspec.ServiceClassSpec{Priority: 1}}, {Name: "low", ServiceClassSpec: jsonspec.ServiceClassSpec{Priority: low}},
			}},
			// Each runs on what the other is to have, and there is no other card.
			Servers: jsonspec.ServerData{Spec: []jsonspec.ServerEntry{
				{Name: "first", Model: "m", Class: "high", Observation: observed(on("A", 1, 0), on("", 0, 1))},
				{Name: "second", Model: "m", Class: "low", Observation: observed(on("B", 1, 0), on("", 0, 1))},
			}},
			Capacity: jsonspec.CapacityData{Count: []jsonspec.AcceleratorCount{{Type: "A", Count: 1}, {Type: "B", Count: 1}}},
		}
		return Plans(s, map[string]jsonspec.Allocation{"first": {Accelerator: "B", NumReplicas: 1}, "second": {Accelerator: "A", NumReplicas: 1}},
			map[string]bool{"first": waits, "second": waits})
	}
	desired := func(accelerator, other string, surge, replicas int) *v1alpha1.DesiredState {
		d := &v1alpha1.DesiredState{Replicas: replicas, Surge: surge, Parts: plan(accelerator, 1)}
		if surge > 0 {
			d.Parts = append(d.Parts, jsonspec.AllocationPart{Accelerator: other, Surge: surge})
		}
		return d
	}
	stay := map[string]*v1alpha1.DesiredState{"first": desired("B", "A", 1, 2), "second": desired("A", "B", 1, 2)}
	way := map[string]*v1alpha1.DesiredState{"first": stay["first"], "second": desired("A", "B", 0, 0)}
	for _, c := range []struct {
		name  string
		low   int
		waits bool
		want  map[string]*v1alpha1.DesiredState
	}{
		{"has waited for long", 2, true, way},
		{"has just begun to wait", 2, false, stay},
		{"is as important", 1, true, stay},
	} {
		if diff := cmp.Diff(c.want, plans(c.low, c.waits)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// A server that holds all cards of what it moves to another variant on makes way for itself, by waves.
func TestPodsMakeWayForTheirOwn(t *testing.T) {
	for _, c := range []struct {
		name  string
		parts []jsonspec.ObservedPart
		waits bool
		stay  int
	}{
		{"has just begun to wait", []jsonspec.ObservedPart{{Accelerator: "A", Ready: 8}, {Starting: 6}}, false, 8},
		{"has waited", []jsonspec.ObservedPart{{Accelerator: "A", Ready: 8}, {Starting: 6}}, true, 6},
		{"two of the others start", []jsonspec.ObservedPart{{Accelerator: "A", Ready: 6}, {Accelerator: "A", Variant: "d", Starting: 2}, {Starting: 4}}, true, 6},
		{"two are ready", []jsonspec.ObservedPart{{Accelerator: "A", Ready: 6}, {Accelerator: "A", Variant: "d", Ready: 2}, {Starting: 4}}, true, 4},
		{"there is room", []jsonspec.ObservedPart{{Accelerator: "A", Ready: 2}, {Starting: 6}}, true, 2},
	} {
		s := &jsonspec.System{
			Accelerators: jsonspec.AcceleratorData{Spec: []jsonspec.AcceleratorEntry{{Name: "A"}}},
			Models: jsonspec.ModelData{Spec: []jsonspec.PerformanceEntry{
				{Name: "m", Performance: jsonspec.Performance{Acc: "A"}}, {Name: "m", Performance: jsonspec.Performance{Acc: "A", Variant: "d"}},
			}},
			Servers:  jsonspec.ServerData{Spec: []jsonspec.ServerEntry{{Name: "s", Model: "m", Observation: &jsonspec.Observation{Parts: c.parts}}}},
			Capacity: jsonspec.CapacityData{Count: []jsonspec.AcceleratorCount{{Type: "A", Count: 8}}},
		}
		d := Plans(s, map[string]jsonspec.Allocation{"s": {Accelerator: "A", Variant: "d", NumReplicas: 6}}, map[string]bool{"s": c.waits})["s"]
		if d.Surge != c.stay {
			t.Errorf("%s: %d stay, want %d: %+v", c.name, d.Surge, c.stay, d)
		}
	}
}

// Nobody makes way for pods that cannot use the cards: those of a node that is none of theirs, or that takes no pods. Where it is not known where the
// pods are that would go, they stay.
func TestPodsMakeWayForWhoCanUseTheirCards(t *testing.T) {
	type scopes = map[string][]string
	observed := func(where scopes, parts ...jsonspec.ObservedPart) *jsonspec.Observation {
		return &jsonspec.Observation{Parts: parts, Scopes: where}
	}
	for _, c := range []struct {
		name  string
		scope string // of those that wait
		nodes scopes // of those that would go
		want  int    // that stay
	}{
		{"all of them are where the others can be", "zone a", scopes{"B": {"zone a", "spot"}}, 0},
		{"some are elsewhere", "zone a", scopes{"B": {"spot"}}, 2},
		{"some are on a cordoned node", "zone a", scopes{}, 2},
		{"nobody knows where they are", "zone a", nil, 2},
		{"the others can be anywhere", "", scopes{"B": nil}, 0},
		{"anywhere, but for a cordoned node", "", scopes{}, 2},
	} {
		s := &jsonspec.System{
			Accelerators: jsonspec.AcceleratorData{Spec: []jsonspec.AcceleratorEntry{{Name: "A"}, {Name: "B"}}},
			Models:       jsonspec.ModelData{Spec: []jsonspec.PerformanceEntry{{Name: "m", Performance: jsonspec.Performance{Acc: "A"}}, {Name: "m", Performance: jsonspec.Performance{Acc: "B"}}}},
			ServiceClasses: jsonspec.ServiceClassData{Spec: []jsonspec.ServiceClassEntry{
				{Name: "high", ServiceClassSpec: jsonspec.ServiceClassSpec{Priority: 1}}, {Name: "low", ServiceClassSpec: jsonspec.ServiceClassSpec{Priority: 2}},
			}},
			Servers: jsonspec.ServerData{Spec: []jsonspec.ServerEntry{
				{Name: "first", Model: "m", Class: "high", Scopes: map[string]string{"B": c.scope}, Observation: observed(nil, on("A", 2, 0), on("", 0, 2))},
				{Name: "second", Model: "m", Class: "low", Observation: observed(c.nodes, on("B", 2, 0), on("", 0, 2))},
			}},
			Capacity: jsonspec.CapacityData{Nodes: []jsonspec.NodeCapacity{
				{Name: "a", Type: "A", Free: 2}, {Name: "b", Type: "B", Free: 2, Scopes: []string{"zone a", "spot"}}, {Name: "c", Type: "B", Scopes: []string{"spot"}},
			}},
		}
		plans := Plans(s, map[string]jsonspec.Allocation{"first": {Accelerator: "B", NumReplicas: 2}, "second": {Accelerator: "A", NumReplicas: 2}},
			map[string]bool{"first": true, "second": true})
		if got := plans["second"].Surge; got != c.want {
			t.Errorf("%s: %d pods stay, want %d", c.name, got, c.want)
		}
	}
}

// A wave takes what no plan takes, node by node: two free cards on two nodes are no place for a replica of two.
func TestWavesKeepToNodes(t *testing.T) {
	plans := func(free ...int) int {
		s := &jsonspec.System{
			Accelerators: jsonspec.AcceleratorData{Spec: []jsonspec.AcceleratorEntry{{Name: "A"}}},
			Models:       jsonspec.ModelData{Spec: []jsonspec.PerformanceEntry{{Name: "m", Performance: jsonspec.Performance{Acc: "A", AccCount: 2}}}},
			Servers:      jsonspec.ServerData{Spec: []jsonspec.ServerEntry{{Name: "s", Model: "m", Observation: &jsonspec.Observation{Parts: []jsonspec.ObservedPart{with(32, 1, 0)}}}}},
		}
		for _, n := range free {
			s.Capacity.Nodes = append(s.Capacity.Nodes, jsonspec.NodeCapacity{Type: "A", Free: n})
		}
		return Plans(s, map[string]jsonspec.Allocation{"s": {Accelerator: "A", NumReplicas: 1, MaxBatch: 64}}, nil)["s"].Surge
	}
	if got := plans(3, 1); got != 0 {
		t.Errorf("%d replicas of two cards beside one on nodes of three and one", got)
	}
	if got := plans(4); got != 1 {
		t.Errorf("%d replicas of two cards beside one on a node of four, want 1", got)
	}
}

// What was not decided stays, what was decided to be nothing becomes nothing, and says why.
func TestNext(t *testing.T) {
	last, given := &v1alpha1.DesiredState{Replicas: 1}, &v1alpha1.DesiredState{Replicas: 2}
	if got := Next(last, given, true, 1, "no"); got != given {
		t.Error("a plan that was given is not taken")
	}
	if got := Next(last, nil, false, 1, "unknown"); got != last {
		t.Error("an undecided server has another plan")
	}
	if got := Next(last, nil, true, 0, "needs 4"); got.Replicas != 0 || len(got.Parts) != 0 || got.Reason != "needs 4" {
		t.Errorf("without capacity the plan is %+v", got)
	}
	// A node that is drained has no capacity, but what serves there goes when it is evicted, and not before.
	if got := Next(last, nil, true, 3, "needs 4"); got.Replicas != 3 || got.Surge != 3 || len(got.Parts) != 0 || !strings.HasPrefix(got.Reason, "needs 4; 3 serve") {
		t.Errorf("with three that serve on a cordoned node the plan is %+v", got)
	}
}

// Pods on nodes that go stay until others are ready on nodes that stay, are the first to go then, and are replaced by no more than is planned.
func TestPodsOnNodesThatGoAreReplaced(t *testing.T) {
	for _, c := range []struct {
		name    string
		plan    []jsonspec.AllocationPart
		current []jsonspec.ObservedPart
		surge   map[string]int
	}{
		{"one of three goes", plan("A", 3), []jsonspec.ObservedPart{{Accelerator: "A", Ready: 3, Leaving: 1}}, map[string]int{"A": 1}},
		{"its replacement starts", plan("A", 3), []jsonspec.ObservedPart{{Accelerator: "A", Ready: 3, Leaving: 1, Starting: 1}}, map[string]int{"A": 1}},
		{"its replacement is ready", plan("A", 3), []jsonspec.ObservedPart{{Accelerator: "A", Ready: 4, Leaving: 1}}, map[string]int{}},
		{"all go", plan("A", 2), []jsonspec.ObservedPart{{Accelerator: "A", Ready: 2, Leaving: 2}}, map[string]int{"A": 2}},
		{"some of more than is planned go", plan("A", 3), []jsonspec.ObservedPart{{Accelerator: "A", Ready: 4, Leaving: 2}}, map[string]int{"A": 2}},
		{"the plan has left", plan("B", 1), []jsonspec.ObservedPart{{Accelerator: "A", Ready: 1, Leaving: 1}}, map[string]int{"A": 1}},
		{"they are beyond the plan", plan("A", 1), []jsonspec.ObservedPart{{Accelerator: "A", Ready: 2, Leaving: 1}}, map[string]int{}},
	} {
		surge, _ := roomy(9).surges("s", c.plan, c.current)
		if diff := cmp.Diff(Count(c.surge), surge); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	pods := []Pod{{Name: "old", Created: 1, Started: jsonspec.ObservedPart{Accelerator: "A"}, Leaving: true}, {Name: "new", Created: 2, Started: jsonspec.ObservedPart{Accelerator: "A"}}}
	if diff := cmp.Diff([]int{0}, OverQuota(plan("A", 1), pods)); diff != "" {
		t.Error(diff)
	}
}
