// Package solver chooses, for all servers together, one candidate each: global plans over candidates and capacity.
//
// The package knows nothing of queues or Kubernetes: a candidate has a cost, a value to minimise, and parts that take cards of one type each.
// Solvers are chosen by registered name, are deterministic (ties go by name) and do not change their input.
//
// docs/solver.md writes the problem down as formulas.
package solver

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/ratio"
)

// Candidate is one way to serve a server.
type Candidate struct {
	// ID tells the candidate from the others of its server, such as by the accelerators it runs on.
	ID string
	// Parts that meet the targets together; none for a server that needs no replica. A candidate of several parts is taken in full or not at
	// all, one of a single part also with fewer replicas, as best effort.
	Parts []Part
	// Ratio says that several parts serve with fewer replicas too as long as these keep their ratio, as roles do: one part does what others need of it.
	Ratio bool
	// Cost in cents per hour.
	Cost float64
	// Value is what is minimised: the cost plus the price of change.
	Value float64
}

// Part is what a candidate takes of one accelerator.
type Part struct {
	// Accelerator names the accelerator, and Type the cards that the part takes capacity of.
	Accelerator, Type string
	// Replicas of the part, and the number of cards of the type that each takes, all on one node, or as many for each of its pods on theirs.
	Replicas, UnitsPerReplica int
	// Pods of a replica, which it has all of or none; 0 is 1. They divide its cards.
	Pods int
	// Domain is the key of a node label of which the nodes of a replica's pods must have one value; empty where they need not.
	Domain string
	// Cost of a replica in cents per hour, of what keeps a ratio; else it may be left out.
	Cost float64
	// Watts that a replica draws at full; of no use but to shares that bound them.
	Watts float64
	// Share of the server's requests that the part is assumed to get, from 0 to 1.
	Share float64
	// Scope is the set of nodes that the replicas can be on, by the name that nodes have it under; empty for all nodes with the type. Where no nodes are
	// given it says nothing.
	Scope string
}

// On is the candidate of so many replicas on one accelerator, which gets all requests, valued at its cost.
func On(accelerator, kind string, replicas, unitsPerReplica int, cost float64) Candidate {
	return Candidate{ID: accelerator, Parts: []Part{{Accelerator: accelerator, Type: kind, Replicas: replicas, UnitsPerReplica: unitsPerReplica, Share: 1}}, Cost: cost, Value: cost}
}

// Replicas of all parts.
func (c Candidate) Replicas() int {
	n := 0
	for i := range c.Parts {
		n += c.Parts[i].Replicas
	}
	return n
}

// Units is the number of cards the candidate takes in all.
func (c Candidate) Units() int {
	n := 0
	for i := range c.Parts {
		n += c.Parts[i].Replicas * c.Parts[i].UnitsPerReplica
	}
	return n
}

// Types of the cards that the candidate takes, as "A100+L4".
func (c Candidate) Types() string {
	if len(c.Parts) == 1 {
		return c.Parts[0].Type
	}
	names := make([]string, len(c.Parts))
	for i := range c.Parts {
		names[i] = c.Parts[i].Type
	}
	return strings.Join(names, "+")
}

// UnitsPerPod is how many cards a pod of the part takes, all on one node.
func (p *Part) UnitsPerPod() int { return p.UnitsPerReplica / max(p.Pods, 1) }

// PodsOf so many replicas of the part.
func (p *Part) PodsOf(replicas int) int { return replicas * max(p.Pods, 1) }

// Resized is the candidate with so many replicas in all, where it has any: parts keep their proportions as well as whole replicas can, the largest
// remainders and then the first rounded up. One that keeps a ratio has at most so many ([ratio.Within]). Cost and value are as they were.
func (c Candidate) Resized(replicas int) Candidate {
	resized, all := c, c.Replicas()
	if all == 0 {
		return resized
	}
	if c.Ratio {
		resized.Parts = slices.Clone(c.Parts)
		for i, n := range ratio.Within(c.counts(), replicas) {
			resized.Parts[i].Replicas = n
		}
		return resized
	}
	resized.Parts = slices.Clone(c.Parts)
	left := replicas
	order := make([]int, len(c.Parts))
	for i := range c.Parts {
		order[i] = i
		resized.Parts[i].Replicas = c.Parts[i].Replicas * replicas / all
		left -= resized.Parts[i].Replicas
	}
	rest := func(i int) int { return c.Parts[i].Replicas * replicas % all }
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rest(b), rest(a)) })
	for _, i := range order[:left] {
		resized.Parts[i].Replicas++
	}
	return resized
}

// uses calls f for each part that takes cards.
func (c *Candidate) uses(f func(part *Part)) {
	for i := range c.Parts {
		if c.Parts[i].Replicas > 0 {
			f(&c.Parts[i])
		}
	}
}

// cards is the number of cards of a type that the candidate takes.
func (c *Candidate) cards(kind string) int {
	n := 0
	for i := range c.Parts {
		if c.Parts[i].Type == kind {
			n += c.Parts[i].Replicas * c.Parts[i].UnitsPerReplica
		}
	}
	return n
}

// Server is one server with its ways to be served.
type Server struct {
	// Name is unique among the servers of a problem.
	Name string
	// Priority of the server's class: 1 is the highest.
	Priority int
	// Weight is what serving the server counts among those of its priority, such as its load; 0 counts as 1, so that servers are counted.
	Weight int
	// Share is the name of the share that bounds it with others; empty for none.
	Share string
	// Penalty is what leaving the server unserved costs, in cents per hour, where the problem is a weighted sum.
	Penalty float64
	// Candidates that meet the server's targets, in any order. None: the server is reported as unserved.
	Candidates []Candidate
}

// weight is what serving the server counts.
func (s *Server) weight() int { return max(1, s.Weight) }

// Problem is what a solver is asked.
type Problem struct {
	// Servers, in any order.
	Servers []Server
	// Capacity is the number of cards that can be placed, by type. A type that is absent has none.
	Capacity map[string]int
	// Nodes with their free cards, of types whose replicas have to fit on nodes. They replace the Capacity of their types: what is left on a
	// node is capacity only for replicas that it holds.
	Nodes []Node
	// Elastic is capacity that does not exist yet but can be bought. Only exact and auto buy.
	Elastic []Elastic
	// Shares bound what servers take together, and say what others must leave to them.
	Shares []Share
	// Cohorts bound what several shares take together.
	Cohorts []Cohort
	// Prices of cards by type, cents per hour, from the last solution of a problem that differed little: they make exact faster and change
	// nothing else but, within the gap, which of equally good plans is found.
	Prices map[string]float64
	// WeightedSum minimises values and the penalties of servers that are not served, together, instead of serving by priority first. A server
	// whose candidates all cost more than its penalty goes without. Best effort comes last, as with DelayedBestEffort.
	WeightedSum bool
	// Unlimited ignores capacity of all kinds. What shares have at most bounds them all the same.
	Unlimited bool
	// SaturationPolicy says how servers that cannot be served in full share what is left: a v1alpha1.Saturation constant; empty is None.
	SaturationPolicy string
	// StopAt ends the search after so many units of work, as if the deadline had struck there; 0 is never. With the Work of a solution that a
	// deadline has ended, the same problem ends at the same point, with the same solution.
	StopAt int64
	// DelayedBestEffort serves best effort after all priorities had their turn. Without it, the best effort of a priority comes before the
	// service of lower ones.
	DelayedBestEffort bool
}

// Node is a node with cards of one type.
type Node struct {
	// Name is unique among the nodes of a problem.
	Name string
	Type string
	// Free cards: those that nobody else's pods hold, on a node that takes pods.
	Free int
	// Scopes are the sets of nodes that it belongs to.
	Scopes []string
	// Portions are, by scope, what a replica takes of each of its other resources, as shares of what is free of them; see [placement.Node].
	Portions map[string][]float64
	// Domains are the values of the labels that domains are told by.
	Domains map[string]string
}

// Elastic is a node pool that can grow in time: what comes too late must not be in the problem.
type Elastic struct {
	// Name is unique among the elastic pools of a problem.
	Name string
	Type string
	// Cards that come with each purchase, on one node.
	Cards int
	// Limit is the largest number of purchases.
	Limit int
	// Price of a purchase in cents per hour, beside the cost of the candidates that use it.
	Price float64
	// Scopes are the sets of nodes that a node which is bought will belong to, and Domains the values of its labels.
	Scopes  []string
	Domains map[string]string
}

// Choice is what a server gets.
type Choice struct {
	// Server is the index into Problem.Servers.
	Server int
	// Candidate is the index into the server's candidates, -1 where it gets nothing.
	Candidate int
	// Replicas it gets: those of the candidate, or fewer where BestEffort.
	Replicas int
	// BestEffort marks fewer replicas than the targets need.
	BestEffort bool
	// Reason says why the server gets nothing or less; empty where it is served in full.
	Reason string
}

// Solution is a solver's answer.
type Solution struct {
	// Choices, one for each server, in the order of Problem.Servers.
	Choices []Choice
	// Bought is the number of purchases from each of Problem.Elastic; nil where there are none to buy from.
	Bought []int
	// Placement is a packing of all replicas onto Problem.Nodes, of types that nodes were given of; sorted by node, then cards.
	Placement []Placement
	// Due is what the servers of shares get of their guarantees alone, in the order of Problem.Servers: what others have left to them; nil where
	// nothing is guaranteed.
	Due []Choice
	// Shares are what the shares use, in the order of Problem.Shares; nil where there are none.
	Shares []ShareUse
	// Prices are what one card more of each type would save, in cents per hour, by the relaxation; nil where the solver has none. Types of
	// which there is enough have 0.
	Prices map[string]float64
	// Value is the sum of the values of the candidates of all servers that are served in full, and of purchases. Best effort does not count.
	Value float64
	// Penalty is the sum of the penalties of all servers that are not served in full; 0 where the problem is no weighted sum.
	Penalty float64
	// LowerBound on Value + Penalty of any plan that serves as many servers of each priority, or, where the problem is a weighted sum, of any
	// plan; NaN where the solver proves none.
	LowerBound float64
	// AtMost is, by priority, the largest number of servers, or their weight, that any plan can be shown to serve in full beside as many of each
	// higher priority; nil where the solver shows nothing of the kind.
	AtMost map[int]int
	// Gap is (Value + Penalty − LowerBound) / LowerBound, 0 where both are 0; NaN where there is no bound.
	Gap float64
	// Ended is what ended the search.
	Ended Ended
	// Work is the number of units of work until then. They are counted, so that they are the same on every machine; 0 where the solver cannot
	// say.
	Work int64
	// Solver is the name of the solver that found the plan: that of the delegate where a solver delegates.
	Solver string
	// Why a solver that delegates picked this one; else empty.
	Why string
}

// Ended is what ends a search.
type Ended string

const (
	// EndedOptimal: the plan is proven to be the best.
	EndedOptimal Ended = "optimal"
	// EndedGap: it is proven to be as near to the best as was asked for.
	EndedGap Ended = "gap"
	// EndedWork: the work that the solver may do is done.
	EndedWork Ended = "work"
	// EndedDeadline: the context's deadline has struck, or the problem's StopAt was reached.
	EndedDeadline Ended = "deadline"
	// EndedFinished: the solver has nothing more to try, and proves nothing or less than was asked for.
	EndedFinished Ended = "finished"
)

// Placement says that a node holds replicas of a size and scope.
type Placement struct {
	Node                      string
	UnitsPerReplica, Replicas int
	// Scope of the replicas.
	Scope string
	// Domain and Group, where the replicas are pods that come in groups of so many, each within one domain by that label.
	Domain string
	Group  int
}

// Solver solves problems. What bounds it is work, which is counted; the context's deadline is for the case that a machine is far slower than
// expected, and then it returns the best plan it has. A problem that Validate finds fault with is an error.
type Solver interface {
	Solve(ctx context.Context, p *Problem) (*Solution, error)
}
