package loop

import (
	"encoding/json"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"sync"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/fleet"
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

// logged is how a record is written. Candidates are a table, for they are the most of it, and what says nothing new is left out: the load that an
// allocation was made for where that is the load of the snapshot, the verdict on a server that is planned, whose allocation gives the reason, and the
// judgement on an observation that was accepted.
type logged struct {
	*Record
	Plan       *jsonspec.Solution       `json:"plan,omitempty"`
	Candidates *struct{}                `json:"candidates,omitempty"` // always nil
	Considered *table                   `json:"considered,omitempty"`
	Verdicts   map[string]fleet.Verdict `json:"verdicts,omitempty"`
	Learning   []jsonspec.Judgement     `json:"learning,omitempty"`
}

func toLog(r *Record) logged {
	if r.Decision == nil {
		return logged{Record: r}
	}
	plan := r.Plan
	plan.Allocations = maps.Clone(plan.Allocations)
	verdicts := maps.Clone(r.Verdicts)
	for i := range r.System.Servers.Spec {
		e := &r.System.Servers.Spec[i]
		a := plan.Allocations[e.Name]
		if c := e.CurrentAlloc; c != nil && c.Load != nil && a.Load != nil && *c.Load == *a.Load {
			a.Load = nil
			plan.Allocations[e.Name] = a
		}
		if v := verdicts[e.Name]; v.Planned && v.Message == a.Reason {
			delete(verdicts, e.Name)
		}
	}
	learning := slices.DeleteFunc(slices.Clone(r.Learning), func(j jsonspec.Judgement) bool { return j.Accepted })
	return logged{Record: r, Plan: &plan, Considered: tableOf(r.Candidates), Verdicts: verdicts, Learning: learning}
}

// table of candidates: by server, in rows, of which the columns are named once, predictions with four digits. What is rare follows as an object.
type table struct {
	Columns []string           `json:"columns"`
	Servers map[string][][]any `json:"servers"`
}

// rare is what few candidates have.
type rare struct {
	Units  int                       `json:"units,omitempty"`
	Value  float64                   `json:"value,omitempty"`
	Trim   float64                   `json:"trim,omitempty"`
	Parts  []jsonspec.AllocationPart `json:"parts,omitempty"`
	Reason string                    `json:"reason,omitempty"`
}

func tableOf(candidates []jsonspec.Candidate) *table {
	t := &table{
		Columns: []string{"accelerator", "numReplicas", "maxBatch", "maxBatchedTokens", "cost", "itl", "ttft", "ratePerReplica"},
		Servers: map[string][][]any{},
	}
	for i := range candidates {
		c := &candidates[i]
		row := []any{c.Accelerator, c.NumReplicas, c.MaxBatch, c.MaxBatchedTokens, c.Cost, short(c.ITL), short(c.TTFT), short(c.RatePerReplica)}
		more := rare{Trim: c.Trim, Parts: c.Parts, Reason: c.Reason}
		if c.Units != c.NumReplicas {
			more.Units = c.Units
		}
		if c.Value != c.Cost {
			more.Value = c.Value
		}
		if !reflect.DeepEqual(more, rare{}) {
			row = append(row, more)
		}
		t.Servers[c.Server] = append(t.Servers[c.Server], row)
	}
	return t
}

// short has four digits.
type short float64

func (s short) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(s), 'g', 4, 64), nil
}

// DecisionLog writes records as JSON lines. It is safe for concurrent use.
type DecisionLog struct {
	mu   sync.Mutex
	out  io.Writer
	told func(*Record)
}

// NewDecisionLog writes to out; nil writes nowhere.
func NewDecisionLog(out io.Writer) *DecisionLog { return &DecisionLog{out: out} }

// Tell a function of each record, too. It may keep the record, and must not change it. To be called before the first is written.
func (l *DecisionLog) Tell(f func(*Record)) { l.told = f }

// Write appends a record as one line, in one write, so that lines of a log that several processes share stay whole.
func (l *DecisionLog) Write(r *Record) error {
	if l.told != nil {
		l.told(r)
	}
	if l.out == nil {
		return nil
	}
	line, err := json.Marshal(toLog(r))
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err = l.out.Write(append(line, '\n'))
	return err
}
