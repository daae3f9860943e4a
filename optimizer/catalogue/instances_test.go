package catalogue

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What ships of instance types has a price by the card that is near the cheapest of its kind, a region, a source and a date.
func TestInstanceTypesSayTheirSource(t *testing.T) {
	for name, i := range instanceTypes() {
		if byCard := i.centsPerHour / float64(i.cards); i.cards < 1 || byCard < 50 || byCard > 2000 || i.region == "" || i.source == "" || i.date == "" {
			t.Errorf("%s: %+v", name, i)
		}
	}
}

// By what OpenCost says, then by the instance types of nodes, as far as they are listed, and by nothing else.
func TestPricesOnNodes(t *testing.T) {
	of := func(names ...string) (nodes []*corev1.Node) {
		for i, name := range names {
			n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: string(rune('a' + i)), Labels: map[string]string{corev1.LabelInstanceTypeStable: name}}}
			n.Status.Capacity = corev1.ResourceList{NVIDIAResource: resource.MustParse("8")}
			nodes = append(nodes, n)
		}
		return nodes
	}
	for _, c := range []struct {
		name, typ string
		nodes     []*corev1.Node
		costs     map[string]float64
		want      string
	}{
		{"nothing is listed", "H100", append(of("x9.large", ""), new(corev1.Node)), nil, ""},
		{"an unknown type", "X9", of("p5.48xlarge"), nil, ""},
		{"the mean of those that are", "H100", of("p5.48xlarge", "p5.48xlarge", "p5.4xlarge", "x9.large"), nil,
			"688 ¢/h: p5.48xlarge us-east-1 by 8, p5.4xlarge us-east-1 by 1 (skypilot-catalog v8 commit e385a0d, 2026-11)"},
		{"OpenCost goes before", "H100", of("p5.48xlarge", "", ""), map[string]float64{"a": 4000, "b": 4801, "z": 1}, "550.06 ¢/h: OpenCost, in the mean of 2 nodes"},
		{"OpenCost knows other nodes", "L40S", of("g6e.xlarge", "g6e.48xlarge"), map[string]float64{"z": 1},
			"281.37 ¢/h: g6e.48xlarge us-east-1 by 8, g6e.xlarge us-east-1 by 1 (skypilot-catalog v8 commit e385a0d, 2026-11)"},
	} {
		p, known := OnNodes(c.typ, c.nodes, c.costs)
		if known != (c.want != "") || known && (p.String() != c.want || p.Type != c.typ) {
			t.Errorf("%s: %s, want %q", c.name, p, c.want)
		}
	}
}
