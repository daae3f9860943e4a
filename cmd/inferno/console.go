package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-inferno/inferno/docs/evaluation"
	"github.com/llm-inferno/inferno/optimizer/console"
	"github.com/llm-inferno/inferno/optimizer/console/live"
	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
)

type consoleOptions struct {
	log, scenario, listen string
	clusterFlags
	speedUp float64
}

func newConsoleCommand() *cobra.Command {
	var o consoleOptions
	cmd := &cobra.Command{
		Use:   "console [--log FILE | --scenario NAME|FILE]",
		Short: "Show the fleet, its plan, why, and what if, on a web page of this machine",
		Long: `Serves a web page on this machine: servers and what they run on, one server with its reasons, cards and what more would save, what if, all
cycles, and the evaluation. It reads a cluster with the rights of the kubeconfig, a decision log (also one that grows), or plays a scenario. It
writes nothing, and asks nobody else.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	f := cmd.Flags()
	f.StringVar(&o.log, "log", "", "decision log to look at instead of a cluster; what is added to it is shown too")
	f.StringVar(&o.scenario, "scenario", "", "scenario to play instead: a file, YAML or JSON, or one that is built in: "+strings.Join(scenario.BuiltIn(), ", "))
	f.Float64Var(&o.speedUp, "speed-up", 60, "seconds of the scenario that pass in a second")
	o.add(f, "namespace of the Servers to show; default all")
	f.StringVar(&o.listen, "listen", "localhost:7411", "address of this machine to serve on; port 0 takes a free one")
	return cmd
}

func (o *consoleOptions) validate() error {
	var faults []error
	if o.log != "" && o.scenario != "" {
		faults = append(faults, errors.New("--log, --scenario: both are given, give one"))
	}
	if !(o.speedUp > 0) || math.IsInf(o.speedUp, 0) {
		faults = append(faults, fmt.Errorf("--speed-up: %v is not allowed, must be a finite number above 0", o.speedUp))
	}
	return errors.Join(faults...)
}

func (o *consoleOptions) run(ctx context.Context, out io.Writer) error {
	if err := o.validate(); err != nil {
		return badInput{err}
	}
	store, read, err := o.source()
	if err != nil {
		return err
	}
	l, err := console.Listen(o.listen)
	if err != nil {
		return badInput{fmt.Errorf("--listen: %w", err)}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go read(ctx)
	return serveConsole(ctx, l, console.Options{Store: store, Evaluation: evaluation.Results}, out)
}

// source that was asked for, and what reads it until the context ends.
func (o *consoleOptions) source() (*console.Store, func(context.Context), error) {
	switch {
	case o.log != "":
		log, store, err := console.OpenLog(o.log)
		if err != nil {
			return nil, nil, badInput{fmt.Errorf("--log: %w", err)}
		}
		return store, log.Read, nil
	case o.scenario != "":
		return playScenario(o.scenario, o.speedUp)
	}
	config, err := clusterConfig(o.kubeconfig, o.context)
	if err != nil {
		return nil, nil, err
	}
	client, _, err := stack.Clients(config)
	if err != nil {
		return nil, nil, err
	}
	cluster := live.New(client, config.Host, o.namespace)
	return cluster.Store, cluster.Read, nil
}

// serveConsole until the context ends, and say where.
func serveConsole(ctx context.Context, l net.Listener, o console.Options, out io.Writer) error {
	fmt.Fprintf(out, "the console: http://%s\nCtrl-C ends it\n", l.Addr())
	failed := make(chan error, 1)
	go func() { failed <- console.Serve(l, o) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	if err := l.Close(); err != nil {
		return err
	}
	if err := <-failed; err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
