package observe

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

const (
	h100Name = "NVIDIA H100 80GB HBM3"
	driver   = "gpu.nvidia.com"
	quarter  = "2g.20gb"
	half     = "3g.40gb"
)

// cut is a card that is published whole, as two halves and as four quarters, in two slices of a pool: what it has, and what it is given out as.
func cut(node string, cards ...string) []resourcev1.ResourceSlice {
	pool := resourcev1.ResourcePool{Name: node, ResourceSliceCount: 2}
	counts := resourcev1.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: node + "-0"}, Spec: resourcev1.ResourceSliceSpec{Driver: driver, NodeName: &node, Pool: pool}}
	devices := resourcev1.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: node + "-1"}, Spec: resourcev1.ResourceSliceSpec{Driver: driver, NodeName: &node, Pool: pool}}
	for _, name := range cards {
		counts.Spec.SharedCounters = append(counts.Spec.SharedCounters, resourcev1.CounterSet{Name: name, Counters: memory(0, 1, 2, 3)})
		for _, part := range []struct {
			profile string
			of      []int
		}{{"", []int{0, 1, 2, 3}}, {half, []int{0, 1}}, {half, []int{2, 3}}, {quarter, []int{0}}, {quarter, []int{1}}, {quarter, []int{2}}, {quarter, []int{3}}} {
			d := publishedAs(fmt.Sprintf("%s-%d%d", name, len(part.of), part.of[0]), part.profile)
			d.ConsumesCounters = []resourcev1.DeviceCounterConsumption{{CounterSet: name, Counters: memory(part.of...)}}
			devices.Spec.Devices = append(devices.Spec.Devices, d)
		}
	}
	return []resourcev1.ResourceSlice{counts, devices}
}

func publishedAs(name, profile string) resourcev1.Device {
	product := h100Name
	d := resourcev1.Device{Name: name, Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{productAttribute: {StringValue: &product}}}
	if profile != "" {
		d.Attributes[profileAttribute] = resourcev1.DeviceAttribute{StringValue: &profile}
	}
	return d
}

// memory slices of a card, each a counter of its own, as drivers have them.
func memory(of ...int) map[string]resourcev1.Counter {
	all := map[string]resourcev1.Counter{}
	for _, i := range of {
		all[fmt.Sprintf("memory-slice-%d", i)] = resourcev1.Counter{Value: resource.MustParse("1")}
	}
	return all
}

// shared devices of a pool that several nodes can have.
func shared(pool string, s resourcev1.ResourceSliceSpec, names ...string) resourcev1.ResourceSlice {
	s.Driver, s.Pool = driver, resourcev1.ResourcePool{Name: pool, ResourceSliceCount: 1}
	for _, name := range names {
		s.Devices = append(s.Devices, publishedAs(name, ""))
	}
	return resourcev1.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: pool}, Spec: s}
}

// cutAccelerators are a card and what it is cut into.
func cutAccelerators() []v1alpha1.Accelerator {
	halves, quarters := accelerator("half", "H100-half", 1, 1), accelerator("quarter", "H100-quarter", 1, 1)
	halves.Spec.ProductNames, quarters.Spec.ProductNames = []string{"NVIDIA-H100-80GB-HBM3-MIG-" + half}, []string{"NVIDIA-H100-80GB-HBM3-MIG-" + quarter}
	return []v1alpha1.Accelerator{accelerator("h100", "H100", 1, 1), halves, quarters}
}

func bare(n *corev1.Node) { n.Labels, n.Status.Allocatable = nil, nil }

// What drivers publish counts once: a card whole or cut, a device on one node, and not what others hold of it. What counts for less is said.
func TestDevices(t *testing.T) {
	yes := true
	only := func(labels ...string) *corev1.NodeSelector {
		return &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "rack", Operator: corev1.NodeSelectorOpIn, Values: labels}}}}}
	}
	rack := func(name string) func(*corev1.Node) {
		return func(n *corev1.Node) {
			bare(n)
			n.Labels = map[string]string{"rack": name}
		}
	}
	at := func(d resourcev1.Device, node string) resourcev1.Device {
		d.NodeName = &node
		return d
	}
	tainted := publishedAs("1", "")
	tainted.Taints = []resourcev1.DeviceTaint{{Key: "broken", Effect: resourcev1.DeviceTaintEffectNoSchedule}}
	looks := claim("a", "0", "2")
	looks.Status.Allocation.Devices.Results[0].AdminAccess = &yes
	replaced := slice("a", h100Name, "0", "1", "2")
	replaced.Spec.Pool.Generation = 1
	const several = "pool a of gpu.nvidia.com: cards are published in several ways, and count as "
	for _, c := range []struct {
		name   string
		slices []resourcev1.ResourceSlice
		claims []resourcev1.ResourceClaim
		free   map[string]int // by node and type
		fewer  []string
	}{
		{"two cards that nobody holds are whole", cut("a", "g0", "g1"), nil, map[string]int{"a H100": 2}, []string{several + "NVIDIA-H100-80GB-HBM3 on a alone (2)"}},
		{"one that is cut stays so", cut("a", "g0", "g1"), []resourcev1.ResourceClaim{claim("a", "g0-22", "1")}, map[string]int{"a H100": 1, "a H100-half": 2},
			[]string{several + "NVIDIA-H100-80GB-HBM3 on a alone (1)", several + "NVIDIA-H100-80GB-HBM3-MIG-3g.40gb on a alone (1)"}},
		{"what others hold of it is gone", cut("a", "g0"), []resourcev1.ResourceClaim{claim("a", "g0-12", "2")}, map[string]int{"a H100-quarter": 3}, []string{several + "NVIDIA-H100-80GB-HBM3-MIG-2g.20gb on a alone (1)"}},
		{"halves beside a quarter of others", cut("a", "g0"), []resourcev1.ResourceClaim{claim("a", "g0-12", "2"), claim("a", "g0-20", "1"), claim("a", "g0-20", "1")},
			map[string]int{"a H100-half": 1}, []string{several + "NVIDIA-H100-80GB-HBM3-MIG-3g.40gb on a alone (1)"}},
		{"whoever looks holds nothing", []resourcev1.ResourceSlice{slice("a", h100Name, "0", "1")}, []resourcev1.ResourceClaim{looks}, map[string]int{"a H100": 2}, nil},
		{"a pool that was replaced", []resourcev1.ResourceSlice{slice("a", h100Name, "0", "1"), replaced}, nil, map[string]int{"a H100": 3}, nil},
		{"devices of all nodes", []resourcev1.ResourceSlice{shared("fabric", resourcev1.ResourceSliceSpec{AllNodes: &yes}, "0", "1")}, nil, map[string]int{"a H100": 2},
			[]string{"pool fabric of gpu.nvidia.com: devices of 3 nodes count on a alone (2)"}},
		{"devices of some nodes", []resourcev1.ResourceSlice{shared("fabric", resourcev1.ResourceSliceSpec{NodeSelector: only("two")}, "0", "1")}, nil, map[string]int{"b H100": 2},
			[]string{"pool fabric of gpu.nvidia.com: devices of 2 nodes count on b alone (2)"}},
		{"one of them is held on another", []resourcev1.ResourceSlice{shared("fabric", resourcev1.ResourceSliceSpec{NodeSelector: only("two")}, "0", "1")},
			[]resourcev1.ResourceClaim{claim("fabric", "1", "3")}, map[string]int{"b H100": 1, "c H100": 1}, []string{"pool fabric of gpu.nvidia.com: devices of 2 nodes count on b alone (1)"}},
		{"devices of no node", []resourcev1.ResourceSlice{shared("fabric", resourcev1.ResourceSliceSpec{NodeSelector: only("three")}, "0")}, nil, map[string]int{}, nil},
		{"each device has its nodes", []resourcev1.ResourceSlice{{Spec: resourcev1.ResourceSliceSpec{Driver: driver, PerDeviceNodeSelection: &yes, Devices: []resourcev1.Device{
			at(publishedAs("0", ""), "a"), at(publishedAs("1", ""), "c"), {Name: "2", NodeSelector: only("one"), Attributes: publishedAs("2", "").Attributes},
		}}}}, nil, map[string]int{"a H100": 2, "c H100": 1}, nil},
		{"a tainted device", []resourcev1.ResourceSlice{{Spec: resourcev1.ResourceSliceSpec{Driver: driver, NodeName: new("a"), Pool: resourcev1.ResourcePool{Name: "a"}, Devices: []resourcev1.Device{publishedAs("0", ""), tainted}}}}, nil,
			map[string]int{"a H100": 1}, []string{"pool a of gpu.nvidia.com: devices are tainted, and count on no node (1)"}},
	} {
		v := newView(&Cluster{
			Servers: chat(nil, "h100", "half", "quarter"), Accelerators: cutAccelerators(), Slices: c.slices, Claims: c.claims,
			Nodes: []corev1.Node{node("a", "", 0, rack("one")), node("b", "", 0, rack("two")), node("c", "", 0, rack("two"))},
			Pods: []corev1.Pod{
				pod("ours", "a", 0, ours, func(p *corev1.Pod) { p.UID = "1" }), pod("theirs", "a", 0, nil, func(p *corev1.Pod) { p.UID = "2" }),
				pod("ours-c", "c", 0, ours, func(p *corev1.Pod) { p.UID = "3" }),
			},
		})
		free := map[string]int{}
		for _, n := range v.free(newScopes(v, nil, nil)) {
			if n.Free > 0 {
				free[n.Name+" "+n.Type] = n.Free
			}
		}
		if diff := cmp.Diff(c.free, free); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		if diff := cmp.Diff(c.fewer, v.devices.words()); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// A request for an extended resource is served by a device plugin, or by the devices of the class that stands for it, and by nothing else; what is held that
// way is held once.
func TestExtendedResourcesOfDevices(t *testing.T) {
	class := func(name, expression string) resourcev1.DeviceClass {
		return resourcev1.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: resourcev1.DeviceClassSpec{
			ExtendedResourceName: new("nvidia.com/gpu"), Selectors: []resourcev1.DeviceSelector{{CEL: &resourcev1.CELDeviceSelector{Expression: expression}}},
		}}
	}
	const whole = `device.driver == "gpu.nvidia.com" && !("profile" in device.attributes["gpu.nvidia.com"])`
	served := func(p *corev1.Pod) {
		p.UID = "2"
		p.Status.ExtendedResourceClaimStatus = &corev1.PodExtendedResourceClaimStatus{ResourceClaimName: "theirs", RequestMappings: []corev1.ContainerExtendedResourceRequest{{ResourceName: "nvidia.com/gpu"}}}
	}
	for _, c := range []struct {
		name    string
		classes []resourcev1.DeviceClass
		pods    []corev1.Pod
		claims  []resourcev1.ResourceClaim
		want    map[string]int // free on the nodes that the server can use
		barred  string
		fewer   []string
	}{
		{"no class", nil, nil, nil, map[string]int{"plugin": 8}, "1 of 2 nodes are not for its pods: neither a device plugin nor a DeviceClass for nvidia.com/gpu (1)", nil},
		{"a class", []resourcev1.DeviceClass{class("gpu", whole)}, nil, nil, map[string]int{"plugin": 8, "driver": 4}, "", nil},
		{"a class of other devices", []resourcev1.DeviceClass{class("gpu", `device.driver == "other"`)}, nil, nil, map[string]int{"plugin": 8}, "1 of 2 nodes are not for its pods: too few devices of DeviceClass gpu (1)", nil},
		{"a class of some devices", []resourcev1.DeviceClass{class("gpu", `device.attributes["gpu.nvidia.com"].index < 3`)}, nil, nil, map[string]int{"plugin": 8, "driver": 3}, "", nil},
		{"a class that does not compile", []resourcev1.DeviceClass{class("gpu", "device.")}, nil, nil, map[string]int{"plugin": 8}, "1 of 2 nodes are not for its pods: too few devices of DeviceClass gpu (1)", []string{"DeviceClass gpu"}},
		{"held so by others", []resourcev1.DeviceClass{class("gpu", whole)}, []corev1.Pod{pod("theirs", "driver", 1, nil, served)}, []resourcev1.ResourceClaim{claim("driver", "0", "2")}, map[string]int{"plugin": 8, "driver": 3}, "", nil},
	} {
		o := Observe(readings(func(r *Readings) {
			s := slice("driver", h100Name, "0", "1", "2", "3")
			for i := range s.Spec.Devices {
				s.Spec.Devices[i].Attributes["index"] = resourcev1.DeviceAttribute{IntValue: new(int64(i))}
			}
			r.Slices, r.Classes, r.Claims, r.Pods = []resourcev1.ResourceSlice{s}, c.classes, c.claims, c.pods
			r.Nodes = []corev1.Node{node("driver", "", 0, bare), node("plugin", h100Product, 8, nil)}
			r.Templates = map[Workload]*corev1.PodSpec{{Server: types.NamespacedName{Namespace: "llm", Name: "chat"}}: {Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Limits: resources("nvidia.com/gpu=2")}}}}}
		}))
		got, scope := map[string]int{}, o.Snapshot.System.Servers.Spec[0].Scopes["h100"]
		for _, n := range o.Snapshot.System.Capacity.Nodes {
			if scope == "" || slices.Contains(n.Scopes, scope) {
				got[n.Name] = n.Free
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" || o.Barred["llm/chat"]["h100"] != c.barred {
			t.Errorf("%s: barred by %q, %s", c.name, o.Barred["llm/chat"]["h100"], diff)
		}
		if !slices.EqualFunc(c.fewer, o.Fewer, func(prefix, words string) bool { return len(words) > len(prefix) && words[:len(prefix)] == prefix }) {
			t.Errorf("%s: said of devices: %v", c.name, o.Fewer)
		}
	}
}

type classLister struct{ class *resourcev1.DeviceClass }

func (l classLister) List() ([]*resourcev1.DeviceClass, error) {
	return []*resourcev1.DeviceClass{l.class}, nil
}

func (l classLister) Get(string) (*resourcev1.DeviceClass, error) { return l.class, nil }

// Of random cards, whole and cut, some of them held, and devices of several nodes, the scheduler's own allocator finds all that are counted, all at once.
func TestDevicesAsTheScheduler(t *testing.T) {
	expressions := map[string]string{"H100": `!("profile" in device.attributes["gpu.nvidia.com"])`}
	for kind, profile := range map[string]string{"H100-half": half, "H100-quarter": quarter} {
		expressions[kind] = fmt.Sprintf(`"profile" in device.attributes["gpu.nvidia.com"] && device.attributes["gpu.nvidia.com"].profile == %q`, profile)
	}
	counted, held := map[string]int{}, 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 16))
		c := &Cluster{Servers: chat(nil, "h100", "half", "quarter"), Accelerators: cutAccelerators()}
		taken, used := sets.New[structured.DeviceID](), counters{}
		for _, name := range []string{"a", "b"} {
			c.Nodes = append(c.Nodes, node(name, "", 0, bare))
			c.Pods = append(c.Pods, pod("ours-"+name, name, 0, ours, func(p *corev1.Pod) { p.UID = types.UID("ours-" + name) }), pod("theirs-"+name, name, 0, nil, func(p *corev1.Pod) { p.UID = types.UID("theirs-" + name) }))
			cards := []string{"g0", "g1"}[:1+rng.IntN(2)]
			c.Slices = append(c.Slices, cut(name, cards...)...)
			full := newest(c.Slices)
			// Claims hold devices that are free.
			for _, i := range rng.Perm(7 * len(cards))[:rng.IntN(4)] {
				d := full[len(full)-1].Devices[i]
				key, fits := card{driver, name, d.ConsumesCounters[0].CounterSet}, true
				for counter := range d.ConsumesCounters[0].Counters {
					n := used[key][counter]
					fits = fits && n.IsZero()
				}
				if fits {
					used.add(key, d.ConsumesCounters[0].Counters, 1)
					taken.Insert(structured.MakeDeviceID(driver, name, d.Name))
					c.Claims = append(c.Claims, claim(name, d.Name, types.UID([]string{"ours-", "theirs-"}[rng.IntN(2)]+name)))
					held++
				}
			}
		}
		if rng.IntN(2) == 0 {
			c.Slices = append(c.Slices, shared("fabric", resourcev1.ResourceSliceSpec{AllNodes: new(true)}, "0", "1", "2"))
		}
		v := newView(c)
		ourOwn := map[string]int{}
		for i := range v.devices.all {
			if p := &v.devices.all[i]; taken.Has(structured.MakeDeviceID(p.driver, p.pool, p.name)) && !v.devices.foreign[p.device] && v.devices.counts(p) {
				ourOwn[p.node+" "+p.product]++
			}
		}
		pointers := make([]*resourcev1.ResourceSlice, len(c.Slices))
		for i := range c.Slices {
			pointers[i] = &c.Slices[i]
		}
		for i := range c.Nodes {
			n := &c.Nodes[i]
			var claims []*resourcev1.ResourceClaim
			for _, kind := range v.classifier.Kinds() {
				_, available := v.devices.of(n.Name, kind, nil)
				counted[kind.Type] += available
				for k := range available - ourOwn[n.Name+" "+kind.ProductNames[0]] {
					claims = append(claims, &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(kind.Type, k)}, Spec: resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{{
						Name: "card", Exactly: &resourcev1.ExactDeviceRequest{DeviceClassName: "any", AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: 1, Selectors: []resourcev1.DeviceSelector{
							{CEL: &resourcev1.CELDeviceSelector{Expression: expressions[kind.Type]}},
						}},
					}}}}})
				}
			}
			if len(claims) == 0 {
				continue
			}
			allocator, err := structured.NewAllocator(t.Context(), structured.Features{PartitionableDevices: true}, structured.AllocatedState{AllocatedDevices: taken}, classLister{&resourcev1.DeviceClass{}}, pointers, cel.NewCache(10, cel.Features{}))
			if err != nil {
				t.Fatal(err)
			}
			results, err := allocator.Allocate(t.Context(), n, claims)
			if err != nil || len(results) != len(claims) {
				t.Fatalf("seed %d: the scheduler finds %d of the %d devices that are counted on %s, with roles %v beside %v: %v", seed, len(results), len(claims), n.Name, v.devices.roles, taken, err)
			}
			for _, r := range results {
				for _, d := range r.Devices.Results {
					taken.Insert(structured.MakeDeviceID(d.Driver, d.Pool, d.Device))
				}
			}
		}
	}
	t.Logf("%v are counted, beside %d that are held", counted, held)
	for _, kind := range []string{"H100", "H100-half", "H100-quarter"} {
		if counted[kind] < 100 {
			t.Errorf("%d × %s: too few to tell anything", counted[kind], kind)
		}
	}
}
