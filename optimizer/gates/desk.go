package gates

import (
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// desk is what is remembered of one Server's pods.
type desk struct {
	mu sync.Mutex
	// let are pods as the API server gave them back when their gate was lifted, until the cache has them so: their seats are not given twice meanwhile.
	let map[types.UID]*corev1.Pod
	// told are the reasons for which pods wait, as they were last told.
	told map[types.UID]string
}

// note a pod as it was given back.
func (d *desk) note(pod *corev1.Pod) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.let == nil {
		d.let = map[types.UID]*corev1.Pod{}
	}
	d.let[pod.UID] = pod
}

// latest of the pods in the cache: those that were let go meanwhile as they are known to be. What the cache has come to know is forgotten.
func (d *desk) latest(cached []corev1.Pod) []*corev1.Pod {
	d.mu.Lock()
	defer d.mu.Unlock()
	pods, behind := make([]*corev1.Pod, len(cached)), map[types.UID]*corev1.Pod{}
	for i := range cached {
		pods[i] = &cached[i]
		if noted := d.let[cached[i].UID]; noted != nil && seats.Gated(pods[i]) && !seats.Leaving(pods[i]) {
			pods[i], behind[noted.UID] = noted, noted
		}
	}
	d.let = behind
	return pods
}

// behind are the pods that were let go and that the cache does not know as such.
func (d *desk) behind() []*corev1.Pod {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Values(d.let))
}

// news are the pods that wait for another reason than was told.
func (d *desk) news(waiting []wait) []wait {
	d.mu.Lock()
	defer d.mu.Unlock()
	told := make(map[types.UID]string, len(waiting))
	var list []wait
	for _, w := range waiting {
		told[w.pod.UID] = w.reason
		if d.told[w.pod.UID] != w.reason {
			list = append(list, w)
		}
	}
	d.told = told
	return list
}
