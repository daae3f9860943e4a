package demand

import (
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/fleet"
)

// What is remembered of bursts follows them in an hour of cycles, not a jump of the load, and holds to its bounds whatever is observed.
func TestBurstsAreAMedian(t *testing.T) {
	of := func(cv float64) *fleet.Observation { return &fleet.Observation{ArrivalCV: fleet.Measured(cv)} }
	after := func(last, cv float64, cycles int) float64 {
		for range cycles {
			last = bursts(last, of(cv))
		}
		return last
	}
	if got := after(0, 2, 60); got != 4 {
		t.Errorf("after half an hour of a CV of 2 its square is %v", got)
	}
	if got := after(0, 10, 8); got > 1.5 {
		t.Errorf("after the four minutes that a jump of the load is in sight, %v", got)
	}
	if got := after(4, 1, 60); got != 1 {
		t.Errorf("after half an hour of Poisson arrivals %v", got)
	}
	if got := bursts(3, nil); got != 3 {
		t.Errorf("without an observation %v", got)
	}
	for _, cv := range []float64{math.NaN(), math.Inf(1), -1, 0, 1e300} {
		for _, last := range []float64{0, -5, math.Inf(1), 3} {
			if got := after(last, cv, 500); got != last && !(got >= fewBursts && got <= mostBursts) {
				t.Errorf("%v after %v: %v", cv, last, got)
			}
		}
	}
}

// The CV at a replica follows from that at the server and how requests are spread.
func TestArrivalsAtAReplica(t *testing.T) {
	for _, c := range []struct {
		name     string
		d        Demand
		replicas int
		want     float64
	}{
		{"nothing known", Demand{}, 4, math.NaN()},
		{"hardly bursts", Demand{Bursts: 1.2}, 4, math.NaN()},
		{"bursts, by chance", Demand{Bursts: 5}, 4, math.Sqrt2},
		{"bursts, one replica", Demand{Bursts: 4}, 1, 2},
		{"in turns", Demand{Turns: true}, 4, 0.5},
		{"bursts, in turns", Demand{Turns: true, Bursts: 4}, 4, 1},
		{"in turns, nothing runs", Demand{Turns: true}, 0, 1},
	} {
		if got := c.d.Requests(c.replicas).ArrivalCV; got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
