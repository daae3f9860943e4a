package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/cmd/inferno/wva"
)

func newConvertCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "convert",
		Short: "Say what another autoscaler is told in resources of inferno",
		Args:  noArguments,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConvertWVACommand())
	return cmd
}

type convertWVAOptions struct {
	clusterFlags
	file, class, label string
	timeout            time.Duration
}

func newConvertWVACommand() *cobra.Command {
	var o convertWVAOptions
	cmd := &cobra.Command{
		Use:   "wva [-f FILE]",
		Short: "Convert VariantAutoscalings and ConfigMaps of llm-d's workload-variant-autoscaler",
		Long: `Reads the VariantAutoscalings of llm-d's workload-variant-autoscaler, in every form from v0.0.1 to v0.5.1, and its ConfigMaps (accelerator costs, service
classes, scale to zero, saturation, settings), from a file or a cluster, and writes Accelerators, Models, ServiceClasses and Servers. What has no counterpart, what was
assumed and what is left to do is said on standard error, each by object and field. It changes nothing.`,
		Example: `  inferno convert wva >inferno.yaml
  kubectl get variantautoscalings,configmaps -A -o yaml | inferno convert wva -f - --class premium`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.file, "file", "f", "", "manifests to read, - for standard input; default the cluster")
	f.StringVar(&o.class, "class", "", "ServiceClass of models that no class of the input has a target for")
	f.StringVar(&o.label, "accelerator-label", wva.AcceleratorLabel, "label of VariantAutoscalings that names the accelerator of their pods")
	o.add(f, lookAt)
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long to wait for answers")
	return cmd
}

func (o *convertWVAOptions) run(ctx context.Context, in io.Reader, out, errOut io.Writer) error {
	switch o.file {
	case "-":
	case "":
		text, err := o.readCluster(ctx)
		if err != nil {
			return err
		}
		in = strings.NewReader(string(text))
	default:
		f, err := os.Open(o.file)
		if err != nil {
			return badInput{fmt.Errorf("--file: %w", err)}
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	result, err := wva.Convert(in, wva.Options{Class: o.class, AcceleratorLabel: o.label})
	if err != nil {
		return badInput{err}
	}
	if len(result.Servers) == 0 {
		return badInput{errors.New("no VariantAutoscaling is in the input")}
	}
	text, err := stream(converted(result))
	if err != nil {
		return err
	}
	if _, err := out.Write(text); err != nil {
		return err
	}
	_, err = io.WriteString(errOut, leftToDo(result))
	return err
}

// readCluster reads VariantAutoscalings and, from all namespaces, ConfigMaps that are named as WVA's are.
func (o *convertWVAOptions) readCluster(ctx context.Context) ([]byte, error) {
	c, _, err := o.client()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	all := &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "v1", "kind": "List"}}
	for _, from := range []struct {
		kind      schema.GroupVersionKind
		namespace string
		wanted    func(name string) bool
	}{
		{schema.GroupVersionKind{Group: wva.Group, Version: wva.Version, Kind: wva.Kind}, o.namespace, func(string) bool { return true }},
		{schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, "", wva.IsConfigMap},
	} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(from.kind)
		if err := c.List(ctx, list, client.InNamespace(from.namespace)); err != nil {
			return nil, fmt.Errorf("%s: %w", from.kind.Kind, err)
		}
		for _, item := range list.Items {
			if from.wanted(item.GetName()) {
				all.Items = append(all.Items, item)
			}
		}
	}
	return yaml.Marshal(all.UnstructuredContent())
}

// converted resources, in the order in which they refer to each other.
func converted(r *wva.Result) []any {
	var all []any
	for _, a := range r.Accelerators {
		all = append(all, a)
	}
	for _, m := range r.Models {
		all = append(all, m)
	}
	for _, c := range r.ServiceClasses {
		all = append(all, c)
	}
	for _, s := range r.Servers {
		all = append(all, s)
	}
	return all
}

// leftToDo says what has no counterpart, and what is to do by hand.
func leftToDo(r *wva.Result) string {
	var text strings.Builder
	for _, n := range r.Notes {
		text.WriteString(wrapped(n))
	}
	for _, p := range r.Pods {
		labels := []string{}
		for _, key := range slices.Sorted(maps.Keys(p.Labels)) {
			labels = append(labels, fmt.Sprintf("%s: %s", key, p.Labels[key]))
		}
		text.WriteString(wrapped(fmt.Sprintf("to do: %s %s/%s: spec.template: metadata.labels {%s}, spec.schedulerName inferno-scheduler", p.Kind, p.Namespace, p.Name, strings.Join(labels, ", "))))
	}
	text.WriteString(wrapped("to do: let autoscalers follow inferno_desired_replicas in place of wva_desired_replicas, and take WVA away; docs/recipes/coming-from-wva.md says how"))
	return text.String()
}
