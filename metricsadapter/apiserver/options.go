package apiserver

import (
	"errors"
	"fmt"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	cliflag "k8s.io/component-base/cli/flag"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/cmd/options"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// DefaultPort is where the adapter serves: one that a process without privileges may open.
const DefaultPort = 6443

// Options of the adapter.
type Options struct {
	// Kubeconfig names the API server to watch Servers at and to delegate authentication and authorization to. Empty: the one of the
	// cluster that the adapter runs in.
	Kubeconfig string
	// ShutdownDelay is how long the adapter keeps answering, not ready, after it was told to stop: time for endpoints to forget it.
	ShutdownDelay time.Duration
	// GatesOverdueAfter is how long pods may wait behind the gate of placement until their Server says so; 0 is for ever.
	GatesOverdueAfter time.Duration
	// KEDA says whether and how KEDA is answered.
	KEDA KEDAOptions
	// Library holds the options of the API server library.
	Library *options.CustomMetricsAdapterServerOptions
}

// NewOptions returns the defaults.
func NewOptions() *Options {
	library := options.NewCustomMetricsAdapterServerOptions()
	library.SecureServing.BindPort = DefaultPort
	library.SecureServing.MinTLSVersion = "VersionTLS12"
	// Without a certificate one is made up in memory: the root file system is read-only.
	library.SecureServing.ServerCert.CertDirectory = ""
	library.Features.EnableProfiling = false
	// A review takes longer than all else of an answer: with the library's ten seconds, more than one answer in a hundred would wait for one.
	// What was allowed stays so for a minute; the kubelet, for the same reason, takes five.
	library.Authorization.AllowCacheTTL = time.Minute
	return &Options{Library: library}
}

// AddFlags adds the flags of the options, in groups.
func (o *Options) AddFlags(groups *cliflag.NamedFlagSets) {
	adapter := groups.FlagSet("adapter")
	adapter.StringVar(&o.Kubeconfig, "kubeconfig", o.Kubeconfig,
		"Kubeconfig of the API server to watch Servers at and to delegate authentication and authorization to. Empty: the cluster's own.")
	adapter.DurationVar(&o.ShutdownDelay, "shutdown-delay", o.ShutdownDelay,
		"How long to keep answering, not ready, after a signal to stop, so that clients turn to another replica first.")
	adapter.DurationVar(&o.GatesOverdueAfter, "gates-overdue-after", o.GatesOverdueAfter,
		"How long pods may wait behind the gate "+v1alpha1.PlacementGate+" until a condition and an event of their Server and a metric say so. 0 for never.")
	o.KEDA.addFlags(groups.FlagSet("keda"))
	o.Library.SecureServing.AddFlags(groups.FlagSet("secure serving"))
	o.Library.Authentication.AddFlags(groups.FlagSet("authentication"))
	o.Library.Authorization.AddFlags(groups.FlagSet("authorization"))
	o.Library.Audit.AddFlags(groups.FlagSet("audit"))
	o.Library.Features.AddFlags(groups.FlagSet("features"))
}

// weakTLS are versions that the library still accepts and the adapter does not.
var weakTLS = map[string]bool{"VersionTLS10": true, "VersionTLS11": true}

// Validate reports every fault of the options.
func (o *Options) Validate() error {
	faults := o.Library.Validate()
	if version := o.Library.SecureServing.MinTLSVersion; weakTLS[version] {
		faults = append(faults, fmt.Errorf("--tls-min-version: %q; must be VersionTLS12 or VersionTLS13", version))
	}
	if o.GatesOverdueAfter < 0 {
		faults = append(faults, fmt.Errorf("--gates-overdue-after: %s; must be at least 0s", o.GatesOverdueAfter))
	}
	if o.ShutdownDelay < 0 {
		faults = append(faults, fmt.Errorf("--shutdown-delay: %s; must be at least 0s", o.ShutdownDelay))
	}
	return errors.Join(append(faults, o.KEDA.validate())...)
}

// complete points the library at the same API server, where it is not told another.
func (o *Options) complete() (*rest.Config, error) {
	for _, kubeconfig := range []*string{&o.Library.Authentication.RemoteKubeConfigFile, &o.Library.Authorization.RemoteKubeConfigFile} {
		if *kubeconfig == "" {
			*kubeconfig = o.Kubeconfig
		}
	}
	config, err := clientcmd.BuildConfigFromFlags("", o.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("configure the client of the API server: %w", err)
	}
	return rest.AddUserAgent(config, "inferno-adapter"), nil
}
