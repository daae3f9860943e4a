// Command inferno-adapter serves the plans of inferno as metrics to stock HorizontalPodAutoscalers.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	genericapiserver "k8s.io/apiserver/pkg/server"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register" // offers --logging-format=json
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/component-base/term"
	"k8s.io/klog/v2"
	librarymetrics "sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver/metrics"

	"github.com/llm-inferno/inferno/metricsadapter/apiserver"
	"github.com/llm-inferno/inferno/version"
)

// Exit statuses.
const (
	exitFailure = 1
	exitUsage   = 2
)

// errUsage marks what a correct command line would have avoided.
var errUsage = errors.New("invalid command line")

func main() {
	err := command().ExecuteContext(genericapiserver.SetupSignalContext())
	logs.FlushLogs()
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitUsage)
	default:
		klog.ErrorS(err, "The adapter failed")
		klog.Flush()
		os.Exit(exitFailure)
	}
}

func command() *cobra.Command {
	options := apiserver.NewOptions()
	logging := logsapi.NewLoggingConfiguration()
	cmd := &cobra.Command{
		Use:   "inferno-adapter",
		Short: "Serve the plans of inferno as metrics to HorizontalPodAutoscalers",
		Long: `inferno-adapter serves what inferno planned for each Server (desired replicas, max batch size, token budget, predicted latencies)
through external.metrics.k8s.io and custom.metrics.k8s.io, so that stock HorizontalPodAutoscalers follow the plan. It is registered with an
APIService; it needs no connection to the optimizer and no leader.

In a cluster without cert-manager, "inferno-adapter certificate" makes its certificate and its APIService.`,
		Args:          usage(cobra.NoArgs),
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := options.Validate(); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			if err := logsapi.ValidateAndApply(logging, nil); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			return run(cmd.Context(), options)
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	var groups cliflag.NamedFlagSets
	options.AddFlags(&groups)
	logsapi.AddFlags(logging, groups.FlagSet("logging"))
	for _, name := range groups.Order {
		cmd.Flags().AddFlagSet(groups.FlagSets[name])
	}
	columns, _, _ := term.TerminalSize(os.Stdout)
	certificate := certificateCommand() // with cobra's own help: it has none of these flags
	certificate.SetUsageFunc(cmd.UsageFunc())
	certificate.SetHelpFunc(cmd.HelpFunc())
	cliflag.SetUsageAndHelpFunc(cmd, groups, columns)
	cmd.AddCommand(certificate)
	return cmd
}

// usage marks the errors of a check of arguments as those of usage.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		return nil
	}
}

func run(ctx context.Context, options *apiserver.Options) error {
	if err := librarymetrics.RegisterMetrics(legacyregistry.Register); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	server, err := apiserver.New(options, legacyregistry.Registerer())
	if err != nil {
		return err
	}
	klog.InfoS("Serving plans as metrics", "version", version.String(), "address", options.Library.SecureServing.Listener.Addr().String())
	return server.Run(ctx)
}
