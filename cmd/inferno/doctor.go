package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/llm-inferno/inferno/cmd/inferno/doctor"
	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

type doctorOptions struct {
	clusterFlags
	installed          string
	schedulers         []string
	prometheus, output string
	window, timeout    time.Duration
}

// errFindings is what doctor fails with where plans cannot be followed.
var errFindings = errors.New("something keeps plans from being followed")

func newDoctorCommand() *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Name what in a cluster keeps plans from being followed",
		Long: `Reads Servers, their Deployments and HorizontalPodAutoscalers, the Optimizer, APIServices, leases, who may do what and, if told where it is, what
Prometheus has of the pods, and names what keeps a plan from being followed, with the field and what to do. It changes nothing. Exit status: 0 where
nothing or only warnings were found, 1 for faults, 2 for a bad command line.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	f := cmd.Flags()
	o.add(f, "namespace of the Servers to examine; default all")
	f.StringVar(&o.installed, "inferno-namespace", manifests.Namespace, "namespace that inferno is installed in")
	f.StringSliceVar(&o.schedulers, "scheduler-name", []string{"inferno-scheduler"}, "profiles that run inferno's plugin")
	f.StringVar(&o.prometheus, "prometheus-url", "", "URL of the Prometheus API as reached from here; empty asks it nothing")
	f.DurationVar(&o.window, "window", time.Minute, "window over which Prometheus is asked")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long to wait for answers")
	f.StringVarP(&o.output, "output", "o", "table", "output format: "+strings.Join(outputFormats, ", "))
	return cmd
}

func (o *doctorOptions) validate() error {
	var faults []error
	if !slices.Contains(outputFormats, o.output) {
		faults = append(faults, fmt.Errorf("--output: %q is not allowed, must be one of %s", o.output, strings.Join(outputFormats, ", ")))
	}
	if u, err := url.Parse(o.prometheus); o.prometheus != "" && (err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "") {
		faults = append(faults, fmt.Errorf("--prometheus-url: %q is not allowed, must be an http or https URL", o.prometheus))
	}
	if o.window <= 0 {
		faults = append(faults, fmt.Errorf("--window: %s is not allowed, must be above 0", o.window))
	}
	if o.timeout <= 0 {
		faults = append(faults, fmt.Errorf("--timeout: %s is not allowed, must be above 0", o.timeout))
	}
	return errors.Join(faults...)
}

// clusterConfig to reach a cluster by: of a kubeconfig, by default $KUBECONFIG, then ~/.kube/config, and of a context of it, by default its current one.
func clusterConfig(kubeconfig, context string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: context}).ClientConfig()
	if err != nil {
		return nil, badInput{fmt.Errorf("kubeconfig: %w", err)}
	}
	return config, nil
}

func (o *doctorOptions) run(ctx context.Context, out io.Writer) error {
	if err := o.validate(); err != nil {
		return badInput{err}
	}
	config, err := clusterConfig(o.kubeconfig, o.context)
	if err != nil {
		return err
	}
	client, kube, err := stack.Clients(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	source := doctor.Source{Client: client, Version: kube.Discovery(), Now: time.Now(), Namespace: o.namespace, Installed: o.installed, Window: o.window}
	if o.prometheus != "" {
		c, err := observe.NewPrometheus(o.prometheus, http.DefaultTransport)
		if err != nil {
			return badInput{fmt.Errorf("--prometheus-url: %w", err)}
		}
		source.Prometheus = c
	}
	cluster, err := doctor.Read(ctx, source)
	if err != nil {
		return err
	}
	findings := doctor.Examine(cluster, doctor.Options{SchedulerNames: o.schedulers})
	if err := writeFindings(out, o.output, cluster, findings); err != nil {
		return err
	}
	if n := doctor.Faults(findings); n > 0 {
		return fmt.Errorf("%w: %d faults", errFindings, n)
	}
	return nil
}

// writeFindings writes them in the output format, after who leads inferno's programs.
func writeFindings(out io.Writer, format string, cluster *doctor.Cluster, findings []doctor.Finding) error {
	if format != "table" {
		return writeAs(out, format, map[string]any{
			"servers": len(cluster.Servers), "leases": append([]doctor.Lease{}, cluster.Leases...), "findings": append([]doctor.Finding{}, findings...),
		})
	}
	for _, line := range doctor.DescribeLeases(cluster) {
		fmt.Fprintln(out, line)
	}
	if len(findings) == 0 {
		_, err := fmt.Fprintf(out, "nothing keeps the plans of %d servers from being followed\n", len(cluster.Servers))
		return err
	}
	w := newTable(out)
	fmt.Fprintln(w, "SEVERITY\tOBJECT\tPROBLEM\tREMEDY")
	for _, f := range findings {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Severity, f.Object, f.Problem, f.Remedy)
	}
	return w.Flush()
}
