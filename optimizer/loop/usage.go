package loop

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

// longestGap between cycles over which servers are taken to have gone on as they are found at its end.
//
// Tuned: intervals; guard against a rate that is taken for all of a time in which nobody looked
const longestGap = 3

// usage counts what servers gave, cost and drew, so that any span can be asked for. A cycle stands for the time since the one before. What is not known is
// counted nowhere, or as unknown; a series that never was known is absent.
type usage struct {
	observed       prometheus.Counter
	seen           *prometheus.CounterVec
	known          *prometheus.CounterVec
	requests       *prometheus.CounterVec
	tokens         *prometheus.CounterVec
	cost           *prometheus.CounterVec
	energy         *prometheus.CounterVec
	until          time.Time
	counted, found map[observe.ServerKey]bool
}

func newUsage(r prometheus.Registerer) *usage {
	u := &usage{
		observed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: observe.ObservedSecondsMetric, Help: "Time that the counters of servers speak of, in seconds: less than what passed where no cycle looked.",
		}),
		seen: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: observe.ServerObservedSecondsMetric, Help: "Time that the counters of a server speak of, in seconds.",
		}, []string{"namespace", "server", "class"}),
		known: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: observe.ServerKnownSecondsMetric, Help: "Time of it that something of the server was known, in seconds: its load, its cost or its power.",
		}, []string{"namespace", "server", "class", "of"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: observe.ServerRequestsMetric, Help: "Requests that a server completed, by targets: met, missed (one of them at least) or unknown.",
		}, []string{"namespace", "server", "class", "targets"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: observe.ServerOutputTokensMetric, Help: "Output tokens of the requests that a server completed, by targets, as if requests that meet them were as long as others.",
		}, []string{"namespace", "server", "class", "targets"}),
		cost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: observe.ServerCostMetric, Help: "Cost of the pods of a server that are on nodes, in cents, by whether its load was known: known or unknown.",
		}, []string{"namespace", "server", "class", "load"}),
		energy: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: observe.ServerEnergyMetric, Help: "Energy that the accelerators of a server took, in joules, by their power curves.",
		}, []string{"namespace", "server", "class"}),
	}
	r.MustRegister(u.observed)
	for _, v := range u.servers() {
		r.MustRegister(v)
	}
	return u
}

// servers are the counters of servers.
func (u *usage) servers() []*prometheus.CounterVec {
	return []*prometheus.CounterVec{u.seen, u.known, u.requests, u.tokens, u.cost, u.energy}
}

// begin a cycle: the seconds that it stands for. The first one, and one after a gap, stand for none.
func (u *usage) begin(now time.Time, interval time.Duration) float64 {
	passed := now.Sub(u.until)
	if u.until.IsZero() || passed < 0 || passed > longestGap*interval {
		passed = 0
	}
	u.until, u.found = now, map[observe.ServerKey]bool{}
	u.observed.Add(passed.Seconds())
	return passed.Seconds()
}

// count what a server did for so many seconds.
func (u *usage) count(s *v1alpha1.Server, did control.Usage, seconds float64) {
	key := observe.ServerKey{Namespace: s.Namespace, Server: s.Name, Class: s.Spec.ServiceClass}
	u.found[key] = true
	add := func(to *prometheus.CounterVec, much float64, more ...string) {
		if !(much >= 0) { // a counter takes nothing else
			return
		}
		to.WithLabelValues(append([]string{key.Namespace, key.Server, key.Class}, more...)...).Add(much)
	}
	add(u.seen, seconds)
	load := observe.LoadUnknown
	if rate, known := did.Requests.Get(); known {
		load = observe.LoadKnown
		add(u.known, seconds, observe.OfLoad)
		u.within(add, u.requests, rate*seconds, did)
	}
	if rate, known := did.OutputTokens.Get(); known {
		u.within(add, u.tokens, rate*seconds, did)
	}
	if perHour, known := did.Cost.Get(); known {
		add(u.known, seconds, observe.OfCost)
		add(u.cost, perHour*jsonspec.Hours(seconds), load)
	}
	if watts, known := did.Power.Get(); known {
		add(u.known, seconds, observe.OfPower)
		add(u.energy, watts*seconds)
	}
}

// within splits what was done by whether it was within targets.
func (u *usage) within(add func(*prometheus.CounterVec, float64, ...string), to *prometheus.CounterVec, much float64, did control.Usage) {
	if share, known := did.Attainment.Get(); known {
		add(to, much*share, observe.TargetsMet)
		add(to, much*(1-share), observe.TargetsMissed)
	} else if much > 0 {
		add(to, much, observe.TargetsUnknown)
	}
}

// end a cycle: the series of servers that are gone go.
func (u *usage) end() {
	for key := range u.counted {
		if !u.found[key] {
			for _, v := range u.servers() {
				v.DeletePartialMatch(prometheus.Labels{"namespace": key.Namespace, "server": key.Server, "class": key.Class})
			}
		}
	}
	u.counted = u.found
}

// use counts what the servers of a cycle did since the one before.
func (c *cycle) use(servers []v1alpha1.Server, o *observe.Observation, d *control.Decision) {
	u := c.metrics.usage
	seconds := u.begin(c.report.Time.Time, interval(c.optimizer))
	for name, i := range o.Index {
		if did, known := d.Usage(name); known {
			u.count(&servers[i], did, seconds)
		}
	}
	u.end()
}
