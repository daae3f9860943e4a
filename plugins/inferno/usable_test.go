package inferno_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fwk "k8s.io/kube-scheduler/framework"
	schedulerconfig "k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeaffinity"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/noderesources"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeunschedulable"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/tainttoleration"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// filters of the scheduler's own that say whether a pod can be on a node.
func filters(t *testing.T) []fwk.FilterPlugin {
	t.Helper()
	var all []fwk.FilterPlugin
	add := func(p fwk.Plugin, err error) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p.(fwk.FilterPlugin))
	}
	ctx := t.Context()
	add(nodeunschedulable.New(ctx, nil, nil, feature.Features{}))
	add(tainttoleration.New(ctx, nil, nil, feature.Features{}))
	add(nodeaffinity.New(ctx, &schedulerconfig.NodeAffinityArgs{}, nil, feature.Features{}))
	return all
}

// random cluster of nodes with taints, labels and others' pods, and servers whose pods wait with tolerations, selectors and requests.
type random struct{ *rand.Rand }

func (r random) chance(n int) bool { return r.IntN(n) == 0 }

func list(cards, cpu, gigabytes int) v1.ResourceList {
	return v1.ResourceList{
		"nvidia.com/gpu": *resource.NewQuantity(int64(cards), resource.DecimalSI), v1.ResourceCPU: *resource.NewQuantity(int64(cpu), resource.DecimalSI),
		v1.ResourceMemory: *resource.NewQuantity(int64(gigabytes)<<30, resource.BinarySI), v1.ResourceEphemeralStorage: *resource.NewQuantity(100<<30, resource.BinarySI),
		v1.ResourcePods: *resource.NewQuantity(100, resource.DecimalSI),
	}
}

var taints = []v1.Taint{
	{Key: "dedicated", Value: "training", Effect: v1.TaintEffectNoSchedule}, {Key: "nvidia.com/gpu", Effect: v1.TaintEffectNoSchedule},
	{Key: "maintenance", Effect: v1.TaintEffectNoExecute}, {Key: "slow", Effect: v1.TaintEffectPreferNoSchedule},
}

func (r random) node(name string) v1.Node {
	n := v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		"nvidia.com/gpu.product": []string{"NVIDIA-H100-80GB-HBM3", "NVIDIA-L4"}[r.IntN(2)], "zone": []string{"a", "b"}[r.IntN(2)], "pool": []string{"spot", "reserved"}[r.IntN(2)],
		v1.LabelHostname: name,
	}}}
	for _, taint := range taints {
		if r.chance(4) {
			n.Spec.Taints = append(n.Spec.Taints, taint)
		}
	}
	n.Spec.Unschedulable = r.chance(10)
	n.Status.Allocatable = list(1<<r.IntN(4), 8<<r.IntN(4), 64<<r.IntN(4))
	n.Status.Conditions = []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue}}
	if r.chance(10) {
		n.Status.Conditions[0].Status = v1.ConditionUnknown
		n.Spec.Taints = append(n.Spec.Taints, v1.Taint{Key: v1.TaintNodeUnreachable, Effect: v1.TaintEffectNoSchedule})
	}
	return n
}

// template of the pods of a server that each take so many cards.
func (r random) template(cards int) v1.PodSpec {
	spec := v1.PodSpec{Containers: []v1.Container{{Resources: v1.ResourceRequirements{Requests: list(cards, 1<<r.IntN(6), 8<<r.IntN(6))}}}}
	delete(spec.Containers[0].Resources.Requests, v1.ResourcePods)
	for _, taint := range taints {
		if !r.chance(3) {
			spec.Tolerations = append(spec.Tolerations, v1.Toleration{Key: taint.Key, Operator: v1.TolerationOpExists})
		}
	}
	if r.chance(3) {
		spec.NodeSelector = map[string]string{"zone": "a"}
	}
	if r.chance(3) {
		spec.Affinity = &v1.Affinity{NodeAffinity: &v1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{
			{MatchExpressions: []v1.NodeSelectorRequirement{{Key: "pool", Operator: v1.NodeSelectorOpNotIn, Values: []string{"spot"}}}},
			{MatchFields: []v1.NodeSelectorRequirement{{Key: metav1.ObjectNameField, Operator: v1.NodeSelectorOpIn, Values: []string{"n0"}}}},
		}}}}
	}
	return spec
}

func (r random) readings() *observe.Readings {
	meta := func(name, namespace string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Namespace: namespace}
	}
	out := &observe.Readings{Now: time.Unix(1e9, 0), Window: time.Minute, StaleAfter: time.Hour, Metrics: observe.Metrics{}}
	res := &out.Resources
	accelerator := func(name, kind string, cost float64, selector map[string]string) {
		res.Accelerators = append(res.Accelerators, v1alpha1.Accelerator{ObjectMeta: meta(name, ""), Spec: v1alpha1.AcceleratorSpec{
			AcceleratorProperties: v1alpha1.AcceleratorProperties{Type: kind, Cost: cost}, NodeSelector: selector,
		}})
	}
	accelerator("l4", "L4", 50, nil)
	accelerator("h100-reserved", "H100", 400, map[string]string{"pool": "reserved"})
	accelerator("h100-spot", "H100", 200, map[string]string{"pool": "spot"})
	res.Optimizer = &v1alpha1.Optimizer{ObjectMeta: meta("default", ""), Spec: v1alpha1.OptimizerSpec{SolverPolicy: v1alpha1.SolverPolicy{
		SaturationPolicy: v1alpha1.SaturationPriorityExhaustive,
	}}}
	res.ServiceClasses = []v1alpha1.ServiceClass{{ObjectMeta: meta("c", ""), Spec: v1alpha1.ServiceClassSpec{Priority: 1}}}
	for i := range 1 + r.IntN(4) {
		name, cards, replicas := fmt.Sprintf("s%d", i), 1<<r.IntN(3), 1+r.IntN(5)
		model := v1alpha1.Model{ObjectMeta: meta("m-"+name, "")}
		for _, a := range res.Accelerators {
			model.Spec.PerfData = append(model.Spec.PerfData, v1alpha1.Performance{
				Acc: a.Name, AccCount: cards, MaxBatchSize: 64, PerfParms: &v1alpha1.PerfParms{Alpha: 12, Beta: 0.04, Gamma: 5e-5},
			})
		}
		res.Models = append(res.Models, model)
		targets := &res.ServiceClasses[0].Spec.ModelTargets
		*targets = append(*targets, v1alpha1.ModelTarget{Model: model.Name, ITL: 100, TTFT: 5000})
		res.Servers = append(res.Servers, v1alpha1.Server{ObjectMeta: meta(name, "llm"), Spec: v1alpha1.ServerSpec{Model: model.Name, ServiceClass: "c", MinReplicas: &replicas}})
		spec := r.template(cards)
		if r.chance(2) {
			out.Pods = append(out.Pods, v1.Pod{ObjectMeta: meta("p-"+name, "llm"), Spec: spec})
			out.Pods[len(out.Pods)-1].Labels = map[string]string{v1alpha1.ServerLabel: name}
		} else {
			if out.Templates == nil {
				out.Templates = map[observe.Workload]*v1.PodSpec{}
			}
			w := observe.Workload{}
			w.Server.Namespace, w.Server.Name = "llm", name
			out.Templates[w] = &spec
		}
	}
	for i := range 2 + r.IntN(7) {
		n := r.node(fmt.Sprintf("n%d", i))
		out.Nodes = append(out.Nodes, n)
		if r.chance(3) {
			other := v1.Pod{ObjectMeta: meta("other-"+n.Name, "train"), Spec: v1.PodSpec{NodeName: n.Name, Containers: []v1.Container{{Resources: v1.ResourceRequirements{Requests: list(1, 4, 16)}}}}}
			out.Pods = append(out.Pods, other)
		}
	}
	return out
}

// unusable are the nodes that a plan puts replicas of a server on, where the scheduler would not let a pod of it be, beside what others hold.
func unusable(t *testing.T, all []fwk.FilterPlugin, r *observe.Readings, s *v1alpha1.System, plan *v1alpha1.Solution) (wrong []string, placed int) {
	t.Helper()
	nodes := map[string]*framework.NodeInfo{}
	for i := range r.Nodes {
		nodes[r.Nodes[i].Name] = framework.NewNodeInfo()
		nodes[r.Nodes[i].Name].SetNode(&r.Nodes[i])
	}
	pods := map[string]*v1.Pod{}
	for i := range r.Pods {
		p := &r.Pods[i]
		if p.Spec.NodeName != "" {
			nodes[p.Spec.NodeName].AddPod(p)
		} else {
			pods["llm/"+p.Labels[v1alpha1.ServerLabel]] = p
		}
	}
	for w, spec := range r.Templates {
		pods[w.Server.String()] = &v1.Pod{Spec: *spec}
	}
	types := map[string]string{}
	for _, a := range s.Accelerators.Spec {
		types[a.Name] = a.CardType(a.Name)
	}
	for _, e := range s.Servers.Spec {
		a := plan.Allocations[e.Name]
		if a.NumReplicas == 0 {
			continue
		}
		for _, at := range plan.Placement {
			if at.Type != types[a.Accelerator] || at.Scope != e.Scopes[a.Accelerator] {
				continue
			}
			placed++
			pod, node := pods[e.Name], nodes[at.Node]
			for _, f := range all {
				if status := f.Filter(context.Background(), framework.NewCycleState(), pod, node); !status.IsSuccess() {
					wrong = append(wrong, fmt.Sprintf("%s on %s: %v", e.Name, at.Node, status.Message()))
				}
			}
			// Two servers of one scope may differ in the cards that they take: only what both need is asked for.
			one := pod.DeepCopy()
			delete(one.Spec.Containers[0].Resources.Requests, "nvidia.com/gpu")
			for _, lack := range noderesources.Fits(one, node, nil, noderesources.ResourceRequestsOptions{}) {
				wrong = append(wrong, fmt.Sprintf("%s on %s: %s", e.Name, at.Node, lack.Reason))
			}
		}
	}
	return wrong, placed
}

// No plan names a node that no pod of the server could be on, whatever there is of taints, labels, selectors, affinity and other pods: the scheduler's
// own filters say so. With all nodes of a type for everybody they would, of the same clusters.
func TestPlansNameUsableNodes(t *testing.T) {
	all := filters(t)
	placed, scoped, careless := 0, 0, 0
	for seed := range uint64(1000) {
		r := random{rand.New(rand.NewPCG(seed, 3))}.readings()
		decide := func(s *specification.Snapshot) *v1alpha1.Solution {
			stages, err := control.NewStages(&s.System.Optimizer.Spec)
			if err != nil {
				t.Fatal(err)
			}
			d, err := stages.Decide(t.Context(), s.Core(), control.State{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			return &specification.Report(&s.System, &d.Decision).Plan
		}
		o := observe.Observe(r)
		wrong, n := unusable(t, all, r, &o.Snapshot.System, decide(&o.Snapshot))
		if len(wrong) > 0 {
			t.Fatalf("seed %d: %v", seed, wrong)
		}
		placed += n
		for i := range o.Snapshot.System.Servers.Spec {
			scoped += len(o.Snapshot.System.Servers.Spec[i].Scopes)
			o.Snapshot.System.Servers.Spec[i].Scopes = nil
		}
		wrong, _ = unusable(t, all, r, &o.Snapshot.System, decide(&o.Snapshot))
		careless += len(wrong)
	}
	t.Logf("%d placements of servers on nodes, %d scopes; without scopes %d faults", placed, scoped, careless)
	if placed < 1000 || scoped < 1000 || careless < 1000 {
		t.Errorf("%d placements, %d scopes, %d faults without scopes: too few to tell anything", placed, scoped, careless)
	}
}
