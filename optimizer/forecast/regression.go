package forecast

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"
)

const (
	// halfLife of what regression learned, in days.
	// Tuned: days; measured by TestAdaptiveOnProductionLoad;
	// at half: 0.70, 0.71, 0.67; at twice: 0.70, 0.70, 0.67
	halfLife = 7
	// ridge is the penalty: so many independent observations that say "no effect" are mixed in. Observations of growth over h windows
	// overlap, so that h of them count as one.
	// Tuned: observations; measured by TestAdaptiveOnProductionLoad;
	// at half: 0.70, 0.70, 0.66; at twice: 0.70, 0.70, 0.67, and 0.28 at 2 h on office hours, after 0.25
	ridge = 5
	// featureLimit bounds a feature: growth by more than e² is an accident.
	// Tuned: logarithm; guard against an accident that least squares would follow: half and twice of it make no difference to
	// TestAdaptiveOnProductionLoad
	featureLimit = 2
	// outlier bounds what is learned from, in median distances.
	// Tuned: 1; measured by TestAdaptiveOnProductionLoad;
	// at half: 0.71, 0.70, 0.69, and 0.39 at 2 h on office hours, after 0.25; at twice: 0.70, 0.70, 0.66
	outlier = 5
	// daysBack that are looked at: a week.
	// Exact: a week has so many days.
	daysBack = 7
)

// featureCount is the number of features in the order of describe; one of them is constant.
// Exact: describe has so many.
const featureCount, constantFeature = 7, 5

// isGrowth tells the features that are growth over the horizon.
var isGrowth = [featureCount]bool{3: true, 6: true}

// regression predicts the growth over the horizon, log(rate(t+h)/rate(t)), by linear regression on recent slopes and on what past days did at
// this time: least squares with a ridge penalty and exponential forgetting. With no effect to be seen in the data all coefficients are near
// zero, and that is persistence, which is asked beside it.
type regression struct {
	perDay float64 // windows
	gram   [featureCount][featureCount]float64
	moment [featureCount]float64
	seen   float64 // windows
}

func (r *regression) features(v *view) []float64 { return describe(v) }

func (r *regression) expect(v *view, overlap float64) []float64 {
	// A day of examples is the least that a season can be told from.
	if r.seen < r.perDay {
		return []float64{0, math.NaN()}
	}
	sum, coefficients := 0.0, r.solve(ridge*overlap)
	for i, x := range describe(v) {
		sum += coefficients[i] * x
	}
	return []float64{0, sum}
}

func (r *regression) close(*view) {}

// learn from the features of a window and the growth that followed, of which the usual size is known. The example stands for so many windows.
func (r *regression) learn(_ *view, x []float64, growth, usual float64, windows int) {
	keep := math.Exp2(-float64(windows) / (halfLife * r.perDay))
	y := min(max(growth, -outlier*usual), outlier*usual)
	for i := range featureCount {
		for j := range featureCount {
			r.gram[i][j] = keep*r.gram[i][j] + x[i]*x[j]
		}
		r.moment[i] = keep*r.moment[i] + x[i]*y
	}
	r.seen = keep*r.seen + float64(windows)
}

// solve finds the coefficients, in units of each feature's own size, so that the penalty, a number of examples, means the same for all. They are zero
// where there are none.
func (r *regression) solve(penalty float64) []float64 {
	const n = featureCount
	examples := r.gram[constantFeature][constantFeature]
	a := blas64.Symmetric{N: n, Stride: n, Uplo: blas.Lower, Data: make([]float64, n*n)}
	b := blas64.General{Rows: n, Cols: 1, Stride: 1, Data: make([]float64, n)}
	var scale [n]float64
	for i := range n {
		scale[i] = 1 / (math.Sqrt(r.gram[i][i]/examples) + 1e-9)
		for j := range i + 1 {
			a.Data[i*n+j] = r.gram[i][j] * scale[i] * scale[j]
		}
		a.Data[i*n+i] += penalty
		b.Data[i] = r.moment[i] * scale[i]
	}
	factor, ok := lapack64.Potrf(a)
	if !ok {
		return make([]float64, n)
	}
	lapack64.Potrs(factor, b)
	for i := range n {
		b.Data[i] *= scale[i]
	}
	return b.Data
}

// rescale takes growth over a longer horizon to be as much larger.
func (r *regression) rescale(factor float64) {
	by := func(i int) float64 {
		if isGrowth[i] {
			return factor
		}
		return 1
	}
	for i := range featureCount {
		for j := range featureCount {
			r.gram[i][j] *= by(i) * by(j)
		}
		r.moment[i] *= by(i) * factor
	}
}

func (r *regression) walk(c *codec) {
	c.number(&r.seen)
	c.check(r.seen >= 0)
	for i := range featureCount {
		for j := range i + 1 {
			c.number(&r.gram[i][j])
			r.gram[j][i] = r.gram[i][j]
		}
		c.number(&r.moment[i])
		c.check(r.gram[i][i] >= 0)
	}
}

// describe gives the features of the newest window: slopes between means over 1, 3, 6 and 18 windows; growth over the horizon at this time of
// the past seven days, and how far the rate at its end was from that of the last hour; 1; the growth of the same day last
// week, or of the past days while there is none. What the past cannot answer is 0.
func describe(v *view) []float64 {
	m := [4]float64{v.log}
	for i, k := range [3]int{3, 6, longSlope} {
		var known bool
		if m[i+1], known = v.mean(k); !known {
			m[i+1] = v.log
		}
	}
	x := []float64{m[1] - m[0], m[2] - m[1], m[3] - m[2], 0, 0, 1, 0}
	days := 0.0
	lastWeek := false
	perDay := int(math.Round(day / v.window))
	for d := 1; d <= daysBack; d++ {
		end := v.at + v.steps - d*perDay
		after, ended := v.then(end)
		before, begun := v.then(end - v.steps)
		if !ended || !begun {
			continue
		}
		growth, distance := after-before, after-m[2]
		x[3] += growth
		x[4] += distance
		days++
		if d == 7 {
			x[6], lastWeek = growth, true
		}
	}
	if days > 0 {
		x[3] /= days
		x[4] /= days
	}
	if !lastWeek {
		x[6] = x[3]
	}
	for i := range x {
		x[i] = min(max(x[i], -featureLimit), featureLimit)
	}
	return x
}
