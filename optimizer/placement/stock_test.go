package placement

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// nodes with so many free cards each, of no scope.
func nodes(free ...int) []Node {
	list := make([]Node, len(free))
	for i, n := range free {
		list[i].Free = n
	}
	return list
}

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
	s.Grow(1, Node{Free: 2})
	if got := s.Room(4, 9); got != 2 || s.OnNodes() {
		t.Errorf("room for %d replicas of four in eight cards", got)
	}
	n := NewStockOn(nodes(3, 5, 8)...)
	for _, c := range []struct{ cards, want, room int }{{8, 9, 1}, {4, 9, 3}, {2, 9, 7}, {1, 9, 9}, {1, 99, 16}, {9, 1, 0}, {0, 1, 0}} {
		if got := n.Room(c.cards, c.want); got != c.room {
			t.Errorf("room for %d of %d replicas of %d cards on nodes of 3, 5 and 8, want %d", got, c.want, c.cards, c.room)
		}
	}
	n.Add(1, 4) // on the node of three and in the fifth card
	if got := n.Room(4, 9); got != 3 {
		t.Errorf("small replicas stand in the way of larger ones: room for %d of four", got)
	}
	n.Grow(2, Node{Free: 4})
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
	all := Stocks(&jsonspec.CapacityData{
		Count: []jsonspec.AcceleratorCount{{Type: "A", Count: 99}, {Type: "B", Count: 3}, {Type: "B", Count: 2}},
		Nodes: []jsonspec.NodeCapacity{{Type: "A", Free: 4}, {Type: "A", Free: 2}, {Type: "C", Free: 0}},
	})
	if len(all) != 3 || all["A"].Left() != 6 || all["B"].Left() != 5 || all["C"].Left() != 0 || !all["C"].OnNodes() || all["B"].OnNodes() {
		t.Errorf("%+v", all)
	}
}

// Whatever is placed by room fits when it is packed, on no node more than it has nor what it may not hold, and sizes in powers of two fill the nodes.
func TestRoomCanBePacked(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	for seed := range 600 {
		nodes := make([]Node, 1+rng.IntN(6))
		total := 0
		for i := range nodes {
			nodes[i].Free = rng.IntN(9)
			total += nodes[i].Free
			for _, scope := range []string{"x", "y"} {
				if seed%2 == 1 && rng.IntN(2) == 0 {
					nodes[i].Scopes = append(nodes[i].Scopes, scope)
				}
			}
			if seed%3 == 1 { // processors and memory
				nodes[i].Portions = map[string][]float64{"x": {rng.Float64() / 2, rng.Float64() / 4}, "y": {0, rng.Float64()}}
			}
		}
		s, placed := NewStockOn(nodes...), map[Alike]int{}
		for range 6 {
			r := Alike{Cards: 1 + rng.IntN(6), Scope: []string{"", "x", "y", "none"}[rng.IntN(4)]}
			left := s.Within(r.Scope).Left()
			n := s.Within(r.Scope).Room(r.Cards, rng.IntN(4))
			if n*r.Cards > left {
				t.Fatalf("%v: room for %d of %d cards within %q, where %d are left", nodes, n, r.Cards, r.Scope, left)
			}
			s.Within(r.Scope).Add(r.Cards, n)
			placed[r] += n
		}
		held, used := make([]int, len(nodes)), make([][2]float64, len(nodes))
		if !s.Pack(nodes, func(node int, of Alike, replicas int) {
			cards, scope := of.Cards, of.Scope
			if scope != "" && !slices.Contains(nodes[node].Scopes, scope) {
				t.Fatalf("%v: node %d holds what can be within %q alone", nodes, node, scope)
			}
			held[node] += cards * replicas
			for k, share := range nodes[node].Portions[scope] {
				if used[node][k] += share * float64(replicas); used[node][k] > 1+1e-9 {
					t.Fatalf("%v: %v of node %d is used", nodes, used[node], node)
				}
			}
			placed[of] -= replicas
		}) {
			t.Fatalf("%v: what there was room for is not packed", nodes)
		}
		for i := range nodes {
			if total -= held[i]; held[i] > nodes[i].Free {
				t.Fatalf("%v: %v are held", nodes, held)
			}
		}
		for r, left := range placed {
			if left != 0 {
				t.Fatalf("%v: %d replicas of %d cards within %q were not assigned", nodes, left, r.Cards, r.Scope)
			}
		}
		if total != s.Left() {
			t.Fatalf("%v: %d cards left, %d are free", nodes, s.Left(), total)
		}
	}
}

// What can be on few nodes leaves them to nobody else, and what can be anywhere goes elsewhere first.
func TestScopes(t *testing.T) {
	s := NewStockOn(Node{Free: 8, Scopes: []string{"team", "zone"}}, Node{Free: 8, Scopes: []string{"zone"}}, Node{Free: 8})
	team, zone := s.Within("team"), s.Within("zone")
	if got := [4]int{team.Left(), zone.Left(), s.Left(), s.Within("nobody").Left()}; got != [4]int{8, 16, 24, 0} {
		t.Errorf("%v cards are left", got)
	}
	team.Add(8, 1)
	if got := [3]int{team.Room(1, 9), zone.Room(1, 99), s.Room(8, 9)}; got != [3]int{0, 8, 2} {
		t.Errorf("room for %v beside a replica that fills the team's node", got)
	}
	team.Add(8, -1)
	zone.Add(4, 3)
	if got := [3]int{team.Room(4, 9), zone.Left(), s.Room(4, 9)}; got != [3]int{1, 4, 3} {
		t.Errorf("room for %v beside three replicas of four in the zone", got)
	}
	if !zone.Holds("team") || team.Holds("zone") || team.Holds("") || !s.Holds("team") || !team.Holds("team") {
		t.Error("the zone holds the team's nodes, and everywhere holds all")
	}
	zone.Add(4, 1)
	s.Grow(1, Node{Free: 8, Scopes: []string{"team"}})
	if got := [2]int{team.Room(4, 9), zone.Room(4, 9)}; got != [2]int{2, 0} {
		t.Errorf("room for %v once the team has a node more", got)
	}
	if counted := NewStock(5).Within("team"); counted.Left() != 5 || counted.Room(1, 9) != 5 {
		t.Error("where the nodes are not known there is one scope")
	}
}

// What differs in its needs of other resources shares a node as far as these go, to the last of them.
func TestPortions(t *testing.T) {
	both := []string{"large", "small"}
	s := NewStockOn(Node{Free: 8, Scopes: both, Portions: map[string][]float64{"large": {1. / 3}, "small": {1. / 6}}}, Node{Free: 1, Scopes: both})
	large, small := s.Within("large"), s.Within("small")
	if got := [3]int{large.Room(1, 9), small.Room(1, 9), s.Room(1, 99)}; got != [3]int{4, 7, 9} {
		t.Errorf("room for %v where a large one takes a third of the memory, a small one a sixth, others none", got)
	}
	large.Add(1, 3) // one where memory is plenty, two where it is not
	if got := [2]int{large.Room(1, 9), small.Room(1, 9)}; got != [2]int{1, 2} {
		t.Errorf("room for %v beside three large ones", got)
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
