package observe

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/placement"
)

// Kueue is what is read of Kueue's resources (kueue.x-k8s.io, v1beta2 and v1beta1): the few fields that say how many cards each namespace may have.
type Kueue struct {
	ClusterQueues   []ClusterQueue
	Cohorts         []QueueCohort
	LocalQueues     []LocalQueue
	ResourceFlavors []ResourceFlavor
	// Workloads that Kueue has admitted, and those that wait: read where others than the pods of Servers have some of a quota.
	Workloads []QueuedWorkload
}

// ClusterQueue has quotas of resources by flavor.
type ClusterQueue struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		// CohortName is the name of v1beta2, Cohort that of v1beta1.
		CohortName     string          `json:"cohortName"`
		Cohort         string          `json:"cohort"`
		ResourceGroups []ResourceGroup `json:"resourceGroups"`
		Preemption     struct {
			// WithinClusterQueue says whether pods of a higher priority take the place of others; Never where it is empty.
			WithinClusterQueue string `json:"withinClusterQueue"`
		} `json:"preemption"`
	} `json:"spec"`
	Status struct {
		// ReservingWorkloads have some of its quotas.
		ReservingWorkloads int `json:"reservingWorkloads"`
	} `json:"status"`
}

// QueueCohort has quotas of its own, which any queue below it may borrow, and may be of another cohort.
type QueueCohort struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		// ParentName is what newer releases of Kueue call it, Parent what older ones do.
		ParentName     string          `json:"parentName"`
		Parent         string          `json:"parent"`
		ResourceGroups []ResourceGroup `json:"resourceGroups"`
	} `json:"spec"`
}

// ResourceGroup has quotas of resources by flavor.
type ResourceGroup struct {
	Flavors []struct {
		Name      string `json:"name"`
		Resources []struct {
			Name           string             `json:"name"`
			NominalQuota   resource.Quantity  `json:"nominalQuota"`
			BorrowingLimit *resource.Quantity `json:"borrowingLimit"`
			LendingLimit   *resource.Quantity `json:"lendingLimit"`
		} `json:"resources"`
	} `json:"flavors"`
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

// QueuedWorkload is what Kueue admits at a time: a pod, several that go together, or a job.
type QueuedWorkload struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		QueueName string `json:"queueName"`
		Priority  int32  `json:"priority"`
	} `json:"spec"`
	Status struct {
		Conditions []metav1.Condition `json:"conditions"`
		Admission  *struct {
			ClusterQueue      string `json:"clusterQueue"`
			PodSetAssignments []struct {
				Flavors       map[string]string            `json:"flavors"`
				ResourceUsage map[string]resource.Quantity `json:"resourceUsage"`
			} `json:"podSetAssignments"`
		} `json:"admission"`
	} `json:"status"`
}

// quota of a ClusterQueue or cohort on one type of card; borrow and lend are nil where they have no limit.
type quota struct {
	nominal      int
	borrow, lend *int
}

// and is the quota on both of two flavors: what one may borrow or lend without a limit, both may.
func (q quota) and(p quota) quota {
	sum := quota{nominal: q.nominal + p.nominal}
	if q.borrow != nil && p.borrow != nil {
		sum.borrow = new(*q.borrow + *p.borrow)
	}
	if q.lend != nil || p.lend != nil {
		lent := func(q quota) int {
			if q.lend == nil {
				return q.nominal
			}
			return *q.lend
		}
		sum.lend = new(lent(q) + lent(p))
	}
	return sum
}

// queue is a ClusterQueue, or a cohort of such, in the tree that borrowing goes up.
type queue struct {
	name     string
	quotas   map[string]quota
	parent   *queue
	children []*queue
	// whole says that no quota of it was left out.
	whole bool
	// namespaces of a ClusterQueue's LocalQueues; of a cohort none.
	namespaces []string
}

// all that the queue and those below it have nominally of a type, and what of that they lend to others.
func (q *queue) all(kind string) (nominal, lent int) {
	own := q.quotas[kind]
	nominal, lent = own.nominal, own.nominal
	for _, c := range q.children {
		n, l := c.all(kind)
		nominal, lent = nominal+n, lent+l
	}
	if own.lend != nil {
		lent = min(lent, *own.lend)
	}
	return nominal, lent
}

// root of the tree that the queue is of.
func (q *queue) root() *queue {
	for q.parent != nil {
		q = q.parent
	}
	return q
}

// shares of the queue and those below it, by name.
func (q *queue) shares() []string {
	var names []string
	if len(q.namespaces) > 0 {
		names = append(names, q.name)
	}
	for _, c := range q.children {
		names = append(names, c.shares()...)
	}
	slices.Sort(names)
	return names
}

// Shares reads each ClusterQueue that a LocalQueue leads to as the share of the namespaces of these. What it has nominally is guaranteed; with others of its
// cohort it may have as much more as it may borrow, without a limit all that the tree of cohorts has, and keeps what it may not lend. Without a cohort nothing
// is borrowed or lent. Of types that it has no quota of it may have none. Each cohort bounds what its queues have together: a root by all that is below it, one
// within another by what it may borrow besides; and what a cohort may not lend is beyond all others of its tree. What workloads that are no pods of Servers have of a
// quota is not there, unless they give way to these; what they borrow beyond it counts as given back. The last result are faults: quotas on cards of
// flavors whose type cannot be told, which bound nothing, and cohorts that are within themselves, which are taken for roots.
func (k *Kueue) Shares(accelerators []v1alpha1.Accelerator, nodes []corev1.Node, pods []corev1.Pod) ([]v1alpha1.Share, []jsonspec.Cohort, []string) {
	c := catalogue.ClassifierOf(accelerators)
	var types []string
	for _, kind := range c.Kinds() {
		if !slices.Contains(types, kind.Type) {
			types = append(types, kind.Type)
		}
	}
	slices.Sort(types)
	var faults []string
	cohorts, parents := map[string]*queue{}, map[string]string{}
	cohort := func(name string) *queue {
		if cohorts[name] == nil {
			cohorts[name] = &queue{name: name}
		}
		return cohorts[name]
	}
	for i := range k.Cohorts {
		x := &k.Cohorts[i]
		q := cohort(x.Name)
		of, wrong := k.quotas("Cohort "+x.Name, x.Spec.ResourceGroups, c, nodes)
		q.quotas, faults = of, append(faults, wrong...)
		if parent := cmp.Or(x.Spec.ParentName, x.Spec.Parent); parent != "" {
			parents[x.Name] = parent
		}
	}
	for _, name := range slices.Sorted(maps.Keys(parents)) {
		q, parent := cohort(name), cohort(parents[name])
		if parent.root() == q {
			faults = append(faults, fmt.Sprintf("Cohort %s: spec.parentName: %s is below it, it must not be; it is taken for a root", name, parent.name))
			continue
		}
		q.parent, parent.children = parent, append(parent.children, q)
	}
	var queues []*queue
	held := k.held(pods, c, nodes)
	for i := range k.ClusterQueues {
		x := &k.ClusterQueues[i]
		of, wrong := k.quotas("ClusterQueue "+x.Name, x.Spec.ResourceGroups, c, nodes)
		faults = append(faults, wrong...)
		for t, q := range of {
			q.nominal = max(q.nominal-held[x.Name][t], 0)
			if q.lend != nil {
				q.lend = new(min(*q.lend, q.nominal))
			}
			of[t] = q
		}
		q := &queue{name: x.Name, quotas: of}
		q.whole = len(wrong) == 0
		for _, l := range k.LocalQueues {
			if l.Spec.ClusterQueue == x.Name && !slices.Contains(q.namespaces, l.Namespace) {
				q.namespaces = append(q.namespaces, l.Namespace)
			}
		}
		slices.Sort(q.namespaces)
		if name := cmp.Or(x.Spec.CohortName, x.Spec.Cohort); name != "" {
			q.parent = cohort(name)
			q.parent.children = append(q.parent.children, q)
		}
		if len(q.namespaces) > 0 {
			queues = append(queues, q)
		}
	}
	var shares []v1alpha1.Share
	for _, q := range queues {
		s := v1alpha1.Share{Name: q.name, Namespaces: q.namespaces}
		for t, n := range q.quotas {
			most, _ := q.root().all(t)
			kept := 0
			if q.parent == nil {
				most, kept = n.nominal, n.nominal
			}
			if n.borrow != nil {
				most = min(most, n.nominal+*n.borrow)
			}
			if n.lend != nil {
				kept = max(kept, n.nominal-*n.lend)
			}
			s.Cards = append(s.Cards, jsonspec.ShareCards{Type: t, Guaranteed: n.nominal, Kept: kept, Most: &most})
		}
		for _, t := range types {
			if _, covered := q.quotas[t]; !covered && q.whole {
				s.Cards = append(s.Cards, jsonspec.ShareCards{Type: t, Most: new(int)})
			}
		}
		slices.SortFunc(s.Cards, func(a, b jsonspec.ShareCards) int { return strings.Compare(a.Type, b.Type) })
		shares = append(shares, s)
	}
	slices.SortFunc(shares, func(a, b v1alpha1.Share) int { return strings.Compare(a.Name, b.Name) })
	return shares, bounds(cohorts, types), faults
}

// bounds of cohorts with several shares.
func bounds(cohorts map[string]*queue, types []string) []jsonspec.Cohort {
	var list []jsonspec.Cohort
	add := func(name string, shares []string, most func(kind string) (int, bool)) {
		b := jsonspec.Cohort{Name: name, Shares: shares}
		for _, t := range types {
			if n, bounded := most(t); bounded {
				b.Cards = append(b.Cards, jsonspec.CohortCards{Type: t, Most: n})
			}
		}
		if len(shares) > 0 && len(b.Cards) > 0 {
			list = append(list, b)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cohorts)) {
		q := cohorts[name]
		of := q.shares()
		add(name, of, func(t string) (int, bool) {
			n, _ := q.all(t)
			if borrow := q.quotas[t].borrow; borrow != nil {
				n += *borrow
			}
			return n, q.parent == nil || q.quotas[t].borrow != nil
		})
		root := q.root()
		others := slices.DeleteFunc(root.shares(), func(s string) bool { return slices.Contains(of, s) })
		add(root.name+" without "+name, others, func(t string) (int, bool) {
			all, _ := root.all(t)
			n, lent := q.all(t)
			return all - n + lent, q.parent != nil && q.quotas[t].lend != nil
		})
	}
	return list
}

// quotas of a ClusterQueue or cohort by type of card, those of several flavors of a type together. Resources that are no cards are left out.
func (k *Kueue) quotas(owner string, groups []ResourceGroup, c *catalogue.Classifier, nodes []corev1.Node) (map[string]quota, []string) {
	of := map[string]quota{}
	var faults []string
	for _, group := range groups {
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
					faults = append(faults, fmt.Sprintf("%s: %s of flavor %s: the labels of its nodes are of %d types of card, one is needed; it bounds nothing",
						owner, r.Name, flavor.Name, len(kinds)))
					continue
				}
				n := quota{nominal: cards(r.NominalQuota)}
				if r.BorrowingLimit != nil {
					n.borrow = new(cards(*r.BorrowingLimit))
				}
				if r.LendingLimit != nil {
					n.lend = new(cards(*r.LendingLimit))
				}
				if before, several := of[kinds[0].Type]; several {
					n = n.and(before)
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
