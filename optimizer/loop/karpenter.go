package loop

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

// readElastic reads Karpenter's resources where they are asked for. Where they cannot be read, what was last read stands, and that is a fault.
func (c *cycle) readElastic(ctx context.Context, r *observe.Readings) {
	if c.optimizer.Spec.ElasticFrom != v1alpha1.ElasticFromKarpenter {
		c.karpenter = nil
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.QueryTimeout)
	defer cancel()
	k, err := readKarpenter(ctx, c.direct())
	if err != nil {
		c.elasticFaults = append(c.elasticFaults, fmt.Sprintf("spec.elasticFrom: %s: %v", v1alpha1.ElasticFromKarpenter, err))
	} else {
		c.karpenter = k
	}
	r.Karpenter = c.karpenter
}

// Where Karpenter says that the cloud has no capacity: events about NodeClaims, which have no namespace. The NodeClaim itself is deleted at once.
const (
	insufficientReason = "InsufficientCapacityError"
	nodeClaimKind      = "NodeClaim"
)

func readKarpenter(ctx context.Context, reader client.Reader) (*observe.Karpenter, error) {
	k := &observe.Karpenter{Insufficient: map[string]time.Time{}}
	if err := listAs(ctx, reader, schema.GroupVersionKind{Group: "karpenter.sh", Version: "v1", Kind: "NodePool"}, &k.NodePools); err != nil {
		return nil, err
	}
	var events corev1.EventList
	of := client.MatchingFieldsSelector{Selector: fields.SelectorFromSet(fields.Set{"reason": insufficientReason, "involvedObject.kind": nodeClaimKind})}
	if err := reader.List(ctx, &events, client.InNamespace(metav1.NamespaceDefault), of); err != nil {
		return nil, err
	}
	for i := range events.Items {
		e := &events.Items[i]
		if pool, at := nodePoolOf(e.InvolvedObject.Name), lastSeen(e); at.After(k.Insufficient[pool]) {
			k.Insufficient[pool] = at
		}
	}
	return k, nil
}

// nodePoolOf a NodeClaim: its name is that of the NodePool with a dash and a random word.
func nodePoolOf(nodeClaim string) string {
	return nodeClaim[:max(strings.LastIndex(nodeClaim, "-"), 0)]
}

// lastSeen is when an event last happened.
func lastSeen(e *corev1.Event) time.Time {
	at := e.LastTimestamp.Time
	if e.EventTime.After(at) {
		at = e.EventTime.Time
	}
	if e.Series != nil && e.Series.LastObservedTime.After(at) {
		at = e.Series.LastObservedTime.Time
	}
	return at
}
