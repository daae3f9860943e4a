package forecast

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

const (
	// halfLife of what regression learned, in days.
	halfLife = 7
	// ridge is the penalty: so many independent observations that say "no effect" are mixed in. Observations of growth over h windows
	// overlap, so that h of them count as one.
	ridge = 5
	// featureLimit bounds a feature: growth by more than e² is an accident.
	featureLimit = 2
	// outlier bounds what is learned from, in median distances.
	outlier = 5
	// around is the number of windows to either side that past days are averaged over.
	around = 2
	// discount of growth per day that it lies back.
	discount = 0.8
	daysBack = 7
	// solveEvery is the number of windows after which coefficients are computed again.
	solveEvery = 6
)

// Features in the order of describe; what comes after the day's needs a week of history.
const (
	dayFeatures  = 6
	featureCount = 8
)

type features [featureCount]float64

// regression predicts the growth over the horizon, log(rate(t+h)/rate(t)), by linear regression on recent slopes and on what past days did at
// this time: least squares with a ridge penalty and exponential forgetting. With no effect to be seen in the data all coefficients are near
// zero, and that is persistence.
type regression struct {
	count int // of the features used, dayFeatures or featureCount

	past         []features // of the last h+1 windows
	open         features
	gram         [featureCount][featureCount]float64
	moment       [featureCount]float64
	coefficients features
	seen         float64
	growth       ordered
}

func (r *regression) expect(s *series) (float64, bool) {
	r.open = describe(s)
	// A day of examples is the least that a season can be told from.
	if r.seen < float64(s.perDay) {
		return 0, false
	}
	sum := 0.0
	for i, x := range r.open[:r.count] {
		sum += x * r.coefficients[i]
	}
	return sum, true
}

func (r *regression) close(s *series) {
	r.past = append(r.past, r.open)
	if len(r.past) <= s.horizon {
		return
	}
	x := r.past[0]
	r.past = r.past[1:]
	t := s.newest()
	r.fade(s)
	if s.accepted[t] && s.accepted[t-s.horizon] {
		y := s.logs[t] - s.logs[t-s.horizon]
		r.growth.add(t, y)
		r.growth.forget(t - residualSpan)
		bound := outlier * r.growth.spread()
		r.learn(x, min(max(y, -bound), bound))
	}
	if t%solveEvery == 0 {
		r.solve(ridge * float64(s.horizon))
	}
}

func (r *regression) fade(s *series) {
	keep := math.Exp2(-1 / float64(halfLife*s.perDay))
	for i := range r.count {
		for j := range i + 1 {
			r.gram[i][j] *= keep
		}
		r.moment[i] *= keep
	}
	r.seen *= keep
}

func (r *regression) learn(x features, y float64) {
	for i := range r.count {
		for j := range i + 1 {
			r.gram[i][j] += x[i] * x[j]
		}
		r.moment[i] += x[i] * y
	}
	r.seen++
}

// solve finds the coefficients in units of each feature's own size, so that the penalty means the same for all.
func (r *regression) solve(penalty float64) {
	if r.seen == 0 {
		return
	}
	var scale features
	for i := range r.count {
		scale[i] = 1 / (math.Sqrt(r.gram[i][i]/r.seen) + 1e-9)
	}
	a := mat.NewSymDense(r.count, nil)
	b := mat.NewVecDense(r.count, nil)
	for i := range r.count {
		for j := range i + 1 {
			a.SetSym(i, j, r.gram[i][j]*scale[i]*scale[j])
		}
		a.SetSym(i, i, a.At(i, i)+penalty)
		b.SetVec(i, r.moment[i]*scale[i])
	}
	var factor mat.Cholesky
	if !factor.Factorize(a) {
		return
	}
	if err := factor.SolveVecTo(b, b); err != nil {
		return
	}
	for i := range r.count {
		r.coefficients[i] = b.AtVec(i) * scale[i]
	}
}

// describe gives the features of the newest window: slopes between means over 1, 3, 6 and 18 windows; growth over the horizon at this time of
// the past seven days (recent ones weigh more), and how far the rate at its end was from that of the last hour; 1; the same two of the same day
// last week, or of the past days while there is none. What the past cannot answer is 0.
func describe(s *series) features {
	t := s.newest()
	m := [4]float64{s.logs[t]}
	for i, k := range [3]int{3, 6, 18} {
		var known bool
		if m[i+1], known = s.smooth.mean(t+1-k, t+1); !known {
			m[i+1] = s.logs[t]
		}
	}
	x := features{m[1] - m[0], m[2] - m[1], m[3] - m[2]}
	weight, weights, days := 1.0, 0.0, 0.0
	lastWeek := false
	for d := 1; d <= daysBack; d++ {
		growth, distance, known := then(s, d, m[2])
		if !known {
			continue
		}
		x[3] += weight * growth
		x[4] += distance
		weights += weight
		weight *= discount
		days++
		if d == 7 {
			x[6], x[7], lastWeek = growth, distance, true
		}
	}
	if days > 0 {
		x[3] /= weights
		x[4] /= days
	}
	if !lastWeek {
		x[6], x[7] = x[3], x[4]
	}
	x[5] = 1
	for i := range x {
		x[i] = min(max(x[i], -featureLimit), featureLimit)
	}
	return x
}

// then gives the growth over the horizon at this time some days ago, and the distance of the rate at its end from level.
func then(s *series, days int, level float64) (growth, distance float64, known bool) {
	t := s.newest()
	end := t + s.horizon - days*s.perDay
	begin := end - s.horizon
	if begin-around < 0 || end+around > t {
		return 0, 0, false
	}
	after, ok := s.sobered.mean(end-around, end+around+1)
	before, also := s.sobered.mean(begin-around, begin+around+1)
	return after - before, after - level, ok && also
}
