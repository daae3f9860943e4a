package estimation

import (
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// On a linear function the filter is Kalman's: with prior variance p, slope a and noise r the gain is p·a/(a²·p + r).
func TestUpdateIsKalmansOnLines(t *testing.T) {
	g := newGaussian(2)
	copy(g.mean, []float64{1, -2})
	copy(g.cov, []float64{4, 1, 1, 9})
	a, r, y := []float64{2, 0.5}, 0.3, 7.0
	pa := []float64{4*2 + 1*0.5, 1*2 + 9*0.5}
	s := 2*pa[0] + 0.5*pa[1] + r
	residual := y - (2*1 + 0.5*-2)
	wantMean := []float64{1 + pa[0]/s*residual, -2 + pa[1]/s*residual}
	wantCov := []float64{4 - pa[0]*pa[0]/s, 1 - pa[0]*pa[1]/s, 1 - pa[0]*pa[1]/s, 9 - pa[1]*pa[1]/s}
	w := newLearner(2)
	f := func(x []float64) float64 { return a[0]*x[0] + a[1]*x[1] }
	w.update(g, w.linearise(g, f), y, r)
	for i := range wantMean {
		if math.Abs(g.mean[i]-wantMean[i]) > 1e-9 {
			t.Errorf("mean[%d] is %v, want %v", i, g.mean[i], wantMean[i])
		}
	}
	for i := range wantCov {
		if math.Abs(g.cov[i]-wantCov[i]) > 1e-9 {
			t.Errorf("cov[%d] is %v, want %v", i, g.cov[i], wantCov[i])
		}
	}
}

func TestLineariseCountsWhatTheLineMisses(t *testing.T) {
	g := newGaussian(1)
	g.cov[0] = 0.25
	line := newLearner(1).linearise(g, func(x []float64) float64 { return x[0] * x[0] })
	if math.Abs(line.slope[0]) > 1e-12 || math.Abs(line.missed-0.25*0.25) > 1e-12 {
		t.Errorf("x² around 0 has slope %v and misses %v, want 0 and %v", line.slope[0], line.missed, 0.25*0.25)
	}
}

func TestPassGoesBackToThePriorAndNoFurther(t *testing.T) {
	prior := newGaussian(1)
	prior.mean[0], prior.cov[0] = 3, 0.5
	g := newGaussian(1)
	g.mean[0], g.cov[0] = 1, 0.01
	g.pass(100, 100, prior)
	phi := math.Exp(-1)
	if want := 3 - 2*phi; math.Abs(g.mean[0]-want) > 1e-12 {
		t.Errorf("mean is %v, want %v", g.mean[0], want)
	}
	if want := phi*phi*0.01 + (1-phi*phi)*0.5; math.Abs(g.cov[0]-want) > 1e-12 {
		t.Errorf("variance is %v, want %v", g.cov[0], want)
	}
	g.pass(1e9, 100, prior)
	if g.mean[0] != 3 || g.cov[0] != 0.5 {
		t.Errorf("after a long time %v ± %v, want the prior", g.mean[0], g.cov[0])
	}
}

func TestInvert(t *testing.T) {
	m := []float64{4, 1, 0.5, 1, 3, 0.2, 0.5, 0.2, 2}
	inverse := make([]float64, 9)
	invert(m, inverse, 3)
	for i := range 3 {
		for j := range 3 {
			s, want := 0.0, 0.0
			for k := range 3 {
				s += m[i*3+k] * inverse[k*3+j]
			}
			if i == j {
				want = 1
			}
			if math.Abs(s-want) > 1e-12 {
				t.Errorf("product [%d][%d] is %v, want %v", i, j, s, want)
			}
		}
	}
}

// Clients in closed loop see N − 1 others, each of which decodes for a share f of its stay; arrivals at random see all N that decode. So what runs
// with a mean of N sees what 1 + N/f clients see.
func TestLatenciesAgreeWithClosedLoop(t *testing.T) {
	const out = 300
	law := queueing.Work{Alpha: 0.012, Beta: 4e-5, Gamma: 5e-8}
	for _, n := range []float64{1, 10, 60} {
		c := conditions{prefills: math.NaN(), running: n, runningSD: math.NaN(), input: 800, output: out, maxBatch: 256, budget: 8192}
		itl, _ := c.latencies(law)
		clients, closed := n+1, queueing.Prediction{}
		for range 50 { // the share depends on the clients
			var err error
			closed, err = queueing.Closed(law, queueing.Requests{InputTokens: 800, OutputTokens: out}, queueing.Limits{MaxBatch: 256, MaxBatchedTokens: 8192}, clients)
			if err != nil {
				t.Fatal(err)
			}
			clients = 1 + n*closed.Response/(out*closed.ITL.Mean)
		}
		if math.Abs(itl/closed.ITL.Mean-1) > 1e-6 {
			t.Errorf("%v running: ITL is %v, that of %v clients %v", n, itl, clients, closed.ITL.Mean)
		}
	}
}

func TestArrivalsFollowLittlesLaw(t *testing.T) {
	roofline := queueing.Roofline{Overhead: 1e-3, Weights: 8e-3, Compute: 3e-5, Attention: 1e-9, KV: 5e-8, Sequence: 2e-5, Prefill: 2e-3}
	for name, law := range map[string]queueing.Law{
		"work": queueing.Work{Alpha: 0.012, Beta: 4e-5, Gamma: 5e-8}, "linear": queueing.Linear{Alpha: 0.012, Beta: 2e-4}, "roofline": roofline,
	} {
		for _, rate := range []float64{0.01, 1, 3, 5} {
			c := conditions{prefills: math.NaN(), running: math.NaN(), runningSD: math.NaN(), rate: rate, input: 800, output: 300, maxBatch: 256, budget: 8192}
			n := c.follows(law)
			at := c
			at.running = n
			itl, _ := at.latencies(law)
			if want := rate * 300 * itl; n < 256 && math.Abs(n/want-1) > 5e-3 {
				t.Errorf("%s, %v requests/s: %v run, Little's law says %v", name, rate, n, want)
			}
		}
		c := conditions{prefills: math.NaN(), running: math.NaN(), rate: 1e3, input: 800, output: 300, maxBatch: 64, budget: 8192, runningSD: math.NaN()}
		if n := c.follows(law); n != 64 {
			t.Errorf("%s: %v run under overload, want the whole batch of 64", name, n)
		}
	}
}

func TestOneOperatingPointHasNoReliableScatter(t *testing.T) {
	if r := always(0.03, 0.03*0.03, 30); r != 0 {
		t.Errorf("a scatter as wide as the error is reliable to %v, want 0", r)
	}
	if r := always(0.03, 0.25, 30); r < 0.99 {
		t.Errorf("a scatter far wider than the error is reliable to %v, want nearly 1", r)
	}
}
