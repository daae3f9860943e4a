package policy

import (
	"math"
	"slices"
	"sync"

	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/cluster"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

// Profile knows what replicas truly sustain, because it tries: what a careful benchmark of every pair would tell. Policies that need a
// profile, and the oracle, are given it for free. It may be used concurrently.
type Profile struct {
	scenario *scenario.Scenario
	config   *cluster.Config

	mutex     sync.Mutex // of the maps; what is in them is found once, by whoever asks first
	known     map[trial]func() float64
	latencies map[operating]func() [2]float64
}

// operating point: a trial at so many steps of rate.
type operating struct {
	trial
	steps int
}

// trial is what a capacity was found for; tokens are powers of 1.2, so that similar loads share a trial.
type trial struct {
	server, on string
	limits     simulation.Limits
	in, out    int
}

// NewProfile knows nothing yet.
func NewProfile(s *scenario.Scenario, c *cluster.Config) *Profile {
	return &Profile{scenario: s, config: c, known: map[trial]func() float64{}, latencies: map[operating]func() [2]float64{}}
}

const (
	tokenStep = 1.2
	// profileShare of the requests of a trial must meet both targets.
	profileShare = 0.99
	// profileRequests of a trial, of which the first tenth is not counted.
	profileRequests = 4000
	profileSteps    = 6
	// profileLowest rate, requests/s: one that is met only below is not met.
	profileLowest = 1e-3
	// hopeless is the number of batches' worth of requests in a replica beyond which it is overloaded, and overloaded its latency, s.
	hopeless, overloaded = 8, 1e3
)

// grid is the step of a number of tokens.
func grid(tokens float64) int { return int(math.Round(math.Log(max(tokens, 1)) / math.Log(tokenStep))) }

// Capacity is the highest rate of Poisson arrivals, requests/s, at which 99 % of the requests to one replica meet both targets of the server;
// 0 where there is none. Tokens differ as those of the server's load do, which are exponential where it does not say otherwise.
func (p *Profile) Capacity(server, on string, limits simulation.Limits, in, out float64) float64 {
	key := trial{server, on, limits, grid(in), grid(out)}
	return once(&p.mutex, p.known, key, func() float64 {
		return p.search(key, math.Pow(tokenStep, float64(key.in)), math.Pow(tokenStep, float64(key.out)))
	})
}

// once finds what a key stands for, or waits for whoever is finding it.
func once[K comparable, V any](mutex *sync.Mutex, known map[K]func() V, key K, find func() V) V {
	mutex.Lock()
	value := known[key]
	if value == nil {
		value = sync.OnceValue(find)
		known[key] = value
	}
	mutex.Unlock()
	return value()
}

// search doubles until targets are missed, or halves until they are met, then bisects.
func (p *Profile) search(key trial, in, out float64) float64 {
	low, high := 0.0, 0.05
	for p.sustains(key, high, in, out) && high < 1e4 {
		low, high = high, 2*high
	}
	for low == 0 {
		if high < profileLowest {
			return 0
		}
		if half := high / 2; p.sustains(key, half, in, out) {
			low = half
		} else {
			high = half
		}
	}
	for range profileSteps {
		if middle := math.Sqrt(low * high); p.sustains(key, middle, in, out) {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// sustains tells whether enough of the requests meet both targets at a rate.
func (p *Profile) sustains(key trial, rate, in, out float64) bool {
	targets := p.server(key.server).Targets
	met, missed := 0, 0
	refused, ok := p.try(key, rate, in, out, func(c *simulation.Completion) bool {
		if c.Meets(targets.TTFT, targets.ITL) {
			met++
		} else {
			missed++
		}
		return float64(missed) <= (1-profileShare)*profileRequests // else the rest cannot make it good
	})
	return ok && float64(met) >= profileShare*float64(max(met+missed+refused, 1))
}

func (p *Profile) server(name string) *cluster.Server {
	i := slices.IndexFunc(p.config.Servers, func(s cluster.Server) bool { return s.Name == name })
	return &p.config.Servers[i]
}

// try a rate on one replica: visit sees every completion but those of the first tenth, until it has seen enough. It returns how many requests
// fit no cache, and false where visit had enough or the replica is overloaded beyond return.
func (p *Profile) try(key trial, rate, in, out float64, visit func(*simulation.Completion) (more bool)) (refused int, ok bool) {
	model := p.server(key.server).Model
	i := slices.IndexFunc(p.config.Truths, func(t cluster.Truth) bool { return t.Model == model && t.On() == key.on })
	truth := &p.config.Truths[i]
	engine, err := simulation.New(simulation.Config{
		Limits: key.limits, Cache: truth.Cache, StepTime: truth.StepTime, RequestOverhead: truth.RequestOverhead, NoiseCV: truth.NoiseCV, Seed: 1,
	})
	if err != nil {
		return 0, false
	}
	options := trace.Options{Seed: 1}
	if load := p.server(key.server).Traffic; len(load) > 0 {
		options.TokenCV, options.OutputCV = load[0].Options.TokenCV, load[0].Options.OutputCV
	}
	source, err := trace.Constant(rate, in, out, 1).Replay(options)
	if err != nil {
		return 0, false
	}
	var done []simulation.Completion
	see := func() bool {
		for i := range done {
			if done[i].ID >= profileRequests/10 && !visit(&done[i]) {
				return false
			}
		}
		done = done[:0]
		return true
	}
	for id := range uint64(profileRequests) {
		a, _ := source.Next()
		done = engine.Advance(a.At, done)
		if !see() || engine.Pending() > hopeless*key.limits.MaxNumSeqs {
			return refused, false
		}
		if err := engine.Submit(a.At, simulation.Request{ID: id, ArrivedAt: a.At, InputTokens: a.InputTokens, OutputTokens: a.OutputTokens}); err != nil {
			refused++
		}
	}
	done = engine.Advance(math.Inf(1), done)
	return refused, see()
}

// percentiles of latencies at so many steps of rate.
func (p *Profile) percentiles(key trial, steps int, step, in, out float64) [2]float64 {
	key.in, key.out = grid(in), grid(out)
	return once(&p.mutex, p.latencies, operating{key, steps}, func() [2]float64 {
		var ttft, itl []float64
		_, ok := p.try(key, step*max(float64(steps), 0.1), math.Pow(tokenStep, float64(key.in)), math.Pow(tokenStep, float64(key.out)), func(c *simulation.Completion) bool {
			ttft = append(ttft, c.TTFT())
			if mean, many := c.ITL(); many {
				itl = append(itl, mean)
			}
			return true
		})
		result := [2]float64{overloaded, overloaded}
		if ok && len(ttft) > 0 && len(itl) > 0 {
			slices.Sort(ttft)
			slices.Sort(itl)
			result = [2]float64{ttft[len(ttft)*9/10], itl[len(itl)*9/10]}
		}
		return result
	})
}

// budgets that are tried for the best one.
var budgets = []int{192, 256, 384, 512, 1024, 2048}

// Best limits of a replica and the rate it sustains with them, over token budgets.
func (p *Profile) Best(server, on string, limits simulation.Limits, in, out float64) (simulation.Limits, float64) {
	best, rate := limits, p.Capacity(server, on, limits, in, out)
	for _, b := range budgets {
		l := limits
		l.MaxNumBatchedTokens = b
		l.MaxNumSeqs = min(l.MaxNumSeqs, b)
		if r := p.Capacity(server, on, l, in, out); r > rate {
			best, rate = l, r
		}
	}
	return best, rate
}

// Latency is the true 90th percentile of TTFT and of the mean token time of requests at a rate of Poisson arrivals to one replica, s.
func (p *Profile) Latency(server, on string, limits simulation.Limits, rate, in, out float64) (ttft, itl float64) {
	capacity := p.Capacity(server, on, limits, in, out)
	if capacity == 0 {
		return math.Inf(1), math.Inf(1)
	}
	// A grid in the share of the capacity, so that few trials answer for a day.
	const step = 0.05
	x := rate / capacity / step
	below := math.Floor(x)
	a := p.percentiles(trial{server, on, limits, 0, 0}, int(below), capacity*step, in, out)
	b := p.percentiles(trial{server, on, limits, 0, 0}, int(below)+1, capacity*step, in, out)
	t := x - below
	return a[0] + t*(b[0]-a[0]), a[1] + t*(b[1]-a[1])
}
