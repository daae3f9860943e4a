package fitting

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// leastSquares minimises Σ r(x)² from a starting point by the Levenberg–Marquardt method with forward differences, leaves
// the minimum in x and returns the Jacobian there. residuals fills r for x. Deterministic; at most 60 steps.
//
// Marquardt, J. SIAM 11(2), 1963; the damping is scaled by the diagonal as there.
func leastSquares(x []float64, n int, residuals func(x, r []float64)) *mat.Dense {
	const (
		steps, tries = 60, 10
		difference   = 1e-5
		longest      = 1.5  // of one step in one coordinate: a factor of 4.5
		enough       = 1e-8 // relative improvement
	)
	k := len(x)
	r, moved, trial := make([]float64, n), make([]float64, n), make([]float64, k)
	jac := mat.NewDense(n, k, nil)
	jacobian := func() {
		for j := range k {
			at := x[j]
			x[j] = at + difference
			residuals(x, moved)
			x[j] = at
			for i := range n {
				jac.Set(i, j, (moved[i]-r[i])/difference)
			}
		}
	}
	residuals(x, r)
	cost, lambda := sumOfSquares(r), 1e-2
	for range steps {
		jacobian()
		var normal mat.SymDense
		normal.SymOuterK(1, jac.T())
		gradient := mat.NewVecDense(k, nil)
		gradient.MulVec(jac.T(), mat.NewVecDense(n, r))
		before := cost
		for range tries {
			damped := mat.NewSymDense(k, nil)
			damped.CopySym(&normal)
			for j := range k {
				damped.SetSym(j, j, normal.At(j, j)*(1+lambda)+1e-9)
			}
			var chol mat.Cholesky
			var dx mat.VecDense
			if chol.Factorize(damped) && chol.SolveVecTo(&dx, gradient) == nil {
				for j := range k {
					trial[j] = x[j] - math.Max(-longest, math.Min(longest, dx.AtVec(j)))
				}
				residuals(trial, moved)
				if c := sumOfSquares(moved); c < cost {
					copy(x, trial)
					copy(r, moved)
					cost, lambda = c, math.Max(lambda/5, 1e-7)
					break
				}
			}
			lambda *= 4
		}
		if before-cost <= enough*before {
			break
		}
	}
	jacobian()
	return jac
}

func sumOfSquares(r []float64) float64 {
	s := 0.0
	for _, v := range r {
		s += v * v
	}
	return s
}

// robust is the residual whose square is the negative log-likelihood of Student's t with 3 degrees of freedom, up to constants: a point
// far off pulls less and less.
func robust(r, scale float64) float64 {
	z := r / scale
	return math.Copysign(math.Sqrt(freedom*math.Log1p(z*z/freedom)), z)
}
