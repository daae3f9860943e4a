package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-inferno/inferno/optimizer/console"
	"github.com/llm-inferno/inferno/optimizer/console/live"
	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/whatif"
)

type whatIfOptions struct {
	clusterFlags
	output, solver string
}

func newWhatIfCommand() *cobra.Command {
	var o whatIfOptions
	cmd := &cobra.Command{
		Use:   "what-if CHANGE...",
		Short: "Say how the plan of a cluster would differ with other load, capacity, costs or targets",
		Long: `Reads a cluster, decides its plan again from what its Servers say of their load, and once more with the changes, and says what differs. It changes nothing.
CHANGE is KIND.NAME=CHANGE. KIND: ` + strings.Join(whatif.Kinds(), ", ") + ` (of an accelerator type, a server as NAMESPACE/NAME or * for all in requests per minute, an accelerator
in cents per hour, a service class in ms); CHANGE: +N, -N, *F or a number.`,
		Example: `  inferno what-if 'load.*=*2'
  inferno what-if capacity.H100=+8 load.llm/chat=*1.5`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return badInput{errors.New("CHANGE: is missing, give one such as load.*=*2")}
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args)
		},
	}
	o.add(cmd.Flags(), lookAt)
	cmd.Flags().StringVar(&o.solver, "solver", "", "solver to use instead of the cluster's: "+strings.Join(solver.Solvers().Names(), ", "))
	cmd.Flags().StringVarP(&o.output, "output", "o", "table", "output format: "+strings.Join(outputFormats, ", "))
	return cmd
}

func (o *whatIfOptions) run(ctx context.Context, out, errOut io.Writer, changes []string) error {
	var faults []error
	if err := oneOf(o.output, outputFormats); err != nil {
		faults = append(faults, fmt.Errorf("--output: %w", err))
	}
	if o.solver != "" {
		if err := oneOf(o.solver, solver.Solvers().Names()); err != nil {
			faults = append(faults, fmt.Errorf("--solver: %w", err))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return badInput{err}
	}
	c, host, err := o.client()
	if err != nil {
		return err
	}
	cycle, unread, err := live.New(c, host, o.namespace).Look(ctx)
	for _, u := range unread {
		if _, err := io.WriteString(errOut, wrapped("warning: "+u)); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if len(cycle.Snapshot.System.Servers.Spec) == 0 {
		return errors.New("there are no Servers")
	}
	if _, _, err := whatif.Ask(&cycle.Snapshot.System, changes); err != nil {
		return badInput{err}
	}
	answer, err := console.Ask(ctx, cycle, &whatif.Question{Solver: o.solver, Changes: changes})
	if err != nil {
		return err
	}
	if o.output != "table" {
		return writeAs(out, o.output, answer)
	}
	return printDifference(out, answer.PlanDifference)
}
