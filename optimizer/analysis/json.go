package analysis

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// Operations on one problem, the endpoints of llm-inferno's queue-analysis.
const (
	OperationSolve    = "solve"
	OperationTarget   = "target"
	OperationOptimize = "optimize"
)

// Question is a problem of queue-analysis; times in ms, rates per second.
type Question struct {
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

// Answer is that of queue-analysis; times in ms, rates per second.
type Answer struct {
	Concurrency   int      `json:"concurrency,omitempty"`
	OfferedRPS    float64  `json:"offeredRPS"`
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

// JSON reads a question, answers it by the model and writes the answer. Without an operation the problem is solved at its rate, or sized where
// it has targets. The error joins the faults of the question.
func JSON(out io.Writer, m queueing.Model, operation string, question []byte) error {
	var q Question
	if err := json.Unmarshal(question, &q); err != nil {
		return err
	}
	answer, err := q.Answer(m, operation)
	if err != nil {
		return err
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(answer)
}

// Answer the question by the model.
func (q *Question) Answer(m queueing.Model, operation string) (*Answer, error) {
	p := q.problem()
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if operation == "" {
		operation = OperationSolve
		if p.Targets != (sizing.Targets{}) {
			operation = OperationTarget
		}
	}
	switch operation {
	case OperationSolve:
		at, err := p.Latencies(m)
		return newAnswer(at), err
	case OperationTarget:
		return p.target(m)
	case OperationOptimize:
		return p.optimize(m)
	}
	return nil, fmt.Errorf("operation: %q is not allowed, must be %s, %s or %s", operation, OperationSolve, OperationTarget, OperationOptimize)
}

func (q *Question) problem() Problem {
	p := NewProblem(q.AvgInputTokens, q.AvgOutputTokens)
	p.Law = queueing.Work{Alpha: jsonspec.Seconds(q.Alpha), Beta: jsonspec.Seconds(q.Beta), Gamma: jsonspec.Seconds(q.Gamma)}
	p.Limits = queueing.Limits{MaxBatch: q.MaxBatchSize, MaxQueue: q.MaxQueueSize, MaxBatchedTokens: q.MaxBatchedTokens}
	if q.MaxBatchedTokens == 0 {
		p.Limits.MaxBatchedTokens = queueing.DefaultMaxBatchedTokens
	}
	p.Rate = q.RPS
	p.Targets = sizing.Targets{TTFT: jsonspec.Seconds(q.TargetTTFT), ITL: jsonspec.Seconds(q.TargetITL)}
	return p
}

// target is what is predicted at the highest rate that meets all targets, with the rates that meet each.
func (p *Problem) target(m queueing.Model) (*Answer, error) {
	all, errAll := p.Highest(m, p.Targets)
	first, errTTFT := p.Highest(m, sizing.Targets{TTFT: p.Targets.TTFT})
	between, errITL := p.Highest(m, sizing.Targets{ITL: p.Targets.ITL})
	if errAll != nil {
		return nil, errAll
	}
	answer := newAnswer(all)
	answer.RPSTargetTTFT, answer.RPSTargetITL = &first.Rate, &between.Rate
	return answer, errors.Join(errTTFT, errITL)
}

// optimize is what is predicted for the smallest batch near the highest rate; not feasible where nothing meets the targets.
func (p *Problem) optimize(m queueing.Model) (*Answer, error) {
	c, err := p.Smallest(m)
	feasible := err == nil
	if infeasible(err) {
		return &Answer{Feasible: &feasible, Reason: err.Error()}, nil
	}
	answer := newAnswer(c.Prediction)
	answer.Concurrency, answer.Feasible = c.Limits.MaxBatch, &feasible
	return answer, err
}

func newAnswer(q queueing.Prediction) *Answer {
	return &Answer{
		OfferedRPS: q.Rate, Throughput: q.Throughput, AvgRespTime: jsonspec.Milliseconds(q.Response), AvgWaitTime: jsonspec.Milliseconds(q.Wait),
		AvgNumInServ: q.InService, AvgTTFT: jsonspec.Milliseconds(q.TTFT.Mean), AvgITL: jsonspec.Milliseconds(q.ITL.Mean), MaxRPS: q.MaxRate,
	}
}
