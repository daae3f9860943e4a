package advise

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/catalogue"
)

// What was given stays, what nodes are known to cost goes before the list, and a type that no node carries has its list price.
func TestPricesOn(t *testing.T) {
	node := func(name, product, instance string) corev1.Node {
		n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"nvidia.com/gpu.product": product, corev1.LabelInstanceTypeStable: instance}}}
		n.Status.Capacity = corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("4")}
		return n
	}
	nodes := []corev1.Node{node("a", "NVIDIA-H100-80GB-HBM3", "p5.48xlarge"), node("b", "NVIDIA-L40S", "g6e.xlarge"), node("c", "NVIDIA-L4", "mine"), node("d", "", "p5.48xlarge")}
	given, err := catalogue.ParsePrice("L40S=99")
	if err != nil {
		t.Fatal(err)
	}
	list := catalogue.BuiltInPrices()
	prices := PricesOn(nodes, map[string]float64{"c": 200}, list.With(given))
	t4, _ := list.Find("T4")
	for typ, want := range map[string]float64{"H100": 688, "L40S": 99, "L4": 50, "T4": t4.CentsPerHour} {
		if p, _ := prices.Find(typ); p.CentsPerHour != want {
			t.Errorf("%s costs %v, want %v", typ, p, want)
		}
	}
}
