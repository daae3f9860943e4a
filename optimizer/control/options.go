package control

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/sizing"
	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/stability"
)

// option is a way to serve a server as the solver sees it: a candidate with so many replicas, what it costs, and what counts beside.
type option struct {
	candidate *sizing.Candidate
	parts     []sizing.Part
	// cost in cents per hour.
	cost      float64
	penalties []stability.Penalty
	// note says why it has other replicas than the candidate needs; empty where it has not.
	note string
	// short says that it has fewer than the targets need.
	short bool
	// probe that it makes room for; nil where it is for none.
	probe *Probing
}

// value is what the solver minimises.
func (o *option) value() float64 {
	v := o.cost
	for _, p := range o.penalties {
		v += p.Cents
	}
	return v
}

// replicas in all.
func (o *option) replicas() int { return sizing.Count(o.parts) }

// option of a candidate of a server with so many replicas.
func (p *policy) option(s *sizing.Server, c *sizing.Candidate, replicas int, inForce map[string]int) option {
	parts := c.Parts
	if len(parts) > 0 {
		parts = c.Resize(replicas, inForce, s.Routing)
	}
	return option{candidate: c, parts: parts, cost: sizing.Cost(parts), penalties: p.standing(s, c, parts, inForce)}
}

// standing is what counts for parts beside their cost whatever the stabiliser says: the price of going there from what is in force, interruptions, and
// energy.
func (p *policy) standing(s *sizing.Server, c *sizing.Candidate, parts []sizing.Part, inForce map[string]int) []stability.Penalty {
	var list []stability.Penalty
	add := func(cents float64, reason, lifted string) {
		if cents != 0 {
			list = append(list, stability.Penalty{Cents: cents, Reason: reason, Lifted: lifted})
		}
	}
	starts, begins, moves := 0, 0.0, ""
	for _, part := range parts {
		have := inForce[part.Accelerator.Name]
		if more := part.Replicas - have; more > 0 {
			starts += more
			begins += fleet.StartPrice(p.Change, more, part.Cost())
		}
		if have == 0 && moves == "" {
			moves = part.Accelerator.Name
		}
	}
	add(begins, fmt.Sprintf("%d replicas have to start", starts), "their start")
	if moves != "" && runs(inForce) {
		add(fleet.SwitchPrice(p.Change), "moves to "+moves, "being there")
	}
	for _, part := range parts {
		if often := part.Accelerator.Interruptions; often > 0 && part.Replicas > 0 {
			price := fleet.InterruptionPrice(p.Change, part.Replicas, often, part.Cost(), part.StartUp, part.Share*c.Demand/float64(part.Replicas), s.ViolationCost)
			add(price, fmt.Sprintf("%d replicas on %s are interrupted %g times an hour each", part.Replicas, part.Accelerator.Name, often), "another interruptionsPerHour")
		}
	}
	if share := p.EnergyShare; share > 0 {
		watts := 0.0
		for _, part := range parts {
			if part.Replicas > 0 {
				draw := fleet.Watts(part.Accelerator.Power, part.Utilisation(part.Share*c.Demand/float64(part.Replicas)))
				watts += float64(part.Replicas*part.Performance.Accelerators()) * draw
			}
		}
		energy := fleet.EnergyCost(watts, p.CentsPerKWh)
		add(share*(energy-sizing.Cost(parts)), fmt.Sprintf("%g %% of the cost is that of energy, %.0f W for %.2f cents/h", 100*share, watts, energy), "another energyShare")
	}
	return list
}

// runs says whether there are replicas anywhere.
func runs(inForce map[string]int) bool {
	for _, n := range inForce {
		if n > 0 {
			return true
		}
	}
	return false
}

// stabilise turns the candidates of a server that can be chosen into options.
func (st *Stages) stabilise(q *question, s *sizing.Server, z *sizing.Sizing, m stability.Memory, p *policy, snap *fleet.Snapshot) ([]option, stability.Memory) {
	inForce := q.InForce()
	ways := make([]stability.Way, len(z.Feasible))
	for i, c := range z.Feasible {
		with := func(replicas int) option { return p.option(s, c, replicas, inForce) }
		ways[i] = stability.Way{
			ID: c.ID(), Replicas: c.Replicas(),
			Cost:   func(replicas int) float64 { o := with(replicas); return o.cost },
			Value:  func(replicas int) float64 { o := with(replicas); return o.value() },
			Needed: func(factor float64) int { return c.Needed(factor, q.MinReplicas, q.MaxReplicas) },
		}
	}
	current := stability.Current{At: present(q, z.Feasible), Load: s.Demand.Rate, StartUp: q.startUp()}
	if held := q.Held(); held != nil {
		current.Replicas, current.BestEffort = held.Replicas(), held.BestEffort
	}
	shaped, m := st.Stabiliser.Shape(snap.Time, current, ways, m)
	options := make([]option, len(shaped))
	for i, way := range shaped {
		o := p.option(s, z.Feasible[way.Of], way.Replicas, inForce)
		o.penalties, o.note, o.short = append(o.penalties, way.Penalties...), way.Note, way.Short
		options[i] = o
	}
	return options, m
}

// present is the candidate that is in force: the split that is nearest to it, else the one on the accelerator of its largest part; -1 where
// there is none.
func present(q *question, feasible []*sizing.Candidate) int {
	held := q.Held()
	if held == nil || len(held.Parts) == 0 {
		return -1
	}
	inForce := q.InForce()
	nearest, least := -1, math.MaxInt
	for i, c := range feasible {
		if d := c.Distance(inForce); c.Split() && d < least {
			nearest, least = i, d
		}
	}
	if nearest >= 0 {
		return nearest
	}
	most := largest(held.Parts).Accelerator
	return slices.IndexFunc(feasible, func(c *sizing.Candidate) bool { return len(c.Parts) == 1 && c.ID() == most })
}

// largest part of an allocation that has some: the first with most replicas.
func largest(parts []fleet.Part) fleet.Part {
	return slices.MaxFunc(parts, func(a, b fleet.Part) int { return cmp.Compare(a.Replicas, b.Replicas) })
}

// asked writes an option of a server for the solver.
func (o *option) asked(s *fleet.Server) solver.Candidate {
	c := solver.Candidate{ID: o.candidate.ID(), Cost: o.cost, Value: o.value(), Ratio: o.candidate.Apart()}
	for _, p := range o.parts {
		watts, _ := fullPower(p.Pair)
		c.Parts = append(c.Parts, solver.Part{
			Accelerator: p.Accelerator.Name, Type: p.Accelerator.Type, Replicas: p.Replicas, UnitsPerReplica: p.Cards(), Pods: p.Performance.Pods(), Domain: p.Performance.Domain(), Cost: p.Cost(), Watts: watts, Share: p.Share,
			Scope: s.Scopes[p.Accelerator.Name],
		})
	}
	return c
}

// cards by type that parts take.
func cards(parts []sizing.Part) map[string]int {
	by := map[string]int{}
	for _, p := range parts {
		if p.Replicas > 0 {
			by[p.Accelerator.Type] += p.Replicas * p.Cards()
		}
	}
	return by
}
