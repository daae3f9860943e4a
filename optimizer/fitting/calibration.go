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
}

// The process: standard deviations of what the law misses and of the noise, and lengths in powers of e.
const (
	itlMiss, ttftMiss                        = 0.06, 0.30
	itlPointNoise, ttftPointNoise            = 0.02, 0.08
	clientsLength, inputLength, outputLength = 1.0, 1.0, 1.5
)

func newAnchor(p Point) anchor {
	return anchor{clients: math.Log(p.Clients), input: math.Log(1 + p.Requests.InputTokens), output: math.Log(p.Requests.OutputTokens)}
}

// likeness is the correlation of what the law misses at two points.
func (a anchor) likeness(b anchor) float64 {
	sq := func(x float64) float64 { return x * x }
	return math.Exp(-0.5 * (sq((a.clients-b.clients)/clientsLength) + sq((a.input-b.input)/inputLength) + sq((a.output-b.output)/outputLength)))
}

func calibrate(points []Point, residuals []Residual) Calibration {
	n := len(points)
	c := Calibration{anchors: make([]anchor, n)}
	itl, ttft := make([]float64, n), make([]float64, n)
	for i, p := range points {
		c.anchors[i] = newAnchor(p)
		itl[i], ttft[i] = -residuals[i].ITL, -residuals[i].TTFT
	}
	k := mat.NewSymDense(n, nil)
	for i := range n {
		for j := i; j < n; j++ {
			k.SetSym(i, j, c.anchors[i].likeness(c.anchors[j]))
		}
	}
	for i, w := range process(k, itl, itlMiss, itlPointNoise) {
		c.anchors[i].itl = w
	}
	for i, w := range process(k, ttft, ttftMiss, ttftPointNoise) {
		c.anchors[i].ttft = w
	}
	return c
}

// process returns the weights w with which Σ w·likeness predicts y.
func process(likeness *mat.SymDense, y []float64, miss, noise float64) []float64 {
	const rounds, freedom = 10, 3
	n := len(y)
	trust, weights := make([]float64, n), make([]float64, n)
	for i := range trust {
		trust[i] = 1
	}
	target := mat.NewVecDense(n, append([]float64(nil), y...))
	for range rounds {
		c := mat.NewSymDense(n, nil)
		c.ScaleSym(miss*miss, likeness)
		for i := range n {
			c.SetSym(i, i, c.At(i, i)+noise*noise/trust[i])
		}
		var chol mat.Cholesky
		var solved mat.VecDense
		if !chol.Factorize(c) || chol.SolveVecTo(&solved, target) != nil {
			return make([]float64, n) // no calibration rather than a wrong one
		}
		for i := range n {
			weights[i] = solved.AtVec(i) * miss * miss
			left := solved.AtVec(i) * noise * noise / trust[i] // y minus what the process says
			trust[i] = math.Min(1, (freedom+1.0)/freedom/(1+left*left/(noise*noise*freedom)))
		}
	}
	return weights
}

// correct returns the factors by which to multiply the law's ITL and TTFT at a point.
func (c Calibration) correct(p Point) (itl, ttft float64) {
	at := newAnchor(p)
	for _, a := range c.anchors {
		l := a.likeness(at)
		itl += a.itl * l
		ttft += a.ttft * l
	}
	return math.Exp(itl), math.Exp(ttft)
}

// store writes the calibration among the parameters of a law.
func (c Calibration) store(parameters map[string]float64) {
	for i, a := range c.anchors {
		for name, v := range map[string]float64{"clients": a.clients, "input": a.input, "output": a.output, "itl": a.itl, "ttft": a.ttft} {
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
		default:
			return Calibration{}, fmt.Errorf("parameter %q: unknown field of a calibration", name)
		}
	}
	return c, nil
}
