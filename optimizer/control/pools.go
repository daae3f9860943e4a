package control

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Order is a part of an elastic pool that plans count on and that has not come yet.
type Order struct {
	// Count of purchases.
	Count int `json:"count"`
	// Since when plans count on them, in seconds since 1970.
	Since float64 `json:"since"`
}

// PoolState is what is remembered of an elastic pool.
type PoolState struct {
	// Orders that are open, the oldest first.
	Orders []Order `json:"orders,omitempty"`
	// Arrived purchases at the last decision; absent where no decision was made since a restart.
	Arrived *int `json:"arrived,omitempty"`
	// Missing is the number of purchases that were given up.
	Missing int `json:"missing,omitempty"`
	// WithheldUntil is the time, in seconds since 1970, before which no plan counts on the pool.
	WithheldUntil float64 `json:"withheldUntil,omitempty"`
	// Insufficient says that it is withheld because there was no capacity to buy.
	Insufficient bool `json:"insufficient,omitempty"`
}

// open is the number of purchases that plans count on.
func (p PoolState) open() int {
	n := 0
	for _, o := range p.Orders {
		n += o.Count
	}
	return n
}

// elastic are the pools at one time, by name.
type elastic map[string]PoolState

// elasticAt brings what is remembered of the pools up to date: what has come is no longer open, and where something has not come by its
// deadline, or there is no capacity to buy, all that is open is given up and the pool is withheld. Without a clock, at time 0, nothing is late.
func elasticAt(before map[string]PoolState, pools []jsonspec.ElasticCapacity, now float64) elastic {
	after := elastic{}
	for i := range pools {
		e := &pools[i]
		p := before[e.Name]
		p.Orders = slices.Clone(p.Orders)
		if p.Arrived != nil && e.Arrived > *p.Arrived {
			p.receive(e.Arrived - *p.Arrived)
			p.Missing, p.WithheldUntil, p.Insufficient = 0, 0, false
		}
		p.Arrived = &e.Arrived
		deadline := e.Deadline()
		switch {
		case e.InsufficientUntil != nil && now < secondsOf(e.InsufficientUntil):
			p = PoolState{Arrived: p.Arrived, Missing: p.Missing + p.open(), WithheldUntil: secondsOf(e.InsufficientUntil), Insufficient: true}
		case now > 0 && len(p.Orders) > 0 && now-p.Orders[0].Since >= deadline:
			p = PoolState{Arrived: p.Arrived, Missing: p.open(), WithheldUntil: now + deadline}
		case now >= p.WithheldUntil:
			p.Missing, p.WithheldUntil, p.Insufficient = 0, 0, false
		}
		after[e.Name] = p
	}
	return after
}

// receive closes so many purchases, the oldest first.
func (p *PoolState) receive(n int) {
	for n > 0 && len(p.Orders) > 0 {
		k := min(n, p.Orders[0].Count)
		p.Orders[0].Count -= k
		if n -= k; p.Orders[0].Count == 0 {
			p.Orders = p.Orders[1:]
		}
	}
}

// withheld says whether plans may not count on the pool.
func (e elastic) withheld(pool string) bool { return e[pool].WithheldUntil > 0 }

// order makes so many purchases from the pool the open ones: the newest leave first, more are new.
func (e elastic) order(pool string, n int, now float64) {
	p := e[pool]
	if more := n - p.open(); more > 0 {
		p.Orders = append(p.Orders, Order{more, now})
	}
	for less := p.open() - n; less > 0; {
		last := &p.Orders[len(p.Orders)-1]
		k := min(less, last.Count)
		last.Count -= k
		if less -= k; last.Count == 0 {
			p.Orders = p.Orders[:len(p.Orders)-1]
		}
	}
	e[pool] = p
}

// takenBack is what plans no longer count on, in the order of the pools.
func (e elastic) takenBack(pools []jsonspec.ElasticCapacity) []jsonspec.TakenBack {
	var list []jsonspec.TakenBack
	for i := range pools {
		pool := &pools[i]
		p := e[pool.Name]
		if p.WithheldUntil == 0 {
			continue
		}
		until := timeOf(p.WithheldUntil)
		why := fmt.Sprintf("did not come within %g s", pool.Deadline())
		if p.Insufficient {
			why = "are not to be had, for there is no capacity"
		}
		list = append(list, jsonspec.TakenBack{
			Pool: pool.Name, Type: pool.Type, Count: p.Missing, Cards: p.Missing * pool.Cards, Until: until,
			Reason: fmt.Sprintf("%d × %d %s of pool %s %s; the pool is not counted on until %s", p.Missing, pool.Cards, pool.Type, pool.Name, why, until.UTC().Format(time.RFC3339)),
		})
	}
	slices.SortFunc(list, func(a, b jsonspec.TakenBack) int { return strings.Compare(a.Pool, b.Pool) })
	return list
}

// timeOf seconds since 1970.
func timeOf(seconds float64) *metav1.Time {
	t := metav1.NewTime(time.Unix(0, 0).Add(time.Duration(seconds * float64(time.Second))).Truncate(time.Millisecond).UTC())
	return &t
}

// secondsOf a time since 1970.
func secondsOf(t *metav1.Time) float64 { return t.Sub(time.Unix(0, 0)).Seconds() }

// PoolsOf is what a report says of the pools, so that a restart does not begin to wait anew.
func PoolsOf(r *v1alpha1.CycleReport) map[string]PoolState {
	pools := map[string]PoolState{}
	for _, b := range r.Bought {
		if b.Since != nil {
			pools[b.Pool] = PoolState{Orders: []Order{{b.Count, secondsOf(b.Since)}}}
		}
	}
	for _, t := range r.TakenBack {
		if t.Until != nil {
			pools[t.Pool] = PoolState{Missing: t.Count, WithheldUntil: secondsOf(t.Until)}
		}
	}
	return pools
}
