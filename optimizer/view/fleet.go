package view

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/fleet"
)

// Fleet is all servers of a cycle.
type Fleet struct {
	Summary
	Classes []Class `json:"classes"`
	// Servers, those that need attention first.
	Servers []Row `json:"servers"`
	// Nodes with what runs on them where Running, else with what the plan puts on them. The scheduler may find another packing.
	Nodes   []Node `json:"nodes"`
	Running bool   `json:"running"`
	// Unread says what could not be read.
	Unread []string `json:"unread,omitempty"`
}

// Summary of a cycle.
type Summary struct {
	ID string `json:"id"`
	// Time in ms since the Unix epoch; 0 where there is no clock.
	Time    int64 `json:"time"`
	Servers int   `json:"servers"`
	// Unserved get less than their targets need, Unobserved have no load that is known, Missing do not meet their targets now.
	Unserved   int `json:"unserved"`
	Unobserved int `json:"unobserved"`
	Missing    int `json:"missing"`
	Replicas   int `json:"replicas"`
	// Cost of the plan in cents per hour, and Load in requests per minute, of the servers whose load is known.
	Cost float64 `json:"cost"`
	Load float64 `json:"load"`
	// GoodTokens are output tokens per second of requests within their targets, of the servers of which that is known; absent where it is of none.
	GoodTokens *float64 `json:"goodTokens,omitempty"`
	// MillionTokens is what a million output tokens cost in cents, by the plan, of the servers that complete requests; absent where none is known to.
	MillionTokens *float64 `json:"millionTokens,omitempty"`
	Solver        string   `json:"solver,omitempty"`
}

// Class of service and how its servers fare.
type Class struct {
	Name string `json:"name"`
	// Priority as the JSON specification has it: 1 matters most.
	Priority int     `json:"priority"`
	Servers  int     `json:"servers"`
	Needy    int     `json:"needy"`
	Cost     float64 `json:"cost"`
	Load     float64 `json:"load"`
}

// States of a server, from what needs attention most to what needs none.
const (
	StateUnserved   = "unserved"
	StateBestEffort = "best effort"
	StateMissing    = "misses targets"
	StateUnobserved = "not observed"
	StateChanging   = "changing"
	StateFine       = "fine"
)

var states = []string{StateUnserved, StateBestEffort, StateMissing, StateUnobserved, StateChanging, StateFine}

// Row is one server in a few numbers.
type Row struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	Class     string `json:"class"`
	Model     string `json:"model"`
	// Priority of the class as the JSON specification has it: 1 matters most.
	Priority int    `json:"priority"`
	State    string `json:"state"`
	// Why it is in that state, and why it is planned as it is.
	Why string `json:"why"`
	// Load in requests per minute, and its tokens; absent where it is not known.
	Load *jsonspec.Load `json:"load,omitempty"`
	// Parts of the plan, and what Runs.
	Parts []jsonspec.AllocationPart `json:"parts"`
	Runs  []jsonspec.ObservedPart   `json:"runs"`
	// Replicas of the plan, and Ready ones.
	Replicas int `json:"replicas"`
	Ready    int `json:"ready"`
	// TTFT and ITL in ms.
	TTFT Latency `json:"ttft"`
	ITL  Latency `json:"itl"`
	// Percentile of the requests for which targets hold; 0: they are for the mean.
	Percentile float64 `json:"percentile,omitempty"`
	// Attainment is the share of requests within both targets, 0 to 1.
	Attainment *float64 `json:"attainment,omitempty"`
	// Tokens of output per second of the requests that are completed, and GoodTokens of those within both targets; absent where they are not known.
	Tokens     *float64 `json:"tokens,omitempty"`
	GoodTokens *float64 `json:"goodTokens,omitempty"`
	// Cost of the plan in cents per hour.
	Cost float64 `json:"cost"`
	// Conditions that are not as they should be.
	Conditions []Condition `json:"conditions,omitempty"`
}

// Condition of a Server.
type Condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Latency in ms: means that were measured and predicted, what was measured at percentiles, and the target.
type Latency struct {
	Measured  *float64 `json:"measured,omitempty"`
	P90       *float64 `json:"p90,omitempty"`
	P99       *float64 `json:"p99,omitempty"`
	Predicted *float64 `json:"predicted,omitempty"`
	Target    *float64 `json:"target,omitempty"`
}

// missed says that the target is not met, as far as that was measured. Where it is for a percentile, a mean above it misses it too.
func (l *Latency) missed() bool {
	return l.Measured != nil && l.Target != nil && *l.Measured > *l.Target
}

// NewFleet looks at a cycle.
func NewFleet(c *Cycle) *Fleet {
	s := systemOf(&c.Snapshot.System)
	f := &Fleet{Summary: Summary{ID: c.ID, Time: c.Milliseconds(), Cost: c.Decision.Plan.TotalCost, Solver: c.Decision.Plan.Solver.Name}, Classes: []Class{}, Servers: []Row{}, Unread: c.Unread, Running: c.OnNodes != nil}
	for i := range c.Snapshot.System.Servers.Spec {
		f.Servers = append(f.Servers, c.row(s, &c.Snapshot.System.Servers.Spec[i]))
	}
	f.Nodes = c.nodes(s)
	slices.SortStableFunc(f.Servers, func(a, b Row) int {
		return cmp.Or(cmp.Compare(slices.Index(states, a.State), slices.Index(states, b.State)), cmp.Compare(a.Priority, b.Priority), strings.Compare(a.Name, b.Name))
	})
	f.count(s)
	return f
}

// Summarise a cycle.
func Summarise(c *Cycle) Summary { return NewFleet(c).Summary }

func (f *Fleet) count(s *system) {
	index := map[string]int{}
	for i := range s.ServiceClasses.Spec {
		e := &s.ServiceClasses.Spec[i]
		index[e.Name] = len(f.Classes)
		f.Classes = append(f.Classes, Class{Name: e.Name, Priority: e.Priority})
	}
	cost, tokens := 0.0, 0.0
	for i := range f.Servers {
		r := &f.Servers[i]
		if r.Tokens != nil && *r.Tokens > 0 {
			cost, tokens = cost+r.Cost, tokens+*r.Tokens
		}
		if r.GoodTokens != nil {
			good := *r.GoodTokens
			if f.GoodTokens != nil {
				good += *f.GoodTokens
			}
			f.GoodTokens = &good
		}
		k, known := index[r.Class]
		if !known {
			k = len(f.Classes)
			index[r.Class] = k
			f.Classes = append(f.Classes, Class{Name: r.Class})
		}
		class := &f.Classes[k]
		f.Summary.Servers++
		class.Servers++
		f.Replicas += r.Replicas
		class.Cost += r.Cost
		if r.Load != nil {
			f.Load += r.Load.ArrivalRate
			class.Load += r.Load.ArrivalRate
		}
		switch r.State {
		case StateUnserved, StateBestEffort:
			f.Unserved++
		case StateMissing:
			f.Summary.Missing++
		case StateUnobserved:
			f.Unobserved++
		}
		if r.State != StateFine && r.State != StateChanging {
			class.Needy++
		}
	}
	if tokens > 0 {
		million := 1e6 * jsonspec.Hours(cost) / tokens
		f.MillionTokens = &million
	}
	slices.SortStableFunc(f.Classes, func(a, b Class) int { return cmp.Compare(a.Priority, b.Priority) })
}

// row of a server.
func (c *Cycle) row(s *system, e *jsonspec.ServerEntry) Row {
	target, v := s.target(e), c.verdict(e.Name)
	r := Row{Name: e.Name, Namespace: e.Namespace, Class: e.Class, Model: e.Model, Priority: s.priority(e.Class), Percentile: target.Percentile, Why: v.Message,
		Parts: []jsonspec.AllocationPart{}, Runs: []jsonspec.ObservedPart{}}
	r.TTFT.Target, r.ITL.Target = some(target.TTFT), some(target.ITL)
	if a, planned := c.Decision.Plan.Allocations[e.Name]; planned {
		r.Parts, r.Cost = append(r.Parts, partsOf(&a)...), a.Cost
		r.TTFT.Predicted, r.ITL.Predicted = some(a.TTFTAverage), some(a.ITLAverage)
	}
	for _, p := range r.Parts {
		r.Replicas += p.Replicas
	}
	if a := e.CurrentAlloc; a != nil {
		r.Load, r.TTFT.Measured, r.ITL.Measured = a.Load, some(a.TTFTAverage), some(a.ITLAverage)
	}
	if o := e.Observation; o != nil {
		r.Runs, r.Attainment = append(r.Runs, o.Parts...), o.Attainment
		r.percentiles(o)
	}
	for _, p := range r.Runs {
		r.Ready += p.Ready
	}
	for _, k := range c.Conditions[e.Name] {
		if k.Status != metav1.ConditionTrue && k.Type != v1alpha1.ConditionReady { // which says the same again
			r.Conditions = append(r.Conditions, Condition{k.Type, string(k.Status), k.Reason, k.Message})
		}
	}
	r.give()
	r.judge(e, v)
	return r
}

// give works out the tokens of what the server completes. Requests within targets are taken to be as long as others.
func (r *Row) give() {
	if r.Load == nil || r.Load.Throughput == 0 && r.Load.ArrivalRate > 0 { // left out, or none yet
		return
	}
	tokens := jsonspec.PerSecond(r.Load.Throughput) * r.Load.AvgOutTokens
	r.Tokens = &tokens
	if r.Attainment != nil {
		good := *r.Attainment * tokens
		r.GoodTokens = &good
	}
}

// percentiles that were measured; those of the slowest group.
func (r *Row) percentiles(o *jsonspec.Observation) {
	worst := func(to **float64, x *float64) {
		if x != nil && (*to == nil || *x > **to) {
			*to = x
		}
	}
	for i := range o.Groups {
		for _, l := range []struct {
			of *jsonspec.ObservedLatency
			to *Latency
		}{{o.Groups[i].TTFT, &r.TTFT}, {o.Groups[i].ITL, &r.ITL}} {
			if l.of != nil {
				worst(&l.to.P90, l.of.P90)
				worst(&l.to.P99, l.of.P99)
			}
		}
	}
}

// judge in which state the server is.
func (r *Row) judge(e *jsonspec.ServerEntry, v fleet.Verdict) {
	fault := ""
	switch o := e.Observation; {
	case o != nil && o.Fault != "":
		fault = o.Fault + ": " + o.Detail
	case r.Load == nil:
		fault = v1alpha1.ReasonNoMetrics + ": the load is not known"
	}
	wanted := r.Percentile / 100
	switch {
	case v.Reason == v1alpha1.ReasonBestEffort || v.Reason == v1alpha1.ReasonPlanned && !v.Planned:
		r.State = StateBestEffort
	case fault != "":
		r.State, r.Why = StateUnobserved, fault
	case !v.Planned:
		r.State = StateUnserved
	case r.Percentile > 0 && r.Attainment != nil && *r.Attainment < wanted:
		r.State = StateMissing
		r.Why = fmt.Sprintf("%.1f %% of requests are within targets, %g %% should be; %s", 100**r.Attainment, r.Percentile, r.Why)
	case r.TTFT.missed() || r.ITL.missed():
		r.State = StateMissing
	case e.Observation != nil && r.unlike():
		r.State = StateChanging
	default:
		r.State = StateFine
	}
}

// unlike tells whether what is ready is not what is planned.
func (r *Row) unlike() bool {
	by := map[string]int{}
	for _, p := range r.Runs {
		if p.Accelerator != "" || p.Ready > 0 {
			by[p.Accelerator] += p.Ready
		}
	}
	for _, p := range r.Parts {
		by[p.Accelerator] -= p.Replicas
	}
	for _, n := range by {
		if n != 0 {
			return true
		}
	}
	return false
}

// some is a number that is absent where it is 0, as latencies and targets are written.
func some(x float64) *float64 {
	if x == 0 {
		return nil
	}
	return &x
}
