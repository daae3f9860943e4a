package inferno

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// heldPods are the pods that PreEnqueue holds, with their servers.
type heldPods struct {
	mu      sync.Mutex
	servers map[types.UID]types.NamespacedName
	counts  map[types.NamespacedName]int
	metrics *pluginMetrics
}

func newHeldPods(m *pluginMetrics) *heldPods {
	return &heldPods{servers: map[types.UID]types.NamespacedName{}, counts: map[types.NamespacedName]int{}, metrics: m}
}

func (h *heldPods) add(server types.NamespacedName, pod types.UID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(pod)
	h.servers[pod] = server
	h.counts[server]++
	h.metrics.held.Inc()
}

func (h *heldPods) remove(pod types.UID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(pod)
}

func (h *heldPods) drop(pod types.UID) {
	server, held := h.servers[pod]
	if !held {
		return
	}
	h.metrics.held.Dec()
	delete(h.servers, pod)
	if h.counts[server]--; h.counts[server] == 0 {
		delete(h.counts, server)
	}
}

func (h *heldPods) has(pod types.UID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, held := h.servers[pod]
	return held
}

// of says how many are a server's.
func (h *heldPods) of(server types.NamespacedName) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counts[server]
}
