package control

import (
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/fleet"
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
func reserveShare(p *solver.Problem, held map[string]holding, share, kind string, cards int, cost float64) {
	h := held[share]
	if h.cards == nil {
		h.cards = map[string]int{}
	}
	h.cards[kind] += cards
	h.cost += cost
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
	for _, bound := range []**float64{&s.GuaranteedCost, &s.MostCost} {
		if *bound != nil {
			left := max(0, **bound-cost)
			*bound = &left
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
	cost  float64
}
