package control_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/solver/conformance"
)

// golden is what the reference answers to a sample system: see test/data/README.md.
type golden struct {
	system    string
	capacity  float64 // factor
	unlimited bool
	policy    string // empty where unlimited
	delayed   bool
	answer    *jsonspec.Solution
}

var goldenPolicies = map[string]string{
	"greedy-none": jsonspec.SaturationNone, "greedy-priority-exhaustive": jsonspec.SaturationPriorityExhaustive,
	"greedy-round-robin": jsonspec.SaturationRoundRobin, "greedy-delayed-priority-round-robin": jsonspec.SaturationPriorityRoundRobin,
}

func goldens(t *testing.T) map[string]golden {
	t.Helper()
	files, err := filepath.Glob("../../test/data/golden/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	all := map[string]golden{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		system, rest, _ := strings.Cut(name, "-capacity")
		factor, policy, _ := strings.Cut(rest, "-")
		g := golden{system: system, policy: goldenPolicies[policy], unlimited: policy == "unlimited", answer: new(jsonspec.Solution), delayed: strings.Contains(policy, "delayed")}
		if g.capacity, err = strconv.ParseFloat(factor, 64); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, g.answer); err != nil {
			t.Fatal(err)
		}
		all[name] = g
	}
	return all
}

// question is the problem that the reference was asked, with the candidates that we find.
func (g *golden) question(t *testing.T) *solver.Problem {
	s := load(t, g.system)
	s.Optimizer.Spec.Unlimited = true
	p := &solver.Problem{Capacity: map[string]int{}, Unlimited: g.unlimited, SaturationPolicy: g.policy, DelayedBestEffort: g.delayed}
	for _, c := range s.Capacity.Count {
		p.Capacity[c.Type] = int(g.capacity * float64(c.Count))
	}
	at := map[string]int{}
	for _, c := range decide(t, s, control.State{}).Candidates {
		i, known := at[c.Server]
		if !known {
			i = len(p.Servers)
			at[c.Server] = i
			p.Servers = append(p.Servers, solver.Server{Name: c.Server, Priority: c.Priority})
		}
		if c.Feasible {
			p.Servers[i].Candidates = append(p.Servers[i].Candidates, solver.On(c.Accelerator, c.Type, c.NumReplicas, c.Units/c.NumReplicas, c.Cost))
		}
	}
	return p
}

// full is the candidate that the reference serves the server with in full, -1 where it does not.
func (g *golden) full(s *solver.Server) int {
	a, ok := g.answer.Allocations[s.Name]
	for j, c := range s.Candidates {
		if ok && c.ID == a.Accelerator && c.Replicas() == a.NumReplicas {
			return j
		}
	}
	return -1
}

func solveExactly(t *testing.T, p *solver.Problem) *solver.Solution {
	t.Helper()
	x, err := solver.NewExact(solver.DefaultExactOptions())
	if err != nil {
		t.Fatal(err)
	}
	got, err := x.Solve(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	if err := conformance.Check(p, got); err != nil {
		t.Error(err)
	}
	return got
}

// The saturation policies are those of the reference: given what it serves in full, the rest gets the same from what is left.
func TestGoldenPolicies(t *testing.T) {
	agreed := 0
	for name, g := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			p := g.question(t)
			for i := range p.Servers {
				if j := g.full(&p.Servers[i]); j >= 0 {
					p.Servers[i].Candidates = p.Servers[i].Candidates[j : j+1]
				}
			}
			for i, c := range solveExactly(t, p).Choices {
				got, want := "nothing", "nothing"
				if c.Candidate >= 0 {
					got = fmt.Sprintf("%d × %s", c.Replicas, p.Servers[i].Candidates[c.Candidate].ID)
				}
				if a, ok := g.answer.Allocations[p.Servers[i].Name]; ok {
					want = fmt.Sprintf("%d × %s", a.NumReplicas, a.Accelerator)
				}
				if got != want {
					t.Errorf("%s gets %s, of the reference %s", p.Servers[i].Name, got, want)
				}
				if c.BestEffort {
					agreed++
				}
			}
		})
	}
	if agreed < 20 {
		t.Errorf("%d servers got best effort: the test says little", agreed)
	}
}

// No plan of the reference serves more or costs less; without limits, where its answer is the only one and optimal, ours is the same.
func TestGoldenPlans(t *testing.T) {
	solved := map[golden]*solver.Solution{} // the policy plays no part
	for name, g := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			p := g.question(t)
			p.SaturationPolicy, p.DelayedBestEffort = "", true
			reference := &solver.Solution{Choices: make([]solver.Choice, len(p.Servers))}
			for i := range p.Servers {
				reference.Choices[i] = solver.Choice{Server: i, Candidate: g.full(&p.Servers[i])}
			}
			question := golden{system: g.system, capacity: g.capacity, unlimited: g.unlimited}
			got := solved[question]
			if got == nil {
				got = solveExactly(t, p)
				solved[question] = got
			}
			ours, theirs := conformance.Of(p, got), conformance.Of(p, reference)
			if ours.Compare(theirs) > 0 {
				t.Errorf("%+v, the reference has %+v", ours, theirs)
			}
			for i, c := range got.Choices {
				if j := reference.Choices[i].Candidate; p.Unlimited && c.Candidate != j {
					t.Errorf("%s gets %+v, of the reference %+v", p.Servers[i].Name, p.Servers[i].Candidates[c.Candidate], p.Servers[i].Candidates[j])
				}
			}
		})
	}
}
