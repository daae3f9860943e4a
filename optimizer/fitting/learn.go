package fitting

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// innocent is what is believed of the multipliers before any pair was measured: near what the hardware allows, and how far from it.
var innocent = [multipliers]struct{ mean, sd, within float64 }{
	overhead: {0.5, 0.5, 0.3}, weights: {0.05, 0.15, 0.15}, compute: {0.4, 0.4, 0.3}, kv: {0.1, 0.25, 0.25}, sequence: {0, 0.7, 0.7},
	bunch: {0.3, 0.7, 0.6}, step: {-2, 1, 0.8}, delay: {0, 1, 0.8}, spread: {-0.1, 0.3, 0.3}, room: {0, 0.3, 0.2}, serial: {-0.8, 0.7, 0.7}, prefill: {-0.5, 0.7, 0.5},
}

const (
	// engineShare is how far engines may move a multiplier, as a share of its sd above.
	//
	// Tuned: share; measured by the prior of Qwen3-32B learned from a third of the pairs of other models, 31.6 and 39.9 % off in ITL and TTFT;
	// at half: 31.2, 44.6 %; at twice: 32.2, 35.5 %
	engineShare = 0.3
	// kindShare is how far other features may.
	//
	// Tuned: share; measured by the prior of Qwen3-32B learned from a third of the pairs of other models, 31.6 and 39.9 % off in ITL and TTFT;
	// at half: 30.0, 41.9 %; at twice: 32.4, 36.4 %
	kindShare = 0.15
	// withinWeight is the number of pairs that the believed spread between pairs counts for.
	//
	// Tuned: pairs; measured by the prior of Qwen3-32B learned from a third of the pairs of other models, 31.6 and 39.9 % off in ITL and TTFT;
	// at half: 31.5, 36.3 %; at twice: 31.3, 41.0 %
	withinWeight = 3
	// leastPoints of a pair to learn from.
	//
	// Tuned: points; measured by the prior of Qwen3-32B learned from a third of the pairs of other models, 31.6 and 39.9 % off in ITL and TTFT;
	// at half: 29.0, 37.5 % with 3; at twice: 30.4, 40.6 %
	leastPoints = 5
	// roomOptimism moves the prior of the KV cache up: a cache thought too small predicts waits of minutes that never come, one thought
	// too large misses waits that the first saturated point teaches.
	//
	// Tuned: logarithm; guard against waits of minutes that never come: half and twice of it make no difference to the median of a prior
	roomOptimism = 0.4
	// learnRounds is how often all pairs are fitted and regressed on.
	//
	// Tuned: rounds; measured by the prior of Qwen3-32B learned from a third of the pairs of other models, 31.6 and 39.9 % off in ITL and TTFT;
	// at half: 27.4, 39.3 %; at twice: 34.2, 39.5 %
	learnRounds = 6
)

// Learn derives experience from measured pairs by empirical Bayes: in turn it fits every pair under the prior so far, and regresses the
// fitted multipliers on the features of their kinds, robustly and with each model family counting by the root of its pairs (EM for a
// linear mixed model; Laird & Ware, Biometrics 38, 1982). The error joins pairs that could not be set up.
func (k Knowledge) Learn(groups [][]Point) (Experience, error) {
	var e Experience
	for j, b := range innocent {
		e[j].Mean[0], e[j].Spread = b.mean, 1.5*b.sd
	}
	var pairs []lesson
	var faults []error
	families := map[string]int{}
	for _, points := range groups {
		if len(points) < leastPoints {
			continue
		}
		s, err := k.setting(points[0].Group)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", points[0].Group.Key(), err))
			continue
		}
		family := fmt.Sprint(s.layers, s.kvWidth, s.moe) // models of one architecture are one family
		families[family]++
		pairs = append(pairs, lesson{setting: s, points: points, family: family, features: s.kind.features()})
	}
	if len(pairs) == 0 {
		return e, errors.Join(append(faults, errors.New("no pair has enough points to learn from"))...)
	}
	for i := range pairs {
		pairs[i].weight = 1 / math.Sqrt(float64(families[pairs[i].family]))
	}
	for range learnRounds {
		for i := range pairs {
			pairs[i].fit(&e)
		}
		for j := range e {
			regress(&e, j, pairs)
		}
	}
	e[room].Mean[0] += roomOptimism
	return e, errors.Join(faults...)
}

// lesson is one pair that is learned from.
type lesson struct {
	setting
	points   []Point
	family   string
	weight   float64
	features [features]float64
	at       []float64 // fitted multipliers
	variance []float64
}

func (p *lesson) fit(e *Experience) {
	mean, sd := e.prior(p.kind, p.vague)
	f := form{mean: mean[:], sd: sd[:], law: p.roofline}
	x, jac := f.fit(p.points)
	c := covariance(jac)
	p.at, p.variance = x, make([]float64, len(x))
	for j := range x {
		p.variance[j] = c[j][j]
	}
}

// regress updates the mean and the spread of one multiplier.
func regress(e *Experience, j int, pairs []lesson) {
	b := innocent[j]
	t := &e[j]
	left := func(p *lesson) float64 { // what the features do not explain
		r := p.at[j]
		for i, x := range p.features {
			r -= x * t.Mean[i]
		}
		return r
	}
	trust := make([]float64, len(pairs))
	normal, right := mat.NewSymDense(features, nil), mat.NewVecDense(features, nil)
	total := 0.0
	for i := range pairs {
		total += pairs[i].weight
	}
	for i := range pairs {
		p := &pairs[i]
		r := left(p) / t.Spread
		trust[i] = p.weight / total * float64(len(pairs)) / (1 + r*r/4)
		w := trust[i] / (t.Spread * t.Spread)
		normal.SymRankOne(normal, w, mat.NewVecDense(features, p.features[:]))
		right.AddScaledVec(right, w*p.at[j], mat.NewVecDense(features, append([]float64(nil), p.features[:]...)))
	}
	coefficients, ok := believed(normal, right, b.sd, func(i int) (share, mean float64) {
		switch {
		case i == 0:
			return 1, b.mean
		case i <= 3:
			return engineShare, 0
		}
		return kindShare, 0
	})
	if !ok {
		return // keeps what was believed; cannot happen, the prior alone is positive definite
	}
	copy(t.Mean[:], coefficients)
	sum, weights := 0.0, 0.0
	for i := range pairs {
		r := left(&pairs[i])
		sum += trust[i] * (r*r + pairs[i].variance[j])
		weights += trust[i]
	}
	n := float64(len(pairs))
	t.Spread = spreadOf(sum/weights*n, n, b.within)
}

// believed are the coefficients of a regression, given its normal equations, where each has a prior: a mean, and a share of a standard deviation. ok is false
// where they have no solution.
func believed(normal *mat.SymDense, right *mat.VecDense, sd float64, prior func(i int) (share, mean float64)) (coefficients []float64, ok bool) {
	for i := range right.Len() {
		share, mean := prior(i)
		precision := 1 / (share * share * sd * sd)
		normal.SetSym(i, i, normal.At(i, i)+precision)
		right.SetVec(i, right.AtVec(i)+precision*mean)
	}
	var chol mat.Cholesky
	var solved mat.VecDense
	if !chol.Factorize(normal) || chol.SolveVecTo(&solved, right) != nil {
		return nil, false
	}
	return solved.RawVector().Data, true
}

// spreadOf n residuals, by the sum of their squares and what was believed of it.
func spreadOf(sum, n, within float64) float64 {
	return math.Max(0.05, math.Min(2, math.Sqrt((sum+withinWeight*within*within)/(n+withinWeight))))
}
