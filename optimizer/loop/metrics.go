package loop

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/realise"
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
	trims      *prometheus.GaugeVec
	conditions *prometheus.GaugeVec
	// what was learned, by model and accelerator
	observations *prometheus.GaugeVec
	rejected     *prometheus.GaugeVec
	errors       *prometheus.GaugeVec
	unreliable   *prometheus.GaugeVec
	since        *prometheus.GaugeVec
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
			Name: observe.ArrivalRateMetric, Help: "Offered load of a server as observed, in requests per second.",
		}, []string{"namespace", "server"}),
		capacity: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "inferno_accelerator_available_cards", Help: "Cards of a type that plans may give to servers.",
		}, []string{"type"}),
		prices: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "inferno_accelerator_shadow_price_cents_per_hour",
			Help: "What one card more of a type would save, in cents per hour, by the plan of the last cycle; 0 where there is enough.",
		}, []string{"type"}),
		trims: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "inferno_server_trim_ratio",
			Help: "Factor on the rate that a replica is taken to sustain, from measured attainment, by server and accelerator; far from 1 means a bad model.",
		}, []string{"server", "accelerator"}),
		conditions: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "inferno_server_condition", Help: "1 where the condition of the server is True, 0 where it is not.",
		}, []string{"namespace", "server", "condition"}),
	}
	pair := []string{"model", "accelerator"}
	m.observations = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "inferno_learning_observations", Help: "Observations that the performance of a pair was learned from.",
	}, pair)
	m.rejected = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "inferno_learning_rejected_observations", Help: "Observations of a pair that were not learned from; the last reason is in the status of the Model.",
	}, pair)
	m.errors = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "inferno_learning_prediction_error_ratio", Help: "Recent mean error of predictions one step ahead, as a share of what was measured, by latency: itl or ttft.",
	}, append(pair, "latency"))
	m.unreliable = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "inferno_learning_unreliable", Help: "1 while predictions of a pair keep failing and plans keep to a floor by saturation.",
	}, pair)
	m.since = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "inferno_learning_since_timestamp_seconds", Help: "Time of the first observation that was learned from, in seconds since 1970.",
	}, pair)
	r.MustRegister(m.observations, m.rejected, m.errors, m.unreliable, m.since)
	r.MustRegister(m.cycles, m.stages, m.cost, m.desired, m.ready, m.arrivals, m.capacity, m.prices, m.trims, m.conditions)
	return m
}

// server sets the gauges of one server.
func (m *metrics) server(s *v1alpha1.Server, st *v1alpha1.ServerStatus) {
	if st.Desired != nil {
		for a, n := range realise.PlanBy(st.Desired.Parts) {
			m.desired.WithLabelValues(s.Namespace, s.Name, a).Set(float64(n))
		}
	}
	for a, n := range realise.ReadyBy(st.Current) {
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

// model sets the gauges of what was learned of one model.
func (m *metrics) model(name string, learned map[string]*v1alpha1.PairStatus) {
	for a, p := range learned {
		m.observations.WithLabelValues(name, a).Set(float64(p.Observations))
		m.rejected.WithLabelValues(name, a).Set(float64(p.Rejected))
		m.errors.WithLabelValues(name, a, "itl").Set(p.ITLError)
		m.errors.WithLabelValues(name, a, "ttft").Set(p.TTFTError)
		unreliable := 0.0
		if p.Unreliable {
			unreliable = 1
		}
		m.unreliable.WithLabelValues(name, a).Set(unreliable)
		if p.LearnedSince != nil {
			m.since.WithLabelValues(name, a).Set(float64(p.LearnedSince.Unix()))
		}
	}
}

// resetServers forgets what was said of servers, so that one that is gone leaves no series behind.
func (m *metrics) resetServers() {
	for _, v := range []*prometheus.GaugeVec{m.observations, m.rejected, m.errors, m.unreliable, m.since} {
		v.Reset()
	}
	m.desired.Reset()
	m.ready.Reset()
	m.arrivals.Reset()
	m.conditions.Reset()
}
