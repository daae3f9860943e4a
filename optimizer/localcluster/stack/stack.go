// Package stack runs the whole of inferno on the local machine: a real control plane with simulated nodes, the scheduler with its plugin, the
// metrics adapter behind the API aggregator, the optimizer loop against a real Prometheus, each as a process of its own with the rights its
// manifests give it, and model servers that are simulated. The demo, the end-to-end tests and "inferno up" stand on it.
package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/localcluster/fleet"
	"github.com/llm-inferno/inferno/optimizer/localcluster/node"
)

// Options of a stack.
type Options struct {
	// Programs is the directory of inferno's programs; where empty they are looked for beside this one and on the PATH.
	Programs string
	// Nodes to simulate.
	Nodes []controlplane.NodePool
	// PodStartup is how long a model server takes from its start until it is ready.
	PodStartup time.Duration
	// PodShutdown is how long a model server that is to go finishes what it has.
	PodShutdown time.Duration
	// ScrapeInterval of Prometheus; 1 s where zero.
	ScrapeInterval time.Duration
	// HPASync is how often autoscalers look; 1 s where zero.
	HPASync time.Duration
	// PrometheusTimeout is how long a cycle of the optimizer waits for Prometheus; 2 s where zero.
	PrometheusTimeout time.Duration
	// Progress gets a line for every step; nil for none.
	Progress io.Writer
	// KeepDir leaves the instance directory with its logs behind.
	KeepDir bool
	// Kubernetes is the minor version that the control plane behaves as, one of controlplane.Versions; its own where it is empty.
	Kubernetes string
	// OwnControllerManager is built from the source of that version: see [controlplane.Options].
	OwnControllerManager bool
	// Policies keep tenants from writing what plans rely on, as the chart's do.
	Policies bool
	// Defaults makes the Optimizer and the ServiceClasses that the chart's installation begins with.
	Defaults bool
	// Karpenter buys nodes of this market as pods need them, and gates place the pods of Servers that ask for it; nil for neither.
	Karpenter Market
	// Kueue admits pods to quotas.
	Kueue bool
	// KEDA holds external.metrics.k8s.io, and the adapter answers it as an external scaler.
	KEDA bool
	// LeaderWorkerSet makes groups of pods.
	LeaderWorkerSet bool
	// WithoutInferno leaves inferno's programs out.
	WithoutInferno bool
}

// Stack is a running stack.
type Stack struct {
	*controlplane.Plane
	Options Options
	// Client may do everything.
	Client client.Client
	// Kube may do everything.
	Kube kubernetes.Interface
	// DecisionLog is the file that the optimizer logs its decisions to.
	DecisionLog string

	// machine is the real node, and stopTargets ends what tells Prometheus of its pods; nil where all nodes are simulated.
	machine     *node.Machine
	stopTargets context.CancelFunc

	// kedaPort is the adapter's for KEDA.
	kedaPort int

	fleetDone chan error
	stopFleet context.CancelFunc
	Fleet     *fleet.Fleet
}

// Start starts a stack and returns when all of it is ready. When it fails nothing is left running.
func Start(ctx context.Context, o Options) (_ *Stack, err error) {
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if o.HPASync == 0 {
		o.HPASync = time.Second
	}
	paths, err := findPrograms(o.Programs)
	if err != nil && !o.WithoutInferno {
		return nil, err
	}
	plane, err := controlplane.Start(ctx, controlplane.Options{
		Progress: o.Progress, KeepDir: o.KeepDir, HPASyncPeriod: o.HPASync, HPADownscaleStabilization: time.Second, PodStartup: o.PodStartup, PodShutdown: o.PodShutdown,
		Scheduler:  controlplane.SchedulerOptions{Disabled: true},
		Prometheus: &controlplane.PrometheusOptions{ScrapeInterval: o.ScrapeInterval}, Kubernetes: o.Kubernetes, OwnControllerManager: o.OwnControllerManager,
	})
	if err != nil {
		return nil, err
	}
	s := &Stack{Plane: plane, Options: o, DecisionLog: filepath.Join(plane.Dir(), "decisions.jsonl")}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if s.Client, s.Kube, err = Clients(plane.Config()); err != nil {
		return nil, err
	}
	port, err := plane.FreePort()
	if err != nil {
		return nil, err
	}
	objects, err := manifests.Local(port, plane.CA(), o.metricsAPIs()...)
	if err != nil {
		return nil, err
	}
	if err := plane.Apply(ctx, objects); err != nil {
		return nil, fmt.Errorf("installing inferno's manifests: %w", err)
	}
	if err := plane.AddNodes(ctx, o.Nodes...); err != nil {
		return nil, err
	}
	if err := s.startNeighbours(ctx); err != nil {
		return nil, err
	}
	if o.WithoutInferno {
		return s, plane.StartScheduler(ctx, controlplane.SchedulerOptions{})
	}
	for _, start := range []func() error{
		func() error { return s.startScheduler(ctx, paths[Scheduler]) },
		func() error { return s.startAdapter(ctx, paths[Adapter], port) },
		func() error { return s.startOptimizer(ctx, paths[Optimizer]) },
	} {
		if err := start(); err != nil {
			return nil, err
		}
	}
	if o.Defaults {
		if err := plane.Apply(ctx, manifests.Defaults()); err != nil {
			return nil, fmt.Errorf("making the defaults of an installation: %w", err)
		}
	}
	if o.Policies {
		return s, s.enforcePolicies(ctx)
	}
	return s, nil
}

// metricsAPIs that are the adapter's: KEDA holds that of external metrics.
func (o *Options) metricsAPIs() []string {
	if o.KEDA {
		return []string{"custom"}
	}
	return []string{"external", "custom"}
}

// startNeighbours that are asked for.
func (s *Stack) startNeighbours(ctx context.Context) error {
	if s.Options.Karpenter != nil {
		if err := s.startKarpenter(ctx, s.Options.Karpenter); err != nil {
			return err
		}
	}
	if s.Options.Kueue {
		if err := s.startKueue(ctx); err != nil {
			return err
		}
	}
	if s.Options.KEDA {
		if err := s.startKEDA(ctx); err != nil {
			return err
		}
	}
	if s.Options.LeaderWorkerSet {
		return s.startLeaderWorkerSet(ctx)
	}
	return nil
}

// enforcePolicies of the chart. The API server enforces them a moment after they are stored, and until then refuses what they would let through, too.
func (s *Stack) enforcePolicies(ctx context.Context) error {
	policies := manifests.Policies()
	if versions := controlplane.Versions(); s.Options.Kubernetes == "" || slices.Index(versions, s.Options.Kubernetes) >= slices.Index(versions, "1.36") {
		policies = manifests.Join(policies, manifests.PodPolicies())
	}
	if err := s.Apply(ctx, policies); err != nil {
		return fmt.Errorf("installing inferno's policies: %w", err)
	}
	server := &v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Name: "policies", Namespace: metav1.NamespaceDefault}, Spec: v1alpha1.ServerSpec{Model: "any", ServiceClass: "any"}}
	template := Deployment(server, 1).Spec.Template
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: server.Name, Namespace: server.Namespace, Labels: template.Labels}, Spec: template.Spec}
	stranger := pod.DeepCopy()
	stranger.Spec.SchedulerName = corev1.DefaultSchedulerName
	return Eventually(ctx, "inferno's policies are in force", policiesPatience, func(ctx context.Context) error {
		for _, o := range []client.Object{server.DeepCopy(), pod.DeepCopy()} {
			if err := s.Client.Create(ctx, o, client.DryRunAll); err != nil {
				return err
			}
		}
		if err := s.Client.Create(ctx, stranger.DeepCopy(), client.DryRunAll); err == nil {
			return errors.New("a pod of a Server may ask another scheduler")
		}
		return nil
	})
}

// policiesPatience is how long policies may take to come into force: the API server looks for new definitions every ten seconds.
const policiesPatience = 5 * time.Minute

// Scheme of native objects and inferno's.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	return scheme, errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
}

// Clients of an API server for native objects and inferno's.
func Clients(config *rest.Config) (client.Client, kubernetes.Interface, error) {
	scheme, err := Scheme()
	if err != nil {
		return nil, nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, nil, err
	}
	k, err := kubernetes.NewForConfig(config)
	return c, k, err
}

func (s *Stack) startScheduler(ctx context.Context, path string) error {
	account, config := serviceAccount(manifests.SchedulerAccount), manifests.SchedulerConfig()
	if s.Options.Karpenter != nil || s.Options.Kueue || s.Options.Defaults { // as in a cluster, whose stock scheduler runs beside
		var err error
		if config, err = withStockProfile(config); err != nil {
			return err
		}
	}
	var args []string
	if versions := controlplane.Versions(); s.Options.Kubernetes != "" && s.Options.Kubernetes != versions[len(versions)-1] {
		args = []string{"--feature-gates=DRADeviceTaintRules=false"} // as the chart has it: it waits for an API that older servers do not have
	}
	return s.StartScheduler(ctx, controlplane.SchedulerOptions{
		Path: path, Config: config, Args: args, User: account.user, Groups: account.groups, Env: manifests.Environment(string(Scheduler)),
	})
}

// withStockProfile is the configuration of a scheduler that also places pods which ask for none, as the stock one does: those that gates let go, and jobs.
func withStockProfile(config []byte) ([]byte, error) {
	var c map[string]any
	if err := yaml.Unmarshal(config, &c); err != nil {
		return nil, err
	}
	profiles, _ := c["profiles"].([]any)
	c["profiles"] = append(profiles, map[string]any{"schedulerName": corev1.DefaultSchedulerName})
	return yaml.Marshal(c)
}

type identity struct {
	user   string
	groups []string
}

func serviceAccount(name string) identity {
	return identity{
		user:   "system:serviceaccount:" + manifests.Namespace + ":" + name,
		groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + manifests.Namespace, "system:authenticated"},
	}
}

func (s *Stack) startAdapter(ctx context.Context, path string, port int) error {
	pair, err := s.ServingCert(manifests.AdapterHost, "localhost", "127.0.0.1")
	if err != nil {
		return err
	}
	cert, key := filepath.Join(s.Dir(), "adapter.crt"), filepath.Join(s.Dir(), "adapter.key")
	if err := errors.Join(os.WriteFile(cert, pair.Cert, 0o600), os.WriteFile(key, pair.Key, 0o600)); err != nil {
		return err
	}
	kubeconfig, err := s.ServiceAccountKubeconfig(manifests.Namespace, manifests.AdapterAccount)
	if err != nil {
		return err
	}
	forKEDA, err := s.kedaFlags()
	if err != nil {
		return err
	}
	return s.Run(ctx, &controlplane.Process{
		Name: string(Adapter), Path: path, Env: manifests.Environment(string(Adapter)),
		Args: append([]string{
			"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
			"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port), "--tls-cert-file=" + cert, "--tls-private-key-file=" + key,
		}, forKEDA...),
		Ready: func(ctx context.Context) error { return s.metricsServed(ctx, s.Options.metricsAPIs()[0]) },
	})
}

// metricsServed asks the API server, which asks the adapter that holds the API of metrics: external or custom.
func (s *Stack) metricsServed(ctx context.Context, api string) error {
	if err := s.Kube.Discovery().RESTClient().Get().AbsPath("/apis/" + api + ".metrics.k8s.io/v1beta1").Do(ctx).Error(); err != nil {
		return fmt.Errorf("%s metrics are not served: %w", api, err)
	}
	return nil
}

func (s *Stack) startOptimizer(ctx context.Context, path string) error {
	kubeconfig, err := s.ServiceAccountKubeconfig(manifests.Namespace, manifests.OptimizerAccount)
	if err != nil {
		return err
	}
	health, err := s.FreePort()
	if err != nil {
		return err
	}
	metrics, err := s.FreePort()
	if err != nil {
		return err
	}
	return s.Run(ctx, &controlplane.Process{
		Name: string(Optimizer), Path: path, Env: manifests.Environment(string(Optimizer)),
		Args: []string{
			"--kubeconfig=" + kubeconfig, "--prometheus-url=" + s.PrometheusURL(), "--prometheus-timeout=" + cmp.Or(s.Options.PrometheusTimeout, 2*time.Second).String(), "--decision-log=" + s.DecisionLog,
			fmt.Sprintf("--health-bind-address=127.0.0.1:%d", health), fmt.Sprintf("--metrics-bind-address=127.0.0.1:%d", metrics),
			fmt.Sprintf("--gates=%t", s.Options.Karpenter != nil), "--adopt=" + s.Options.metricsAPIs()[0],
		},
		Ready: controlplane.HTTPReady(fmt.Sprintf("http://127.0.0.1:%d/readyz", health), nil),
	})
}

// StartFleet plays the model servers of the configuration, whose client and discovery file are the stack's.
func (s *Stack) StartFleet(ctx context.Context, c fleet.Config) error {
	c.Client = s.Kube
	c.FileSD = filepath.Join(s.TargetsDir(), "fleet.json")
	f, err := fleet.New(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.Fleet, s.stopFleet, s.fleetDone = f, cancel, make(chan error, 1)
	go func() { s.fleetDone <- f.Run(ctx) }()
	return nil
}

// StopFleet ends the model servers; none running is no error.
func (s *Stack) StopFleet() error {
	if s.stopFleet == nil {
		return nil
	}
	s.stopFleet()
	s.stopFleet = nil
	return <-s.fleetDone
}

// Stop ends everything and leaves nothing behind.
func (s *Stack) Stop() error {
	err := s.StopFleet()
	if s.stopTargets != nil {
		s.stopTargets()
	}
	if s.machine != nil {
		err = errors.Join(err, s.machine.Leave())
	}
	if s.Plane == nil {
		return err
	}
	return errors.Join(err, s.Plane.Stop())
}
