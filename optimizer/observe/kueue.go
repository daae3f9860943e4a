package observe

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/placement"
)

// Kueue is what is read of Kueue's resources (kueue.x-k8s.io, v1beta2 and v1beta1): the few fields that say how many cards each namespace may have.
type Kueue struct {
	ClusterQueues   []ClusterQueue
	LocalQueues     []LocalQueue
	ResourceFlavors []ResourceFlavor
}

// ClusterQueue has quotas of resources by flavor.
type ClusterQueue struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		// CohortName is the name of v1beta2, Cohort that of v1beta1.
		CohortName     string `json:"cohortName"`
		Cohort         string `json:"cohort"`
		ResourceGroups []struct {
			Flavors []struct {
				Name      string `json:"name"`
				Resources []struct {
					Name           string             `json:"name"`
					NominalQuota   resource.Quantity  `json:"nominalQuota"`
					BorrowingLimit *resource.Quantity `json:"borrowingLimit"`
					LendingLimit   *resource.Quantity `json:"lendingLimit"`
				} `json:"resources"`
			} `json:"flavors"`
		} `json:"resourceGroups"`
	} `json:"spec"`
}

// LocalQueue leads from a namespace to a ClusterQueue.
type LocalQueue struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		ClusterQueue string `json:"clusterQueue"`
	} `json:"spec"`
}

// ResourceFlavor says by labels which nodes have it.
type ResourceFlavor struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		NodeLabels map[string]string `json:"nodeLabels"`
	} `json:"spec"`
}

func (q *ClusterQueue) cohort() string {
	if q.Spec.CohortName != "" {
		return q.Spec.CohortName
	}
	return q.Spec.Cohort
}

// quota of a ClusterQueue on one type of card; borrow and lend are nil where they have no limit.
type quota struct {
	nominal      int
	borrow, lend *int
}

// Shares reads each ClusterQueue that a LocalQueue leads to as the share of the namespaces of these. What it has nominally is guaranteed; with others of its
// cohort it may have as much more as it may borrow, without a limit all that these have nominally, and keeps what it may not lend. Without a cohort nothing
// is borrowed or lent. The second result are quotas on cards of flavors whose type cannot be told, which bound nothing.
func (k *Kueue) Shares(accelerators []v1alpha1.Accelerator, nodes []corev1.Node) ([]v1alpha1.Share, []string) {
	c := catalogue.ClassifierOf(accelerators)
	var faults []string
	quotas, sums := map[string]map[string]quota{}, map[string]map[string]int{}
	for i := range k.ClusterQueues {
		q := &k.ClusterQueues[i]
		of, wrong := k.quotas(q, c, nodes)
		quotas[q.Name], faults = of, append(faults, wrong...)
		if sums[q.cohort()] == nil {
			sums[q.cohort()] = map[string]int{}
		}
		for t, n := range of {
			sums[q.cohort()][t] += n.nominal
		}
	}
	var shares []v1alpha1.Share
	for i := range k.ClusterQueues {
		q := &k.ClusterQueues[i]
		s := v1alpha1.Share{ShareBounds: v1alpha1.ShareBounds{Name: q.Name}}
		for _, l := range k.LocalQueues {
			if l.Spec.ClusterQueue == q.Name && !slices.Contains(s.Namespaces, l.Namespace) {
				s.Namespaces = append(s.Namespaces, l.Namespace)
			}
		}
		if len(s.Namespaces) == 0 {
			continue
		}
		slices.Sort(s.Namespaces)
		for t, n := range quotas[q.Name] {
			most, kept := sums[q.cohort()][t], 0
			if n.borrow != nil {
				most = min(most, n.nominal+*n.borrow)
			}
			if n.lend != nil {
				kept = max(0, n.nominal-*n.lend)
			}
			if q.cohort() == "" {
				most, kept = n.nominal, n.nominal
			}
			s.Cards = append(s.Cards, v1alpha1.ShareCards{Type: t, Guaranteed: n.nominal, Kept: kept, Most: &most})
		}
		slices.SortFunc(s.Cards, func(a, b v1alpha1.ShareCards) int { return strings.Compare(a.Type, b.Type) })
		shares = append(shares, s)
	}
	slices.SortFunc(shares, func(a, b v1alpha1.Share) int { return strings.Compare(a.Name, b.Name) })
	return shares, faults
}

// quotas of a ClusterQueue by type of card. Resources that are no cards are left out.
func (k *Kueue) quotas(q *ClusterQueue, c *catalogue.Classifier, nodes []corev1.Node) (map[string]quota, []string) {
	of := map[string]quota{}
	var faults []string
	for _, group := range q.Spec.ResourceGroups {
		for _, flavor := range group.Flavors {
			kinds := k.kinds(flavor.Name, c, nodes)
			for _, r := range flavor.Resources {
				cards := func(n resource.Quantity) int {
					return placement.Cards(corev1.ResourceList{corev1.ResourceName(r.Name): n}, kinds[0])
				}
				isCards := slices.ContainsFunc(c.Kinds(), func(k catalogue.Kind) bool {
					return placement.Cards(corev1.ResourceList{corev1.ResourceName(r.Name): resource.MustParse("1")}, k) > 0
				})
				switch {
				case !isCards:
					continue
				case len(kinds) != 1:
					faults = append(faults, fmt.Sprintf("ClusterQueue %s: %s of flavor %s: the labels of its nodes are of %d types of card, one is needed; it bounds nothing",
						q.Name, r.Name, flavor.Name, len(kinds)))
					continue
				}
				n := of[kinds[0].Type]
				n.nominal += cards(r.NominalQuota)
				if r.BorrowingLimit != nil {
					limit := cards(*r.BorrowingLimit)
					n.borrow = &limit
				}
				if r.LendingLimit != nil {
					limit := cards(*r.LendingLimit)
					n.lend = &limit
				}
				of[kinds[0].Type] = n
			}
		}
	}
	return of, faults
}

// kinds of cards of a flavor, one for each type: those of the nodes with its labels, or where there are none, those that the labels name.
func (k *Kueue) kinds(flavor string, c *catalogue.Classifier, nodes []corev1.Node) []catalogue.Kind {
	i := slices.IndexFunc(k.ResourceFlavors, func(f ResourceFlavor) bool { return f.Name == flavor })
	if i < 0 {
		return nil
	}
	var kinds []catalogue.Kind
	of := k.ResourceFlavors[i].Spec.NodeLabels
	for _, n := range nodes {
		if labels.SelectorFromSet(of).Matches(labels.Set(n.Labels)) {
			kinds = oneOfEachType(c, kinds, c.Names(n.Labels))
		}
	}
	if len(kinds) == 0 {
		kinds = oneOfEachType(c, nil, c.Names(of))
	}
	return kinds
}
