package serving

import (
	"math/rand/v2"
	"testing"
)

// What a gate lets through in any stretch of time is at most what its rate fills in it and what its bucket holds, and of a load beyond the rate hardly less.
func TestGate(t *testing.T) {
	const rate, depth, until = 5.0, 8.0, 1000.0
	var g gate
	if !g.admit(0) {
		t.Fatal("an open gate refuses")
	}
	g.bound(0, rate, depth)
	r := rand.New(rand.NewPCG(1, 2))
	var admitted []float64
	for at := 0.0; at < until; at += r.ExpFloat64() / (2 * rate) {
		if g.admit(at) {
			admitted = append(admitted, at)
		}
	}
	if n := float64(len(admitted)); n < 0.98*rate*until || n > rate*until+depth {
		t.Errorf("%v of %v", n, rate*until)
	}
	for i := range admitted {
		for k := i; k < min(i+200, len(admitted)); k++ {
			if float64(k-i+1) > rate*(admitted[k]-admitted[i])+depth+1e-6 {
				t.Fatalf("%d from %v to %v", k-i+1, admitted[i], admitted[k])
			}
		}
	}
	g.bound(until, 0, 0)
	if g.admit(until + 100) {
		t.Error("a gate of rate 0 lets through")
	}
	g.bound(until+100, 1, 1)
	if g.admit(until+100) || !g.admit(until+101) {
		t.Error("a bucket that was empty is filled at its rate")
	}
	g.open()
	if !g.admit(until + 101) {
		t.Error("a gate that was opened refuses")
	}
}
