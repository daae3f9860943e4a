package observe

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// inHand is what a pod would lose if it were removed: the requests that run and wait in it, and how warm its cache is, as the share of prompt tokens that it
// finds there. NaN is what its engine does not say.
type inHand struct{ requests, warmth float64 }

// inHand of the pods that are ready, where Prometheus has fresh samples of them.
func (r *Readings) inHand(pods []*corev1.Pod, into map[types.UID]inHand) {
	for _, p := range pods {
		m := r.Metrics[types.NamespacedName{Namespace: p.Namespace, Name: p.Name}]
		if _, ready := readySince(p); ready && m != nil && m.values[SampleAge] <= r.StaleAfter.Seconds() {
			into[p.UID] = inHand{m.value(RunningNow) + known(m.value(WaitingNow)), m.value(PrefixHitRate)}
		}
	}
}

// InHand are the requests that a pod has in hand, and the warmth of its cache, 0 to 1; NaN is what is not known.
func (o *Observation) InHand(p *corev1.Pod) (requests, warmth float64) {
	if h, measured := o.hands[p.UID]; measured {
		return h.requests, h.warmth
	}
	return math.NaN(), math.NaN()
}
