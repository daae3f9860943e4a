package estimation

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// memoryVersion is that of what the estimators of this package remember.
//
// Exact: the first version.
const memoryVersion = 1

// maxSources bounds the sources that are remembered; those not seen for longest are forgotten.
//
// Tuned: sources; guard against a status that grows with every server that was ever there
const maxSources = 64

// recall returns a copy of what was remembered, or a fresh memory and why what was remembered is not taken up.
func recall(learned *v1alpha1.PairMemory, f *form, estimator, acc string) (*v1alpha1.PairMemory, gaussian, string) {
	fresh := &v1alpha1.PairMemory{Acc: acc, Estimator: estimator, Version: memoryVersion, Basis: f.basis}
	if learned == nil {
		return fresh, f.prior.clone(), ""
	}
	fresh.KVTokens = learned.KVTokens                                   // of the machine, whoever learned the rest
	if learned.Estimator == "" || learned.Estimator == EstimatorFixed { // nothing else was learned yet
		return fresh, f.prior.clone(), ""
	}
	refuse := func(format string, args ...any) (*v1alpha1.PairMemory, gaussian, string) {
		fresh.Notice = "learning begins anew: " + fmt.Sprintf(format, args...)
		return fresh, f.prior.clone(), fresh.Notice
	}
	switch {
	case learned.Estimator != estimator:
		return refuse("what is remembered was learned by the estimator %q, not %q", learned.Estimator, estimator)
	case learned.Version != memoryVersion:
		return refuse("what is remembered has version %d, not %d", learned.Version, memoryVersion)
	case learned.Basis != f.basis:
		return refuse("the performance that was given has changed")
	case learned.Law == nil || learned.Law.Name != f.law.Name || learned.Law.Version != f.law.Version:
		return refuse("what is remembered is not of law %q version %d", f.law.Name, f.law.Version)
	case !slices.Equal(learned.Law.Order, f.names()):
		return refuse("what is remembered has the parameters %s, not %s", strings.Join(learned.Law.Order, " "), strings.Join(f.names(), " "))
	}
	if err := squareOf(learned.Law.Covariance, len(f.states)); err != nil {
		return refuse("%v", err)
	}
	var g gaussian
	for _, row := range learned.Law.Covariance {
		g.cov = append(g.cov, row...)
	}
	var ok bool
	if g.mean, ok = f.vector(learned.Law.Parameters); !ok {
		return refuse("a parameter that is remembered is missing, or not above 0 and finite")
	}
	return learned.DeepCopy(), g, ""
}

// store writes the state of learning into a memory.
func store(m *v1alpha1.PairMemory, f *form, g gaussian) {
	m.Law = &jsonspec.LawParms{Name: f.law.Name, Version: f.law.Version, Parameters: f.parameters(g), Order: f.names(), Covariance: g.rows()}
}

// source returns what was last seen of a source; nil where it was never seen.
func source(m *v1alpha1.PairMemory, name string) *v1alpha1.SourceMemory {
	for i := range m.Sources {
		if m.Sources[i].Name == name {
			return &m.Sources[i]
		}
	}
	return nil
}

// remember what was seen of a source. Sources are kept in the order of their names.
func remember(m *v1alpha1.PairMemory, s v1alpha1.SourceMemory) {
	i, found := slices.BinarySearchFunc(m.Sources, s.Name, func(a v1alpha1.SourceMemory, name string) int { return strings.Compare(a.Name, name) })
	if found {
		m.Sources[i] = s
		return
	}
	m.Sources = slices.Insert(m.Sources, i, s)
	if len(m.Sources) > maxSources {
		oldest := 0
		for k := range m.Sources {
			if m.Sources[k].Seconds < m.Sources[oldest].Seconds {
				oldest = k
			}
		}
		m.Sources = slices.Delete(m.Sources, oldest, oldest+1)
	}
}

// elapsed returns the whole seconds since the memory was updated, and the new time of update. Whole seconds, because that is what a
// resource's status keeps, and a restart must not change what is learned. Where an observation does not say when it was made, none have passed.
func elapsed(m *v1alpha1.PairMemory, seconds float64) (float64, *metav1.Time) {
	if math.IsNaN(seconds) {
		return 0, m.UpdatedAt
	}
	now := int64(math.Floor(seconds))
	before := now
	if m.UpdatedAt != nil {
		before = m.UpdatedAt.Unix()
	}
	t := metav1.NewTime(time.Unix(max(now, before), 0).UTC())
	return float64(max(0, now-before)), &t
}

// suspect adds a surprise to the suspicion of a latency and returns it; it begins anew where the direction changes.
func suspect(m *v1alpha1.PairMemory, name string, innovation float64) *v1alpha1.Suspicion {
	var s *v1alpha1.Suspicion
	for i := range m.Suspicions {
		if m.Suspicions[i].Name == name {
			s = &m.Suspicions[i]
		}
	}
	if s == nil {
		m.Suspicions = append(m.Suspicions, v1alpha1.Suspicion{Name: name})
		s = &m.Suspicions[len(m.Suspicions)-1]
	}
	if s.LogRatio*innovation < 0 {
		s.Count, s.LogRatio = 0, 0
	}
	s.Count++
	s.LogRatio += (innovation - s.LogRatio) / float64(s.Count)
	return s
}

// trust forgets the suspicion of a latency.
func trust(m *v1alpha1.PairMemory, name string) {
	m.Suspicions = slices.DeleteFunc(m.Suspicions, func(s v1alpha1.Suspicion) bool { return s.Name == name })
	if len(m.Suspicions) == 0 {
		m.Suspicions = nil
	}
}

const (
	// failed is by how much of what was measured a prediction of ITL must be off to have failed.
	//
	// Tuned: share; guard against a law that holds nowhere: half and twice of it make no difference over the scenarios
	failed = 0.3
	// distrusted is the number of predictions that failed from which on a pair is unreliable.
	//
	// Tuned: predictions; guard against one window that is odd: half of it makes no difference over the scenarios, and twice is the most that are counted
	distrusted = 3
	// mostMisses that are counted, so that a pair is trusted again after as many predictions that held.
	//
	// Tuned: predictions; guard against distrust without end: half and twice of it make no difference over the scenarios
	mostMisses = 6
)

// assess counts predictions of ITL that failed, before they were learned from.
func assess(m *v1alpha1.PairMemory, innovation float64) {
	switch miss := math.Abs(math.Expm1(-innovation)); {
	case math.IsNaN(miss):
		return
	case miss > failed:
		m.Misses = min(m.Misses+1, mostMisses)
	default:
		m.Misses = max(m.Misses-1, 0)
	}
	m.Unreliable = m.Misses >= distrusted || (m.Unreliable && m.Misses > 0)
}

// score takes an error of a prediction into a running mean over the last observations.
func score(mean *float64, count int64, innovation float64) {
	e := math.Abs(math.Expm1(-innovation)) // |predicted/measured − 1|
	*mean += (e - *mean) / float64(min(count+1, remembered))
}
