package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/evaluation/advise"
	"github.com/llm-inferno/inferno/optimizer/evaluation/contest"
	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
	"github.com/llm-inferno/inferno/optimizer/evaluation/readings"
	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/simulation/cluster"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// namespace of the servers that advise finds, and the window that it reads in.
const (
	namespace = "llm"
	window    = 2 * time.Minute
)

// began is when histories begin.
var began = time.Unix(1_700_006_400, 0)

// published are the names under which hubs have the scenarios' models: a template says these.
var published = map[string]string{
	"llama-3.1-8b": "meta-llama/Llama-3.1-8B-Instruct", "qwen2.5-14b": "Qwen/Qwen2.5-14B-Instruct", "qwen2.5-32b": "Qwen/Qwen2.5-32B-Instruct", "qwen3-32b": "Qwen/Qwen3-32B",
}

// pinned is the scenario with each server on one accelerator: the one of its Deployment.
func pinned(s *scenario.Scenario) (*policy.Fleet, error) {
	all, err := policy.NewFleet(s)
	if err != nil {
		return nil, err
	}
	runs, used := map[[2]string]bool{}, map[string]bool{}
	for _, e := range s.System.Servers.Spec {
		runs[[2]string{e.Model, all.Pins[e.Name]}], used[all.Pins[e.Name]] = true, true
	}
	on := *s
	on.Pinned = all.Pins
	on.System.Models.Spec = slices.DeleteFunc(slices.Clone(s.System.Models.Spec), func(p jsonspec.PerformanceEntry) bool { return !runs[[2]string{p.Name, p.Acc}] })
	on.Truths = slices.DeleteFunc(slices.Clone(s.Truths), func(t scenario.Truth) bool { return !runs[[2]string{t.Model, t.Accelerator}] })
	on.System.Accelerators.Spec = slices.DeleteFunc(slices.Clone(s.System.Accelerators.Spec), func(a jsonspec.AcceleratorEntry) bool { return !used[a.Name] })
	types := map[string]bool{}
	for _, a := range on.System.Accelerators.Spec {
		types[a.CardType(a.Name)] = true
	}
	on.Pools = slices.DeleteFunc(slices.Clone(s.Pools), func(p scenario.Pool) bool { return !types[p.Type] })
	return policy.NewFleet(&on)
}

// history of a fleet: what came of it, what Prometheus remembers, and the cluster as it is at its end.
type history struct {
	outcome *contest.Outcome
	past    []observe.MetricsAt
	cluster advise.Cluster
}

// live plays a fleet under a policy and remembers.
func live(f *policy.Fleet, e *policy.Entry, settings policy.Settings) (*history, error) {
	h := new(history)
	var last *cluster.View
	outcome, err := contest.Watch(f, e, settings, func(v *cluster.View) {
		last = v
		if math.Mod(v.Now, window.Seconds()) > 0 || v.Now == 0 {
			return
		}
		m := observe.MetricsAt{Time: began.Add(time.Duration(v.Now * float64(time.Second))), Metrics: observe.Metrics{}}
		for i := range v.Servers {
			for _, p := range slices.Concat(v.Servers[i].Pods, v.Servers[i].Departed) {
				if read := readings.Metrics(p.Series, v.Now, window.Seconds()); read != nil {
					m.Metrics[types.NamespacedName{Namespace: namespace, Name: p.Name}] = read
				}
			}
		}
		h.past = append(h.past, m)
	})
	if err != nil {
		return nil, err
	}
	h.outcome = outcome
	h.cluster = clusterOf(f, last)
	return h, nil
}

// clusterOf what ran at the end, as an API server would list it.
func clusterOf(f *policy.Fleet, v *cluster.View) advise.Cluster {
	var c advise.Cluster
	for _, p := range f.Config.Pools {
		e, _ := catalogue.Lookup(p.Type)
		for i := range p.Nodes {
			n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", p.Type, i), Labels: map[string]string{catalogue.ProductLabels(e.ResourceName)[0]: e.ProductNames[0]}}}
			n.Status.Allocatable = corev1.ResourceList{corev1.ResourceName(e.ResourceName): *resource.NewQuantity(int64(p.Cards), resource.DecimalSI)}
			c.Nodes = append(c.Nodes, n)
		}
	}
	for i := range v.Servers {
		s := &v.Servers[i]
		for _, p := range s.Pods {
			node := ""
			if p.Accelerator != "" {
				node = p.Accelerator + "-0"
			}
			c.Pods = append(c.Pods, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: p.Name}, Spec: corev1.PodSpec{NodeName: node}})
		}
		c.Workloads = append(c.Workloads, workloadOf(f, s.Name, s.Replicas))
	}
	return c
}

func workloadOf(f *policy.Fleet, name string, replicas int) advise.Workload {
	model := f.Scenario.System.Servers.Spec[slices.IndexFunc(f.Scenario.System.Servers.Spec, func(e jsonspec.ServerEntry) bool { return e.Name == name })].Model
	cards := 1
	for _, p := range f.Scenario.System.Models.Spec {
		if p.Name == model && p.Acc == f.Pins[name] {
			cards = p.Accelerators()
		}
	}
	hub := published[model]
	if hub == "" {
		hub = model
	}
	limits := f.Scenario.Limits(name)
	e, _ := catalogue.Lookup(f.Pins[name])
	return advise.Workload{Namespace: namespace, Name: name, Kind: "StatefulSet", Class: name, Replicas: replicas, Template: &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "vllm", Image: "vllm/vllm-openai:v0.11.0",
		Args: []string{
			"--model=" + hub, fmt.Sprintf("--tensor-parallel-size=%d", cards),
			fmt.Sprintf("--max-num-seqs=%d", limits.MaxNumSeqs), fmt.Sprintf("--max-num-batched-tokens=%d", limits.MaxNumBatchedTokens),
		},
		Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceName(e.ResourceName): *resource.NewQuantity(int64(cards), resource.DecimalSI)}},
	}}}}}
}

// question that advise is asked about a history.
func (h *history) question(f *policy.Fleet) (*advise.Question, error) {
	servers, skipped := advise.Find(&h.cluster)
	if len(skipped) > 0 {
		return nil, fmt.Errorf("skipped: %v", skipped)
	}
	q := &advise.Question{Servers: servers, Past: h.past, Window: window, Knowledge: fitting.BuiltIn()}
	names := f.Servers() // each is a class of its own, the most important first
	slices.SortStableFunc(names, func(a, b string) int { return f.Scenario.Priority(a) - f.Scenario.Priority(b) })
	for _, name := range names {
		t := f.Scenario.Targets(name)
		q.Targets = sizing.Targets{TTFT: t.TTFT, ITL: t.ITL, Percentile: f.Scenario.Percentile(name)}
		q.Classes = append(q.Classes, advise.Class{Name: name, Targets: q.Targets})
	}
	for _, a := range f.Scenario.System.Accelerators.Spec {
		q.Prices = append(q.Prices, catalogue.Price{Type: a.CardType(a.Name), CentsPerHour: a.Cost, Source: "the scenario"})
	}
	return q, nil
}
