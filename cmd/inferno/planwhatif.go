package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Kinds of things that --what-if changes.
const (
	ofCapacity = "capacity"
	ofLoad     = "load"
	ofPrice    = "price"
	ofTTFT     = "slo-ttft"
	ofITL      = "slo-itl"
)

var whatIfKinds = []string{ofCapacity, ofLoad, ofPrice, ofTTFT, ofITL}

// whatIf is one change of a system: KIND.NAME=CHANGE.
type whatIf struct {
	text       string
	kind, name string
	// op is '+' or '-' to add or take away the amount, '*' to multiply by it, '=' to set it.
	op     byte
	amount float64
}

// parseWhatIf reads KIND.NAME=CHANGE, where CHANGE is +N, -N, *F or a number. A name may have dots and equals signs.
func parseWhatIf(text string) (whatIf, error) {
	w := whatIf{text: text, op: '='}
	at := strings.LastIndexByte(text, '=')
	if at < 0 {
		return w, errors.New("has no =, must be KIND.NAME=CHANGE")
	}
	subject, change := text[:at], text[at+1:]
	var dotted bool
	if w.kind, w.name, dotted = strings.Cut(subject, "."); !dotted || w.name == "" {
		return w, errors.New("names nothing, must be KIND.NAME=CHANGE")
	}
	if !slices.Contains(whatIfKinds, w.kind) {
		return w, fmt.Errorf("%q is not a kind, must be one of %s", w.kind, strings.Join(whatIfKinds, ", "))
	}
	if change != "" && strings.IndexByte("+-*", change[0]) >= 0 {
		w.op, change = change[0], change[1:]
	}
	// ParseFloat also reads signs, which were read already, infinities, hexadecimals and underscores, which nobody means.
	if strings.Trim(change, "0123456789.eE+-") != "" || strings.HasPrefix(change, "+") || strings.HasPrefix(change, "-") {
		return w, fmt.Errorf("%q is not a change, must be +N, -N, *F or a number", text[at+1:])
	}
	var err error
	if w.amount, err = strconv.ParseFloat(change, 64); err != nil {
		return w, fmt.Errorf("%q is not a change, must be +N, -N, *F or a number", text[at+1:])
	}
	if w.kind == ofCapacity && w.op != '*' && w.amount != math.Trunc(w.amount) {
		return w, fmt.Errorf("%v cards: must be a whole number", w.amount)
	}
	return w, nil
}

// of is the changed value; it must be finite and not below 0.
func (w *whatIf) of(x float64) (float64, error) {
	y := w.amount
	switch w.op {
	case '+':
		y = x + w.amount
	case '-':
		y = x - w.amount
	case '*':
		y = x * w.amount
	}
	if !(y >= 0) || math.IsInf(y, 0) {
		return 0, fmt.Errorf("would be %v, must be a finite number of at least 0", y)
	}
	return y, nil
}

// apply makes the change and says it as "what: before → after".
func (w *whatIf) apply(s *v1alpha1.System) (string, error) {
	switch w.kind {
	case ofCapacity:
		return w.applyCapacity(s)
	case ofLoad:
		return w.applyLoad(s)
	case ofPrice:
		return w.applyPrice(s)
	}
	return w.applyTarget(s)
}

func (w *whatIf) said(before, after float64) string {
	return fmt.Sprintf("%s.%s: %g → %g", w.kind, w.name, before, after)
}

// maxCards is more than any fleet has.
const maxCards = 1 << 24

func (w *whatIf) applyCapacity(s *v1alpha1.System) (string, error) {
	types := map[string]bool{}
	for _, a := range s.Accelerators.Spec {
		types[a.CardType(a.Name)] = true
	}
	if !types[w.name] {
		return "", unknown("accelerator type", w.name, slices.Collect(maps.Keys(types)))
	}
	if slices.ContainsFunc(s.Capacity.Nodes, func(n v1alpha1.NodeCapacity) bool { return n.Type == w.name }) {
		return w.applyNodes(&s.Capacity)
	}
	at := slices.IndexFunc(s.Capacity.Count, func(c v1alpha1.AcceleratorCount) bool { return c.Type == w.name })
	if at < 0 {
		s.Capacity.Count = append(s.Capacity.Count, v1alpha1.AcceleratorCount{Type: w.name})
		at = len(s.Capacity.Count) - 1
	}
	before := s.Capacity.Count[at].Count
	after, err := w.cards(before)
	if err != nil {
		return "", err
	}
	s.Capacity.Count[at].Count = after
	return w.said(float64(before), float64(after)), nil
}

// cards is the changed number of cards; there are no fractions of a card.
func (w *whatIf) cards(before int) (int, error) {
	after, err := w.of(float64(before))
	if err == nil && after > maxCards {
		err = fmt.Errorf("would be %v, must be at most %d", after, maxCards)
	}
	if err != nil {
		return 0, err
	}
	return int(after), nil
}

// maxNodes is how many nodes a change may add.
const maxNodes = 100_000

// applyNodes adds nodes as large as the largest of the type, or takes cards away from the last nodes by name.
func (w *whatIf) applyNodes(c *v1alpha1.CapacityData) (string, error) {
	before, largest := 0, 1
	names := map[string]bool{}
	var at []int
	for i, n := range c.Nodes {
		names[n.Name] = true
		if n.Type == w.name {
			before += n.Free
			largest = max(largest, n.Free)
			at = append(at, i)
		}
	}
	after, err := w.cards(before)
	if err != nil {
		return "", err
	}
	if (after-before)/largest > maxNodes {
		return "", fmt.Errorf("%d cards more on nodes of %d would be more than %d nodes", after-before, largest, maxNodes)
	}
	for left, k := after-before, 0; left > 0; k++ {
		name := fmt.Sprintf("what-if-%s-%d", w.name, k)
		if names[name] {
			continue
		}
		c.Nodes = append(c.Nodes, v1alpha1.NodeCapacity{Name: name, Type: w.name, Free: min(left, largest)})
		left -= largest
	}
	slices.SortFunc(at, func(a, b int) int { return strings.Compare(c.Nodes[b].Name, c.Nodes[a].Name) })
	left := before - after
	for _, i := range at {
		taken := min(max(left, 0), c.Nodes[i].Free)
		c.Nodes[i].Free -= taken
		left -= taken
	}
	return w.said(float64(before), float64(after)), nil
}

func (w *whatIf) applyLoad(s *v1alpha1.System) (string, error) {
	known := make([]string, 0, len(s.Servers.Spec))
	for i := range s.Servers.Spec {
		e := &s.Servers.Spec[i]
		if known = append(known, e.Name); e.Name != w.name {
			continue
		}
		if e.CurrentAlloc == nil || e.CurrentAlloc.Load == nil {
			return "", errors.New("the load of the server is not known, there is nothing to change")
		}
		before := e.CurrentAlloc.Load.ArrivalRate
		after, err := w.of(before)
		e.CurrentAlloc.Load.ArrivalRate = after
		return w.said(before, after), err
	}
	return "", unknown("server", w.name, known)
}

func (w *whatIf) applyPrice(s *v1alpha1.System) (string, error) {
	known := make([]string, 0, len(s.Accelerators.Spec))
	for i := range s.Accelerators.Spec {
		a := &s.Accelerators.Spec[i]
		if known = append(known, a.Name); a.Name == w.name {
			before := a.Cost
			after, err := w.of(before)
			a.Cost = after
			return w.said(before, after), err
		}
	}
	return "", unknown("accelerator", w.name, known)
}

// applyTarget changes the target for every model of the class. A target that does not bind (0) is changed only where a number is set.
func (w *whatIf) applyTarget(s *v1alpha1.System) (string, error) {
	known := make([]string, 0, len(s.ServiceClasses.Spec))
	for i := range s.ServiceClasses.Spec {
		c := &s.ServiceClasses.Spec[i]
		if known = append(known, c.Name); c.Name != w.name {
			continue
		}
		var said []string
		for j := range c.ModelTargets {
			t := &c.ModelTargets[j]
			target := &t.ITL
			if w.kind == ofTTFT {
				target = &t.TTFT
			}
			if *target == 0 && w.op != '=' {
				continue
			}
			after, err := w.of(*target)
			if err == nil && after == 0 && w.op != '=' {
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
		return fmt.Sprintf("%s.%s: %s", w.kind, w.name, strings.Join(said, ", ")), nil
	}
	return "", unknown("service class", w.name, known)
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

// ask applies the changes, one after the other, to a copy of the system. The error joins the faults of all.
func ask(s *v1alpha1.System, texts []string) (*v1alpha1.System, []string, error) {
	changed := s.DeepCopy()
	var said []string
	var faults []error
	for _, text := range texts {
		w, err := parseWhatIf(text)
		var what string
		if err == nil {
			what, err = w.apply(changed)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("--what-if %q: %w", text, err))
			continue
		}
		said = append(said, what)
	}
	return changed, said, errors.Join(faults...)
}

func printDifference(out io.Writer, d *v1alpha1.PlanDifference) error {
	if d == nil {
		return nil
	}
	fmt.Fprintf(out, "\nwhat if %s\n", strings.Join(d.Changes, "; "))
	fmt.Fprintf(out, "  total cost %.2f ¢/h (%+.2f); servers: %d more served, %d lost; %d allocations change\n",
		d.TotalCost, d.CostChange, len(d.Served), len(d.Lost), len(d.Changed))
	if len(d.Served) > 0 {
		fmt.Fprintf(out, "  served: %s\n", strings.Join(d.Served, ", "))
	}
	if len(d.Lost) > 0 {
		fmt.Fprintf(out, "  lost: %s\n", strings.Join(d.Lost, ", "))
	}
	if len(d.Changed) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  SERVER\tBEFORE\tAFTER\tCOST ¢/h")
	for _, c := range d.Changed {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%+.2f\n", c.Server, placed(c.Before), placed(c.After), cost(c.After)-cost(c.Before))
	}
	return w.Flush()
}

func cost(a *v1alpha1.Allocation) float64 {
	if a == nil {
		return 0
	}
	return a.Cost
}

// placed says what an allocation runs on, such as "3 × A100 + 2 × L4".
func placed(a *v1alpha1.Allocation) string {
	if a == nil || a.NumReplicas == 0 {
		return "-"
	}
	text := fmt.Sprintf("%d × %s", a.NumReplicas, a.Accelerator)
	if len(a.Parts) > 0 {
		words := make([]string, len(a.Parts))
		for i, p := range a.Parts {
			words[i] = fmt.Sprintf("%d × %s", p.Replicas, p.Accelerator)
		}
		text = strings.Join(words, " + ")
	}
	if a.BestEffort {
		text += " (best effort)"
	}
	return text
}
