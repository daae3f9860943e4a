package simulation

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The engine against queues with known answers. An iteration takes one unit of
// time whatever is in it and a prompt fits into one, so that the service time of
// a request is its number of output tokens, and max-num-seqs the servers.

const unit = 1.0 / 256

func server(seats int) Config {
	return Config{
		Limits: Limits{MaxNumSeqs: seats, MaxNumBatchedTokens: 1 << 20}, Cache: Cache{BlockSize: 1 << 20, Blocks: 1 << 20},
		StepTime: Linear{Base: unit},
	}
}

// poisson arrivals with the given load per server.
func poisson(seed uint64, count, servers int, load, meanTokens float64, tokens func(*rand.Rand) int) []Request {
	random := rand.New(rand.NewPCG(seed, 4))
	rate := load * float64(servers) / (meanTokens * unit)
	all := make([]Request, count)
	at := 0.0
	for i := range all {
		at += random.ExpFloat64() / rate
		all[i] = Request{ID: uint64(i), ArrivedAt: at, InputTokens: 1, OutputTokens: tokens(random)}
	}
	return all
}

// geometric on 1, 2, … with the given mean.
func geometric(mean float64) func(*rand.Rand) int {
	return func(r *rand.Rand) int { return 1 + int(r.ExpFloat64()/-math.Log1p(-1/mean)) }
}

// batchMeans is the mean of a correlated series with its standard error from the
// means of forty stretches, the first of which is dropped.
func batchMeans(series []float64) (mean, deviation float64) {
	const stretches = 40
	size := len(series) / stretches
	var means []float64
	for i := 1; i < stretches; i++ {
		sum := 0.0
		for _, x := range series[i*size : (i+1)*size] {
			sum += x
		}
		means = append(means, sum/float64(size))
		mean += means[i-1] / (stretches - 1)
	}
	for _, m := range means {
		deviation += (m - mean) * (m - mean) / (stretches - 2)
	}
	return mean, math.Sqrt(deviation / (stretches - 1))
}

// within fails unless the mean is the expected one, up to 3.5 standard errors
// and what the model itself is off (relative).
func within(t *testing.T, what string, series []float64, want, tolerance float64) {
	t.Helper()
	mean, deviation := batchMeans(series)
	if math.Abs(mean-want) > 3.5*deviation+tolerance*want {
		t.Errorf("%s: %.5g ± %.2g, want %.5g", what, mean, deviation, want)
	}
	if deviation > 0.1*want {
		t.Errorf("%s: standard error %.2g of %.5g says too little", what, deviation, want)
	}
}

// waits in order of arrival, s.
func waits(done []Completion) []float64 {
	slices.SortFunc(done, func(a, b Completion) int { return int(a.ID) - int(b.ID) })
	series := make([]float64, len(done))
	for i, c := range done {
		series[i] = c.ScheduledAt - c.ArrivedAt
	}
	return series
}

// M/D/1 and M/G/1: W = λ·E[S²] / (2(1 − ρ)), Pollaczek and Khinchine.
func TestSingleServerWait(t *testing.T) {
	const tokens = 50
	for _, load := range []float64{0.3, 0.7, 0.9} {
		_, done := replay(t, server(1), poisson(1, 120_000, 1, load, tokens, func(*rand.Rand) int { return tokens }))
		within(t, "M/D/1 wait", waits(done), load*tokens*unit/(2*(1-load)), 0)

		_, done = replay(t, server(1), poisson(2, 120_000, 1, load, tokens, geometric(tokens)))
		second := (2 - 1.0/tokens) * tokens * tokens * unit * unit
		within(t, "M/Geometric/1 wait", waits(done), load/(tokens*unit)*second/(2*(1-load)), 0)
	}
}

// M/M/1/K: a gateway refuses what finds K requests in the engine; the share lost
// is (1 − ρ)ρᴷ / (1 − ρᴷ⁺¹).
func TestFiniteQueueLoss(t *testing.T) {
	const capacity, tokens = 6, 100
	for _, load := range []float64{0.6, 0.9, 1.3} {
		engine, err := New(server(1))
		if err != nil {
			t.Fatal(err)
		}
		var lost []float64
		var done []Completion
		for _, r := range poisson(3, 60_000, 1, load, tokens, geometric(tokens)) {
			done = engine.Advance(r.ArrivedAt, done[:0])
			if engine.Pending() >= capacity {
				lost = append(lost, 1)
				continue
			}
			lost = append(lost, 0)
			if err := engine.Submit(r.ArrivedAt, r); err != nil {
				t.Fatal(err)
			}
		}
		want := (1 - load) * math.Pow(load, capacity) / (1 - math.Pow(load, capacity+1))
		within(t, "M/M/1/6 loss", lost, want, 1.0/tokens)
	}
}

// M/M/c: W = C(c, a) / (cμ − λ) with Erlang's C. Seats are given out at the end
// of an iteration only, half of one later on average.
func TestSeveralServersWait(t *testing.T) {
	const seats, tokens, load = 4, 150, 0.8
	_, done := replay(t, server(seats), poisson(5, 100_000, seats, load, tokens, geometric(tokens)))
	offered, term, sum := load*float64(seats), 1.0, 1.0
	for k := 1; k < seats; k++ {
		term *= offered / float64(k)
		sum += term
	}
	last := term * offered / seats / (1 - load)
	wait := last / (sum + last) * tokens * unit / (seats * (1 - load))
	within(t, "M/M/4 wait", waits(done), wait+unit/2, 1.0/tokens)
}

// Little: the mean number of requests is the rate times the time each stays.
func TestLittle(t *testing.T) {
	config := Config{
		Limits: Limits{MaxNumSeqs: 24, MaxNumBatchedTokens: 1024}, Cache: roomy, StepTime: testRoofline(), NoiseCV: 0.1,
	}
	engine, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	const slice = 0.05
	var samples, present float64
	var done []Completion
	sent := requests(3, 20_000, 10, 500, 200)
	for _, r := range sent {
		for engine.Now()+slice < r.ArrivedAt {
			done = engine.Advance(engine.Now()+slice, done)
			samples++
			present += float64(engine.Pending())
		}
		done = engine.Advance(r.ArrivedAt, done)
		if err := engine.Submit(r.ArrivedAt, r); err != nil {
			t.Fatal(err)
		}
	}
	done = engine.Advance(math.Inf(1), done)
	var stay, service float64
	for _, c := range done {
		stay += c.EndToEnd()
		service += c.FinishedAt - c.ScheduledAt
	}
	duration := sent[len(sent)-1].ArrivedAt
	if got, want := present/samples, stay/duration; math.Abs(got/want-1) > 0.02 {
		t.Errorf("%v requests present on average, rate times stay is %v", got, want)
	}
	if got := engine.Stats(); got.Preemptions > 0 || math.Abs(got.SequenceSeconds/service-1) > 1e-9 {
		t.Errorf("%v sequence seconds, requests spent %v s in service", got.SequenceSeconds, service)
	}
}

func TestMoreLoadOrSlowerStepsNeverHelp(t *testing.T) {
	measure := func(rate, slowness float64) (ttft, itl float64) {
		law := testRoofline()
		law.Bandwidth /= slowness
		law.Speed /= slowness
		_, done := replay(t, Config{Limits: Limits{MaxNumSeqs: 64, MaxNumBatchedTokens: 2048}, Cache: roomy, StepTime: law},
			requests(11, 4000, rate, 700, 150))
		for _, c := range done {
			x, _ := c.ITL()
			ttft, itl = ttft+c.TTFT()/float64(len(done)), itl+x/float64(len(done))
		}
		return ttft, itl
	}
	for name, at := range map[string]func(x float64) (float64, float64){
		"rate":     func(x float64) (float64, float64) { return measure(4*x, 1) },
		"slowness": func(x float64) (float64, float64) { return measure(8, x) },
	} {
		ttft, itl := at(1)
		for _, x := range []float64{1.5, 2, 3, 4} {
			nextTTFT, nextITL := at(x)
			if nextTTFT <= ttft || nextITL <= itl {
				t.Errorf("%s ×%v: TTFT %v s after %v s, ITL %v s after %v s", name, x, nextTTFT, ttft, nextITL, itl)
			}
			ttft, itl = nextTTFT, nextITL
		}
	}
}
