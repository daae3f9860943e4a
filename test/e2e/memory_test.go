package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
)

// Size of the cluster whose caches are weighed: each server has the same number of pods, and every pod is measured.
const (
	heldServers    = 1_000
	heldPods       = 10_000
	heldNodes      = 1_250 // of eight cards
	heldNamespaces = 10
	weighedCycles  = 4
)

// BenchmarkMemory reports the resident memory of inferno's programs in a cluster of 1,000 Servers, 10,000 pods and 1,250 nodes, as large as objects
// of real clusters are, with every pod measured: its median and its largest value over some cycles of the optimizer. What the chart requests
// (docs/install.md) is from here.
func BenchmarkMemory(b *testing.B) {
	s := start(b, func(o *stack.Options) { o.PrometheusTimeout = soon })
	answers := httptest.NewServer(http.HandlerFunc(answerForAll))
	defer answers.Close()
	s.patch(optimizer(), fmt.Sprintf(`{"spec": {"mode": "Suspended", "interval": "5s", "prometheus": {"url": %q}}}`, answers.URL))
	c := s.unhurried()
	if err := s.fill(b.Context(), c); err != nil {
		b.Fatal(err)
	}
	s.patch(optimizer(), `{"spec": {"mode": "Active"}}`)
	cycles := func() (int64, error) {
		o := optimizer()
		if err := c.Get(b.Context(), client.ObjectKeyFromObject(o), o); err != nil || o.Status.LastCycle == nil {
			return 0, err
		}
		return o.Status.LastCycle.Number, nil
	}
	programs := []string{"inferno-optimizer", "kube-scheduler", "inferno-adapter"}
	resident := map[string][]float64{}
	for b.Loop() {
		first, err := cycles()
		if err != nil {
			b.Fatal(err)
		}
		s.eventually("cycles have run", func(context.Context) error {
			for _, name := range programs {
				mb, err := residentMB(s.Process(name).PID())
				if err != nil {
					return err
				}
				resident[name] = append(resident[name], mb)
			}
			n, err := cycles()
			if err == nil && n < first+weighedCycles {
				err = errors.New("not yet")
			}
			return err
		})
	}
	o := optimizer()
	if err := c.Get(b.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		b.Fatal(err)
	}
	if r := o.Status.LastCycle; r.Servers != heldServers || r.Held > 0 {
		b.Errorf("the last cycle planned for %d servers and held %d, want %d and none: %+v", r.Servers, r.Held, heldServers, r)
	}
	for _, name := range programs {
		slices.Sort(resident[name])
		b.Logf("%s: median %.0f MB, at most %.0f MB, %v", name, resident[name][len(resident[name])/2], slices.Max(resident[name]), o.Status.LastCycle.Stages)
		b.ReportMetric(resident[name][len(resident[name])/2], name+"-MB")
		b.ReportMetric(slices.Max(resident[name]), name+"-MB-max")
	}
	b.ReportMetric(0, "ns/op")
}

// fill the cluster with nodes, servers and their pods, and wait until those run.
func (s *system) fill(ctx context.Context, c client.Client) error {
	for i := range heldNamespaces {
		if err := c.Create(ctx, &corev1.Namespace{ObjectMeta: named(fmt.Sprintf("llm-%d", i))}); err != nil {
			return err
		}
	}
	if err := s.AddNodes(ctx, controlplane.NodePool{Name: "held", Count: heldNodes, GPU: controlplane.H100, GPUsPerNode: 8}); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range heldNodes {
		group.Go(func() error {
			node := &corev1.Node{ObjectMeta: named(fmt.Sprintf("held-%d", i))}
			before := node.DeepCopy()
			node.Status.Images = images()
			return c.Status().Patch(ctx, node, client.MergeFrom(before))
		})
	}
	for i := range heldServers {
		group.Go(func() error {
			server := benchServer(i)
			server.Spec.MinReplicas = new(heldPods / heldServers) // no pod is to go
			return c.Create(ctx, server)
		})
	}
	for i := range heldPods {
		group.Go(func() error { return c.Create(ctx, heldPod(i)) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	s.eventually("pods run", func(ctx context.Context) error {
		var pods corev1.PodList
		if err := c.List(ctx, &pods, client.InNamespace("llm-0")); err != nil {
			return err
		}
		if i := slices.IndexFunc(pods.Items, func(p corev1.Pod) bool { return p.Status.Phase != corev1.PodRunning }); i >= 0 {
			return fmt.Errorf("%s does not", pods.Items[i].Name)
		}
		return nil
	})
	return nil
}

// images of a node, as many as a kubelet reports, with names of the usual length.
func images() []corev1.ContainerImage {
	list := make([]corev1.ContainerImage, 50)
	for i := range list {
		name := fmt.Sprintf("registry.example.com/platform/component-%d", i)
		list[i] = corev1.ContainerImage{Names: []string{fmt.Sprintf("%s@sha256:%064x", name, i), name + ":v1.2.3"}, SizeBytes: 100e6}
	}
	return list
}

// heldPod is the pod of a model server with what charts and admission give one: variables, volumes, probes, tolerations, a sidecar.
func heldPod(i int) *corev1.Pod {
	server := benchKey(i % heldServers)
	cards := corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("1"), "cpu": resource.MustParse("8"), "memory": resource.MustParse("64Gi")}
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/health", Port: intstr.FromInt32(8000)}}, PeriodSeconds: 10}
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: server.Namespace, Name: fmt.Sprintf("%s-7d4b9c6f5d-%05d", server.Name, i),
			Labels: map[string]string{
				"app.kubernetes.io/name": "vllm", "app.kubernetes.io/instance": server.Name, "helm.sh/chart": "vllm-stack-0.1.7", "pod-template-hash": "7d4b9c6f5d",
				v1alpha1.ServerLabel: server.Name,
			},
			Annotations: map[string]string{
				v1alpha1.AcceleratorAnnotation: "h100", v1alpha1.MaxNumSeqsAnnotation: "96", v1alpha1.MaxNumBatchedTokensAnnotation: "2048",
				"prometheus.io/scrape": "true", "prometheus.io/port": "8000", "kubectl.kubernetes.io/restartedAt": "2026-11-29T10:00:00Z",
			},
		},
		Spec: corev1.PodSpec{
			NodeName: fmt.Sprintf("held-%d", i%heldNodes), SchedulerName: "inferno-scheduler", AutomountServiceAccountToken: new(false),
			Tolerations: []corev1.Toleration{{Key: "nvidia.com/gpu", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}},
			Containers: []corev1.Container{
				{
					Name: "engine", Image: "vllm/vllm-openai:v0.19.0@sha256:" + strings.Repeat("0", 64), Command: []string{"vllm", "serve", "/models/llama"},
					Args:      []string{"--max-num-seqs=$(MAX_NUM_SEQS)", "--max-num-batched-tokens=$(MAX_NUM_BATCHED_TOKENS)", "--served-model-name=llama", "--gpu-memory-utilization=0.9"},
					Resources: corev1.ResourceRequirements{Requests: cards, Limits: cards}, ReadinessProbe: probe, LivenessProbe: probe, StartupProbe: probe,
				},
				{Name: "log-shipper", Image: "registry.example.com/platform/log-shipper:v1.2.3", Args: []string{"--to=logs.example.com"}, ReadinessProbe: probe},
			},
		},
	}
	for j := range 20 {
		p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: fmt.Sprintf("VLLM_SETTING_%d", j), Value: "a value of some length"})
	}
	for j := range 5 {
		name := fmt.Sprintf("volume-%d", j)
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
		for k := range p.Spec.Containers {
			p.Spec.Containers[k].VolumeMounts = append(p.Spec.Containers[k].VolumeMounts, corev1.VolumeMount{Name: name, MountPath: "/mnt/" + name})
		}
	}
	return p
}

// measured are the values by a part of the question for them, the longest first that occurs; what is not named has none.
var measured = map[string]float64{
	"num_requests_running": 8, "num_requests_waiting": 0, "request_success_total": 2, "prompt_tokens_total": 400,
	"request_prompt_tokens_sum": 400, "request_prompt_tokens_count": 2, "request_generation_tokens_sum": 200, "request_generation_tokens_count": 2,
	"time_to_first_token_seconds_sum": 0.4, "time_to_first_token_seconds_count": 2, "inter_token_latency_seconds_sum": 5, "inter_token_latency_seconds_count": 200,
}

// answerForAll plays a Prometheus that has measured every pod: each question is answered with a value, or with the buckets of a histogram, for all.
func answerForAll(w http.ResponseWriter, r *http.Request) {
	question := r.FormValue("query")
	now := float64(time.Now().UnixMilli()) / 1e3
	out := bufio.NewWriter(w)
	defer out.Flush()
	w.Header().Set("Content-Type", "application/json")
	if question == "time()" {
		fmt.Fprintf(out, `{"status": "success", "data": {"resultType": "scalar", "result": [%f, "%f"]}}`, now, now)
		return
	}
	kind := "vector"
	if strings.Contains(question, ")[") {
		kind = "matrix"
	}
	value, known := valueOf(question)
	var bounds []string
	if strings.Contains(question, "_bucket") {
		for i := range 20 {
			bounds = append(bounds, fmt.Sprint(float64(int(1)<<i)/1e3))
		}
		bounds = append(bounds, "+Inf")
	}
	fmt.Fprintf(out, `{"status": "success", "data": {"resultType": %q, "result": [`, kind)
	comma := ""
	for _, pod := range heldLabels() {
		switch {
		case kind == "matrix":
			fmt.Fprintf(out, `%s{"metric": {%s}, "values": [[%f, "100"], [%f, "130"], [%f, "160"]]}`, comma, pod, now-60, now-30, now)
			comma = ","
		case bounds != nil:
			for j, le := range bounds {
				fmt.Fprintf(out, `%s{"metric": {%s, "le": %q}, "value": [%f, "%d"]}`, comma, pod, le, now, min(j, 12))
				comma = ","
			}
		case known:
			fmt.Fprintf(out, `%s{"metric": {%s}, "value": [%f, "%g"]}`, comma, pod, now, value)
			comma = ","
		}
	}
	fmt.Fprint(out, `]}}`)
}

// heldLabels are those that Prometheus knows the pods by.
var heldLabels = sync.OnceValue(func() []string {
	labels := make([]string, heldPods)
	for i := range labels {
		p := heldPod(i)
		labels[i] = fmt.Sprintf(`"namespace": %q, "pod": %q`, p.Namespace, p.Name)
	}
	return labels
})

func valueOf(question string) (float64, bool) {
	names := slices.SortedFunc(maps.Keys(measured), func(a, b string) int { return len(b) - len(a) })
	for _, name := range names {
		if strings.Contains(question, name) {
			return measured[name], true
		}
	}
	return 0, false
}
