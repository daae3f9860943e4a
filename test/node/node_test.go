// Package node tests inferno as it is installed: by its chart, in pods of its images, on a real node that kubelet, containerd and kube-proxy make of
// this machine, under the pod security standard restricted. Engines are simulated, but run in containers.
//
// The network of its pods is a bridge, which enforces no NetworkPolicy: that the chart's policies let everything through that is needed, and nothing
// else, is not proven here.
//
// It is skipped where this machine cannot be a node, and where no images are given: make test-node builds them.
package node

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	realnode "github.com/llm-inferno/inferno/optimizer/localcluster/node"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
)

const (
	sources   = "../../manifests/chart"
	namespace = "llm"
	// soon is when the test stops waiting for what normally takes seconds: late enough for any machine, since only a test that fails waits so long.
	soon = 10 * time.Minute
	// cards that the node advertises, as a device plugin would.
	cards = 8
	// gap without an answer of the metrics API that an upgrade may make: no autoscaler then misses more than two of its looks.
	gap = 30 * time.Second
)

// chart that is installed: the present one, or the package of a release (make test-release).
var chart = cmp.Or(os.Getenv("INFERNO_CHART"), sources)

// cluster is what is planned for: a slow engine, so that a little load needs several.
const cluster = `
apiVersion: v1
kind: Namespace
metadata:
  name: llm
  labels: {pod-security.kubernetes.io/enforce: restricted}
---
apiVersion: inferno.platform.ai/v1alpha1
kind: Accelerator
metadata: {name: l40s}
spec: {type: L40S, costPerHour: 110}
---
apiVersion: inferno.platform.ai/v1alpha1
kind: Model
metadata: {name: llama}
spec:
  performance:
    - {accelerator: l40s, maxBatchSize: 8, atTokens: 100, work: {alpha: "24.2", beta: "0.0887", gamma: "0.00019"}}
---
apiVersion: inferno.platform.ai/v1alpha1
kind: ServiceClass
metadata: {name: premium}
spec:
  priority: 1
  targets:
    - {model: llama, itl: 60ms, ttft: 2s}
`

type system struct {
	*stack.Stack
	t      *testing.T
	images string
	tag    string
}

func TestInstalledOnARealNode(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a control plane and a node")
	}
	images := os.Getenv("INFERNO_IMAGES")
	if images == "" {
		t.Skip("INFERNO_IMAGES, the folder of the images to test, is not set: make test-node builds them")
	}
	if err := realnode.Check(); err != nil {
		t.Skip(err)
	}
	tag, err := realnode.Tag(images, "inferno-engine")
	if err != nil {
		t.Fatal(err)
	}
	// What a killed run left is none of this one's.
	unused, err := realnode.Prepare()
	if err == nil {
		err = unused.Leave()
	}
	if err != nil {
		t.Fatal(err)
	}
	before := machine(t)
	progress := &strings.Builder{}
	began := time.Now()
	s, err := stack.StartOnNode(t.Context(), stack.Options{
		Progress: progress, PodStartup: time.Second,
		Nodes: []controlplane.NodePool{{Name: "simulated", Count: 1, GPU: controlplane.MI300X, GPUsPerNode: 8}},
	}, stack.NodeOptions{Images: images})
	if err != nil {
		t.Fatalf("%v\n%s", err, progress)
	}
	t.Logf("control plane and node were ready after %s", time.Since(began).Round(time.Second))
	sys := &system{Stack: s, t: t, images: images, tag: tag}
	t.Cleanup(func() {
		if t.Failed() {
			sys.keepState()
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		sameMachine(t, before, machine(t))
	})
	sys.advertiseCards()
	for _, step := range []struct {
		name string
		test func(*system)
	}{
		{"installed", (*system).installed},
		{"plan to pods", (*system).planToPods},
		{"logs", (*system).logs},
		{"a container is killed", (*system).killed},
		{"a container takes more memory than it may", (*system).outOfMemory},
		{"an image cannot be pulled", (*system).notPulled},
		{"a drain leaves one of each", (*system).drained},
		{"an expired certificate is renewed without a restart", (*system).certificate},
		{"upgraded and rolled back under load", (*system).upgraded},
		{"uninstalled", (*system).uninstalled},
		{"restored from a backup", (*system).restored},
	} {
		if !t.Run(step.name, func(t *testing.T) {
			began := time.Now()
			sys.t = t
			step.test(sys)
			t.Logf("took %s", time.Since(began).Round(time.Second))
		}) {
			break // each begins where the one before it ended
		}
	}
	sys.t = t
}

// advertiseCards makes accelerators of the node, as a labeller and a device plugin would.
func (s *system) advertiseCards() {
	s.t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: realnode.Name}}
	patch := func(text string) client.Patch { return client.RawPatch("application/merge-patch+json", []byte(text)) }
	if err := errors.Join(
		s.Client.Patch(s.t.Context(), node, patch(fmt.Sprintf(`{"metadata": {"labels": {"nvidia.com/gpu.product": %q}}}`, controlplane.L40S.Product))),
		s.Client.Status().Patch(s.t.Context(), node, patch(fmt.Sprintf(`{"status": {"capacity": {"nvidia.com/gpu": "%[1]d"}, "allocatable": {"nvidia.com/gpu": "%[1]d"}}}`, cards))),
	); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) eventually(what string, condition func(context.Context) error) {
	s.t.Helper()
	if err := stack.Eventually(s.t.Context(), what, soon, condition); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) helm(args ...string) string {
	s.t.Helper()
	out, err := s.Helm(s.t.Context(), args...)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// installed by one command all is Ready, under the standard restricted, and the default Optimizer reads Prometheus by its name in the cluster.
func (s *system) installed() {
	ctx := s.t.Context()
	if err := s.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: manifests.Namespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}); err != nil {
		s.t.Fatal(err)
	}
	began := time.Now()
	s.helm("install", stack.Release, chart, "--namespace="+manifests.Namespace, "--set=image.tag="+s.tag, "--set=optimizer.decisionLog=-", "--wait", "--timeout=10m")
	s.t.Logf("all Ready %s after helm install", time.Since(began).Round(time.Second))
	s.eventually("the default Optimizer runs cycles", func(ctx context.Context) error {
		var o v1alpha1.Optimizer
		if err := s.Client.Get(ctx, client.ObjectKey{Name: "default"}, &o); err != nil {
			return err
		}
		for _, c := range o.Status.Conditions {
			if c.Type == v1alpha1.ConditionReady && c.Status == metav1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("its conditions are %+v", o.Status.Conditions)
	})
	pods := s.pods(manifests.Namespace, nil)
	if len(pods) != 6 {
		s.t.Errorf("%d pods are installed, want two each of optimizer, adapter and scheduler", len(pods))
	}
	for _, p := range pods {
		for _, c := range p.Spec.Containers {
			if x := c.SecurityContext; x == nil || x.ReadOnlyRootFilesystem == nil || !*x.ReadOnlyRootFilesystem {
				s.t.Errorf("the root file system of %s can be written to", p.Name)
			}
		}
	}
}

func (s *system) pods(namespace string, labels client.MatchingLabels) []corev1.Pod {
	s.t.Helper()
	var list corev1.PodList
	if err := s.Client.List(s.t.Context(), &list, client.InNamespace(namespace), labels); err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

// engine is the workload of the server chat: simulated engines in containers, which get their limits from their pods' annotations.
func (s *system) engine(server *v1alpha1.Server) *appsv1.Deployment {
	d := stack.Deployment(server, 1)
	template := &d.Spec.Template
	template.Annotations = map[string]string{
		"prometheus.io/scrape": "true", "prometheus.io/port": "8000", v1alpha1.MaxNumSeqsAnnotation: "8", v1alpha1.MaxNumBatchedTokensAnnotation: "2048",
	}
	template.Spec.TerminationGracePeriodSeconds = new(int64(5))
	template.Spec.SecurityContext = &corev1.PodSecurityContext{
		RunAsNonRoot: new(true), RunAsUser: new(int64(2000)), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	c := &template.Spec.Containers[0]
	c.Image = "ghcr.io/llm-inferno/inferno-engine:" + s.tag
	c.Args = append(c.Args, "--served-model-name=llama", "--step-base=0.0242", "--step-per-token=0.0000887", "--step-per-context=0.00000019")
	c.Resources.Requests[corev1.ResourceCPU] = resource.MustParse("10m")
	c.Resources.Requests[corev1.ResourceMemory] = resource.MustParse("32Mi")
	c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/health", Port: intstr.FromInt32(8000)}}, PeriodSeconds: 1}
	c.SecurityContext = &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	return d
}

// planToPods sends load: the plan grows, the stock autoscaler follows it through the aggregated API, and pods run where the plan says with the limits
// that it says.
func (s *system) planToPods() {
	ctx := s.t.Context()
	if err := s.Apply(ctx, []byte(cluster)); err != nil {
		s.t.Fatal(err)
	}
	optimizer := &v1alpha1.Optimizer{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	change := `{"spec": {"interval": "2s", "prometheus": {"window": "10s"}, "stability": {"damped": {"scaleInHoldDown": "10s"}}}}`
	server := &v1alpha1.Server{
		ObjectMeta: metav1.ObjectMeta{Name: "chat", Namespace: namespace},
		Spec: v1alpha1.ServerSpec{
			Model: "llama", ServiceClass: "premium",
			ServerBinding: jsonspec.ServerBinding{ScaleTargetRef: &jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: "chat"}},
		},
	}
	if err := errors.Join(
		s.Client.Patch(ctx, optimizer, client.RawPatch("application/merge-patch+json", []byte(change))),
		s.Client.Create(ctx, server), s.Client.Create(ctx, s.engine(server)), s.Client.Create(ctx, stack.Autoscaler(server)),
	); err != nil {
		s.t.Fatal(err)
	}
	s.settled(1, cards)
	defer s.load(7)()
	s.settled(2, cards)
	for _, p := range s.pods(namespace, client.MatchingLabels{v1alpha1.ServerLabel: "chat"}) {
		s.startedAsAnnotated(&p)
	}
}

// settled waits until as many pods are ready as planned, at least min and at most max.
func (s *system) settled(min, max int) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%d to %d replicas run as planned", min, max), func(ctx context.Context) error {
		var server v1alpha1.Server
		if err := s.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "chat"}, &server); err != nil {
			return err
		}
		placed, err := s.Placement(ctx, namespace, "chat", "nvidia.com/gpu.product")
		d := server.Status.Desired
		if err != nil || d == nil || d.Replicas < min || d.Replicas > max || placed[controlplane.L40S.Product] != d.Replicas {
			return errors.Join(err, fmt.Errorf("planned is %+v, ready are %v, conditions %+v", d, placed, server.Status.Conditions))
		}
		return nil
	})
}

// startedAsAnnotated compares the command line of the container's process with what the scheduler wrote.
func (s *system) startedAsAnnotated(p *corev1.Pod) {
	s.t.Helper()
	line := strings.Join(s.process(p).arguments, " ")
	for flag, annotation := range map[string]string{"--max-num-seqs=": v1alpha1.MaxNumSeqsAnnotation, "--max-num-batched-tokens=": v1alpha1.MaxNumBatchedTokensAnnotation} {
		if want := flag + p.Annotations[annotation]; !slices.Contains(strings.Fields(line), want) {
			s.t.Errorf("%s runs %q, want %s", p.Name, line, want)
		}
	}
}

// process of a pod on this machine, the first that is not the sandbox's.
type process struct {
	pid       int
	arguments []string
}

func (s *system) process(p *corev1.Pod) process {
	s.t.Helper()
	id := strings.TrimPrefix(p.Status.ContainerStatuses[0].ContainerID, "containerd://")
	groups, _ := filepath.Glob("/proc/[0-9]*/cgroup")
	for _, file := range groups {
		data, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(data), id) {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(file, "/proc/%d/cgroup", &pid); err != nil {
			s.t.Fatal(err)
		}
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && len(line) > 0 {
			return process{pid, strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")}
		}
	}
	s.t.Fatalf("no process of %s (%s) runs", p.Name, id)
	return process{}
}

// load sends requests of 200 tokens that are answered with 100, so many a second, to the ready pods in turn, until what it returns is called.
func (s *system) load(rate float64) (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var wait sync.WaitGroup
	body := []byte(fmt.Sprintf(`{"model": "llama", "prompt": %q, "max_tokens": 100}`, strings.Repeat("word ", 200)))
	ask := func(address string) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+":8000/v1/completions", bytes.NewReader(body))
		if err != nil {
			return
		}
		if response, err := http.DefaultClient.Do(request); err == nil { // a pod that goes takes what it has with it
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
	}
	wait.Go(func() {
		ticks := time.NewTicker(time.Duration(float64(time.Second) / rate))
		defer ticks.Stop()
		var addresses []string
		var looked time.Time
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
			}
			if time.Since(looked) > time.Second {
				looked = time.Now()
				var list corev1.PodList
				if err := s.Client.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.ServerLabel: "chat"}); err != nil {
					continue
				}
				addresses = addresses[:0]
				for _, p := range list.Items {
					if isReady(&p) && p.DeletionTimestamp == nil {
						addresses = append(addresses, p.Status.PodIP)
					}
				}
			}
			if len(addresses) > 0 {
				address := addresses[i%len(addresses)]
				wait.Go(func() { ask(address) })
			}
		}
	})
	return func() { cancel(); wait.Wait() }
}

func isReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue })
}

// logs are read through the API server, and hold decisions: of the leader.
func (s *system) logs() {
	s.eventually("a decision is in the logs", func(ctx context.Context) error {
		for _, p := range s.pods(manifests.Namespace, client.MatchingLabels{"app.kubernetes.io/name": "inferno-optimizer"}) {
			data, err := s.Kube.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{TailLines: new(int64(200))}).Do(ctx).Raw()
			if err != nil {
				return err
			}
			for line := range strings.Lines(string(data)) {
				var record struct {
					ID     string          `json:"id"`
					System json.RawMessage `json:"system"`
				}
				if json.Unmarshal([]byte(line), &record) == nil && record.ID != "" && len(record.System) > 0 {
					return nil
				}
			}
		}
		return errors.New("no line is a record of a cycle")
	})
}

// killed: a container whose process dies starts anew, with the limits that its pod has.
func (s *system) killed() {
	pod := s.pods(namespace, client.MatchingLabels{v1alpha1.ServerLabel: "chat"})[0]
	if err := syscall.Kill(s.process(&pod).pid, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("it runs again", func(ctx context.Context) error {
		var now corev1.Pod
		if err := s.Client.Get(ctx, client.ObjectKeyFromObject(&pod), &now); err != nil {
			return err
		}
		if c := now.Status.ContainerStatuses[0]; c.RestartCount != pod.Status.ContainerStatuses[0].RestartCount+1 || !isReady(&now) {
			return fmt.Errorf("its container is %+v", c)
		}
		pod = now
		return nil
	})
	s.startedAsAnnotated(&pod)
	s.settled(1, cards)
}

// lone is a pod of no server that runs an engine.
func (s *system) lone(name, image string, memory string) *corev1.Pod {
	d := s.engine(&v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}})
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Spec: d.Spec.Template.Spec}
	p.Spec.SchedulerName = ""
	c := &p.Spec.Containers[0]
	c.Image, c.Args, c.Env = image, nil, nil
	c.Resources = corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)}}
	if err := s.Client.Create(s.t.Context(), p); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// outOfMemory: limits are the kernel's, and what dies of them says so.
func (s *system) outOfMemory() {
	p := s.lone("starved", "ghcr.io/llm-inferno/inferno-engine:"+s.tag, "16Mi")
	defer s.remove(p)
	// It reads a request whole.
	large := fmt.Appendf(nil, `{"prompt": %q, "max_tokens": 1}`, strings.Repeat("x", 15<<20))
	s.eventually("it is killed for its memory", func(ctx context.Context) error {
		if err := s.Client.Get(ctx, client.ObjectKeyFromObject(p), p); err != nil {
			return err
		}
		for _, c := range p.Status.ContainerStatuses {
			for _, state := range []corev1.ContainerState{c.State, c.LastTerminationState} {
				if state.Terminated != nil && state.Terminated.Reason == "OOMKilled" {
					return nil
				}
			}
		}
		if isReady(p) {
			if response, err := http.Post("http://"+p.Status.PodIP+":8000/v1/completions", "application/json", bytes.NewReader(large)); err == nil {
				_ = response.Body.Close()
			}
		}
		return fmt.Errorf("its containers are %+v", p.Status.ContainerStatuses)
	})
}

func (s *system) remove(p *corev1.Pod) {
	if err := s.Client.Delete(s.t.Context(), p, client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
		s.t.Error(err)
	}
}

// notPulled: an image that is not there keeps its own pod waiting, and nothing else.
func (s *system) notPulled() {
	p := s.lone("missing", "ghcr.io/llm-inferno/no-such-image:"+s.tag, "32Mi")
	defer s.remove(p)
	s.eventually("it waits for its image", func(ctx context.Context) error {
		if err := s.Client.Get(ctx, client.ObjectKeyFromObject(p), p); err != nil {
			return err
		}
		for _, c := range p.Status.ContainerStatuses {
			if w := c.State.Waiting; w != nil && (w.Reason == "ErrImagePull" || w.Reason == "ImagePullBackOff") {
				return nil
			}
		}
		return fmt.Errorf("its containers are %+v", p.Status.ContainerStatuses)
	})
	s.settled(1, cards)
}

// drained: evictions, as a drain asks for them, leave one replica of each program running where there is no other node, so that plans are followed
// meanwhile; afterwards all run again.
func (s *system) drained() {
	ctx := s.t.Context()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: realnode.Name}}
	cordon := func(on bool) {
		patch := fmt.Sprintf(`{"spec": {"unschedulable": %t}}`, on)
		if err := s.Client.Patch(context.WithoutCancel(ctx), node, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
			s.t.Fatal(err)
		}
	}
	cordon(true)
	refused := map[string]int{}
	for range 2 {
		for _, p := range s.pods(manifests.Namespace, nil) {
			if p.Spec.NodeName == "" {
				continue
			}
			err := s.Kube.PolicyV1().Evictions(p.Namespace).Evict(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace}})
			switch {
			case apierrors.IsTooManyRequests(err):
				refused[p.Labels["app.kubernetes.io/name"]]++
			case err != nil && !apierrors.IsNotFound(err):
				s.t.Fatal(err)
			}
		}
		time.Sleep(time.Second) // for the evicted to be seen going
	}
	for _, name := range []string{"inferno-optimizer", "inferno-adapter", "inferno-scheduler"} {
		ready := 0
		for _, p := range s.pods(manifests.Namespace, client.MatchingLabels{"app.kubernetes.io/name": name}) {
			if isReady(&p) && p.DeletionTimestamp == nil {
				ready++
			}
		}
		if ready < 1 || refused[name] == 0 {
			s.t.Errorf("%s: %d are ready while the node is drained, %d evictions were refused; want at least one each", name, ready, refused[name])
		}
	}
	if _, err := s.desired(ctx); err != nil {
		s.t.Errorf("while the node is drained autoscalers are told: %v", err)
	}
	cordon(false)
	s.allReady()
}

// allReady waits until all of inferno's Deployments have all replicas.
func (s *system) allReady() {
	s.t.Helper()
	s.eventually("all of inferno is ready", func(ctx context.Context) error {
		var list appsv1.DeploymentList
		if err := s.Client.List(ctx, &list, client.InNamespace(manifests.Namespace)); err != nil {
			return err
		}
		for _, d := range list.Items {
			if d.Status.ReadyReplicas != *d.Spec.Replicas || d.Status.UpdatedReplicas != *d.Spec.Replicas || d.Status.Replicas != *d.Spec.Replicas {
				return fmt.Errorf("%s: %+v", d.Name, d.Status)
			}
		}
		return nil
	})
}

// desired is what an autoscaler is told, by way of the API server.
func (s *system) desired(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	data, err := s.Kube.Discovery().RESTClient().Get().AbsPath("/apis/external.metrics.k8s.io/v1beta1/namespaces/"+namespace+"/inferno_desired_replicas").
		Param("labelSelector", "server=chat").Do(ctx).Raw()
	if err != nil {
		return "", err
	}
	var list struct{ Items []struct{ Value string } }
	if err := json.Unmarshal(data, &list); err != nil || len(list.Items) != 1 {
		return "", errors.Join(err, fmt.Errorf("the answer is %s", data))
	}
	return list.Items[0].Value, nil
}

// restarts of the containers of one of inferno's programs, by pod. Those that go are left out: an evicted pod may be on its way still.
func (s *system) restarts(name string) map[string]int32 {
	all := map[string]int32{}
	for _, p := range s.pods(manifests.Namespace, client.MatchingLabels{"app.kubernetes.io/name": name}) {
		for _, c := range p.Status.ContainerStatuses {
			if p.DeletionTimestamp == nil {
				all[p.Name] += c.RestartCount
			}
		}
	}
	return all
}

// served certificates of all adapters are as wanted.
func (s *system) served(as func(*x509.Certificate) bool) error {
	for _, p := range s.pods(manifests.Namespace, client.MatchingLabels{"app.kubernetes.io/name": "inferno-adapter"}) {
		if p.DeletionTimestamp != nil {
			continue
		}
		connection, err := tls.Dial("tcp", p.Status.PodIP+":6443", &tls.Config{InsecureSkipVerify: true}) // whatever it is
		if err != nil {
			return err
		}
		c := connection.ConnectionState().PeerCertificates[0]
		if err := connection.Close(); err != nil {
			return err
		}
		if !as(c) {
			return fmt.Errorf("that of %s ends at %s", p.Name, c.NotAfter)
		}
	}
	return nil
}

// certificate: one that has expired makes the API unavailable, and another brings it back, read by the pods that run.
func (s *system) certificate() {
	before := s.restarts("inferno-adapter")
	renew := func(valid string) {
		s.t.Helper()
		out, err := exec.CommandContext(s.t.Context(), filepath.Join(s.images, "..", "bin", "linux-"+architecture(), "inferno-adapter"), "certificate", "--valid="+valid).Output()
		if err != nil {
			s.t.Fatal(err)
		}
		if err := s.Apply(s.t.Context(), out); err != nil {
			s.t.Fatal(err)
		}
	}
	renew("1s")
	s.eventually("the expired certificate is served", func(ctx context.Context) error {
		return s.served(func(c *x509.Certificate) bool { return time.Now().After(c.NotAfter) })
	})
	s.eventually("an expired certificate is not believed", func(ctx context.Context) error {
		if _, err := s.desired(ctx); err == nil {
			return errors.New("it is answered")
		}
		return nil
	})
	renew("24h")
	s.eventually("the renewed certificate is served", func(ctx context.Context) error {
		return s.served(func(c *x509.Certificate) bool { return time.Now().Before(c.NotAfter) })
	})
	s.eventually("the renewed one is believed", func(ctx context.Context) error { _, err := s.desired(ctx); return err })
	after := s.restarts("inferno-adapter")
	for pod, n := range before {
		if m, there := after[pod]; !there || m != n {
			s.t.Errorf("%s restarted %d times, or is gone (%t), for the certificate", pod, m-n, !there)
		}
	}
	s.settled(1, cards)
}
