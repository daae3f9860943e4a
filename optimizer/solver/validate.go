package solver

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// maxUnits bounds the cards of a candidate and of a type, far above any fleet, so that sums over servers cannot overflow.
//
// Tuned: cards; guard against sums that overflow
const maxUnits = 1 << 31

// Validate finds what no solver can work with. Every fault is named, all are joined: a field, its value, what is allowed.
func (p *Problem) Validate() error {
	var faults []error
	seen := make(map[string]bool, len(p.Servers))
	for i := range p.Servers {
		s := &p.Servers[i]
		if err := unique("servers", i, s.Name, seen); err != nil {
			faults = append(faults, err)
		}
		if err := s.Validate(); err != nil {
			faults = append(faults, err)
		}
	}
	faults = append(faults, validCards("capacity", p.Capacity)...)
	for _, t := range slices.Sorted(maps.Keys(p.Prices)) {
		if v := p.Prices[t]; math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			faults = append(faults, fmt.Errorf("prices[%s]: %v is not a number of at least 0", t, v))
		}
	}
	if p.StopAt < 0 {
		faults = append(faults, fmt.Errorf("stopAt: %d is below 0", p.StopAt))
	}
	faults = append(faults, p.validNodes()...)
	faults = append(faults, p.validShares()...)
	if err := validPolicy(p.SaturationPolicy); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// validCards finds numbers of cards by type that cannot be.
func validCards(field string, cards map[string]int) []error {
	var faults []error
	for _, t := range slices.Sorted(maps.Keys(cards)) {
		if n := cards[t]; n < 0 || n > maxUnits {
			faults = append(faults, fmt.Errorf("%s[%s]: %d is not between 0 and %d", field, t, n, maxUnits))
		}
	}
	return faults
}

// unique says what is wrong with the name of entry i of a list, among those that were seen before it.
func unique(list string, i int, name string, seen map[string]bool) error {
	defer func() { seen[name] = true }()
	switch {
	case name == "":
		return fmt.Errorf("%s[%d].name: empty, a name is required", list, i)
	case seen[name]:
		return fmt.Errorf("%s[%d].name: %q is given twice, names are unique", list, i, name)
	}
	return nil
}

// Validate finds what no solver can work with in one server, whatever the others are.
func (s *Server) Validate() error {
	var faults []error
	if s.Priority < 1 {
		faults = append(faults, fmt.Errorf("servers[%s].priority: %d is below 1, the highest priority", s.Name, s.Priority))
	}
	if s.Weight < 0 || s.Weight > maxUnits {
		faults = append(faults, fmt.Errorf("servers[%s].weight: %d is not between 0 and %d", s.Name, s.Weight, maxUnits))
	}
	if math.IsNaN(s.Penalty) || math.IsInf(s.Penalty, 0) || s.Penalty < 0 {
		faults = append(faults, fmt.Errorf("servers[%s].penalty: %v is not a number of at least 0", s.Name, s.Penalty))
	}
	for j := range s.Candidates {
		if err := s.Candidates[j].validate(); err != nil {
			faults = append(faults, fmt.Errorf("servers[%s].candidates[%d]: %w", s.Name, j, err))
		}
	}
	return errors.Join(faults...)
}

func (p *Problem) validNodes() []error {
	var faults []error
	nodes := make(map[string]bool, len(p.Nodes))
	for _, n := range p.Nodes {
		if nodes[n.Name] {
			faults = append(faults, fmt.Errorf("nodes[%s]: given twice, names are unique", n.Name))
		}
		nodes[n.Name] = true
		if n.Type == "" {
			faults = append(faults, fmt.Errorf("nodes[%s].type: empty", n.Name))
		}
		if n.Free < 0 || n.Free > maxUnits {
			faults = append(faults, fmt.Errorf("nodes[%s].free: %d is not between 0 and %d", n.Name, n.Free, maxUnits))
		}
	}
	pools := make(map[string]bool, len(p.Elastic))
	for _, e := range p.Elastic {
		if pools[e.Name] {
			faults = append(faults, fmt.Errorf("elastic[%s]: given twice, names are unique", e.Name))
		}
		pools[e.Name] = true
		if e.Type == "" {
			faults = append(faults, fmt.Errorf("elastic[%s].type: empty", e.Name))
		}
		if e.Cards < 1 || e.Cards > maxPurchase {
			faults = append(faults, fmt.Errorf("elastic[%s].cards: %d is not between 1 and %d", e.Name, e.Cards, maxPurchase))
		}
		if e.Limit < 0 || e.Limit > maxPurchase {
			faults = append(faults, fmt.Errorf("elastic[%s].limit: %d is not between 0 and %d", e.Name, e.Limit, maxPurchase))
		}
		if math.IsNaN(e.Price) || math.IsInf(e.Price, 0) || e.Price < 0 {
			faults = append(faults, fmt.Errorf("elastic[%s].price: %v is not a number of at least 0", e.Name, e.Price))
		}
	}
	return faults
}

// validShares finds what is wrong with shares, and with what servers say of theirs.
func (p *Problem) validShares() []error {
	var faults []error
	known := make(map[string]bool, len(p.Shares))
	for i := range p.Shares {
		s := &p.Shares[i]
		if err := unique("shares", i, s.Name, known); err != nil {
			faults = append(faults, err)
		}
		for _, of := range []struct {
			name  string
			cards map[string]int
		}{{"guaranteed", s.Guaranteed}, {"kept", s.Kept}, {"most", s.Most}} {
			faults = append(faults, validCards(fmt.Sprintf("shares[%s].%s", s.Name, of.name), of.cards)...)
		}
		for _, of := range []struct {
			name string
			cost *float64
		}{{"guaranteedCost", s.GuaranteedCost}, {"mostCost", s.MostCost}, {"mostPower", s.MostPower}} {
			if of.cost != nil && !(*of.cost >= 0 && *of.cost <= math.MaxFloat64) {
				faults = append(faults, fmt.Errorf("shares[%s].%s: %v is not a number of at least 0", s.Name, of.name, *of.cost))
			}
		}
	}
	cohorts := make(map[string]bool, len(p.Cohorts))
	for i := range p.Cohorts {
		c := &p.Cohorts[i]
		if err := unique("cohorts", i, c.Name, cohorts); err != nil {
			faults = append(faults, err)
		}
		for _, name := range c.Shares {
			if !known[name] {
				faults = append(faults, fmt.Errorf("cohorts[%s].shares: %q is not the name of a share", c.Name, name))
			}
		}
		faults = append(faults, validCards(fmt.Sprintf("cohorts[%s].most", c.Name), c.Most)...)
	}
	for i := range p.Servers {
		if s := &p.Servers[i]; s.Share != "" && !known[s.Share] {
			faults = append(faults, fmt.Errorf("servers[%s].share: %q is not the name of a share", s.Name, s.Share))
		}
	}
	return faults
}

// maxPurchase bounds purchases and their cards: each is a decision of its own.
//
// Tuned: cards; guard against more decisions than there is memory for
const maxPurchase = 10_000

func (c *Candidate) validate() error {
	var faults []error
	if !(c.Cost >= 0 && c.Cost <= math.MaxFloat64) {
		faults = append(faults, fmt.Errorf("cost: %v is not a number of at least 0", c.Cost))
	}
	if !(c.Value >= 0 && c.Value <= math.MaxFloat64) {
		faults = append(faults, fmt.Errorf("value: %v is not a number of at least 0", c.Value))
	}
	if len(c.Parts) > maxParts {
		faults = append(faults, fmt.Errorf("parts: there are %d, at most %d are allowed", len(c.Parts), maxParts))
	}
	for i := range c.Parts {
		if err := c.Parts[i].validate(); err != nil {
			faults = append(faults, fmt.Errorf("parts[%d]: %w", i, err))
		}
	}
	return errors.Join(faults...)
}

// maxParts bounds the parts of a candidate, far above any bundle, so that their sums cannot overflow.
//
// Tuned: parts; guard against sums that overflow
const maxParts = 64

func (p *Part) validate() error {
	var faults []error
	switch {
	case p.Replicas < 0:
		faults = append(faults, fmt.Errorf("replicas: %d is below 0", p.Replicas))
	case p.Replicas == 0:
	case p.UnitsPerReplica < 1:
		faults = append(faults, fmt.Errorf("unitsPerReplica: %d is below 1", p.UnitsPerReplica))
	case p.Pods < 0 || p.UnitsPerReplica%max(p.Pods, 1) != 0:
		faults = append(faults, fmt.Errorf("pods: %d do not share %d units evenly", p.Pods, p.UnitsPerReplica))
	case p.Replicas > maxUnits/p.UnitsPerReplica:
		faults = append(faults, fmt.Errorf("replicas: %d × %d units is above %d", p.Replicas, p.UnitsPerReplica, maxUnits))
	}
	if p.Replicas > 0 && p.Type == "" {
		faults = append(faults, errors.New("type: empty, a part with replicas needs one"))
	}
	if !(p.Cost >= 0 && p.Cost <= math.MaxFloat64) {
		faults = append(faults, fmt.Errorf("cost: %v is not a number of at least 0", p.Cost))
	}
	if !(p.Watts >= 0 && p.Watts <= math.MaxFloat64) {
		faults = append(faults, fmt.Errorf("watts: %v is not a number of at least 0", p.Watts))
	}
	if math.IsNaN(p.Share) || p.Share < 0 || p.Share > 1 {
		faults = append(faults, fmt.Errorf("share: %v is not between 0 and 1", p.Share))
	}
	return errors.Join(faults...)
}

func validPolicy(name string) error {
	switch name {
	case "", jsonspec.SaturationNone, jsonspec.SaturationPriorityExhaustive, jsonspec.SaturationPriorityRoundRobin, jsonspec.SaturationRoundRobin:
		return nil
	}
	return fmt.Errorf("saturationPolicy: %q is unknown, allowed are %s, %s, %s and %s", name, jsonspec.SaturationNone,
		jsonspec.SaturationPriorityExhaustive, jsonspec.SaturationPriorityRoundRobin, jsonspec.SaturationRoundRobin)
}
