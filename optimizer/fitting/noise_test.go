package fitting

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// benchmark of a pair that obeys the law of its prior, with measurements that scatter by the given standard deviations.
func benchmark(t *testing.T, itl, ttft float64) ([]Point, form) {
	t.Helper()
	g := Group{"model": "meta-llama/Llama-3.1-8B-Instruct", "accelerator": "h100_sxm", "engine": "vllm"}
	k := BuiltIn()
	s, err := k.setting(g)
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.form(queueing.LawRoofline, &k.Experience)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var points []Point
	for _, shape := range [][2]float64{{512, 128}, {1024, 256}, {4096, 512}} {
		for _, clients := range []float64{1, 4, 16, 64} {
			p := Point{Group: g, Clients: clients, Requests: queueing.Requests{
				InputTokens: shape[0], OutputTokens: shape[1], InputTokensSD: math.NaN(), OutputTokensSD: math.NaN(), ArrivalCV: math.NaN(),
			}, Limits: queueing.Limits{MaxBatch: unlimited, MaxQueue: unlimited, MaxBatchedTokens: queueing.DefaultMaxBatchedTokens}}
			p.ITL, p.TTFT = predicted(f.law(f.mean), p)
			p.ITL *= math.Exp(itl * random.NormFloat64())
			p.TTFT *= math.Exp(ttft * random.NormFloat64())
			points = append(points, p)
		}
	}
	return points, f
}

func TestNoiseIsThatOfTheBenchmark(t *testing.T) {
	for _, c := range []struct{ itl, least, most float64 }{
		{0, 0.003, 0.02}, // what is believed counts for some points
		{0.03, 0.02, 0.03},
		{0.3, 0.03, 0.03}, // never more than believed
	} {
		points, f := benchmark(t, c.itl, c.itl)
		x, jac := f.fit(points)
		if n := f.noise(points, x, jac); n.itl < c.least || n.itl > c.most {
			t.Errorf("measurements that scatter by %v: noise %v, want %v to %v", c.itl, n.itl, c.least, c.most)
		}
	}
}

func TestFewRequestsSayLess(t *testing.T) {
	points, f := benchmark(t, 0, 0)
	p := points[8] // one client, long prompts
	p.Requests.InputTokensSD = p.Requests.InputTokens / 3
	law := f.at(f.mean)
	if got := p.samplingNoise(law); got != 0 {
		t.Errorf("noise %v although the number of requests is unknown", got)
	}
	p.Samples = 60
	few := p.samplingNoise(law)
	p.Samples = 6000
	many := p.samplingNoise(law)
	if ratio := few / many; !(few > 0.01 && few < 0.06 && math.Abs(ratio/10-1) < 0.1) {
		t.Errorf("noise of 60 requests %v, of 6000 %v: want ten times", few, many)
	}
}
