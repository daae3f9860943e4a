package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// Operations on one problem, the endpoints of llm-inferno's queue-analysis.
const (
	operationSolve    = "solve"
	operationTarget   = "target"
	operationOptimize = "optimize"
)

// problemJSON is a problem of queue-analysis; times in ms, rates per second.
type problemJSON struct {
	RPS              float64 `json:"RPS"`
	MaxBatchSize     int     `json:"maxBatchSize"`
	AvgInputTokens   float64 `json:"avgInputTokens"`
	AvgOutputTokens  float64 `json:"avgOutputTokens"`
	Alpha            float64 `json:"alpha"`
	Beta             float64 `json:"beta"`
	Gamma            float64 `json:"gamma"`
	MaxQueueSize     int     `json:"maxQueueSize"`
	MaxBatchedTokens int     `json:"maxBatchedTokens"`
	TargetTTFT       float64 `json:"targetTTFT"`
	TargetITL        float64 `json:"targetITL"`
}

// analysisJSON is the answer of queue-analysis; times in ms, rates per second.
type analysisJSON struct {
	Concurrency   int      `json:"concurrency,omitempty"`
	Throughput    float64  `json:"throughput"`
	AvgRespTime   float64  `json:"avgRespTime"`
	AvgWaitTime   float64  `json:"avgWaitTime"`
	AvgNumInServ  float64  `json:"avgNumInServ"`
	AvgTTFT       float64  `json:"avgTTFT"`
	AvgITL        float64  `json:"avgITL"`
	MaxRPS        float64  `json:"maxRPS"`
	RPSTargetTTFT *float64 `json:"RPSTargetTTFT,omitempty"`
	RPSTargetITL  *float64 `json:"RPSTargetITL,omitempty"`
	Feasible      *bool    `json:"feasible,omitempty"`
	Reason        string   `json:"reason,omitempty"`
}

func (p problemJSON) problem() (problem, error) {
	q := problem{
		law:      queueing.Work{Alpha: p.Alpha / 1e3, Beta: p.Beta / 1e3, Gamma: p.Gamma / 1e3},
		requests: requestsOf(p.AvgInputTokens, p.AvgOutputTokens),
		limits:   queueing.Limits{MaxBatch: p.MaxBatchSize, MaxQueue: p.MaxQueueSize, MaxBatchedTokens: p.MaxBatchedTokens},
		rate:     p.RPS,
		targets:  sizing.Targets{TTFT: p.TargetTTFT / 1e3, ITL: p.TargetITL / 1e3},
	}
	if p.MaxBatchedTokens == 0 {
		q.limits.MaxBatchedTokens = queueing.DefaultMaxBatchedTokens
	}
	return q, q.validate()
}

// validate joins the faults of the law; the rest is checked where it is used.
func (p problem) validate() error {
	var faults []error
	if !(p.law.Alpha > 0) || math.IsInf(p.law.Alpha, 0) {
		faults = append(faults, fmt.Errorf("alpha: %v ms is not allowed, must be above 0", p.law.Alpha*1e3))
	}
	for name, v := range map[string]float64{"beta": p.law.Beta, "gamma": p.law.Gamma} {
		if !(v >= 0) || math.IsInf(v, 0) {
			faults = append(faults, fmt.Errorf("%s: %v ms is not allowed, must be at least 0", name, v*1e3))
		}
	}
	return errors.Join(faults...)
}

func analyzeJSON(w io.Writer, m queueing.Model, operation string, text []byte) error {
	var given problemJSON
	if err := json.Unmarshal(text, &given); err != nil {
		return err
	}
	p, err := given.problem()
	if err != nil {
		return err
	}
	var answer analysisJSON
	switch operation {
	case "":
		if p.targets == (sizing.Targets{}) {
			answer, err = solve(m, p)
		} else {
			answer, err = target(m, p)
		}
	case operationSolve:
		answer, err = solve(m, p)
	case operationTarget:
		answer, err = target(m, p)
	case operationOptimize:
		answer, err = optimize(m, p)
	default:
		err = fmt.Errorf("operation: %q is not allowed, must be %s, %s or %s", operation, operationSolve, operationTarget, operationOptimize)
	}
	if err != nil {
		return err
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(answer)
}

func solve(m queueing.Model, p problem) (analysisJSON, error) {
	replica, err := m.Replica(p.law, p.requests, p.limits)
	if err != nil {
		return analysisJSON{}, err
	}
	q, err := replica.Open(p.rate)
	return analysis(q), err
}

func target(m queueing.Model, p problem) (analysisJSON, error) {
	_, q, err := sizing.RatePerReplica(m, p.law, p.requests, p.limits, p.targets)
	if err != nil {
		return analysisJSON{}, err
	}
	answer := analysis(q)
	for _, t := range []struct {
		targets sizing.Targets
		rate    **float64
	}{{sizing.Targets{TTFT: p.targets.TTFT}, &answer.RPSTargetTTFT}, {sizing.Targets{ITL: p.targets.ITL}, &answer.RPSTargetITL}} {
		_, q, err := sizing.RatePerReplica(m, p.law, p.requests, p.limits, t.targets)
		if err != nil {
			return analysisJSON{}, err
		}
		*t.rate = &q.Rate
	}
	return answer, nil
}

func optimize(m queueing.Model, p problem) (analysisJSON, error) {
	var infeasible *sizing.Infeasible
	c, err := sizing.Choose(m, p.law, p.requests, p.limits, p.targets, sizing.Free{Batch: true})
	feasible := true
	switch {
	case errors.As(err, &infeasible):
		feasible = false
		return analysisJSON{Feasible: &feasible, Reason: infeasible.Error()}, nil
	case err != nil:
		return analysisJSON{}, err
	}
	answer := analysis(c.Prediction)
	answer.Concurrency, answer.Feasible = c.Limits.MaxBatch, &feasible
	return answer, nil
}

func analysis(q queueing.Prediction) analysisJSON {
	return analysisJSON{
		Throughput: q.Throughput, AvgRespTime: q.Response * 1e3, AvgWaitTime: q.Wait * 1e3, AvgNumInServ: q.InService,
		AvgTTFT: q.TTFT.Mean * 1e3, AvgITL: q.ITL.Mean * 1e3, MaxRPS: q.MaxRate,
	}
}
