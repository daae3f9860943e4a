package loop

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/sizing"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// roomy is a fleet of one type of card with so many that no plan takes; a replica takes one.
func roomy(cards int) spare {
	return spare{cards: count{"T": cards}, of: func(string, string) (string, int) { return "T", 1 }}
}

func with(batch, ready, starting int) v1alpha1.ObservedPart {
	return v1alpha1.ObservedPart{Accelerator: "A", Ready: ready, Starting: starting, MaxBatchSize: batch}
}

func TestRenewal(t *testing.T) {
	part := v1alpha1.AllocationPart{Accelerator: "A", Replicas: 5, MaxBatchSize: 64}
	for _, c := range []struct {
		name    string
		current []v1alpha1.ObservedPart
		room    int
		want    int
	}{
		{"as planned", []v1alpha1.ObservedPart{with(64, 5, 0)}, 9, 0},
		{"limits nobody knows are no difference", []v1alpha1.ObservedPart{with(0, 5, 0)}, 9, 0},
		{"a wave begins", []v1alpha1.ObservedPart{with(32, 5, 0)}, 9, 2},
		{"as far as there is room", []v1alpha1.ObservedPart{with(32, 5, 0)}, 1, 1},
		{"or not at all", []v1alpha1.ObservedPart{with(32, 5, 0)}, 0, 0},
		{"plans that take more than there is leave no room", []v1alpha1.ObservedPart{with(32, 5, 0)}, -3, 0},
		{"its pods wait for a node", []v1alpha1.ObservedPart{with(32, 5, 0), {Starting: 2}}, 9, 2},
		{"they start", []v1alpha1.ObservedPart{with(32, 5, 0), with(64, 0, 2)}, 0, 2},
		{"one is ready", []v1alpha1.ObservedPart{with(32, 5, 0), with(64, 1, 1)}, 0, 2},
		{"all are: old ones go", []v1alpha1.ObservedPart{with(32, 5, 0), with(64, 2, 0)}, 9, 0},
		{"the next wave", []v1alpha1.ObservedPart{with(32, 3, 0), with(64, 2, 0)}, 9, 2},
		{"the last one", []v1alpha1.ObservedPart{with(32, 1, 0), with(64, 4, 0)}, 9, 1},
		{"scaling out needs no surge", []v1alpha1.ObservedPart{with(32, 3, 0), with(64, 0, 2)}, 9, 0},
		{"scaling in is not held up by more than a wave", []v1alpha1.ObservedPart{with(32, 11, 0), with(64, 0, 1)}, 9, 2},
		{"other accelerators are another matter", []v1alpha1.ObservedPart{with(64, 5, 0), {Accelerator: "B", Ready: 3, MaxBatchSize: 1}}, 9, 0},
	} {
		if got := renewal(part, c.current, c.room); got != c.want {
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
				part := v1alpha1.AllocationPart{Accelerator: "A", Replicas: replicas, MaxBatchSize: 64}
				old, fresh, asked := replicas, 0, replicas+elsewhere
				var starting []int // turns until ready
				for turn := range 1000 {
					current := []v1alpha1.ObservedPart{with(32, old, 0), with(64, fresh, len(starting)), on("B", elsewhere, 0)}
					parts, surge := withSurge([]v1alpha1.AllocationPart{part}, roomy(2).surges("s", []v1alpha1.AllocationPart{part}, current))
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
	part := []v1alpha1.AllocationPart{{Accelerator: "A", Replicas: 3, MaxBatchSize: 64}}
	elsewhere := v1alpha1.ObservedPart{Accelerator: "B", Ready: 1}
	for _, c := range []struct {
		name    string
		current []v1alpha1.ObservedPart
		want    int
	}{
		{"the last one elsewhere", []v1alpha1.ObservedPart{with(32, 3, 0), elsewhere}, 0},
		{"one that starts elsewhere", []v1alpha1.ObservedPart{with(32, 3, 0), {Accelerator: "B", Starting: 1}}, 0},
		{"one on a node of nobody knows what", []v1alpha1.ObservedPart{with(32, 3, 0), {Ready: 1}}, 0},
		{"it is gone", []v1alpha1.ObservedPart{with(32, 3, 0)}, 1},
		{"a new one waits for its node", []v1alpha1.ObservedPart{with(32, 3, 0), {Starting: 1}}, 1},
		{"a new one starts", []v1alpha1.ObservedPart{with(32, 3, 0), with(64, 0, 1)}, 1},
		{"the move has not ended", []v1alpha1.ObservedPart{with(32, 2, 1), elsewhere}, 1},
	} {
		s := roomy(5)
		if _, got := withSurge(part, s.surges("s", part, c.current)); got != c.want {
			t.Errorf("%s: surge %d, want %d", c.name, got, c.want)
		}
		if taken := 5 - s.cards["T"]; c.want == 0 && taken != 0 {
			t.Errorf("%s: %d cards are taken for no surge", c.name, taken)
		}
	}
}

// Surges of several servers never add up to more than what is spare.
func TestRenewalsShareWhatIsSpare(t *testing.T) {
	s := roomy(3)
	part := []v1alpha1.AllocationPart{{Accelerator: "A", Replicas: 8, MaxBatchSize: 64}}
	for i, want := range []int{2, 1, 0} {
		if _, got := withSurge(part, s.surges("s", part, []v1alpha1.ObservedPart{with(32, 8, 0)})); got != want {
			t.Errorf("server %d: surge %d, want %d", i, got, want)
		}
	}
}

// A surge is told by accelerator, so that workloads of their own keep their pods until others are ready.
func TestSurgeByAccelerator(t *testing.T) {
	parts, total := withSurge(plan("B", 2), roomy(0).surges("s", plan("B", 2), []v1alpha1.ObservedPart{on("A", 3, 0), on("B", 1, 1), on("", 1, 0)}))
	want := []v1alpha1.AllocationPart{{Accelerator: "B", Replicas: 2}, {Accelerator: "A", Surge: 3}}
	if diff := cmp.Diff(want, parts); diff != "" || total != 4 {
		t.Error(total, diff)
	}
}

// Pods with other limits than the plan's go first, however old.
func TestOutdatedPodsGoFirst(t *testing.T) {
	limited := func(name, batch string, age time.Duration) *corev1.Pod {
		p := pod(name, "A", age)
		p.Annotations = map[string]string{v1alpha1.MaxNumSeqsAnnotation: batch}
		return p
	}
	pods := []*corev1.Pod{limited("old", "32", 9), limited("new", "64", 1), limited("older", "32", 10)}
	over := overQuota([]v1alpha1.AllocationPart{{Accelerator: "A", Replicas: 2, Surge: 1, MaxBatchSize: 64}}, pods, func(p *corev1.Pod) string { return p.Labels["acc"] })
	if len(over) != 1 || !over[pods[0]] {
		t.Errorf("over quota are %v", over)
	}
}

// Servers that wait for each other's cards do not wait for ever where one of them matters less: after a pod start its pod makes way. What is as
// important, or has not waited for long, takes nobody's place.
func TestPodsMakeWay(t *testing.T) {
	const startUp = 60.0
	at := time.Unix(10_000, 0)
	observed := func(parts ...v1alpha1.ObservedPart) *v1alpha1.Observation { return &v1alpha1.Observation{Parts: parts} }
	surges := func(low int, waited float64) map[string]Surge {
		snap := &specification.Snapshot{Time: metav1.NewMicroTime(at), StartUpSeconds: startUp, System: v1alpha1.System{
			Accelerators: v1alpha1.AcceleratorData{Spec: []v1alpha1.AcceleratorEntry{{Name: "A"}, {Name: "B"}}},
			Models:       v1alpha1.ModelData{Spec: []v1alpha1.PerformanceEntry{{Name: "m", Performance: v1alpha1.Performance{Acc: "A"}}, {Name: "m", Performance: v1alpha1.Performance{Acc: "B"}}}},
			ServiceClasses: v1alpha1.ServiceClassData{Spec: []v1alpha1.ServiceClassEntry{
				{Name: "high", ServiceClassSpec: v1alpha1.ServiceClassSpec{Priority: 1}}, {Name: "low", ServiceClassSpec: v1alpha1.ServiceClassSpec{Priority: low}},
			}},
			// Each runs on what the other is to have, and there is no other card.
			Servers: v1alpha1.ServerData{Spec: []v1alpha1.ServerEntry{
				{Name: "first", Model: "m", Class: "high", Observation: observed(on("A", 1, 0), on("", 0, 1))},
				{Name: "second", Model: "m", Class: "low", Observation: observed(on("B", 1, 0), on("", 0, 1))},
			}},
		}}
		waits := control.ServerState{Sizing: sizing.Memory{Pending: map[string]sizing.Pending{"": {Starting: 1, Since: float64(at.Unix()) - waited}}}}
		plan := &v1alpha1.Solution{Allocations: map[string]v1alpha1.Allocation{"first": {Accelerator: "B", NumReplicas: 1}, "second": {Accelerator: "A", NumReplicas: 1}}}
		state := control.State{Servers: map[string]control.ServerState{"first": waits, "second": waits}}
		return Surges(snap, map[string]int{"A": 1, "B": 1}, plan, state)
	}
	stay := map[string]Surge{"first": {By: map[string]int{"A": 1}}, "second": {By: map[string]int{"B": 1}}}
	way := map[string]Surge{"first": stay["first"], "second": {By: map[string]int{}, Short: 1}}
	for _, c := range []struct {
		name   string
		low    int
		waited float64
		want   map[string]Surge
	}{
		{"has waited for long", 2, 61, way},
		{"has just begun to wait", 2, 30, stay},
		{"is as important", 1, 3600, stay},
	} {
		if diff := cmp.Diff(c.want, surges(c.low, c.waited)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}
