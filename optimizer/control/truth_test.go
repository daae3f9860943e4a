package control_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// randomSystem is a few servers of the small sample under all that an explanation may have to tell: plans in force, prices of change, energy, bounds,
// routings, priorities, little capacity on nodes and off.
func randomSystem(t *testing.T, r *rand.Rand) *jsonspec.System {
	s := load(t, "small")
	chance := func(p float64) bool { return r.Float64() < p }
	r.Shuffle(len(s.Servers.Spec), func(i, j int) { s.Servers.Spec[i], s.Servers.Spec[j] = s.Servers.Spec[j], s.Servers.Spec[i] })
	s.Servers.Spec = s.Servers.Spec[:1+r.IntN(5)]
	o := &s.Optimizer.Spec
	o.Unlimited, o.Heterogeneous, o.SaturationPolicy = chance(0.1), chance(0.3), []string{"", jsonspec.SaturationPriorityExhaustive, jsonspec.SaturationRoundRobin}[r.IntN(3)]
	if chance(0.3) {
		o.Change = &jsonspec.ChangePolicy{StartupSeconds: 300 * r.Float64(), Start: 10 * r.Float64(), Switch: 50 * r.Float64(), HorizonSeconds: 600 + 3600*r.Float64()}
	}
	if chance(0.3) {
		o.EnergyShare, o.CentsPerKWh = r.Float64(), 30*r.Float64()+1
	}
	if chance(0.2) {
		o.Stability = &jsonspec.Plug{Name: "none"}
	}
	for i := range s.ServiceClasses.Spec {
		s.ServiceClasses.Spec[i].Priority = 1 + r.IntN(3)
	}
	for i := range s.Capacity.Count {
		c := &s.Capacity.Count[i]
		c.Count = int(float64(c.Count) * math.Exp(-8*r.Float64()))
		if chance(0.2) {
			for n := 0; n*8 < c.Count; n++ {
				s.Capacity.Nodes = append(s.Capacity.Nodes, jsonspec.NodeCapacity{Name: fmt.Sprint(c.Type, "-", n), Type: c.Type, Free: r.IntN(9)})
			}
		}
	}
	if chance(0.4) {
		for _, m := range slices.Clone(s.Models.Spec) {
			m.AccCount, m.PodsPerReplica = 2*m.Accelerators(), 1+r.IntN(2)
			m.Role = jsonspec.RolePrefill
			s.Models.Spec = append(s.Models.Spec, m)
			m.Role = jsonspec.RoleDecode
			s.Models.Spec = append(s.Models.Spec, m)
		}
	}
	for i := range s.Servers.Spec {
		e := &s.Servers.Spec[i]
		e.CurrentAlloc.Load.ArrivalRate *= math.Exp(2 * r.NormFloat64())
		e.Routing = []string{"", jsonspec.RoutingRoundRobin, jsonspec.RoutingLeastRequest}[r.IntN(3)]
		e.KeepAccelerator = chance(0.1)
		if chance(0.2) {
			e.MaxNumReplicas = 1 + r.IntN(20)
		}
		if chance(0.7) {
			e.DesiredAlloc = &jsonspec.Allocation{
				Accelerator: s.Accelerators.Spec[r.IntN(len(s.Accelerators.Spec))].Name, NumReplicas: 1 + r.IntN(15), MaxBatch: 32, BestEffort: chance(0.1),
			}
		}
	}
	return s
}

// teller checks the sentences of one decision against its numbers.
type teller struct {
	t      *testing.T
	seed   uint64
	system *jsonspec.System
	plan   *decided
	told   map[string]int // sentences that were checked, by kind
}

func (k *teller) errorf(format string, args ...any) {
	k.t.Helper()
	k.t.Errorf("system %d: %s", k.seed, fmt.Sprintf(format, args...))
}

var (
	cheapest = regexp.MustCompile(`^(.+) is the cheapest of (\d+) that meet the targets`)
	dearer   = regexp.MustCompile(`^(.+?) costs ([\d.]+); (.+?) would cost ([\d.]+), but (counts ([\d.-]+) instead of ([\d.-]+): (.+)|lacks (.+)|the solver)`)
	lacking  = regexp.MustCompile(`(\d+) × ([^ ]+)`)
)

func number(text string) float64 {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return x
}

// near says whether a number is the given one to two digits.
func near(x float64, text string) bool { return math.Abs(x-number(text)) <= 0.005+1e-9 }

// server checks all that is said of a server.
func (k *teller) server(name string) {
	e := explain(k.t, k.plan.core, name)
	verdict, a := k.plan.Verdicts[name], k.plan.Plan.Allocations[name]
	var chosen *jsonspec.ExplainedCandidate
	for i := range e.Candidates {
		c := &e.Candidates[i]
		value := c.Cost
		for _, p := range c.Penalties {
			value += p.Cents
			if p.Cents == 0 || p.Reason == "" || p.Lifted == "" {
				k.errorf("%s on %s: penalty %+v", name, c.RunsOn, p)
			}
			k.told["penalty"]++
		}
		if math.Abs(value-c.Value) > 1e-9*(1+math.Abs(value)) {
			k.errorf("%s on %s: cost and penalties are %v, its value %v", name, c.RunsOn, value, c.Value)
		}
		if c.Chosen {
			if chosen != nil {
				k.errorf("%s: two are chosen", name)
			}
			chosen = c
		}
	}
	switch {
	case chosen == nil || verdict.Reason == v1alpha1.ReasonBestEffort:
		return
	case chosen.Replicas != a.NumReplicas || math.Abs(chosen.Cost-a.Cost) > 1e-9*(1+a.Cost):
		k.errorf("%s: %s for %v is chosen, the plan has %d for %v", name, chosen.RunsOn, chosen.Cost, a.NumReplicas, a.Cost)
	}
	if m := cheapest.FindStringSubmatch(a.Reason); m != nil {
		k.told["cheapest"]++
		for _, c := range e.Candidates {
			if c.Feasible && c.Accelerator != chosen.Accelerator && c.Cost < k.need(e, chosen)-1e-9 {
				k.errorf("%s: %q, but %s costs %v", name, a.Reason, c.RunsOn, c.Cost)
			}
		}
		if n := len(e.Candidates); int(number(m[2])) > n {
			k.errorf("%s: %q of %d candidates", name, a.Reason, n)
		}
		return
	}
	m := dearer.FindStringSubmatch(a.Reason)
	if m == nil {
		if a.NumReplicas > 0 {
			k.errorf("%s: %q says nothing that is known", name, a.Reason)
		}
		return
	}
	i := slices.IndexFunc(e.Candidates, func(c jsonspec.ExplainedCandidate) bool { return c.RunsOn == m[3] && near(c.Cost, m[4]) })
	if i < 0 || m[1] != chosen.RunsOn || !near(chosen.Cost, m[2]) {
		k.errorf("%s: %q names what is not there", name, a.Reason)
		return
	}
	other := &e.Candidates[i]
	switch {
	case m[6] != "":
		k.told["counts more"]++
		if other.Value < chosen.Value-1e-9 || !near(other.Value, m[6]) || !near(chosen.Value, m[7]) {
			k.errorf("%s: %q, but the values are %v and %v", name, a.Reason, other.Value, chosen.Value)
		}
		for _, p := range other.Penalties {
			if !strings.Contains(m[8], fmt.Sprintf("%s (%+.2f)", p.Reason, p.Cents)) {
				k.errorf("%s: %q leaves out %q", name, a.Reason, p.Reason)
			}
		}
	case m[9] != "":
		k.told["lacks"]++
		missing := map[string]int{}
		for _, w := range lacking.FindAllStringSubmatch(m[9], -1) {
			missing[w[2]] = int(number(w[1]))
		}
		for kind, n := range other.Lacks {
			if missing[kind] != n {
				k.errorf("%s: %q, but it lacks %v", name, a.Reason, other.Lacks)
			}
		}
		if len(missing) != len(other.Lacks) {
			k.errorf("%s: %q, but it lacks %v", name, a.Reason, other.Lacks)
		}
		k.fits(name, other)
	default:
		k.told["passed over"]++
	}
}

// need is what the chosen accelerators cost at the least of their options.
func (k *teller) need(e *jsonspec.Explanation, chosen *jsonspec.ExplainedCandidate) float64 {
	least := chosen.Cost
	for _, c := range e.Candidates {
		if c.Accelerator == chosen.Accelerator && c.Feasible {
			least = min(least, c.Cost)
		}
	}
	return least
}

// fits checks, where cards are not on nodes, that a candidate fits with what it is said to lack, beside all others, and not without.
func (k *teller) fits(name string, c *jsonspec.ExplainedCandidate) {
	left := map[string]int{}
	for _, t := range k.system.Capacity.Count {
		left[t.Type] += t.Count
	}
	for server, cards := range k.cards() {
		if server != name {
			for t, n := range cards {
				left[t] -= n
			}
		}
	}
	for _, n := range k.system.Capacity.Nodes {
		delete(left, n.Type)
	}
	for t, n := range c.Cards {
		have, counted := left[t]
		if !counted {
			continue
		}
		if missing := max(n-have, 0); missing != c.Lacks[t] {
			k.errorf("%s: %s takes %d %s, of which %d are left: it lacks %d, not %d", name, c.RunsOn, n, t, have, missing, c.Lacks[t])
		}
	}
}

// cards that the plan takes, by server and type.
func (k *teller) cards() map[string]map[string]int {
	of := map[string]jsonspec.AcceleratorEntry{}
	for _, a := range k.system.Accelerators.Spec {
		of[a.Name] = a
	}
	all := map[string]map[string]int{}
	for _, e := range k.system.Servers.Spec {
		a := k.plan.Plan.Allocations[e.Name]
		all[e.Name] = map[string]int{}
		list := a.Parts
		if len(list) == 0 {
			list = []jsonspec.AllocationPart{{Accelerator: a.Accelerator, Variant: a.Variant, Replicas: a.NumReplicas}}
		}
		for _, p := range list {
			for _, m := range k.system.Models.Spec {
				if acc := of[p.Accelerator]; m.Name == e.Model && m.Acc == p.Accelerator && m.Way() == p.Variant {
					all[e.Name][acc.CardType(acc.Name)] += p.Replicas * m.Accelerators() * acc.Cards()
				}
			}
		}
	}
	return all
}

// inFull counts the servers that get all that was asked for them, by priority: targets that a bound on replicas does not allow are none of capacity.
func inFull(t *testing.T, s *jsonspec.System, d *decided) []int {
	n := make([]int, 4)
	for _, e := range s.Servers.Spec {
		for _, c := range s.ServiceClasses.Spec {
			full := func(x jsonspec.ExplainedCandidate) bool {
				return x.Chosen && len(x.Lacks) == 0 && !strings.Contains(x.Why, "targets cannot be met there")
			}
			if c.Name == e.Class && slices.ContainsFunc(explain(t, d.core, e.Name).Candidates, full) {
				n[c.Priority]++
			}
		}
	}
	return n
}

// unserved checks that what is said to serve an unserved server does: more are served with it, in the order of priorities.
func (k *teller) unserved() {
	before := inFull(k.t, k.system, k.plan)
	for _, u := range k.plan.Plan.Unserved {
		for _, l := range u.Lacks {
			more := k.system.DeepCopy()
			for kind, n := range l.Cards {
				more.Capacity.Count = append(more.Capacity.Count, jsonspec.AcceleratorCount{Type: kind, Count: n})
				if slices.ContainsFunc(more.Capacity.Nodes, func(at jsonspec.NodeCapacity) bool { return at.Type == kind }) {
					more.Capacity.Nodes = append(more.Capacity.Nodes, jsonspec.NodeCapacity{Name: "more-" + kind, Type: kind, Free: n})
				}
			}
			k.told["what would serve"]++
			if after := inFull(k.t, more, decide(k.t, more, control.State{})); slices.Compare(after, before) <= 0 {
				k.errorf("%s is said to be served by %v more on %s: %v are served, with them %v", u.Server, l.Cards, l.Accelerator, before, after)
			}
		}
	}
}

// binding checks that cards of a type that is said to bind are wanted by somebody who does not get them.
func (k *teller) binding() {
	wanted := map[string]bool{}
	var said []string
	for _, e := range k.system.Servers.Spec {
		x := explain(k.t, k.plan.core, e.Name)
		said = x.Binding
		i := slices.IndexFunc(x.Candidates, func(c jsonspec.ExplainedCandidate) bool { return c.Chosen && len(c.Lacks) == 0 })
		for _, c := range x.Candidates {
			if i < 0 || c.Value < x.Candidates[i].Value {
				for t := range c.Lacks {
					wanted[t] = true
				}
			}
		}
	}
	for _, t := range said {
		k.told["binds"]++
		if !wanted[t] {
			k.errorf("%s is said to bind, but nobody would rather have it", t)
		}
	}
}

// Every sentence of every explanation follows from the numbers beside it: what is called cheapest is, penalties add up, what is said to bind binds,
// and what is said to serve does.
func TestExplanationsAreTrue(t *testing.T) {
	told := map[string]int{}
	systems := 2000
	if testing.Short() {
		systems = 200
	}
	for seed := range uint64(systems) {
		s := randomSystem(t, rand.New(rand.NewPCG(seed, 7)))
		k := &teller{t: t, seed: seed, system: s, plan: decide(t, s, control.State{}), told: told}
		for _, e := range s.Servers.Spec {
			k.server(e.Name)
		}
		k.unserved()
		if !s.Optimizer.Spec.Unlimited {
			k.binding()
		}
		if t.Failed() && seed > 100 {
			t.FailNow()
		}
	}
	for _, kind := range []string{"cheapest", "counts more", "lacks", "penalty", "what would serve", "binds"} {
		if told[kind] < systems/200 {
			t.Errorf("only %d sentences of the kind %q were checked", told[kind], kind)
		}
	}
	t.Log(told)
}
