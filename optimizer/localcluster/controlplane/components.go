package controlplane

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	"sigs.k8s.io/yaml"
)

// How long a component may take to end. Nothing of the control plane is worth waiting for: its data is thrown away, and
// an API server would otherwise wait for the last watch.
const componentStopTimeout = 2 * time.Second

// runComponent runs a component of the plane, with the arguments that the options add.
func (p *Plane) runComponent(ctx context.Context, b Binary, ready func(context.Context) error, args ...string) error {
	if b == APIServer || b == ControllerManager && !p.options.OwnControllerManager {
		args = append(args, p.emulation()...)
	}
	return p.Run(ctx, &Process{
		Name: string(b), Path: p.paths[b], Args: append(args, p.options.ExtraArgs[b]...),
		Ready: ready, StopTimeout: componentStopTimeout,
	})
}

// emulation is the flag of Kubernetes' own programs by which they behave as another version.
func (p *Plane) emulation() []string {
	if p.options.Kubernetes == "" {
		return nil
	}
	return []string{"--emulated-version=" + p.options.Kubernetes}
}

// startEtcd starts etcd and returns its URL. Only holders of a certificate of its own authority may talk to it.
func (p *Plane) startEtcd(ctx context.Context) (url string, err error) {
	ports, err := p.freePorts(3)
	if err != nil {
		return "", err
	}
	server, err := p.etcdCA.server("etcd")
	if err != nil {
		return "", err
	}
	cert, key, err := p.writePair("etcd", server)
	if err != nil {
		return "", err
	}
	ca := p.path("inferno-etcd-ca.crt")
	clients, peers, metrics := "https://"+loopback(ports[0]), "https://"+loopback(ports[1]), "http://"+loopback(ports[2])
	err = p.runComponent(ctx, Etcd, HTTPReady(metrics+"/readyz", nil),
		"--name=inferno",
		"--data-dir="+p.path("etcd"),
		"--listen-client-urls="+clients, "--advertise-client-urls="+clients,
		"--listen-peer-urls="+peers, "--initial-advertise-peer-urls="+peers, "--initial-cluster=inferno="+peers,
		"--listen-metrics-urls="+metrics,
		"--client-cert-auth", "--trusted-ca-file="+ca, "--cert-file="+cert, "--key-file="+key,
		"--peer-client-cert-auth", "--peer-trusted-ca-file="+ca, "--peer-cert-file="+cert, "--peer-key-file="+key,
		"--unsafe-no-fsync", // the data does not outlive the plane
		"--log-level=warn",
	)
	return clients, err
}

func (p *Plane) startAPIServer(ctx context.Context, etcdURL string) error {
	port, err := p.FreePort()
	if err != nil {
		return err
	}
	p.url = "https://" + p.at(port)
	pairs := map[string]KeyPair{}
	var errs [4]error
	pairs["apiserver"], errs[0] = p.ca.server("kube-apiserver", p.host(), firstServiceAddress,
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
	pairs["apiserver-etcd-client"], errs[1] = p.etcdCA.client("kube-apiserver")
	pairs["front-proxy-client"], errs[2] = p.frontProxyCA.client("front-proxy-client")
	pairs["apiserver-kubelet-client"], errs[3] = p.ca.client(KubeletClient)
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	for name, pair := range pairs {
		if _, _, err := p.writePair(name, pair); err != nil {
			return err
		}
	}
	private, public, err := newSigningKeyPair()
	if err != nil {
		return err
	}
	if err := writeSecret(p.path("service-account.key"), private); err != nil {
		return err
	}
	if err := writeSecret(p.path("service-account.pub"), public); err != nil {
		return err
	}
	args := []string{
		"--bind-address=" + p.host(), "--advertise-address=" + p.host(), fmt.Sprintf("--secure-port=%d", port),
		"--tls-cert-file=" + p.path("apiserver.crt"), "--tls-private-key-file=" + p.path("apiserver.key"),
		"--client-ca-file=" + p.path("inferno-ca.crt"),
		"--etcd-servers=" + etcdURL, "--etcd-cafile=" + p.path("inferno-etcd-ca.crt"),
		"--etcd-certfile=" + p.path("apiserver-etcd-client.crt"), "--etcd-keyfile=" + p.path("apiserver-etcd-client.key"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + p.path("service-account.pub"),
		"--service-account-signing-key-file=" + p.path("service-account.key"),
		"--service-cluster-ip-range=" + serviceNetwork,
		// Extension API servers, such as a metrics adapter, recognise the aggregator by these.
		"--requestheader-client-ca-file=" + p.path("inferno-front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + p.path("front-proxy-client.crt"),
		"--proxy-client-key-file=" + p.path("front-proxy-client.key"),
		"--profiling=false",
	}
	if p.options.Address == "" {
		args = append(args,
			"--authorization-mode=RBAC",
			// No pod runs a program that could use a token, and pods need not wait for the account of a new namespace.
			"--disable-admission-plugins=ServiceAccount",
			"--endpoint-reconciler-type=none", // a loopback address cannot be an endpoint
		)
	} else {
		args = append(args,
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
			"--kubelet-client-certificate="+p.path("apiserver-kubelet-client.crt"), "--kubelet-client-key="+p.path("apiserver-kubelet-client.key"),
			"--kubelet-certificate-authority="+p.path("inferno-ca.crt"), "--kubelet-preferred-address-types=InternalIP",
		)
	}
	return p.runComponent(ctx, APIServer, HTTPReady(p.url+"/readyz", p.ca.pool()), args...)
}

// Addresses of Services, the first of which is the API server's.
const (
	serviceNetwork      = "10.96.0.0/16"
	firstServiceAddress = "10.96.0.1"
)

// KubeletClient is the user that the API server is to a real node.
const KubeletClient = "kube-apiserver-kubelet-client"

// host is the address that API server and Prometheus serve at.
func (p *Plane) host() string { return cmp.Or(p.options.Address, "127.0.0.1") }

// at is a port of the host.
func (p *Plane) at(port int) string { return fmt.Sprintf("%s:%d", p.host(), port) }

func (p *Plane) startControllerManager(ctx context.Context) error {
	kubeconfig, err := p.Kubeconfig("system:kube-controller-manager")
	if err != nil {
		return err
	}
	args, ready, err := p.secureServing("controller-manager")
	if err != nil {
		return err
	}
	args = append(args,
		"--kubeconfig="+kubeconfig, "--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig,
		"--leader-elect=false", // there is one, and it need not wait for the lease of its dead predecessor
		"--use-service-account-credentials=true",
		"--service-account-private-key-file="+p.path("service-account.key"),
		"--root-ca-file="+p.path("inferno-ca.crt"),
		"--kube-api-qps=200", "--kube-api-burst=400",
		// A few heartbeats (see stages.yaml): no node is lost because this machine was busy for a while.
		"--node-monitor-grace-period=4m",
		"--profiling=false",
	)
	if d := p.options.HPASyncPeriod; d != 0 {
		args = append(args, "--horizontal-pod-autoscaler-sync-period="+d.String())
	}
	if d := p.options.HPADownscaleStabilization; d != 0 {
		args = append(args, "--horizontal-pod-autoscaler-downscale-stabilization="+d.String())
	}
	return p.runComponent(ctx, ControllerManager, ready, args...)
}

// StartScheduler starts a scheduler. A plane whose scheduler was disabled at first gets it this way when what the
// scheduler needs is there, such as the resources that its plugins watch.
func (p *Plane) StartScheduler(ctx context.Context, o SchedulerOptions) error {
	if p.Process(string(Scheduler)) != nil {
		return fmt.Errorf("%s: the control plane has a scheduler already", Scheduler)
	}
	path, own := o.Path, o.Path == ""
	if own {
		paths, err := Binaries(ctx, p.options.CacheDir, p.options.Progress, Scheduler)
		if err != nil {
			return err
		}
		path = paths[Scheduler]
	}
	kubeconfig, err := p.Kubeconfig(cmp.Or(o.User, "system:kube-scheduler"), o.Groups...)
	if err != nil {
		return err
	}
	config, err := schedulerConfig(o.Config, kubeconfig)
	if err != nil {
		return err
	}
	if err := writeSecret(p.path("scheduler.yaml"), config); err != nil {
		return err
	}
	args, ready, err := p.secureServing("scheduler")
	if err != nil {
		return err
	}
	args = append(args,
		"--config="+p.path("scheduler.yaml"),
		"--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig)
	if own {
		args = append(args, p.emulation()...)
	}
	args = append(append(args, o.Args...), p.options.ExtraArgs[Scheduler]...)
	return p.Run(ctx, &Process{
		Name: string(Scheduler), Path: path, Args: args, Env: o.Env, Ready: ready, StopTimeout: componentStopTimeout,
	})
}

// schedulerConfig completes a KubeSchedulerConfiguration with what only the plane knows.
func schedulerConfig(given []byte, kubeconfig string) ([]byte, error) {
	config := map[string]any{}
	if err := yaml.UnmarshalStrict(given, &config); err != nil {
		return nil, fmt.Errorf("scheduler configuration: %w", err)
	}
	if config == nil { // a document that says null
		config = map[string]any{}
	}
	setDefault(config, "apiVersion", "kubescheduler.config.k8s.io/v1")
	setDefault(config, "kind", "KubeSchedulerConfiguration")
	connection, err := section(config, "clientConnection")
	if err != nil {
		return nil, err
	}
	connection["kubeconfig"] = kubeconfig
	setDefault(connection, "qps", 200)
	setDefault(connection, "burst", 400)
	election, err := section(config, "leaderElection")
	if err != nil {
		return nil, err
	}
	setDefault(election, "leaderElect", false)
	return yaml.Marshal(config)
}

func section(config map[string]any, name string) (map[string]any, error) {
	switch s := config[name].(type) {
	case nil:
		created := map[string]any{}
		config[name] = created
		return created, nil
	case map[string]any:
		return s, nil
	default:
		return nil, fmt.Errorf("scheduler configuration: %s is %v, want a mapping", name, s)
	}
}

func setDefault(m map[string]any, key string, value any) {
	if _, ok := m[key]; !ok {
		m[key] = value
	}
}

func (p *Plane) startKwok(ctx context.Context) error {
	stages, err := stages(p.options.PodStartup, p.options.PodShutdown)
	if err != nil {
		return err
	}
	if err := writeSecret(p.path("stages.yaml"), stages); err != nil {
		return err
	}
	// It plays the kubelets of all nodes; the privileges of each would be more than it is worth to imitate.
	kubeconfig, err := p.Kubeconfig("kwok", "system:masters")
	if err != nil {
		return err
	}
	port, err := p.FreePort()
	if err != nil {
		return err
	}
	address := loopback(port)
	manage := "--manage-all-nodes=true"
	if p.options.Address != "" {
		manage = "--manage-nodes-with-annotation-selector=" + simulatedNode + "=" + simulated
	}
	return p.runComponent(ctx, Kwok, HTTPReady("http://"+address+"/healthz", nil),
		"--kubeconfig="+kubeconfig,
		"--config="+p.path("stages.yaml"),
		manage,
		"--cidr=10.128.0.0/9", // of the pods' addresses, which it does not hand out twice as long as they last
		// Nodes live by their heartbeats alone. With leases a restarted kwok would leave all nodes and their pods alone until
		// the leases of its predecessor run out.
		"--node-lease-duration-seconds=0",
		"--server-address="+address,
	)
}

func (p *Plane) startPrometheus(ctx context.Context, o PrometheusOptions) error {
	interval := cmp.Or(o.ScrapeInterval, time.Second)
	config := o.Config
	if len(config) == 0 {
		config = prometheusConfig(interval, p.TargetsDir())
	}
	if err := os.MkdirAll(p.TargetsDir(), 0o700); err != nil {
		return err
	}
	if err := writeSecret(p.path("prometheus.yml"), config); err != nil {
		return err
	}
	port, err := p.FreePort()
	if err != nil {
		return err
	}
	p.prometheusURL = "http://" + p.at(port)
	return p.runComponent(ctx, Prometheus, HTTPReady(p.prometheusURL+"/-/ready", nil),
		"--config.file="+p.path("prometheus.yml"),
		"--storage.tsdb.path="+p.path("prometheus"),
		"--web.listen-address="+p.at(port),
		// A new target is scraped at once. With the 5 s of the default a short window would miss most of what a new pod has done.
		"--scrape.discovery-reload-interval="+interval.String(),
		"--web.enable-lifecycle", // POST /-/reload after changing prometheus.yml in the instance directory
		"--log.level=warn",
	)
}

func prometheusConfig(interval time.Duration, targets string) []byte {
	ms := interval.Milliseconds()
	return fmt.Appendf(nil, `global: {scrape_interval: %[1]dms, scrape_timeout: %[1]dms, evaluation_interval: %[1]dms}
scrape_configs:
- job_name: targets
  file_sd_configs: [{files: [%[2]q], refresh_interval: 30s}]
`, ms, targets+"/*.json")
}

// secureServing returns the flags of a component that serves its health page with a certificate of the plane, and the
// probe of that page.
func (p *Plane) secureServing(name string) (args []string, ready func(context.Context) error, err error) {
	port, err := p.FreePort()
	if err != nil {
		return nil, nil, err
	}
	pair, err := p.ca.server(name)
	if err != nil {
		return nil, nil, err
	}
	cert, key, err := p.writePair(name, pair)
	if err != nil {
		return nil, nil, err
	}
	return []string{
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port),
		"--tls-cert-file=" + cert, "--tls-private-key-file=" + key,
	}, HTTPReady("https://"+loopback(port)+"/healthz", p.ca.pool()), nil
}

// writePair writes <name>.crt and <name>.key into the instance directory.
func (p *Plane) writePair(name string, pair KeyPair) (cert, key string, err error) {
	cert, key = p.path(name+".crt"), p.path(name+".key")
	if err := writeSecret(cert, pair.Cert); err != nil {
		return "", "", err
	}
	return cert, key, writeSecret(key, pair.Key)
}

func (p *Plane) freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		var err error
		if ports[i], err = p.FreePort(); err != nil {
			return nil, err
		}
	}
	return ports, nil
}
