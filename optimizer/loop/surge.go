package loop

import (
	"maps"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// waveShare is the part of a server's replicas that get new limits at a time, one in so many, rounded up: Kubernetes' own default for a
// rollout.
const waveShare = 4

// spare are the cards of each type that no plan takes. Servers that get new limits draw on it, so that their surges do not stand in the way
// of what was planned.
type spare struct {
	cards count
	// of a server says which type of card it takes on an accelerator, and how many for a replica.
	of func(server, accelerator string) (cardType string, n int)
	// priorities of the servers; a lower number is more important.
	priorities map[string]int
	// claims by the type of card, the most important first.
	claims map[string][]claim
	// given is how many pods of a server make way for claims.
	given map[string]int
}

// claim is the cards of one type that planned pods of a priority wait for, and that are not free.
type claim struct{ priority, cards int }

// surges are, by accelerator, the pods to have beyond the plan. While the plan lacks ready pods on its accelerators, ready pods elsewhere
// stay, but for those whose cards a more important server waits for. When the last of the new ones is ready the plan's number is all there is
// to be, and the pods over quota, which then have the lowest deletion cost, are those that go. A server that is where the plan wants it renews
// pods whose limits are not the plan's.
func (s spare) surges(server string, plan []v1alpha1.AllocationPart, current []v1alpha1.ObservedPart) count {
	want, have := planBy(plan), readyBy(current)
	surge := count{}
	if want.beyond(have) > 0 {
		for a, n := range have {
			n -= want[a]
			if n > 0 {
				n -= s.giveWay(server, a, n)
			}
			if n > 0 {
				surge[a] = n
			}
		}
		return surge
	}
	for _, p := range plan {
		t, n := s.of(server, p.Accelerator)
		if k := renewal(p, current, s.cards[t]/max(n, 1)); k > 0 {
			surge[p.Accelerator] = k
			s.cards[t] -= k * n
		}
	}
	// Pods that are to go, such as the last ones elsewhere after a move, go before a wave begins. Else there is one for ever: with them the number of
	// pods is what the wave asks for, so that none starts and none goes.
	if boundBy(current).beyond(want.plus(surge)) > 0 {
		for a, k := range surge {
			t, n := s.of(server, a)
			s.cards[t] += k * n
		}
		return count{}
	}
	return surge
}

// giveWay is how many of a server's pods on an accelerator that its plan leaves go before others are ready, because pods of more important
// servers wait for their cards. Without that servers that wait for each other's cards wait for ever, and the most important serves less than
// planned for the sake of one that matters less. Claims that are met are done with.
func (s spare) giveWay(server, accelerator string, most int) int {
	t, each := s.of(server, accelerator)
	given := 0
	for i := range s.claims[t] {
		c := &s.claims[t][i]
		for c.priority < s.priorities[server] && c.cards > 0 && given < most {
			given, c.cards = given+1, c.cards-max(each, 1)
		}
	}
	if given > 0 {
		s.given[server] += given
	}
	return given
}

// short is by how much the replicas of a server stay below its plan and surge so that the pods that make way go: a ReplicaSet removes pods that
// wait for a node first, and none at all for as long as the new ones that are wanted are as many as the old ones that are not.
func (s spare) short(server string, total int, current []v1alpha1.ObservedPart) int {
	given := s.given[server]
	if given == 0 {
		return 0
	}
	bound := 0
	for _, p := range current {
		if p.Accelerator != "" {
			bound += p.Ready + p.Starting
		}
	}
	return max(total-(bound-given), 0)
}

// renewal is the number of pods to have beyond a part's replicas so that pods with other limits are replaced. It goes in waves: new pods
// start, become ready, and then as many old ones go. It asks what is there and remembers nothing, so that a restart changes nothing.
func renewal(p v1alpha1.AllocationPart, current []v1alpha1.ObservedPart, room int) int {
	ready, starting, old := 0, 0, 0
	for _, o := range current {
		if o.Accelerator != p.Accelerator {
			continue
		}
		ready += o.Ready
		starting += o.Starting
		if differs(o, p) {
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
	return max(min(wave, room), 0)
}

// differs says whether pods were started with other limits than the plan's. What either does not say is no difference.
func differs(o v1alpha1.ObservedPart, p v1alpha1.AllocationPart) bool {
	return (o.MaxBatchSize > 0 && p.MaxBatchSize > 0 && o.MaxBatchSize != p.MaxBatchSize) ||
		(o.MaxBatchedTokens > 0 && p.MaxBatchedTokens > 0 && o.MaxBatchedTokens != p.MaxBatchedTokens)
}

// withSurge writes surges into a plan: on the accelerators it names, then on those it leaves. Pods on an accelerator that is not known count
// in the total alone.
func withSurge(plan []v1alpha1.AllocationPart, surge count) (parts []v1alpha1.AllocationPart, total int) {
	left := maps.Clone(surge)
	for _, p := range plan {
		p.Surge = left[p.Accelerator]
		total += p.Surge
		delete(left, p.Accelerator)
		parts = append(parts, p)
	}
	for _, a := range slices.Sorted(maps.Keys(left)) {
		if a != "" {
			parts = append(parts, v1alpha1.AllocationPart{Accelerator: a, Surge: left[a]})
		}
		total += left[a]
	}
	return parts, total
}

// Surge is how the pods of a server differ from its plan while that is being realised.
type Surge struct {
	// By accelerator, pods to have beyond the plan.
	By map[string]int
	// Short is by how much the total stays below plan and surge, so that pods make way for more important ones.
	Short int
}

// Surges of all servers of a snapshot as the loop writes them, where so many cards of each type are there for them and the state is that after the
// plan was made. Simulations of the loop use it.
func Surges(snap *specification.Snapshot, cards map[string]int, plan *v1alpha1.Solution, state control.State) map[string]Surge {
	s, spare := &snap.System, newSpare(snap, cards, plan, state)
	all := map[string]Surge{}
	for i := range s.Servers.Spec {
		e := &s.Servers.Spec[i]
		a, planned := plan.Allocations[e.Name]
		if !planned {
			continue
		}
		desired := specification.Desired(&a)
		by := spare.surges(e.Name, desired.Parts, partsOf(e))
		_, n := withSurge(desired.Parts, by)
		all[e.Name] = Surge{By: by, Short: spare.short(e.Name, desired.Replicas+n, partsOf(e))}
	}
	return all
}

// newSpare counts the cards that the plan leaves, and those that planned pods have waited for.
func newSpare(snap *specification.Snapshot, cards map[string]int, plan *v1alpha1.Solution, state control.State) spare {
	s := &snap.System
	types, models, each := map[string]string{}, map[string]string{}, replicaCards(s)
	for _, a := range s.Accelerators.Spec {
		types[a.Name] = a.CardType(a.Name)
	}
	for i := range s.Servers.Spec {
		models[s.Servers.Spec[i].Name] = s.Servers.Spec[i].Model
	}
	left := count(maps.Clone(cards))
	for a, n := range allocatedCards(s, plan) {
		left[types[a]] -= n
	}
	sp := spare{cards: left, priorities: prioritiesOf(s), given: map[string]int{}, of: func(server, accelerator string) (string, int) {
		return types[accelerator], each[[2]string{models[server], accelerator}]
	}}
	sp.claim(snap, cards, plan, state)
	return sp
}

// claim notes what planned pods have waited for, longer than a replica takes to start: whoever moves away by itself has gone by then. What is free
// goes to the most important.
func (s *spare) claim(snap *specification.Snapshot, cards map[string]int, plan *v1alpha1.Solution, state control.State) {
	system, now := &snap.System, float64(snap.Time.UnixMicro())/1e6
	free, lacking := maps.Clone(cards), map[string]map[int]int{}
	for i := range system.Servers.Spec {
		e := &system.Servers.Spec[i]
		bound, waiting := count{}, 0
		for _, p := range partsOf(e) {
			if p.Accelerator == "" {
				waiting += p.Starting
				continue
			}
			bound[p.Accelerator] += p.Ready + p.Starting
			t, each := s.of(e.Name, p.Accelerator)
			free[t] -= (p.Ready + p.Starting) * each
		}
		a, planned := plan.Allocations[e.Name]
		if m := state.Servers[e.Name].Sizing; !planned || m.Waited(now) <= snap.StartUpSeconds {
			continue
		}
		want := planBy(specification.Desired(&a).Parts)
		for _, accelerator := range slices.Sorted(maps.Keys(want)) {
			n := min(want[accelerator]-bound[accelerator], waiting)
			if n <= 0 {
				continue
			}
			waiting -= n
			t, each := s.of(e.Name, accelerator)
			if lacking[t] == nil {
				lacking[t] = map[int]int{}
			}
			lacking[t][s.priorities[e.Name]] += n * each
		}
	}
	s.claims = map[string][]claim{}
	for t, by := range lacking {
		for _, priority := range slices.Sorted(maps.Keys(by)) {
			met := min(max(free[t], 0), by[priority])
			free[t] -= met
			if n := by[priority] - met; n > 0 {
				s.claims[t] = append(s.claims[t], claim{priority, n})
			}
		}
	}
}

// partsOf a server that run.
func partsOf(e *v1alpha1.ServerEntry) []v1alpha1.ObservedPart {
	if e.Observation == nil {
		return nil
	}
	return e.Observation.Parts
}

// prioritiesOf the servers.
func prioritiesOf(s *v1alpha1.System) map[string]int {
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
