package loop

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/realise"
)

// gauges of one name by labels. A series stays until [gauges.settle] finds that nobody put it since: none is missing while a cycle puts them one after
// another, for a scrape in between would end the wait of an alert.
type gauges struct {
	*prometheus.GaugeVec
	last, next map[string][]string
}

func newGauges(o prometheus.GaugeOpts, labels []string) *gauges {
	return &gauges{GaugeVec: prometheus.NewGaugeVec(o, labels), next: map[string][]string{}}
}

// put the value of a series.
func (g *gauges) put(value float64, labels ...string) {
	g.WithLabelValues(labels...).Set(value)
	g.next[strings.Join(labels, "\x00")] = labels
}

// settle drops the series that were not put since it was last called.
func (g *gauges) settle() {
	for key, labels := range g.last {
		if g.next[key] == nil {
			g.DeleteLabelValues(labels...)
		}
	}
	g.last, g.next = g.next, map[string][]string{}
}

// metrics of the loop. Cardinality is that of the servers, the shares and the accelerator types.
type metrics struct {
	cycles   *prometheus.CounterVec
	stages   *prometheus.HistogramVec
	cost     prometheus.Gauge
	desired  *gauges
	ready    *gauges
	arrivals *gauges
	admitted *gauges
	capacity *gauges
	prices   *gauges
	// what the plan gives shares, and what bounds it
	shareUsed       *gauges
	shareDue        *gauges
	shareGuaranteed *gauges
	shareMost       *gauges
	shareCost       *gauges
	sharePower      *gauges
	sharePowerCap   *gauges
	trims           *gauges
	// what it takes to hand caches over between roles, what the Model says of it, and how fast it goes
	transfers         *gauges
	transfersExpected *gauges
	transferBandwidth *gauges
	conditions        *gauges
	planCost          *gauges
	// what servers gave, cost and drew
	usage *usage
	// what was learned, by model, accelerator and the namespace of the pods that taught it
	observations *gauges
	rejected     *gauges
	errors       *gauges
	unreliable   *gauges
	since        *gauges
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
		desired: newGauges(prometheus.GaugeOpts{
			Name: "inferno_server_desired_replicas",
			Help: "Replicas that the plan gives a server, by accelerator.",
		}, []string{"namespace", "server", "accelerator"}),
		ready: newGauges(prometheus.GaugeOpts{
			Name: "inferno_server_ready_replicas",
			Help: "Ready replicas of a server, by accelerator.",
		}, []string{"namespace", "server", "accelerator"}),
		arrivals: newGauges(prometheus.GaugeOpts{
			Name: observe.ArrivalRateMetric,
			Help: "Offered load of a server as observed, in requests per second.",
		}, []string{"namespace", "server"}),
		admitted: newGauges(prometheus.GaugeOpts{
			Name: "inferno_admissible_rate",
			Help: "Highest rate of requests to a server that is served within its targets, in requests per second; absent where all of its load can be admitted, or that is not known.",
		}, []string{"namespace", "server"}),
		capacity: newGauges(prometheus.GaugeOpts{
			Name: "inferno_accelerator_available_cards",
			Help: "Cards of a type that plans may give to servers.",
		}, []string{"type"}),
		prices: newGauges(prometheus.GaugeOpts{
			Name: "inferno_accelerator_shadow_price_cents_per_hour",
			Help: "What one card more of a type would save, in cents per hour, by the plan of the last cycle; 0 where there is enough.",
		}, []string{"type"}),
		trims: newGauges(prometheus.GaugeOpts{
			Name: "inferno_server_trim_ratio",
			Help: "Factor on the rate that a replica is taken to sustain, from measured attainment, by server and accelerator; far from 1 means a bad model.",
		}, []string{"namespace", "server", "accelerator"}),
		transfers: newGauges(prometheus.GaugeOpts{
			Name: "inferno_server_transfer_seconds",
			Help: "Time that the KV cache of a prompt takes between roles of a server, as engines tell; absent where they do not.",
		}, []string{"namespace", "server"}),
		transfersExpected: newGauges(prometheus.GaugeOpts{
			Name: "inferno_server_transfer_expected_seconds",
			Help: "Time that the KV cache of a mean prompt takes between roles of a server by the Model, alone on its link; absent where that says nothing.",
		}, []string{"namespace", "server"}),
		transferBandwidth: newGauges(prometheus.GaugeOpts{
			Name: "inferno_server_transfer_bandwidth_bytes_per_second",
			Help: "Bytes of KV cache that a replica of a server moves between roles in a second while it does, as engines tell; absent where they do not.",
		}, []string{"namespace", "server"}),
		conditions: newGauges(prometheus.GaugeOpts{
			Name: "inferno_server_condition",
			Help: "1 where the condition of the server is True, 0 where it is not.",
		}, []string{"namespace", "server", "condition"}),
	}
	m.planCost = newGauges(prometheus.GaugeOpts{
		Name: observe.ServerPlanCostMetric,
		Help: "Cost of what the plan gives a server, in cents per hour.",
	}, []string{"namespace", "server", "class"})
	m.usage = newUsage(r)
	share := []string{"share", "type"}
	m.shareUsed = newGauges(prometheus.GaugeOpts{
		Name: "inferno_share_used_cards",
		Help: "Cards of a type that the plan gives the servers of a share.",
	}, share)
	m.shareDue = newGauges(prometheus.GaugeOpts{
		Name: "inferno_share_due_cards",
		Help: "Cards of a type that others leave to a share: what its servers would use of its guarantee alone, and what it keeps.",
	}, share)
	m.shareGuaranteed = newGauges(prometheus.GaugeOpts{
		Name: "inferno_share_guaranteed_cards",
		Help: "Cards of a type that others leave to a share where it needs them.",
	}, share)
	m.shareMost = newGauges(prometheus.GaugeOpts{
		Name: "inferno_share_most_cards",
		Help: "The largest number of cards of a type that a share may have; absent where there is no bound.",
	}, share)
	m.shareCost = newGauges(prometheus.GaugeOpts{
		Name: "inferno_share_cost_cents_per_hour",
		Help: "Cost of what the plan gives the servers of a share, in cents per hour.",
	}, []string{"share"})
	m.sharePower = newGauges(prometheus.GaugeOpts{
		Name: "inferno_share_power_watts",
		Help: "Power at full of what the plan gives the servers of a share that has a cap on it, in watts; absent where it is not known.",
	}, []string{"share"})
	m.sharePowerCap = newGauges(prometheus.GaugeOpts{
		Name: "inferno_share_power_cap_watts",
		Help: "The cap on the power of a share, in watts; absent where there is none.",
	}, []string{"share"})
	pair := []string{"model", "accelerator", "namespace"}
	m.observations = newGauges(prometheus.GaugeOpts{
		Name: "inferno_learning_observations",
		Help: "Observations that the performance of a pair was learned from.",
	}, pair)
	m.rejected = newGauges(prometheus.GaugeOpts{
		Name: "inferno_learning_rejected_observations",
		Help: "Observations of a pair that were not learned from; the last reason is in the status of the Model.",
	}, pair)
	m.errors = newGauges(prometheus.GaugeOpts{
		Name: "inferno_learning_prediction_error_ratio",
		Help: "Recent mean error of predictions one step ahead, as a share of what was measured, by latency: itl or ttft.",
	}, append(pair, "latency"))
	m.unreliable = newGauges(prometheus.GaugeOpts{
		Name: "inferno_learning_unreliable",
		Help: "1 while predictions of a pair keep failing and plans keep to a floor by saturation.",
	}, pair)
	m.since = newGauges(prometheus.GaugeOpts{
		Name: "inferno_learning_since_timestamp_seconds",
		Help: "Time of the first observation that was learned from, in seconds since 1970.",
	}, pair)
	r.MustRegister(m.cycles, m.stages, m.cost)
	for _, g := range m.all() {
		r.MustRegister(g)
	}
	return m
}

// server sets the gauges of one server.
func (m *metrics) server(s *v1alpha1.Server, st *v1alpha1.ServerStatus) {
	if st.Desired != nil {
		for a, n := range realise.PlanBy(st.Desired.Parts) {
			m.desired.put(float64(n), s.Namespace, s.Name, a)
		}
		m.planCost.put(st.Desired.CostPerHour, s.Namespace, s.Name, s.Spec.ServiceClass)
		if rate := st.Desired.AdmissibleRate; rate != nil {
			m.admitted.put(jsonspec.PerSecond(*rate), s.Namespace, s.Name)
		}
	}
	for a, n := range realise.ReadyBy(st.Current) {
		m.ready.put(float64(n), s.Namespace, s.Name, a)
	}
	if st.Load != nil {
		m.arrivals.put(jsonspec.PerSecond(st.Load.ArrivalRate), s.Namespace, s.Name)
	}
	if x := st.Transfer; x != nil {
		m.transfers.put(jsonspec.Seconds(x.Time), s.Namespace, s.Name)
		if x.Expected != nil {
			m.transfersExpected.put(jsonspec.Seconds(*x.Expected), s.Namespace, s.Name)
		}
		if x.Bandwidth > 0 {
			m.transferBandwidth.put(jsonspec.Bytes(x.Bandwidth), s.Namespace, s.Name)
		}
	}
	for _, c := range st.Conditions {
		value := 0.0
		if c.Status == "True" {
			value = 1
		}
		m.conditions.put(value, s.Namespace, s.Name, c.Type)
	}
}

// model sets the gauges of what was learned of one model.
func (m *metrics) model(name string, learned map[string]*v1alpha1.PairMemory) {
	for _, p := range learned {
		m.observations.put(float64(p.Observations), name, p.Acc, p.Namespace)
		m.rejected.put(float64(p.Rejected), name, p.Acc, p.Namespace)
		m.errors.put(p.ITLError, name, p.Acc, p.Namespace, "itl")
		m.errors.put(p.TTFTError, name, p.Acc, p.Namespace, "ttft")
		unreliable := 0.0
		if p.Unreliable {
			unreliable = 1
		}
		m.unreliable.put(unreliable, name, p.Acc, p.Namespace)
		if p.LearnedSince != nil {
			m.since.put(float64(p.LearnedSince.Unix()), name, p.Acc, p.Namespace)
		}
	}
}

// share sets the gauges of one share.
func (m *metrics) share(s *jsonspec.ShareStatus) {
	m.shareCost.put(s.Cost, s.Name)
	if s.Power != nil {
		m.sharePower.put(*s.Power, s.Name)
	}
	if s.PowerCap != nil {
		m.sharePowerCap.put(*s.PowerCap, s.Name)
	}
	for _, c := range s.Cards {
		m.shareUsed.put(float64(c.Used), s.Name, c.Type)
		m.shareDue.put(float64(c.Due), s.Name, c.Type)
		m.shareGuaranteed.put(float64(c.Guaranteed), s.Name, c.Type)
		if c.Most != nil {
			m.shareMost.put(float64(*c.Most), s.Name, c.Type)
		}
	}
}

// settle drops the series of what is gone.
func (m *metrics) settle() {
	for _, g := range m.all() {
		g.settle()
	}
}

func (m *metrics) all() []*gauges {
	return []*gauges{
		m.desired, m.ready, m.arrivals, m.admitted, m.capacity, m.prices, m.shareUsed, m.shareDue, m.shareGuaranteed, m.shareMost, m.shareCost, m.sharePower, m.sharePowerCap, m.trims, m.transfers, m.transfersExpected, m.transferBandwidth, m.conditions, m.planCost, m.observations, m.rejected, m.errors, m.unreliable, m.since,
	}
}
