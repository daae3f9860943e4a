package v1alpha1

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ElasticFromKarpenter is the value of OptimizerSpec.ElasticFrom that reads Karpenter's NodePools as elastic capacity.
const ElasticFromKarpenter = "Karpenter"

// CapacityAheadBuffer is the value of OptimizerSpec.CapacityAhead that tells node autoscalers by CapacityBuffers.
const CapacityAheadBuffer = "CapacityBuffer"

// KarpenterCapacity says what Karpenter's resources leave open.
type KarpenterCapacity struct {
	// InstanceTypes that NodePools may buy, beside those of nodes that are there.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	// +optional
	InstanceTypes []InstanceType `json:"instanceTypes,omitempty"`
	// Delay from the purchase of a node until its cards can be used. Absent: 0s.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="delay must be at least 0s"
	// +optional
	Delay *metav1.Duration `json:"delay,omitempty"`
	// Deadline after which nodes that plans count on, and that have not come, are taken back from the plan. Defaults to twice delay, at
	// least 60s.
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="deadline must be above 0s"
	// +optional
	Deadline *metav1.Duration `json:"deadline,omitempty"`
	// InsufficientFor is how long no plan counts on a NodePool after the cloud had no capacity for it. Defaults to 3m, after which Karpenter's
	// providers ask again.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="insufficientFor must be at least 1s"
	// +optional
	InsufficientFor *metav1.Duration `json:"insufficientFor,omitempty"`
}

// Insufficient is InsufficientFor, with its default.
func (k *KarpenterCapacity) Insufficient() time.Duration {
	if k.InsufficientFor != nil {
		return k.InsufficientFor.Duration
	}
	return defaultInsufficient
}

// defaultInsufficient is how long Karpenter's provider for AWS leaves an offering alone that had no capacity (UnavailableOfferingsTTL in its pkg/cache).
//
// Tuned: 3 min; option insufficientFor of the Optimizer; at half: plans try a type twice before Karpenter does; at twice: they come back three minutes later
const defaultInsufficient = 3 * time.Minute

// InstanceType is a kind of machine with accelerators, as a cloud sells it.
type InstanceType struct {
	// Name of it: the label node.kubernetes.io/instance-type of its nodes.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// Type of its cards.
	// +kubebuilder:validation:MinLength=1
	Type string `json:"type"`
	// Cards of a node; at least 1.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Cards int `json:"cards"`
	// Resources of a node beside cards, such as cpu and memory. Without them the limits of NodePools on these are not known to bind, and pods are taken to
	// fit.
	// +optional
	Resources corev1.ResourceList `json:"resources,omitempty"`
	// Labels of its nodes that NodePools require or pods select, beside those of the NodePool.
	// +kubebuilder:validation:MaxProperties=64
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
}
