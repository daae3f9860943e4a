package solver

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// maxUnits bounds the cards of a candidate and of a type, far above any fleet, so that sums over servers cannot overflow.
const maxUnits = 1 << 31

// Validate finds what no solver can work with. Every fault is named, all are joined: a field, its value, what is allowed.
func (p *Problem) Validate() error {
	var faults []error
	seen := make(map[string]bool, len(p.Servers))
	for i := range p.Servers {
		s := &p.Servers[i]
		if s.Name == "" {
			faults = append(faults, fmt.Errorf("servers[%d].name: empty, a name is required", i))
		} else if seen[s.Name] {
			faults = append(faults, fmt.Errorf("servers[%d].name: %q is given twice, names are unique", i, s.Name))
		}
		seen[s.Name] = true
		if s.Priority < 1 {
			faults = append(faults, fmt.Errorf("servers[%s].priority: %d is below 1, the highest priority", s.Name, s.Priority))
		}
		for j := range s.Candidates {
			if err := s.Candidates[j].validate(); err != nil {
				faults = append(faults, fmt.Errorf("servers[%s].candidates[%d]: %w", s.Name, j, err))
			}
		}
	}
	for _, t := range slices.Sorted(maps.Keys(p.Capacity)) {
		if n := p.Capacity[t]; n < 0 || n > maxUnits {
			faults = append(faults, fmt.Errorf("capacity[%s]: %d is not between 0 and %d", t, n, maxUnits))
		}
	}
	if err := validPolicy(p.SaturationPolicy); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

func (c *Candidate) validate() error {
	var faults []error
	for _, f := range []struct {
		name  string
		value float64
	}{{"cost", c.Cost}, {"value", c.Value}} {
		if math.IsNaN(f.value) || math.IsInf(f.value, 0) || f.value < 0 {
			faults = append(faults, fmt.Errorf("%s: %v is not a number of at least 0", f.name, f.value))
		}
	}
	switch {
	case c.Replicas < 0:
		faults = append(faults, fmt.Errorf("replicas: %d is below 0", c.Replicas))
	case c.Replicas == 0:
	case c.Type == "":
		faults = append(faults, errors.New("type: empty, a candidate with replicas needs one"))
	case c.UnitsPerReplica < 1:
		faults = append(faults, fmt.Errorf("unitsPerReplica: %d is below 1", c.UnitsPerReplica))
	case c.Replicas > maxUnits/c.UnitsPerReplica:
		faults = append(faults, fmt.Errorf("replicas: %d × %d units is above %d", c.Replicas, c.UnitsPerReplica, maxUnits))
	}
	return errors.Join(faults...)
}

func validPolicy(name string) error {
	switch name {
	case "", v1alpha1.SaturationNone, v1alpha1.SaturationPriorityExhaustive, v1alpha1.SaturationPriorityRoundRobin, v1alpha1.SaturationRoundRobin:
		return nil
	}
	return fmt.Errorf("saturationPolicy: %q is unknown, allowed are %s, %s, %s and %s", name, v1alpha1.SaturationNone,
		v1alpha1.SaturationPriorityExhaustive, v1alpha1.SaturationPriorityRoundRobin, v1alpha1.SaturationRoundRobin)
}
