package observe

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// Karpenter is what is read of Karpenter's resources (karpenter.sh/v1): the few fields that say what nodes it can buy.
type Karpenter struct {
	NodePools []NodePool
	// Insufficient is when the cloud last had no capacity for what a NodePool asked for, by its name.
	Insufficient map[string]time.Time
}

// NodePool buys nodes that meet its requirements, up to its limits.
type NodePool struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Template struct {
			Metadata struct {
				Labels map[string]string `json:"labels"`
			} `json:"metadata"`
			Spec struct {
				Requirements []NodePoolRequirement `json:"requirements"`
				Taints       []corev1.Taint        `json:"taints"`
			} `json:"spec"`
		} `json:"template"`
		Limits corev1.ResourceList `json:"limits"`
		// Replicas of a NodePool that does not grow by itself.
		Replicas *int64 `json:"replicas"`
	} `json:"spec"`
	Status struct {
		Conditions []metav1.Condition `json:"conditions"`
	} `json:"status"`
}

// NodePoolRequirement is what a label of its nodes must be.
type NodePoolRequirement struct {
	Key      string   `json:"key"`
	Operator string   `json:"operator"`
	Values   []string `json:"values"`
}

// Labels that Karpenter gives nodes, and the values of its capacity types in the order in which it prefers them.
const (
	nodePoolLabel     = "karpenter.sh/nodepool"
	capacityTypeLabel = "karpenter.sh/capacity-type"
	karpenterPrefix   = "karpenter.sh/"
)

var capacityTypes = []string{"reserved", "spot", "on-demand"}

// anyValue are labels of which Karpenter has nodes of several values for one instance type, or that no accelerator goes by: what a NodePool requires of them is
// taken to be had where a catalogue says nothing of it.
var anyValue = []string{
	corev1.LabelTopologyZone, corev1.LabelTopologyRegion, corev1.LabelFailureDomainBetaZone, corev1.LabelFailureDomainBetaRegion, corev1.LabelArchStable, corev1.LabelOSStable,
	corev1.LabelHostname,
}

// holds says whether a label may be as it is required.
func (r *NodePoolRequirement) holds(of map[string]string) bool {
	value, has := of[r.Key]
	if !has && slices.Contains(anyValue, r.Key) {
		return true
	}
	number, err := strconv.Atoi(value)
	bound := 0
	if len(r.Values) == 1 {
		bound, _ = strconv.Atoi(r.Values[0])
	}
	switch r.Operator {
	case "In":
		return has && slices.Contains(r.Values, value)
	case "NotIn":
		return !slices.Contains(r.Values, value)
	case "Exists":
		return has
	case "DoesNotExist":
		return !has
	case "Gt":
		return err == nil && number > bound
	case "Lt":
		return err == nil && number < bound
	case "Gte":
		return err == nil && number >= bound
	case "Lte":
		return err == nil && number <= bound
	}
	return false // of a Karpenter that knows more than we do
}

// closed says why no nodes can be bought from a NodePool; empty where they can.
func (p *NodePool) closed() string {
	for _, c := range p.Status.Conditions {
		if c.Type == "Ready" && c.Status == metav1.ConditionFalse {
			return fmt.Sprintf("NodePool %s is not ready (%s: %s); no plan counts on it", p.Name, c.Reason, c.Message)
		}
	}
	return ""
}

// machine is an instance type that is known, by its labels and allocatable resources, cards included.
type machine struct {
	v1alpha1.InstanceType
	labels map[string]string
}

// machines that are known by name: those of nodes that are there, and those that are named, which count where both are. The last result says of which named
// ones there is no Accelerator.
func (v *view) machines(named []v1alpha1.InstanceType) (known map[string]machine, faults []string) {
	known = map[string]machine{}
	for i := range v.cluster.Nodes {
		n := &v.cluster.Nodes[i]
		name, kinds := n.Labels[corev1.LabelInstanceTypeStable], v.kindsByType(n)
		if name == "" || len(kinds) != 1 {
			continue
		}
		cards, _ := v.cards(n, kinds[0])
		if _, seen := known[name]; seen || cards < 1 {
			continue
		}
		m := machine{InstanceType: v1alpha1.InstanceType{Name: name, Type: kinds[0].Type, Cards: cards, Resources: n.Status.Allocatable}, labels: maps.Clone(n.Labels)}
		maps.DeleteFunc(m.labels, func(key, _ string) bool {
			return strings.HasPrefix(key, karpenterPrefix) || slices.Contains(anyValue, key)
		})
		known[name] = m
	}
	for _, t := range named {
		m := machine{InstanceType: t, labels: map[string]string{corev1.LabelInstanceTypeStable: t.Name}}
		kinds := v.classifier.Kinds()
		at := slices.IndexFunc(kinds, func(k catalogue.Kind) bool { return k.Type == t.Type })
		if at < 0 {
			faults = append(faults, fmt.Sprintf("spec.karpenter.instanceTypes[%s].type: %s is not allowed, must be the type of an Accelerator; nothing is counted on it", t.Name, t.Type))
			continue
		}
		m.labels[catalogue.ProductLabels(kinds[at].ResourceName)[0]] = kinds[at].ProductNames[0]
		maps.Copy(m.labels, t.Labels)
		known[t.Name] = m
	}
	return known, faults
}

// offer is elastic capacity of a NodePool, with a node as one that is bought will be.
type offer struct {
	jsonspec.ElasticCapacity
	node *corev1.Node
	kind catalogue.Kind
}

// offers are what NodePools can buy: of each NodePool the largest instance type that its requirements and limits allow of those with the same accelerators,
// for Karpenter chooses the size. A limit that several have in common is divided among them, so that all of it may be counted on together. NodePools with the name of a pool that is
// given are left to that. The last result says which of them are closed.
func (v *view) offers(r *Readings) (list []offer, faults []string) {
	if r.Karpenter == nil {
		return nil, nil
	}
	spec := &r.Resources.Optimizer.Spec
	known, faults := v.machines(spec.Karpenter.InstanceTypes)
	for i := range r.Karpenter.NodePools {
		p := &r.Karpenter.NodePools[i]
		given := slices.ContainsFunc(spec.Elastic, func(e v1alpha1.ElasticCapacity) bool { return e.Name == p.Name })
		if given || p.DeletionTimestamp != nil || p.Spec.Replicas != nil {
			continue
		}
		if why := p.closed(); why != "" {
			faults = append(faults, why)
			continue
		}
		of := v.offersOf(p, known)
		for k := range of {
			o := &of[k]
			o.DelaySeconds, o.DeadlineSeconds = specification.InSeconds(spec.Karpenter.Delay), specification.InSeconds(spec.Karpenter.Deadline)
			o.Arrived = v.arrived(&o.ElasticCapacity)
			o.Limit = min(o.Arrived+o.Limit/len(of), mostPurchases)
			if at, was := r.Karpenter.Insufficient[p.Name]; was {
				until := metav1.NewTime(at.Add(spec.Karpenter.Insufficient()))
				if until.After(r.Now) {
					o.InsufficientUntil = &until
				}
			}
		}
		list = append(list, of...)
	}
	return list, faults
}

// mostPurchases is the limit of a NodePool that has none.
//
// Exact: purchases; as many as a pool may have (maxPurchases of package specification)
const mostPurchases = 10_000

// offersOf a NodePool, each with the limit that it has alone, beside what has come.
func (v *view) offersOf(p *NodePool, known map[string]machine) (list []offer) {
	names := slices.SortedFunc(maps.Keys(known), func(a, b string) int {
		return cmp.Or(known[b].Cards-known[a].Cards, strings.Compare(a, b))
	})
	found := map[string]bool{}
	for _, name := range names {
		m := known[name]
		carried := map[string]string{} // by capacity type
		nodes := map[string]*corev1.Node{}
		for _, capacityType := range capacityTypes {
			if n := p.node(m, capacityType); n != nil {
				carried[capacityType] = strings.Join(v.classifier.Names(n.Labels), "\x00")
				nodes[capacityType] = n
			}
		}
		alike := len(slices.Compact(slices.Sorted(maps.Values(carried)))) == 1
		for _, capacityType := range capacityTypes {
			n := nodes[capacityType]
			if n == nil {
				continue
			}
			kinds := oneOfEachType(v.classifier, nil, v.classifier.Names(n.Labels))
			if len(kinds) != 1 || found[carried[capacityType]] {
				continue
			}
			o := offer{node: n, kind: kinds[0]}
			o.Name, o.Type, o.Cards = p.Name+"/"+m.Name, kinds[0].Type, m.Cards
			o.NodeSelector = map[string]string{nodePoolLabel: p.Name}
			if !alike {
				o.Name += "/" + capacityType
				o.NodeSelector[capacityTypeLabel] = capacityType
			}
			n.Name = o.Name
			n.Status.Allocatable = maps.Clone(m.Resources)
			if n.Status.Allocatable == nil {
				n.Status.Allocatable = corev1.ResourceList{}
			}
			n.Status.Allocatable[corev1.ResourceName(o.kind.ResourceName)] = *resource.NewQuantity(int64(m.Cards), resource.DecimalSI)
			if o.Limit = v.left(p, &o); o.Limit > 0 {
				found[carried[capacityType]] = true
				list = append(list, o)
			}
		}
	}
	return list
}

// node as the NodePool would buy it of an instance type; nil where it may not.
func (p *NodePool) node(m machine, capacityType string) *corev1.Node {
	n := &corev1.Node{Spec: corev1.NodeSpec{Taints: p.Spec.Template.Spec.Taints}}
	n.Labels = maps.Clone(p.Spec.Template.Metadata.Labels)
	if n.Labels == nil {
		n.Labels = map[string]string{}
	}
	maps.Copy(n.Labels, m.labels)
	n.Labels[nodePoolLabel], n.Labels[capacityTypeLabel] = p.Name, capacityType
	for _, r := range p.Spec.Template.Spec.Requirements {
		if !r.holds(n.Labels) {
			return nil
		}
		if _, has := n.Labels[r.Key]; !has && r.Operator == "In" && len(r.Values) == 1 {
			n.Labels[r.Key] = r.Values[0]
		}
	}
	return n
}

// left are the nodes like one that the limits of a NodePool allow beside those that have come. Those that are on their way are what plans count on.
func (v *view) left(p *NodePool, o *offer) int {
	most := mostPurchases
	for name, limit := range p.Spec.Limits {
		each := amount(o.node.Status.Allocatable, name)
		if name == "nodes" {
			each = 1
		}
		if each == 0 {
			continue
		}
		free := limit.AsApproximateFloat64()
		for i := range v.cluster.Nodes {
			n := &v.cluster.Nodes[i]
			if came := usable(n) || n.Spec.Unschedulable; !came || n.DeletionTimestamp != nil || n.Labels[nodePoolLabel] != p.Name {
				continue
			}
			if name == "nodes" {
				free--
			} else {
				free -= amount(n.Status.Capacity, name)
			}
		}
		most = min(most, max(int(free/each), 0))
	}
	return most
}
