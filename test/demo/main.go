// Command demo runs the whole of inferno on the local machine for four minutes: a real control plane with simulated accelerators, a recorded
// trace of a production service, and every program of inferno. It shows what happens, draws it, and fails unless the cluster really followed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/llm-inferno/inferno/docs/evaluation"
	"github.com/llm-inferno/inferno/optimizer/console"
	"github.com/llm-inferno/inferno/optimizer/console/live"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
)

type options struct {
	programs, out, trace string
	duration             time.Duration
	speedUp, scale       float64
	seed                 uint64
	keep, roles          bool
	console, kubernetes  string
}

func main() {
	var o options
	flag.StringVar(&o.programs, "programs", "bin", "directory of inferno's programs")
	flag.StringVar(&o.out, "out", "out", "directory for the picture and the series")
	flag.StringVar(&o.trace, "trace", "test/data/traces/azure-2023-conversation.csv.gz", "trace to replay")
	flag.DurationVar(&o.duration, "duration", 4*time.Minute, "how long to replay it")
	flag.Float64Var(&o.speedUp, "speed-up", 14, "trace seconds that pass in a second")
	flag.Float64Var(&o.scale, "scale", 1, "requests for each request of the trace")
	flag.Uint64Var(&o.seed, "seed", 1, "of noise and of the split of the trace over the servers")
	flag.BoolVar(&o.keep, "keep", false, "keep the instance directory with the logs of all components")
	flag.BoolVar(&o.roles, "roles", false, "one server more, whose prompts are computed on replicas of their own")
	flag.StringVar(&o.console, "console", "localhost:0", "address of this machine for the console; port 0 takes a free one")
	flag.StringVar(&o.kubernetes, "kubernetes", "", "version of Kubernetes that the control plane behaves as: "+strings.Join(controlplane.Versions(), ", ")+"; default its own")
	flag.Parse()
	ctrllog.SetLogger(logr.Discard()) // nothing of the client library is of interest here, and it complains where nobody says so
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	scenario, err := newScenario(o)
	if err != nil {
		return err
	}
	s, err := stack.Start(ctx, stack.Options{Programs: o.programs, Nodes: scenario.nodes, PodStartup: 5 * time.Second, PodShutdown: 15 * time.Second, Progress: out, KeepDir: o.keep, Kubernetes: o.kubernetes})
	if err != nil {
		return err
	}
	defer func() {
		fmt.Fprintln(out, "stopping")
		err = errors.Join(err, s.Stop())
	}()
	fmt.Fprintf(out, "\nlook inside with\n  export KUBECONFIG=%s\n  kubectl get servers,hpa,pods -A\n\n", s.AdminKubeconfig())
	hide, err := showConsole(ctx, o.console, s, out)
	if err != nil {
		return err
	}
	defer hide()
	if err := scenario.deploy(ctx, s); err != nil {
		return err
	}
	// The logger stays silent unless something of the fleet's own goes wrong.
	scenario.fleet.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if err := s.StartFleet(ctx, scenario.fleet); err != nil {
		return err
	}
	w := newWatcher(s, scenario)
	if err := w.watch(ctx, o.duration, out); err != nil {
		return err
	}
	followed := w.verify(ctx, out)
	if err := writeResults(o.out, w, s.Fleet.Report(), out); err != nil {
		return err
	}
	if o.keep {
		fmt.Fprintf(out, "logs and the decision log are in %s\n", s.Dir())
	} else if err := copyFile(s.DecisionLog, filepath.Join(o.out, "decisions.jsonl")); err != nil {
		return err
	}
	return followed
}

// showConsole over the cluster, and say where, until what is returned is called.
func showConsole(ctx context.Context, address string, s *stack.Stack, out io.Writer) (func(), error) {
	l, err := console.Listen(address)
	if err != nil {
		return nil, fmt.Errorf("-console: %w", err)
	}
	cluster := live.New(s.Client, "demo", "")
	ctx, cancel := context.WithCancel(ctx)
	go cluster.Read(ctx)
	go func() {
		if err := console.Serve(l, console.Options{Store: cluster.Store, Evaluation: evaluation.Results}); err != nil {
			fmt.Fprintf(out, "the console: %v\n", err)
		}
	}()
	fmt.Fprintf(out, "see it in a browser, while it runs:\n  http://%s\n\n", l.Addr())
	return func() {
		cancel()
		l.Close()
	}, nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}
