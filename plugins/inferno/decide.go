package inferno

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/placement"
)

// outcome says by which rule a pod was placed.
type outcome string

const (
	outcomePlanned   outcome = "planned"   // within the plan's quota
	outcomeUnplanned outcome = "unplanned" // there is no plan
	outcomeFallback  outcome = "fallback"  // the plan had no room for too long
)

// unlimited is the quota of an option that no plan limits.
const unlimited = -1

// option is an accelerator that a pod may go to.
type option struct {
	// accelerator is the name of the Accelerator resource: what the ledger counts by.
	accelerator string
	// label is the name that the plan gives it: what the pod is annotated with.
	label string
	// rank of the option, 0 the first; options of the same rank are equally good.
	rank int
	// quota is the number of seats the server may take on it, or unlimited.
	quota int
	// left of the quota before this pod.
	left int
	// kind of the accelerator.
	kind catalogue.Kind
	// part of the plan it comes from; nil where the plan does not name it.
	part *v1alpha1.AllocationPart
	// outcome when the pod takes it.
	outcome outcome
}

// situation is all that a decision depends on.
type situation struct {
	key types.NamespacedName
	// server is nil where it does not exist.
	server *v1alpha1.Server
	// measured are the accelerators the server's model has performance data for.
	measured []string
	// kinds knows the Accelerator resources.
	kinds *catalogue.Classifier
	// carried tells whether some node carries an accelerator.
	carried func(accelerator string) bool
	// seated counts the server's pods by accelerator.
	seated map[string]int
	// variant of the server that the pod belongs to, or empty.
	variant string
	// requests of the pod.
	requests v1.ResourceList
	// overdue is set when the fallback applies.
	overdue bool
	// expected is set while a Server without a plan will be given one: the plans of others are confirmed, and the pod has not waited for long.
	expected bool
}

// decision says where a pod may go.
type decision struct {
	// options by accelerator.
	options map[string]option
	// anywhere is set when the plugin has no ground to exclude any node.
	anywhere bool
	// reason why there is no option, or why the pod is placed outside the plan.
	reason string
}

// room for pods like this one under the plan; unlimited when no plan limits it.
func (d decision) room() int {
	if d.anywhere {
		return unlimited
	}
	room := 0
	for _, o := range d.options {
		if o.quota == unlimited {
			return unlimited
		}
		room += o.left
	}
	return room
}

// best option among accelerators that a node carries.
func (d decision) best(carried []string) (option, bool) {
	var best option
	found := false
	for _, name := range carried {
		o, ok := d.options[name]
		if ok && (!found || preferred(o, best) < 0) {
			best, found = o, true
		}
	}
	return best, found
}

// preferred orders the options on one node: by rank, then the one that uses more cards at once, then by name.
func preferred(a, b option) int {
	return cmp.Or(cmp.Compare(a.rank, b.rank), placement.LargestFirst(a.kind, b.kind))
}

// decide where a pod may go.
func decide(s situation) decision {
	switch {
	case s.server == nil:
		return s.unplanned(fmt.Sprintf("Server %s does not exist", s.key))
	case s.server.Status.Desired == nil && s.expected:
		return decision{reason: fmt.Sprintf("Server %s has no plan yet, and others have", s.key)}
	case s.server.Status.Desired == nil:
		return s.unplanned(fmt.Sprintf("Server %s has no plan yet", s.key))
	}
	planned, reason := s.planned()
	if !s.overdue {
		return decision{options: index(planned), reason: reason}
	}
	options := slices.Concat(s.beyondPlan(len(planned), planned), planned)
	if len(options) > 0 {
		reason = "waited too long for the plan: " + reason
	}
	return decision{options: index(options), reason: reason}
}

// planned are the accelerators of the plan with quota left, the least fulfilled first: what is left of the quota as a share of it, so that
// a server that is still growing grows in the proportions of its plan.
func (s situation) planned() ([]option, string) {
	var options []option
	var full, unusable []string
	for i := range s.server.Status.Desired.Parts {
		part := &s.server.Status.Desired.Parts[i]
		kind, known := s.kinds.Kind(part.Accelerator)
		switch {
		case part.Replicas <= 0:
			continue
		case !known:
			unusable = append(unusable, fmt.Sprintf("no Accelerator describes %q", part.Accelerator))
			continue
		case !s.inVariant(kind):
			continue
		case !s.fits(kind):
			unusable = append(unusable, fmt.Sprintf("the pod's request of %s does not make up %q", kind.ResourceName, part.Accelerator))
			continue
		}
		quota := part.Replicas + part.Surge
		left := quota - s.seated[kind.Name]
		if left <= 0 {
			full = append(full, fmt.Sprintf("%s %d", part.Accelerator, quota))
			continue
		}
		options = append(options, option{
			accelerator: kind.Name, label: part.Accelerator, quota: quota, left: left, kind: kind, part: part, outcome: outcomePlanned,
		})
	}
	slices.SortFunc(options, func(a, b option) int {
		return cmp.Or(
			placement.LeastFulfilled(a.left, a.quota, b.left, b.quota), strings.Compare(a.accelerator, b.accelerator),
		)
	})
	for i := range options {
		options[i].rank = i
	}
	return options, s.why(options, full, unusable)
}

// why the plan gives no option, or why those it gives were not enough.
func (s situation) why(options []option, full, unusable []string) string {
	var reasons []string
	if len(full) > 0 {
		reasons = append(reasons, "all replicas planned for it have their place ("+strings.Join(full, ", ")+")")
	}
	reasons = append(reasons, unusable...)
	switch {
	case len(reasons) > 0:
	case len(options) > 0:
		reasons = []string{"no node of a planned accelerator has room"}
	case s.variant != "":
		reasons = []string{fmt.Sprintf("the plan has no replica for its variant %q", s.variant)}
	default:
		reasons = []string{"the plan has no replica"}
	}
	return fmt.Sprintf("Server %s: %s", s.key, strings.Join(reasons, "; "))
}

// beyondPlan are the accelerators for which the plan has no quota left, after those that have.
func (s situation) beyondPlan(rank int, planned []option) []option {
	var options []option
	for _, kind := range s.feasible() {
		if slices.ContainsFunc(planned, func(o option) bool { return o.accelerator == kind.Name }) {
			continue
		}
		options = append(options, s.free(kind, rank, outcomeFallback))
	}
	return options
}

// unplanned decides without a plan.
func (s situation) unplanned(reason string) decision {
	var options []option
	for _, kind := range s.feasible() {
		options = append(options, s.free(kind, 0, outcomeUnplanned))
	}
	return decision{options: index(options), anywhere: len(options) == 0, reason: reason}
}

func (s situation) free(kind catalogue.Kind, rank int, by outcome) option {
	o := option{accelerator: kind.Name, label: kind.Alias, rank: rank, quota: unlimited, kind: kind, outcome: by}
	if s.server == nil || s.server.Status.Desired == nil {
		return o
	}
	for i := range s.server.Status.Desired.Parts {
		part := &s.server.Status.Desired.Parts[i]
		if k, ok := s.kinds.Kind(part.Accelerator); ok && k.Name == kind.Name {
			o.label, o.part = part.Accelerator, part
		}
	}
	return o
}

// feasible are the accelerators that some node carries and the pod fits: those its model has performance data for, or all where it has
// data for none of them.
func (s situation) feasible() []catalogue.Kind {
	measured := map[string]bool{}
	for _, name := range s.measured {
		if kind, ok := s.kinds.Kind(name); ok {
			measured[kind.Name] = true
		}
	}
	var all, known []catalogue.Kind
	for _, kind := range s.kinds.Kinds() {
		if !s.carried(kind.Name) || !s.inVariant(kind) || !s.fits(kind) {
			continue
		}
		all = append(all, kind)
		if measured[kind.Name] {
			known = append(known, kind)
		}
	}
	if len(known) > 0 {
		return known
	}
	return all
}

// inVariant tells whether the pod's template is meant for an accelerator. A variant that the server does not list limits nothing.
func (s situation) inVariant(kind catalogue.Kind) bool {
	if s.server == nil || s.variant == "" {
		return true
	}
	for _, v := range s.server.Spec.Variants {
		if v.Name == s.variant {
			return slices.Contains(v.Accelerators, kind.Name) || slices.Contains(v.Accelerators, kind.Alias)
		}
	}
	return true
}

// fits tells whether the pod's request makes up whole accelerators of a kind.
func (s situation) fits(kind catalogue.Kind) bool { return placement.Fits(s.kinds, s.requests, kind) }

func index(options []option) map[string]option {
	m := make(map[string]option, len(options))
	for _, o := range options {
		m[o.accelerator] = o
	}
	return m
}
