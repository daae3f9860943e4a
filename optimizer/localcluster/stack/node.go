package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/localcluster/node"
)

// NodeOptions say what runs on a real node.
type NodeOptions struct {
	// Images is the folder with an OCI layout of every image in a folder of its own, as make images writes.
	Images string
	// Chart is the folder of inferno's chart, or a package of it. It is installed where it is given.
	Chart string
	// Values are set in the chart, as NAME=VALUE.
	Values []string
}

// StartOnNode starts a control plane whose node is this machine, with Prometheus where inferno's chart looks for it and beside the simulated nodes
// of the options, and installs inferno by Helm. It returns when all is ready; when it fails nothing is left running. What of the options is about
// inferno's programs outside of pods does not count.
func StartOnNode(ctx context.Context, o Options, n NodeOptions) (_ *Stack, err error) {
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if o.HPASync == 0 {
		o.HPASync = time.Second
	}
	machine, err := node.Prepare()
	if err != nil {
		return nil, err
	}
	s := &Stack{Options: o, machine: machine}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	s.Plane, err = controlplane.Start(ctx, controlplane.Options{
		Progress: o.Progress, KeepDir: o.KeepDir, HPASyncPeriod: o.HPASync, HPADownscaleStabilization: time.Second,
		PodStartup: o.PodStartup, PodShutdown: o.PodShutdown, Address: node.Address,
		Prometheus: &controlplane.PrometheusOptions{ScrapeInterval: o.ScrapeInterval},
	})
	if err != nil {
		return nil, err
	}
	if s.Client, s.Kube, err = Clients(s.Config()); err != nil {
		return nil, err
	}
	if err := s.AddNodes(ctx, o.Nodes...); err != nil {
		return nil, err
	}
	if err := machine.Join(ctx, s.Plane, n.Images, o.Progress); err != nil {
		return nil, err
	}
	if err := s.exposePrometheus(ctx); err != nil {
		return nil, err
	}
	ctx, s.stopTargets = context.WithCancel(ctx)
	go s.followTargets(context.WithoutCancel(ctx), ctx.Done())
	if n.Chart == "" {
		return s, nil
	}
	tag, err := node.Tag(n.Images, string(Optimizer))
	if err != nil {
		return nil, err
	}
	args := []string{"install", Release, n.Chart, "--namespace=" + manifests.Namespace, "--create-namespace", "--wait", "--timeout=10m", "--set=image.tag=" + tag}
	for _, v := range n.Values {
		args = append(args, "--set="+v)
	}
	fmt.Fprintln(o.Progress, "installing inferno's chart: usually 15s on two idle cores")
	out, err := s.Helm(ctx, args...)
	fmt.Fprint(o.Progress, out)
	return s, err
}

// Release is the name under which the chart is installed.
const Release = "inferno"

// Helm runs helm against the plane, and returns what it says.
func (s *Stack) Helm(ctx context.Context, args ...string) (string, error) {
	paths, err := controlplane.Binaries(ctx, "", s.Options.Progress, controlplane.Helm)
	if err != nil {
		return "", err
	}
	home := filepath.Join(s.Dir(), "helm")
	cmd := exec.CommandContext(ctx, paths[controlplane.Helm], args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.AdminKubeconfig(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("helm %s: %w: %s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(out), nil
}

// prometheusService is where prometheus-operator has its Prometheus, and the chart looks for it.
const prometheusService = `
apiVersion: v1
kind: Namespace
metadata: {name: monitoring}
---
apiVersion: v1
kind: Service
metadata: {name: prometheus-operated, namespace: monitoring}
spec: {ports: [{name: web, port: 9090}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: prometheus-operated, namespace: monitoring, labels: {kubernetes.io/service-name: prometheus-operated}}
addressType: IPv4
endpoints: [{addresses: [%q]}]
ports: [{name: web, port: %s}]
`

func (s *Stack) exposePrometheus(ctx context.Context) error {
	u, err := url.Parse(s.PrometheusURL())
	if err != nil {
		return err
	}
	return s.Apply(ctx, fmt.Appendf(nil, prometheusService, u.Hostname(), u.Port()))
}

// followTargets tells Prometheus every second which pods of the real node ask to be scraped, by the usual annotations.
func (s *Stack) followTargets(ctx context.Context, done <-chan struct{}) {
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	var last []byte
	for {
		data, err := s.targets(ctx)
		if err == nil && !bytes.Equal(data, last) {
			if err = replaceFile(filepath.Join(s.TargetsDir(), "node.json"), data); err == nil {
				last = data
			}
		}
		if err != nil {
			fmt.Fprintf(s.Options.Progress, "targets of Prometheus: %v\n", err)
		}
		select {
		case <-done:
			return
		case <-ticks.C:
		}
	}
}

func (s *Stack) targets(ctx context.Context) ([]byte, error) {
	pods, err := s.Kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node.Name).String()})
	if err != nil {
		return nil, err
	}
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	groups := []group{}
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.Annotations["prometheus.io/scrape"] != "true" || p.Status.PodIP == "" || p.Status.Phase != corev1.PodRunning {
			continue
		}
		address := net.JoinHostPort(p.Status.PodIP, p.Annotations["prometheus.io/port"])
		groups = append(groups, group{[]string{address}, map[string]string{"namespace": p.Namespace, "pod": p.Name, "node": node.Name}})
	}
	return json.Marshal(groups)
}

// replaceFile at once and as a whole.
func replaceFile(name string, data []byte) error {
	part := name + ".part"
	return errors.Join(os.WriteFile(part, data, 0o644), os.Rename(part, name))
}
