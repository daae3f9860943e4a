package contributing_test

import (
	"slices"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
)

// accelerator of a card that the catalogue does not know: the page has the same object.
const accelerator = `
apiVersion: inferno.platform.ai/v1alpha1
kind: Accelerator
metadata: {name: x900}
spec:
  type: X900
  costPerHour: 350                   # cents per hour
  productNames: [ACME-X900-96GB]     # what the node label says
  resourceName: acme.com/gpu         # what the device plugin advertises
`

func TestAccelerator(t *testing.T) {
	var a v1alpha1.Accelerator
	if err := yaml.UnmarshalStrict([]byte(accelerator), &a); err != nil {
		t.Fatal(err)
	}
	c := catalogue.NewClassifier([]*v1alpha1.Accelerator{&a})
	node := map[string]string{"acme.com/gpu.product": "ACME-X900-96GB"}
	if got := c.Names(node); !slices.Equal(got, []string{"x900"}) {
		t.Errorf("a node with the label %v carries %v, want x900", node, got)
	}
	if got := c.Names(map[string]string{"acme.com/gpu.product": "ACME-X100"}); len(got) > 0 {
		t.Errorf("a node with another card carries %v", got)
	}
}
