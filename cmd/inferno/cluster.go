package main

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
)

// clusterFlags say which cluster is asked, and of which namespace.
type clusterFlags struct{ kubeconfig, context, namespace string }

// lookAt says what the namespace is for where a command reads alone.
const lookAt = "namespace to look at; default all"

// add the flags; what the namespace is for, and what none means, is the command's to say.
func (c *clusterFlags) add(f *pflag.FlagSet, namespace string) {
	f.StringVar(&c.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster; default $KUBECONFIG, then ~/.kube/config")
	f.StringVar(&c.context, "context", "", "context of the kubeconfig; default its current one")
	f.StringVarP(&c.namespace, "namespace", "n", "", namespace)
}

// client of the cluster, and its address.
func (c *clusterFlags) client() (client.WithWatch, string, error) {
	config, err := clusterConfig(c.kubeconfig, c.context)
	if err != nil {
		return nil, "", err
	}
	scheme, err := stack.Scheme()
	if err != nil {
		return nil, "", err
	}
	watching, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	return watching, config.Host, err
}

// Names by which kubectl finds a plugin, and what completes its command lines.
const (
	pluginName     = "kubectl-inferno"
	completionName = "kubectl_complete-inferno"
)

// asPlugin says how a command line is read that was given to the program under one of its names: as what completes those of the plugin it is asked for words.
func asPlugin(root *cobra.Command, program string, args []string) []string {
	switch strings.TrimSuffix(filepath.Base(program), ".exe") {
	case pluginName:
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl inferno"}
	case completionName:
		return append([]string{cobra.ShellCompRequestCmd}, args...)
	}
	return args
}

// completionPatience is how long a shell waits for the names of a cluster.
//
// Tuned: guard against a cluster that does not answer: whoever types waits
const completionPatience = 3 * time.Second

// completions gives every command words for its flags: namespaces and contexts that there are, and formats of output.
func completions(cmd *cobra.Command) {
	for name, words := range map[string]cobra.CompletionFunc{"namespace": namespaces, "context": contexts} {
		if cmd.Flags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, words) // fails where a command has its own
		}
	}
	for _, name := range []string{"output", "format"} {
		if f := cmd.Flags().Lookup(name); f != nil {
			if _, formats, ok := strings.Cut(f.Usage, "output format: "); ok {
				_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(strings.Split(formats, ", "), cobra.ShellCompDirectiveNoFileComp))
			}
		}
	}
	for _, below := range cmd.Commands() {
		completions(below)
	}
}

// clusterOf is the cluster that a command line asks for so far.
func clusterOf(cmd *cobra.Command) *clusterFlags {
	value := func(name string) string {
		if f := cmd.Flags().Lookup(name); f != nil {
			return f.Value.String()
		}
		return ""
	}
	return &clusterFlags{kubeconfig: value("kubeconfig"), context: value("context"), namespace: value("namespace")}
}

func contexts(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = clusterOf(cmd).kubeconfig
	config, err := rules.Load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for name := range config.Contexts {
		names = append(names, name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func namespaces(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return objectNames(cmd, new(corev1.NamespaceList), "")
}

// objectNames of a cluster, of a namespace where one is given.
func objectNames(cmd *cobra.Command, list client.ObjectList, namespace string) ([]string, cobra.ShellCompDirective) {
	c, _, err := clusterOf(cmd).client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	if err := c.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, o := range objectsOf(list) {
		names = append(names, o.GetName())
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// serverNames completes the first argument.
func serverNames(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return objectNames(cmd, new(v1alpha1.ServerList), clusterOf(cmd).namespace)
}
