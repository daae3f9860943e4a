package loop

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// metrics of the loop. Cardinality is that of the servers and accelerator types.
type metrics struct {
	cycles     *prometheus.CounterVec
	stages     *prometheus.HistogramVec
	cost       prometheus.Gauge
	desired    *prometheus.GaugeVec
	ready      *prometheus.GaugeVec
	arrivals   *prometheus.GaugeVec
	capacity   *prometheus.GaugeVec
	prices     *prometheus.GaugeVec
	conditions *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		cycles: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inferno_cycles_total", Help: "Cycles of the optimizer by result: succeeded, degraded (some server could not be observed or planned), failed.",
		}, []string{"result"}),
		stages: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "inferno_cycle_stage_duration_seconds", Help: "Time that a stage of a cycle took, in seconds.", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 10),
		}, []string{"stage"}),
		cost: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "inferno_plan_cost_cents_per_hour", Help: "Cost of the plan of the last cycle, in cents per hour.",
		}),
		desired: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "inferno_server_desired_replicas", Help: "Replicas that the plan gives a server, by accelerator.",
		}, []string{"namespace", "server", "accelerator"}),
		ready: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "inferno_server_ready_replicas", Help: "Ready replicas of a server, by accelerator.",
		}, []string{"namespace", "server", "accelerator"}),
		arrivals: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "inferno_server_arrival_rate_requests_per_second", Help: "Offered load of a server as observed, in requests per second.",
		}, []string{"namespace", "server"}),
		capacity: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "inferno_accelerator_available_cards", Help: "Cards of a type that plans may give to servers.",
		}, []string{"type"}),
		prices: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "inferno_accelerator_shadow_price_cents_per_hour",
			Help: "What one card more of a type would save, in cents per hour, by the plan of the last cycle; 0 where there is enough.",
		}, []string{"type"}),
		conditions: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "inferno_server_condition", Help: "1 where the condition of the server is True, 0 where it is not.",
		}, []string{"namespace", "server", "condition"}),
	}
	r.MustRegister(m.cycles, m.stages, m.cost, m.desired, m.ready, m.arrivals, m.capacity, m.prices, m.conditions)
	return m
}

// server sets the gauges of one server.
func (m *metrics) server(s *v1alpha1.Server, st *v1alpha1.ServerStatus) {
	if st.Desired != nil {
		for a, n := range planBy(st.Desired.Parts) {
			m.desired.WithLabelValues(s.Namespace, s.Name, a).Set(float64(n))
		}
	}
	for a, n := range readyBy(st.Current) {
		m.ready.WithLabelValues(s.Namespace, s.Name, a).Set(float64(n))
	}
	if st.Load != nil {
		m.arrivals.WithLabelValues(s.Namespace, s.Name).Set(v1alpha1.PerSecond(st.Load.ArrivalRate))
	}
	for _, c := range st.Conditions {
		value := 0.0
		if c.Status == "True" {
			value = 1
		}
		m.conditions.WithLabelValues(s.Namespace, s.Name, c.Type).Set(value)
	}
}

// resetServers forgets what was said of servers, so that one that is gone leaves no series behind.
func (m *metrics) resetServers() {
	m.desired.Reset()
	m.ready.Reset()
	m.arrivals.Reset()
	m.conditions.Reset()
}
