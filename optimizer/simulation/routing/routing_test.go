package routing

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Every balancer stays in range while replicas come and go, gives equal replicas
// equal shares, and answers the same when asked again.
func TestConformance(t *testing.T) {
	for _, name := range Balancers().Names() {
		t.Run(name, func(t *testing.T) {
			b, err := Balancers().New(name, nil)
			if err != nil {
				t.Fatal(err)
			}
			again, _ := Balancers().New(name, nil)
			random := rand.New(rand.NewPCG(1, 1))
			for range 1000 {
				pending := make([]int, 1+random.IntN(8))
				for i := range pending {
					pending[i] = random.IntN(5)
				}
				pick := b.Pick(pending)
				if pick < 0 || pick >= len(pending) {
					t.Fatalf("picked %d of %d", pick, len(pending))
				}
				if second := again.Pick(pending); second != pick {
					t.Fatalf("picked %d, a second one with the same history %d", pick, second)
				}
			}
			counts := make([]int, 5)
			for range 1000 {
				counts[b.Pick(make([]int, 5))]++
			}
			if slices.Min(counts) != 200 || slices.Max(counts) != 200 {
				t.Errorf("equal replicas got %v, want 200 each", counts)
			}
		})
	}
}

func TestLeastRequestsPicksTheEmptiest(t *testing.T) {
	b, err := Balancers().New(LeastRequests, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		pending []int
		want    int
	}{{[]int{3, 1, 2}, 1}, {[]int{3, 1, 2}, 1}, {[]int{0, 5, 0}, 2}, {[]int{0, 5, 0}, 0}} {
		if got := b.Pick(test.pending); got != test.want {
			t.Errorf("%v: picked %d, want %d", test.pending, got, test.want)
		}
	}
}
