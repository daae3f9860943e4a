package estimation

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Relative is a pair that was learned from a prior of physics, as far as it tells of the priors of others.
type Relative struct {
	Model, Accelerator string
	// At is where it runs.
	At Point
	// Shift is the logarithm of ITL there, as learned over that of its prior.
	Shift float64
	// Before and After are the standard deviations of log ITL there, by the prior and by what was learned.
	Before, After float64
}

// NewRelative reads what was learned of a pair from its prior; ok is false where that tells nothing.
func NewRelative(model string, prior jsonspec.Performance, m *v1alpha1.PairMemory) (r Relative, ok bool) {
	if m == nil || m.Observations == 0 || m.Unreliable {
		return r, false
	}
	f, err := newForm(prior, DefaultOptions())
	if err != nil {
		return r, false
	}
	_, learned, notice := recall(m, f, m.Estimator, prior.Acc)
	r = Relative{Model: model, Accelerator: prior.Acc, At: typical(m.Ranges)}
	if notice != "" || r.At.check() != nil {
		return r, false
	}
	before, after := surface{f.prior, f}, surface{learned, f}
	itl := before.at(r.At)
	r.Shift = itl(after.mean) - itl(before.mean)
	r.Before, r.After = math.Sqrt(before.covariance(r.At, r.At)), math.Sqrt(max(0, after.covariance(r.At, r.At)))
	return r, r.After < r.Before
}

// typical is the point at which observations were made of late; zero where that is not known.
func typical(ranges []v1alpha1.OperatingRange) (at Point) {
	for i := range ranges {
		x := math.Exp(ranges[i].LogMean)
		switch ranges[i].Name {
		case rangeRunning:
			at.Running = x
		case rangeInput:
			at.InputTokens = x
		case rangeOutput:
			at.OutputTokens = x
		}
	}
	return at
}

const (
	// modelShare is the share of the variance of log ITL around its prior that pairs of one model have in common.
	//
	// Tuned: share; measured by silicon.csv, priors learned from other models: the median error of log ITL of a pair, 0.25, is 0.13 after another
	// accelerator of the model is known; at half: 0.15; at twice: 0.13 at 1, which is the most
	modelShare = 0.6
	// acceleratorShare is that of pairs of one accelerator.
	//
	// Tuned: share; measured by silicon.csv, where it is between 0 and, of the same engine, 0.13 of what models do not explain: 0.17 of median error is
	// 0.19 after another model on the accelerator is known; at half: 0.18; at twice: 0.20
	acceleratorShare = 0.05
	// mostRelatives that a prior borrows from, those that are known best.
	//
	// Tuned: pairs; guard against work that grows with the cube of what was learned
	mostRelatives = 24
)

// related is the correlation of the errors of two priors.
func related(modelA, acceleratorA, modelB, acceleratorB string) (c float64) {
	if modelA == modelB {
		c += modelShare
	}
	if acceleratorA == acceleratorB {
		c += acceleratorShare
	}
	return c
}

// Borrow is the prior of a pair that nothing was observed of, after what its relatives showed: the best linear prediction of log ITL at the point where
// the best known of them runs, by the random effects of docs/estimation.md. Without relatives, or where nothing can be told by them, it is as it was.
func Borrow(model string, prior jsonspec.Performance, relatives []Relative) jsonspec.Performance {
	var own []Relative
	for _, r := range relatives {
		if related(model, prior.Acc, r.Model, r.Accelerator) > 0 && (r.Model != model || r.Accelerator != prior.Acc) {
			own = append(own, r)
		}
	}
	if len(own) == 0 || prior.Law == nil || len(prior.Law.Covariance) == 0 {
		return prior
	}
	slices.SortFunc(own, func(a, b Relative) int {
		return cmp.Or(cmp.Compare(a.After/a.Before, b.After/b.Before), cmp.Compare(a.Model, b.Model), cmp.Compare(a.Accelerator, b.Accelerator))
	})
	own = own[:min(len(own), mostRelatives)]
	s, err := newSurface(prior, own[0].At)
	if err != nil {
		return prior
	}
	at := own[0].At
	variance := s.covariance(at, at)
	shift, left, ok := borrowed(model, prior.Acc, own)
	if !ok || !(variance > 0) {
		return prior
	}
	g := s.moved(at, shift*math.Sqrt(variance)/variance)
	slope, n := s.gradient(at), len(s.mean)
	along := make([]float64, n) // P·a
	for i := range n {
		for j := range n {
			along[i] += s.cov[i*n+j] * slope[j]
		}
	}
	for i := range n {
		for j := range n {
			g.cov[i*n+j] -= along[i] * along[j] * (1 - left) / variance
		}
	}
	return s.form.performance(prior, g)
}

// borrowed is by how many standard deviations of its prior the log ITL of a pair is off as its relatives show it, never further than one of them, and the
// share of the variance that is left.
func borrowed(model, accelerator string, own []Relative) (shift, left float64, ok bool) {
	n := len(own)
	common, seen, with := mat.NewSymDense(n, nil), mat.NewVecDense(n, nil), mat.NewVecDense(n, nil)
	low, high := 0.0, 0.0
	for i, a := range own {
		// What was learned holds the prior already: without it the shift is further off, and less sure.
		informed := 1 - square(a.After/a.Before)
		for j, b := range own[:i] {
			common.SetSym(i, j, related(a.Model, a.Accelerator, b.Model, b.Accelerator))
		}
		common.SetSym(i, i, 1/informed)
		off := a.Shift / a.Before
		seen.SetVec(i, off/informed)
		with.SetVec(i, related(model, accelerator, a.Model, a.Accelerator))
		low, high = min(low, off), max(high, off)
	}
	var chol mat.Cholesky
	var weights mat.VecDense
	if !chol.Factorize(common) || chol.SolveVecTo(&weights, with) != nil {
		return 0, 1, false
	}
	shift = min(max(mat.Dot(&weights, seen), low), high)
	return shift, min(max(1-mat.Dot(&weights, with), 0), 1), true
}
