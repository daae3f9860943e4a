package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/gates"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

type gatesOptions struct {
	clusterFlags
	server        string
	allNamespaces bool
}

func newGatesCommand() *cobra.Command {
	var o gatesOptions
	cmd := &cobra.Command{
		Use:   "gates",
		Short: "List the pods that wait behind the gate " + v1alpha1.PlacementGate + ", the oldest first",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.with(cmd, func(_ context.Context, _ client.Client, pods []corev1.Pod) error {
				return listGated(cmd.OutOrStdout(), pods, time.Now())
			})
		},
	}
	release := &cobra.Command{
		Use:   "release",
		Short: "Lift the gates of pods without a seat of a plan",
		Long: `Lifts the gate ` + v1alpha1.PlacementGate + ` of the pods in a namespace, for when no optimizer runs that would. They go wherever their template lets them: nothing is
added to what they ask of nodes. Plans are not followed by it. Exit status: 0 where no gate is left, 1 where some cannot be lifted, 2 for a bad command line.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.namespace == "" && !o.allNamespaces {
				return badInput{errors.New("--namespace: say of which namespace, or --all-namespaces")}
			}
			return o.with(cmd, func(ctx context.Context, c client.Client, pods []corev1.Pod) error {
				return releaseGated(ctx, c, cmd.OutOrStdout(), pods)
			})
		},
	}
	o.add(cmd.Flags())
	o.add(release.Flags())
	cmd.AddCommand(release)
	return cmd
}

func (o *gatesOptions) add(f *pflag.FlagSet) {
	o.clusterFlags.add(f, "namespace of the pods; default all that are listed, none that are released")
	f.StringVar(&o.server, "server", "", "Server of the pods; default all")
	f.BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "pods of all namespaces")
}

// with the pods that wait, the oldest first.
func (o *gatesOptions) with(cmd *cobra.Command, do func(context.Context, client.Client, []corev1.Pod) error) error {
	if o.namespace != "" && o.allNamespaces {
		return badInput{errors.New("--namespace and --all-namespaces: give one of them")}
	}
	config, err := clusterConfig(o.kubeconfig, o.context)
	if err != nil {
		return err
	}
	c, _, err := stack.Clients(config)
	if err != nil {
		return err
	}
	var list corev1.PodList
	selector := client.ListOption(client.HasLabels{v1alpha1.ServerLabel})
	if o.server != "" {
		selector = client.MatchingLabels{v1alpha1.ServerLabel: o.server}
	}
	if err := c.List(cmd.Context(), &list, client.InNamespace(o.namespace), selector); err != nil {
		return err
	}
	return do(cmd.Context(), c, waitingBehindGates(list.Items))
}

func waitingBehindGates(pods []corev1.Pod) []corev1.Pod {
	pods = slices.DeleteFunc(pods, func(p corev1.Pod) bool { return !seats.Gated(&p) })
	slices.SortFunc(pods, func(a, b corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return pods
}

func listGated(out io.Writer, pods []corev1.Pod, now time.Time) error {
	if len(pods) == 0 {
		_, err := fmt.Fprintln(out, "no pod waits behind its gate")
		return err
	}
	w := newTable(out)
	fmt.Fprintln(w, "NAMESPACE\tSERVER\tPOD\tWAITS")
	for i := range pods {
		p := &pods[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.Namespace, p.Labels[v1alpha1.ServerLabel], p.Name, duration.HumanDuration(now.Sub(p.CreationTimestamp.Time)))
	}
	return w.Flush()
}

func releaseGated(ctx context.Context, c client.Client, out io.Writer, pods []corev1.Pod) error {
	var faults []error
	lifted := 0
	for i := range pods {
		if err := gates.Release(ctx, c, &pods[i]); err != nil {
			faults = append(faults, err)
			continue
		}
		lifted++
	}
	fmt.Fprintf(out, "%d of %d gates lifted\n", lifted, len(pods))
	return errors.Join(faults...)
}
