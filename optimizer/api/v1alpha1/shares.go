package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// SharesFromKueue is the value of OptimizerSpec.SharesFrom that reads Kueue's ClusterQueues as shares.
const SharesFromKueue = "Kueue"

// Share is what the Servers of some namespaces may take together, and what others leave to them. What a share is guaranteed and does not need is lent, and
// taken back when it does, from servers of the lowest priority first.
type Share struct {
	// Name of the share.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Cards by type. Of types that are not named nothing is guaranteed, unless a cost is, and there is no bound.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Cards []jsonspec.ShareCards `json:"cards,omitempty"`
	// CostPerHour of all that the share has, beside the bounds on cards.
	// +optional
	CostPerHour *ShareCost `json:"costPerHour,omitempty"`
	// PowerCap in watts on what all accelerators that the share has draw at full, by power.full of the Accelerators. Nothing is put on an Accelerator without it.
	// Absent: none.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0",message="powerCap must be at least 0"
	// +optional
	PowerCap *Decimal `json:"powerCap,omitempty"`
	// Namespaces whose Servers are of the share, by name. A namespace is of one share.
	// +listType=set
	// +kubebuilder:validation:MaxItems=1024
	// +optional
	Namespaces []string `json:"namespaces,omitempty"`
	// NamespaceSelector are labels of further namespaces whose Servers are of the share. Absent: none.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
}

// ShareCost are bounds on the cost, in cents per hour.
// +kubebuilder:validation:XValidation:rule="!has(self.most) || !has(self.guaranteed) || double(self.guaranteed) <= double(self.most)",message="guaranteed must be at most most"
type ShareCost struct {
	// Guaranteed is the cost up to which others leave to the share the cards that it needs. Absent: none.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0",message="guaranteed must be at least 0"
	// +optional
	Guaranteed *Decimal `json:"guaranteed,omitempty"`
	// Most is the largest cost. Absent: no bound.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0",message="most must be at least 0"
	// +optional
	Most *Decimal `json:"most,omitempty"`
}
