package control

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// What is learned of a pair is learned by namespace, from the pods in it alone: whoever may write a pod may let it show any measurement, and must not move
// the plans of others by it. A namespace that has taught nothing of a pair plans it by what others taught where they are trusted, or where two of them show
// the same, and else by what was given.

// mostTeachers are the namespaces that are remembered of a pair.
//
// Tuned: namespaces; guard against a status that grows without end
const mostTeachers = 16

// agreement is how far apart, as a share, two namespaces may be in the time of an iteration, and show the same: a law that is off by more is one that fails.
//
// Tuned: share; derived from estimation, where a prediction of ITL that is off by more has failed; at half: no difference in TestWhatOthersTeach; at
// twice: no difference there
const agreement = 0.3

// taught is what is remembered of a pair, by namespace.
type taught map[string]*v1alpha1.PairMemory

// taughtOf an accelerator, from all that is remembered of a model.
func taughtOf(all map[string]*v1alpha1.PairMemory, accelerator string) taught {
	t := taught{}
	for _, p := range all {
		if p.Acc == accelerator {
			t[p.Namespace] = p
		}
	}
	return t
}

// common is what those learn from who have taught nothing themselves: the best known of what trusted namespaces taught, and, where there is none, of
// what two agree on; nil where there is nothing. A system without namespaces trusts itself.
func (t taught) common(trusted []string, law func(*v1alpha1.PairMemory) queueing.Law) *v1alpha1.PairMemory {
	var known, confirmed []*v1alpha1.PairMemory
	var laws []queueing.Law
	for _, namespace := range slices.Sorted(maps.Keys(t)) {
		p := t[namespace]
		if p.Observations == 0 {
			continue // knows no more than what was given
		}
		if namespace == "" || slices.Contains(trusted, namespace) {
			confirmed = append(confirmed, p)
		} else if l := law(p); l != nil {
			known, laws = append(known, p), append(laws, l)
		}
	}
	if len(confirmed) > 0 {
		known = nil
	}
	for i := range known {
		if slices.ContainsFunc(laws, func(l queueing.Law) bool { return l != laws[i] && agree(l, laws[i]) }) {
			confirmed = append(confirmed, known[i])
		}
	}
	if len(confirmed) == 0 {
		return nil
	}
	return slices.MaxFunc(confirmed, func(a, b *v1alpha1.PairMemory) int { return cmp.Compare(a.Observations, b.Observations) })
}

// agree says whether two laws give nearly the same times to iterations from one decode to a full batch, and from a short prompt to a long one.
func agree(a, b queueing.Law) bool {
	for _, n := range [...]float64{1, 8, 64, 256} {
		for _, prompt := range [...]float64{0, 256, 4096} {
			batch := queueing.Batch{Decodes: n, DecodeContext: 1024 * n, PrefillTokens: prompt, PrefillPairs: prompt * prompt / 2}
			if prompt > 0 {
				batch.Prefills = 1
			}
			if ratio := a.IterationTime(batch) / b.IterationTime(batch); !(math.Abs(ratio-1) <= agreement) {
				return false
			}
		}
	}
	return true
}

// forget all but so many namespaces: those that have servers, and so lessons, go before those that have none, then those that taught last.
func (t taught) forget(lessons []*lesson, most int) {
	if len(t) <= most {
		return
	}
	serves := func(namespace string) bool {
		return slices.ContainsFunc(lessons, func(l *lesson) bool { return l.namespace == namespace })
	}
	order := slices.SortedFunc(maps.Keys(t), func(a, b string) int {
		if first := serves(a); first != serves(b) {
			if first {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(updated(t[b]), updated(t[a])), cmp.Compare(a, b))
	})
	for _, namespace := range order[most:] {
		delete(t, namespace)
	}
}

// updated is when a pair was last learned, in seconds since the Unix epoch; 0 where never.
func updated(p *v1alpha1.PairMemory) int64 {
	if p.UpdatedAt == nil {
		return 0
	}
	return p.UpdatedAt.Unix()
}
