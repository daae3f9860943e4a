package contest

import (
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
)

// Result of a contest.
type Result struct {
	Outcomes []*Outcome `json:"outcomes"`
	// Schedules that know the future, of which the cheapest that serve as much are what outcomes are compared with; none where that was not asked.
	Schedules []*Outcome `json:"schedules,omitempty"`
}

// Options of a contest.
type Options struct {
	// Tune searches the settings of the alternatives.
	Tune bool
	// TuneSpan is the stretch of the scenario, in seconds from its start, that they are searched on; 0 for all of it.
	TuneSpan float64
	// Oracle compares each outcome with the cheapest schedule found in hindsight.
	Oracle bool
	// Memory of what searches found before; nil for none.
	Memory *Memory
	// Progress is told every run that has ended, those of searches included, one at a time; nil for none.
	Progress func(*Outcome)
}

// Hold a contest: each policy with its defaults, and tuned where that is asked for. Tuned is what reaches inferno's attainment at the least
// cost, or where nothing does, what comes closest. Inferno itself is never tuned.
func Hold(f *policy.Fleet, entries []*policy.Entry, o Options) (*Result, error) {
	outcomes, err := each(&o, entries, func(e *policy.Entry) (*Outcome, error) {
		if slices.Index(entries, e) < drawn {
			return Run(f, e, nil) // with the series for the picture, which are not remembered
		}
		return trial(f, e, nil, o.Memory)
	})
	if err != nil {
		return nil, err
	}
	if o.Tune {
		best, err := tuneAll(f, entries, outcomes, &o)
		if err != nil {
			return nil, err
		}
		outcomes = append(outcomes, best...)
	}
	r := &Result{Outcomes: outcomes}
	if o.Oracle {
		if r.Schedules, err = playSchedules(f, &o); err != nil {
			return nil, err
		}
		r.Compare()
		return r, r.BoundBelow(f)
	}
	return r, nil
}

// each runs a function over a list, on all cores, and keeps the order.
func each[T any](o *Options, list []T, run func(T) (*Outcome, error)) ([]*Outcome, error) {
	outcomes := make([]*Outcome, len(list))
	var g errgroup.Group
	var mu sync.Mutex
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, x := range list {
		g.Go(func() (err error) {
			outcomes[i], err = run(x)
			if err == nil && o.Progress != nil {
				mu.Lock()
				defer mu.Unlock()
				o.Progress(outcomes[i])
			}
			return err
		})
	}
	return outcomes, g.Wait()
}

// tuneAll searches the settings of every policy on the first stretch of the scenario, and runs the best on the whole where they are not the
// defaults.
func tuneAll(f *policy.Fleet, entries []*policy.Entry, defaults []*Outcome, options *Options) ([]*Outcome, error) {
	first, span := f, options.TuneSpan
	goal := math.NaN()
	if span > 0 && span < f.Scenario.Duration {
		part := *f
		s := *f.Scenario
		s.Duration = span
		part.Scenario, part.Record = &s, nil
		first = &part
	} else {
		for _, o := range defaults {
			if o.Policy == policy.NameInferno {
				goal = o.Served
			}
		}
	}
	if math.IsNaN(goal) {
		e, err := policy.Find(policy.NameInferno)
		if err != nil {
			return nil, err
		}
		o, err := Run(first, e, nil)
		if err != nil {
			return nil, err
		}
		goal = o.Served
	}
	var best []choice
	for _, e := range entries {
		if len(e.Knobs) == 0 {
			continue
		}
		c, err := tune(first, e, goal, options)
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w", e.Name, err)
		}
		best = append(best, c)
	}
	return each(options, best, func(c choice) (*Outcome, error) {
		o, err := trial(f, c.entry, c.settings, options.Memory)
		if err == nil {
			o.Settings = tuned + c.settings.String()
		}
		return o, err
	})
}

// choice of settings for a policy.
type choice struct {
	entry    *policy.Entry
	settings policy.Settings
}

// tune tries every combination of the settings.
func tune(f *policy.Fleet, e *policy.Entry, attainment float64, options *Options) (choice, error) {
	all := combinations(e.Knobs)
	outcomes, err := each(options, all, func(s policy.Settings) (*Outcome, error) { return trial(f, e, s, options.Memory) })
	if err != nil {
		return choice{}, err
	}
	best := 0
	for i := range outcomes {
		if better(outcomes[i], outcomes[best], attainment) {
			best = i
		}
	}
	return choice{e, all[best]}, nil
}

// trial is a run of a policy that may be remembered. What runs the decision core is played again, for the core changes.
func trial(f *policy.Fleet, e *policy.Entry, s policy.Settings, m *Memory) (*Outcome, error) {
	run := func() (*Outcome, error) { return Run(f, e, s) }
	if e.RunsCore() {
		return run()
	}
	return m.recall(f, e.Name+" "+s.String(), run)
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
	oracleShares = []float64{0.3, 0.4, 0.5, 0.65, 0.75, 0.85, 0.92, 1, 1.08, 1.2}
	oracleWidths = []float64{60, 300}
)

// playSchedules that know the future: without roles, and with them where servers can have them.
func playSchedules(f *policy.Fleet, options *Options) ([]*Outcome, error) {
	var all []*Outcome
	for _, width := range oracleWidths {
		load, err := f.Foresee(width)
		if err != nil {
			return nil, err
		}
		kinds := map[string]func(share float64) *policy.Schedule{
			"": func(share float64) *policy.Schedule { return f.NewSchedule(load, share, false) },
		}
		if f.NewScheduleApart(load, 1) != nil {
			kinds[" roles"] = func(share float64) *policy.Schedule { return f.NewScheduleApart(load, share) }
		}
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			schedules, err := each(options, oracleShares, func(share float64) (*Outcome, error) {
				settings := fmt.Sprintf("width=%g share=%g%s", width, share, kind)
				return options.Memory.recall(f, "schedule "+settings, func() (*Outcome, error) {
					o, err := playSchedule(f, kinds[kind](share))
					if err == nil {
						o.Settings = settings
					}
					return o, err
				})
			})
			if err != nil {
				return nil, err
			}
			all = append(all, schedules...)
		}
	}
	return all, nil
}

// Compare each outcome with the cheapest that serves at least as much, of all requests and of every class, of the schedules and of all outcomes: those are schedules that were found,
// too. Without schedules it leaves what was compared before.
func (r *Result) Compare() {
	if len(r.Schedules) == 0 {
		return
	}
	for _, o := range r.Outcomes {
		lowest := o.CostPerHour
		for _, found := range [][]*Outcome{r.Schedules, r.Outcomes} {
			for _, s := range found {
				if s.servesAs(o.Served, o.Classes) {
					lowest = min(lowest, s.CostPerHour)
				}
			}
		}
		ratio := o.CostPerHour / lowest
		o.ToOracle = &ratio
	}
}

// BoundBelow says of each outcome what no schedule can cost less than that serves every class as well.
func (r *Result) BoundBelow(f *policy.Fleet) error {
	b, err := f.NewBound()
	if err != nil {
		return err
	}
	for _, o := range r.Outcomes {
		least := b.Of(o.Classes)
		o.Bound = &least
	}
	return nil
}

// servesAs tells whether an outcome serves at least so much, of all requests and of every class.
func (o *Outcome) servesAs(served float64, classes map[string]float64) bool {
	for class, share := range classes {
		if o.Classes[class] < share {
			return false
		}
	}
	return o.Served >= served
}

// playSchedule runs a schedule.
func playSchedule(f *policy.Fleet, s *policy.Schedule) (*Outcome, error) {
	o, err := play(f, s, nil)
	if err != nil {
		return nil, err
	}
	o.Policy = "oracle"
	return o, nil
}
