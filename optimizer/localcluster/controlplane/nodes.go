package controlplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// PoolLabel on a node names the [NodePool] it belongs to.
const PoolLabel = "controlplane.inferno.platform.ai/pool"

// The extended resources that the device plugins of NVIDIA and AMD announce.
const (
	NVIDIAResource corev1.ResourceName = "nvidia.com/gpu"
	AMDResource    corev1.ResourceName = "amd.com/gpu"
)

// What kwok knows nodes by that it simulates, and real pods keep away from.
const (
	simulatedNode = "kwok.x-k8s.io/node"
	simulated     = "fake"
)

// GPU is a type of accelerator as nodes announce it.
type GPU struct {
	Product   string              // as the vendor's node labeller writes it
	Resource  corev1.ResourceName // nvidia.com/gpu if empty
	MemoryMiB int
}

// Accelerators in common use. Product names and memory of NVIDIA are what nvidia-smi reports, with dashes for blanks as
// in GPU feature discovery; those of AMD are what its node labeller writes.
var (
	H200   = GPU{Product: "NVIDIA-H200", MemoryMiB: 143771}
	H100   = GPU{Product: "NVIDIA-H100-80GB-HBM3", MemoryMiB: 81559}
	A100   = GPU{Product: "NVIDIA-A100-SXM4-80GB", MemoryMiB: 81920}
	L40S   = GPU{Product: "NVIDIA-L40S", MemoryMiB: 46068}
	L4     = GPU{Product: "NVIDIA-L4", MemoryMiB: 23034}
	MI300X = GPU{Product: "AMD_Instinct_MI300X_OAM", MemoryMiB: 192 * 1024, Resource: AMDResource}
)

// NodePool is a number of equal simulated nodes.
type NodePool struct {
	Name        string // of the pool; the nodes are called <name>-0, <name>-1, ...
	Count       int
	GPU         GPU // none if its product is empty
	GPUsPerNode int
	CPU         string // allocatable, 192 cores if empty
	Memory      string // allocatable, 2Ti if empty
	Labels      map[string]string
	Taints      []corev1.Taint
}

// Nodes with accelerators are large; a pod that fits no GPU should be the reason why a pool is full.
const (
	defaultNodeCPU    = "192"
	defaultNodeMemory = "2Ti"
	podsPerNode       = "250"
)

// AddNodes creates the nodes of the pools and waits until all of them are Ready and open for pods.
func (p *Plane) AddNodes(ctx context.Context, pools ...NodePool) error {
	var nodes []*corev1.Node
	var errs []error
	for _, pool := range pools {
		of, err := pool.nodes()
		nodes, errs = append(nodes, of...), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(p.config)
	if err != nil {
		return err
	}
	if p.options.Address != "" {
		for _, node := range nodes {
			metav1.SetMetaDataAnnotation(&node.ObjectMeta, simulatedNode, simulated)
			node.Spec.Taints = append(slices.Clone(node.Spec.Taints), corev1.Taint{Key: simulatedNode, Value: simulated, Effect: corev1.TaintEffectNoSchedule})
		}
	}
	create, createCtx := errgroup.WithContext(ctx)
	create.SetLimit(16)
	for _, node := range nodes {
		create.Go(func() error {
			_, err := client.CoreV1().Nodes().Create(createCtx, node, metav1.CreateOptions{})
			return err
		})
	}
	if err := create.Wait(); err != nil {
		return fmt.Errorf("add nodes: %w", err)
	}
	return waitForNodes(ctx, client, nodes)
}

// waitForNodes waits until the nodes are Ready and rid of the taint they are created with.
func waitForNodes(ctx context.Context, client kubernetes.Interface, nodes []*corev1.Node) error {
	for {
		list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: PoolLabel})
		if err != nil {
			return fmt.Errorf("wait for nodes: %w", err)
		}
		ready := map[string]bool{}
		for i := range list.Items {
			ready[list.Items[i].Name] = isOpen(&list.Items[i])
		}
		waiting := slices.DeleteFunc(slices.Clone(nodes), func(n *corev1.Node) bool { return ready[n.Name] })
		if len(waiting) == 0 {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("wait for nodes: %d of %d are not Ready, %s among them: %w",
				len(waiting), len(nodes), waiting[0].Name, context.Cause(ctx))
		}
	}
}

func isOpen(node *corev1.Node) bool {
	notReady := slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeNotReady })
	return !notReady && slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// nodes returns the nodes of the pool, or everything that is wrong with it.
func (pool NodePool) nodes() ([]*corev1.Node, error) {
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("node pool %q: "+format, append([]any{pool.Name}, args...)...))
	}
	if pool.Name == "" {
		fault("name must not be empty")
	}
	if pool.Count < 1 {
		fault("count is %d, must be at least 1", pool.Count)
	}
	if pool.GPU.Product != "" && pool.GPUsPerNode < 1 {
		fault("GPUsPerNode is %d, must be at least 1 with product %s", pool.GPUsPerNode, pool.GPU.Product)
	}
	resources := corev1.ResourceList{corev1.ResourcePods: resource.MustParse(podsPerNode)}
	for name, text := range map[corev1.ResourceName]string{
		corev1.ResourceCPU:    cmp.Or(pool.CPU, defaultNodeCPU),
		corev1.ResourceMemory: cmp.Or(pool.Memory, defaultNodeMemory),
	} {
		quantity, err := resource.ParseQuantity(text)
		if err != nil {
			fault("%s is %q: %w", name, text, err)
		}
		resources[name] = quantity
	}
	if pool.GPU.Product != "" {
		resources[pool.GPU.resource()] = *resource.NewQuantity(int64(pool.GPUsPerNode), resource.DecimalSI)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	nodes := make([]*corev1.Node, pool.Count)
	for i := range nodes {
		name := fmt.Sprintf("%s-%d", pool.Name, i)
		nodes[i] = &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: pool.labels(name)},
			Spec:       corev1.NodeSpec{Taints: pool.Taints},
			Status:     corev1.NodeStatus{Capacity: resources, Allocatable: resources},
		}
	}
	return nodes, nil
}

func (pool NodePool) labels(node string) map[string]string {
	labels := map[string]string{
		PoolLabel:              pool.Name,
		corev1.LabelHostname:   node,
		corev1.LabelOSStable:   "linux",
		corev1.LabelArchStable: "amd64",
	}
	maps.Copy(labels, pool.GPU.labels(pool.GPUsPerNode))
	maps.Copy(labels, pool.Labels)
	return labels
}

func (g GPU) resource() corev1.ResourceName { return cmp.Or(g.Resource, NVIDIAResource) }

// labels returns what the vendor's labeller writes to a node with count of this GPU: for NVIDIA GPU feature discovery
// (github.com/NVIDIA/k8s-device-plugin, docs/gpu-feature-discovery), for AMD the node labeller
// (github.com/ROCm/k8s-device-plugin, cmd/k8s-node-labeller). Other vendors' labels are up to the pool.
func (g GPU) labels(count int) map[string]string {
	switch {
	case g.Product == "":
		return nil
	case g.resource() == NVIDIAResource:
		return map[string]string{
			"nvidia.com/gpu.present": "true",
			"nvidia.com/gpu.product": g.Product,
			"nvidia.com/gpu.count":   strconv.Itoa(count),
			"nvidia.com/gpu.memory":  strconv.Itoa(g.MemoryMiB),
		}
	case g.resource() == AMDResource:
		return map[string]string{
			"feature.node.kubernetes.io/amd-gpu": "true",
			"amd.com/gpu.product-name":           g.Product,
			"amd.com/gpu.vram":                   strconv.Itoa(g.MemoryMiB/1024) + "G",
		}
	}
	return nil
}
