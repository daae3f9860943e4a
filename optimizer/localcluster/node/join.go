package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
)

// Binaries are what a node runs beside what is installed; they are built as those of the control plane.
var Binaries = []controlplane.Binary{controlplane.Kubelet, controlplane.KubeProxy, controlplane.CoreDNS, controlplane.Pause}

// identities of the API server on the node and of the DNS: what they may do is what RBAC gives them.
const rights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: inferno-node-kubelet-api}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:kubelet-api-admin"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: ` + controlplane.KubeletClient + `}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: inferno-node-dns}
rules:
  - {apiGroups: [""], resources: [services, namespaces], verbs: [list, watch]}
  - {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: inferno-node-dns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: inferno-node-dns}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: inferno-node-dns}]
`

// Join makes the machine a node of the plane, whose API server must serve at [Address], and returns when the node is Ready. Images of any registry
// are taken from the OCI layouts in the folder images, by the last part of their names (see registry.go).
func (m *Machine) Join(ctx context.Context, plane *controlplane.Plane, images string, progress io.Writer) error {
	if u, err := url.Parse(plane.URL()); err != nil || u.Hostname() != Address {
		return fmt.Errorf("node: the API server is at %s, must be at %s, where pods reach it", plane.URL(), Address)
	}
	paths, err := controlplane.Binaries(ctx, "", progress, Binaries...)
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	for _, dir := range []string{root, filepath.Join(root, "logs"), filepath.Join(root, "cni"), filepath.Join(root, "certs.d", "_default")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := plane.Apply(ctx, []byte(rights)); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	if err := m.serveImages(images, paths[controlplane.Pause]); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	for _, start := range []func(context.Context, *controlplane.Plane, controlplane.Paths) error{startContainerd, startDNS, startKubelet, startProxy} {
		if err := start(ctx, plane, paths); err != nil {
			return fmt.Errorf("node: %w", err)
		}
	}
	for _, name := range []string{"containerd", string(controlplane.CoreDNS), string(controlplane.Kubelet), string(controlplane.KubeProxy)} {
		m.processes = append(m.processes, plane.Process(name))
	}
	return waitUntilReady(ctx, plane)
}

// serveImages to containerd, in this process.
func (m *Machine) serveImages(layouts, pause string) error {
	r, err := newRegistry(layouts, pause)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Close
	m.stop = func() { _ = server.Close() }
	hosts := fmt.Sprintf("server = \"http://%[1]s\"\n[host.\"http://%[1]s\"]\n  capabilities = [\"pull\", \"resolve\"]\n", listener.Addr())
	return os.WriteFile(filepath.Join(root, "certs.d", "_default", "hosts.toml"), []byte(hosts), 0o644)
}

// containerdConfig is of version 2, which containerd 1.6 reads and 2 still does. A process without CAP_SYS_RESOURCE cannot lower the score by which
// the kernel chooses whom to kill, hence restrict_oom_score_adj. All else moves what would be elsewhere into the node's folders.
const containerdConfig = `version = 2
root = "` + root + `/containerd"
state = "` + state + `/containerd"
imports = []
[grpc]
  address = "` + socket + `"
[plugins."io.containerd.internal.v1.opt"]
  path = "` + root + `/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + pauseImage + `"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "` + root + `/certs.d"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %q
    conf_dir = "` + root + `/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "` + state + `/runc"
`

// networkConfig connects pods to the bridge. Pods see each other, the machine, and what is behind it only as far as it lets them.
const networkConfig = `{
  "cniVersion": "1.0.0", "name": "inferno-node",
  "plugins": [
    {"type": "bridge", "bridge": "` + bridge + `", "isGateway": true, "hairpinMode": true,
     "ipam": {"type": "host-local", "dataDir": "` + root + `/addresses", "ranges": [[{"subnet": "` + network + `", "gateway": "` + Address + `"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`

func startContainerd(ctx context.Context, plane *controlplane.Plane, _ controlplane.Paths) error {
	config := filepath.Join(root, "containerd.toml")
	if err := errors.Join(
		os.WriteFile(filepath.Join(root, "cni", "10-inferno-node.conflist"), []byte(networkConfig), 0o644),
		os.WriteFile(config, fmt.Appendf(nil, containerdConfig, pluginPath()), 0o644),
	); err != nil {
		return err
	}
	return plane.Run(ctx, &controlplane.Process{
		Name: "containerd", Path: "containerd", Args: []string{"--config=" + config},
		Ready: func(ctx context.Context) error {
			connection, err := new(net.Dialer).DialContext(ctx, "unix", socket)
			if err == nil {
				err = connection.Close()
			}
			return err
		},
	})
}

// startDNS starts the DNS at port 53 of the bridge's address, which pods are told. It knows names of the cluster alone.
func startDNS(ctx context.Context, plane *controlplane.Plane, paths controlplane.Paths) error {
	kubeconfig, err := plane.Kubeconfig("inferno-node-dns")
	if err != nil {
		return err
	}
	port, err := plane.FreePort()
	if err != nil {
		return err
	}
	config := filepath.Join(root, "Corefile")
	text := fmt.Sprintf(".:53 {\n bind %s\n errors\n ready 127.0.0.1:%d\n cache 5\n kubernetes cluster.local {\n  kubeconfig %s\n  ttl 5\n }\n}\n", Address, port, kubeconfig)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return err
	}
	return plane.Run(ctx, &controlplane.Process{
		Name: string(controlplane.CoreDNS), Path: paths[controlplane.CoreDNS], Args: []string{"-conf", config},
		Ready: controlplane.HTTPReady(fmt.Sprintf("http://127.0.0.1:%d/ready", port), nil),
	})
}

// startProxy starts what leads the addresses of Services to pods, by tables of nftables of its own.
func startProxy(ctx context.Context, plane *controlplane.Plane, paths controlplane.Paths) error {
	kubeconfig, err := plane.Kubeconfig("system:kube-proxy")
	if err != nil {
		return err
	}
	health, errHealth := plane.FreePort()
	metrics, errMetrics := plane.FreePort()
	if err := errors.Join(errHealth, errMetrics); err != nil {
		return err
	}
	return plane.Run(ctx, &controlplane.Process{
		Name: string(controlplane.KubeProxy), Path: paths[controlplane.KubeProxy],
		Args: []string{
			"--kubeconfig=" + kubeconfig, "--hostname-override=" + Name, "--proxy-mode=nftables", "--cluster-cidr=" + network,
			fmt.Sprintf("--healthz-bind-address=127.0.0.1:%d", health), fmt.Sprintf("--metrics-bind-address=127.0.0.1:%d", metrics),
			// The machine's own limits of connections stay as they are.
			"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
		},
		Ready: controlplane.HTTPReady(fmt.Sprintf("http://127.0.0.1:%d/livez", health), nil), // readyz wants the node
	})
}

func startKubelet(ctx context.Context, plane *controlplane.Plane, paths controlplane.Paths) error {
	kubeconfig, err := plane.Kubeconfig("system:node:"+Name, "system:nodes")
	if err != nil {
		return err
	}
	port, errPort := plane.FreePort()
	health, errHealth := plane.FreePort()
	pair, errPair := plane.ServingCert(Name, Address)
	if err := errors.Join(errPort, errHealth, errPair); err != nil {
		return err
	}
	file := func(name string) string { return filepath.Join(root, name) }
	config, err := yaml.Marshal(map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"address": Address, "port": port, "readOnlyPort": 0, "healthzBindAddress": "127.0.0.1", "healthzPort": health,
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false}, "webhook": map[string]any{"enabled": true}, "x509": map[string]any{"clientCAFile": file("ca.crt")},
		},
		"authorization": map[string]any{"mode": "Webhook"},
		"tlsCertFile":   file("kubelet.crt"), "tlsPrivateKeyFile": file("kubelet.key"),
		"containerRuntimeEndpoint": "unix://" + socket,
		"cgroupRoot":               "/" + group,
		"failCgroupV1":             false, // which it refuses otherwise
		"failSwapOn":               false,
		"clusterDNS":               []string{Address}, "clusterDomain": "cluster.local", "resolvConf": "",
		"podLogsDir": file("logs"), "volumePluginDir": file("volumeplugins"),
		"makeIPTablesUtilChains": false,
		"registerNode":           true,
		"syncFrequency":          "10s", // so that pods see a changed Secret soon; a minute by default
		// A full disk of the machine is not the cluster's to clean up.
		"evictionHard":                map[string]string{"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%"},
		"imageGCHighThresholdPercent": 100,
	})
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"ca.crt": plane.CA(), "kubelet.crt": pair.Cert, "kubelet.key": pair.Key, "kubelet.yaml": config} {
		if err := os.WriteFile(file(name), data, 0o600); err != nil {
			return err
		}
	}
	return plane.Run(ctx, &controlplane.Process{
		Name: string(controlplane.Kubelet), Path: paths[controlplane.Kubelet],
		Args: []string{
			"--config=" + file("kubelet.yaml"), "--kubeconfig=" + kubeconfig, "--root-dir=" + file("kubelet"), "--cert-dir=" + file("pki"),
			"--hostname-override=" + Name, "--node-ip=" + Address,
		},
		Ready: controlplane.HTTPReady(fmt.Sprintf("http://127.0.0.1:%d/healthz", health), nil),
	})
}

// waitUntilReady returns when the node takes pods.
func waitUntilReady(ctx context.Context, plane *controlplane.Plane) error {
	client, err := kubernetes.NewForConfig(plane.Config())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	for {
		node, err := client.CoreV1().Nodes().Get(ctx, Name, metav1.GetOptions{})
		if err == nil && ready(node) {
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			state := ""
			if node != nil {
				data, _ := json.Marshal(node.Status.Conditions) // for people
				state = string(data)
			}
			return fmt.Errorf("node: not Ready after %s: %w: %s", readyPatience, errors.Join(err, ctx.Err()), state)
		}
	}
}

// readyPatience with a node: it takes a quarter of a minute where the machine is idle.
const readyPatience = 10 * time.Minute

func ready(node *corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue && len(node.Spec.Taints) == 0
		}
	}
	return false
}
