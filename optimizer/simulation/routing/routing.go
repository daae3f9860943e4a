// Package routing spreads requests over the replicas of a server.
package routing

import "github.com/llm-inferno/inferno/optimizer/plug"

// Balancer picks a replica. It may remember earlier picks, and is not safe for
// concurrent use.
type Balancer interface {
	// Pick returns an index into pending, the number of unfinished requests at
	// each replica. There is at least one replica; their number may change from
	// call to call.
	Pick(pending []int) int
}

// The names of the balancers.
const (
	RoundRobin    = "round-robin"
	LeastRequests = "least-requests"
)

// Balancers are the balancers that can be chosen by name.
func Balancers() plug.Registry[Balancer] {
	return plug.NewRegistry("balancer",
		plug.Of(RoundRobin, noOptions, func(plug.NoOptions) (Balancer, error) { return new(roundRobin), nil }),
		plug.Of(LeastRequests, noOptions, func(plug.NoOptions) (Balancer, error) { return new(leastRequests), nil }),
	)
}

func noOptions() plug.NoOptions { return plug.NoOptions{} }

// roundRobin takes the replicas in turn.
type roundRobin struct{ next int }

func (b *roundRobin) Pick(pending []int) int {
	pick := b.next % len(pending)
	b.next = pick + 1
	return pick
}

// leastRequests takes the replica with the fewest unfinished requests, and those
// that are equal in turn: else the first would do all the work at low load.
type leastRequests struct{ next int }

func (b *leastRequests) Pick(pending []int) int {
	pick := b.next % len(pending)
	for i := range pending {
		if candidate := (b.next + i) % len(pending); pending[candidate] < pending[pick] {
			pick = candidate
		}
	}
	b.next = pick + 1
	return pick
}
