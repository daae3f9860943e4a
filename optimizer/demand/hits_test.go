package demand

import (
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/fleet"
)

// More hits are believed bit by bit, fewer at once, and what nobody tells changes nothing.
func TestHits(t *testing.T) {
	seen := func(groups ...fleet.Group) *fleet.Observation { return &fleet.Observation{Groups: groups} }
	group := func(rate, requests float64) fleet.Group {
		return fleet.Group{PrefixHitRate: fleet.Known(rate), Requests: fleet.Known(requests)}
	}
	for _, c := range []struct {
		name string
		last float64
		seen *fleet.Observation
		want float64
	}{
		{"nothing was observed", 0.4, nil, 0.4},
		{"engines do not tell", 0.4, seen(fleet.Group{Requests: fleet.Known(10)}), 0.4},
		{"no request came", 0.4, seen(group(0.9, 0)), 0.4},
		{"more", 0.4, seen(group(0.8, 10)), 0.4 + hitStep*0.4},
		{"fewer", 0.8, seen(group(0.3, 10)), 0.3},
		{"as many", 0.8, seen(group(0.8, 10)), 0.8},
		{"a new replica is cold", 0.8, seen(group(0.8, 30), group(0, 10)), 0.6},
		{"what is no share", 0.4, seen(group(1.5, 10), group(-1, 10)), 0.4},
	} {
		if got := hits(c.last, c.seen); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	rate := 0.0
	for range 200 {
		if rate = hits(rate, seen(group(0.75, 10))); rate > 0.75 {
			t.Fatalf("%v of 0.75", rate)
		}
	}
	if rate < 0.74 {
		t.Errorf("after 200 cycles %v of 0.75", rate)
	}
}

// Who wakes up finds caches cold.
func TestWhoWakesHasNoHits(t *testing.T) {
	m := Memory{PrefixHitRate: 0.9, Lengths: &Lengths{InputTokens: 100, OutputTokens: 10}}
	m.Recent = append(m.Recent, m.Recent...)
	if d, _ := Recalled(&fleet.Server{}, m); d.PrefixHitRate != 0 {
		t.Errorf("%v are counted on", d.PrefixHitRate)
	}
}
