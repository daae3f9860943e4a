package estimation

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Point is an operating point of one replica.
type Point struct {
	// Running requests, above 0.
	Running float64
	// InputTokens and OutputTokens per request, at least 0 and above 0.
	InputTokens, OutputTokens float64
}

// Cautious is performance under whose law the ITL at a point is not exceeded with the given probability, by what is not known of the law's
// parameters: to first order, with a the gradient of log ITL and P their covariance, the parameters are moved by z·P·a/√(aᵀ·P·a), which
// is the likeliest way to an ITL that is z standard deviations longer. Probability 0.5 and performance without a covariance stay as they
// are. A pair that is well known is hardly moved, a fresh one by much.
func Cautious(p jsonspec.Performance, at Point, probability float64) (jsonspec.Performance, error) {
	if !(probability > 0 && probability < 1) {
		return p, fmt.Errorf("probability: %v is not allowed, must be above 0 and below 1", probability)
	}
	if p.Law == nil || len(p.Law.Covariance) == 0 || probability == 0.5 {
		return p, at.check()
	}
	s, err := newSurface(p, at)
	if err != nil {
		return p, err
	}
	variance := s.covariance(at, at)
	if variance == 0 {
		return p, nil
	}
	return s.form.performance(p, s.moved(at, distuv.UnitNormal.Quantile(probability)/math.Sqrt(variance))), nil
}

// moved is the distribution with its mean moved by so many times P·a, a the gradient at a point: the likeliest way to another ITL there.
func (s *surface) moved(at Point, by float64) gaussian {
	slope, n := s.gradient(at), len(s.mean)
	g := s.clone()
	for i := range n {
		for j := range n {
			g.mean[i] += by * s.cov[i*n+j] * slope[j]
		}
	}
	return g
}

// check says what is wrong with a point.
func (at Point) check() error {
	if !(at.Running > 0 && at.InputTokens >= 0 && at.OutputTokens > 0) {
		return fmt.Errorf("operating point: %+v is not allowed, must be above 0", at)
	}
	return nil
}

// surface is the logarithm of ITL over operating points, for parameters that are known as well as performance says of itself.
type surface struct {
	gaussian
	form *form
}

// newSurface checks the point as well, so that what is asked of it afterwards is allowed. Without a covariance everything is known.
func newSurface(p jsonspec.Performance, at Point) (*surface, error) {
	if err := at.check(); err != nil {
		return nil, err
	}
	f, err := newForm(p, DefaultOptions())
	if err != nil {
		return nil, err
	}
	s := &surface{newGaussian(len(f.states)), f}
	copy(s.mean, f.prior.mean)
	if p.Law != nil {
		s.gaussian = f.stated(p.Law)
	}
	return s, nil
}

// at is log ITL at a point as a function of the logarithms of the parameters.
func (s *surface) at(at Point) func(x []float64) float64 {
	c := conditions{
		running: at.Running, runningSD: math.NaN(), input: at.InputTokens, output: at.OutputTokens, maxBatch: math.Inf(1),
		budget: queueing.DefaultMaxBatchedTokens, prefills: math.NaN(),
	}
	laws := s.form.laws()
	return func(x []float64) float64 {
		itl, _ := c.latencies(laws(x))
		return math.Log(itl)
	}
}

// gradient of log ITL at a point with respect to the logarithms of the parameters.
func (s *surface) gradient(at Point) []float64 {
	f := s.at(at)
	return slopes(s.mean, f, f(s.mean))
}

// covariance of log ITL at two points.
func (s *surface) covariance(a, b Point) float64 {
	x, y, n, sum := s.gradient(a), s.gradient(b), len(s.mean), 0.0
	for i := range n {
		for j := range n {
			sum += x[i] * s.cov[i*n+j] * y[j]
		}
	}
	return sum
}

// stated is the distribution that a law states of itself: its parameters, and the covariance of those named in its order.
func (f *form) stated(law *jsonspec.LawParms) gaussian {
	n := len(f.states)
	g := newGaussian(n)
	copy(g.mean, f.prior.mean)
	for i, s := range f.states {
		for j, t := range f.states {
			for a, name := range law.Order {
				for b, other := range law.Order {
					if name == s.name && other == t.name {
						g.cov[i*n+j] = law.Covariance[a][b]
					}
				}
			}
		}
	}
	return g
}
