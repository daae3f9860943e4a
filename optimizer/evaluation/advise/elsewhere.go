package advise

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/recommend"
)

// Elsewhere is what a server would need on accelerators for the highest rate that was measured of it.
type Elsewhere struct {
	Server string `json:"server"`
	// Rate of requests per second that it is sized for.
	Rate float64 `json:"rate"`
	// Choices begin with what it runs on, then come others by cautious cost.
	Choices []Choice `json:"choices"`
	// Excluded are accelerators that are no way to serve it, each with the reason.
	Excluded []recommend.Excluded `json:"excluded,omitempty"`
}

// Choice is the cheapest way to serve on one type of card, with the caution that what is known of it asks for.
type Choice struct {
	recommend.Configuration
	// Runs says that this is the type and number of cards that the server runs on, whose law was learned.
	Runs bool `json:"runs,omitempty"`
	// CautiousCostPerHour in cents is that of so many replicas that they are enough in nine of ten cases of what is not known; absent where none are.
	CautiousCostPerHour *float64 `json:"cautiousCostPerHour,omitempty"`
}

// Elsewhere says of every server whose load is known what it would need on types of cards, and beside it on those that it runs on. Laws are those of physics,
// moved and narrowed by what was learned of the model where it runs, and as wide as that leaves them.
func (s *Studied) Elsewhere(q *Question, r *Report, types []string) ([]Elsewhere, error) {
	var all []Elsewhere
	for i := range r.Servers {
		server := &r.Servers[i]
		if !(server.PeakRate > 0 && server.InputTokens > 0 && server.OutputTokens > 0) {
			continue
		}
		k := slices.IndexFunc(s.Fits, func(f Fit) bool { return f.Model == ModelName(server.Server) && f.Accelerator == server.Accelerator })
		if k < 0 {
			continue
		}
		match := server.Serves.Match()
		answer, err := recommend.Ask(&recommend.Question{
			Model: server.Serves.Name(), Engine: match["engine"], Precision: match["precision"], Rate: server.PeakRate, InputTokens: server.InputTokens, OutputTokens: server.OutputTokens,
			ArrivalCV: s.Histories[i].arrivalCV(), Targets: q.class(server.Server).Targets, Accelerators: with(types, server.Accelerator), Prices: q.Prices, Knowledge: q.Knowledge,
			Sibling: &fitting.Sibling{Accelerator: server.Accelerator, Performance: s.Fits[k].Performance},
		})
		if err != nil {
			return nil, fmt.Errorf("%s on other accelerators: %w", server.ID(), err)
		}
		all = append(all, Elsewhere{Server: server.ID(), Rate: server.PeakRate, Choices: choices(server.Server, answer), Excluded: none(answer)})
	}
	return all, nil
}

// with another type, if it is not among them.
func with(types []string, typ string) []string {
	if slices.Contains(types, typ) {
		return types
	}
	return append([]string{typ}, types...)
}

// choices are what a server runs on, if it serves, then for each other type the cheapest by cautious cost.
func choices(s *Server, a *recommend.Answer) []Choice {
	best := map[string]Choice{}
	for _, c := range a.Configurations {
		choice := Choice{Configuration: c, Runs: c.Accelerator == s.Accelerator && c.Cards() == s.Cards}
		if c.Range.P90 != nil {
			cost := float64(*c.Range.P90*c.Cards()) * c.Price.CentsPerHour
			choice.CautiousCostPerHour = &cost
		}
		if before, there := best[c.Accelerator]; c.Accelerator == s.Accelerator && !choice.Runs || there && choice.compare(before) >= 0 {
			continue
		}
		best[c.Accelerator] = choice
	}
	all := make([]Choice, 0, len(best))
	for _, c := range best {
		all = append(all, c)
	}
	slices.SortFunc(all, func(x, y Choice) int { return cmp.Or(x.compare(y), strings.Compare(x.Accelerator, y.Accelerator)) })
	slices.SortStableFunc(all, func(x, y Choice) int {
		switch {
		case x.Runs == y.Runs:
			return 0
		case x.Runs:
			return -1
		}
		return 1
	})
	return all
}

// compare by cautious cost, then by the likely one.
func (c Choice) compare(other Choice) int {
	return cmp.Or(cmp.Compare(c.cautious(), other.cautious()), cmp.Compare(c.CostPerHour, other.CostPerHour))
}

func (c Choice) cautious() float64 {
	if c.CautiousCostPerHour == nil {
		return math.Inf(1)
	}
	return *c.CautiousCostPerHour
}

// none are types of which no number of cards serves, with the reason that the largest number has.
func none(a *recommend.Answer) []recommend.Excluded {
	var all []recommend.Excluded
	for i, e := range a.Excluded {
		last := i+1 == len(a.Excluded) || a.Excluded[i+1].Accelerator != e.Accelerator
		if last && !slices.ContainsFunc(a.Configurations, func(c recommend.Configuration) bool { return c.Accelerator == e.Accelerator }) {
			all = append(all, e)
		}
	}
	return all
}

// arrivalCV is the median of those that were measured; 1, that of Poisson, where none was.
func (h *History) arrivalCV() float64 {
	var seen []float64
	for _, m := range h.Moments {
		if m.CV >= 0 {
			seen = append(seen, m.CV)
		}
	}
	if typical := median(seen); typical != nil {
		return *typical
	}
	return 1
}
