package inferno

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/llm-inferno/inferno/optimizer/placement"
)

// place one replica after the other on nodes of eight cards by raw score; ties go to the first node.
func place(free []int64, request int64) bool {
	best, at := int64(0), -1
	for i, f := range free {
		if f < request {
			continue
		}
		if s := rawScore(0, placement.HarmOf(f, request, 8)); at < 0 || s > best {
			best, at = s, i
		}
	}
	if at < 0 {
		return false
	}
	free[at] -= request
	return true
}

func TestPackingKeepsRoomForLargerReplicas(t *testing.T) {
	// However singles arrive, after n of them all the slots of 8, 4 and 2 cards that n singles leave can be used.
	for n := range 33 {
		free := []int64{8, 8, 8, 8}
		for range n {
			if !place(free, 1) {
				t.Fatalf("single %d found no place", n)
			}
		}
		for _, size := range []int64{8, 4, 2} {
			var have int64
			for _, f := range free {
				have += f / size
			}
			if want := (int64(32-n) / size); have != want {
				t.Errorf("after %d singles %d replicas of %d cards fit, want %d: %v", n, have, size, want, free)
			}
		}
	}
}

func TestMixedReplicasFillTheFleet(t *testing.T) {
	// Powers of two that add up to the fleet always fit, in any order of arrival that places no smaller one before a larger one leaves,
	// and in random order the fleet loses at most what the last large one needed.
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		free := []int64{8, 8, 8, 8}
		sizes := []int64{8, 4, 4, 4, 2, 2, 2, 2, 1, 1, 1, 1}
		r.Shuffle(len(sizes), func(i, j int) { sizes[i], sizes[j] = sizes[j], sizes[i] })
		for _, s := range sizes {
			if !place(free, s) {
				t.Fatalf("no place for %d of %v with %v free", s, sizes, free)
			}
		}
		if slices.Max(free) != 0 {
			t.Fatalf("%v are left over of a fleet that fills exactly", free)
		}
	}
}

func TestRawScoreIsLexicographic(t *testing.T) {
	descending := []int64{
		rawScore(0, placement.Harm{Lost: 0, Left: 0}), rawScore(0, placement.Harm{Lost: 0, Left: 7}), rawScore(0, placement.Harm{Lost: 2, Left: 0}), rawScore(0, placement.Harm{Lost: 14, Left: 7}), rawScore(1, placement.Harm{Lost: 0, Left: 0}), rawScore(1, placement.Harm{Lost: 0, Left: fieldMax + 9}), rawScore(2, placement.Harm{Lost: -1, Left: -1}),
	}
	if !slices.IsSortedFunc(descending, func(a, b int64) int { return int(b - a) }) {
		t.Errorf("not descending: %v", descending)
	}
}

func TestNormalise(t *testing.T) {
	for _, tt := range []struct {
		name       string
		raw, want  []int64
		nodesNames []string
	}{
		{"none", nil, nil, nil},
		{"one", []int64{-5}, []int64{100}, []string{"a"}},
		{"equal: the first name wins", []int64{-5, -5, -5}, []int64{99, 100, 99}, []string{"c", "a", "b"}},
		{"even steps in their order", []int64{-1000, -1, -2, -1}, []int64{0, 99, 49, 100}, []string{"a", "d", "b", "c"}},
	} {
		scores := make(fwk.NodeScoreList, len(tt.raw))
		for i := range tt.raw {
			scores[i] = fwk.NodeScore{Name: tt.nodesNames[i], Score: tt.raw[i]}
		}
		normalise(scores)
		var got []int64
		for _, s := range scores {
			got = append(got, s.Score)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
