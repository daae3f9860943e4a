package specification

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// shares are all that resources name: those of the Optimizer, then those that were read from elsewhere under other names.
func (r *Resources) shares() []v1alpha1.Share {
	var all []v1alpha1.Share
	if r.Optimizer != nil {
		all = slices.Clone(r.Optimizer.Spec.Shares)
	}
	for _, s := range r.Shares {
		if !slices.ContainsFunc(all, func(o v1alpha1.Share) bool { return o.Name == s.Name }) {
			all = append(all, s)
		}
	}
	return all
}

// cohorts are all that resources name, as shares are.
func (r *Resources) cohorts() []jsonspec.Cohort {
	var all []jsonspec.Cohort
	if r.Optimizer != nil {
		all = slices.Clone(r.Optimizer.Spec.Cohorts)
	}
	for _, c := range r.Cohorts {
		if !slices.ContainsFunc(all, func(o jsonspec.Cohort) bool { return o.Name == c.Name }) {
			all = append(all, c)
		}
	}
	return all
}

// members says whether the Servers of a namespace are of a share. A selector that is none selects nothing.
func members(s *v1alpha1.Share, namespace string, of map[string]string) bool {
	if slices.Contains(s.Namespaces, namespace) {
		return true
	}
	if s.NamespaceSelector == nil {
		return false
	}
	selector, err := metav1.LabelSelectorAsSelector(s.NamespaceSelector)
	return err == nil && !selector.Empty() && selector.Matches(labels.Set(of))
}

// shareOf a namespace, the first that it is of; empty for none.
func (r *Resources) shareOf(namespace string, shares []v1alpha1.Share) string {
	for i := range shares {
		if members(&shares[i], namespace, r.Namespaces[namespace]) {
			return shares[i].Name
		}
	}
	return ""
}

// ShareFaults are what is wrong with shares, given the cards by type: each names the field, the value and what is allowed. Plans are made all the same: of
// several shares a namespace is of the first, and where more is guaranteed than there is, priority decides.
func ShareFaults(r *Resources, cards map[string]int) []string {
	var faults []string
	shares, guaranteed := r.shares(), map[string]int{}
	for i := range shares {
		s := &shares[i]
		if s.NamespaceSelector != nil {
			if selector, err := metav1.LabelSelectorAsSelector(s.NamespaceSelector); err != nil {
				faults = append(faults, fmt.Sprintf("spec.shares[%s].namespaceSelector: %v", s.Name, err))
			} else if selector.Empty() {
				faults = append(faults, fmt.Sprintf("spec.shares[%s].namespaceSelector: empty is not allowed, it would select every namespace; name a label", s.Name))
			}
		}
		for k := range r.Accelerators {
			if a := &r.Accelerators[k]; s.PowerCap != nil && a.Spec.Power == nil {
				faults = append(faults, fmt.Sprintf("spec.shares[%s].powerCap: Accelerator %s has no spec.power; nothing of the share is put on it", s.Name, a.Name))
			}
		}
		for _, c := range s.Cards {
			guaranteed[c.Type] += c.Guaranteed
			if _, known := cards[c.Type]; !known {
				faults = append(faults, unknownType(fmt.Sprintf("spec.shares[%s].cards[%s]", s.Name, c.Type), cards))
			}
		}
	}
	for _, t := range slices.Sorted(maps.Keys(guaranteed)) {
		if n, known := cards[t]; known && guaranteed[t] > n {
			faults = append(faults, fmt.Sprintf("spec.shares[*].cards[%s].guaranteed: %d in all is above the %d that there are; priority decides who has them", t, guaranteed[t], n))
		}
	}
	for _, c := range r.cohorts() {
		for _, name := range c.Shares {
			if !slices.ContainsFunc(shares, func(s v1alpha1.Share) bool { return s.Name == name }) {
				faults = append(faults, fmt.Sprintf("spec.cohorts[%s].shares: %q is not the name of a share; it is left out", c.Name, name))
			}
		}
		for _, of := range c.Cards {
			due := 0
			for i := range shares {
				if slices.Contains(c.Shares, shares[i].Name) {
					for _, x := range shares[i].Cards {
						if x.Type == of.Type {
							due += x.Guaranteed
						}
					}
				}
			}
			if due > of.Most {
				faults = append(faults, fmt.Sprintf("spec.cohorts[%s].cards[%s].most: %d is below the %d that its shares are guaranteed; priority decides who has them", c.Name, of.Type, of.Most, due))
			}
			if _, known := cards[of.Type]; !known {
				faults = append(faults, unknownType(fmt.Sprintf("spec.cohorts[%s].cards[%s]", c.Name, of.Type), cards))
			}
		}
	}
	for _, namespace := range slices.Sorted(maps.Keys(r.Namespaces)) {
		var of []string
		for i := range shares {
			if members(&shares[i], namespace, r.Namespaces[namespace]) {
				of = append(of, shares[i].Name)
			}
		}
		if len(of) > 1 {
			faults = append(faults, fmt.Sprintf("spec.shares: namespace %s is of %s, one is allowed; it counts for %s", namespace, strings.Join(of, " and "), of[0]))
		}
	}
	return faults
}

func unknownType(field string, cards map[string]int) string {
	return fmt.Sprintf("%s: no accelerator is of this type, known are %s", field, strings.Join(slices.Sorted(maps.Keys(cards)), ", "))
}

// cohorts checks those of a JSON specification, whose shares are known by name.
func (v *validator) cohorts(list []jsonspec.Cohort, shares, types map[string]bool) {
	known := map[string]bool{}
	for i, c := range list {
		path := fmt.Sprintf("optimizer.cohorts[%d]", i)
		v.unique(path+".name", c.Name, known)
		if c.Name != "" {
			path = fmt.Sprintf("optimizer.cohorts[%s]", c.Name)
		}
		for _, name := range c.Shares {
			if !shares[name] {
				v.fault(path+".shares", "%q is not the name of one of optimizer.shares", name)
			}
		}
		seen := map[string]bool{}
		for k, of := range c.Cards {
			at := fmt.Sprintf("%s.cards[%d]", path, k)
			v.unique(at+".type", of.Type, seen)
			v.usedType(at, of.Type, types)
			v.numbers(at, number{"most", float64(of.Most), 0, maxCards})
		}
	}
}

// powerOf says which accelerators that servers of a share with a cap on power could run on have none that is known.
func (v *validator) powerOf(s *jsonspec.System, share, path string) {
	models, on := map[string]bool{}, map[string]bool{}
	for i := range s.Servers.Spec {
		if e := &s.Servers.Spec[i]; e.Share == share {
			models[e.Model] = true
		}
	}
	for i := range s.Models.Spec {
		if m := &s.Models.Spec[i]; models[m.Name] {
			on[m.Acc] = true
		}
	}
	for _, a := range s.Accelerators.Spec {
		if on[a.Name] && !(a.Power.Full > 0) {
			v.fault(path+".powerCap", "accelerators[%s].power.full is %v, must be above 0 where servers of the share may run on it", a.Name, a.Power.Full)
		}
	}
}

// shares checks those of a JSON specification, and what servers say of theirs.
func (v *validator) shares(s *jsonspec.System, types map[string]bool) {
	known := map[string]bool{}
	for i, b := range s.Optimizer.Spec.Shares {
		path := fmt.Sprintf("optimizer.shares[%d]", i)
		v.unique(path+".name", b.Name, known)
		if b.Name != "" {
			path = fmt.Sprintf("optimizer.shares[%s]", b.Name)
		}
		seen := map[string]bool{}
		for k, c := range b.Cards {
			of := fmt.Sprintf("%s.cards[%d]", path, k)
			v.unique(of+".type", c.Type, seen)
			v.usedType(of, c.Type, types)
			v.numbers(of, number{"guaranteed", float64(c.Guaranteed), 0, maxCards}, number{"kept", float64(c.Kept), 0, float64(c.Guaranteed)})
			if c.Most != nil {
				v.numbers(of, number{"most", float64(*c.Most), float64(c.Guaranteed), maxCards})
			}
		}
		if c := b.Cost; c != nil {
			least := 0.0
			if c.Guaranteed != nil {
				least = *c.Guaranteed
				v.numbers(path+".cost", atLeast("guaranteed", least, 0))
			}
			if c.Most != nil {
				v.numbers(path+".cost", atLeast("most", *c.Most, least))
			}
		}
		if b.PowerCap != nil {
			v.numbers(path, atLeast("powerCap", *b.PowerCap, 0))
			v.powerOf(s, b.Name, path)
		}
	}
	v.cohorts(s.Optimizer.Spec.Cohorts, known, types)
	for i, e := range s.Servers.Spec {
		if e.Share != "" && !known[e.Share] && v.read("servers", i) {
			v.fault(fmt.Sprintf("servers[%s].share", e.Name), "%q is not the name of one of optimizer.shares", e.Share)
		}
	}
}
