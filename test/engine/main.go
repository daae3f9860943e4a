// Command engine is a simulated inference engine in a process of its own: it takes the requests that vLLM's server takes, answers them after
// the time that a continuous-batching engine of the given speed would need, and shows the metrics that vLLM shows. It computes nothing.
//
// Its flags --max-num-seqs and --max-num-batched-tokens are vLLM's, so that a pod gives them to it through the downward API in the same way.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/version"
)

// options of the engine. The defaults are those of the end-to-end tests' H100: Llama 3.1 8B by a linear law.
type options struct {
	address, model string
	startup        time.Duration
	tick           time.Duration
	law            simulation.Linear
	config         simulation.Config
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "inferno-engine: %v\n", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "inferno-engine", Short: "Play an inference engine", Args: cobra.NoArgs, Version: version.String(),
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&o.address, "address", ":8000", "address to serve at")
	f.StringVar(&o.model, "served-model-name", "simulated", "name of the model in requests and metrics")
	f.DurationVar(&o.startup, "startup", 0, "time until it is ready, as an engine needs to load its weights")
	f.DurationVar(&o.tick, "tick", 5*time.Millisecond, "how often the simulation is brought up to the present")
	f.IntVar(&o.config.MaxNumSeqs, "max-num-seqs", 256, "most sequences in one iteration")
	f.IntVar(&o.config.MaxNumBatchedTokens, "max-num-batched-tokens", 8192, "most tokens computed in one iteration")
	f.IntVar(&o.config.BlockSize, "block-size", 16, "tokens per block of the KV cache")
	f.IntVar(&o.config.Blocks, "num-gpu-blocks-override", 10000, "blocks of the KV cache")
	f.Float64Var(&o.law.Base, "step-base", 0.007, "seconds of an iteration")
	f.Float64Var(&o.law.PerToken, "step-per-token", 0.0325e-3, "seconds for each token computed in it")
	f.Float64Var(&o.law.PerContext, "step-per-context", 0.049e-6, "seconds for each token read from the KV cache in it")
	f.Float64Var(&o.config.NoiseCV, "noise", 0, "coefficient of variation of iterations, 0 to 1")
	return cmd
}

// run serves until the context ends.
func (o *options) run(ctx context.Context) error {
	if o.tick <= 0 || o.startup < 0 {
		return fmt.Errorf("--tick %s, --startup %s: not allowed, must be above 0 and at least 0", o.tick, o.startup)
	}
	o.config.StepTime = o.law
	s, err := newServer(o.model, o.config, o.startup)
	if err != nil {
		return err
	}
	web := &http.Server{Addr: o.address, Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { s.play(ctx, o.tick); return nil })
	group.Go(func() error {
		if err := web.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		// What runs is finished first, as vLLM does; a kubelet that loses patience kills.
		return web.Shutdown(context.WithoutCancel(ctx))
	})
	return group.Wait()
}
