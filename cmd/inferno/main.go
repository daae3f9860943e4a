// Command inferno plans, analyses and demonstrates inferno from the command line; installed as kubectl-inferno it is a kubectl plugin.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/llm-inferno/inferno/version"
)

// Exit statuses.
const (
	exitFailure  = 1
	exitBadInput = 2
)

// badInput is an error whose cause is what the user gave: a flag, a file, a specification.
type badInput struct{ error }

func (b badInput) Unwrap() error { return b.error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRootCommand()
	os.Exit(run(ctx, root, asPlugin(root, os.Args[0], os.Args[1:])))
}

// run executes the command and turns its error into an exit status.
func run(ctx context.Context, root *cobra.Command, args []string) int {
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(root.ErrOrStderr(), "inferno: %v\n", err)
	if errors.As(err, &badInput{}) {
		return exitBadInput
	}
	return exitFailure
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "inferno",
		Short: "Choose accelerators, replicas and batch sizes for LLM inference servers",
		Long: `Inferno decides, for all inference servers of a Kubernetes cluster together, which accelerator type, how many replicas, what max batch
size and token budget, so that every service class meets its latency targets at the lowest cost.`,
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArguments,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return badInput{flagFault(err)} })
	root.AddCommand(
		newGetCommand(), newExplainCommand(), newWhatIfCommand(), newReportCommand(),
		newPlanCommand(), newRecommendCommand(), newAdviseCommand(), newUpCommand(), newConsoleCommand(), newServeCommand(),
		newFitCommand(), newPredictCommand(), newAnalyzeCommand(), newPlotCommand(),
		newTuneCommand(), newForecastCommand(),
		newDoctorCommand(), newGatesCommand(), newSimulateCommand(), newReplayCommand(), newConvertCommand(),
	)
	completions(root)
	return root
}

// flagTypes says what values a type of flag takes, where its name does not.
var flagTypes = map[string]string{
	"int": "a whole number", "float64": "a number", "float64Slice": "numbers separated by commas", "bool": "true or false", "duration": "a duration such as 90s or 2m",
}

// flagFault says what a flag takes where it was given something else; other faults of flags are clear as they are.
func flagFault(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	kind := invalid.GetFlag().Value.Type()
	return fmt.Errorf("--%s: %q is not allowed, must be %s", invalid.GetFlag().Name, invalid.GetValue(), cmp.Or(flagTypes[kind], kind))
}

// noArguments refuses positional arguments.
func noArguments(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return badInput{err}
	}
	return nil
}
