package observe

import (
	"context"
	"fmt"
	"time"
)

// nodeCost is OpenCost's metric of what a node costs in an hour, in units of its currency (opencost.io/docs/integrations/metrics).
const nodeCost = "node_total_hourly_cost"

// NodeCosts are what OpenCost says that nodes cost, in cents per hour, by their names; empty where Prometheus has nothing of it. What is not above 0, as of nodes
// that it cannot price, is left out.
func NodeCosts(ctx context.Context, q Querier) (map[string]float64, error) {
	costs := map[string]float64{}
	_, err := q.Query(ctx, "max by (node) ("+nodeCost+")", time.Time{}, func(s Series) {
		if n := len(s.Values); n > 0 {
			if cents := 100 * float64(s.Values[n-1].Value); s.Metric["node"] != "" && cents > 0 && cents < mostNodeCost {
				costs[string(s.Metric["node"])] = cents
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("reading what nodes cost: %w", err)
	}
	return costs, nil
}

// mostNodeCost is above what any node costs.
//
// Tuned: ¢/h; guard against a cost that is a mistake
const mostNodeCost = 1e6
