package inferno

import (
	"time"

	"k8s.io/component-base/metrics"

	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// pluginMetrics are served on the scheduler's /metrics. Their labels take few values: none grows with the number of servers or pods.
type pluginMetrics struct {
	placements *metrics.CounterVec
	rejections *metrics.CounterVec
	wakeups    *metrics.CounterVec
	annotating *metrics.HistogramVec
	held       *metrics.Gauge
}

const (
	metricsNamespace = "inferno"
	metricsSubsystem = "scheduler"
)

// newMetrics registers the metrics.
func newMetrics(register func(metrics.Registerable) error) (*pluginMetrics, error) {
	m := &pluginMetrics{
		placements: metrics.NewCounterVec(&metrics.CounterOpts{
			Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "placements_total", StabilityLevel: metrics.ALPHA,
			Help: "Pods of servers that were bound, by accelerator (empty where none is known) and by outcome: planned (within the plan), unplanned (there is no plan) or fallback (the plan had no room for too long).",
		}, []string{"accelerator", "outcome"}),
		rejections: metrics.NewCounterVec(&metrics.CounterOpts{
			Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "rejections_total", StabilityLevel: metrics.ALPHA,
			Help: "Scheduling attempts of pods of servers that the plugin ended, by reason: quota (the plan's room was used up since the pod passed), node (no node carries a planned accelerator), raced (the quota was used up during the attempt) or unready (the plugin had not read the cluster yet).",
		}, []string{"reason"}),
		wakeups: metrics.NewCounterVec(&metrics.CounterOpts{
			Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "wakeups_total", StabilityLevel: metrics.ALPHA,
			Help: "Waiting pods of servers that the plugin put back into the scheduling queue, by cause: plan, seat, turn (one that came before is gone), fleet, arrival, overdue or ready.",
		}, []string{"cause"}),
		held: metrics.NewGauge(&metrics.GaugeOpts{
			Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "held_pods", StabilityLevel: metrics.ALPHA,
			Help: "Pods of servers that wait for a seat of their plan. The scheduler does not try them, and does not count them as unschedulable.",
		}),
		annotating: metrics.NewHistogramVec(&metrics.HistogramOpts{
			Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "annotate_duration_seconds", StabilityLevel: metrics.ALPHA,
			Help:    "Time to annotate a pod before it is bound, in seconds, by result: success or error.",
			Buckets: metrics.ExponentialBuckets(0.001, 2, 14),
		}, []string{"result"}),
	}
	for _, r := range []metrics.Registerable{m.placements, m.rejections, m.wakeups, m.annotating, m.held} {
		if err := register(r); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Reasons of rejections, labels of a metric.
const (
	rejectedQuota   = "quota"
	rejectedNode    = "node"
	rejectedDomain  = "domain"
	rejectedRaced   = "raced"
	rejectedUnready = "unready"
)

func (m *pluginMetrics) placed(accelerator string, by seats.Outcome) {
	m.placements.WithLabelValues(accelerator, string(by)).Inc()
}

func (m *pluginMetrics) rejected(reason string) { m.rejections.WithLabelValues(reason).Inc() }

func (m *pluginMetrics) woken(why cause, pods int) {
	m.wakeups.WithLabelValues(string(why)).Add(float64(pods))
}

func (m *pluginMetrics) annotated(d time.Duration, err error) {
	result := "success"
	if err != nil {
		result = "error"
	}
	m.annotating.WithLabelValues(result).Observe(d.Seconds())
}
