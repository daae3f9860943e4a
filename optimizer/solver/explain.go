package solver

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Explanation says why a server got what it got.
type Explanation struct {
	Server string
	// Options are the candidates in the order of their worth under scarcity: value plus the price of the capacity they take.
	Options []Option
	// Binding are the types whose capacity limits the plan: those with a price, the dearest first.
	Binding []string
	// Summary is one sentence for people.
	Summary string
}

// Option is one candidate of an explanation.
type Option struct {
	// Candidate is the index into the server's candidates.
	Candidate int
	// Value as the solver minimises it, in cents per hour.
	Value float64
	// Scarcity is what the cards it takes are worth to others, by the solution's prices, in cents per hour.
	Scarcity float64
	// Chosen marks the server's own.
	Chosen bool
	// Why it was chosen or not.
	Why string
}

// Explain says why the server, an index into p.Servers, got what it got in the solution.
func Explain(p *Problem, s *Solution, server int) (Explanation, error) {
	if server < 0 || server >= len(p.Servers) || len(s.Choices) != len(p.Servers) {
		return Explanation{}, fmt.Errorf("server %d of %d, with %d choices: not a server of this problem and solution", server, len(p.Servers), len(s.Choices))
	}
	d, err := replay(p, s)
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{Server: p.Servers[server].Name}
	for t, price := range s.Prices {
		if price > minGain {
			e.Binding = append(e.Binding, t)
		}
	}
	slices.SortFunc(e.Binding, func(a, b string) int { return cmp.Or(cmp.Compare(s.Prices[b], s.Prices[a]), cmp.Compare(a, b)) })
	choice := s.Choices[server]
	d.take(server)
	for j := range p.Servers[server].Candidates {
		c := &p.Servers[server].Candidates[j]
		o := Option{Candidate: j, Value: c.Value, Chosen: j == choice.Candidate}
		c.uses(func(part *Part) { o.Scarcity += s.Prices[part.Type] * float64(part.Replicas*part.UnitsPerReplica) })
		o.Why = d.why(p, s, server, c, o)
		e.Options = append(e.Options, o)
	}
	slices.SortStableFunc(e.Options, func(a, b Option) int {
		return cmp.Or(cmp.Compare(a.Value+a.Scarcity, b.Value+b.Scarcity), compareCandidates(&p.Servers[server].Candidates[a.Candidate], &p.Servers[server].Candidates[b.Candidate]))
	})
	e.Summary = e.sentence(p, choice)
	return e, nil
}

// why a candidate was chosen or not, where d is the plan without the server.
func (d *draft) why(p *Problem, s *Solution, server int, c *Candidate, o Option) string {
	choice := s.Choices[server]
	if o.Chosen {
		if choice.BestEffort {
			return fmt.Sprintf("best effort with %d of %d replicas", choice.Replicas, c.Replicas())
		}
		return "chosen"
	}
	if !d.fits(server, c) {
		l := d.lacks(server, c, nil)
		l.where += " beside the other servers"
		text := "needs " + l.words()
		if o.Scarcity > minGain {
			text += fmt.Sprintf("; to others these cards are worth %.2f cents/h", o.Scarcity)
		}
		return text
	}
	if choice.Candidate < 0 {
		return "would fit; left out by a solver that is not exact"
	}
	if own := p.Servers[server].Candidates[choice.Candidate].Value; o.Value >= own {
		return fmt.Sprintf("%.2f cents/h more than the one chosen", o.Value-own)
	}
	return "cheaper and would fit; passed over by a solver that is not exact, or within its gap"
}

func (e *Explanation) sentence(p *Problem, choice Choice) string {
	if choice.Candidate < 0 {
		return e.Server + " is not served: " + choice.Reason
	}
	i := slices.IndexFunc(e.Options, func(o Option) bool { return o.Chosen })
	own := e.Options[i]
	cheaper := 0
	for _, o := range e.Options {
		if o.Value < own.Value-minGain {
			cheaper++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s gets candidate %d at %.2f cents/h", e.Server, own.Candidate, own.Value)
	switch {
	case choice.BestEffort:
		fmt.Fprintf(&b, ", in part: %s", choice.Reason)
	case cheaper == 0:
		b.WriteString(", the cheapest of all")
	default:
		fmt.Fprintf(&b, "; %d cheaper need cards that are scarce", cheaper)
	}
	return b.String()
}

// replay makes the draft that a solution is of.
func replay(p *Problem, s *Solution) (*draft, error) {
	d := newDraft(p)
	d.owe(s.Due)
	for i, n := range s.Bought {
		d.buy(i, n)
	}
	for i, c := range s.Choices {
		if c.Candidate >= len(p.Servers[i].Candidates) {
			return nil, fmt.Errorf("choices[%d].candidate: %d, the server has %d", i, c.Candidate, len(p.Servers[i].Candidates))
		}
		if c.Candidate < 0 || c.Replicas <= 0 && p.Servers[i].Candidates[c.Candidate].Replicas() > 0 {
			continue
		}
		known := true
		p.Servers[i].Candidates[c.Candidate].uses(func(part *Part) { known = known && (p.Unlimited || d.stock[part.Type] != nil) })
		if !known {
			return nil, fmt.Errorf("choices[%d].candidate: %d takes a type without capacity", i, c.Candidate)
		}
		d.give(i, c.Candidate, c.Replicas)
	}
	return d, nil
}
