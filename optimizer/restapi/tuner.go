package restapi

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

const (
	// DefaultWarmUp is the number of requests that a pair is learned from before the tuner says that it is known.
	//
	// Exact: llm-inferno's own, whose control loop waits for it
	DefaultWarmUp = 5
	// startSpread around the parameters that learning begins with, which say nothing of the pair.
	//
	// Tuned: logarithm; guard against a beginning that is far off: TestTunerLearns begins with three times too little
	startSpread = 1.0
	// unknownBatch is the largest batch of a pair that nobody says one of.
	//
	// Exact: llm-inferno's own DefaultMaxBatchSize
	unknownBatch = 256
	// maxPairs that are learned.
	//
	// Tuned: pairs; guard against a client that names new ones until the memory is full
	maxPairs = 4096
	// fewestPoints of a calibration.
	//
	// Exact: llm-inferno's own; one point does not tell three parameters apart
	fewestPoints = 2
)

// startParms are what learning begins with, in ms.
//
// Exact: the initState of llm-inferno's model-tuner
var startParms = jsonspec.PerfParms{Alpha: 5, Beta: 0.05, Gamma: 0.00005}

// TunerOptions of a tuner.
type TunerOptions struct {
	// WarmUp is the number of requests that a pair is learned from before it counts as known.
	WarmUp int
	// Now is the time of day.
	Now func() time.Time
}

// pair is a model on an accelerator.
type pair struct{ model, accelerator string }

// tuned is what was learned of a pair.
type tuned struct {
	learned *v1alpha1.PairMemory
	// performance to plan with; its zero value where nothing was accepted yet.
	performance jsonspec.Performance
	parms       jsonspec.PerfParms
	// updates are the requests that it was learned from, the last one at a time with normalised squared innovation nis.
	updates    int
	nis        float64
	at         time.Time
	calibrated bool
	// input and output tokens of the last observation, and the largest batch.
	input, output float64
	maxBatch      int
}

type tuner struct {
	*service
	TunerOptions
	estimator estimation.Estimator
	pairs     map[pair]*tuned
}

// Tuner answers the endpoints of llm-inferno's model-tuner by the estimator ekf. What is learned is kept in memory alone, as there.
func Tuner(o TunerOptions) (http.Handler, error) {
	e, err := estimation.Estimators().New(estimation.EstimatorEKF, fmt.Appendf(nil, `{"spread": %g, "level": %g}`, startSpread, startSpread))
	if err != nil {
		return nil, err
	}
	t := &tuner{newService(), o, e, map[pair]*tuned{}}
	t.handle("POST /tune", t.tune)
	t.handle("POST /calibrate", t.calibrate)
	t.handle("GET /warmup", func(*http.Request) (any, error) { return map[string]bool{"warmingUp": t.warmingUp()}, nil })
	t.handle("GET /getparams", t.parameters)
	t.handle("GET /calibration-status", func(*http.Request) (any, error) { return map[string][]calibrationStatus{"statuses": t.statuses()}, nil })
	t.handle("POST /merge", t.merge)
	return t.mux, nil
}

// replica is what is read of a replica's ServerSpec.
type replica struct {
	Name         string `json:"name"`
	Model        string `json:"model"`
	MaxBatchSize int    `json:"maxBatchSize"`
	CurrentAlloc struct {
		jsonspec.Allocation
		// AvgConcurrency is the mean number of running requests; 0 where it was not measured.
		AvgConcurrency float64 `json:"avgConcurrency"`
	} `json:"currentAlloc"`
}

func (r *replica) maxBatch() int {
	if r.MaxBatchSize > 0 {
		return r.MaxBatchSize
	}
	return max(0, r.CurrentAlloc.MaxBatch)
}

// observation of a replica. Zero stands for what was not measured.
func (r *replica) observation(source string, at time.Time) estimation.Observation {
	o, a := estimation.Unmeasured(source), &r.CurrentAlloc
	known := func(to *float64, v float64) {
		if v != 0 {
			*to = v
		}
	}
	o.Time, o.Replicas, o.MaxBatch = float64(at.UnixMicro())/1e6, 1, r.maxBatch()
	known(&o.Running, a.AvgConcurrency)
	known(&o.ITL, jsonspec.Seconds(a.ITLAverage))
	known(&o.TTFT, jsonspec.Seconds(a.TTFTAverage))
	o.InputTokens, o.OutputTokens, o.ArrivalRate = a.Load.AvgInTokens, a.Load.AvgOutTokens, jsonspec.PerSecond(a.Load.ArrivalRate)
	known(&o.Throughput, jsonspec.PerSecond(a.Load.Throughput))
	return o
}

// replicas of the request that have traffic, by pair. All faults are said at once.
func replicas(r *http.Request) (map[pair][]replica, error) {
	var body struct {
		Replicas []replica `json:"replicas"`
	}
	if err := list(r, "replicas", &body); err != nil {
		return nil, err
	}
	if len(body.Replicas) == 0 {
		return nil, errors.New("body: the list of replicas is empty")
	}
	groups := map[pair][]replica{}
	var faults []error
	for i, e := range body.Replicas {
		for _, f := range []struct{ field, value string }{{"model", e.Model}, {"currentAlloc.accelerator", e.CurrentAlloc.Accelerator}} {
			if f.value == "" {
				faults = append(faults, fmt.Errorf("replicas[%d].%s: is missing", i, f.field))
			}
		}
		if l := e.CurrentAlloc.Load; l != nil && l.ArrivalRate > 0 {
			key := pair{e.Model, e.CurrentAlloc.Accelerator}
			groups[key] = append(groups[key], e)
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if len(groups) == 0 {
		return nil, unprocessable("no replicas with traffic in the request")
	}
	return groups, nil
}

func unprocessable(format string, args ...any) error {
	return refused{http.StatusUnprocessableEntity, fmt.Errorf(format, args...)}
}

// byName is the order of pairs.
func byName(a, b pair) int {
	return strings.Compare(a.model+"\x00"+a.accelerator, b.model+"\x00"+b.accelerator)
}

// learn from replicas; accepted are the observations that were learned from, and the reason is why the last of the others was not.
func (t *tuner) learn(key pair, p *tuned, rs []replica) (accepted int, reason string, err error) {
	now := t.Now()
	seen := make([]estimation.Observation, len(rs))
	for i := range rs {
		seen[i] = rs[i].observation(fmt.Sprintf("%s/%d", rs[i].Name, i), now)
		p.input, p.output = seen[i].InputTokens, seen[i].OutputTokens
		p.maxBatch = max(p.maxBatch, rs[i].maxBatch())
	}
	given := startParms
	e, err := t.estimator.Estimate(jsonspec.Performance{Acc: key.accelerator, PerfParms: &given}, p.learned, seen)
	if err != nil {
		return 0, "", err
	}
	p.learned = e.Learned
	for _, j := range e.Judgements {
		if !j.Accepted {
			reason = j.Reason
			continue
		}
		accepted++
		p.nis = 0
		for _, z := range []float64{j.SurpriseITL, j.SurpriseTTFT} {
			if !math.IsNaN(z) && !math.IsInf(z, 0) {
				p.nis += z * z
			}
		}
	}
	if accepted == 0 {
		return 0, reason, nil
	}
	law, err := queueing.ParmsIn(e.Performance)
	if err != nil {
		return 0, "", err
	}
	p.performance, p.at = e.Performance, now
	p.parms = jsonspec.PerfParms{Alpha: law.Parameters["alpha"], Beta: law.Parameters["beta"], Gamma: law.Parameters["gamma"]}
	p.updates++
	return accepted, reason, nil
}

// entry of model data.
func (p *tuned) entry(key pair) jsonspec.PerformanceEntry {
	parms := p.parms
	return jsonspec.PerformanceEntry{Name: key.model, Performance: jsonspec.Performance{Acc: key.accelerator, MaxBatchSize: p.maxBatch, PerfParms: &parms}}
}

// tune learns from the replicas of the request, and answers what is known of their pairs.
func (t *tuner) tune(r *http.Request) (any, error) {
	groups, err := replicas(r)
	if err != nil {
		return nil, err
	}
	d := jsonspec.ModelData{Spec: []jsonspec.PerformanceEntry{}}
	var faults []error
	for _, key := range slices.SortedFunc(maps.Keys(groups), byName) {
		p := t.pairs[key]
		if p == nil {
			if len(t.pairs) >= maxPairs {
				faults = append(faults, fmt.Errorf("%s on %s: more than %d pairs are not learned", key.model, key.accelerator, maxPairs))
				continue
			}
			p = &tuned{}
			t.pairs[key] = p
		}
		_, reason, err := t.learn(key, p, groups[key])
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("%s on %s: %w", key.model, key.accelerator, err))
		case p.updates == 0:
			faults = append(faults, fmt.Errorf("%s on %s: %s", key.model, key.accelerator, reason))
		default:
			d.Spec = append(d.Spec, p.entry(key))
		}
	}
	if len(d.Spec) == 0 {
		return nil, refused{http.StatusUnprocessableEntity, errors.Join(faults...)}
	}
	return d, nil
}

// calibrate learns pairs anew from the points of a sweep, all at once.
func (t *tuner) calibrate(r *http.Request) (any, error) {
	groups, err := replicas(r)
	if err != nil {
		return nil, err
	}
	d := jsonspec.ModelData{Spec: []jsonspec.PerformanceEntry{}}
	var faults []error
	for _, key := range slices.SortedFunc(maps.Keys(groups), byName) {
		p := &tuned{calibrated: true}
		accepted, reason, err := t.learn(key, p, groups[key])
		if err == nil && accepted < fewestPoints {
			err = fmt.Errorf("%d of %d points can be learned from, %d are needed; %s", accepted, len(groups[key]), fewestPoints, reason)
		}
		if err == nil && t.pairs[key] == nil && len(t.pairs) >= maxPairs {
			err = fmt.Errorf("more than %d pairs are not learned", maxPairs)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s on %s: %w", key.model, key.accelerator, err))
			continue
		}
		p.updates = max(1, t.WarmUp)
		t.pairs[key] = p
		d.Spec = append(d.Spec, p.entry(key))
	}
	if len(d.Spec) == 0 {
		return nil, refused{http.StatusUnprocessableEntity, errors.Join(faults...)}
	}
	return d, nil
}

// warmingUp says that a pair that was seen is not known well enough yet.
func (t *tuner) warmingUp() bool {
	for _, p := range t.pairs {
		if p.updates < t.WarmUp {
			return true
		}
	}
	return false
}

// parameters of a pair.
func (t *tuner) parameters(r *http.Request) (any, error) {
	q := r.URL.Query()
	key := pair{q.Get("model"), q.Get("accelerator")}
	var faults []error
	for _, f := range []struct{ field, value string }{{"model", key.model}, {"accelerator", key.accelerator}} {
		if f.value == "" {
			faults = append(faults, fmt.Errorf("%s: is missing", f.field))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	p := t.pairs[key]
	if p == nil || p.updates == 0 {
		return nil, notFound("no parameters found for model=%s accelerator=%s", key.model, key.accelerator)
	}
	return struct {
		Model       string `json:"model"`
		Accelerator string `json:"accelerator"`
		jsonspec.PerfParms
		NIS         float64   `json:"nis"`
		UpdateCount int       `json:"updateCount"`
		LastUpdated time.Time `json:"lastUpdated"`
	}{key.model, key.accelerator, p.parms, p.nis, p.updates, p.at}, nil
}

// calibrationStatus of a pair, as llm-inferno's control loop reads it.
type calibrationStatus struct {
	Model            string  `json:"model"`
	Accelerator      string  `json:"accelerator"`
	StorePresent     bool    `json:"storePresent"`
	Calibrated       bool    `json:"calibrated"`
	ObsCount         int64   `json:"obsCount"`
	ObsTarget        int     `json:"obsTarget"`
	ConditionNumber  float64 `json:"conditionNumber"`
	IllConditioned   bool    `json:"illConditioned"`
	NeedsCalibration bool    `json:"needsCalibration"`
}

// statuses of all pairs. A pair is ill-conditioned where a probe would tell much of its ITL in a full batch.
func (t *tuner) statuses() []calibrationStatus {
	all := []calibrationStatus{}
	for _, key := range slices.SortedFunc(maps.Keys(t.pairs), byName) {
		p := t.pairs[key]
		s := calibrationStatus{Model: key.model, Accelerator: key.accelerator, StorePresent: p.updates > 0, Calibrated: p.calibrated, ObsTarget: t.WarmUp}
		if p.learned != nil {
			s.ObsCount = p.learned.Observations
		}
		if p.updates > 0 {
			s.ConditionNumber = conditionNumber(p.performance.Law)
			full := float64(p.maxBatch)
			if full == 0 {
				full = unknownBatch
			}
			_, s.IllConditioned = estimation.SuggestProbe(p.performance, estimation.Point{Running: full, InputTokens: p.input, OutputTokens: p.output}, full)
		}
		s.NeedsCalibration = s.IllConditioned && !s.Calibrated && p.updates >= t.WarmUp
		all = append(all, s)
	}
	return all
}

// conditionNumber of the covariance of a law's parameters, 0 where there is none.
func conditionNumber(law *jsonspec.LawParms) float64 {
	if law == nil || len(law.Covariance) == 0 {
		return 0
	}
	n := len(law.Covariance)
	m := mat.NewDense(n, n, nil)
	for i, row := range law.Covariance {
		if len(row) != n {
			return 0
		}
		m.SetRow(i, row)
	}
	c := mat.Cond(m, 2)
	if math.IsNaN(c) {
		return 0
	}
	return min(c, math.MaxFloat64)
}

// merge puts what was learned into the model data of the request, and adds the pairs that are not in it.
func (t *tuner) merge(r *http.Request) (any, error) {
	var d jsonspec.ModelData
	if err := object(r, &d); err != nil {
		return nil, err
	}
	given := map[pair]bool{}
	for i := range d.Spec {
		e := &d.Spec[i]
		key := pair{e.Name, e.Acc}
		given[key] = true
		if p := t.pairs[key]; p != nil && p.updates > 0 {
			e.PerfParms, e.DecodeParms, e.PrefillParms, e.Law = p.entry(key).PerfParms, nil, nil, nil
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(t.pairs), byName) {
		if p := t.pairs[key]; !given[key] && p.updates > 0 {
			e := p.entry(key)
			e.AccCount, e.MaxBatchSize = 1, unknownBatch
			d.Spec = append(d.Spec, e)
		}
	}
	return d, nil
}
