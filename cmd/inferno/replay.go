package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/llminferno"
	"github.com/llm-inferno/inferno/optimizer/loop"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/specification"
	"github.com/llm-inferno/inferno/optimizer/whatif"
)

type replayOptions struct {
	whatif.Question
	output string
}

func newReplayCommand() *cobra.Command {
	var o replayOptions
	cmd := &cobra.Command{
		Use:   "replay LOG.jsonl",
		Short: "Decide the cycles of a decision log again, and show what differs",
		Long: `Reads a decision log (of inferno-optimizer, or of llm-inferno's control loop), runs each cycle through the decision core, and prints the
differences to what was decided: none for an unchanged configuration, and with changed ones what the loop would have done, cycle by cycle, each
from the recorded snapshot and state. Exit status 1 where an unchanged configuration decides differently.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.ExactArgs(1)(cmd, args); err != nil {
				return badInput{err}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0], cmd.OutOrStdout()) },
	}
	f := cmd.Flags()
	f.StringVar(&o.Solver, "solver", "", "solver instead of the recorded one: "+strings.Join(solver.Solvers().Names(), ", "))
	f.StringVar(&o.QueueModel, "queue-model", "", "queueing model instead of the recorded one: "+strings.Join(queueing.Models().Names(), ", "))
	f.StringVar(&o.Forecaster, "forecaster", "", "forecaster instead of the recorded one")
	f.StringVar(&o.Stability, "stability", "", "stabiliser instead of the recorded one")
	f.StringArrayVar(&o.Changes, "what-if", nil, `change to make in every cycle, as KIND.NAME=CHANGE, like that of inferno plan: `+strings.Join(whatif.Kinds(), ", ")+`; may be repeated`)
	f.StringVarP(&o.output, "output", "o", "table", "output format: table, json (a line for each cycle)")
	return cmd
}

// apply the changes to a recorded system.
func (o *replayOptions) apply(s *jsonspec.System) (*jsonspec.System, []string, error) {
	changed, changes, err := o.Apply(s)
	return changed, changes, besideFlag(err)
}

// replayed is what came of one cycle.
type replayed struct {
	ID string `json:"id"`
	// Difference of the plan now to the recorded one.
	Difference *jsonspec.PlanDifference `json:"difference"`
}

func (r *replayed) same() bool { return len(r.Difference.Changed) == 0 }

// tally of what was replayed.
type tally struct{ cycles, differ int }

// tell prints a cycle and counts it.
func (o *replayOptions) tell(out io.Writer, r *replayed, t *tally) error {
	t.cycles++
	if !r.same() {
		t.differ++
	}
	return o.print(out, r)
}

// sum prints how many cycles differ; lines of JSON have no such sum.
func (o *replayOptions) sum(out io.Writer, t *tally) error {
	if o.output != "table" {
		return nil
	}
	_, err := fmt.Fprintf(out, "%d of %d cycles are decided differently\n", t.differ, t.cycles)
	return err
}

func (o *replayOptions) run(ctx context.Context, path string, out io.Writer) error {
	if o.output != "table" && o.output != "json" {
		return badInput{fmt.Errorf("--output: %q is not allowed, must be table or json", o.output)}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return badInput{err}
	}
	if llminferno.Recognise(data) {
		return o.replayForeign(ctx, data, out)
	}
	var count tally
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, longestLine)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var record loop.Record
		if err := json.Unmarshal(lines.Bytes(), &record); err != nil {
			return badInput{fmt.Errorf("%s:%d: %w", path, n, err)}
		}
		if record.Decision == nil {
			return badInput{fmt.Errorf("%s:%d: no decision in the record", path, n)}
		}
		r, err := o.replay(ctx, &record)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if err := o.tell(out, r, &count); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return badInput{fmt.Errorf("%s: %w", path, err)}
	}
	if count.cycles == 0 {
		return badInput{fmt.Errorf("%s: holds no cycle", path)}
	}
	if err := o.sum(out, &count); err != nil {
		return err
	}
	if count.differ > 0 && o.Empty() {
		return errors.New("the recorded configuration decides differently now")
	}
	return nil
}

// longestLine of a log: a cycle of a large fleet.
const longestLine = 1 << 30

func (o *replayOptions) replay(ctx context.Context, record *loop.Record) (*replayed, error) {
	system, changes, err := o.apply(&record.Snapshot.System)
	if err != nil {
		return nil, badInput{err}
	}
	stages, err := control.NewStages(&system.Optimizer.Spec)
	if err != nil {
		return nil, badInput{err}
	}
	written := record.Snapshot
	written.System = *system
	snapshot := written.Core()
	if o.Empty() {
		snapshot.StopAt = control.StopAt(&record.Plan.Solver)
	}
	d, err := stages.Decide(ctx, snapshot, record.State, nil)
	if err != nil {
		return nil, err
	}
	plan := specification.Solution(system, &d.Plan)
	return &replayed{ID: record.ID, Difference: control.Difference(changes, &record.Plan, &plan)}, nil
}

func (o *replayOptions) print(out io.Writer, r *replayed) error {
	if o.output == "json" {
		return json.NewEncoder(out).Encode(r)
	}
	if r.same() {
		return nil
	}
	if _, err := fmt.Fprintf(out, "%s:\n", r.ID); err != nil {
		return err
	}
	return printDifference(out, r.Difference)
}

// replayForeign decides the cycles of a log of llm-inferno again, each from what it measured.
func (o *replayOptions) replayForeign(ctx context.Context, log []byte, out io.Writer) error {
	var count tally
	for n, line := range bytes.Split(log, []byte("\n")) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		c, err := llminferno.Decode(line)
		if err != nil {
			return badInput{fmt.Errorf("line %d: %w", n+1, err)}
		}
		r, err := o.decideForeign(ctx, c)
		if err != nil {
			return fmt.Errorf("line %d: %w", n+1, err)
		}
		if err := o.tell(out, r, &count); err != nil {
			return err
		}
	}
	return o.sum(out, &count)
}

func (o *replayOptions) decideForeign(ctx context.Context, c *llminferno.Cycle) (*replayed, error) {
	system, changes, err := o.apply(c.System())
	if err != nil {
		return nil, badInput{err}
	}
	stages, err := control.NewStages(&system.Optimizer.Spec)
	if err != nil {
		return nil, badInput{err}
	}
	snapshot := &specification.Snapshot{System: *system}
	if c.Time != nil {
		snapshot.Time = metav1.NewMicroTime(*c.Time)
	}
	d, err := stages.Decide(ctx, snapshot.Core(), control.State{}, nil)
	if err != nil {
		return nil, err
	}
	// The token budget is none of llm-inferno's.
	plan := specification.Solution(system, &d.Plan)
	for name, a := range plan.Allocations {
		a.MaxBatchedTokens = 0
		plan.Allocations[name] = a
	}
	return &replayed{ID: fmt.Sprintf("cycle %d", c.Cycle), Difference: control.Difference(changes, c.Plan(), &plan)}, nil
}
