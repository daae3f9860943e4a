package view

import (
	"cmp"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// Supply is what there is of cards, who holds them, and what more would save.
type Supply struct {
	ID    string `json:"id"`
	Time  int64  `json:"time"`
	Types []Type `json:"types"`
	// Accelerators by name.
	Accelerators []string `json:"accelerators"`
	// Shares of namespaces or teams; none where there are none.
	Shares []jsonspec.ShareStatus `json:"shares"`
	// Bought is what the plan counts on, TakenBack what has not come, Pools what can be bought.
	Bought    []jsonspec.Purchase        `json:"bought"`
	TakenBack []jsonspec.TakenBack       `json:"takenBack"`
	Pools     []jsonspec.ElasticCapacity `json:"pools"`
	Unread    []string                   `json:"unread,omitempty"`
}

// Type of card.
type Type struct {
	Type string `json:"type"`
	// Nodes that carry it, their Cards, and those Used by the plan.
	Nodes int `json:"nodes"`
	Cards int `json:"cards"`
	Used  int `json:"used"`
	// Price is what one card more would save, in cents per hour; absent where the solver says none. Cost is the lowest of an accelerator of the type,
	// by card, in cents per hour.
	Price *float64 `json:"price,omitempty"`
	Cost  float64  `json:"cost"`
	// Holders by cards, the largest first, and Others, the cards of those that may not be seen.
	Holders []Holding `json:"holders"`
	Others  int       `json:"others,omitempty"`
}

// NewSupply looks at a cycle; all is the same cycle with the servers that may not be seen.
func NewSupply(c, all *Cycle) *Supply {
	s := systemOf(&all.Snapshot.System)
	plan := &c.Decision.Plan
	out := &Supply{Types: []Type{}, Accelerators: []string{}, ID: c.ID, Time: c.Milliseconds(), Shares: append([]jsonspec.ShareStatus{}, plan.Shares...), Bought: append([]jsonspec.Purchase{}, plan.Bought...),
		TakenBack: append([]jsonspec.TakenBack{}, plan.TakenBack...), Pools: append([]jsonspec.ElasticCapacity{}, s.Capacity.Elastic...), Unread: c.Unread}
	by := map[string]*Type{}
	at := func(kind string) *Type {
		if by[kind] == nil {
			by[kind] = &Type{Type: kind, Holders: []Holding{}}
			if price, known := plan.Solver.Prices[kind]; known {
				by[kind].Price = &price
			}
		}
		return by[kind]
	}
	for i := range s.Accelerators.Spec {
		a := &s.Accelerators.Spec[i]
		out.Accelerators = append(out.Accelerators, a.Name)
		t := at(a.CardType(a.Name))
		if cost := a.Cost / float64(a.Cards()); t.Cost == 0 || cost < t.Cost {
			t.Cost = cost
		}
	}
	count(s, at)
	visible := map[string]bool{}
	for i := range c.Snapshot.System.Servers.Spec {
		visible[c.Snapshot.System.Servers.Spec[i].Name] = true
	}
	for i := range s.Servers.Spec {
		e := &s.Servers.Spec[i]
		a := all.Decision.Plan.Allocations[e.Name]
		for _, p := range partsOf(&a) {
			kind, cards := s.cards(e.Model, p.Accelerator)
			t := at(kind)
			t.Used += p.Replicas * cards
			if !visible[e.Name] {
				t.Others += p.Replicas * cards
			} else if p.Replicas > 0 {
				t.Holders = append(t.Holders, Holding{Server: e.Name, Class: e.Class, Replicas: p.Replicas, Cards: p.Replicas * cards})
			}
		}
	}
	for _, t := range by {
		slices.SortFunc(t.Holders, func(a, b Holding) int {
			return cmp.Or(cmp.Compare(b.Cards, a.Cards), strings.Compare(a.Server, b.Server))
		})
		out.Types = append(out.Types, *t)
	}
	slices.SortFunc(out.Types, func(a, b Type) int { return cmp.Or(cmp.Compare(price(&b), price(&a)), strings.Compare(a.Type, b.Type)) })
	return out
}

// count the cards of each type: of its nodes where these are known.
func count(s *system, at func(string) *Type) {
	for _, n := range s.Capacity.Nodes {
		t := at(n.Type)
		t.Nodes++
		t.Cards += n.Free
	}
	for _, n := range s.Capacity.Count {
		if t := at(n.Type); t.Nodes == 0 {
			t.Cards = n.Count
		}
	}
}

func price(t *Type) float64 {
	if t.Price == nil {
		return -1
	}
	return *t.Price
}
