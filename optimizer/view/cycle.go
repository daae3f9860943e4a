// Package view makes of a cycle what people look at: who runs where, what it costs, who misses targets, what binds. It is pure; the console serves it,
// whatever the cycle was read from.
//
// Numbers have the units of resources and of the JSON specification: milliseconds, requests per minute, cents per hour. What was not measured is absent.
package view

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// Cycle is what was decided at one time, and from what.
type Cycle struct {
	ID       string
	Snapshot *specification.Snapshot
	// State before the decision.
	State    control.State
	Decision *specification.Decision
	// Conditions of servers by name; absent where there are no resources.
	Conditions map[string][]metav1.Condition
	// OnNodes says where replicas run; nil where only the plan is known, which packs them.
	OnNodes []OnNode
	// Unread says what could not be read.
	Unread []string
}

// OnNode is a replica of a server on a node.
type OnNode struct{ Node, Server, Accelerator string }

// Milliseconds since the Unix epoch; 0 where there is no clock.
func (c *Cycle) Milliseconds() int64 {
	if c.Snapshot.Time.IsZero() {
		return 0
	}
	return c.Snapshot.Time.UnixMilli()
}

// Only is the cycle as somebody sees it who may see the servers of some namespaces: of others only cards in sum.
func (c *Cycle) Only(allowed func(namespace string) bool) *Cycle {
	out, snapshot, decision := *c, *c.Snapshot, *c.Decision
	out.Snapshot, out.Decision = &snapshot, &decision
	hidden := map[string]bool{}
	snapshot.System.Servers.Spec = nil
	for _, e := range c.Snapshot.System.Servers.Spec {
		if allowed(e.Namespace) {
			snapshot.System.Servers.Spec = append(snapshot.System.Servers.Spec, e)
		} else {
			hidden[e.Name] = true
		}
	}
	out.OnNodes = slices.DeleteFunc(slices.Clone(c.OnNodes), func(r OnNode) bool { return hidden[r.Server] })
	decision.Plan.Unserved = slices.DeleteFunc(slices.Clone(c.Decision.Plan.Unserved), func(u jsonspec.Unserved) bool { return hidden[u.Server] })
	decision.Candidates, decision.Learning, decision.Probes = nil, nil, nil
	decision.Plan.Allocations, decision.Verdicts = map[string]jsonspec.Allocation{}, map[string]fleet.Verdict{}
	decision.Plan.TotalCost, decision.Plan.Shares = 0, nil
	for name, a := range c.Decision.Plan.Allocations {
		if !hidden[name] {
			decision.Plan.Allocations[name] = a
			decision.Plan.TotalCost += a.Cost
		}
	}
	for name, v := range c.Decision.Verdicts {
		if !hidden[name] {
			decision.Verdicts[name] = v
		}
	}
	return &out
}

// verdict on a server. A log leaves out that of servers that are planned.
func (c *Cycle) verdict(name string) fleet.Verdict {
	if v, said := c.Decision.Verdicts[name]; said {
		return v
	}
	if a, planned := c.Decision.Plan.Allocations[name]; planned {
		return fleet.Verdict{Planned: !a.BestEffort, Reason: v1alpha1.ReasonPlanned, Message: a.Reason}
	}
	return fleet.Verdict{Message: "nothing was decided"}
}

// partsOf an allocation, by accelerator.
func partsOf(a *jsonspec.Allocation) []jsonspec.AllocationPart {
	switch {
	case a == nil:
		return nil
	case len(a.Parts) > 0:
		return a.Parts
	case a.Accelerator == "":
		return nil
	}
	return []jsonspec.AllocationPart{{Accelerator: a.Accelerator, Replicas: a.NumReplicas, MaxBatchSize: a.MaxBatch, MaxBatchedTokens: a.MaxBatchedTokens, Share: 1}}
}

// system answers questions about a cycle's system.
type system struct {
	*jsonspec.System
	classes      map[string]*jsonspec.ServiceClassEntry
	accelerators map[string]*jsonspec.AcceleratorEntry
	performance  map[[2]string]*jsonspec.PerformanceEntry
}

func systemOf(s *jsonspec.System) *system {
	out := &system{s, map[string]*jsonspec.ServiceClassEntry{}, map[string]*jsonspec.AcceleratorEntry{}, map[[2]string]*jsonspec.PerformanceEntry{}}
	for i := range s.ServiceClasses.Spec {
		out.classes[s.ServiceClasses.Spec[i].Name] = &s.ServiceClasses.Spec[i]
	}
	for i := range s.Accelerators.Spec {
		out.accelerators[s.Accelerators.Spec[i].Name] = &s.Accelerators.Spec[i]
	}
	for i := range s.Models.Spec {
		p := &s.Models.Spec[i]
		out.performance[[2]string{p.Name, p.Acc}] = p
	}
	return out
}

// target of a server; zero where there is none.
func (s *system) target(e *jsonspec.ServerEntry) jsonspec.ModelTarget {
	if class := s.classes[e.Class]; class != nil {
		for _, t := range class.ModelTargets {
			if t.Model == e.Model {
				return t
			}
		}
	}
	return jsonspec.ModelTarget{}
}

func (s *system) priority(class string) int {
	if c := s.classes[class]; c != nil {
		return c.Priority
	}
	return 0
}

// cards of a replica, and their type.
func (s *system) cards(model, accelerator string) (kind string, cards int) {
	a := s.accelerators[accelerator]
	if a == nil {
		return accelerator, 1
	}
	n := 1
	if p := s.performance[[2]string{model, accelerator}]; p != nil {
		n = p.Accelerators()
	}
	return a.CardType(a.Name), n * a.Cards()
}
