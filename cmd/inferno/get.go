package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// kind of resource that can be listed.
type kind struct {
	kind, name   string
	header, wide string
	list         func() client.ObjectList
	// row of an object, and what a wide table says more of it.
	row, more func(client.Object) []string
}

// kinds of inferno's resources; the first is what is listed where nothing is said.
var kinds = []kind{
	{
		"Server", "servers", "NAMESPACE\tNAME\tMODEL\tCLASS\tREQ/MIN\tREADY\tPLAN\tRUNS ON\tCOST ¢/h\tSTATE", "\tREASON",
		func() client.ObjectList { return new(v1alpha1.ServerList) },
		func(o client.Object) []string { return serverRow(o.(*v1alpha1.Server)) },
		func(o client.Object) []string { return []string{plannedBecause(o.(*v1alpha1.Server))} },
	},
	{
		"Accelerator", "accelerators", "NAME\tTYPE\tCARDS\tCOST ¢/h\tNODES\tCAPACITY\tAVAILABLE\tPLANNED\tSTATE", "",
		func() client.ObjectList { return new(v1alpha1.AcceleratorList) },
		func(o client.Object) []string {
			a := o.(*v1alpha1.Accelerator)
			return []string{a.Name, a.Spec.CardType(a.Name), strconv.Itoa(max(a.Spec.Cards, 1)), a.Spec.CostPerHour.String(), strconv.Itoa(a.Status.Nodes),
				strconv.Itoa(a.Status.Capacity), strconv.Itoa(a.Status.Available), strconv.Itoa(a.Status.Allocated), state(a.Status.Conditions)}
		}, nil,
	},
	{
		"Model", "models", "NAME\tSERVED AS\tSTATE", "",
		func() client.ObjectList { return new(v1alpha1.ModelList) },
		func(o client.Object) []string {
			m := o.(*v1alpha1.Model)
			return []string{m.Name, cmp.Or(m.Spec.ServedName, m.Name), state(m.Status.Conditions)}
		}, nil,
	},
	{
		"ServiceClass", "serviceclasses", "NAME\tPRIORITY\tSERVERS\tSTATE", "",
		func() client.ObjectList { return new(v1alpha1.ServiceClassList) },
		func(o client.Object) []string {
			c := o.(*v1alpha1.ServiceClass)
			return []string{c.Name, strconv.Itoa(c.Spec.Priority), strconv.Itoa(c.Status.Servers), state(c.Status.Conditions)}
		}, nil,
	},
	{
		"Estimate", "estimates", "MODEL\tACCELERATOR\tNAMESPACE\tOBSERVATIONS\tITL ERROR\tTTFT ERROR\tSTATE", "\tNAME",
		func() client.ObjectList { return new(v1alpha1.EstimateList) },
		func(o client.Object) []string {
			e := o.(*v1alpha1.Estimate)
			l := &e.Learned
			holds := "ok"
			if l.Unreliable {
				holds = v1alpha1.ReasonPredictionsFail
			}
			return []string{e.Model, l.Acc, l.Namespace, strconv.FormatInt(l.Observations, 10), fmt.Sprintf("%.1f %%", 100*l.ITLError), fmt.Sprintf("%.0f %%", 100*l.TTFTError), holds}
		},
		func(o client.Object) []string { return []string{o.GetName()} },
	},
}

// singular as kubectl knows it.
func (k *kind) singular() string { return strings.ToLower(k.kind) }

// resource as kubectl -o name says it.
func (k *kind) resource() string { return k.singular() + "." + v1alpha1.Group }

func kindNames() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

var getFormats = []string{"table", "wide", "name", "json", "yaml"}

type getOptions struct {
	clusterFlags
	output string
	watch  bool
}

func newGetCommand() *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use:   "get [KIND] [NAME...]",
		Short: "List servers with their load, plan and state, or accelerators, models, service classes and what was learned",
		Long: `Lists what inferno knows of a cluster: servers (where no KIND is named), accelerators, models, serviceclasses or estimates, which are what was learned of models; it
needs the right to list them. STATE is ok, or the reasons of the conditions that are not as they should be. With --watch what changes follows, until Ctrl-C.`,
		Args: cobra.ArbitraryArgs,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return kindNames(), cobra.ShellCompDirectiveNoFileComp
			}
			k, _, err := kindOf(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return objectNames(cmd, k.list(), o.namespace)
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), cmd.OutOrStdout(), args) },
	}
	o.add(cmd.Flags(), lookAt)
	cmd.Flags().StringVarP(&o.output, "output", "o", "table", "output format: "+strings.Join(getFormats, ", "))
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "go on with what changes")
	return cmd
}

// kindOf says what arguments ask for: a kind, and names.
func kindOf(args []string) (*kind, []string, error) {
	if len(args) == 0 {
		return &kinds[0], nil, nil
	}
	for i := range kinds {
		if k := &kinds[i]; args[0] == k.name || args[0] == k.singular() {
			return k, args[1:], nil
		}
	}
	return nil, nil, fmt.Errorf("KIND: %q is not allowed, must be one of %s", args[0], strings.Join(kindNames(), ", "))
}

func (o *getOptions) run(ctx context.Context, out io.Writer, args []string) error {
	k, names, err := kindOf(args)
	if wrong := oneOf(o.output, getFormats); wrong != nil {
		err = errors.Join(err, fmt.Errorf("--output: %w", wrong))
	}
	if err != nil {
		return badInput{err}
	}
	c, _, err := o.client()
	if err != nil {
		return err
	}
	l := &lister{kind: k, names: names, format: o.output, out: out, table: newTable(out), known: map[string]string{}}
	for first := true; ; first = false {
		list := k.list()
		if err := c.List(ctx, list, client.InNamespace(o.namespace)); err != nil {
			return err
		}
		if err := l.show(objectsOf(list), first); err != nil || !o.watch {
			return err
		}
		if err := l.follow(ctx, c, list, o.namespace); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// objectsOf a list.
func objectsOf(list client.ObjectList) []client.Object {
	items, _ := meta.ExtractList(list) // fails for what is no list alone
	var all []client.Object
	for _, i := range items {
		all = append(all, i.(client.Object))
	}
	return all
}

// lister shows objects of a kind, once each until they change.
type lister struct {
	*kind
	names  []string
	format string
	out    io.Writer
	table  *table
	known  map[string]string // resource versions
}

// follow what changes until the watch ends, as it does now and then; the list is asked for again then.
func (l *lister) follow(ctx context.Context, c client.WithWatch, list client.ObjectList, namespace string) error {
	w, err := c.Watch(ctx, l.list(), client.InNamespace(namespace), &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}})
	if err != nil {
		return err
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		o, is := event.Object.(client.Object)
		if !is || event.Type == watch.Error {
			return nil
		}
		if event.Type == watch.Deleted {
			if err := l.gone(o); err != nil {
				return err
			}
			continue
		}
		if err := l.show([]client.Object{o}, false); err != nil {
			return err
		}
	}
	return nil
}

// gone says that an object was deleted, where it was shown.
func (l *lister) gone(o client.Object) error {
	id := l.nameOf(o)
	if _, shown := l.known[id]; !shown {
		return nil
	}
	delete(l.known, id)
	_, err := fmt.Fprintf(l.out, "%s is gone\n", id)
	return err
}

func (l *lister) nameOf(o client.Object) string {
	return l.resource() + "/" + strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/")
}

// show objects that are asked for, and not shown as they are. Names that are asked for and are not there are the error.
func (l *lister) show(objects []client.Object, first bool) error {
	objects = slices.DeleteFunc(objects, func(o client.Object) bool { return len(l.names) > 0 && !slices.Contains(l.names, o.GetName()) })
	var missing []error
	for _, name := range l.names {
		if first && !slices.ContainsFunc(objects, func(o client.Object) bool { return o.GetName() == name }) {
			missing = append(missing, fmt.Errorf("%s %q is not there", l.singular(), name))
		}
	}
	slices.SortFunc(objects, func(a, b client.Object) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	var fresh []client.Object
	for _, o := range objects {
		if id := l.nameOf(o); l.known[id] != o.GetResourceVersion() {
			l.known[id] = o.GetResourceVersion()
			fresh = append(fresh, o)
		}
	}
	return errors.Join(append(missing, l.write(fresh, first))...)
}

func (l *lister) write(objects []client.Object, first bool) error {
	switch l.format {
	case "name":
		for _, o := range objects {
			if _, err := fmt.Fprintln(l.out, l.resource()+"/"+o.GetName()); err != nil {
				return err
			}
		}
		return nil
	case "json", "yaml":
		return l.writeObjects(objects, first)
	}
	if len(objects) == 0 {
		if first && len(l.names) == 0 {
			_, err := fmt.Fprintf(l.out, "there are no %s\n", l.name)
			return err
		}
		return nil
	}
	if len(l.table.widths) == 0 {
		l.line(strings.Split(l.header, "\t"), strings.Split(l.wide, "\t")[1:])
	}
	for _, o := range objects {
		var more []string
		if l.more != nil {
			more = l.more(o)
		}
		l.line(l.row(o), more)
	}
	return l.table.More()
}

// line of the table, with what a wide one says more.
func (l *lister) line(cells, more []string) {
	if l.format == "wide" {
		cells = append(cells, more...)
	}
	fmt.Fprintln(l.table, strings.Join(cells, "\t"))
}

// writeObjects as one list, and as documents of their own what comes after it.
func (l *lister) writeObjects(objects []client.Object, first bool) error {
	items := []any{}
	for _, o := range objects {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
		if err != nil {
			return err
		}
		content["apiVersion"], content["kind"] = v1alpha1.GroupVersion.String(), l.kind.kind
		items = append(items, content)
	}
	if first {
		return writeAs(l.out, l.format, map[string]any{"apiVersion": "v1", "kind": "List", "metadata": map[string]any{}, "items": items})
	}
	for _, item := range items {
		if l.format == "yaml" {
			fmt.Fprintln(l.out, "---")
		}
		if err := writeAs(l.out, l.format, item); err != nil {
			return err
		}
	}
	return nil
}

func serverRow(s *v1alpha1.Server) []string {
	rate, plan, cost := "-", "-", "-"
	if s.Status.Load != nil {
		rate = fmt.Sprintf("%.1f", s.Status.Load.ArrivalRate)
	}
	if d := s.Status.Desired; d != nil {
		plan, cost = strconv.Itoa(d.Replicas), fmt.Sprintf("%.0f", d.CostPerHour)
	}
	return []string{s.Namespace, s.Name, s.Spec.Model, s.Spec.ServiceClass, rate, strconv.Itoa(s.Status.ReadyReplicas), plan, orDash(s.Status.Placement), cost, state(s.Status.Conditions)}
}

// plannedBecause is what the condition of the plan says.
func plannedBecause(s *v1alpha1.Server) string {
	if c := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionPlanned); c != nil {
		return c.Message
	}
	return "-"
}

// state is ok, or the reasons of all conditions that are not True; all of inferno's conditions are True where all is well.
func state(conditions []metav1.Condition) string {
	if len(conditions) == 0 {
		return "unknown"
	}
	var reasons []string
	for _, c := range conditions {
		if c.Status != metav1.ConditionTrue && !slices.Contains(reasons, c.Reason) {
			reasons = append(reasons, c.Reason)
		}
	}
	return cmp.Or(strings.Join(reasons, " "), "ok")
}
