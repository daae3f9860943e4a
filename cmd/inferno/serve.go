package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/loopback"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/restapi"
)

type serveOptions struct {
	optimizer, tuner, queueAnalysis string
	queueModel                      string
	warmUp                          int
}

func newServeCommand() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer the REST endpoints of llm-inferno's optimizer, tuner and queue-analysis",
		Long: `Answers the REST endpoints of llm-inferno's optimizer, model-tuner and queue-analysis, so that a control loop that was written for those runs
against inferno. An empty address leaves a service out. There is no authentication: who reaches an address may ask. Described in docs/rest.md.

Where a flag is not given, the environment variables of llm-inferno are heeded: INFERNO_HOST, INFERNO_PORT, TUNER_HOST, TUNER_PORT and
TUNER_WARM_UP_CYCLES.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.environment(cmd, os.Getenv); err != nil {
				return badInput{err}
			}
			return o.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.optimizer, "optimizer", "127.0.0.1:8080", "address of the optimizer")
	f.StringVar(&o.tuner, "tuner", "127.0.0.1:8081", "address of the tuner")
	f.StringVar(&o.queueAnalysis, "queue-analysis", "127.0.0.1:8082", "address of the queue-analysis; llm-inferno's is port 8080, as its optimizer's")
	f.StringVar(&o.queueModel, "queue-model", control.DefaultQueueModel, "queueing model of the queue-analysis: "+strings.Join(queueing.Models().Names(), ", "))
	f.IntVar(&o.warmUp, "warm-up", restapi.DefaultWarmUp, "requests that the tuner learns a pair from before it says that it is known; 0 for none")
	return cmd
}

// environment fills in what no flag gives.
func (o *serveOptions) environment(cmd *cobra.Command, get func(string) string) error {
	var faults []error
	for _, e := range []struct {
		flag       string
		address    *string
		host, port string
	}{{"optimizer", &o.optimizer, "INFERNO_HOST", "INFERNO_PORT"}, {"tuner", &o.tuner, "TUNER_HOST", "TUNER_PORT"}} {
		if cmd.Flags().Changed(e.flag) {
			continue
		}
		host, port, err := net.SplitHostPort(*e.address)
		faults = append(faults, err)
		if v := get(e.host); v != "" {
			host = v
		}
		if v := get(e.port); v != "" {
			if _, err := strconv.ParseUint(v, 10, 16); err != nil {
				faults = append(faults, fmt.Errorf("%s: %q is not allowed, must be a port; --%s overrides it", e.port, v, e.flag))
			}
			port = v
		}
		*e.address = net.JoinHostPort(host, port)
	}
	if v := get("TUNER_WARM_UP_CYCLES"); v != "" && !cmd.Flags().Changed("warm-up") {
		n, err := strconv.Atoi(v)
		if err != nil {
			faults = append(faults, fmt.Errorf("TUNER_WARM_UP_CYCLES: %q is not allowed, must be a whole number", v))
		}
		o.warmUp = n
	}
	return errors.Join(faults...)
}

// endpoint is a service and where it listens.
type endpoint struct {
	name, address string
	handler       http.Handler
	listener      net.Listener
}

// endpoints that are to be served. The error joins all faults; nothing listens then.
func (o *serveOptions) endpoints() ([]endpoint, error) {
	var faults []error
	if o.warmUp < 0 {
		faults = append(faults, fmt.Errorf("--warm-up: %d is not allowed, must be at least 0", o.warmUp))
	}
	m, err := queueing.Models().New(o.queueModel, nil)
	if err != nil {
		faults = append(faults, fmt.Errorf("--queue-model: %w", err))
	}
	tuner, err := restapi.Tuner(restapi.TunerOptions{WarmUp: o.warmUp, Now: time.Now})
	faults = append(faults, err)
	var list []endpoint
	for _, e := range []endpoint{
		{name: "optimizer", address: o.optimizer, handler: restapi.Optimizer()}, {name: "tuner", address: o.tuner, handler: tuner},
		{name: "queue-analysis", address: o.queueAnalysis, handler: restapi.QueueAnalysis(m)},
	} {
		if e.address == "" {
			continue
		}
		if e.listener, err = net.Listen("tcp", e.address); err != nil {
			faults = append(faults, fmt.Errorf("--%s: %q: %w", e.name, e.address, err))
			continue
		}
		list = append(list, e)
	}
	if len(list) == 0 && errors.Join(faults...) == nil {
		faults = append(faults, errors.New("--optimizer, --tuner, --queue-analysis: all are empty, give one"))
	}
	if err := errors.Join(faults...); err != nil {
		for _, e := range list {
			_ = e.listener.Close() // nothing was accepted
		}
		return nil, err
	}
	return list, nil
}

// run until the context ends, or one of the services does.
func (o *serveOptions) run(ctx context.Context, out io.Writer) error {
	list, err := o.endpoints()
	if err != nil {
		return badInput{err}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make([]error, len(list))
	var all sync.WaitGroup
	for i, e := range list {
		fmt.Fprintf(out, "%s: http://%s\n", e.name, e.listener.Addr())
		if !loopback.Host(e.listener.Addr().String()) {
			fmt.Fprintf(out, "%s: whoever reaches this address may ask\n", e.name)
		}
		all.Go(func() {
			defer cancel()
			ended[i] = restapi.Serve(ctx, e.listener, e.handler)
		})
	}
	fmt.Fprintln(out, "Ctrl-C ends it")
	all.Wait()
	return errors.Join(ended...)
}
