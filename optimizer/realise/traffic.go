package realise

import (
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// Traffic is how a gateway is to split the requests of a server over its variants while its plan is realised: the share of each, from 0 to 1, in the
// order of the variants. It is nil where no variant has a ready replica: where requests go then is for whoever asks to leave as it is.
//
// A variant gets what the plan gives it, as far as its replicas are ready. What is left goes to ready replicas beyond the plan, such as those that serve until
// others are ready elsewhere: a replica of them gets at most what the plan gives one on the mean, for how fast it is the plan does not say. Where that is less
// than all, everybody gets proportionally more.
func Traffic(b *jsonspec.ServerBinding, plan []jsonspec.AllocationPart, current []jsonspec.ObservedPart) []float64 {
	index, variant := make(map[string]int, len(b.Variants)), map[string]string{}
	for i := range b.Variants {
		index[b.Variants[i].Name] = i
	}
	for _, p := range plan {
		variant[p.On()] = b.VariantOf(p.Accelerator, p.Variant)
	}
	for _, p := range current {
		variant[p.On()] = b.VariantOf(p.Accelerator, p.Variant)
	}
	planned, beyond := make([]float64, len(b.Variants)), make([]float64, len(b.Variants))
	ready, want, given, all := ReadyBy(current), PlanBy(plan), sharesOf(plan), 0
	for a, n := range want {
		all += n
		if i, listed := index[variant[a]]; listed && n > 0 {
			planned[i] += given[a] * float64(min(ready[a], n)) / float64(n)
		}
	}
	for a, n := range ready {
		if i, listed := index[variant[a]]; listed {
			beyond[i] += float64(max(n-want[a], 0)) / float64(max(all, 1))
		}
	}
	left := max(1-total(planned), 0)
	scale(beyond, min(left, total(beyond)))
	for i := range planned {
		planned[i] += beyond[i]
	}
	if total(planned) == 0 {
		return nil
	}
	scale(planned, 1)
	return planned
}

// sharesOf the parts of a plan, by what they run on, of the load; by replicas where the plan states none, as of one that has a single part.
func sharesOf(plan []jsonspec.AllocationPart) map[string]float64 {
	shares, replicas := map[string]float64{}, map[string]float64{}
	for _, p := range plan {
		shares[p.On()] += p.Share
		replicas[p.On()] += float64(p.Replicas)
	}
	sum := func(of map[string]float64) (s float64) {
		for _, p := range plan {
			s += of[p.On()]
		}
		return s
	}
	if sum(shares) == 0 {
		shares = replicas
	}
	if s := sum(shares); s > 0 {
		for a := range shares {
			shares[a] /= s
		}
	}
	return shares
}

func total(shares []float64) (sum float64) {
	for _, s := range shares {
		sum += s
	}
	return sum
}

// scale shares so that they add up to a sum; all that are zero stay.
func scale(shares []float64, sum float64) {
	t := total(shares)
	for i := range shares {
		if t > 0 {
			shares[i] *= sum / t
		}
	}
}

// Thousandths are what weights add up to where nothing else says it. Exact: the unit of status.weights
const Thousandths = 1000

// Weights are whole numbers in proportion to shares that add up to 1: each within 1 of its part of the sum, and together exactly that. Who gets nothing
// weighs nothing.
func Weights(shares []float64, sum int) []int {
	weights, so, before := make([]int, len(shares)), 0.0, 0
	for i, s := range shares {
		so += s
		upTo := int(math.Round(so * float64(sum)))
		weights[i], before = upTo-before, upTo
	}
	return weights
}

const (
	// noticeable is by which part of it the requests of a variant must change for weights to be written anew.
	//
	// Tuned: 1; guard against a write, which every gateway must follow, for what is noise: half of scaleInMargin, the load that plans leave room for
	noticeable = 0.05
	// rounding is by how much shares may differ that were the same before they became weights of a thousand or more. Exact: half of one on either side, twice
	rounding = 2. / Thousandths
)

// Noticeable says whether other weights are worth a change of those in force: a variant gets requests instead of none, none instead of some, or a
// twentieth more or less.
func Noticeable(have, want []int) bool {
	of, whole := 0, 0
	for i := range want {
		of, whole = of+have[i], whole+want[i]
	}
	for i := range want {
		h, w := float64(have[i])/float64(max(of, 1)), float64(want[i])/float64(max(whole, 1))
		if (have[i] == 0) != (want[i] == 0) || math.Abs(h-w) > noticeable*w+rounding {
			return true
		}
	}
	return false
}
