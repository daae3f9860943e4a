package fitting

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Calibration is what measured points say beyond the law: a Gaussian process on the logarithms of measured over predicted, which fades to
// nothing away from the points. It corrects closed-loop predictions only; a law stays monotone without it.
//
// Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, chapter 2; the noise is reweighted as for Student's t with 3
// degrees of freedom, so that outliers are not learned.
type Calibration struct {
	anchors []anchor
}

// anchor is one point with its weights in the process.
type anchor struct {
	clients, input, output float64 // logarithms
	itl, ttft              float64
	reach                  float64 // of ttft, as a multiple of the lengths
}

// The process: standard deviations of what the law misses and of the noise, and lengths in powers of e.
const (
	// itlMiss is how far the law is off in ITL.
	//
	// Tuned: logarithm; measured by ITL of other points and of other shapes of silicon.csv, 5.5 and 10.5 %; at half: 5.9, 10.6 %; at twice: 5.3, 10.3 %
	itlMiss = 0.06
	// itlPointNoise is how far a measured ITL is.
	//
	// Tuned: logarithm; measured by ITL of other points and of other shapes of silicon.csv, 5.5 and 10.5 %; at half: 5.3, 10.5 %; at twice: 5.7, 10.5 %
	itlPointNoise = 0.02
	// ttftMiss is how far the law is off in TTFT.
	//
	// Tuned: logarithm; measured by TTFT of other points and of other shapes of silicon.csv, 17.2 and 28.3 %; at half: 17.6, 29.4 %; at twice: 17.5, 28.5 %
	ttftMiss = 0.30
	// ttftPointNoise is how far a measured TTFT is.
	//
	// Tuned: logarithm; measured by TTFT of other points and of other shapes of silicon.csv, 17.2 and 28.3 %; at half: 17.0, 28.2 %; at twice: 17.2, 28.6 %
	ttftPointNoise = 0.08
	// clientsLength is the factor between numbers of clients over which misses are alike.
	//
	// Tuned: logarithm; measured by ITL and TTFT of other points of silicon.csv, 5.5 and 17.2 %; at half: 5.7, 17.2 %; at twice: 5.6, 17.8 %
	clientsLength = 1.0
	// inputLength is that between lengths of prompts.
	//
	// Tuned: logarithm; measured by ITL and TTFT of other points of silicon.csv, 5.5 and 17.2 %; at half: 5.5, 17.6 %; at twice: 5.7, 17.7 %
	inputLength = 1.0
	// outputLength is that between lengths of answers.
	//
	// Tuned: logarithm; measured by ITL and TTFT of other points of silicon.csv, 5.5 and 17.2 %; at half: 5.6, 17.5 %; at twice: 5.5, 17.0 %
	outputLength = 1.5
)

// What is tried for TTFT, whose noise differs much between benchmarks.
var (
	ttftMisses  = []float64{0.1, ttftMiss, 0.7}
	ttftNoises  = []float64{0.03, ttftPointNoise, 0.2}
	ttftReaches = []float64{0.7, 1.5, 3}
)

func newAnchor(p Point) anchor {
	return anchor{clients: math.Log(p.Clients), input: math.Log(1 + p.Requests.InputTokens), output: math.Log(p.Requests.OutputTokens)}
}

// likeness is the correlation of what the law misses at two points, for lengths multiplied by reach.
func (a anchor) likeness(b anchor, reach float64) float64 {
	sq := func(x float64) float64 { return x * x }
	d := sq((a.clients-b.clients)/clientsLength) + sq((a.input-b.input)/inputLength) + sq((a.output-b.output)/outputLength)
	return math.Exp(-0.5 * d / (reach * reach))
}

// calibrate by the points of closed loops: what open arrivals show is not of the number of clients.
func calibrate(points []Point, residuals []Residual) Calibration {
	var c Calibration
	var itl, ttft []float64
	for i, p := range points {
		if p.Clients > 0 {
			c.anchors = append(c.anchors, newAnchor(p))
			itl, ttft = append(itl, -residuals[i].ITL), append(ttft, -residuals[i].TTFT)
		}
	}
	if len(c.anchors) == 0 {
		return c
	}
	weights, _ := process(c.likeness(1), itl, itlMiss, itlPointNoise)
	for i, w := range weights {
		c.anchors[i].itl = w
	}
	weights, reach := adaptive(c.likeness, ttft)
	for i, w := range weights {
		c.anchors[i].ttft, c.anchors[i].reach = w, reach
	}
	return c
}

// likeness of all pairs of points.
func (c Calibration) likeness(reach float64) *mat.SymDense {
	n := len(c.anchors)
	k := mat.NewSymDense(n, nil)
	for i := range n {
		for j := i; j < n; j++ {
			k.SetSym(i, j, c.anchors[i].likeness(c.anchors[j], reach))
		}
	}
	return k
}

// adaptive chooses the process that predicts every point best from the others, held to the usual one by a log-normal prior of spread 1.
func adaptive(likeness func(reach float64) *mat.SymDense, y []float64) (weights []float64, reach float64) {
	best := math.Inf(1)
	for _, r := range ttftReaches {
		alike := likeness(r)
		for _, miss := range ttftMisses {
			for _, noise := range ttftNoises {
				w, surprise := process(alike, y, miss, noise)
				for _, ratio := range []float64{miss / ttftMiss, noise / ttftPointNoise, r} {
					surprise += math.Log(ratio) * math.Log(ratio) / 2
				}
				if surprise < best {
					best, weights, reach = surprise, w, r
				}
			}
		}
	}
	if weights == nil { // nothing could be factorised
		return make([]float64, len(y)), 1
	}
	return weights, reach
}

// process returns the weights w with which Σ w·likeness predicts y, and how surprising every point is to the process of the others: minus the
// logarithm of its leave-one-out predictive density (Student's t, 3 degrees of freedom; Rasmussen & Williams, section 5.4.2).
func process(likeness *mat.SymDense, y []float64, miss, noise float64) (weights []float64, surprise float64) {
	const rounds = 6
	n := len(y)
	trust := make([]float64, n)
	for i := range trust {
		trust[i] = 1
	}
	target := mat.NewVecDense(n, append([]float64(nil), y...))
	weights = make([]float64, n)
	var inverse mat.SymDense
	var solved mat.VecDense
	for range rounds {
		c := mat.NewSymDense(n, nil)
		c.ScaleSym(miss*miss, likeness)
		for i := range n {
			c.SetSym(i, i, c.At(i, i)+noise*noise/trust[i])
		}
		var chol mat.Cholesky
		if !chol.Factorize(c) || chol.InverseTo(&inverse) != nil {
			return make([]float64, n), math.Inf(1) // no calibration rather than a wrong one
		}
		solved.MulVec(&inverse, target)
		for i := range n {
			left := solved.AtVec(i) * noise * noise / trust[i] // y minus what the process says
			weights[i] = solved.AtVec(i) * miss * miss
			trust[i] = math.Min(1, (freedom+1)/freedom/(1+left*left/(noise*noise*freedom)))
		}
	}
	for i := range n {
		variance := 1 / inverse.At(i, i)
		off := solved.AtVec(i) * variance
		surprise += (freedom+1)/2*math.Log1p(off*off/variance/freedom) + math.Log(variance)/2
	}
	return weights, surprise
}

// correct returns the factors by which to multiply the law's ITL and TTFT at a point.
func (c Calibration) correct(p Point) (itl, ttft float64) {
	at := newAnchor(p)
	for _, a := range c.anchors {
		itl += a.itl * a.likeness(at, 1)
		ttft += a.ttft * a.likeness(at, math.Max(a.reach, 1e-3))
	}
	return math.Exp(itl), math.Exp(ttft)
}

// store writes the calibration among the parameters of a law.
func (c Calibration) store(parameters map[string]float64) {
	for i, a := range c.anchors {
		for name, v := range map[string]float64{"clients": a.clients, "input": a.input, "output": a.output, "itl": a.itl, "ttft": a.ttft, "reach": a.reach} {
			parameters[fmt.Sprintf("%s%d.%s", queueing.Calibration, i, name)] = v
		}
	}
}

// loadCalibration reads what store wrote.
func loadCalibration(parameters map[string]float64) (Calibration, error) {
	var c Calibration
	for name, v := range parameters {
		rest, ok := strings.CutPrefix(name, queueing.Calibration)
		if !ok {
			continue
		}
		number, field, _ := strings.Cut(rest, ".")
		i, err := strconv.Atoi(number)
		if err != nil || i < 0 || i >= len(parameters) {
			return Calibration{}, fmt.Errorf("parameter %q: not a numbered point of a calibration", name)
		}
		for len(c.anchors) <= i {
			c.anchors = append(c.anchors, anchor{})
		}
		a := &c.anchors[i]
		switch field {
		case "clients":
			a.clients = v
		case "input":
			a.input = v
		case "output":
			a.output = v
		case "itl":
			a.itl = v
		case "ttft":
			a.ttft = v
		case "reach":
			a.reach = v
		default:
			return Calibration{}, fmt.Errorf("parameter %q: unknown field of a calibration", name)
		}
	}
	return c, nil
}
