package placement

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

func TestStock(t *testing.T) {
	s := NewStock(10)
	s.Add(4, 1)
	if got := s.Room(4, 9); got != 1 || s.Left() != 6 {
		t.Errorf("room for %d replicas of four beside one among ten cards, %d left", got, s.Left())
	}
	s.Add(4, 2)
	if got := s.Room(1, 1); got != 0 || s.Left() != -2 {
		t.Errorf("room for %d where more is held than there is, %d left", got, s.Left())
	}
	s.Add(4, -2)
	s.Grow(1, 2)
	if got := s.Room(4, 9); got != 2 || s.OnNodes() {
		t.Errorf("room for %d replicas of four in eight cards", got)
	}
	n := NewStockOn(3, 5, 8)
	for _, c := range []struct{ cards, want, room int }{{8, 9, 1}, {4, 9, 3}, {2, 9, 7}, {1, 9, 9}, {1, 99, 16}, {9, 1, 0}, {0, 1, 0}} {
		if got := n.Room(c.cards, c.want); got != c.room {
			t.Errorf("room for %d of %d replicas of %d cards on nodes of 3, 5 and 8, want %d", got, c.want, c.cards, c.room)
		}
	}
	n.Add(1, 4) // on the node of three and in the fifth card
	if got := n.Room(4, 9); got != 3 {
		t.Errorf("small replicas stand in the way of larger ones: room for %d of four", got)
	}
	n.Grow(2, 4)
	if got := n.Room(4, 9); got != 5 || n.Places(4) != 5 {
		t.Errorf("room for %d, places for %d replicas of four with two more nodes of four", got, n.Places(4))
	}
	var none *Stock
	none.Add(1, 1)
	if none.Room(1, 1) != 0 || none.Left() != 0 || none.Places(1) != 0 || none.OnNodes() {
		t.Error("there is something of a type that there is none of")
	}
}

// Nodes win over counts, type by type.
func TestStocks(t *testing.T) {
	all := Stocks(&v1alpha1.CapacityData{
		Count: []v1alpha1.AcceleratorCount{{Type: "A", Count: 99}, {Type: "B", Count: 3}, {Type: "B", Count: 2}},
		Nodes: []v1alpha1.NodeCapacity{{Type: "A", Free: 4}, {Type: "A", Free: 2}, {Type: "C", Free: 0}},
	})
	if len(all) != 3 || all["A"].Left() != 6 || all["B"].Left() != 5 || all["C"].Left() != 0 || !all["C"].OnNodes() || all["B"].OnNodes() {
		t.Errorf("%+v", all)
	}
}

// Whatever is placed by room fits when it is packed, on no node more than it has, and sizes in powers of two fill the nodes.
func TestRoomCanBePacked(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	for range 300 {
		nodes := make([]int, 1+rng.IntN(6))
		total := 0
		for i := range nodes {
			nodes[i] = rng.IntN(9)
			total += nodes[i]
		}
		s, placed := NewStockOn(nodes...), map[int]int{}
		for range 6 {
			size := 1 + rng.IntN(6)
			n := s.Room(size, rng.IntN(4))
			s.Add(size, n)
			placed[size] += n
		}
		held := make([]int, len(nodes))
		if !s.Pack(nodes, func(node, cards, replicas int) {
			held[node] += cards * replicas
			placed[cards] -= replicas
		}) {
			t.Fatalf("%v: what there was room for is not packed", nodes)
		}
		for i := range nodes {
			if total -= held[i]; held[i] > nodes[i] {
				t.Fatalf("%v: %v are held", nodes, held)
			}
		}
		for size, left := range placed {
			if left != 0 {
				t.Fatalf("%v: %d replicas of %d cards were not assigned", nodes, left, size)
			}
		}
		if total != s.Left() {
			t.Fatalf("%v: %d cards left, %d are free", nodes, s.Left(), total)
		}
	}
}

// A replica comes from the tightest node that holds it; what no node holds is taken all the same, and told.
func TestTake(t *testing.T) {
	for _, c := range []struct {
		name            string
		free            []int
		replicas, cards int
		left            []int
		short           int
	}{
		{"the tightest", []int{8, 4, 5}, 1, 4, []int{8, 0, 5}, 0},
		{"one after the other", []int{8, 4}, 3, 4, []int{0, 0}, 0},
		{"not together", []int{3, 3}, 1, 4, []int{0, 2}, 4},
		{"more than there is", []int{1}, 2, 2, []int{0}, 4},
		{"no node", nil, 1, 2, nil, 2},
		{"nothing", []int{2}, 0, 2, []int{2}, 0},
	} {
		short := Take(c.free, c.replicas, c.cards)
		if short != c.short || !slices.Equal(c.free, c.left) {
			t.Errorf("%s: %d short, %v left, should be %d and %v", c.name, short, c.free, c.short, c.left)
		}
	}
}
