// Command inferno-optimizer runs the optimizer loop: it observes the cluster and Prometheus, decides, and writes plans to the status of
// Servers, as the Optimizer resource says.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	promconfig "github.com/prometheus/common/config"
	"github.com/spf13/cobra"
	"gopkg.in/natefinch/lumberjack.v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/llm-inferno/inferno/optimizer/adoption"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/console"
	"github.com/llm-inferno/inferno/optimizer/gates"
	"github.com/llm-inferno/inferno/optimizer/loop"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/version"
)

type options struct {
	prometheusURL, prometheusCA, prometheusToken  string
	credentialsDir                                string
	queryTimeout                                  time.Duration
	decisionLog, logFormat                        string
	decisionLogSize, decisionLogFiles             int
	level                                         *slog.LevelVar
	metricsAddress, healthAddress, profileAddress string
	metricsSecure, leaderElect, gates             bool
	watchNamespaces                               []string
	leaderNamespace, leaderID                     string
	consoleAddress, adopt                         string
}

func main() {
	if err := newCommand().Execute(); err != nil {
		fmt.Fprintf(os.Stderr, "inferno-optimizer: %v\n", err)
		os.Exit(exitStatus(err))
	}
}

// badFlags is an error whose cause are the flags given.
type badFlags struct{ error }

func exitStatus(err error) int {
	if errors.As(err, &badFlags{}) {
		return 2
	}
	return 1
}

func newCommand() *cobra.Command {
	o := options{level: new(slog.LevelVar)}
	cmd := &cobra.Command{
		Use:           "inferno-optimizer",
		Short:         "Plan accelerators, replicas and batch sizes for the inference servers of a cluster, again and again",
		Args:          noArguments,
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(*cobra.Command, []string) error { return o.run() },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return badFlags{err} })
	f := cmd.Flags()
	f.StringVar(&o.prometheusURL, "prometheus-url", "", "URL of the Prometheus API, where the Optimizer resource names none")
	f.StringVar(&o.prometheusCA, "prometheus-ca-file", "", "certificates to trust for an https Prometheus, beside the system's")
	f.StringVar(&o.prometheusToken, "prometheus-bearer-token-file", "", "file of the bearer token to send to Prometheus; read again when it changes")
	f.StringVar(&o.credentialsDir, "prometheus-credentials-dir", "", "directory of the files that spec.prometheus.access of the Optimizer names")
	f.DurationVar(&o.queryTimeout, "prometheus-timeout", 10*time.Second, "how long a cycle waits for Prometheus")
	f.StringVar(&o.decisionLog, "decision-log", "", "file to append one JSON line a cycle to; - for standard output, where nothing rotates it")
	f.IntVar(&o.decisionLogSize, "decision-log-size", 64, "size in MB at which a new file of the decision log is begun")
	f.IntVar(&o.decisionLogFiles, "decision-log-files", 6, "number of older files of the decision log that are kept, compressed")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
	f.TextVar(o.level, "log-level", o.level, "debug, info, warn or error; SIGUSR1 changes to debug, and back, while the program runs")
	f.StringVar(&o.metricsAddress, "metrics-bind-address", ":8443", "address of the /metrics endpoint; 0 for none")
	f.BoolVar(&o.metricsSecure, "metrics-secure", true, "serve /metrics over TLS to clients that the API server authenticates and authorizes")
	f.StringVar(&o.healthAddress, "health-bind-address", ":8081", "address of /healthz and /readyz; 0 for none")
	f.StringVar(&o.profileAddress, "pprof-bind-address", "0", "address of /debug/pprof, such as localhost:6060: it asks nobody who they are; 0 for none")
	f.StringVar(&o.consoleAddress, "console-bind-address", "0", "address of this pod alone, such as localhost:7411, of a web page of the plans, for whom the API server knows by a bearer token; 0 for none")
	f.StringSliceVar(&o.watchNamespaces, "watch-namespaces", nil, "namespaces whose Servers are planned for; empty for all. Cards that pods of others hold are not there for plans")
	f.BoolVar(&o.gates, "gates", false, "lift the scheduling gates "+v1alpha1.PlacementGate+" of pods as plans have seats for them, and delete pods without a node whose seat a plan took back")
	f.StringVar(&o.adopt, "adopt", "", "make a Server of each Deployment and StatefulSet with the label "+v1alpha1.ClassLabel+", and an autoscaler that reads its plan by external or custom metrics, or none; empty makes no Servers")
	f.BoolVar(&o.leaderElect, "leader-elect", false, "run only while holding the lease; needed where several replicas run")
	f.StringVar(&o.leaderNamespace, "leader-election-namespace", "", "namespace of the lease; default the pod's own")
	f.StringVar(&o.leaderID, "leader-election-id", "inferno-optimizer", "name of the lease; optimizers of one cluster that must not exclude each other need different ones")
	f.AddGoFlagSet(flag.CommandLine) // --kubeconfig
	return cmd
}

// noArguments refuses positional arguments.
func noArguments(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return badFlags{err}
	}
	return nil
}

func (o *options) validate() error {
	var faults []error
	if u, err := url.Parse(o.prometheusURL); o.prometheusURL != "" && (err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "") {
		faults = append(faults, fmt.Errorf("--prometheus-url: %q is not allowed, must be an http or https URL", o.prometheusURL))
	}
	for _, n := range o.watchNamespaces {
		if wrong := validation.IsDNS1123Label(n); len(wrong) > 0 {
			faults = append(faults, fmt.Errorf("--watch-namespaces: %q is not allowed, must be the name of a namespace: %s", n, wrong[0]))
		}
	}
	if o.queryTimeout <= 0 {
		faults = append(faults, fmt.Errorf("--prometheus-timeout: %s is not allowed, must be above 0", o.queryTimeout))
	}
	if by := adoption.Metrics(o.adopt); o.adopt != "" && by != adoption.External && by != adoption.Custom && by != adoption.None {
		faults = append(faults, fmt.Errorf("--adopt: %q is not allowed, must be external, custom or none", o.adopt))
	}
	if o.logFormat != "text" && o.logFormat != "json" {
		faults = append(faults, fmt.Errorf("--log-format: %q is not allowed, must be text or json", o.logFormat))
	}
	if o.decisionLogSize < 1 {
		faults = append(faults, fmt.Errorf("--decision-log-size: %d is not allowed, must be at least 1 (MB)", o.decisionLogSize))
	}
	if o.decisionLogFiles < 1 {
		faults = append(faults, fmt.Errorf("--decision-log-files: %d is not allowed, must be at least 1", o.decisionLogFiles))
	}
	if err := console.CheckAddress(o.consoleAddress); o.consoleAddress != "0" && err != nil {
		faults = append(faults, fmt.Errorf("--console-bind-address: %w", err))
	}
	return errors.Join(faults...)
}

func (o *options) run() error {
	if err := o.validate(); err != nil {
		return badFlags{err}
	}
	o.setLogger()
	reserve()
	decisions, err := o.openDecisionLog()
	if err != nil {
		return err
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	// A cycle writes a few statuses at a time. How many a second is for the API server to say, which shares itself out (priority and fairness): a limit
	// here, by default 20, would make the cycle of 1,000 servers last most of a minute.
	config.QPS = -1
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	metricsOptions := metricsserver.Options{BindAddress: o.metricsAddress, SecureServing: o.metricsSecure}
	if o.metricsSecure {
		metricsOptions.FilterProvider = filters.WithAuthenticationAndAuthorization
	}
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Cache: cacheOptions(o.watchNamespaces), Metrics: metricsOptions,
		HealthProbeBindAddress: o.healthAddress, PprofBindAddress: o.profileAddress,
		LeaderElection: o.leaderElect, LeaderElectionID: o.leaderID, LeaderElectionNamespace: o.leaderNamespace,
		LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		return err
	}
	reconciler := &loop.Reconciler{
		Client: manager.GetClient(), Direct: manager.GetAPIReader(), Events: brief{manager.GetEventRecorder("inferno-optimizer")}, Clock: clock.RealClock{}, Log: decisions,
		Querier: o.queriers(), QueryTimeout: o.queryTimeout, Registry: ctrlmetrics.Registry,
		Namespace: o.namespace(), Gates: o.gates,
	}
	if o.gates {
		lifts := &gates.Reconciler{
			Client: manager.GetClient(), Events: brief{manager.GetEventRecorder("inferno-gates")}, Clock: clock.RealClock{}, Registry: ctrlmetrics.Registry,
		}
		if err := lifts.SetupWithManager(manager); err != nil {
			return err
		}
	}
	if o.adopt != "" {
		if err := adoption.Setup(manager, brief{manager.GetEventRecorder("inferno-adoption")}, adoption.Metrics(o.adopt), o.nodeCosts(reconciler.Querier)); err != nil {
			return err
		}
	}
	if err := errors.Join(
		o.addConsole(manager, config, decisions),
		reconciler.SetupWithManager(manager),
		manager.AddHealthzCheck("cycles", func(*http.Request) error { return reconciler.Alive() }),
		manager.AddReadyzCheck("ping", healthz.Ping),
	); err != nil {
		return err
	}
	return manager.Start(ctrl.SetupSignalHandler())
}

// cacheOptions keep in memory what is read: of objects, of pods those that still hold something, whoever's they are, and of workloads those that name a class.
// Servers and workloads are those of some namespaces where any are named.
func cacheOptions(namespaces []string) cache.Options {
	unfinished := fields.AndSelectors(
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodSucceeded)), fields.OneTermNotEqualSelector("status.phase", string(corev1.PodFailed)))
	var of map[string]cache.Config
	for _, n := range namespaces {
		if of == nil {
			of = map[string]cache.Config{}
		}
		of[n] = cache.Config{}
	}
	byObject := map[client.Object]cache.ByObject{&corev1.Pod{}: {Field: unfinished}, &v1alpha1.Server{}: {Namespaces: of}}
	for _, kind := range adoption.Kinds() {
		byObject[kind] = cache.ByObject{Label: adoption.Labelled(), Namespaces: of}
	}
	return cache.Options{DefaultTransform: new(observe.Trimmer).Trim, ByObject: byObject}
}

func (o *options) setLogger() {
	options := &slog.HandlerOptions{Level: o.level}
	var handler slog.Handler = slog.NewTextHandler(os.Stderr, options)
	if o.logFormat == "json" {
		handler = slog.NewJSONHandler(os.Stderr, options)
	}
	logger := logr.FromSlogHandler(handler)
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	changes := make(chan os.Signal, 1)
	signal.Notify(changes, syscall.SIGUSR1)
	go o.changeLevel(changes)
}

// changeLevel of the log with each signal: to debug, and back to what was asked for.
func (o *options) changeLevel(changes <-chan os.Signal) {
	asked := o.level.Level()
	for range changes {
		if o.level.Level() == slog.LevelDebug {
			o.level.Set(max(asked, slog.LevelInfo))
		} else {
			o.level.Set(slog.LevelDebug)
		}
	}
}

func (o *options) openDecisionLog() (*loop.DecisionLog, error) {
	switch o.decisionLog {
	case "":
		return loop.NewDecisionLog(nil), nil
	case "-":
		return loop.NewDecisionLog(os.Stdout), nil
	}
	// What cannot be written to is said now, not in the first cycle.
	f, err := os.OpenFile(o.decisionLog, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("--decision-log: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("--decision-log: %w", err)
	}
	return loop.NewDecisionLog(&lumberjack.Logger{Filename: o.decisionLog, MaxSize: o.decisionLogSize, MaxBackups: o.decisionLogFiles, Compress: true}), nil
}

// namespaceFile is where Kubernetes tells a pod its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// namespace that the process runs in: that of the lease, or the pod's own; empty outside of a cluster.
func (o *options) namespace() string {
	if o.leaderNamespace != "" {
		return o.leaderNamespace
	}
	name, err := os.ReadFile(namespaceFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(name))
}

// queriers gives the Prometheus of an Optimizer, the flags' where that names none. Clients are kept, so that their connections are.
func (o *options) queriers() func(*v1alpha1.PrometheusSource) (observe.Querier, error) {
	type key struct {
		address string
		access  v1alpha1.PrometheusAccess
	}
	var mu sync.Mutex
	known := map[key]observe.Querier{}
	return func(source *v1alpha1.PrometheusSource) (observe.Querier, error) {
		k := key{cmp.Or(source.URL, o.prometheusURL), source.Access}
		if k.address == "" {
			return nil, errors.New("no Prometheus is configured: set spec.prometheus.url of the Optimizer or --prometheus-url")
		}
		mu.Lock()
		defer mu.Unlock()
		if q, ok := known[k]; ok {
			return q, nil
		}
		q, err := o.querier(k.address, &k.access)
		if err == nil {
			known[k] = q
		}
		return q, err
	}
}

// nodeCosts asks the Prometheus of the Optimizer that drives, or that of the flags, what OpenCost says of nodes.
func (o *options) nodeCosts(querier func(*v1alpha1.PrometheusSource) (observe.Querier, error)) func(context.Context, []v1alpha1.Optimizer) (map[string]float64, error) {
	return func(ctx context.Context, optimizers []v1alpha1.Optimizer) (map[string]float64, error) {
		source := new(v1alpha1.PrometheusSource)
		if len(optimizers) > 0 {
			source = &loop.Oldest(optimizers).Spec.Prometheus
		}
		q, err := querier(source)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, o.queryTimeout)
		defer cancel()
		return observe.NodeCosts(ctx, q)
	}
}

// querier of a Prometheus. What the flags say of who asks is for the Prometheus of the flags alone: else whoever may name another would be sent the token.
func (o *options) querier(address string, a *v1alpha1.PrometheusAccess) (observe.Querier, error) {
	config, err := o.httpConfig(address, a)
	if err != nil {
		return nil, err
	}
	transport, err := promconfig.NewRoundTripperFromConfig(*config, "prometheus")
	if err != nil {
		return nil, err
	}
	return observe.NewPrometheus(address, transport)
}

// defaultTenantHeader is what Mimir, Cortex and Loki read.
const defaultTenantHeader = "X-Scope-OrgID"

func (o *options) httpConfig(address string, a *v1alpha1.PrometheusAccess) (*promconfig.HTTPClientConfig, error) {
	config := &promconfig.HTTPClientConfig{FollowRedirects: true, EnableHTTP2: true}
	if address == o.prometheusURL {
		config.TLSConfig.CAFile = o.prometheusCA
		if o.prometheusToken != "" && a.BearerTokenFile == "" && a.Username == "" {
			config.Authorization = &promconfig.Authorization{Type: "Bearer", CredentialsFile: o.prometheusToken}
		}
	}
	missing := false
	file := func(name v1alpha1.FileName) string {
		missing = missing || o.credentialsDir == ""
		return filepath.Join(o.credentialsDir, string(name)) // a name, which the definition of the resource and its check see to
	}
	if a.BearerTokenFile != "" {
		config.Authorization = &promconfig.Authorization{Type: "Bearer", CredentialsFile: file(a.BearerTokenFile)}
	}
	if a.Username != "" {
		config.BasicAuth = &promconfig.BasicAuth{Username: a.Username, PasswordFile: file(a.PasswordFile)}
	}
	if a.CAFile != "" {
		config.TLSConfig.CAFile = file(a.CAFile)
	}
	if a.CertificateFile != "" {
		config.TLSConfig.CertFile, config.TLSConfig.KeyFile = file(a.CertificateFile), file(a.KeyFile)
	}
	config.TLSConfig.ServerName = a.ServerName
	if a.Tenant != "" {
		config.HTTPHeaders = &promconfig.Headers{Headers: map[string]promconfig.Header{cmp.Or(a.TenantHeader, defaultTenantHeader): {Values: []string{a.Tenant}}}}
	}
	if missing {
		return nil, errors.New("spec.prometheus.access names files of credentials, and the optimizer was started without --prometheus-credentials-dir")
	}
	return config, config.Validate()
}
