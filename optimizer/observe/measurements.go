package observe

import (
	"math"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// Measurements of one pod that were not read from a Prometheus but stand for what it would answer: rates per second and means over the
// window, lengths over four windows. A NaN was not measured.
type Measurements struct {
	Completions, TTFTSum, TTFTCount, ITLSum, ITLCount                  float64
	AdmittedTokens                                                     float64 // prompt tokens of those whose first token came
	PromptTokens, PromptRequests, GenerationTokens, GenerationRequests float64
	Running, RunningVariance, RunningNow, RunningThen                  float64
	Waiting, WaitingNow, WaitingThen                                   float64
	KVUsage, KVTokens                                                  float64
	SampleAge                                                          float64 // s
	InputTokensSD, OutputTokensSD                                      float64 // over the lengths' window
	Dispersion                                                         float64 // of the numbers of arrivals, likewise
}

func (m *Measurements) metrics() *PodMetrics {
	p := newPodMetrics()
	for q, v := range map[quantity]float64{
		completions: m.Completions, admissions: m.TTFTCount, prefillTokens: m.AdmittedTokens,
		dispersion: m.Dispersion, running: m.Running, runningVariance: m.RunningVariance, runningNow: m.RunningNow, runningThen: m.RunningThen,
		waiting: m.Waiting, waitingNow: m.WaitingNow, waitingThen: m.WaitingThen,
		promptTokens: m.PromptTokens, promptRequests: m.PromptRequests, generationTokens: m.GenerationTokens, generationRequests: m.GenerationRequests,
		ttftSum: m.TTFTSum, ttftCount: m.TTFTCount, itlSum: m.ITLSum, itlCount: m.ITLCount, kvUsage: m.KVUsage, kvTokens: m.KVTokens, sampleAge: m.SampleAge,
	} {
		p.values[q] = v
	}
	return p
}

// MeasuredPod is a ready pod with its measurements, nil where there are none, and the limits it was started with.
type MeasuredPod struct {
	*Measurements
	ReadyFor                       time.Duration
	Accelerator                    string
	MaxBatchSize, MaxBatchedTokens int
}

// Simulated is what can be seen of a server that no cluster runs.
type Simulated struct {
	Now                time.Time
	Window, StaleAfter time.Duration
	Parts              []v1alpha1.ObservedPart
	Ready              []MeasuredPod
	Departed           []*Measurements
	// Attainment is the share of requests within both targets, NaN where there were none.
	Attainment float64
}

// Fill writes into the entry what Observe would have written for a server that measures the same.
func (s *Simulated) Fill(e *v1alpha1.ServerEntry) {
	st := v1alpha1.ServerStatus{Current: s.Parts}
	last := e.CurrentAlloc
	e.Observation = &v1alpha1.Observation{Time: metav1.NewTime(s.Now), Parts: s.Parts}
	var ready []readPod
	for _, p := range s.Ready {
		r := readPod{readyFor: p.ReadyFor}
		if p.Measurements != nil {
			r.metrics = p.metrics()
		}
		ready = append(ready, r)
	}
	departed := make([]*PodMetrics, len(s.Departed))
	for i, m := range s.Departed {
		departed[i] = m.metrics()
	}
	l, missing := measure(ready, departed, s.Window, s.StaleAfter, e.Routing)
	if missing != nil {
		e.Observation.Fault, e.Observation.Detail = missing.reason, missing.detail
		e.CurrentAlloc = specification.Current(&st)
		return
	}
	st.Load = &v1alpha1.ObservedLoad{ObservedAt: metav1.NewTime(s.Now), Load: v1alpha1.Load{
		ArrivalRate: v1alpha1.PerMinute(l.arrivals), Throughput: v1alpha1.PerMinute(l.completions), AvgInTokens: known(l.in), AvgOutTokens: known(l.out),
	}}
	if last != nil && last.Load != nil && math.IsNaN(l.out) {
		st.Load.AvgInTokens, st.Load.AvgOutTokens = last.Load.AvgInTokens, last.Load.AvgOutTokens
	}
	if !math.IsNaN(l.ttft) || !math.IsNaN(l.itl) {
		st.Measured = &v1alpha1.Latencies{TTFT: v1alpha1.Milliseconds(known(l.ttft)), ITL: v1alpha1.Milliseconds(known(l.itl))}
	}
	e.Observation.Running, e.Observation.Waiting, e.Observation.KVUsage = pointer(l.running), pointer(l.waiting), pointer(l.kvUsage)
	e.Observation.ArrivalCV = pointer(l.arrivalCV)
	e.Observation.Groups = s.groups()
	e.Observation.Attainment = pointer(s.Attainment)
	e.CurrentAlloc = specification.Current(&st)
}

// groups are what [Readings] would make of the pods.
func (s *Simulated) groups() []v1alpha1.ObservedGroup {
	var groups []v1alpha1.ObservedGroup
	var members [][]*PodMetrics
	deviations := map[int]*Measurements{}
	for _, p := range s.Ready {
		if p.Measurements == nil || p.ReadyFor < s.Window || !(p.SampleAge <= s.StaleAfter.Seconds()) {
			continue
		}
		g := v1alpha1.ObservedGroup{Accelerator: p.Accelerator, MaxBatchSize: p.MaxBatchSize, MaxBatchedTokens: p.MaxBatchedTokens, WindowSeconds: s.Window.Seconds()}
		i := slices.IndexFunc(groups, func(o v1alpha1.ObservedGroup) bool { return compareGroups(o, g) == 0 })
		if i < 0 {
			groups, members = append(groups, g), append(members, nil)
			i = len(groups) - 1
		}
		members[i] = append(members[i], p.metrics())
		deviations[i] = p.Measurements
	}
	for i := range groups {
		g := &groups[i]
		measureGroup(g, members[i])
		// Any pod's, for they share a gateway.
		g.InputTokensSD, g.OutputTokensSD = pointer(deviations[i].InputTokensSD), pointer(deviations[i].OutputTokensSD)
	}
	slices.SortFunc(groups, compareGroups)
	return groups
}
