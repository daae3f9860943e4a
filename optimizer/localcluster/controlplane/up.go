package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// UpOptions configure [RunUp].
type UpOptions struct {
	Options            // Progress is where RunUp writes when it is nil
	Pools   []NodePool // [DefaultFleet] if nil
	// Then runs when the nodes are Ready, to install or start what else is wanted.
	Then func(context.Context, *Plane) error
}

// DefaultFleet is a small mixed fleet: 40 accelerators of four types.
func DefaultFleet() []NodePool {
	return []NodePool{
		{Name: "h100", Count: 2, GPU: H100, GPUsPerNode: 8},
		{Name: "a100", Count: 1, GPU: A100, GPUsPerNode: 8},
		{Name: "l40s", Count: 2, GPU: L40S, GPUsPerNode: 4},
		{Name: "mi300x", Count: 1, GPU: MI300X, GPUsPerNode: 8},
	}
}

// RunUp starts a control plane with nodes, says on out how to use it, and keeps it until the context ends, as it does on
// Ctrl-C with signal.NotifyContext. Then it removes everything. Being ended that way is no error, at whatever point.
func RunUp(ctx context.Context, o UpOptions, out io.Writer) (err error) {
	if o.Progress == nil {
		o.Progress = out
	}
	pools := o.Pools
	if pools == nil {
		pools = DefaultFleet()
	}
	started := time.Now()
	plane, err := Start(ctx, o.Options)
	if err != nil && ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() {
		if ctx.Err() != nil {
			err = nil
		}
		fmt.Fprintln(out, "stopping")
		err = errors.Join(err, plane.Stop())
	}()
	if err := plane.AddNodes(ctx, pools...); err != nil {
		return err
	}
	if o.Then != nil {
		if err := o.Then(ctx, plane); err != nil {
			return err
		}
	}
	plane.describe(out, pools, time.Since(started))
	<-ctx.Done()
	return nil
}

func (p *Plane) describe(out io.Writer, pools []NodePool, took time.Duration) {
	fmt.Fprintf(out, "\nThe control plane is up after %v:\n", took.Round(100*time.Millisecond))
	for _, pool := range pools {
		fmt.Fprintf(out, "  %-10s %d nodes with %d × %s each\n", pool.Name, pool.Count, pool.GPUsPerNode, pool.GPU.Product)
	}
	if p.prometheusURL != "" {
		fmt.Fprintf(out, "  Prometheus %s\n", p.prometheusURL)
	}
	fmt.Fprintf(out, "  logs       %s\n\nUse it:\n  export KUBECONFIG=%s\n  kubectl get nodes\n", p.dir, p.admin)
	fmt.Fprintf(out, "A kubectl of the same version: %s\n\nCtrl-C ends it and removes everything.\n", p.Kubectl())
}
