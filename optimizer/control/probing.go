package control

import (
	"fmt"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
	"github.com/llm-inferno/inferno/optimizer/solver"
)

// Probing is a probe that is acted on, or was: a server's plan has more replicas than it needs, so that fewer requests run on each than where
// its pair was seen so far.
type Probing struct {
	Server      string `json:"server"`
	Model       string `json:"model"`
	Accelerator string `json:"accelerator"`
	// Replicas that the plan has at least.
	Replicas int `json:"replicas"`
	// Since and Until in seconds since the Unix epoch. Until then it lasts; it is remembered until the next may begin.
	Since float64 `json:"since"`
	Until float64 `json:"until"`
}

const (
	// probeEvery is the least time between two probes of a pair, in seconds, where none is given.
	probeEvery = 3600
	// probeWindows that a probe lasts, from when its replicas are ready: the first shows a batch that still changes.
	probeWindows = 4
	// pessimism is the probability that ITL at the probe is no longer than where its targets are checked.
	pessimism = 0.95
	// relevance is how many times as much as it gets a replica may at most be taken to sustain, for that to matter.
	relevance = 3
)

// probe suggests probes, and where they are to be acted on continues those that last and begins others, by giving choices of the solution
// more replicas. It returns the suggestions and what to remember. Since it comes after the solver it takes only cards that no plan wants.
func (st *Stages) probe(solved []*work, p *solver.Problem, s *solver.Solution, before []Probing, now float64) ([]v1alpha1.Probe, []Probing) {
	var list []v1alpha1.Probe
	var after []Probing
	if !st.Probing {
		return nil, nil
	}
	if st.ProbeEvery > 0 && now > 0 {
		for _, b := range before {
			if now < max(b.Until, b.Since+st.ProbeEvery) {
				after = append(after, b)
			}
		}
	}
	left := roomOf(p, s)
	for i := range s.Choices {
		choice, w := &s.Choices[i], solved[i]
		c := w.probed(choice)
		if c == nil {
			continue
		}
		lasting := slices.IndexFunc(after, func(a Probing) bool {
			return a.Server == w.entry.Name && a.Accelerator == c.ID && now < a.Until
		})
		suggestion, worth := w.suggest(c)
		switch {
		case lasting >= 0:
			if a := &after[lasting]; st.apply(a, w, choice, c, left) {
				suggestion, worth = a.report(suggestion), true
			} else {
				a.Until = now // it rests from here on
			}
		case worth && st.ProbeEvery > 0 && now > 0 && !rests(after, w.entry.Model, c.ID):
			if begun, ok := st.begins(w, choice, c, left, now); ok {
				after = append(after, begun)
				suggestion = begun.report(suggestion)
			}
		}
		if worth {
			list = append(list, suggestion)
		}
	}
	slices.SortFunc(after, func(a, b Probing) int {
		return strings.Compare(a.Model+"\x00"+a.Accelerator, b.Model+"\x00"+b.Accelerator)
	})
	return list, after
}

// probed is the candidate of a choice that could be probed; nil where it was not sized, or is split or not served in full.
func (w *work) probed(choice *solver.Choice) *candidate {
	if choice.Candidate < 0 || choice.Replicas == 0 || choice.BestEffort {
		return nil
	}
	c := w.feasible[w.options[choice.Candidate].Of]
	if c.replica == nil || c.pair == nil || !(c.rate > 0) || len(c.parts) > 0 || c.fault != nil {
		return nil
	}
	return c
}

// point at which a replica runs that gets so many requests per second.
func (w *work) point(c *candidate, rate float64) (estimation.Point, bool) {
	there, err := c.replica.Open(rate)
	return estimation.Point{Running: there.InService, InputTokens: w.demand.in, OutputTokens: w.demand.out}, err == nil
}

// suggest a probe of what the plan counts on: ITL at the highest rate that a replica is taken to sustain.
func (w *work) suggest(c *candidate) (v1alpha1.Probe, bool) {
	at, known := w.point(c, c.rate)
	suggestion := v1alpha1.Probe{Server: w.entry.Name, Model: w.entry.Model, Accelerator: c.ID, PlannedRunning: at.Running}
	if !known {
		return suggestion, false
	}
	if p, ok := estimation.SuggestProbe(c.pair.perf, at, float64(c.limits.MaxBatch)); ok {
		suggestion.Running, suggestion.SDBefore, suggestion.SDAfter = p.Running, p.Before, p.After
		return suggestion, true
	}
	if sd, err := estimation.Uncertainty(c.pair.perf, at); err == nil {
		suggestion.SDBefore, suggestion.SDAfter = sd, sd
	}
	return suggestion, false
}

// report what is done about a suggestion.
func (a *Probing) report(suggestion v1alpha1.Probe) v1alpha1.Probe {
	suggestion.Replicas, suggestion.Until = a.Replicas, a.Until
	return suggestion
}

// rests says whether the pair was probed lately, or is being probed.
func rests(all []Probing, model, accelerator string) bool {
	return slices.ContainsFunc(all, func(a Probing) bool { return a.Model == model && a.Accelerator == accelerator })
}

// begins a probe with the fewest more replicas that are worth it, at most as many again, where even the pessimistic view meets the targets.
// A replica that could carry many times as much is not near what its plan counts on, and what is known of that does not matter yet.
func (st *Stages) begins(w *work, choice *solver.Choice, c *candidate, left *room, now float64) (Probing, bool) {
	n := choice.Replicas
	at, known := w.point(c, c.rate)
	if !known || c.pair.unreliable || c.demand/float64(n) < c.rate/relevance {
		return Probing{}, false
	}
	for extra := 1; extra <= n; extra++ {
		there, known := w.point(c, c.demand/float64(n+extra))
		if !known {
			continue
		}
		if _, worth := estimation.WorthProbing(c.pair.perf, at, there.Running); !worth {
			continue
		}
		probing := Probing{
			Server: w.entry.Name, Model: w.entry.Model, Accelerator: c.ID, Replicas: n + extra,
			Since: now, Until: now + st.StartUp + probeWindows*st.window(),
		}
		return probing, st.apply(&probing, w, choice, c, left)
	}
	return Probing{}, false
}

// apply gives a choice the replicas of a probe: where fewer are needed, the server may have them, there are cards to spare, and the targets are
// met by the pessimistic view. The choice may have them already, because the stabiliser holds them.
func (st *Stages) apply(a *Probing, w *work, choice *solver.Choice, c *candidate, left *room) bool {
	more := max(0, a.Replicas-choice.Replicas)
	if most := w.entry.MaxNumReplicas; c.Replicas() >= a.Replicas || most > 0 && a.Replicas > most {
		return false
	}
	if !st.safe(w, c, c.demand/float64(a.Replicas)) || !left.take(c.Parts[0].Type, more, c.Parts[0].UnitsPerReplica) {
		return false
	}
	w.probe = fmt.Sprintf("%d of them to probe %s with fewer requests on each", a.Replicas-c.Replicas(), c.ID)
	choice.Replicas = max(choice.Replicas, a.Replicas)
	return true
}

// safe is whether a replica meets the targets at a rate even if the pair is slower, by what is not known of it, than it is likely to be.
func (st *Stages) safe(w *work, c *candidate, rate float64) bool {
	at, known := w.point(c, rate)
	if !known || !(at.Running > 0) {
		return false
	}
	slow, err := estimation.Cautious(c.pair.perf, at, max(pessimism, st.Confidence))
	if err != nil {
		return false
	}
	law, err := queueing.NewLaw(slow)
	if err != nil {
		return false
	}
	sustained, _, err := sizing.RatePerReplica(st.Model, law, requests(w.demand, w.demand.replicas), c.limits, w.asked.targets)
	return err == nil && c.trimmed(sustained) >= rate
}

// room is what a solution leaves.
type room struct {
	problem  *solver.Problem
	solution *solver.Solution
	cards    map[string]int // of types without nodes
	nodes    []solver.Node
}

// roomOf is the room that a solution leaves of what there is; nothing is bought for a probe.
func roomOf(p *solver.Problem, s *solver.Solution) *room {
	left := &room{problem: p, solution: s, cards: map[string]int{}, nodes: slices.Clone(p.Nodes)}
	for kind, n := range p.Capacity {
		left.cards[kind] = n
	}
	for _, choice := range s.Choices {
		if choice.Candidate < 0 {
			continue
		}
		c := &p.Servers[choice.Server].Candidates[choice.Candidate]
		for _, part := range c.Resized(choice.Replicas).Parts {
			left.cards[part.Type] -= part.Replicas * part.UnitsPerReplica
		}
	}
	for i := range left.nodes {
		for _, at := range s.Placement {
			if at.Node == left.nodes[i].Name {
				left.nodes[i].Free -= at.Replicas * at.UnitsPerReplica
			}
		}
	}
	return left
}

// take room for replicas of so many cards, and write where they go into the solution; false, and nothing taken, where there is none. Each goes
// to the first of the nodes with least room that holds it.
func (r *room) take(kind string, replicas, cards int) bool {
	if replicas == 0 || r.problem.Unlimited {
		return true
	}
	if !slices.ContainsFunc(r.nodes, func(n solver.Node) bool { return n.Type == kind }) {
		if r.cards[kind] < replicas*cards {
			return false
		}
		r.cards[kind] -= replicas * cards
		return true
	}
	nodes, placed := slices.Clone(r.nodes), slices.Clone(r.solution.Placement)
	for range replicas {
		tightest := -1
		for i, n := range nodes {
			if n.Type == kind && n.Free >= cards && (tightest < 0 || n.Free < nodes[tightest].Free) {
				tightest = i
			}
		}
		if tightest < 0 {
			return false
		}
		nodes[tightest].Free -= cards
		at := slices.IndexFunc(placed, func(p solver.Placement) bool { return p.Node == nodes[tightest].Name && p.UnitsPerReplica == cards })
		if at < 0 {
			placed = append(placed, solver.Placement{Node: nodes[tightest].Name, UnitsPerReplica: cards, Replicas: 1})
			continue
		}
		placed[at].Replicas++
	}
	r.nodes, r.solution.Placement = nodes, placed
	return true
}
