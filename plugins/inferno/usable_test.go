package inferno_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
	fwk "k8s.io/kube-scheduler/framework"
	schedulerconfig "k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeaffinity"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/noderesources"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeunschedulable"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/tainttoleration"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/realise"
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

// published are the cards of a node as a driver of dynamic resource allocation has them.
func published(n *v1.Node) resourcev1.ResourceSlice {
	name, product, cards := n.Name, n.Labels["nvidia.com/gpu.product"], n.Status.Allocatable["nvidia.com/gpu"]
	s := resourcev1.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: resourcev1.ResourceSliceSpec{
		Driver: "gpu.nvidia.com", NodeName: &name, Pool: resourcev1.ResourcePool{Name: name, ResourceSliceCount: 1},
	}}
	for i := range cards.Value() {
		s.Spec.Devices = append(s.Spec.Devices, resourcev1.Device{Name: fmt.Sprint("gpu-", i), Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{"productName": {StringValue: &product}}})
	}
	return s
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
			Type: kind, CostPerHour: v1alpha1.DecimalOf(cost), NodeSelector: selector,
		}})
	}
	accelerator("l4", "L4", 50, nil)
	accelerator("h100-reserved", "H100", 400, map[string]string{"pool": "reserved"})
	accelerator("h100-spot", "H100", 200, map[string]string{"pool": "spot"})
	res.Optimizer = &v1alpha1.Optimizer{ObjectMeta: meta("default", ""), Spec: v1alpha1.OptimizerSpec{PlanPolicy: v1alpha1.PlanPolicy{
		SaturationPolicy: jsonspec.SaturationPriorityExhaustive,
	}}}
	res.ServiceClasses = []v1alpha1.ServiceClass{{ObjectMeta: meta("c", ""), Spec: v1alpha1.ServiceClassSpec{
		Priority: 100, Targets: []v1alpha1.Target{{Model: v1alpha1.AnyModel, ITL: &metav1.Duration{Duration: 100 * time.Millisecond}}},
	}}}
	for i := range 1 + r.IntN(4) {
		name, cards, replicas := fmt.Sprintf("s%d", i), 1<<r.IntN(3), 1+r.IntN(5)
		model := v1alpha1.Model{ObjectMeta: meta("m-"+name, "")}
		for _, a := range res.Accelerators {
			model.Spec.Performance = append(model.Spec.Performance, v1alpha1.Performance{
				Accelerator: a.Name, AcceleratorsPerReplica: cards, MaxBatchSize: 64, Work: &v1alpha1.WorkLaw{Alpha: v1alpha1.DecimalOf(12), Beta: v1alpha1.DecimalOf(0.04), Gamma: v1alpha1.DecimalOf(5e-5)},
			})
		}
		res.Models = append(res.Models, model)
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
	if !r.chance(4) {
		out.Classes = []resourcev1.DeviceClass{{ObjectMeta: meta("gpu", ""), Spec: resourcev1.DeviceClassSpec{
			ExtendedResourceName: new("nvidia.com/gpu"), Selectors: []resourcev1.DeviceSelector{{CEL: &resourcev1.CELDeviceSelector{Expression: `device.driver == "gpu.nvidia.com"`}}},
		}}}
	}
	for i := range 2 + r.IntN(7) {
		n := r.node(fmt.Sprintf("n%d", i))
		if r.chance(3) { // its cards are devices of a driver's
			out.Slices = append(out.Slices, published(&n))
			delete(n.Labels, "nvidia.com/gpu.product")
			delete(n.Status.Allocatable, "nvidia.com/gpu")
		}
		out.Nodes = append(out.Nodes, n)
		if r.chance(3) && n.Labels["nvidia.com/gpu.product"] != "" {
			other := v1.Pod{ObjectMeta: meta("other-"+n.Name, "train"), Spec: v1.PodSpec{NodeName: n.Name, Containers: []v1.Container{{Resources: v1.ResourceRequirements{Requests: list(1, 4, 16)}}}}}
			out.Pods = append(out.Pods, other)
		}
	}
	return out
}

// hall is a cluster in which the pods of a plan are seated one after the other, as the scheduler's own plugins let them.
type hall struct {
	t       *testing.T
	filters []fwk.FilterPlugin
	nodes   map[string]*framework.NodeInfo
	slices  []*resourcev1.ResourceSlice
	class   *resourcev1.DeviceClass
	taken   sets.Set[structured.DeviceID]
	// devices that were allocated.
	devices int
}

func newHall(t *testing.T, filters []fwk.FilterPlugin, r *observe.Readings) *hall {
	h := &hall{t: t, filters: filters, nodes: map[string]*framework.NodeInfo{}, taken: sets.New[structured.DeviceID]()}
	for i := range r.Nodes {
		h.nodes[r.Nodes[i].Name] = framework.NewNodeInfo()
		h.nodes[r.Nodes[i].Name].SetNode(&r.Nodes[i])
	}
	for i := range r.Pods {
		if p := &r.Pods[i]; p.Spec.NodeName != "" {
			h.nodes[p.Spec.NodeName].AddPod(p)
		}
	}
	for i := range r.Slices {
		h.slices = append(h.slices, &r.Slices[i])
	}
	if len(r.Classes) > 0 {
		h.class = &r.Classes[0]
	}
	return h
}

func (h *hall) List() ([]*resourcev1.DeviceClass, error) {
	return []*resourcev1.DeviceClass{h.class}, nil
}
func (h *hall) Get(string) (*resourcev1.DeviceClass, error) { return h.class, nil }

// seat a pod on a node beside those that sit there; what is wrong where the scheduler would not.
func (h *hall) seat(pod *v1.Pod, node string) (wrong []string) {
	at := h.nodes[node]
	for _, f := range h.filters {
		if status := f.Filter(context.Background(), framework.NewCycleState(), pod, at); !status.IsSuccess() {
			wrong = append(wrong, status.Message())
		}
	}
	pod = pod.DeepCopy()
	requests := pod.Spec.Containers[0].Resources.Requests
	if cards := requests["nvidia.com/gpu"]; at.Node().Status.Allocatable["nvidia.com/gpu"] == (resource.Quantity{}) && h.class != nil {
		delete(requests, "nvidia.com/gpu")
		if !h.allocate(at.Node(), cards.Value()) {
			wrong = append(wrong, "cannot allocate all claims")
		}
	}
	for _, lack := range noderesources.Fits(pod, at, nil, noderesources.ResourceRequestsOptions{}) {
		wrong = append(wrong, lack.Reason)
	}
	pod.Spec.NodeName = node
	at.AddPod(pod)
	return wrong
}

// allocate devices of the class on a node, by what the plugin DynamicResources asks.
func (h *hall) allocate(node *v1.Node, devices int64) bool {
	allocator, err := structured.NewAllocator(h.t.Context(), structured.Features{PartitionableDevices: true}, structured.AllocatedState{AllocatedDevices: h.taken}, h, h.slices, cel.NewCache(10, cel.Features{}))
	if err != nil {
		h.t.Fatal(err)
	}
	results, err := allocator.Allocate(h.t.Context(), node, []*resourcev1.ResourceClaim{{Spec: resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{{
		Name: "cards", Exactly: &resourcev1.ExactDeviceRequest{DeviceClassName: h.class.Name, AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: devices},
	}}}}}})
	for _, r := range results {
		for _, d := range r.Devices.Results {
			h.taken.Insert(structured.MakeDeviceID(d.Driver, d.Pool, d.Device))
			h.devices++
		}
	}
	return err == nil && len(results) == 1
}

// unusable are the seats that a plan gives to replicas and that the scheduler would not, all of them seated at once beside what others hold, and those that it
// says replicas have and gives to none.
func unusable(h *hall, r *observe.Readings, s *jsonspec.System, plan *jsonspec.Solution) (wrong []string, placed int) {
	pods, types, cards, left := map[string]*v1.Pod{}, map[string]string{}, realise.ReplicaCards(s), map[string]int{}
	for i := range r.Pods {
		if p := &r.Pods[i]; p.Spec.NodeName == "" {
			pods["llm/"+p.Labels[v1alpha1.ServerLabel]] = p
		}
	}
	for w, spec := range r.Templates {
		pods[w.Server.String()] = &v1.Pod{Spec: *spec}
	}
	for _, a := range s.Accelerators.Spec {
		types[a.Name] = a.CardType(a.Name)
	}
	for name, a := range plan.Allocations {
		left[name] = a.NumReplicas
	}
	for _, at := range plan.Placement {
		for range at.Replicas {
			i := slices.IndexFunc(s.Servers.Spec, func(e jsonspec.ServerEntry) bool {
				a := plan.Allocations[e.Name].Accelerator
				return left[e.Name] > 0 && at.Type == types[a] && at.Scope == e.Scopes[a] && at.CardsPerReplica == cards[[2]string{e.Model, a}]
			})
			if i < 0 {
				wrong = append(wrong, fmt.Sprintf("a seat on %s that is nobody's: %+v", at.Node, at))
				continue
			}
			name := s.Servers.Spec[i].Name
			left[name]--
			placed++
			for _, why := range h.seat(pods[name], at.Node) {
				wrong = append(wrong, fmt.Sprintf("%s on %s: %s", name, at.Node, why))
			}
		}
	}
	for name, n := range left {
		if n > 0 {
			wrong = append(wrong, fmt.Sprintf("%d replicas of %s have no seat", n, name))
		}
	}
	return wrong, placed
}

// No plan names a node that no pod of the server could be on, whatever there is of taints, labels, selectors, affinity, other pods, needs of processors and
// memory, device plugins and drivers of devices: the scheduler's own plugins seat all of its replicas, all at once. With all nodes of a type for everybody
// they would not, in the same clusters.
func TestPlansNameUsableNodes(t *testing.T) {
	all := filters(t)
	placed, scoped, careless, mixed, unshared, devices := 0, 0, 0, 0, 0, 0
	for seed := range uint64(1000) {
		r := random{rand.New(rand.NewPCG(seed, 3))}.readings()
		decide := func(s *specification.Snapshot) *jsonspec.Solution {
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
		h := newHall(t, all, r)
		wrong, n := unusable(h, r, &o.Snapshot.System, decide(&o.Snapshot))
		if len(wrong) > 0 {
			t.Fatalf("seed %d: %v", seed, wrong)
		}
		placed, devices = placed+n, devices+h.devices
		for i, n := range o.Snapshot.System.Capacity.Nodes {
			if len(n.Portions) > 1 {
				mixed++
			}
			o.Snapshot.System.Capacity.Nodes[i].Portions = nil
		}
		wrong, _ = unusable(newHall(t, all, r), r, &o.Snapshot.System, decide(&o.Snapshot))
		unshared += len(wrong)
		for i := range o.Snapshot.System.Servers.Spec {
			scoped += len(o.Snapshot.System.Servers.Spec[i].Scopes)
			o.Snapshot.System.Servers.Spec[i].Scopes = nil
		}
		wrong, _ = unusable(newHall(t, all, r), r, &o.Snapshot.System, decide(&o.Snapshot))
		careless += len(wrong)
	}
	t.Logf("%d replicas seated, %d devices for them, %d scopes, %d nodes on which processors or memory may run out first; without portions of these %d faults, without scopes %d",
		placed, devices, scoped, mixed, unshared, careless)
	if placed < 1000 || devices < 500 || scoped < 1000 || mixed < 200 || unshared < 20 || careless < 1000 {
		t.Error("too few to tell anything")
	}
}
