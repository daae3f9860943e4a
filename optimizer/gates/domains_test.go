package gates

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/placement/seats/seatstest"
)

func withinRacks(accelerator string, replicas int) jsonspec.AllocationPart {
	p := seatstest.Part(accelerator, replicas)
	p.TopologyKey = "rack"
	return p
}

// pairs are the pods of so many replicas of two, each gated.
func pairs(n int) (pods []*corev1.Pod) {
	for i := range 2 * n {
		pods = append(pods, seatstest.Member(gated(fmt.Sprintf("g%d-%d", i/2, i%2), "r1"), fmt.Sprintf("g%d", i/2), 2))
	}
	return pods
}

// A group is let go to a rack that has room for all of it, that which it fills best, and the others follow those that went before. Racks are not promised twice.
func TestDecideWithinDomains(t *testing.T) {
	asks := func(p *corev1.Pod, rack string) *corev1.Pod {
		p.Spec.NodeSelector = map[string]string{"rack": rack}
		return p
	}
	of := seatstest.Member
	for name, tt := range map[string]struct {
		parts  []jsonspec.AllocationPart
		places map[string]map[string]int // by accelerator and rack
		pods   []*corev1.Pod
		lift   map[string]string // accelerator and rack by pod
		why    string
	}{
		"the rack that it fills": {
			parts: []jsonspec.AllocationPart{withinRacks("h100", 1)}, places: map[string]map[string]int{"h100": {"a": 3, "b": 2, "c": 1}}, pods: pairs(1),
			lift: map[string]string{"g0-0": "h100 b", "g0-1": "h100 b"},
		},
		"as many as racks hold": {
			parts: []jsonspec.AllocationPart{withinRacks("h100", 3)}, places: map[string]map[string]int{"h100": {"a": 3, "b": 2, "c": 1}}, pods: pairs(3),
			lift: map[string]string{"g0-0": "h100 b", "g0-1": "h100 b", "g1-0": "h100 a", "g1-1": "h100 a"},
			why:  "no domain by rack has room for the 2 pods of its replica g2: a has most, for 1",
		},
		"another accelerator of the plan": {
			parts: []jsonspec.AllocationPart{withinRacks("h100", 3), withinRacks("a100", 1)}, places: map[string]map[string]int{"h100": {"a": 1}, "a100": {"z": 2}}, pods: pairs(1),
			lift: map[string]string{"g0-0": "a100 z", "g0-1": "a100 z"},
		},
		"those that went before": {
			parts: []jsonspec.AllocationPart{withinRacks("h100", 1)}, places: map[string]map[string]int{"h100": {"a": 2}},
			pods: []*corev1.Pod{asks(of(letTo("a", "r1", "h100"), "g", 2), "q"), of(gated("b", "r1"), "g", 2)}, lift: map[string]string{"b": "h100 q"},
		},
		"one that has a node": {
			parts: []jsonspec.AllocationPart{withinRacks("h100", 1)}, places: map[string]map[string]int{"h100": {"a": 2}},
			pods: []*corev1.Pod{of(seatstest.On(seatstest.Pod("a", "r1"), "h100-1"), "g", 2), of(gated("b", "r1"), "g", 2)}, lift: map[string]string{"b": "h100 r-h100-1"},
		},
		"no rack": {parts: []jsonspec.AllocationPart{withinRacks("h100", 1)}, pods: pairs(1), why: "no node that its replica g0 may be on has the label rack"},
		"a replica of one pod is nowhere bound": {
			parts: []jsonspec.AllocationPart{withinRacks("h100", 1)}, pods: []*corev1.Pod{gated("a", "r1")}, lift: map[string]string{"a": "h100 "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapshot{key: seatstest.Chat, server: seatstest.Server(tt.parts...), kinds: kinds(), pods: tt.pods}
			s.labels = func(node string) map[string]string {
				labels := labelsOf(node)
				labels["rack"] = "r-" + node
				return labels
			}
			s.places = func(_ *corev1.Pod, kind catalogue.Kind, _ string) map[string]int {
				return maps.Clone(tt.places[kind.Name])
			}
			a := decide(s)
			lifted := map[string]string{}
			for _, l := range a.lift {
				lifted[l.pod.Name] = l.option.Accelerator + " "
				for _, r := range l.domain {
					lifted[l.pod.Name] += r.Values[0]
				}
			}
			if diff := gocmp.Diff(tt.lift, lifted); diff != "" && len(tt.lift)+len(lifted) > 0 {
				t.Errorf("lifted (-want +got):\n%s", diff)
			}
			if a.crowded != (tt.why != "") {
				t.Errorf("some wait for room in a domain: %v", a.crowded)
			}
			for _, w := range a.waiting {
				if w.reason != tt.why {
					t.Errorf("%s waits because %q, want %q", w.pod.Name, w.reason, tt.why)
				}
			}
		})
	}
}

// Of random racks, never half a group is let go nor one to two racks, no rack gets more than it holds, and none is left that holds a group which waits.
func TestGroupsOfRandomRacks(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 23))
		places := map[string]int{}
		for i := range 1 + r.IntN(4) {
			places[fmt.Sprint(i)] = r.IntN(6)
		}
		n := 1 + r.IntN(5)
		s := snapshot{key: seatstest.Chat, server: seatstest.Server(withinRacks("h100", n)), kinds: kinds(), labels: labelsOf, pods: pairs(n)}
		s.places = func(*corev1.Pod, catalogue.Kind, string) map[string]int { return maps.Clone(places) }
		r.Shuffle(len(s.pods), func(i, j int) { s.pods[i], s.pods[j] = s.pods[j], s.pods[i] })
		left, racks, room := maps.Clone(places), map[string][]string{}, 0
		for _, n := range places {
			room += n / 2
		}
		for _, l := range decide(s).lift {
			rack := l.domain[0].Values[0]
			left[rack]--
			group := placement.GroupOf(l.pod).Name
			racks[group] = append(racks[group], rack)
		}
		for group, in := range racks {
			if len(in) != 2 || in[0] != in[1] {
				t.Fatalf("seed %d: %s is let go to racks %v", seed, group, in)
			}
		}
		if len(racks) != min(n, room) || slices.Min(slices.Collect(maps.Values(left))) < 0 {
			t.Fatalf("seed %d: %d of %d groups are let go to racks %v", seed, len(racks), n, places)
		}
	}
}

// What nodes have free is without what their pods request, whoever's they are, and what was let go and has no node is promised, once.
func TestFreeOfNodes(t *testing.T) {
	node := corev1.Node{Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("8")}}}
	node.Name = "h100-1"
	done := seatstest.On(seatstest.Pod("done", "r1"), "h100-1")
	done.Status.Phase = corev1.PodSucceeded
	foreign := seatstest.On(seatstest.Pod("foreign", "r1"), "h100-1")
	foreign.Labels = nil
	stale, let := gated("let", "r1"), letTo("let", "r1", "h100")
	stale.UID, let.UID = "let", "let"
	bound, was := seatstest.On(seatstest.Pod("bound", "r1"), "h100-1"), letTo("bound", "r1", "h100")
	was.UID = bound.UID
	free, promised := freeOf([]corev1.Node{node}, []*corev1.Pod{done, foreign, leaving(seatstest.On(seatstest.Pod("leaving", "r1"), "h100-1")), stale, bound, let, was, gated("gated", "r1"), seatstest.On(seatstest.Pod("gone", "r1"), "no such node")})
	left := free["h100-1"]["nvidia.com/gpu"]
	if left.Value() != 5 || strings.Join(names(promised), " ") != "let" {
		t.Errorf("%d cards are free, and %v promised", left.Value(), names(promised))
	}
}
