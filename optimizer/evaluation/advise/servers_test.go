package advise

import (
	"math"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func node(name, product string) corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"nvidia.com/gpu.product": product}}}
	n.Status.Allocatable = corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("8")}
	return n
}

func pod(name, node string) corev1.Pod {
	return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: name}, Spec: corev1.PodSpec{NodeName: node}}
}

func vllm(name, kind string) Workload {
	return Workload{Namespace: "llm", Name: name, Kind: kind, Template: &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "c", Image: "vllm/vllm-openai", Args: []string{"--model=m/x-8b"},
		Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("2")}},
	}}}}}
}

// A server is found where all its pods run on one type of card; else the reason is told. Pods of a workload whose name begins alike are not its own.
func TestFind(t *testing.T) {
	c := &Cluster{
		Nodes: []corev1.Node{node("a", "NVIDIA-A100-SXM4-80GB"), node("l", "NVIDIA-L4"), node("x", "X9")},
		Pods: []corev1.Pod{
			pod("chat-7f-aaaaa", "a"), pod("chat-7f-bbbbb", "a"), pod("chat-large-7f-aaaaa", "l"), pod("chat-large-0", "a"),
			pod("both-7f-aaaaa", "a"), pod("both-7f-bbbbb", "l"), pod("odd-7f-aaaaa", "x"), pod("waits-7f-aaaaa", ""), pod("set-0", "l"),
		},
		Workloads: []Workload{vllm("chat", "Deployment"), vllm("chat-large", "Deployment"), vllm("both", "Deployment"), vllm("odd", "Deployment"), vllm("waits", "Deployment"), vllm("set", "StatefulSet")},
	}
	servers, skipped := Find(c)
	got := map[string]string{}
	for _, s := range servers {
		got[s.Name] = s.Accelerator
		if s.Cards != 2 {
			t.Errorf("%s has %d cards a replica", s.Name, s.Cards)
		}
	}
	if len(got) != 3 || got["chat"] != "A100" || got["chat-large"] != "L4" || got["set"] != "L4" {
		t.Errorf("found %v", got)
	}
	why := map[string]string{"llm/both": "several types of cards", "llm/odd": "names no type of the catalogue", "llm/waits": "no pod of it is on a node"}
	for _, s := range skipped {
		if !strings.Contains(s.Why, why[s.Workload]) || why[s.Workload] == "" {
			t.Errorf("%s is skipped: %s", s.Workload, s.Why)
		}
	}
	if len(skipped) != len(why) {
		t.Errorf("skipped %v", skipped)
	}
	if p := PoolsOf(c.Nodes); p["A100"] != (Pool{8, 1}) || p["L4"] != (Pool{8, 1}) || len(p) != 2 {
		t.Errorf("pools %v", p)
	}
}

// A question without servers, a past or prices says all of it.
func TestStudyFaults(t *testing.T) {
	_, err := Study(&Question{Servers: []Server{{Namespace: "llm", Name: "chat", Accelerator: "MI210"}}})
	for _, want := range []string{"past: nothing was measured", "ttft, itl", "price: MI210, which llm/chat runs on"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want that it says %q", err, want)
		}
	}
}

// A series keeps the mean of what is known, says nothing of what is not, and has no more parts than a picture shows.
func TestSeries(t *testing.T) {
	values := make([]float64, 10*parts)
	for i := range values {
		if values[i] = float64(i / 10); i/10 == 3 {
			values[i] = math.NaN()
		}
	}
	for i, v := range seriesOf(values) {
		if (v == nil) != (i == 3) || v != nil && *v != float64(i) {
			t.Errorf("part %d of the time has %v", i, v)
		}
	}
	if s := seriesOf(values); len(s) != parts {
		t.Errorf("%d parts", len(s))
	}
	if s := seriesOf(nil); len(s) != 0 {
		t.Errorf("of nothing there is %v", s)
	}
}
