package queueing

import "math"

// occupancy is what the stationary distribution of a finite birth–death queue says.
type occupancy struct {
	// throughput is the rate of completions per second.
	throughput float64
	// inSystem and inService are mean numbers of requests.
	inSystem, inService float64
}

// birthDeath solves the queue with arrival rate λ in which n = 1 … N requests are served, one leaving every times[n-1] seconds, and up to `queue` more
// wait while N are served. λ and the times must be positive.
//
// With the weights w(n) = Π λ/μ(i), the states 0 … N are summed one by one and the waiting ones, whose weights are geometric, in closed
// form. Weights are rescaled whenever they grow beyond a bound, so no load and no size overflows; what underflows does not matter to the
// sums. Only positive terms are added, so nothing cancels. Time O(N), whatever the queue; no allocation. Relative error below 1e-7.
func birthDeath(lambda float64, times []float64, queue int) occupancy {
	const large, shrink = 1e100, 1e-100
	w, sum, before, mean := 1.0, 1.0, 0.0, 0.0
	for i, t := range times {
		w *= min(lambda*t, large)
		before = sum
		sum += w
		mean += w * float64(i+1)
		if w > large {
			w, sum, before, mean = w*shrink, sum*shrink, before*shrink, mean*shrink
		}
	}
	n, last := float64(len(times)), times[len(times)-1]
	t := geometric(math.Log(lambda*last), float64(queue))
	down := math.Exp(-t.log)
	waiting := w * t.sum
	total := sum*down + waiting
	busy := mean*down + n*waiting
	return occupancy{
		throughput: (lambda*before*down + waiting/last) / total,
		inService:  busy / total,
		inSystem:   (busy + w*t.weighted) / total,
	}
}

// tail are sums over the terms ρ^j of a geometric series, in units of exp(log).
type tail struct {
	log, sum, weighted float64
}

// geometric sums ρ^j and j·ρ^j over j = 1 … n for ρ = exp(l).
func geometric(l, n float64) tail {
	switch {
	case n == 0:
		return tail{}
	case math.Abs(l)*n < 1e-4: // the closed forms cancel here; first order in l is good to 1e-8
		s1 := n * (n + 1) / 2
		s2 := s1 * (2*n + 1) / 3
		return tail{sum: n + l*s1, weighted: s1 + l*s2}
	case l > 0: // the same terms from the far end, in units of ρ^n
		sum, weighted := ascending(-l, n-1)
		return tail{log: l * n, sum: sum, weighted: n*sum - weighted}
	}
	sum, weighted := ascending(l, n)
	return tail{sum: sum - 1, weighted: weighted}
}

// ascending returns Σ ρ^j and Σ j·ρ^j over j = 0 … n for ρ = exp(l) < 1.
func ascending(l, n float64) (sum, weighted float64) {
	q := -math.Expm1(l) // 1 − ρ
	last := math.Exp(l * (n + 1))
	sum = -math.Expm1(l*(n+1)) / q
	return sum, (sum - 1 - n*last) / q
}
