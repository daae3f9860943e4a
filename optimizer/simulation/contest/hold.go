package contest

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/simulation/policy"
)

// Options of a contest.
type Options struct {
	// Tune searches the settings of the alternatives.
	Tune bool
	// Oracle compares each outcome with the cheapest schedule found in hindsight.
	Oracle bool
}

// Hold a contest: each policy with its defaults, and tuned where that is asked for. Tuned is what reaches inferno's attainment at the least
// cost, or where nothing does, what comes closest. Inferno itself is never tuned.
func Hold(f *policy.Fleet, entries []*policy.Entry, o Options) ([]*Outcome, error) {
	var outcomes []*Outcome
	for _, e := range entries {
		outcome, err := Run(f, e, nil)
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w", e.Name, err)
		}
		outcomes = append(outcomes, outcome)
	}
	if o.Tune {
		ours, err := attainmentOfInferno(f, outcomes)
		if err != nil {
			return nil, err
		}
		for i, e := range entries {
			tuned, err := tune(f, e, outcomes[i], ours)
			if err != nil {
				return nil, fmt.Errorf("policy %s: %w", e.Name, err)
			}
			if tuned != outcomes[i] {
				outcomes = append(outcomes, tuned)
			}
		}
	}
	if o.Oracle {
		if err := compare(f, outcomes); err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

func attainmentOfInferno(f *policy.Fleet, outcomes []*Outcome) (float64, error) {
	if i := slices.IndexFunc(outcomes, func(o *Outcome) bool { return o.Policy == policy.NameInferno }); i >= 0 {
		return outcomes[i].Served, nil
	}
	e, err := policy.Find(policy.NameInferno)
	if err != nil {
		return 0, err
	}
	o, err := Run(f, e, nil)
	if err != nil {
		return 0, err
	}
	return o.Served, nil
}

// tune tries every combination of the settings.
func tune(f *policy.Fleet, e *policy.Entry, defaults *Outcome, attainment float64) (*Outcome, error) {
	best := defaults
	for _, s := range combinations(e.Knobs) {
		o, err := Run(f, e, s)
		if err != nil {
			return nil, err
		}
		if better(o, best, attainment) {
			best = o
			best.Settings = "tuned: " + s.String()
		}
	}
	return best, nil
}

// better prefers what reaches the attainment, then what is cheaper; of those that do not, what serves more.
func better(a, b *Outcome, attainment float64) bool {
	switch reachedA, reachedB := a.Served >= attainment, b.Served >= attainment; {
	case reachedA != reachedB:
		return reachedA
	case reachedA:
		return a.CostPerHour < b.CostPerHour
	}
	return a.Served > b.Served
}

// combinations of the values of all knobs.
func combinations(knobs []policy.Knob) []policy.Settings {
	if len(knobs) == 0 {
		return nil
	}
	all := []policy.Settings{{}}
	for _, k := range knobs {
		var next []policy.Settings
		for _, s := range all {
			for _, v := range append([]float64{k.Default}, k.Values...) {
				t := maps.Clone(s)
				t[k.Name] = v
				next = append(next, t)
			}
		}
		all = next
	}
	return all
}

// Shares of the true capacity that schedules load replicas to, and widths in seconds over which rates are taken.
var (
	oracleShares = []float64{0.5, 0.6, 0.7, 0.78, 0.86, 0.94, 1, 1.06, 1.12, 1.2, 1.3}
	oracleWidths = []float64{60, 300}
)

// compare finds what the cheapest schedule costs that reaches each outcome's attainment. Outcomes are schedules that were found, too.
func compare(f *policy.Fleet, outcomes []*Outcome) error {
	found := slices.Clone(outcomes)
	for _, width := range oracleWidths {
		load, err := f.Foresee(width)
		if err != nil {
			return err
		}
		for _, share := range oracleShares {
			o, err := playSchedule(f, f.NewSchedule(load, share, false))
			if err != nil {
				return err
			}
			found = append(found, o)
			if o.Served < 0.9 { // a greater share only serves less
				break
			}
		}
	}
	for _, o := range outcomes {
		lowest := math.Inf(1)
		for _, s := range found {
			if s.Served >= o.Served {
				lowest = min(lowest, s.CostPerHour)
			}
		}
		ratio := o.CostPerHour / lowest
		o.ToOracle = &ratio
	}
	return nil
}

// playSchedule runs a schedule, whose first replicas are there from the start.
func playSchedule(f *policy.Fleet, s *policy.Schedule) (*Outcome, error) {
	config := *f.Config
	config.Servers = slices.Clone(config.Servers)
	initial := s.Initial()
	for i := range config.Servers {
		if o := initial[config.Servers[i].Name]; o.Replicas > 0 {
			config.Servers[i].Initial = o
		}
	}
	with := *f
	with.Config = &config
	o, err := play(&with, s)
	if err != nil {
		return nil, err
	}
	o.Policy = "oracle"
	return o, nil
}
