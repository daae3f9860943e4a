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

// A session stays where it is while replicas come and go, but for those that a new one takes over or that lose theirs; each replica is home to its share.
func TestSessionsStayAtHome(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	homes := func(n int) []uint64 {
		var all []uint64
		for _, name := range names[:n] {
			all = append(all, Identity(name))
		}
		return all
	}
	counts := make([]int, len(names))
	for session := uint64(1); session <= 5000; session++ {
		four, five := Home(session, homes(4), make([]int, 4)), Home(session, homes(5), make([]int, 5))
		if four != five && five != 4 {
			t.Fatalf("session %d went from %d to %d when 4 came", session, four, five)
		}
		counts[five]++
	}
	if slices.Min(counts) < 900 || slices.Max(counts) > 1100 {
		t.Errorf("5000 sessions on five replicas: %v", counts)
	}
}

// No replica takes more than its share: its sessions go elsewhere as long as it has that.
func TestSessionsLeaveAFullHome(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	for range 2000 {
		ids, pending := make([]uint64, 1+random.IntN(8)), []int(nil)
		for i := range ids {
			ids[i] = random.Uint64()
			pending = append(pending, random.IntN(40))
		}
		pick := Home(random.Uint64(), ids, pending)
		if pick < 0 || pick >= len(ids) {
			t.Fatalf("picked %d of %d", pick, len(ids))
		}
		total := 1
		for _, n := range pending {
			total += n
		}
		if share := 1.25 * float64(total) / float64(len(ids)); float64(pending[pick]) > share {
			t.Fatalf("picked one with %d, where the share is %v: %v", pending[pick], share, pending)
		}
	}
}
