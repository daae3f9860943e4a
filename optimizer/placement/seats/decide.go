// Package seats says which pod of a Server may have which accelerator of its plan, and counts who has one. The scheduler plugin and the controller of gates
// ask here, so that both place by the same rules, and count each other's pods.
package seats

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/placement"
)

// Outcome says by which rule a pod was placed.
type Outcome string

const (
	OutcomePlanned   Outcome = "planned"   // within the plan's quota
	OutcomeUnplanned Outcome = "unplanned" // there is no plan
	OutcomeFallback  Outcome = "fallback"  // the plan had no room for too long
)

// Unlimited is the quota of an option that no plan limits.
//
// Exact: no quota is negative
const Unlimited = -1

// Option is an accelerator that a pod may go to.
type Option struct {
	// Accelerator is the name of the Accelerator resource: what the ledger counts by.
	Accelerator string
	// Label is the name that the plan gives it: what the pod is annotated with.
	Label string
	// Rank of the option, 0 the first; options of the same rank are equally good.
	Rank int
	// Quota is the number of seats the server may take on it, or unlimited.
	Quota int
	// Left of the quota before this pod.
	Left int
	// Kind of the accelerator.
	Kind catalogue.Kind
	// Part of the plan it comes from; nil where the plan does not name it.
	Part *jsonspec.AllocationPart
	// Outcome when the pod takes it.
	Outcome Outcome
}

// Situation is all that a decision depends on.
type Situation struct {
	Key types.NamespacedName
	// Server is nil where it does not exist.
	Server *v1alpha1.Server
	// Measured are the accelerators the server's model has performance data for.
	Measured []string
	// Kinds knows the Accelerator resources.
	Kinds *catalogue.Classifier
	// Carried tells whether some node carries an accelerator.
	Carried func(accelerator string) bool
	// Seated counts the server's pods.
	Seated Seats
	// Variant of the server that the pod says it is of, or empty.
	Variant string
	// Requests of the pod, and of the others of its group.
	Requests v1.ResourceList
	Others   []v1.ResourceList
	// Held is the accelerator of the seat that the pod, or its group, has already; empty for none.
	Held string
	// Overdue is set when the fallback applies.
	Overdue bool
	// Expected is set while a Server without a plan will be given one: the plans of others are confirmed, and the pod has not waited for long.
	Expected bool
}

// Decision says where a pod may go.
type Decision struct {
	// Options by accelerator.
	Options map[string]Option
	// Anywhere is set when there is no ground to exclude any node.
	Anywhere bool
	// Reason why there is no option, or why the pod is placed outside the plan.
	Reason string
}

// Room for pods like this one under the plan; unlimited when no plan limits it.
func (d Decision) Room() int {
	if d.Anywhere {
		return Unlimited
	}
	room := 0
	for _, o := range d.Options {
		if o.Quota == Unlimited {
			return Unlimited
		}
		room += o.Left
	}
	return room
}

// InOrder are the options whatever nodes there are, the best first.
func (d Decision) InOrder() []Option {
	return slices.SortedFunc(maps.Values(d.Options), preferred)
}

// Best option among accelerators that a node carries.
func (d Decision) Best(carried []string) (Option, bool) {
	var best Option
	found := false
	for _, name := range carried {
		o, ok := d.Options[name]
		if ok && (!found || preferred(o, best) < 0) {
			best, found = o, true
		}
	}
	return best, found
}

// preferred orders the options on one node: by rank, then the one that uses more cards at once, then by name.
func preferred(a, b Option) int {
	return cmp.Or(cmp.Compare(a.Rank, b.Rank), placement.LargestFirst(a.Kind, b.Kind))
}

// Decide where a pod may go.
func Decide(s Situation) Decision {
	if kind, known := s.Kinds.Kind(s.Held); known {
		return Decision{Options: index([]Option{s.free(kind, 0, OutcomePlanned)}), Reason: "no node of " + s.Held + ", where its seat is, has room"}
	}
	switch {
	case s.Server == nil:
		return s.unplanned(fmt.Sprintf("Server %s does not exist", s.Key))
	case s.Server.Status.Desired == nil && s.Expected:
		return Decision{Reason: fmt.Sprintf("Server %s has no plan yet, and others have", s.Key)}
	case s.Server.Status.Desired == nil:
		return s.unplanned(fmt.Sprintf("Server %s has no plan yet", s.Key))
	}
	planned, reason := s.planned()
	if !s.Overdue {
		return Decision{Options: index(planned), Reason: reason}
	}
	options := slices.Concat(s.beyondPlan(len(planned), planned), planned)
	if len(options) > 0 {
		reason = "waited too long for the plan: " + reason
	}
	return Decision{Options: index(options), Reason: reason}
}

// planned are the accelerators of the plan with quota left, the least fulfilled first: what is left of the quota as a share of it, so that
// a server that is still growing grows in the proportions of its plan.
func (s Situation) planned() ([]Option, string) {
	var options []Option
	var full, unusable []string
	for i := range s.Server.Status.Desired.Parts {
		part := &s.Server.Status.Desired.Parts[i]
		kind, known := s.Kinds.Kind(part.Accelerator)
		switch {
		case part.Replicas <= 0:
			continue
		case !known:
			unusable = append(unusable, fmt.Sprintf("no Accelerator describes %q", part.Accelerator))
			continue
		case !s.inVariant(kind) || part.Variant != Runs(s.Server, s.Variant):
			continue
		case !s.fits(kind):
			unusable = append(unusable, fmt.Sprintf("the pod's request of %s does not make up %q", kind.ResourceName, part.Accelerator))
			continue
		}
		quota := part.Now()
		left := quota - s.Seated.Of(s.Server, kind.Name, part.Variant)
		if left <= 0 {
			full = append(full, fmt.Sprintf("%s %d", part.On(), quota))
			continue
		}
		options = append(options, Option{
			Accelerator: kind.Name, Label: part.Accelerator, Quota: quota, Left: left, Kind: kind, Part: part, Outcome: OutcomePlanned,
		})
	}
	slices.SortFunc(options, func(a, b Option) int {
		return cmp.Or(
			placement.LeastFulfilled(a.Left, a.Quota, b.Left, b.Quota), strings.Compare(a.Accelerator, b.Accelerator),
		)
	})
	for i := range options {
		options[i].Rank = i
	}
	return options, s.why(options, full, unusable)
}

// why the plan gives no option, or why those it gives were not enough.
func (s Situation) why(options []Option, full, unusable []string) string {
	var reasons []string
	if len(full) > 0 {
		reasons = append(reasons, "all replicas planned for it have their place ("+strings.Join(full, ", ")+")")
	}
	reasons = append(reasons, unusable...)
	switch {
	case len(reasons) > 0:
	case len(options) > 0:
		reasons = []string{"no node of a planned accelerator has room"}
	case s.Variant != "" && len(s.Server.Spec.Variants) > 0:
		reasons = []string{fmt.Sprintf("the plan has no replica for its variant %q", s.Variant)}
	default:
		reasons = []string{"the plan has no replica"}
	}
	return fmt.Sprintf("Server %s: %s", s.Key, strings.Join(reasons, "; "))
}

// beyondPlan are the accelerators for which the plan has no quota left, after those that have.
func (s Situation) beyondPlan(rank int, planned []Option) []Option {
	var options []Option
	for _, kind := range s.feasible() {
		if slices.ContainsFunc(planned, func(o Option) bool { return o.Accelerator == kind.Name }) {
			continue
		}
		options = append(options, s.free(kind, rank, OutcomeFallback))
	}
	return options
}

// unplanned decides without a plan.
func (s Situation) unplanned(reason string) Decision {
	var options []Option
	for _, kind := range s.feasible() {
		options = append(options, s.free(kind, 0, OutcomeUnplanned))
	}
	return Decision{Options: index(options), Anywhere: len(options) == 0, Reason: reason}
}

func (s Situation) free(kind catalogue.Kind, rank int, by Outcome) Option {
	o := Option{Accelerator: kind.Name, Label: kind.Alias, Rank: rank, Quota: Unlimited, Kind: kind, Outcome: by}
	if s.Server == nil || s.Server.Status.Desired == nil {
		return o
	}
	for i := range s.Server.Status.Desired.Parts {
		part := &s.Server.Status.Desired.Parts[i]
		if k, ok := s.Kinds.Kind(part.Accelerator); ok && k.Name == kind.Name && part.Variant == Runs(s.Server, s.Variant) {
			o.Label, o.Part = part.Accelerator, part
		}
	}
	return o
}

// feasible are the accelerators that some node carries and the pod fits: those its model has performance data for, or all where it has
// data for none of them.
func (s Situation) feasible() []catalogue.Kind {
	measured := map[string]bool{}
	for _, name := range s.Measured {
		if kind, ok := s.Kinds.Kind(name); ok {
			measured[kind.Name] = true
		}
	}
	var all, known []catalogue.Kind
	for _, kind := range s.Kinds.Kinds() {
		if !s.Carried(kind.Name) || !s.inVariant(kind) || !s.fits(kind) {
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
func (s Situation) inVariant(kind catalogue.Kind) bool {
	if s.Server == nil || s.Variant == "" {
		return true
	}
	v := s.Server.Spec.Meant(s.Variant)
	return v == nil || slices.Contains(v.Accelerators, kind.Name) || slices.Contains(v.Accelerators, kind.Alias)
}

// Contends tells whether a pod of another variant of the server could take one of the options.
func (d Decision) Contends(server *v1alpha1.Server, variant string) bool {
	other := Situation{Server: server, Variant: variant}
	for _, o := range d.Options {
		if other.inVariant(o.Kind) && (o.Part == nil || o.Part.Variant == Runs(server, variant)) {
			return true
		}
	}
	return false
}

// fits tells whether what the pod, and each of its group, requests makes up whole accelerators of a kind.
func (s Situation) fits(kind catalogue.Kind) bool {
	return placement.Fits(s.Kinds, s.Requests, kind) && !slices.ContainsFunc(s.Others, func(requests v1.ResourceList) bool { return !placement.Fits(s.Kinds, requests, kind) })
}

func index(options []Option) map[string]Option {
	m := make(map[string]Option, len(options))
	for _, o := range options {
		m[o.Accelerator] = o
	}
	return m
}
