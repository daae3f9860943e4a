package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// SharesFromKueue is the value of OptimizerSpec.SharesFrom that reads Kueue's ClusterQueues as shares.
const SharesFromKueue = "Kueue"

// Share is what the Servers of some namespaces have together.
type Share struct {
	jsonspec.ShareBounds `json:",inline"`
	// Namespaces whose Servers are of the share, by name. A namespace is of one share.
	// +listType=set
	// +kubebuilder:validation:MaxItems=1024
	// +optional
	Namespaces []string `json:"namespaces,omitempty"`
	// NamespaceSelector are labels of further namespaces whose Servers are of the share. Absent: none.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
}
