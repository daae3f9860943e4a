// Package conformance is what every solver must pass, and the independent judge of plans: it shares no code with the solvers.
package conformance

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/solver"
)

// tolerance for sums of values, relative.
//
// Tuned: 1; guard against rounding of sums that is taken for a fault
const tolerance = 1e-9

// Check judges a plan against the problem: capacity, the meaning of choices, reasons, value, bound and gap. It joins all that is wrong.
func Check(p *solver.Problem, s *solver.Solution) error {
	if len(s.Choices) != len(p.Servers) {
		return fmt.Errorf("%d choices for %d servers", len(s.Choices), len(p.Servers))
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	sum := map[string]int{}
	held := map[size]int{}
	value, missing := 0.0, 0.0
	for i, c := range s.Choices {
		name := p.Servers[i].Name
		switch {
		case c.Server != i:
			fault("choice %d is of server %d", i, c.Server)
		case c.Candidate < -1 || c.Candidate >= len(p.Servers[i].Candidates):
			fault("%s: candidate %d of %d", name, c.Candidate, len(p.Servers[i].Candidates))
		case c.Candidate == -1:
			missing += penalty(p, i)
			if c.Replicas != 0 || c.BestEffort || strings.TrimSpace(c.Reason) == "" {
				fault("%s: gets nothing, but %+v", name, c)
			}
		default:
			x := p.Servers[i].Candidates[c.Candidate]
			for _, part := range parts(x, c.Replicas) {
				sum[part.Type] += part.Replicas * part.UnitsPerReplica
				held[sizeOf(part)] += pods(part)
			}
			switch {
			case c.BestEffort && (c.Replicas < 1 || c.Replicas >= total(x) || c.Reason == ""):
				fault("%s: best effort with %d of %d replicas, reason %q", name, c.Replicas, total(x), c.Reason)
			case c.BestEffort && len(x.Parts) != 1 && !x.Ratio:
				fault("%s: best effort of %d parts: which of them?", name, len(x.Parts))
			case c.BestEffort && x.Ratio && badRatio(x, c.Replicas) != "":
				fault("%s: best effort with %d of %d replicas: %s", name, c.Replicas, total(x), badRatio(x, c.Replicas))
			case !c.BestEffort && (c.Replicas != total(x) || c.Reason != ""):
				fault("%s: served with %d of %d replicas, reason %q", name, c.Replicas, total(x), c.Reason)
			case !c.BestEffort:
				value += x.Value
			}
			if c.BestEffort {
				missing += penalty(p, i)
			}
			if c.BestEffort && (p.SaturationPolicy == "" || p.SaturationPolicy == "None") {
				fault("%s: best effort, but the policy is %q", name, p.SaturationPolicy)
			}
		}
	}
	have := cards(p)
	for i, n := range s.Bought {
		e := p.Elastic[i]
		if n < 0 || n > e.Limit {
			fault("%d of %d purchases from %s", n, e.Limit, e.Name)
		}
		have[e.Type] += n * e.Cards
		value += float64(n) * e.Price
	}
	for t, n := range sum {
		if !p.Unlimited && n > have[t] {
			fault("%d of %d %s taken", n, have[t], t)
		}
	}
	if !p.Unlimited {
		faults = append(faults, checkPlacement(p, s, held)...)
	}
	faults = append(faults, checkShares(p, s)...)
	if math.Abs(value-s.Value) > tolerance*(1+value) {
		fault("value %v, but the choices sum to %v", s.Value, value)
	}
	if math.Abs(missing-s.Penalty) > tolerance*(1+missing) {
		fault("penalty %v, but those of the servers that are not served sum to %v", s.Penalty, missing)
	}
	value += missing
	if s.LowerBound > value+tolerance*(1+value) {
		fault("lower bound %v above the value %v", s.LowerBound, value)
	}
	if math.IsNaN(s.LowerBound) != math.IsNaN(s.Gap) {
		fault("lower bound %v with gap %v", s.LowerBound, s.Gap)
	}
	if want := (value - s.LowerBound) / s.LowerBound; s.LowerBound > 0 && math.Abs(s.Gap-max(want, 0)) > 1e-6 {
		fault("gap %v, but value and bound say %v", s.Gap, want)
	}
	for priority, most := range s.AtMost {
		served := 0
		for i, c := range s.Choices {
			if x := p.Servers[i]; x.Priority == priority && c.Candidate >= 0 && !c.BestEffort {
				served += max(1, x.Weight)
			}
		}
		if most < served {
			fault("at most %d of priority %d can be served, but %d are", most, priority, served)
		}
	}
	switch s.Ended {
	case solver.EndedOptimal:
		if s.Gap != 0 {
			fault("said to be optimal with a gap of %v", s.Gap)
		}
	case solver.EndedGap, solver.EndedWork, solver.EndedDeadline, solver.EndedFinished:
	default:
		fault("ended by %q", s.Ended)
	}
	if s.Work < 0 {
		fault("%d units of work", s.Work)
	}
	if s.Solver == "" {
		fault("no solver named")
	}
	return errors.Join(faults...)
}

// penalty of leaving out a server.
func penalty(p *solver.Problem, server int) float64 {
	if !p.WeightedSum {
		return 0
	}
	return p.Servers[server].Penalty
}

// size is replicas of so many cards of a type, on nodes of a scope, or groups of so many of them, each in one domain by a label.
type size struct {
	kind   string
	cards  int
	scope  string
	domain string
	group  int
}

// within is pods of a size in a domain.
type within struct {
	size
	name string
}

// total is the number of replicas of all parts.
func total(c solver.Candidate) int {
	n := 0
	for _, part := range c.Parts {
		n += part.Replicas
	}
	return n
}

// sizeOf the pods of a part.
func sizeOf(p solver.Part) size {
	z := size{kind: p.Type, cards: p.UnitsPerReplica / max(1, p.Pods), scope: p.Scope}
	if p.Pods > 1 && p.Domain != "" {
		z.domain, z.group = p.Domain, p.Pods
	}
	return z
}

// pods of a part.
func pods(p solver.Part) int { return p.Replicas * max(1, p.Pods) }

// badRatio says what is wrong with so many replicas of parts that are to keep their ratio; empty where nothing is.
func badRatio(c solver.Candidate, replicas int) string {
	with := parts(c, replicas)
	if n := total(solver.Candidate{Parts: with}); n != replicas {
		return fmt.Sprintf("the parts can have %d at that ratio", n)
	}
	for i, a := range with {
		for j, b := range with {
			if c.Parts[i].Replicas > 0 && c.Parts[j].Replicas > 0 && (a.Replicas-1)*c.Parts[j].Replicas >= b.Replicas*c.Parts[i].Replicas {
				return fmt.Sprintf("%d × %s are more than %d × %s need", a.Replicas, a.Accelerator, b.Replicas, b.Accelerator)
			}
		}
	}
	return ""
}

// parts are what the candidate takes with so many replicas: of several parts, all, or, where they keep their ratio, the most that are no more than that:
// all shares of all parts are tried.
func parts(c solver.Candidate, replicas int) []solver.Part {
	if c.Ratio && replicas != total(c) {
		best := solver.Candidate{Parts: slices.Clone(c.Parts)}
		for i := range best.Parts {
			best.Parts[i].Replicas = 0
		}
		for _, of := range c.Parts {
			for k := range of.Replicas {
				with := solver.Candidate{Parts: slices.Clone(c.Parts)}
				for i := range with.Parts {
					with.Parts[i].Replicas = int(math.Ceil(float64(with.Parts[i].Replicas*(k+1))/float64(of.Replicas) - 1e-9))
				}
				if n := total(with); n <= replicas && n > total(best) {
					best = with
				}
			}
		}
		return best.Parts
	}
	if len(c.Parts) != 1 {
		return c.Parts
	}
	part := c.Parts[0]
	part.Replicas = replicas
	return []solver.Part{part}
}

// cards are those of each type before purchases; of types with nodes, those on nodes.
func cards(p *solver.Problem) map[string]int {
	have := map[string]int{}
	for t, n := range p.Capacity {
		have[t] = n
	}
	for _, n := range p.Nodes {
		have[n.Type] = 0
	}
	for _, n := range p.Nodes {
		have[n.Type] += n.Free
	}
	return have
}

// checkPlacement judges the packing: no node holds more than it has, and all replicas of types with nodes are somewhere.
func checkPlacement(p *solver.Problem, s *solver.Solution, held map[size]int) []error {
	var faults []error
	free, kind, packed, scopes, domains := map[string]int{}, map[string]string{}, map[string]bool{}, map[string][]string{}, map[string]map[string]string{}
	for _, n := range p.Nodes {
		free[n.Name], kind[n.Name], packed[n.Type], scopes[n.Name], domains[n.Name] = n.Free, n.Type, true, n.Scopes, n.Domains
	}
	for i, n := range s.Bought {
		for k := range n {
			name := fmt.Sprintf("%s/%d", p.Elastic[i].Name, k)
			free[name], kind[name], scopes[name], domains[name] = p.Elastic[i].Cards, p.Elastic[i].Type, p.Elastic[i].Scopes, p.Elastic[i].Domains
		}
	}
	shares, used := map[string]map[string][]float64{}, map[string]map[int]float64{}
	for _, n := range p.Nodes {
		shares[n.Name], used[n.Name] = n.Portions, map[int]float64{}
	}
	together := map[within]int{}
	for _, x := range s.Placement {
		for i, share := range shares[x.Node][x.Scope] {
			if used[x.Node][i] += float64(x.Replicas) * share; used[x.Node][i] > 1+1e-9 {
				faults = append(faults, fmt.Errorf("node %s is used by %v of resource %d", x.Node, used[x.Node][i], i))
			}
		}
		if free[x.Node] -= x.Replicas * x.UnitsPerReplica; free[x.Node] < 0 {
			faults = append(faults, fmt.Errorf("node %s is overdrawn by %d", x.Node, -free[x.Node]))
		}
		if x.Scope != "" && !slices.Contains(scopes[x.Node], x.Scope) {
			faults = append(faults, fmt.Errorf("node %s holds replicas of scope %s, and is of %v", x.Node, x.Scope, scopes[x.Node]))
		}
		z := size{kind[x.Node], x.UnitsPerReplica, x.Scope, x.Domain, x.Group}
		held[z] -= x.Replicas
		if x.Domain != "" {
			if domains[x.Node][x.Domain] == "" {
				faults = append(faults, fmt.Errorf("node %s holds pods of groups and is in no domain by %s", x.Node, x.Domain))
			}
			together[within{z, domains[x.Node][x.Domain]}] += x.Replicas
		}
	}
	for in, pods := range together {
		if pods%in.group != 0 {
			faults = append(faults, fmt.Errorf("%d pods of groups of %d are in %s of %s", pods, in.group, in.name, in.domain))
		}
	}
	for z, n := range held {
		if packed[z.kind] && n != 0 {
			faults = append(faults, fmt.Errorf("%d replicas of %d × %s are not placed", n, z.cards, z.kind))
		}
	}
	return faults
}

// Standing is how good a plan is: the weight of the servers served in full by priority, the highest first, and their value. Of a weighted sum
// there are no priorities, and the value is with the penalties.
type Standing struct {
	Priorities []int
	Served     []int
	Value      float64
}

// Of is the standing of a plan.
func Of(p *solver.Problem, s *solver.Solution) Standing {
	st := standing(p)
	for i, c := range s.Choices {
		if c.Candidate >= 0 && !c.BestEffort {
			st.add(p.Servers[i].Priority, max(1, p.Servers[i].Weight))
			st.Value += p.Servers[i].Candidates[c.Candidate].Value
		} else {
			st.Value += penalty(p, i)
		}
	}
	for i, n := range s.Bought {
		st.Value += float64(n) * p.Elastic[i].Price
	}
	return st
}

// Compare says whether the first standing is worse (1), as good (0) or better (-1) than the second.
func (st Standing) Compare(other Standing) int {
	for i := range st.Served {
		if d := other.Served[i] - st.Served[i]; d != 0 {
			return d / abs(d)
		}
	}
	switch d := st.Value - other.Value; {
	case d > 1e-7*(1+other.Value):
		return 1
	case d < -1e-7*(1+other.Value):
		return -1
	}
	return 0
}

func (st Standing) add(priority, n int) {
	for i, p := range st.Priorities {
		if p == priority {
			st.Served[i] += n
		}
	}
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}

func standing(p *solver.Problem) Standing {
	has := map[int]bool{}
	highest := 0
	for _, s := range p.Servers {
		has[s.Priority] = true
		highest = max(highest, s.Priority)
	}
	var st Standing
	if p.WeightedSum {
		return st
	}
	for q := 1; q <= highest; q++ {
		if has[q] {
			st.Priorities = append(st.Priorities, q)
		}
	}
	st.Served = make([]int, len(st.Priorities))
	return st
}

// BruteForce is the best standing that any plan without best effort reaches, where shares are due what they have in these choices, one for each server, none
// for nothing: all combinations are tried. For small problems only.
func BruteForce(p *solver.Problem, due ...solver.Choice) Standing {
	best := standing(p)
	best.Value = math.Inf(1)
	for i := range best.Served {
		best.Served[i] = -1
	}
	left := cards(p)
	for _, e := range p.Elastic {
		left[e.Type] += e.Limit * e.Cards
	}
	now := standing(p)
	for i := range p.Servers {
		now.Value += penalty(p, i)
	}
	held := map[size]int{}
	owed := owed(p, due)
	choices := make([]solver.Choice, len(p.Servers))
	for i := range choices {
		choices[i].Candidate = -1
	}
	keeps := func(bought []int) bool { return len(p.Shares) == 0 || len(faults(p, choices, bought, owed)) == 0 }
	var try func(i int)
	try = func(i int) {
		if i == len(p.Servers) {
			price, ok := cheapestPurchases(p, held, keeps)
			if now.Value += price; ok && now.Compare(best) < 0 {
				copy(best.Served, now.Served)
				best.Value = now.Value
			}
			now.Value -= price
			return
		}
		for j, c := range p.Servers[i].Candidates {
			fits := true
			for _, x := range c.Parts {
				left[x.Type] -= x.Replicas * x.UnitsPerReplica
				held[sizeOf(x)] += pods(x)
				fits = fits && (left[x.Type] >= 0 || p.Unlimited)
			}
			if fits {
				weight := max(1, p.Servers[i].Weight)
				now.add(p.Servers[i].Priority, weight)
				before := now.Value
				now.Value += c.Value - penalty(p, i)
				choices[i] = solver.Choice{Server: i, Candidate: j, Replicas: total(c)}
				try(i + 1)
				choices[i].Candidate = -1
				now.Value = before
				now.add(p.Servers[i].Priority, -weight)
			}
			for _, x := range c.Parts {
				left[x.Type] += x.Replicas * x.UnitsPerReplica
				held[sizeOf(x)] -= pods(x)
			}
		}
		try(i + 1)
	}
	try(0)
	return best
}

// cheapestPurchases is the least price at which the replicas can be placed; all combinations of purchases are tried.
func cheapestPurchases(p *solver.Problem, held map[size]int, keeps func(bought []int) bool) (float64, bool) {
	if p.Unlimited || len(p.Nodes) == 0 && len(p.Elastic) == 0 {
		return 0, keeps(nil)
	}
	best, found := 0.0, false
	bought := make([]int, len(p.Elastic))
	var try func(i int, price float64)
	try = func(i int, price float64) {
		if found && price >= best {
			return
		}
		if i == len(p.Elastic) {
			if keeps(bought) && placeable(p, bought, held) {
				best, found = price, true
			}
			return
		}
		for n := 0; n <= p.Elastic[i].Limit; n++ {
			bought[i] = n
			try(i+1, price+float64(n)*p.Elastic[i].Price)
		}
		bought[i] = 0
	}
	try(0, 0)
	return best, found
}

// placeable tries all ways to place the replicas, type by type.
func placeable(p *solver.Problem, bought []int, held map[size]int) bool {
	bins := map[string][]bin{}
	onNodes := map[string]bool{}
	for _, n := range p.Nodes {
		onNodes[n.Type] = true
		bins[n.Type] = append(bins[n.Type], bin{n.Free, n.Scopes, n.Domains})
	}
	for t := range held {
		if !onNodes[t.kind] {
			bins[t.kind] = []bin{{free: p.Capacity[t.kind]}}
		}
	}
	for i, n := range bought {
		e := p.Elastic[i]
		for range n {
			if onNodes[e.Type] {
				bins[e.Type] = append(bins[e.Type], bin{e.Cards, e.Scopes, e.Domains})
			} else if len(bins[e.Type]) > 0 {
				bins[e.Type][0].free += e.Cards
			}
		}
	}
	items := map[string][]size{}
	for z, n := range held {
		if !onNodes[z.kind] {
			z.scope, z.domain, z.group = "", "", 0
		}
		for range n {
			items[z.kind] = append(items[z.kind], z)
		}
	}
	for t, list := range items {
		// Of groups one after the other.
		slices.SortFunc(list, func(a, b size) int {
			return cmp.Or(b.group-a.group, b.cards-a.cards, strings.Compare(a.domain, b.domain), strings.Compare(a.scope, b.scope))
		})
		if !pack(bins[t], list, "", 0) {
			return false
		}
	}
	return true
}

// bin is a node with free cards.
type bin struct {
	free    int
	scopes  []string
	domains map[string]string
}

// pack the items, of which so many of the first are still to come of a group in a domain.
func pack(bins []bin, items []size, domain string, of int) bool {
	if len(items) == 0 {
		return true
	}
	tried := map[string]bool{}
	for i, b := range bins {
		alike := fmt.Sprint(b)
		if z := items[0]; b.free < z.cards || z.scope != "" && !slices.Contains(b.scopes, z.scope) || tried[alike] ||
			z.group > 0 && (b.domains[z.domain] == "" || of > 0 && b.domains[z.domain] != domain) {
			continue
		}
		tried[alike] = true
		bins[i].free -= items[0].cards
		left := of - 1
		if of == 0 {
			left = max(items[0].group-1, 0)
		}
		ok := pack(bins, items[1:], b.domains[items[0].domain], left)
		bins[i].free += items[0].cards
		if ok {
			return true
		}
	}
	return false
}
