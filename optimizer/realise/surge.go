// Package realise says what a plan becomes: how many pods there are to be for the time being, on which accelerators, with which limits, and which
// of them go first. The loop writes that, and simulations of the loop obey it.
package realise

import (
	"fmt"
	"maps"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// Plans as adapter and scheduler plugin read them, without their times: what is planned for each server and what there is to be beyond it while
// that is realised. The servers of waits are those whose planned pods have waited for longer than a replica takes to start. A server that is not
// planned has none.
func Plans(s *jsonspec.System, plans map[string]jsonspec.Allocation, waits map[string]bool) map[string]*v1alpha1.DesiredState {
	f := newFleet(s, plans, waits)
	all := map[string]*v1alpha1.DesiredState{}
	for i := range s.Servers.Spec {
		e := &s.Servers.Spec[i]
		if a, planned := plans[e.Name]; planned {
			d := specification.Desired(&a)
			surge, given := f.surges(e.Name, d.Parts, running(e))
			inOrder(d.Parts, running(e), surge)
			d.Parts, d.Surge = withSurge(d.Parts, surge, running(e))
			d.Replicas += d.Surge
			if !slices.ContainsFunc(d.Parts, func(p jsonspec.AllocationPart) bool { return p.Variant != "" }) { // else those that wait are of another workload
				d.Replicas -= short(given, d.Replicas, running(e))
			}
			all[e.Name] = d
		}
	}
	return all
}

// waveShare is the part of a server's replicas that get new limits at a time, one in so many, rounded up: Kubernetes' own default for a
// rollout.
//
// Tuned: 1; derived from Kubernetes, whose maxSurge of a Deployment is 25 % by default; at half: 98.2 % of ramp at 3 % more cost, waves that are
// twice as large; at twice: no difference in attainment, 1 % more cost of flash-crowd
const waveShare = 4

// fleet is what plans are realised on.
type fleet struct {
	// spare are the cards of each type that no plan takes. Servers that get new limits draw on it, so that their surges do not stand in the way
	// of what was planned.
	spare map[string]*placement.Stock
	// of a server says which type of card it takes on an accelerator, in which scope, and how many for a replica.
	of func(server, accelerator string) (cardType, scope string, n int)
	// priorities of the servers; a lower number is more important.
	priorities map[string]int
	// reaches says whether cards that a server's pods leave on an accelerator can be used within a scope, wherever these pods are.
	reaches func(server, accelerator, scope string) bool
	// claims by the type of card, the most important first.
	claims map[string][]claim
}

// claim is the cards of one type that planned pods of a priority wait for within a scope, and that are not free.
type claim struct {
	server, scope   string
	priority, cards int
}

// surges are, by accelerator, the pods to have beyond the plan. While the plan lacks ready pods on its accelerators, on nodes that stay, ready pods elsewhere
// stay, and so do those on nodes that go, but for those, given in number too, whose cards a more important server waits for. When the last of the new ones is ready the plan's number is all there is
// to be, and the pods over quota, which then have the lowest deletion cost, are those that go. A server that is where the plan wants it renews
// pods whose limits are not the plan's.
func (f *fleet) surges(server string, plan []jsonspec.AllocationPart, current []jsonspec.ObservedPart) (surge Count, given int) {
	want, have, failing, leaving := PlanBy(plan), ReadyBy(current), failingBy(current), leavingBy(current)
	stay, surge := Count{}, Count{}
	for a, n := range have {
		stay[a] = n - leaving[a]
	}
	if want.Beyond(stay) > 0 {
		for _, a := range slices.Sorted(maps.Keys(have)) {
			n := have[a] - want[a]
			if want[a] > stay[a] {
				n = leaving[a] // what is planned is made beside them, on nodes that stay
			}
			if want[a] == 0 {
				n += failing[a] // a ReplicaSet would take them for those that are to come elsewhere
			}
			if n > 0 {
				way := f.giveWay(server, a, n, current)
				given, n = given+way, n-way
			}
			if n > 0 {
				surge[a] = n
			}
		}
		return surge, given
	}
	for _, p := range plan {
		t, scope, n := f.of(server, p.On())
		spare := f.spare[t].Within(scope)
		if k := renewal(p, current, func(most int) int { return spare.Room(max(n, 1), most) }); k > 0 {
			surge[p.On()] = k
			spare.Add(n, k)
		}
	}
	// Pods that are to go, such as the last ones elsewhere after a move, go before a wave begins. Else there is one for ever: with them the number of
	// pods is what the wave asks for, so that none starts and none goes.
	if boundBy(current).Beyond(want.plus(surge)) > 0 {
		for a, k := range surge {
			t, scope, n := f.of(server, a)
			f.spare[t].Within(scope).Add(n, -k)
		}
		return Count{}, 0
	}
	return surge, 0
}

// giveWay is how many of a server's pods on an accelerator that its plan leaves go before others are ready, because pods of more important
// servers wait for their cards, and could use them: all of the server's pods there are on nodes which take those that wait. Without that servers that
// wait for each other's cards wait for ever, and the most important serves less than planned for the sake of one that matters less. Claims that are
// met are done with. For pods of the server itself, as where it moves to other variants on cards that it holds all of, a wave of them goes, and the next when those that
// took their place are ready.
func (f *fleet) giveWay(server, accelerator string, most int, current []jsonspec.ObservedPart) int {
	t, _, each := f.of(server, accelerator)
	wave := (most + waveShare - 1) / waveShare
	for _, p := range current {
		if p.Accelerator != "" && p.Starting > p.Failing {
			wave = 0
		}
	}
	given := 0
	for i := range f.claims[t] {
		c := &f.claims[t][i]
		room := most
		if c.server == server {
			room = min(given+wave, most)
		}
		for (c.priority < f.priorities[server] || c.server == server) && c.cards > 0 && given < room && f.reaches(server, accelerator, c.scope) {
			given, c.cards = given+1, c.cards-max(each, 1)
		}
	}
	return given
}

// short is by how much the replicas of a server stay below its plan and surge so that the pods given go: a ReplicaSet removes pods that wait for a
// node first, and none at all for as long as the new ones that are wanted are as many as the old ones that are not.
func short(given, total int, current []jsonspec.ObservedPart) int {
	if given == 0 {
		return 0
	}
	bound := 0
	for a, n := range boundBy(current) {
		if a != "" {
			bound += n
		}
	}
	return max(total-(bound-given), 0)
}

// renewal is the number of pods to have beyond a part's replicas so that pods with other limits are replaced, where there is room for so many of
// those asked for. It goes in waves: new pods start, become ready, and then as many old ones go. It asks what is there and remembers nothing, so
// that a restart changes nothing.
func renewal(p jsonspec.AllocationPart, current []jsonspec.ObservedPart, room func(most int) int) int {
	ready, starting, old := 0, 0, 0
	for _, o := range current {
		if o.On() != p.On() {
			continue
		}
		ready += o.Ready
		starting += o.Starting
		if Differs(o, p) {
			old += o.Ready
		}
	}
	wave := min((p.Replicas+waveShare-1)/waveShare, old)
	switch {
	case starting > 0:
		return min(max(ready+starting-p.Replicas, 0), wave)
	case ready > p.Replicas:
		return 0 // the wave is ready, or the plan fell: those beyond it go
	}
	return room(wave)
}

// withSurge writes surges into a plan: on the accelerators it names, then on those it leaves. Pods on an accelerator that is not known count
// in the total alone.
func withSurge(plan []jsonspec.AllocationPart, surge Count, current []jsonspec.ObservedPart) (parts []jsonspec.AllocationPart, total int) {
	left := maps.Clone(surge)
	for _, p := range plan {
		p.Surge = left[p.On()]
		total += p.Surge
		delete(left, p.On())
		parts = append(parts, p)
	}
	for _, a := range slices.Sorted(maps.Keys(left)) {
		if i := slices.IndexFunc(current, func(p jsonspec.ObservedPart) bool { return p.On() == a }); i >= 0 && a != "" {
			parts = append(parts, jsonspec.AllocationPart{Accelerator: current[i].Accelerator, Variant: current[i].Variant, Surge: left[a]})
		}
		total += left[a]
	}
	return parts, total
}

// newFleet counts the cards that the plan leaves, and those that planned pods have waited for.
func newFleet(s *jsonspec.System, plans map[string]jsonspec.Allocation, waits map[string]bool) *fleet {
	types, models, each, scopes, shared := map[string]string{}, map[string]string{}, ReplicaCards(s), map[string]map[string]string{}, map[string]map[string][]string{}
	for _, a := range s.Accelerators.Spec {
		types[a.Name] = a.CardType(a.Name)
	}
	for i := range s.Models.Spec {
		p := &s.Models.Spec[i].Performance
		types[p.On()] = types[p.Acc]
	}
	for i := range s.Servers.Spec {
		e := &s.Servers.Spec[i]
		models[e.Name], scopes[e.Name] = e.Model, e.Scopes
		if e.Observation != nil {
			shared[e.Name] = e.Observation.Scopes
		}
	}
	f := &fleet{spare: placement.Stocks(&s.Capacity), priorities: prioritiesOf(s), claims: map[string][]claim{}, of: func(server, accelerator string) (string, string, int) {
		return types[accelerator], scopes[server][accelerator], each[[2]string{models[server], accelerator}]
	}}
	f.reaches = func(server, accelerator, scope string) bool {
		of, seen := shared[server][accelerator]
		return !f.spare[types[accelerator]].OnNodes() || seen && (scope == "" || slices.Contains(of, scope))
	}
	for server, a := range plans {
		for _, p := range specification.Desired(&a).Parts {
			t, scope, n := f.of(server, p.On())
			f.spare[t].Within(scope).Add(n, p.Replicas)
		}
	}
	f.claim(s, plans, waits)
	return f
}

// claim notes what planned pods have waited for, longer than a replica takes to start: whoever moves away by itself has gone by then. What is free
// goes to the most important.
func (f *fleet) claim(s *jsonspec.System, plans map[string]jsonspec.Allocation, waits map[string]bool) {
	type lack struct {
		server, cardType, scope string
		priority, each, count   int
	}
	free := placement.Stocks(&s.Capacity)
	var lacking []lack
	for i := range s.Servers.Spec {
		e := &s.Servers.Spec[i]
		waiting := 0
		for _, p := range running(e) {
			if p.Accelerator == "" {
				waiting += p.Starting
				continue
			}
			t, scope, each := f.of(e.Name, p.On())
			free[t].Within(scope).Add(each, p.Ready+p.Starting)
		}
		a, planned := plans[e.Name]
		if !planned || !waits[e.Name] {
			continue
		}
		want, bound := PlanBy(specification.Desired(&a).Parts), boundBy(running(e))
		for _, accelerator := range slices.Sorted(maps.Keys(want)) {
			if n := min(want[accelerator]-bound[accelerator], waiting); n > 0 {
				waiting -= n
				t, scope, each := f.of(e.Name, accelerator)
				lacking = append(lacking, lack{e.Name, t, scope, f.priorities[e.Name], each, n})
			}
		}
	}
	slices.SortStableFunc(lacking, func(a, b lack) int { return a.priority - b.priority })
	for _, l := range lacking {
		stock := free[l.cardType].Within(l.scope)
		met := stock.Room(l.each, l.count)
		stock.Add(l.each, met)
		if n := l.count - met; n > 0 {
			f.claims[l.cardType] = append(f.claims[l.cardType], claim{l.server, l.scope, l.priority, n * l.each})
		}
	}
}

// running are the parts that a server runs on.
func running(e *jsonspec.ServerEntry) []jsonspec.ObservedPart {
	if e.Observation == nil {
		return nil
	}
	return e.Observation.Parts
}

// prioritiesOf the servers.
func prioritiesOf(s *jsonspec.System) map[string]int {
	of := map[string]int{}
	for _, c := range s.ServiceClasses.Spec {
		of[c.Name] = c.Priority
	}
	by := map[string]int{}
	for i := range s.Servers.Spec {
		by[s.Servers.Spec[i].Name] = of[s.Servers.Spec[i].Class]
	}
	return by
}

// ReplicaCards are the cards that a replica of a model takes, by model and what it runs on.
func ReplicaCards(s *jsonspec.System) map[[2]string]int {
	cards := map[[2]string]int{}
	for i := range s.Models.Spec {
		m := &s.Models.Spec[i]
		for _, a := range s.Accelerators.Spec {
			if a.Name == m.Acc {
				cards[[2]string{m.Name, m.On()}] = m.Accelerators() * a.Cards()
			}
		}
	}
	return cards
}

// Next is the plan of a server that is in force from now on: the one it was given; where there is no capacity for it, and a message says so, none but
// the pods that serve on nodes which take no others, for as long as they are there: their cards are nobody else's; else the last one.
func Next(last, given *v1alpha1.DesiredState, noCapacity bool, leaving int, message string) *v1alpha1.DesiredState {
	switch {
	case given != nil:
		return given
	case noCapacity && leaving > 0:
		return &v1alpha1.DesiredState{Replicas: leaving, Surge: leaving, Reason: fmt.Sprintf("%s; %d serve on nodes that take no more pods, until they are gone", message, leaving)}
	case noCapacity:
		return &v1alpha1.DesiredState{Reason: message, AdmissibleRate: new(float64)} // where nothing serves nothing can be admitted
	}
	return last
}
