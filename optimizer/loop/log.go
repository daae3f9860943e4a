package loop

import (
	"encoding/json"
	"io"
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
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err = l.out.Write(append(line, '\n'))
	return err
}
