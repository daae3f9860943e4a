package control

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/sizing"
	"github.com/llm-inferno/inferno/optimizer/solver"
)

// sharesOf writes the shares of a snapshot for the solver. What an API server would refuse counts as nothing.
func sharesOf(list []jsonspec.ShareBounds) []solver.Share {
	var shares []solver.Share
	for _, b := range list {
		if b.Name == "" || slices.ContainsFunc(shares, func(s solver.Share) bool { return s.Name == b.Name }) {
			continue
		}
		s := solver.Share{Name: b.Name, Guaranteed: map[string]int{}, Kept: map[string]int{}, Most: map[string]int{}}
		for _, c := range b.Cards {
			s.Guaranteed[c.Type], s.Kept[c.Type] = max(0, c.Guaranteed), max(0, c.Kept)
			if c.Most != nil {
				s.Most[c.Type] = max(0, *c.Most)
			}
		}
		if b.Cost != nil {
			s.GuaranteedCost, s.MostCost = b.Cost.Guaranteed, b.Cost.Most
		}
		s.MostPower = b.PowerCap
		shares = append(shares, s)
	}
	return shares
}

// cohortsOf a snapshot for the solver, of shares that are known.
func cohortsOf(list []jsonspec.Cohort, shares []solver.Share) []solver.Cohort {
	var cohorts []solver.Cohort
	for _, b := range list {
		if b.Name == "" || slices.ContainsFunc(cohorts, func(c solver.Cohort) bool { return c.Name == b.Name }) {
			continue
		}
		c := solver.Cohort{Name: b.Name, Most: map[string]int{}}
		for _, name := range b.Shares {
			if slices.ContainsFunc(shares, func(s solver.Share) bool { return s.Name == name }) {
				c.Shares = append(c.Shares, name)
			}
		}
		for _, of := range b.Cards {
			c.Most[of.Type] = max(0, of.Most)
		}
		cohorts = append(cohorts, c)
	}
	return cohorts
}

// shareOf a server, by name; empty where there is none of that name.
func shareOf(p *solver.Problem, s *fleet.Server) string {
	if slices.ContainsFunc(p.Shares, func(x solver.Share) bool { return x.Name == s.Share }) {
		return s.Share
	}
	return ""
}

// reserveShare takes what a part of a held plan uses out of the bounds of its share, and notes it.
func reserveShare(p *solver.Problem, held map[string]holding, share, kind string, cards int, cost, watts float64) {
	h := held[share]
	if h.cards == nil {
		h.cards = map[string]int{}
	}
	h.cards[kind] += cards
	h.cost, h.watts = h.cost+cost, h.watts+watts
	held[share] = h
	i := slices.IndexFunc(p.Shares, func(x solver.Share) bool { return x.Name == share })
	if i < 0 {
		return
	}
	s := &p.Shares[i]
	for k := range p.Cohorts {
		if most, bounded := p.Cohorts[k].Most[kind]; bounded && slices.Contains(p.Cohorts[k].Shares, share) {
			p.Cohorts[k].Most[kind] = max(0, most-cards)
		}
	}
	for _, bound := range []map[string]int{s.Guaranteed, s.Kept, s.Most} {
		if n, known := bound[kind]; known {
			bound[kind] = max(0, n-cards)
		}
	}
	for _, bound := range []struct {
		of   **float64
		uses float64
	}{{&s.GuaranteedCost, cost}, {&s.MostCost, cost}, {&s.MostPower, watts}} {
		if *bound.of != nil {
			left := max(0, **bound.of-bound.uses)
			*bound.of = &left
		}
	}
}

// shareStatuses are what a plan gives the shares, held plans included.
func (b *basis) shareStatuses() []jsonspec.ShareStatus {
	var list []jsonspec.ShareStatus
	for _, use := range b.solution.Shares {
		i := slices.IndexFunc(b.snap.Shares, func(s jsonspec.ShareBounds) bool { return s.Name == use.Name })
		st := jsonspec.ShareStatus{Name: use.Name, Cost: use.Cost}
		at := func(kind string) *jsonspec.ShareCardsStatus {
			i := slices.IndexFunc(st.Cards, func(c jsonspec.ShareCardsStatus) bool { return c.Type == kind })
			if i < 0 {
				i = len(st.Cards)
				st.Cards = append(st.Cards, jsonspec.ShareCardsStatus{Type: kind})
			}
			return &st.Cards[i]
		}
		for _, c := range b.snap.Shares[i].Cards {
			x := at(c.Type)
			x.Guaranteed, x.Most = c.Guaranteed, c.Most
		}
		for kind, n := range use.Used {
			at(kind).Used += n
		}
		for kind, n := range use.Due {
			at(kind).Due += n
		}
		held := b.held[use.Name]
		for kind, n := range held.cards {
			at(kind).Used += n
		}
		st.Cost = jsonspec.Digits(st.Cost + held.cost)
		if cap := b.snap.Shares[i].PowerCap; cap != nil {
			st.PowerCap = cap
			if watts := use.Power + held.watts; !math.IsInf(watts, 1) {
				st.Power = fleet.Known(jsonspec.Digits(watts)).Pointer()
			}
		}
		for n := range st.Cards {
			c := &st.Cards[n]
			c.Lent = max(0, c.Guaranteed-max(c.Used, c.Due))
		}
		slices.SortFunc(st.Cards, func(a, b jsonspec.ShareCardsStatus) int { return strings.Compare(a.Type, b.Type) })
		list = append(list, st)
	}
	return list
}

// holding is what held plans of a share have.
type holding struct {
	cards map[string]int
	// cost in cents per hour, and watts at full; infinite where that is not known.
	cost, watts float64
}

// fullPower of a replica of a pair, in watts; false where it is not known.
func fullPower(p *sizing.Pair) (float64, bool) {
	full := p.Accelerator.Power.Full
	return float64(p.Performance.Accelerators()) * full, full > 0
}

// heldPower is that of so many replicas of a held plan. Where it is not known it may be anything, and nothing is left of a cap.
func heldPower(p *sizing.Pair, replicas int) float64 {
	switch watts, known := fullPower(p); {
	case replicas == 0:
		return 0
	case known:
		return float64(replicas) * watts
	}
	return math.Inf(1)
}

// powered are the options of a server whose power is known, where its share has a cap on power. The fault says what is missing where none is left.
func powered(p *solver.Problem, share string, options []option) ([]option, *fleet.Fault) {
	i := slices.IndexFunc(p.Shares, func(s solver.Share) bool { return s.Name == share })
	if i < 0 || p.Shares[i].MostPower == nil {
		return options, nil
	}
	unknown := map[string]bool{}
	left := slices.DeleteFunc(slices.Clone(options), func(o option) bool {
		return slices.ContainsFunc(o.parts, func(p sizing.Part) bool {
			_, known := fullPower(p.Pair)
			if !known {
				unknown[p.Accelerator.Name] = true
			}
			return !known
		})
	})
	if len(left) > 0 || len(options) == 0 {
		return left, nil
	}
	return nil, &fleet.Fault{Reason: v1alpha1.ReasonInfeasible, Message: fmt.Sprintf("share %s has a powerCap, and the power of %s is not known", share, names(unknown))}
}
