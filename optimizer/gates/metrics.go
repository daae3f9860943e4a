package gates

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

// metrics of the controller.
type metrics struct {
	waiting *prometheus.GaugeVec
	lifted  *prometheus.CounterVec
	took    prometheus.Histogram
	removed prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "inferno_gates_waiting_pods", Help: "Pods of a server that wait behind their gate for a seat of its plan.",
		}, []string{"namespace", "server"}),
		lifted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inferno_gates_lifted_total", Help: "Gates that were lifted, by the accelerator of the seat.",
		}, []string{"accelerator"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "inferno_gates_waited_seconds", Help: "Time from the creation of a pod to the lifting of its gate, in seconds.", Buckets: prometheus.ExponentialBuckets(.1, 4, 8),
		}),
		removed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "inferno_gates_removed_pods_total", Help: "Pods that were removed because the plan took back their seat before they had a node.",
		}),
	}
	r.MustRegister(m.waiting, m.lifted, m.took, m.removed)
	return m
}

// waits says how many pods of a server wait; the series of one without any is dropped.
func (m *metrics) waits(server types.NamespacedName, pods int) {
	if pods == 0 {
		m.waiting.DeleteLabelValues(server.Namespace, server.Name)
		return
	}
	m.waiting.WithLabelValues(server.Namespace, server.Name).Set(float64(pods))
}

func (m *metrics) let(accelerator string, waited time.Duration) {
	m.lifted.WithLabelValues(accelerator).Inc()
	m.took.Observe(max(waited, 0).Seconds())
}
