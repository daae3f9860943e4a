package main

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/llm-inferno/inferno/optimizer/evaluation/contest"
	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
)

// kinds are the scenarios on which nothing is set and no other policy is tuned, in the order of the document.
var kinds = []string{"reasoning", "timeouts", "together", "release", "failover", "agents"}

// statics are the shares of the peak that fleets of one size are tried at.
var statics = []float64{0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.35, 1.5, 2}

// kindPlayed is what came of inferno with one seed, and the least costs at which a schedule and a fleet of one size, both chosen in hindsight, serve as much; NaN where
// no such fleet does.
type kindPlayed struct {
	outcome          *contest.Outcome
	schedule, static float64
}

// playKinds plays each kind with as many seeds as asked for, and writes the table.
func (r *request) playKinds() error {
	all := make([][]kindPlayed, len(kinds))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range kinds {
		all[i] = make([]kindPlayed, r.kinds)
		for seed := range all[i] {
			group.Go(func() (err error) {
				all[i][seed], err = r.playKind(name, uint64(seed+1))
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("| scenario | both targets % | windows % | cost ¢/h | ÷ oracle | static in hindsight ¢/h | inferno's against it | reversals | late, dropped |\n|---|---|---|---|---|---|---|---|---|\n")
	for i, name := range kinds {
		b.WriteString(kindRow(name, all[i]))
	}
	return between(r.document, "kinds", b.String()+"\n")
}

func kindRow(name string, seeds []kindPlayed) string {
	var served, windows, cost, oracle, static, against, reversals, lost []float64
	for _, k := range seeds {
		o := k.outcome
		served, windows, cost, oracle = append(served, 100*o.Served), append(windows, 100*o.Windows), append(cost, o.CostPerHour), append(oracle, o.CostPerHour/k.schedule)
		reversals, lost = append(reversals, float64(o.Reversals)), append(lost, float64(o.TimedOut+o.Unfinished+o.Dropped))
		if !math.IsNaN(k.static) {
			static, against = append(static, k.static), append(against, 100*(o.CostPerHour/k.static-1))
		}
	}
	fixed, less := "none serves as much", ""
	if len(static) == len(seeds) {
		fixed, less = spread(static, "%.0f"), spread(against, "%+.0f")+" %"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", name, spread(served, "%.2f"), spread(windows, "%.1f"), spread(cost, "%.0f"), spread(oracle, "%.2f"), fixed, less,
		spread(reversals, "%.0f"), spread(lost, "%.0f"))
}

func (r *request) playKind(name string, seed uint64) (kindPlayed, error) {
	s, err := r.open(name)
	if err != nil {
		return kindPlayed{}, err
	}
	s.Seed = seed
	f, err := policy.NewFleet(s)
	if err != nil {
		return kindPlayed{}, err
	}
	ours, err := policy.Find(policy.NameInferno)
	if err != nil {
		return kindPlayed{}, err
	}
	k := kindPlayed{static: math.NaN()}
	if k.outcome, err = contest.Run(f, ours, nil); err != nil {
		return kindPlayed{}, err
	}
	if k.static, err = cheapestStatic(f, k.outcome.Served); err != nil {
		return kindPlayed{}, err
	}
	least := k.outcome.CostPerHour
	if k.static < least {
		least = k.static
	}
	k.schedule, err = contest.Hindsight(f, k.outcome.Served, k.outcome.Classes, least)
	fmt.Fprintf(os.Stderr, "%s with seed %d: %s, %.0f ¢/h by schedule, %.0f without a change\n", name, seed, k.outcome, k.schedule, k.static)
	return k, err
}

// cheapestStatic is the least cost of a fleet of one size that serves at least as much; NaN where none that is tried does.
func cheapestStatic(f *policy.Fleet, served float64) (float64, error) {
	entry, err := policy.Find(policy.NameStatic)
	if err != nil {
		return 0, err
	}
	for _, share := range statics {
		o, err := contest.Run(f, entry, policy.Settings{"factor": share})
		if err != nil {
			return 0, err
		}
		if o.Served >= served {
			return o.CostPerHour, nil
		}
	}
	return math.NaN(), nil
}
