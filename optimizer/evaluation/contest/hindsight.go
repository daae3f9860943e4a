package contest

import (
	"errors"
	"math"
	"sort"

	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
	"github.com/llm-inferno/inferno/optimizer/simulation/cluster"
)

// Hindsight is the cost of the cheapest schedule that it finds which serves at least as much, of all requests and of every class, in cents per hour, and
// at most the given cost: one that costs so much and serves as much is known. Of the schedules that [Options.Oracle] plays it plays few: for each width it halves the shares, since more load on a replica
// serves less.
func Hindsight(f *policy.Fleet, served float64, classes map[string]float64, cost float64) (float64, error) {
	for _, width := range oracleWidths {
		load, err := f.Foresee(width)
		if err != nil {
			return 0, err
		}
		var fault error
		sort.Search(len(oracleShares), func(i int) bool {
			if fault != nil {
				return true
			}
			o, err := playSchedule(f, f.NewSchedule(load, oracleShares[i], false))
			if errors.Is(err, cluster.ErrNoRoom) { // so large at the start that small pods leave nodes which no large one fits
				return false
			}
			if err != nil {
				fault = err
				return true
			}
			if !o.servesAs(served, classes) {
				return true
			}
			cost = math.Min(cost, o.CostPerHour)
			return false
		})
		if fault != nil {
			return 0, fault
		}
	}
	return cost, nil
}
