package realise

import (
	"cmp"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// Pod of a server that has a node.
type Pod struct {
	Name string
	// Created in seconds, since any time.
	Created float64
	// Started says on which accelerator and with which limits; what is zero is not known.
	Started jsonspec.ObservedPart
	// Requests that it has in hand, running and waiting, and Warmth of its cache: the share of prompt tokens found in it, 0 to 1.
	Requests, Warmth float64
	// Leaving says that its node goes.
	Leaving bool
	// Going is set where it was told before that it goes first.
	Going bool
}

// loss of work if the pod goes. A pod that is to go stays the one that goes until another would lose less than half of its requests, and more than
// one less: a choice that changed with every request would cost a write each time.
func (p *Pod) loss() float64 {
	if p.Going {
		return p.Requests/2 - 1
	}
	return p.Requests
}

// OverQuota are the pods, of one server, that the plan has no place for, as indices: on each accelerator those beyond its replicas, first those
// on nodes that go, then those with other limits than the plan's, then those that have the fewest requests in hand, the coldest cache, and the youngest. They are to go first when
// the number of pods falls.
func OverQuota(plan []jsonspec.AllocationPart, pods []Pod) []int {
	quota, parts := PlanBy(plan), map[string]jsonspec.AllocationPart{}
	for _, p := range plan {
		parts[p.On()] = p
	}
	outdated := func(p *Pod) int {
		if p.Leaving {
			return 2
		}
		if Differs(p.Started, parts[p.Started.On()]) {
			return 1
		}
		return 0
	}
	order := make([]int, len(pods))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		a, b := &pods[i], &pods[j]
		return cmp.Or(cmp.Compare(outdated(a), outdated(b)), cmp.Compare(b.loss(), a.loss()), cmp.Compare(b.Warmth, a.Warmth), cmp.Compare(a.Created, b.Created), strings.Compare(a.Name, b.Name))
	})
	var over []int
	for _, i := range order {
		if a := pods[i].Started.On(); quota[a] > 0 {
			quota[a]--
		} else {
			over = append(over, i)
		}
	}
	return over
}

// Differs says whether pods were started with other limits than the plan's. What either does not say is no difference.
func Differs(o jsonspec.ObservedPart, p jsonspec.AllocationPart) bool {
	return (o.MaxBatchSize > 0 && p.MaxBatchSize > 0 && o.MaxBatchSize != p.MaxBatchSize) ||
		(o.MaxBatchedTokens > 0 && p.MaxBatchedTokens > 0 && o.MaxBatchedTokens != p.MaxBatchedTokens)
}
