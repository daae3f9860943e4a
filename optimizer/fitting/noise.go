package fitting

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

const (
	// itlNoise is the relative error of measurements of ITL, and of the law's form, that a fit reckons with at most: what is noisier is for the
	// robust residuals to give up.
	//
	// Tuned: logarithm; measured by ITL and TTFT of other points of silicon.csv, 5.5 and 17.2 %, and of other shapes, 10.5 and 28.3 %;
	// at half: 5.6, 17.5, 10.2, 28.6 %; at twice: 5.4, 16.6, 10.3, 28.6 %
	itlNoise = 0.03
	// ttftNoise is the same of TTFT.
	//
	// Tuned: logarithm; measured by ITL and TTFT of other points of silicon.csv, 5.5 and 17.2 %, and of other shapes, 10.5 and 28.3 %;
	// at half: 5.5, 17.8, 10.7, 29.9 %; at twice: 5.6, 17.1, 10.5, 28.1 %
	ttftNoise = 0.12
	// aloneNoise is that of the TTFT of a single client, which waits for nobody.
	//
	// Tuned: logarithm; measured by TTFT of open-loop.csv, 1.6 % off in the median after a fit to closed loops; at half: 1.5 %; at twice: 2.4 %
	aloneNoise = 0.03
	// leastNoise is the share of them that remains however well the law fits.
	//
	// Tuned: share; guard against points that a law fits exactly, which would count without bound: half and twice of it make no difference
	leastNoise = 0.1
	// noiseBelief is the number of points that they count for.
	//
	// Tuned: points; measured by ITL of open-loop.csv, 1.6 % off after a fit to closed loops; at half: 1.7 %; at twice: 1.5 %
	noiseBelief = 4
	// rolesITLNoise is itlNoise where roles have workers of their own, whose measurements scatter more.
	//
	// Tuned: logarithm; measured by ITL and TTFT of other points of disagg.csv, 6.4 and 35.4 %; at half: 6.5, 35.4 %; at twice: 6.5, 35.4 %
	rolesITLNoise = 0.06
	// rolesTTFTNoise is ttftNoise of the same.
	//
	// Tuned: logarithm; measured by ITL and TTFT of other points of disagg.csv, 6.4 and 35.4 %; at half: 6.6, 34.5 %; at twice: 6.4, 36.2 %
	rolesTTFTNoise = 0.25
	// rolesSkew is by how much more a measured TTFT is expected to be too long than too short: what disturbs a benchmark, such as engines that warm up, only
	// lengthens it.
	//
	// Tuned: 1; measured by ITL and TTFT of other points of disagg.csv, 6.4 and 35.4 %; at half: 6.4, 33.9 %; at twice: 6.4, 37.4 %
	rolesSkew = 6
	// freedom of Student's t, by which measurements scatter.
	//
	// Tuned: degrees of freedom; measured by ITL and TTFT of other points of silicon.csv, 5.5 and 17.2 %, and of other shapes, 10.5 and 28.3 %;
	// at half: 5.7, 17.0, 10.7, 28.6 %; at twice: 5.3, 18.0, 10.5, 29.1 %
	freedom = 3.0
)

// noise is what measurements scatter by, as standard deviations of logarithms: of ITL, and of TTFT by point.
type noise struct {
	itl  float64
	ttft []float64
}

// believed is the noise before anything was fitted.
func (l form) believed(points []Point) noise {
	n := noise{itl: itlNoise, ttft: make([]float64, len(points))}
	if l.split != nil {
		n.itl = rolesITLNoise
	}
	expected := l.at(l.mean)
	for i, p := range points {
		n.ttft[i] = math.Hypot(p.ttftNoise(), p.samplingNoise(expected))
	}
	return n
}

// ttftNoise is the relative error that a measured TTFT is reckoned with: clients that run in step disturb each other's prompts.
func (p Point) ttftNoise() float64 {
	if p.Roles != nil {
		return rolesTTFTNoise
	}
	if p.Clients == 0 {
		return ttftNoise
	}
	return ttftNoise - (ttftNoise-aloneNoise)/p.Clients
}

// samplingNoise is the relative error of a mean TTFT that is due to the lengths of the prompts that happened to be measured.
func (p Point) samplingNoise(expected answers) float64 {
	if p.Samples == 0 || !(p.Requests.InputTokensSD > 0) {
		return 0
	}
	_, mean := expected(p)
	p.Requests.InputTokens += p.Requests.InputTokensSD / math.Sqrt(p.Samples)
	_, longer := expected(p)
	return math.Abs(math.Log(longer / mean))
}

// noise is estimated from what a fit leaves, of the law and beyond the lengths of prompts:
//
//	s² = (belief + Σ w·z²) / (belief + Σ (1 − leverage)),  w = (ν + 1)/(ν + z²)
//
// of the believed variance, with residuals z in units of it: the scale of Student's t with ν degrees of freedom (Lange, Little & Taylor,
// JASA 84, 1989), which the belief enters as so many points more, and the parameters fitted as so many less.
func (l form) noise(points []Point, x []float64, jac *mat.Dense) noise {
	m := len(points)
	expected := l.at(x)
	leverage := leverages(jac)
	var sum, free [2]float64
	n := l.believed(points)
	for i, p := range points {
		itl, ttft := expected(p)
		for j, z := range [2]float64{math.Log(itl/p.ITL) / n.itl, math.Log(ttft/p.TTFT) / n.ttft[i]} {
			sum[j] += (freedom + 1) / (freedom + z*z) * z * z
			free[j] += math.Max(0, 1-leverage(j*m+i))
		}
	}
	scale := func(j int) float64 {
		return math.Min(1, math.Max(leastNoise, math.Sqrt((noiseBelief+sum[j])/(noiseBelief+free[j]))))
	}
	n.itl *= scale(0)
	for i, p := range points {
		n.ttft[i] = math.Hypot(scale(1)*p.ttftNoise(), p.samplingNoise(expected))
	}
	return n
}

// leverages returns the leverage of a residual: the share of it that the parameters can take.
func leverages(jac *mat.Dense) func(i int) float64 {
	c := covariance(jac)
	return func(i int) float64 {
		h := 0.0
		for a := range c {
			for b := range c {
				h += jac.At(i, a) * c[a][b] * jac.At(i, b)
			}
		}
		return h
	}
}
