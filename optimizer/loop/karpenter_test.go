package loop

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

// NodePools are read, and of events the last that says of each that there is no capacity, by the name that NodeClaims have from it.
func TestReadKarpenter(t *testing.T) {
	pool := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": map[string]any{"name": "h100-spot"},
		"spec": map[string]any{"limits": map[string]any{"nvidia.com/gpu": "16"}},
	}}
	event := func(name, claim, reason string, at int64) *corev1.Event {
		return &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name}, Reason: reason, LastTimestamp: metav1.Unix(at, 0),
			InvolvedObject: corev1.ObjectReference{Kind: "NodeClaim", Name: claim},
		}
	}
	reader := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).
		WithIndex(&corev1.Event{}, "reason", func(o client.Object) []string { return []string{o.(*corev1.Event).Reason} }).
		WithIndex(&corev1.Event{}, "involvedObject.kind", func(o client.Object) []string { return []string{o.(*corev1.Event).InvolvedObject.Kind} }).
		WithObjects(pool, event("a", "h100-spot-x1y2z", insufficientReason, 100), event("b", "h100-spot-abcde", insufficientReason, 200), event("c", "h100-spot-abcde", "Launched", 300)).
		Build()
	k, err := readKarpenter(t.Context(), reader)
	if err != nil {
		t.Fatal(err)
	}
	limit := k.NodePools[0].Spec.Limits["nvidia.com/gpu"]
	if len(k.NodePools) != 1 || k.NodePools[0].Name != "h100-spot" || limit.Value() != 16 {
		t.Errorf("NodePools %+v", k.NodePools)
	}
	if len(k.Insufficient) != 1 || !k.Insufficient["h100-spot"].Equal(time.Unix(200, 0)) {
		t.Errorf("without capacity: %v", k.Insufficient)
	}
}

// What was last read of Karpenter stands while it cannot be read, which is said; where it is not asked for nothing is read.
func TestElasticCapacityThatCannotBeRead(t *testing.T) {
	last := &observe.Karpenter{}
	c := &cycle{Reconciler: &Reconciler{Client: fake.NewClientBuilder().Build(), QueryTimeout: time.Second, karpenter: last}, optimizer: &v1alpha1.Optimizer{}}
	c.optimizer.Spec.ElasticFrom = v1alpha1.ElasticFromKarpenter
	var r observe.Readings
	if c.readElastic(t.Context(), &r); r.Karpenter != last || len(c.elasticFaults) != 1 || !strings.Contains(c.elasticFaults[0], "spec.elasticFrom: Karpenter:") {
		t.Errorf("read %v, faults %q", r.Karpenter, c.elasticFaults)
	}
	if got := elasticCounted(nil, c.elasticFaults); got.Status != metav1.ConditionFalse || got.Reason != v1alpha1.ReasonElasticUnread {
		t.Errorf("%+v", got)
	}
	c.optimizer.Spec.ElasticFrom, c.elasticFaults, r = "", nil, observe.Readings{}
	if c.readElastic(t.Context(), &r); r.Karpenter != nil || c.karpenter != nil || len(c.elasticFaults) != 0 {
		t.Errorf("read %v though nobody asked, faults %q", r.Karpenter, c.elasticFaults)
	}
}
