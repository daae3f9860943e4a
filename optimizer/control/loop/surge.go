package loop

import (
	"maps"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
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
}

// surges are, by accelerator, the pods to have beyond the plan. While the plan lacks ready pods on its accelerators, ready pods elsewhere
// stay. When the last of the new ones is ready the plan's number is all there is to be, and the pods over quota, which then have the lowest
// deletion cost, are those that go. A server that is where the plan wants it renews pods whose limits are not the plan's.
func (s spare) surges(server string, plan []v1alpha1.AllocationPart, current []v1alpha1.ObservedPart) count {
	want, have := planBy(plan), readyBy(current)
	surge := count{}
	if want.beyond(have) > 0 {
		for a, n := range have {
			if n > want[a] {
				surge[a] = n - want[a]
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
	return surge
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

// Surge is, by accelerator, the number of pods to have beyond a plan while it is being realised, as the loop writes it, where room is the number
// of replicas that may be started beyond it to get new limits. Simulations of the loop use it.
func Surge(plan []v1alpha1.AllocationPart, current []v1alpha1.ObservedPart, room int) map[string]int {
	s := spare{cards: count{"": room}, of: func(string, string) (string, int) { return "", 1 }}
	return s.surges("", plan, current)
}
