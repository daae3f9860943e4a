package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/llm-inferno/inferno/docs/evaluation"
	"github.com/llm-inferno/inferno/optimizer/console"
)

type consoleOptions struct {
	log, scenario, listen          string
	kubeconfig, context, namespace string
	speedUp                        float64
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
	f.StringVar(&o.log, "log", "", "decision log to look at instead of a cluster")
	f.StringVar(&o.listen, "listen", "localhost:7411", "address of this machine to serve on; port 0 takes a free one")
	return cmd
}

func (o *consoleOptions) run(ctx context.Context, out io.Writer) error {
	l, err := console.Listen(o.listen)
	if err != nil {
		return badInput{fmt.Errorf("--listen: %w", err)}
	}
	store, read, err := o.source()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go read(ctx)
	return serveConsole(ctx, l, console.Options{Store: store, Evaluation: evaluation.Results}, out)
}

// source that was asked for, and what reads it until the context ends.
func (o *consoleOptions) source() (*console.Store, func(context.Context), error) {
	log, store, err := console.OpenLog(o.log)
	if err != nil {
		return nil, nil, badInput{fmt.Errorf("--log: %w", err)}
	}
	return store, log.Read, nil
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
