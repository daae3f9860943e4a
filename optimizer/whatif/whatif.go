// Package whatif changes a system by what people ask about it: "what if there were 64 cards more, or half the load?".
//
// A change is written KIND.NAME=CHANGE, such as capacity.H100=+8 or load.chat=*1.5. It never touches the system that it is asked of.
package whatif

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// Kinds of things that a change is of.
const (
	// OfCapacity is of an accelerator type, in cards.
	OfCapacity = "capacity"
	// OfLoad is of a server, in requests per minute.
	OfLoad = "load"
	// OfPrice is of an accelerator, in cents per hour.
	OfPrice = "price"
	// OfTTFT and OfITL are of a service class, for all its models, in ms.
	OfTTFT = "slo-ttft"
	OfITL  = "slo-itl"
)

// Kinds that there are.
func Kinds() []string { return []string{OfCapacity, OfLoad, OfPrice, OfTTFT, OfITL} }

// Change is one change of a system.
type Change struct {
	// Kind is one of [Kinds], Name what of that kind changes; that of a load may be [All].
	Kind, Name string
	// Op is '+' or '-' to add or take away the amount, '*' to multiply by it, '=' to set it.
	Op     byte
	Amount float64
}

// Parse reads KIND.NAME=CHANGE, where CHANGE is +N, -N, *F or a number. A name may have dots and equals signs.
func Parse(text string) (Change, error) {
	at := strings.LastIndexByte(text, '=')
	if at < 0 {
		return Change{}, errors.New("has no =, must be KIND.NAME=CHANGE")
	}
	kind, name, dotted := strings.Cut(text[:at], ".")
	if !dotted || name == "" {
		return Change{}, errors.New("names nothing, must be KIND.NAME=CHANGE")
	}
	if !slices.Contains(Kinds(), kind) {
		return Change{}, fmt.Errorf("%q is not a kind, must be one of %s", kind, strings.Join(Kinds(), ", "))
	}
	op, amount, err := parseAmount(text[at+1:])
	if err == nil && kind == OfCapacity && op != '*' && amount != math.Trunc(amount) {
		err = fmt.Errorf("%v cards: must be a whole number", amount)
	}
	return Change{Kind: kind, Name: name, Op: op, Amount: amount}, err
}

// parseAmount reads +N, -N, *F or a number.
func parseAmount(text string) (op byte, amount float64, err error) {
	op, number := '=', text
	if text != "" && strings.IndexByte("+-*", text[0]) >= 0 {
		op, number = text[0], text[1:]
	}
	// ParseFloat also reads signs, which were read already, infinities, hexadecimals and underscores, which nobody means.
	plain := strings.Trim(number, "0123456789.eE+-") == "" && !strings.HasPrefix(number, "+") && !strings.HasPrefix(number, "-")
	if amount, err = strconv.ParseFloat(number, 64); err != nil || !plain {
		return op, 0, fmt.Errorf("%q is not a change, must be +N, -N, *F or a number", text)
	}
	return op, amount, nil
}

// of is the changed value; it must be finite and not below 0.
func (c *Change) of(x float64) (float64, error) {
	y := c.Amount
	switch c.Op {
	case '+':
		y = x + c.Amount
	case '-':
		y = x - c.Amount
	case '*':
		y = x * c.Amount
	}
	if !(y >= 0) || math.IsInf(y, 0) {
		return 0, fmt.Errorf("would be %v, must be a finite number of at least 0", y)
	}
	return y, nil
}

// Apply makes the change in the system and says it as "what: before → after". The error says what does not exist or would be out of range;
// a class may then have some of its targets changed.
func (c *Change) Apply(s *jsonspec.System) (string, error) {
	switch c.Kind {
	case OfCapacity:
		return c.applyCapacity(s)
	case OfLoad:
		return c.applyLoad(s)
	case OfPrice:
		return c.applyPrice(s)
	}
	return c.applyTarget(s)
}

func (c *Change) said(before, after float64) string {
	return fmt.Sprintf("%s.%s: %g → %g", c.Kind, c.Name, before, after)
}

// maxCards is more than any fleet has.
//
// Tuned: cards; guard against a question that is a mistake
const maxCards = 1 << 24

func (c *Change) applyCapacity(s *jsonspec.System) (string, error) {
	types := map[string]bool{}
	for _, a := range s.Accelerators.Spec {
		types[a.CardType(a.Name)] = true
	}
	if !types[c.Name] {
		return "", unknown("accelerator type", c.Name, slices.Collect(maps.Keys(types)))
	}
	if slices.ContainsFunc(s.Capacity.Nodes, func(n jsonspec.NodeCapacity) bool { return n.Type == c.Name }) {
		return c.applyNodes(&s.Capacity)
	}
	at := slices.IndexFunc(s.Capacity.Count, func(n jsonspec.AcceleratorCount) bool { return n.Type == c.Name })
	if at < 0 {
		s.Capacity.Count = append(s.Capacity.Count, jsonspec.AcceleratorCount{Type: c.Name})
		at = len(s.Capacity.Count) - 1
	}
	before := s.Capacity.Count[at].Count
	after, err := c.cards(before)
	if err != nil {
		return "", err
	}
	s.Capacity.Count[at].Count = after
	return c.said(float64(before), float64(after)), nil
}

// cards is the changed number of cards; there are no fractions of a card.
func (c *Change) cards(before int) (int, error) {
	after, err := c.of(float64(before))
	if err == nil && after > maxCards {
		err = fmt.Errorf("would be %v, must be at most %d", after, maxCards)
	}
	if err != nil {
		return 0, err
	}
	return int(after), nil
}

// maxNodes is how many nodes a change may add.
//
// Tuned: nodes; guard against a question that fills the memory
const maxNodes = 100_000

// applyNodes changes the cards on nodes of the type.
func (c *Change) applyNodes(capacity *jsonspec.CapacityData) (string, error) {
	before, largest := 0, 1
	for _, n := range capacity.Nodes {
		if n.Type == c.Name {
			before += n.Free
			largest = max(largest, n.Free)
		}
	}
	after, err := c.cards(before)
	if err != nil {
		return "", err
	}
	if (after-before)/largest > maxNodes {
		return "", fmt.Errorf("%d cards more on nodes of %d would be more than %d nodes", after-before, largest, maxNodes)
	}
	if after > before {
		c.addNodes(capacity, after-before, largest)
	}
	c.takeCards(capacity.Nodes, before-after)
	return c.said(float64(before), float64(after)), nil
}

// addNodes adds the cards on nodes of the given size, with names that no node has.
func (c *Change) addNodes(capacity *jsonspec.CapacityData, cards, size int) {
	names := map[string]bool{}
	for _, n := range capacity.Nodes {
		names[n.Name] = true
	}
	for k := 0; cards > 0; k++ {
		name := fmt.Sprintf("what-if-%s-%d", c.Name, k)
		if names[name] {
			continue
		}
		capacity.Nodes = append(capacity.Nodes, jsonspec.NodeCapacity{Name: name, Type: c.Name, Free: min(cards, size)})
		cards -= size
	}
}

// takeCards takes cards away from the last nodes of the type by name.
func (c *Change) takeCards(nodes []jsonspec.NodeCapacity, cards int) {
	var last []*jsonspec.NodeCapacity
	for i := range nodes {
		if nodes[i].Type == c.Name {
			last = append(last, &nodes[i])
		}
	}
	slices.SortFunc(last, func(a, b *jsonspec.NodeCapacity) int { return strings.Compare(b.Name, a.Name) })
	for _, n := range last {
		taken := min(max(cards, 0), n.Free)
		n.Free -= taken
		cards -= taken
	}
}

// All is the name that stands for all servers, in a change of load: of those whose load is not known nothing changes.
const All = "*"

func (c *Change) applyLoad(s *jsonspec.System) (string, error) {
	if c.Name == All {
		return c.applyLoads(s)
	}
	e, err := find("server", c.Name, s.Servers.Spec, func(e *jsonspec.ServerEntry) string { return e.Name })
	if err != nil {
		return "", err
	}
	if e.CurrentAlloc == nil || e.CurrentAlloc.Load == nil {
		return "", errors.New("the load of the server is not known, there is nothing to change")
	}
	return c.set(&e.CurrentAlloc.Load.ArrivalRate)
}

func (c *Change) applyLoads(s *jsonspec.System) (string, error) {
	before, after := 0.0, 0.0
	for i := range s.Servers.Spec {
		e := &s.Servers.Spec[i]
		if e.CurrentAlloc == nil || e.CurrentAlloc.Load == nil {
			continue
		}
		rate := &e.CurrentAlloc.Load.ArrivalRate
		before += *rate
		if _, err := c.set(rate); err != nil {
			return "", fmt.Errorf("%s: %w", e.Name, err)
		}
		after += *rate
	}
	return c.said(before, after), nil
}

func (c *Change) applyPrice(s *jsonspec.System) (string, error) {
	a, err := find("accelerator", c.Name, s.Accelerators.Spec, func(a *jsonspec.AcceleratorEntry) string { return a.Name })
	if err != nil {
		return "", err
	}
	return c.set(&a.Cost)
}

// set changes the value in place.
func (c *Change) set(value *float64) (string, error) {
	before := *value
	after, err := c.of(before)
	if err != nil {
		return "", err
	}
	*value = after
	return c.said(before, after), nil
}

// applyTarget changes the target for every model of the class. A target that does not bind (0) is changed only where a number is set.
func (c *Change) applyTarget(s *jsonspec.System) (string, error) {
	class, err := find("service class", c.Name, s.ServiceClasses.Spec, func(e *jsonspec.ServiceClassEntry) string { return e.Name })
	if err != nil {
		return "", err
	}
	var said []string
	for j := range class.ModelTargets {
		t := &class.ModelTargets[j]
		target := &t.ITL
		if c.Kind == OfTTFT {
			target = &t.TTFT
		}
		if *target == 0 && c.Op != '=' {
			continue
		}
		after, err := c.of(*target)
		if err == nil && after == 0 && c.Op != '=' {
			err = errors.New("would be 0, which is no target; set 0 to ask for that")
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", t.Model, err)
		}
		said = append(said, fmt.Sprintf("%s %g → %g", t.Model, *target, after))
		*target = after
	}
	if len(said) == 0 {
		return "", errors.New("no model of the class has such a target, there is nothing to change")
	}
	return fmt.Sprintf("%s.%s: %s", c.Kind, c.Name, strings.Join(said, ", ")), nil
}

// find is the entry of that name; the error says which there are.
func find[E any](what, name string, entries []E, nameOf func(*E) string) (*E, error) {
	known := make([]string, len(entries))
	for i := range entries {
		if known[i] = nameOf(&entries[i]); known[i] == name {
			return &entries[i], nil
		}
	}
	return nil, unknown(what, name, known)
}

// unknown says that a name is not known, and some that are.
func unknown(what, name string, known []string) error {
	slices.Sort(known)
	const most = 10
	list := strings.Join(known[:min(len(known), most)], ", ")
	if more := len(known) - most; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Errorf("%s %q does not exist, known are %s", what, name, list)
}

// Ask applies the changes, one after the other, to a copy of the system, and says each. The error joins the faults of all.
func Ask(s *jsonspec.System, texts []string) (*jsonspec.System, []string, error) {
	changed := s.DeepCopy()
	var said []string
	var faults []error
	for _, text := range texts {
		c, err := Parse(text)
		var what string
		if err == nil {
			what, err = c.Apply(changed)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%q: %w", text, err))
			continue
		}
		said = append(said, what)
	}
	return changed, said, errors.Join(faults...)
}
