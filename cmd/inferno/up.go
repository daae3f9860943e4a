package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/localcluster/node"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
)

type upOptions struct {
	programs   string
	nodes      []string
	podStartup time.Duration
	planeOnly  bool
	prepare    bool
	keep       bool
	kubernetes string

	with          []string
	node          bool
	images, chart string
}

// products by the name people give a pool.
var products = map[string]controlplane.GPU{
	"h200": controlplane.H200, "h100": controlplane.H100, "a100": controlplane.A100, "l40s": controlplane.L40S, "l4": controlplane.L4, "mi300x": controlplane.MI300X,
}

func newUpCommand() *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run inferno on a real control plane on this machine, with simulated accelerators",
		Long: `Starts etcd, the API server, the controller manager with its stock autoscaler, Prometheus and simulated GPU nodes, all upstream programs
built from Go modules and cached, and inferno's own scheduler, metrics adapter and optimizer beside them. Prints the kubeconfig and runs until
Ctrl-C, which leaves nothing behind. Several run side by side.

With --node this machine is a node of it too: containerd and runc, which must be installed, run real pods, kube-proxy and DNS lead to them, and
inferno is installed by its Helm chart, in pods of the images that make images builds. That needs Linux and root, and only one runs at a time.

With --with karpenter there are no nodes at first. Karpenter buys them, from a cloud that is pretended, for pods that inferno lets go by their gates
(spec.placement: Gates); NodePools for H100, A100 and L40S, on demand and as spot, are there. The stock scheduler's profile places these pods, and the chart's policies are left out.

With --with kueue, Kueue admits pods to quotas, as its release does: its CRDs, webhooks and rights are there. With --with keda, KEDA's operator and adapter run, KEDA holds
external.metrics.k8s.io, and inferno's adapter answers it as an external scaler. With --with leaderworkerset the controller of LeaderWorkerSets and its webhooks
run. Neighbours are built where they are asked for first, KEDA takes long.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.has(controlplane.Karpenter) && !cmd.Flags().Changed("nodes") {
				o.nodes = nil
			}
			return o.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.programs, "programs", "", "directory of inferno's programs; default beside this one, then the PATH")
	f.StringSliceVar(&o.nodes, "nodes", []string{"h100=2x8", "a100=2x8", "l40s=4x4"}, "simulated nodes as TYPE=NODESxGPUS, types: h200, h100, a100, l40s, l4, mi300x")
	f.DurationVar(&o.podStartup, "pod-startup", 5*time.Second, "time from the start of a pod until it is ready")
	f.BoolVar(&o.planeOnly, "control-plane-only", false, "leave inferno's programs out and run the stock scheduler")
	f.BoolVar(&o.prepare, "prepare", false, "only build the programs of the control plane that are not cached yet, and start nothing")
	f.StringVar(&o.kubernetes, "kubernetes", "", "version of Kubernetes that the control plane behaves as: "+strings.Join(controlplane.Versions(), ", ")+"; default its own")
	f.StringSliceVar(&o.with, "with", nil, "neighbours to run beside it: karpenter, kueue, keda, leaderworkerset")
	f.BoolVar(&o.node, "node", false, "make this machine a real node beside the simulated ones, and install inferno's chart")
	f.StringVar(&o.images, "images", "out/images", "with --node, folder of the images as OCI layouts")
	f.StringVar(&o.chart, "chart", "manifests/chart", "with --node, inferno's chart")
	f.BoolVar(&o.keep, "keep", false, "keep the instance directory with its logs")
	return cmd
}

// pools parses the nodes; the error joins every fault.
func (o *upOptions) pools() ([]controlplane.NodePool, error) {
	var pools []controlplane.NodePool
	var faults []error
	seen := map[string]bool{}
	for _, text := range o.nodes {
		name, size, _ := strings.Cut(text, "=")
		nodes, gpus, _ := strings.Cut(size, "x")
		n, errNodes := strconv.Atoi(nodes)
		g, errGPUs := strconv.Atoi(gpus)
		gpu, known := products[name]
		if !known || seen[name] || errNodes != nil || errGPUs != nil || n < 1 || g < 1 || n > 5000 || g > 64 {
			faults = append(faults, fmt.Errorf("--nodes: %q is not allowed, must be TYPE=NODESxGPUS like h100=2x8, each type once", text))
			continue
		}
		seen[name] = true
		pools = append(pools, controlplane.NodePool{Name: name, Count: n, GPU: gpu, GPUsPerNode: g})
	}
	for _, name := range o.with {
		if neighbours[name] == nil {
			faults = append(faults, fmt.Errorf("--with: %q is not allowed, must be one of %s", name, strings.Join(slices.Sorted(maps.Keys(neighbours)), ", ")))
		}
	}
	if len(o.with) > 0 && o.node {
		faults = append(faults, fmt.Errorf("--with: %s is not allowed with --node", strings.Join(o.with, ",")))
	}
	if o.kubernetes != "" && !slices.Contains(controlplane.Versions(), o.kubernetes) {
		faults = append(faults, fmt.Errorf("--kubernetes: %q is not allowed, must be one of %s", o.kubernetes, strings.Join(controlplane.Versions(), ", ")))
	}
	if o.kubernetes != "" && o.node {
		faults = append(faults, errors.New("--kubernetes: is not allowed with --node, whose kubelet is of one version"))
	}
	if o.podStartup < 0 {
		faults = append(faults, fmt.Errorf("--pod-startup: %s is not allowed, must be at least 0", o.podStartup))
	}
	return pools, errors.Join(faults...)
}

func (o *upOptions) start(ctx context.Context, pools []controlplane.NodePool, out io.Writer) (*stack.Stack, error) {
	options := stack.Options{
		Programs: o.programs, Nodes: pools, PodStartup: o.podStartup, Progress: out, KeepDir: o.keep, Kubernetes: o.kubernetes, WithoutInferno: o.planeOnly,
		Policies: !o.has(controlplane.Karpenter), // those without gates would refuse what gates do
		Kueue:    o.has(controlplane.Kueue), KEDA: o.has(keda), LeaderWorkerSet: o.has(controlplane.LeaderWorkerSet), Defaults: true,
	}
	if o.has(controlplane.Karpenter) {
		options.Karpenter = stack.CloudMarket
	}
	if !o.node {
		return stack.Start(ctx, options)
	}
	on := stack.NodeOptions{Images: o.images, Chart: o.chart}
	if o.planeOnly {
		on.Chart = ""
	}
	return stack.StartOnNode(ctx, options, on)
}

func (o *upOptions) run(ctx context.Context, out io.Writer) (err error) {
	pools, err := o.pools()
	if err != nil {
		return badInput{err}
	}
	if o.prepare {
		_, err := controlplane.Binaries(ctx, "", out)
		for _, name := range o.with {
			if err == nil {
				_, err = controlplane.Binaries(ctx, "", out, neighbours[name]...)
			}
		}
		if o.node && err == nil {
			_, err = controlplane.Binaries(ctx, "", out, append(slices.Clone(node.Binaries), controlplane.Helm)...)
		}
		return err
	}
	s, err := o.start(ctx, pools, out)
	if err != nil {
		// Ctrl-C while things start is not a failure.
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer func() {
		fmt.Fprintln(out, "stopping")
		err = errors.Join(err, s.Stop())
	}()
	fmt.Fprintf(out, `
the control plane is ready:
  export KUBECONFIG=%s
  kubectl get nodes -L nvidia.com/gpu.product%s
  kubectl get accelerators,models,serviceclasses,servers,optimizers -A
  kubectl label deployment NAME inferno.platform.ai/class=premium   (of a Deployment of vLLM: it is planned)
Prometheus: %s   (targets: file_sd in %s)
logs and the decision log: %s
Ctrl-C ends it and leaves nothing behind
`, s.AdminKubeconfig(), o.hint(s), s.PrometheusURL(), s.TargetsDir(), s.Dir())
	<-ctx.Done()
	return nil
}

// keda as --with has it.
const keda = "keda"

// neighbours that inferno runs beside, by their names, and their programs.
var neighbours = map[string][]controlplane.Binary{
	string(controlplane.Karpenter): {controlplane.Karpenter}, string(controlplane.Kueue): {controlplane.Kueue}, keda: {controlplane.KEDAOperator, controlplane.KEDAAdapter},
	string(controlplane.LeaderWorkerSet): {controlplane.LeaderWorkerSet},
}

// has says whether a neighbour is asked for.
func (o *upOptions) has(name controlplane.Binary) bool { return slices.Contains(o.with, string(name)) }

// hint at what the neighbours have.
func (o *upOptions) hint(s *stack.Stack) string {
	hint := ""
	if o.has(controlplane.Karpenter) {
		hint += "\n  kubectl get nodepools,nodeclaims   (docs/operations.md, With Karpenter, says what the Optimizer and pods need)"
	}
	if o.has(controlplane.Kueue) {
		hint += "\n  kubectl get clusterqueues,resourceflavors,workloads -A   (docs/operations.md, With Kueue, says what the Optimizer and pods need)"
	}
	if o.has(keda) {
		hint += "\n  kubectl get scaledobjects -A   (docs/operations.md, With KEDA, says how; the scalerAddress of triggers is " + s.ScalerAddress() + ")"
	}
	return hint
}
