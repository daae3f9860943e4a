package simulation

import (
	"encoding/csv"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
)

// The engine against another simulator of vLLM (see testdata). The four numbers of
// its truth were fitted by least squares on the logarithms of ITL and TTFT of the
// thirteen closed-loop runs that the KV cache does not limit, and the size of the
// cache on the ITL of one that it does. All else is predicted.
func blisTruth() Config {
	return Config{
		Cache:           Cache{BlockSize: 16, Blocks: 26_000},
		StepTime:        Linear{Base: 6.879e-3, PerToken: 2.470e-6, PerContext: 7.762e-8},
		RequestOverhead: 0.01563,
	}
}

// run is a line of the file.
type run map[string]float64

func readRuns(t *testing.T) []run {
	t.Helper()
	file, err := os.Open("testdata/llama-3.1-8b-h100.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var runs []run
	for _, line := range lines[1:] {
		r := run{}
		for i, name := range lines[0] {
			if value, err := strconv.ParseFloat(line[i], 64); err == nil {
				r[name] = value
			}
		}
		runs = append(runs, r)
	}
	return runs
}

// repeat performs a run with our engine; gap draws the interarrival times, with
// mean 1, of an open one. The keys of the result are columns of the file.
func (r run) repeat(t *testing.T, gap func(*rand.Rand) float64) run {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 6))
	intervals := map[float64]int{}
	config := blisTruth()
	config.Limits = Limits{MaxNumSeqs: int(r["max_num_seqs"]), MaxNumBatchedTokens: int(r["max_num_batched_tokens"])}
	config.Hooks.TokenInterval = func(_, seconds float64, count int) { intervals[seconds] += count }
	engine, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	count := int(r["requests"])
	input := tokens(random, count, r["input_tokens"], r["input_tokens_sd"], 16)
	output := tokens(random, count, r["output_tokens"], r["output_tokens_sd"], 8)
	sent := 0
	submit := func(at float64) {
		request := Request{ID: uint64(sent), ArrivedAt: at, InputTokens: input[sent], OutputTokens: output[sent]}
		if err := engine.Submit(at, request); err != nil {
			t.Fatal(err)
		}
		sent++
	}
	var done []Completion
	if clients := int(r["concurrency"]); clients > 0 {
		for range min(clients, count) {
			submit(0)
		}
		for more := true; more; {
			answered := len(done)
			done, more = engine.Step(math.Inf(1), done)
			for range min(len(done)-answered, count-sent) {
				submit(engine.Now())
			}
		}
	} else {
		at := 0.0
		for sent < count {
			at += gap(random) / r["request_rate"]
			done = engine.Advance(at, done)
			submit(at)
		}
		done = engine.Advance(math.Inf(1), done)
	}
	waits := map[float64]int{}
	for _, c := range done {
		waits[c.TTFT()]++
	}
	result := run{}
	result.describe("ttft", waits)
	result.describe("itl", intervals)
	return result
}

// tokens are gaussian token counts in random order. They come in pairs around the
// mean: near saturation one per cent more work is many per cent more latency, and
// that of a sample would hide what is compared.
func tokens(random *rand.Rand, count int, mean, deviation, least float64) []int {
	all := make([]int, count)
	z := 0.0
	for i := range all {
		if z = -z; i%2 == 0 {
			z = random.NormFloat64()
		}
		all[i] = int(math.Round(max(least, min(4*mean, mean+deviation*z))))
	}
	random.Shuffle(count, func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// describe stores mean, P90 and P99, ms, of a sample given as counts, s.
func (r run) describe(name string, sample map[float64]int) {
	var values []float64
	total, sum := 0, 0.0
	for value, count := range sample {
		values = append(values, value)
		total += count
		sum += value * float64(count)
	}
	slices.Sort(values)
	r[name+"_ms"] = 1000 * sum / float64(total)
	seen := 0
	for _, value := range values {
		before := seen
		seen += sample[value]
		for column, share := range map[string]float64{"_p90_ms": 0.90, "_p99_ms": 0.99} {
			if rank := share * float64(total); float64(before) < rank && rank <= float64(seen) {
				r[name+column] = 1000 * value
			}
		}
	}
}

var statistics = []string{"itl_ms", "itl_p90_ms", "itl_p99_ms", "ttft_ms", "ttft_p90_ms", "ttft_p99_ms"}

func TestClosedLoopAgreesWithAnotherSimulator(t *testing.T) {
	for _, r := range readRuns(t) {
		if r["concurrency"] == 0 {
			continue
		}
		got := r.repeat(t, nil)
		itl, ttft := got["itl_ms"]/r["itl_ms"]-1, got["ttft_ms"]/r["ttft_ms"]-1
		if math.Abs(itl) > 0.02 || math.Abs(ttft) > 0.1 {
			t.Errorf("%v clients, %v tokens: ITL off by %.1f %%, TTFT by %.1f %%", r["concurrency"], r["input_tokens"], 100*itl, 100*ttft)
		}
	}
}

// The open runs are said to have Poisson arrivals. All their statistics, at every
// load, number of seats and token budget, say that arrivals were evenly spaced: so
// repeated they come out within a few per cent, while Poisson arrivals wait in
// queues of which those runs show nothing. Medians over the runs, because near
// saturation one sample of token counts says little about another.
func TestOpenArrivalsAgreeWithAnotherSimulator(t *testing.T) {
	even, poisson := map[string][]float64{}, map[string][]float64{}
	for _, r := range readRuns(t) {
		if r["concurrency"] > 0 {
			continue
		}
		a := r.repeat(t, func(*rand.Rand) float64 { return 1 })
		b := r.repeat(t, (*rand.Rand).ExpFloat64)
		for _, s := range statistics {
			even[s] = append(even[s], math.Abs(a[s]/r[s]-1))
			poisson[s] = append(poisson[s], math.Abs(b[s]/r[s]-1))
		}
	}
	for _, s := range statistics {
		e, p := median(even[s]), median(poisson[s])
		t.Logf("%s: median error %.1f %% with even arrivals, %.1f %% with Poisson ones", s, 100*e, 100*p)
		if e > 0.03 {
			t.Errorf("%s: median error %.1f %%, want at most 3 %%", s, 100*e)
		}
		if e > p {
			t.Errorf("%s: Poisson arrivals explain the runs better than even ones", s)
		}
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
