package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/llm-inferno/inferno/optimizer/evaluation/contest"
	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
)

// gateways before the servers of a scarcity, in the order of the document: first come, first served, what comes seen by engines or counted at the gateway, and
// one that refuses.
var gateways = []struct {
	name string
	is   *scenario.Gateway
}{
	{"none", nil}, {"counts what comes", new(scenario.Gateway)}, {"counts, and refuses beyond the plan", &scenario.Gateway{ObeysAdmission: true}},
}

// admit plays the scarcity before each gateway, at several loads, with as many seeds as asked for, and writes the table.
func (r *request) admit() error {
	ours, err := policy.Find(policy.NameInferno)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("| load | gateway | within targets % | premium, of what ended % | bulk, of what ended % | refused % | to the better of the others |\n|---|---|---|---|---|---|---|\n")
	for _, load := range []float64{1, 1.25, 1.5} {
		best := make([]float64, r.admission)
		for g, gateway := range gateways {
			outcomes := make([]*contest.Outcome, r.admission)
			var group errgroup.Group
			group.SetLimit(runtime.GOMAXPROCS(0))
			for seed := range outcomes {
				group.Go(func() (err error) {
					outcomes[seed], err = r.scarcity(ours, load, uint64(seed+1), gateway.is)
					return err
				})
			}
			if err := group.Wait(); err != nil {
				return err
			}
			var served, premium, bulk, refused, gain []float64
			for seed, o := range outcomes {
				served, premium, bulk = append(served, 100*o.Served), append(premium, 100*o.Classes["premium"]), append(bulk, 100*o.Classes["bulk"])
				refused, gain = append(refused, 100*float64(o.Shed)/float64(o.Requests)), append(gain, o.Served/best[seed])
				if g < len(gateways)-1 {
					best[seed] = max(best[seed], o.Served)
				}
			}
			to := "–"
			if g == len(gateways)-1 {
				to = spread(gain, "%.2f")
			}
			row := fmt.Sprintf("| %g | %s | %s | %s | %s | %s | %s |\n", load, gateway.name, spread(served, "%.1f"), spread(premium, "%.1f"), spread(bulk, "%.1f"), spread(refused, "%.1f"), to)
			fmt.Fprint(os.Stderr, row)
			b.WriteString(row)
		}
	}
	return between(r.document, "admission", b.String()+"\n")
}

// scarcity played by inferno.
func (r *request) scarcity(ours *policy.Entry, load float64, seed uint64, gateway *scenario.Gateway) (*contest.Outcome, error) {
	s, err := r.open("scarcity-admission")
	if err != nil {
		return nil, err
	}
	s.Seed, s.Gateway = seed, gateway
	for i := range s.Load {
		s.Load[i].Play.Scale = load
	}
	f, err := policy.NewFleet(s)
	if err != nil {
		return nil, err
	}
	return contest.Run(f, ours, nil)
}

// spread is the median, and the least and the largest.
func spread(x []float64, format string) string {
	slices.Sort(x)
	n := len(x)
	return fmt.Sprintf(format+" ("+format+" to "+format+")", (x[(n-1)/2]+x[n/2])/2, x[0], x[n-1])
}
