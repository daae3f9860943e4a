// Package routing spreads requests over the replicas of a server.
package routing

import (
	"hash/fnv"
	"math"

	"github.com/llm-inferno/inferno/optimizer/plug"
)

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

// fullness is how much more than its share a replica takes of sessions that are at home there, before the next takes them: the c of consistent hashing with bounded
// loads (Mirrokni, Thorup and Zadimoghaddam, SODA 2018), as HAProxy's hash-balance-factor of 125 recommends it.
//
// Tuned: ratio; derived from HAProxy's documentation; at half: requests of all sessions go to whoever has fewest; at twice: a replica whose sessions are busy has
// twice and a half its share
const fullness = 1.25

// Identity of a replica by its name, by which sessions know it.
func Identity(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // never fails
	return h.Sum64()
}

// Home is the replica for a session, as an index into their identities: always the same one as long as it is there and has no more than its share of pending requests. A
// replica that comes takes over its share of the sessions of each, one that goes leaves its own to all others (rendezvous hashing, Thaler and Ravishankar, 1998).
func Home(session uint64, replicas []uint64, pending []int) int {
	total := 1
	for _, n := range pending {
		total += n
	}
	share := int(math.Ceil(fullness * float64(total) / float64(len(pending))))
	best, highest := -1, uint64(0)
	for i, id := range replicas {
		if rank := mix(session ^ id); pending[i] < share && (best < 0 || rank > highest) {
			best, highest = i, rank
		}
	}
	return best
}

// mix the bits of a number: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
