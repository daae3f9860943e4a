package estimation

import (
	"math"
	"slices"
)

// gaussian is a normal distribution over a vector of logarithms.
type gaussian struct {
	mean []float64
	cov  []float64 // row by row
}

func newGaussian(n int) gaussian {
	return gaussian{mean: make([]float64, n), cov: make([]float64, n*n)}
}

func (g gaussian) clone() gaussian {
	return gaussian{mean: slices.Clone(g.mean), cov: slices.Clone(g.cov)}
}

// rows of the covariance.
func (g gaussian) rows() [][]float64 {
	n := len(g.mean)
	rows := make([][]float64, n)
	for i := range rows {
		rows[i] = slices.Clone(g.cov[i*n : (i+1)*n])
	}
	return rows
}

// pass lets time go by: what is not observed goes back to the prior with a time constant of `memory` seconds, so that neither an unseen
// direction nor its variance can run away. With φ = exp(−dt/memory), the Ornstein–Uhlenbeck transition:
//
//	mean ← prior + φ·(mean − prior),  cov ← φ²·cov + (1 − φ²)·prior.
func (g gaussian) pass(dt, memory float64, prior gaussian) {
	phi := math.Exp(-dt / memory)
	for i := range g.mean {
		g.mean[i] = prior.mean[i] + phi*(g.mean[i]-prior.mean[i])
	}
	for i := range g.cov {
		g.cov[i] = phi*phi*g.cov[i] + (1-phi*phi)*prior.cov[i]
	}
}

// widen adds variance common to the first n elements, and a share of another covariance.
func (g gaussian) widen(n int, common float64, share float64, other gaussian) {
	size := len(g.mean)
	for i := range size {
		for j := range size {
			g.cov[i*size+j] += share * other.cov[i*size+j]
			if i < n && j < n {
				g.cov[i*size+j] += common
			}
		}
	}
}

// cholesky writes the lower triangle L with L·Lᵀ = cov into l. Directions without variance get none.
func (g gaussian) cholesky(l []float64) {
	n := len(g.mean)
	clear(l)
	for i := range n {
		for j := 0; j <= i; j++ {
			s := g.cov[i*n+j]
			for k := range j {
				s -= l[i*n+k] * l[j*n+k]
			}
			switch {
			case i == j && s > 0:
				l[i*n+i] = math.Sqrt(s)
			case i != j && l[j*n+j] > 0:
				l[i*n+j] = s / l[j*n+j]
			}
		}
	}
}

// linear is a scalar function of a vector as a straight line: value + slope·(x − mean), with the variance that the line misses.
type linear struct {
	value, missed float64
	slope         []float64
}

// variance of the line's value when the vector is distributed as g.
func (l linear) variance(g gaussian) float64 {
	n, v := len(l.slope), 0.0
	for i, a := range l.slope {
		for j, b := range l.slope {
			v += a * b * g.cov[i*n+j]
		}
	}
	return max(0, v)
}

// learner holds the working memory of updates of vectors of one size, so that an update allocates nothing.
type learner struct {
	x, l, gain, slope, tmp, before []float64
}

func newLearner(n int) *learner {
	return &learner{
		x: make([]float64, n), l: make([]float64, n*n), gain: make([]float64, n), slope: make([]float64, n), tmp: make([]float64, n*n),
		before: make([]float64, n*n),
	}
}

// linearise fits the line to f over g, statistically: from the 2n points mean ± √n·L·eᵢ, whose mean and covariance are those of g. The
// result is valid until the next call.
//
// Arasaratnam & Haykin, Cubature Kalman Filters, IEEE TAC 54(6), 2009.
func (w *learner) linearise(g gaussian, f func(x []float64) float64) linear {
	n := len(g.mean)
	g.cholesky(w.l)
	scale := math.Sqrt(float64(n))
	square, explained := 0.0, 0.0
	centre := f(g.mean)
	d := w.slope
	for i := range n {
		value := func(sign float64) float64 {
			for k := range n {
				w.x[k] = g.mean[k] + sign*scale*w.l[k*n+i]
			}
			return f(w.x) - centre
		}
		up, down := value(1), value(-1)
		square += up*up + down*down
		d[i] = (up - down) / (2 * scale)
		explained += d[i] * d[i]
	}
	out := linear{value: centre, missed: max(0, square/float64(2*n)-explained), slope: d}
	// slope = L⁻ᵀ·d, by back substitution.
	for i := n - 1; i >= 0; i-- {
		s := d[i]
		for k := i + 1; k < n; k++ {
			s -= w.l[k*n+i] * d[k]
		}
		d[i] = 0
		if w.l[i*n+i] > 0 {
			d[i] = s / w.l[i*n+i]
		}
	}
	return out
}

// update conditions g on a function having been measured as y with the variance noise; line is its linearisation over g. What the line misses
// adds to the noise, so that the filter is never surer than its linearisation. The covariance is updated in Joseph's form, which keeps it
// symmetric and positive.
func (w *learner) update(g gaussian, line linear, y, noise float64) {
	n := len(g.mean)
	total := noise + line.missed + line.variance(g)
	for i := range n {
		k := 0.0
		for j, a := range line.slope {
			k += g.cov[i*n+j] * a
		}
		w.gain[i] = k / total
	}
	for i, k := range w.gain {
		g.mean[i] += k * (y - line.value)
	}
	w.joseph(g.cov, line.slope, noise+line.missed)
}

// shift is an update that moves the mean along one direction only, by what is most probable for that: the gain is u·(uᵀ·P·a)/(|u|²·S).
// What cannot be told apart is not told apart, however often it is seen. line is a linearisation near g, whose value is that at g.
func (w *learner) shift(g gaussian, line linear, direction []float64, y, noise float64) {
	n := len(g.mean)
	total := noise + line.missed + line.variance(g)
	gain, size := 0.0, 0.0
	for i, u := range direction {
		size += u * u
		for j, a := range line.slope {
			gain += u * g.cov[i*n+j] * a
		}
	}
	gain /= size * total
	for i, u := range direction {
		w.gain[i] = gain * u
		g.mean[i] += w.gain[i] * (y - line.value)
	}
	w.joseph(g.cov, line.slope, noise+line.missed)
}

// joseph sets P to (I − K·A)·P·(I − K·A)ᵀ + K·R·Kᵀ.
func (w *learner) joseph(out, slope []float64, noise float64) {
	n := len(slope)
	p := w.before
	copy(p, out)
	for i := range n {
		for j := range n { // (I − K·A)·P
			s := 0.0
			for k, a := range slope {
				s += a * p[k*n+j]
			}
			w.tmp[i*n+j] = p[i*n+j] - w.gain[i]*s
		}
	}
	for i := range n {
		for j := range n {
			s := 0.0
			for k, a := range slope {
				s += w.tmp[i*n+k] * a
			}
			out[i*n+j] = w.tmp[i*n+j] - s*w.gain[j] + w.gain[i]*noise*w.gain[j]
		}
	}
	for i := range n {
		for j := range i {
			v := (out[i*n+j] + out[j*n+i]) / 2
			out[i*n+j], out[j*n+i] = v, v
		}
	}
}
