package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

type explainOptions struct {
	clusterFlags
	output string
}

func newExplainCommand() *cobra.Command {
	var o explainOptions
	cmd := &cobra.Command{
		Use:   "explain SERVER",
		Short: "Say of a server what is planned for it, and why nothing else",
		Long: `Says of a Server its load, its plan with what was predicted of it and what was measured, the ways to serve it that were not taken, with the reason and what would
lift it, and the conditions that are not as they should be. It reads the Server alone.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.ExactArgs(1)(cmd, args); err != nil {
				return badInput{errors.New("SERVER: is missing or not one word, give the name of a Server, or NAMESPACE/NAME")}
			}
			return nil
		},
		ValidArgsFunction: serverNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), args[0])
		},
	}
	o.add(cmd.Flags(), lookAt)
	cmd.Flags().StringVarP(&o.output, "output", "o", "table", "output format: "+strings.Join(outputFormats, ", "))
	return cmd
}

func (o *explainOptions) run(ctx context.Context, out io.Writer, name string) error {
	if err := oneOf(o.output, outputFormats); err != nil {
		return badInput{fmt.Errorf("--output: %w", err)}
	}
	namespace, short, qualified := strings.Cut(name, "/")
	if !qualified {
		namespace, short = o.namespace, name
	}
	c, _, err := o.client()
	if err != nil {
		return err
	}
	s, err := serverNamed(ctx, c, namespace, short)
	if err != nil {
		return err
	}
	if o.output != "table" {
		return writeAs(out, o.output, map[string]any{
			"namespace": s.Namespace, "name": s.Name, "load": s.Status.Load, "measured": s.Status.Measured, "desired": s.Status.Desired, "explanation": s.Status.Explanation,
			"conditions": s.Status.Conditions,
		})
	}
	return printServer(out, s)
}

// serverNamed is the one Server of that name, in all namespaces where none is given.
func serverNamed(ctx context.Context, c client.Client, namespace, name string) (*v1alpha1.Server, error) {
	var list v1alpha1.ServerList
	if err := c.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	var found []*v1alpha1.Server
	var names []string
	for i := range list.Items {
		if s := &list.Items[i]; s.Name == name {
			found, names = append(found, s), append(names, s.Namespace+"/"+s.Name)
		}
	}
	switch len(found) {
	case 0:
		return nil, badInput{fmt.Errorf("SERVER: there is no Server %q", strings.TrimPrefix(namespace+"/"+name, "/"))}
	case 1:
		return found[0], nil
	}
	return nil, badInput{fmt.Errorf("SERVER: %q is several: give one of %s", name, strings.Join(names, ", "))}
}

func printServer(out io.Writer, s *v1alpha1.Server) error {
	var text strings.Builder
	text.WriteString(wrapped(fmt.Sprintf("%s/%s: model %s, class %s: %s", s.Namespace, s.Name, s.Spec.Model, s.Spec.ServiceClass, plannedBecause(s))))
	if l := s.Status.Load; l != nil {
		text.WriteString(wrapped(fmt.Sprintf("load: %.1f requests per minute, %.0f tokens in, %.0f out", l.ArrivalRate, l.AvgInTokens, l.AvgOutTokens)))
	}
	if d := s.Status.Desired; d == nil {
		text.WriteString("plan: none yet\n")
	} else {
		text.WriteString(wrapped(fmt.Sprintf("plan: %d replicas for %.0f ¢/h; %d are ready: %s", d.Replicas, d.CostPerHour, s.Status.ReadyReplicas, orDash(s.Status.Placement))))
		if rate := d.AdmissibleRate; rate != nil {
			text.WriteString(wrapped(fmt.Sprintf("admissible: %.1f requests per minute are served within targets; a gateway may refuse the rest", *rate)))
		}
		text.WriteString(wrapped("latencies: predicted " + latencies(d.Predicted) + "; measured " + latencies(s.Status.Measured)))
	}
	e := s.Status.Explanation
	if e != nil && len(e.Binding) > 0 {
		text.WriteString(wrapped("cards that are short: " + strings.Join(e.Binding, ", ")))
	}
	if e != nil {
		for _, barred := range e.Barred {
			text.WriteString(wrapped("barred: " + barred))
		}
	}
	for _, c := range s.Status.Conditions {
		if c.Status != metav1.ConditionTrue && c.Type != v1alpha1.ConditionReady { // which says the same again
			text.WriteString(wrapped(fmt.Sprintf("%s is %s (%s): %s", c.Type, c.Status, c.Reason, c.Message)))
		}
	}
	if _, err := io.WriteString(out, text.String()); err != nil || e == nil || len(e.Ways) == 0 {
		return err
	}
	w := newTable(out)
	fmt.Fprintln(w, "\n\tRUNS ON\tCOST ¢/h\tWHY\tLIFTED BY")
	for _, way := range e.Ways {
		mark := ""
		if way.Taken {
			mark = "*"
		}
		fmt.Fprintf(w, "%s\t%s\t%.0f\t%s\t%s\n", mark, way.RunsOn, way.CostPerHour, way.Why, orDash(way.Lift))
	}
	return w.Flush()
}

// latencies for people; what was not measured is a dash.
func latencies(l *v1alpha1.Latencies) string {
	if l == nil {
		return "-"
	}
	ms := func(x *float64) string {
		if x == nil {
			return "-"
		}
		return fmt.Sprintf("%.1f ms", *x)
	}
	return "TTFT " + ms(l.TTFT) + ", ITL " + ms(l.ITL)
}
