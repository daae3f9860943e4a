package estimation_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/estimation"
)

// law is the reference law with parameters in ms.
type law struct{ alpha, beta, gamma float64 }

// truth is near what an H100 does with a model of 14 billion parameters.
var truth = law{11.5, 0.042, 5e-5}

func (l law) times(a, b, c float64) law { return law{l.alpha * a, l.beta * b, l.gamma * c} }

func (l law) performance() jsonspec.Performance {
	return jsonspec.Performance{Acc: "H100", PerfParms: &jsonspec.PerfParms{Alpha: l.alpha, Beta: l.beta, Gamma: l.gamma}}
}

// point is an operating point.
type point struct{ running, input, output float64 }

// latencies of the law at a point, in seconds, written out independently of the package under test.
func (l law) latencies(p point) (itl, ttft float64) {
	seen := p.running + 1
	decode := l.alpha + l.beta*seen + l.gamma*seen*(p.input+p.output/2)
	prefill := (l.beta + l.gamma) * p.input
	prompts := p.running / p.output // that an iteration computes
	itl = decode + prompts*prefill
	use := prompts * prefill / itl
	variance := prompts / (1 - use*use) // of their number: those that come during an iteration are computed in the next
	square := (itl*itl + prefill*prefill*variance) / itl
	return itl / 1e3, (decode + prefill*(1+prompts*square/itl) + square/2) / 1e3
}

// world yields observations, one a minute, with 2 % noise on ITL, 8 % on TTFT and 3 % on what is measured of the batch.
type world struct {
	rng *rand.Rand
	now float64
}

func newWorld(seed uint64) *world { return &world{rng: rand.New(rand.NewPCG(seed, 1)), now: 1.7e9} }

func (w *world) noise(sd float64) float64 { return math.Exp(sd * w.rng.NormFloat64()) }

func (w *world) observe(l law, p point) estimation.Observation {
	w.now += 60
	itl, ttft := l.latencies(p)
	o := estimation.Unmeasured("s")
	o.Time, o.Replicas = w.now, 1
	o.Running, o.InputTokens, o.OutputTokens = p.running*w.noise(0.03), p.input*w.noise(0.03), p.output*w.noise(0.03)
	o.ArrivalRate = p.running / (itl * p.output)
	o.ITL, o.TTFT = itl*w.noise(0.02), ttft*w.noise(0.08)
	return o
}

// vary is a load that varies: between 3 and 100 running, tokens by a factor of 2 either way.
func (w *world) vary() point {
	return point{3 * math.Exp(w.rng.Float64()*math.Log(33)), 1000 * math.Exp2(2*w.rng.Float64()-1), 500 * math.Exp2(2*w.rng.Float64()-1)}
}

// pupil is an estimator with its memory.
type pupil struct {
	t       *testing.T
	e       estimation.Estimator
	given   jsonspec.Performance
	learned *v1alpha1.PairMemory
	last    estimation.Estimate
}

func newPupil(t *testing.T, name string, given jsonspec.Performance) *pupil {
	t.Helper()
	e, err := estimation.Estimators().New(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &pupil{t: t, e: e, given: given, last: estimation.Estimate{Performance: given}}
}

func (p *pupil) sees(o ...estimation.Observation) estimation.Judgement {
	p.t.Helper()
	e, err := p.e.Estimate(p.given, p.learned, o)
	if err != nil {
		p.t.Fatal(err)
	}
	p.last, p.learned = e, e.Learned
	return e.Judgements[len(e.Judgements)-1]
}

// law learned.
func (p *pupil) law() law {
	m := p.last.Performance
	if m.Law == nil {
		return law{m.PerfParms.Alpha, m.PerfParms.Beta, m.PerfParms.Gamma}
	}
	v := m.Law.Parameters
	return law{v["alpha"], v["beta"], v["gamma"]}
}

// off is the relative error of the learned ITL at a point.
func (p *pupil) off(real law, at point) float64 {
	want, _ := real.latencies(at)
	got, _ := p.law().latencies(at)
	return math.Abs(got/want - 1)
}

// sd is the standard deviation of the logarithm of the learned ITL at a point, to first order.
func (p *pupil) sd(at point) float64 {
	l := p.law()
	itl, _ := l.latencies(at)
	slope := make([]float64, 4)
	for i, s := range []law{{1.001, 1, 1}, {1, 1.001, 1}, {1, 1, 1.001}} {
		moved, _ := l.times(s.alpha, s.beta, s.gamma).latencies(at)
		slope[i] = math.Log(moved/itl) / math.Log(1.001)
	}
	v := 0.0
	for i, row := range p.last.Performance.Law.Covariance {
		for j, c := range row {
			v += slope[i] * slope[j] * c
		}
	}
	return math.Sqrt(v)
}

// reborn forgets all but what was written.
func (p *pupil) reborn() {
	p.t.Helper()
	text, err := json.Marshal(p.learned)
	if err != nil {
		p.t.Fatal(err)
	}
	p.learned = new(v1alpha1.PairMemory)
	if err := json.Unmarshal(text, p.learned); err != nil {
		p.t.Fatal(err)
	}
}
