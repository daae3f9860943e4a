package policy

import (
	"math"
	"slices"
	"sync"

	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/cluster"
	"github.com/llm-inferno/inferno/optimizer/simulation/scenario"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

// Profile knows what replicas truly sustain, because it tries: what a careful benchmark of every pair would tell. Policies that need a
// profile, and the oracle, are given it for free. It may be used concurrently.
type Profile struct {
	scenario *scenario.Scenario
	config   *cluster.Config
	known    map[trial]float64

	latencies map[operating][2]float64
	mutex     sync.Mutex
}

// operating point: a trial at so many steps of rate.
type operating struct {
	trial
	steps int
}

// trial is what a capacity was found for; tokens are powers of 1.1, so that similar loads share a trial.
type trial struct {
	server, accelerator string
	limits              simulation.Limits
	in, out             int
}

// NewProfile knows nothing yet.
func NewProfile(s *scenario.Scenario, c *cluster.Config) *Profile {
	return &Profile{scenario: s, config: c, known: map[trial]float64{}, latencies: map[operating][2]float64{}}
}

const (
	tokenStep = 1.1
	// profileShare of the requests of a trial must meet both targets.
	profileShare = 0.99
	// profileRequests of a trial, of which the first tenth is not counted.
	profileRequests = 4000
	profileSteps    = 12
	// hopeless is the number of batches' worth of requests in a replica beyond which it is overloaded, and overloaded its latency, s.
	hopeless, overloaded = 8, 1e3
)

// grid is the step of a number of tokens.
func grid(tokens float64) int { return int(math.Round(math.Log(max(tokens, 1)) / math.Log(tokenStep))) }

// Capacity is the highest rate of Poisson arrivals, requests/s, at which 99 % of the requests to one replica meet both targets of the server;
// 0 where there is none. Tokens are exponential, as in the traces.
func (p *Profile) Capacity(server, accelerator string, limits simulation.Limits, in, out float64) float64 {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	key := trial{server, accelerator, limits, grid(in), grid(out)}
	if rate, known := p.known[key]; known {
		return rate
	}
	in, out = math.Pow(tokenStep, float64(key.in)), math.Pow(tokenStep, float64(key.out))
	rate := p.search(key, in, out)
	p.known[key] = rate
	return rate
}

// search doubles until targets are missed, then bisects.
func (p *Profile) search(key trial, in, out float64) float64 {
	low, high := 0.0, 0.05
	for p.share(key, high, in, out) >= profileShare && high < 1e4 {
		low, high = high, 2*high
	}
	if low == 0 {
		return 0
	}
	for range profileSteps {
		if middle := math.Sqrt(low * high); p.share(key, middle, in, out) >= profileShare {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// share of requests that meet both targets at a rate.
func (p *Profile) share(key trial, rate, in, out float64) float64 {
	targets := p.server(key.server).Targets
	met, counted := 0, 0
	refused, ok := p.try(key, rate, in, out, func(c *simulation.Completion) {
		counted++
		if c.Meets(targets.TTFT, targets.ITL) {
			met++
		}
	})
	if !ok {
		return 0
	}
	return float64(met) / float64(max(counted+refused, 1))
}

func (p *Profile) server(name string) *cluster.Server {
	i := slices.IndexFunc(p.config.Servers, func(s cluster.Server) bool { return s.Name == name })
	return &p.config.Servers[i]
}

// try a rate on one replica: visit sees every completion but those of the first tenth. It returns how many requests fit no cache, and false
// where the replica is overloaded beyond return.
func (p *Profile) try(key trial, rate, in, out float64, visit func(*simulation.Completion)) (refused int, ok bool) {
	model := p.server(key.server).Model
	i := slices.IndexFunc(p.config.Truths, func(t cluster.Truth) bool { return t.Model == model && t.Accelerator == key.accelerator })
	truth := &p.config.Truths[i]
	engine, err := simulation.New(simulation.Config{
		Limits: key.limits, Cache: truth.Cache, StepTime: truth.StepTime, RequestOverhead: truth.RequestOverhead, NoiseCV: truth.NoiseCV, Seed: 1,
	})
	if err != nil {
		return 0, false
	}
	source, err := trace.Constant(rate, in, out, 1).Replay(trace.Options{Seed: 1})
	if err != nil {
		return 0, false
	}
	var done []simulation.Completion
	see := func() {
		for i := range done {
			if done[i].ID >= profileRequests/10 {
				visit(&done[i])
			}
		}
		done = done[:0]
	}
	for id := range uint64(profileRequests) {
		a, _ := source.Next()
		done = engine.Advance(a.At, done)
		see()
		if engine.Pending() > hopeless*key.limits.MaxNumSeqs {
			return refused, false
		}
		if err := engine.Submit(a.At, simulation.Request{ID: id, ArrivedAt: a.At, InputTokens: a.InputTokens, OutputTokens: a.OutputTokens}); err != nil {
			refused++
		}
	}
	done = engine.Advance(math.Inf(1), done)
	see()
	return refused, true
}

// percentiles of latencies at so many steps of rate.
func (p *Profile) percentiles(key trial, steps int, step, in, out float64) [2]float64 {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	key.in, key.out = grid(in), grid(out)
	at := operating{key, steps}
	if known, ok := p.latencies[at]; ok {
		return known
	}
	var ttft, itl []float64
	_, ok := p.try(key, step*max(float64(steps), 0.1), math.Pow(tokenStep, float64(key.in)), math.Pow(tokenStep, float64(key.out)), func(c *simulation.Completion) {
		ttft = append(ttft, c.TTFT())
		if mean, many := c.ITL(); many {
			itl = append(itl, mean)
		}
	})
	result := [2]float64{overloaded, overloaded}
	if ok && len(ttft) > 0 && len(itl) > 0 {
		slices.Sort(ttft)
		slices.Sort(itl)
		result = [2]float64{ttft[len(ttft)*9/10], itl[len(itl)*9/10]}
	}
	p.latencies[at] = result
	return result
}

// budgets that are tried for the best one.
var budgets = []int{192, 256, 384, 512, 1024, 2048}

// Best limits of a replica and the rate it sustains with them, over token budgets.
func (p *Profile) Best(server, accelerator string, limits simulation.Limits, in, out float64) (simulation.Limits, float64) {
	best, rate := limits, p.Capacity(server, accelerator, limits, in, out)
	for _, b := range budgets {
		l := limits
		l.MaxNumBatchedTokens = b
		l.MaxNumSeqs = min(l.MaxNumSeqs, b)
		if r := p.Capacity(server, accelerator, l, in, out); r > rate {
			best, rate = l, r
		}
	}
	return best, rate
}

// Latency is the true 90th percentile of TTFT and of the mean token time of requests at a rate of Poisson arrivals to one replica, s.
func (p *Profile) Latency(server, accelerator string, limits simulation.Limits, rate, in, out float64) (ttft, itl float64) {
	capacity := p.Capacity(server, accelerator, limits, in, out)
	if capacity == 0 {
		return math.Inf(1), math.Inf(1)
	}
	// A grid in the share of the capacity, so that few trials answer for a day.
	const step = 0.05
	x := rate / capacity / step
	below := math.Floor(x)
	a := p.percentiles(trial{server, accelerator, limits, 0, 0}, int(below), capacity*step, in, out)
	b := p.percentiles(trial{server, accelerator, limits, 0, 0}, int(below)+1, capacity*step, in, out)
	t := x - below
	return a[0] + t*(b[0]-a[0]), a[1] + t*(b[1]-a[1])
}
