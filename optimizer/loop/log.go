package loop

import (
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"sync"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// Record is one line of the decision log: a cycle with all it was decided from, so that it can be replayed and explained.
type Record struct {
	ID string `json:"id"`
	specification.Snapshot
	State control.State `json:"state"`
	*specification.Decision
	Stages []v1alpha1.StageTime `json:"stages"`
	DryRun bool                 `json:"dryRun,omitempty"`
}

// logged is how a record is written: with its candidates in columns, by server, for they are the most of it.
type logged struct {
	*Record
	Candidates *struct{}           `json:"candidates,omitempty"` // in place of those of the decision; always nil
	Considered map[string]*columns `json:"considered,omitempty"`
}

// columns are the candidates of a server with six digits; see [v1alpha1.Candidate]. A column of zeros is left out, as are values that are the costs.
type columns struct {
	Accelerators     []string                             `json:"accelerator"`
	Replicas         []int                                `json:"numReplicas,omitempty"`
	Units            []int                                `json:"units,omitempty"`
	MaxBatch         []int                                `json:"maxBatch,omitempty"`
	MaxBatchedTokens []int                                `json:"maxBatchedTokens,omitempty"`
	Cost             []float64                            `json:"cost,omitempty"`
	Value            []float64                            `json:"value,omitempty"`
	ITL              []float64                            `json:"itl,omitempty"`
	TTFT             []float64                            `json:"ttft,omitempty"`
	RatePerReplica   []float64                            `json:"ratePerReplica,omitempty"`
	Trim             []float64                            `json:"trim,omitempty"`
	Parts            map[string][]v1alpha1.AllocationPart `json:"parts,omitempty"`
	// Infeasible says why a candidate is.
	Infeasible map[string]string `json:"infeasible,omitempty"`
}

// considered are the candidates of a decision by server.
func considered(d *specification.Decision) map[string]*columns {
	if d == nil {
		return nil
	}
	all := map[string]*columns{}
	for i := range d.Candidates {
		c := &d.Candidates[i]
		if all[c.Server] == nil {
			all[c.Server] = &columns{}
		}
		all[c.Server].add(c)
	}
	for _, c := range all {
		c.trim()
	}
	return all
}

func (s *columns) add(c *v1alpha1.Candidate) {
	s.Accelerators = append(s.Accelerators, c.Accelerator)
	s.Replicas, s.Units = append(s.Replicas, c.NumReplicas), append(s.Units, c.Units)
	s.MaxBatch, s.MaxBatchedTokens = append(s.MaxBatch, c.MaxBatch), append(s.MaxBatchedTokens, c.MaxBatchedTokens)
	s.Cost, s.Value = append(s.Cost, digits(c.Cost)), append(s.Value, digits(c.Value))
	s.ITL, s.TTFT = append(s.ITL, digits(c.ITL)), append(s.TTFT, digits(c.TTFT))
	s.RatePerReplica, s.Trim = append(s.RatePerReplica, digits(c.RatePerReplica)), append(s.Trim, digits(c.Trim))
	if len(c.Parts) > 0 {
		s.Parts = set(s.Parts, c.Accelerator, c.Parts)
	}
	if !c.Feasible {
		s.Infeasible = set(s.Infeasible, c.Accelerator, c.Reason)
	}
}

func (s *columns) trim() {
	if slices.Equal(s.Value, s.Cost) {
		s.Value = nil
	}
	if slices.Equal(s.Units, s.Replicas) {
		s.Units = nil
	}
	for _, column := range []*[]int{&s.Replicas, &s.Units, &s.MaxBatch, &s.MaxBatchedTokens} {
		dropZeros(column)
	}
	for _, column := range []*[]float64{&s.Cost, &s.Value, &s.ITL, &s.TTFT, &s.RatePerReplica, &s.Trim} {
		dropZeros(column)
	}
}

func dropZeros[T comparable](column *[]T) {
	var zero T
	if !slices.ContainsFunc(*column, func(x T) bool { return x != zero }) {
		*column = nil
	}
}

func set[T any](m map[string]T, key string, value T) map[string]T {
	if m == nil {
		m = map[string]T{}
	}
	m[key] = value
	return m
}

// digits rounds to six.
func digits(x float64) float64 {
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 6, 64), 64)
	return rounded
}

// DecisionLog writes records as JSON lines. It is safe for concurrent use.
type DecisionLog struct {
	mu  sync.Mutex
	out io.Writer
}

// NewDecisionLog writes to out; nil writes nowhere.
func NewDecisionLog(out io.Writer) *DecisionLog { return &DecisionLog{out: out} }

// Write appends a record as one line, in one write, so that lines of a log that several processes share stay whole.
func (l *DecisionLog) Write(r *Record) error {
	if l.out == nil {
		return nil
	}
	line, err := json.Marshal(logged{Record: r, Considered: considered(r.Decision)})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err = l.out.Write(append(line, '\n'))
	return err
}
