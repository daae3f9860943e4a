package conformance

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/solver/instances"
)

var policies = []string{"", jsonspec.SaturationNone, jsonspec.SaturationPriorityExhaustive, jsonspec.SaturationPriorityRoundRobin,
	jsonspec.SaturationRoundRobin}

// Run is the suite. Every solver must pass it; small is the number of small instances it is tried on.
func Run(t *testing.T, s solver.Solver, small int) {
	t.Run("plans hold", func(t *testing.T) { plansHold(t, s, small) })
	t.Run("the same whatever the order", func(t *testing.T) { orderless(t, s, small/4) })
	t.Run("optimal without limits", func(t *testing.T) { unlimited(t, s, small/4) })
	t.Run("bad input is named", func(t *testing.T) { badInput(t, s) })
	t.Run("reasons say what lacks", func(t *testing.T) { reasons(t, s) })
	t.Run("a deadline that has passed", func(t *testing.T) { late(t, s) })
	t.Run("a deadline can be replayed", func(t *testing.T) { replayed(t, s, small/20) })
	t.Run("nothing to do", func(t *testing.T) { solveAndCheck(t, s, &solver.Problem{}) })
}

// Solve solves and fails the test on an error.
func solve(t *testing.T, s solver.Solver, p *solver.Problem) *solver.Solution {
	t.Helper()
	got, err := s.Solve(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func solveAndCheck(t *testing.T, s solver.Solver, p *solver.Problem) *solver.Solution {
	t.Helper()
	before := clone(p)
	got := solve(t, s, p)
	if err := Check(p, got); err != nil {
		t.Fatalf("%v\nin %+v\nof %+v", err, got, p)
	}
	if diff := cmp.Diff(before, p, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("the problem was changed:\n%s", diff)
	}
	return got
}

func clone(p *solver.Problem) *solver.Problem {
	c := *p
	c.Servers = append([]solver.Server(nil), p.Servers...)
	for i := range c.Servers {
		c.Servers[i].Candidates = append([]solver.Candidate(nil), p.Servers[i].Candidates...)
	}
	c.Capacity = map[string]int{}
	for k, v := range p.Capacity {
		c.Capacity[k] = v
	}
	return &c
}

func plansHold(t *testing.T, s solver.Solver, n int) {
	for seed := range uint64(n) {
		p := instances.Small(seed)
		p.SaturationPolicy = policies[seed%uint64(len(policies))]
		got := solveAndCheck(t, s, p)
		if best := BruteForce(p); p.SaturationPolicy == "" && Of(p, got).Compare(best) < 0 {
			t.Fatalf("seed %d: better than the best %+v: %+v", seed, best, Of(p, got))
		}
	}
	for seed := range uint64(n / 4) {
		p := instances.Placed(seed)
		p.SaturationPolicy = policies[seed%uint64(len(policies))]
		solveAndCheck(t, s, p)
	}
	for seed := range uint64(n / 4) {
		p := instances.Scoped(seed)
		if seed%2 == 1 {
			p = instances.Mixed(seed)
		}
		p.SaturationPolicy = policies[seed%uint64(len(policies))]
		got := solveAndCheck(t, s, p)
		if best := BruteForce(p); p.SaturationPolicy == "" && len(got.Bought) == 0 && Of(p, got).Compare(best) < 0 {
			t.Fatalf("seed %d: better than the best %+v: %+v", seed, best, Of(p, got))
		}
	}
	for seed := range uint64(n / 4) {
		p := instances.Racked(seed)
		p.SaturationPolicy = policies[seed%uint64(len(policies))]
		got := solveAndCheck(t, s, p)
		if best := BruteForce(p); p.SaturationPolicy == "" && len(got.Bought) == 0 && Of(p, got).Compare(best) < 0 {
			t.Fatalf("seed %d: better than the best %+v: %+v", seed, best, Of(p, got))
		}
	}
	for seed := range uint64(n / 4) {
		p := instances.Bundled(seed)
		p.SaturationPolicy = policies[seed%uint64(len(policies))]
		got := solveAndCheck(t, s, p)
		if best := BruteForce(p); p.SaturationPolicy == "" && Of(p, got).Compare(best) < 0 {
			t.Fatalf("seed %d: better than the best %+v: %+v", seed, best, Of(p, got))
		}
	}
	for seed := range uint64(n / 2) {
		p := instances.Roles(seed)
		p.SaturationPolicy = policies[seed%uint64(len(policies))]
		got := solveAndCheck(t, s, p)
		if best := BruteForce(p); p.SaturationPolicy == "" && Of(p, got).Compare(best) < 0 {
			t.Fatalf("seed %d: better than the best %+v: %+v", seed, best, Of(p, got))
		}
	}
	for seed := range uint64(n / 8) {
		for _, p := range []*solver.Problem{instances.Counted(seed), instances.Summed(seed)} {
			p.SaturationPolicy = policies[seed%uint64(len(policies))]
			got := solveAndCheck(t, s, p)
			if best := BruteForce(p); p.SaturationPolicy == "" && len(got.Bought) == 0 && Of(p, got).Compare(best) < 0 {
				t.Fatalf("seed %d: better than the best %+v: %+v", seed, best, Of(p, got))
			}
		}
	}
	for seed := range uint64(n / 2) {
		p := instances.Shared(seed)
		if seed%2 == 1 {
			p = instances.Cohorts(seed)
		}
		p.SaturationPolicy = policies[seed%uint64(len(policies))]
		p.Unlimited = seed%10 == 9
		got := solveAndCheck(t, s, p)
		if best := BruteForce(p, got.Due...); p.SaturationPolicy == "" && Of(p, got).Compare(best) < 0 {
			t.Fatalf("seed %d: better than the best %+v: %+v", seed, best, Of(p, got))
		}
	}
	solveAndCheck(t, s, instances.Fleet(1, 60, 8, .5))
	solveAndCheck(t, s, instances.SharedFleet(1, 60, 8, .5, 5, .6))
}

// orderless: servers, and the candidates of each, in another order give the same plan, and a second run gives the very same answer.
func orderless(t *testing.T, s solver.Solver, n int) {
	for seed := range uint64(n) {
		p := instances.Small(seed)
		switch seed % 4 {
		case 3:
			p = instances.Scoped(seed)
		case 0:
			p = instances.Placed(seed)
		case 1:
			p = instances.Bundled(seed)
		case 2:
			p = instances.Shared(seed)
		}
		p.SaturationPolicy = policies[seed%uint64(len(policies))]
		first := solve(t, s, p)
		if diff := cmp.Diff(first, solve(t, s, p), cmpopts.EquateNaNs()); diff != "" {
			t.Fatalf("seed %d: a second run differs:\n%s", seed, diff)
		}
		q := clone(p)
		r := rand.New(rand.NewPCG(seed, 1))
		r.Shuffle(len(q.Servers), func(i, j int) { q.Servers[i], q.Servers[j] = q.Servers[j], q.Servers[i] })
		for i := range q.Servers {
			c := q.Servers[i].Candidates
			r.Shuffle(len(c), func(i, j int) { c[i], c[j] = c[j], c[i] })
		}
		if diff := cmp.Diff(named(p, first), named(q, solve(t, s, q))); diff != "" {
			t.Fatalf("seed %d: another order gives another plan:\n%s", seed, diff)
		}
	}
}

type outcome struct {
	Candidate  solver.Candidate
	Replicas   int
	BestEffort bool
	Reason     string
}

func named(p *solver.Problem, s *solver.Solution) map[string]outcome {
	m := map[string]outcome{}
	for i, c := range s.Choices {
		o := outcome{Replicas: c.Replicas, BestEffort: c.BestEffort, Reason: c.Reason}
		if c.Candidate >= 0 {
			o.Candidate = p.Servers[i].Candidates[c.Candidate]
		}
		m[p.Servers[i].Name] = o
	}
	return m
}

func unlimited(t *testing.T, s solver.Solver, n int) {
	for seed := range uint64(n) {
		p := instances.Small(seed)
		p.Unlimited = true
		if got, best := Of(p, solveAndCheck(t, s, p)), BruteForce(p); got.Compare(best) != 0 {
			t.Fatalf("seed %d: got %+v, want %+v", seed, got, best)
		}
	}
}

func badInput(t *testing.T, s solver.Solver) {
	part := func(p *solver.Problem) *solver.Part { return &p.Servers[0].Candidates[0].Parts[0] }
	for _, c := range []struct {
		name   string
		spoil  func(p *solver.Problem)
		errors []string
	}{
		{"NaN cost", func(p *solver.Problem) { p.Servers[0].Candidates[0].Cost = math.NaN() }, []string{"servers[one].candidates[0]", "cost: NaN"}},
		{"negative value", func(p *solver.Problem) { p.Servers[0].Candidates[0].Value = -2 }, []string{"value: -2"}},
		{"infinite value", func(p *solver.Problem) { p.Servers[0].Candidates[0].Value = math.Inf(1) }, []string{"value: +Inf"}},
		{"negative replicas", func(p *solver.Problem) { part(p).Replicas = -3 }, []string{"parts[0]", "replicas: -3"}},
		{"no units", func(p *solver.Problem) { part(p).UnitsPerReplica = 0 }, []string{"unitsPerReplica: 0"}},
		{"too many units", func(p *solver.Problem) { part(p).Replicas = math.MaxInt }, []string{"replicas: 9223372036854775807"}},
		{"pods that do not share cards", func(p *solver.Problem) { part(p).Pods = 3; part(p).UnitsPerReplica = 4 }, []string{"pods: 3 do not share 4 units"}},
		{"cost of a part", func(p *solver.Problem) { part(p).Cost = -1 }, []string{"parts[0]: cost: -1"}},
		{"no type", func(p *solver.Problem) { part(p).Type = "" }, []string{"type: empty"}},
		{"share", func(p *solver.Problem) { part(p).Share = 1.5 }, []string{"servers[one].candidates[0]: parts[0]: share: 1.5"}},
		{"stop", func(p *solver.Problem) { p.StopAt = -9 }, []string{"stopAt: -9"}},
		{"priority", func(p *solver.Problem) { p.Servers[0].Priority = 0 }, []string{"servers[one].priority: 0"}},
		{"weight", func(p *solver.Problem) { p.Servers[0].Weight = -7 }, []string{"servers[one].weight: -7"}},
		{"penalty", func(p *solver.Problem) { p.Servers[0].Penalty = math.NaN() }, []string{"servers[one].penalty: NaN"}},
		{"twins", func(p *solver.Problem) { p.Servers[1].Name = "one" }, []string{`servers[1].name: "one"`}},
		{"nameless", func(p *solver.Problem) { p.Servers[1].Name = "" }, []string{"servers[1].name: empty"}},
		{"capacity", func(p *solver.Problem) { p.Capacity["A"] = -1 }, []string{"capacity[A]: -1"}},
		{"share", func(p *solver.Problem) { p.Servers[0].Share = "nobody" }, []string{`servers[one].share: "nobody"`}},
		{"cohort", func(p *solver.Problem) {
			p.Cohorts = []solver.Cohort{{Name: "c", Shares: []string{"nobody"}, Most: map[string]int{"A": -1}}}
		}, []string{`cohorts[c].shares: "nobody"`, "cohorts[c].most[A]: -1"}},
		{"guarantee", func(p *solver.Problem) { p.Shares = []solver.Share{{Name: "t", Guaranteed: map[string]int{"A": -1}}} }, []string{"shares[t].guaranteed[A]: -1"}},
		{"policy", func(p *solver.Problem) { p.SaturationPolicy = "All" }, []string{`saturationPolicy: "All"`}},
		{"all at once", func(p *solver.Problem) { p.SaturationPolicy = "All"; p.Capacity["A"] = -1 }, []string{`"All"`, "capacity[A]"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			good := func() []solver.Candidate { return []solver.Candidate{solver.On("A", "A", 1, 1, 1)} }
			p := &solver.Problem{Capacity: map[string]int{"A": 1}, Servers: []solver.Server{
				{Name: "one", Priority: 1, Candidates: good()}, {Name: "two", Priority: 1, Candidates: good()}}}
			c.spoil(p)
			_, err := s.Solve(context.Background(), p)
			for _, want := range c.errors {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v does not say %q", err, want)
				}
			}
		})
	}
}

func reasons(t *testing.T, s solver.Solver) {
	p := &solver.Problem{Capacity: map[string]int{"A100": 3}, Servers: []solver.Server{
		{Name: "big", Priority: 1, Candidates: []solver.Candidate{solver.On("4xA100", "A100", 2, 4, 1)}},
		{Name: "none", Priority: 1},
	}}
	got := solveAndCheck(t, s, p)
	if want := "needs 8 × A100, 3 left"; !strings.Contains(got.Choices[0].Reason, want) {
		t.Errorf("reason %q does not say %q", got.Choices[0].Reason, want)
	}
	if want := "no accelerator meets its targets"; got.Choices[1].Reason != want {
		t.Errorf("reason %q, want %q", got.Choices[1].Reason, want)
	}
}

func late(t *testing.T, s solver.Solver) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p := instances.Fleet(2, 40, 6, .5)
	got, err := s.Solve(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(p, got); err != nil {
		t.Fatal(err)
	}
}

// Countdown is a context whose deadline strikes after so many questions whether it has: a deadline that does not hang on the machine.
type Countdown struct {
	context.Context
	Questions int
}

// Err counts the question.
func (c *Countdown) Err() error {
	if c.Questions--; c.Questions < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// replayed: wherever a deadline strikes, the plan holds, and the same problem with the work that was done until then gives the same answer. A
// deadline that does not strike changes nothing.
func replayed(t *testing.T, s solver.Solver, n int) {
	struck := 0
	for seed := range uint64(n) {
		for _, p := range []*solver.Problem{instances.Small(seed), instances.Placed(seed), instances.Scoped(seed), instances.Racked(seed), instances.Bundled(seed), instances.Summed(seed), instances.Shared(seed), instances.Cohorts(seed), instances.Fleet(seed, 12, 4, .6)} {
			p.SaturationPolicy = policies[seed%uint64(len(policies))]
			whole := solve(t, s, p)
			for questions := range 5 {
				ctx := &Countdown{context.Background(), questions * questions * questions * int(1+seed)}
				got, err := s.Solve(ctx, p)
				if err != nil {
					t.Fatal(err)
				}
				if err := Check(p, got); err != nil {
					t.Fatalf("seed %d, ended at question %d: %v", seed, questions, err)
				}
				again, want := *p, whole
				if got.Ended == solver.EndedDeadline {
					struck++
					again.StopAt, want = got.Work, got
				}
				if diff := cmp.Diff(want, solve(t, s, &again), cmpopts.EquateNaNs()); diff != "" {
					t.Fatalf("seed %d, ended at question %d: replayed until %d it differs:\n%s", seed, questions, again.StopAt, diff)
				}
			}
		}
	}
	t.Logf("%d searches were ended by a deadline", struck)
}
