package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Options configure a control plane. The zero value is a plane with the stock scheduler, without Prometheus, and with
// the defaults of Kubernetes.
type Options struct {
	CacheDir string // of the binaries; see [Binaries]
	KeepDir  bool   // leave the instance directory with its logs behind

	// Address of this machine that pods of real nodes reach; package node has one. API server and Prometheus then serve there alone, pods get tokens,
	// and simulated nodes are known by the annotation and the taint kwok.x-k8s.io/node=fake. Where it is empty all nodes are simulated, and the
	// plane serves on the loopback address.
	Address string

	// Kubernetes is the minor version, one of [Versions], that API server and controller manager behave as, and the stock scheduler; their own where it is empty.
	Kubernetes string
	// OwnControllerManager is built from the source of that version, in place of the newest that behaves as it. There is one for the oldest of [Versions].
	OwnControllerManager bool

	// Progress receives a line for every step and for everything that happens to a process. It may be nil.
	Progress io.Writer
	// Report receives every event of every process, one at a time. It must not call Stop.
	Report func(Event)

	HPASyncPeriod time.Duration // how often the HorizontalPodAutoscaler looks; 15 s if zero
	// HPADownscaleStabilization is the default of HPAs that do not set their own window; 5 minutes if zero.
	HPADownscaleStabilization time.Duration

	// PodStartup is the time from the start of a pod until it is Ready, accurate to a second. A pod can have its own with
	// [StartupSecondsAnnotation].
	PodStartup time.Duration
	// PodShutdown is the time from the deletion of a pod until it is gone, if its grace period lasts that long. A pod can have
	// its own with [ShutdownSecondsAnnotation].
	PodShutdown time.Duration

	Scheduler  SchedulerOptions
	Prometheus *PrometheusOptions // none if nil

	// ExtraArgs are appended to the arguments of a component.
	ExtraArgs map[Binary][]string
}

// Versions of Kubernetes that a plane can behave as, the oldest first. What the newest programs have beyond a version they leave out, by the feature gates and
// the APIs of that version (--emulated-version).
func Versions() []string { return []string{"1.34", "1.35", "1.36", "1.37"} }

// SchedulerOptions say which scheduler runs and how.
type SchedulerOptions struct {
	Disabled bool // for now: see [Plane.StartScheduler]

	Path string // of a program with the flags of kube-scheduler; the stock one if empty
	// Config is a KubeSchedulerConfiguration in YAML, the default one if empty. The client connection is filled in, and
	// leader election is off unless it says otherwise.
	Config []byte
	User   string   // its identity; system:kube-scheduler if empty
	Groups []string // of that user
	Args   []string // appended to its arguments
	Env    []string // added to its environment
}

// PrometheusOptions say what Prometheus scrapes.
type PrometheusOptions struct {
	// Config is a complete configuration file. If it is empty, every target in the *.json files of [Plane.TargetsDir] is
	// scraped (file_sd: a list of {"targets": ["host:port"], "labels": {...}}), and changes there count at once.
	Config         []byte
	ScrapeInterval time.Duration // of the configuration without Config; one second if zero
}

// Plane is a running control plane.
type Plane struct {
	options Options
	paths   Paths
	dir     string
	unlock  func()
	ports   ports

	ca, etcdCA, frontProxyCA *authority

	url           string // of the API server
	prometheusURL string
	admin         string // path of the kubeconfig
	config        *rest.Config

	report sync.Mutex // one event at a time

	mu        sync.Mutex
	stopped   bool
	processes []*Process // in the order of their start
}

// usualStart is how long a plane with all binaries takes to be ready.
const usualStart = 5 * time.Second

// Start starts a control plane and returns when all of it is ready; binaries that are missing are built before, which
// takes minutes once. The context bounds the start alone: the plane runs until [Plane.Stop]. When Start fails, nothing
// is left running.
func Start(ctx context.Context, options Options) (*Plane, error) {
	if oldest := Versions()[0]; options.OwnControllerManager && options.Kubernetes != oldest {
		return nil, fmt.Errorf("control plane: OwnControllerManager is not allowed with Kubernetes %q, must be with %s", options.Kubernetes, oldest)
	}
	paths, err := Binaries(ctx, options.CacheDir, options.Progress, options.binaries()...)
	if err != nil {
		return nil, fmt.Errorf("control plane: %w", err)
	}
	paths[ControllerManager] = paths[options.controllerManager()]
	p := &Plane{options: options, paths: paths}
	p.progress("starting the control plane: usually %v on two idle cores", usualStart)
	if p.dir, p.unlock, err = newInstanceDir(); err != nil {
		return nil, fmt.Errorf("control plane: instance directory: %w", err)
	}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("control plane: %w", err), p.Stop())
	}
	return p, nil
}

// binaries returns what a plane with these options runs.
func (o Options) binaries() []Binary {
	names := []Binary{Etcd, APIServer, o.controllerManager(), Kwok}
	if !o.Scheduler.Disabled && o.Scheduler.Path == "" {
		names = append(names, Scheduler)
	}
	if o.Prometheus != nil {
		names = append(names, Prometheus)
	}
	return names
}

// controllerManager that a plane with these options runs.
func (o Options) controllerManager() Binary {
	if o.OwnControllerManager {
		return OldestControllerManager
	}
	return ControllerManager
}

func (p *Plane) start(ctx context.Context) error {
	if err := p.createAuthorities(); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	etcd, err := p.startEtcd(ctx)
	if err != nil {
		return err
	}
	if err := p.startAPIServer(ctx, etcd); err != nil {
		return err
	}
	if p.admin, err = p.Kubeconfig("admin", "system:masters"); err != nil {
		return err
	}
	if p.config, err = clientcmd.BuildConfigFromFlags("", p.admin); err != nil {
		return err
	}
	p.config.QPS = -1 // a test or a demo is not to wait for its own client
	// The others depend on the API server alone and start side by side.
	starts := []func(context.Context) error{p.startControllerManager, p.startKwok}
	if !p.options.Scheduler.Disabled {
		starts = append(starts, func(ctx context.Context) error { return p.StartScheduler(ctx, p.options.Scheduler) })
	}
	if p.options.Prometheus != nil {
		starts = append(starts, func(ctx context.Context) error { return p.startPrometheus(ctx, *p.options.Prometheus) })
	}
	return all(ctx, starts)
}

// all runs the functions at the same time and returns their errors.
func all(ctx context.Context, functions []func(context.Context) error) error {
	errs := make([]error, len(functions))
	var wg sync.WaitGroup
	for i, f := range functions {
		wg.Go(func() { errs[i] = f(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (p *Plane) createAuthorities() (err error) {
	for _, a := range []struct {
		name      string
		authority **authority
	}{{"inferno-ca", &p.ca}, {"inferno-etcd-ca", &p.etcdCA}, {"inferno-front-proxy-ca", &p.frontProxyCA}} {
		if *a.authority, err = newAuthority(a.name); err != nil {
			return err
		}
		if err := writeSecret(p.path(a.name+".crt"), (*a.authority).pem); err != nil {
			return err
		}
	}
	return nil
}

// Run starts a process under the supervision of the plane, which ends it before the components that it uses. What it
// writes goes to a log file in the instance directory unless it names its own. The process can be stopped and started
// again on its own; one that does not start does not belong to the plane.
func (p *Plane) Run(ctx context.Context, process *Process) error {
	if process.Log == "" {
		process.Log = p.path(process.Name + ".log")
	}
	own := process.Report
	process.Report = func(e Event) {
		p.report.Lock()
		defer p.report.Unlock()
		p.progress("%v", e)
		if own != nil {
			own(e)
		}
		if p.options.Report != nil {
			p.options.Report(e)
		}
	}
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return fmt.Errorf("%s: the control plane has been stopped", process.Name)
	}
	p.processes = append(p.processes, process)
	p.mu.Unlock()
	err := process.Start(ctx)
	if err != nil {
		p.mu.Lock()
		p.processes = slices.DeleteFunc(p.processes, func(other *Process) bool { return other == process })
		p.mu.Unlock()
	}
	return err
}

// Stop ends all processes in the reverse order of their start, waits until they are gone and removes the instance
// directory. A second call does nothing.
func (p *Plane) Stop() error {
	p.mu.Lock()
	stopped, processes := p.stopped, p.processes
	p.stopped, p.processes = true, nil
	p.mu.Unlock()
	if stopped {
		return nil
	}
	for _, process := range slices.Backward(processes) {
		process.Stop()
	}
	p.ports.close()
	defer p.unlock()
	if p.options.KeepDir {
		return nil
	}
	if err := os.RemoveAll(p.dir); err != nil {
		return fmt.Errorf("control plane: instance directory: %w", err)
	}
	return nil
}

// Process returns the process of that name, nil if there is none. Those of the plane are named like their binaries.
func (p *Plane) Process(name string) *Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, process := range p.processes {
		if process.Name == name {
			return process
		}
	}
	return nil
}

// Dir returns the instance directory: certificates, kubeconfigs, data and the log of every process.
func (p *Plane) Dir() string { return p.dir }

// AdminKubeconfig returns the path of a kubeconfig that may do everything.
func (p *Plane) AdminKubeconfig() string { return p.admin }

// Config returns a client configuration that may do everything and does not limit its rate.
func (p *Plane) Config() *rest.Config { return rest.CopyConfig(p.config) }

// URL returns the address of the API server.
func (p *Plane) URL() string { return p.url }

// PrometheusURL returns the address of Prometheus, empty if the plane has none.
func (p *Plane) PrometheusURL() string { return p.prometheusURL }

// TargetsDir returns the folder whose *.json files name the targets of Prometheus; see [PrometheusOptions]. Write a file
// under another name and rename it, so that Prometheus never reads half of it.
func (p *Plane) TargetsDir() string { return p.path("targets") }

// Kubectl returns the path of the kubectl that belongs to the API server. It is built where it is missing: a plane runs without it.
func (p *Plane) Kubectl(ctx context.Context) (string, error) {
	paths, err := Binaries(ctx, p.options.CacheDir, p.options.Progress, Kubectl)
	if err != nil {
		return "", fmt.Errorf("control plane: %w", err)
	}
	return paths[Kubectl], nil
}

// CA returns the certificate authority of the plane in PEM, as in an APIService or webhook's caBundle.
func (p *Plane) CA() []byte { return p.ca.pem }

// ServingCert returns a certificate for a server reached by the given host names or addresses, or by the loopback ones.
// The aggregator reaches a service as <service>.<namespace>.svc.
func (p *Plane) ServingCert(hosts ...string) (KeyPair, error) {
	return p.ca.server(strings.Join(hosts, ","), hosts...)
}

// Lock takes an exclusive lock on a file, which is created if needed, and holds it until unlock or the end of this process. It fails at once when
// the lock is held already.
func Lock(path string) (unlock func(), err error) { return lockFile(path) }

// FreePort returns a port on the loopback address that stays reserved for the caller until the plane stops.
func (p *Plane) FreePort() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ports.next()
}

// path returns the path of a file in the instance directory.
func (p *Plane) path(name string) string { return filepath.Join(p.dir, name) }

// progress writes one line.
func (p *Plane) progress(format string, args ...any) {
	if p.options.Progress != nil {
		fmt.Fprintf(p.options.Progress, format+"\n", args...)
	}
}
