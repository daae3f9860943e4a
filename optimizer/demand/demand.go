// Package demand says what each server must be sized for: the rate of requests to come, their lengths, how they bunch, and what waits already.
//
// It is the first stage of a decision, a function of a server and its memory. What a window shows is part chance: rates are averaged while
// they differ by no more than that, lengths over many requests, burstiness over hours.
package demand

import (
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/forecast"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Demand of one server.
type Demand struct {
	// Rate in requests per second to size for.
	Rate float64
	// Later is the rate in requests per second that is to be expected when a node asked for now has come and its pod is ready; Rate where that is more, or it was not
	// asked for.
	Later float64
	// Drain is the rate at which requests that wait are to be served beside it, in requests per second.
	Drain float64
	// Backlog is the number of requests that wait beyond one at each replica.
	Backlog float64
	// InputTokens and OutputTokens per request.
	InputTokens, OutputTokens float64
	// GrownInputTokens are those of a prompt when the next pod can be ready, where prompts grow; 0 where they do not. Replicas that compute prompts for others are sized for
	// them: all of what prompts grow by is theirs. Those that do both are not, for they have room in what they decode: it cost a fleet's day 7 % and kept no more.
	GrownInputTokens float64
	// InputTokensSD and OutputTokensSD are their standard deviations, NaN where they were not measured.
	InputTokensSD, OutputTokensSD float64
	// PrefixHitRate is the share of prompt tokens that prefix caches are counted on to hold, 0 to 1.
	PrefixHitRate float64
	// Bursts is the square of the CV of the times between arrivals at the server; 0 where that is not known.
	Bursts float64
	// Turns says that the server's replicas take turns, or better.
	Turns bool
	// Replicas that the plan in force has.
	Replicas int
	// Unknown marks a server whose load nobody knows: it starts small.
	Unknown bool
	// Steady says that the load does not rise by more than chance.
	Steady bool
}

// None says that nothing is asked of the server.
func (d *Demand) None() bool { return d.Rate == 0 || d.OutputTokens == 0 }

// Bursty says that arrivals bunch by more than chance.
func (d *Demand) Bursty() bool { return d.Bursts >= leastBursts }

// Memory is what is remembered of one server's load.
type Memory struct {
	// Forecast is what the forecaster remembers.
	Forecast forecast.Memory `json:"forecast,omitzero"`
	// Recent arrival rates as they were measured, oldest first: what a rise is seen in.
	Recent forecast.Samples `json:"recent,omitempty"`
	// Lengths of requests, averaged over many.
	Lengths *Lengths `json:"lengths,omitempty"`
	// PrefixHitRate that is counted on, 0 to 1.
	PrefixHitRate float64 `json:"prefixHitRate,omitempty"`
	// Bursts is the running median of the square of the CV of the times between arrivals; 0 where it was never observed.
	Bursts float64 `json:"bursts,omitempty"`
	// GivenUp is the rate of arrivals that were not served in the last window, requests per second.
	GivenUp float64 `json:"givenUp,omitempty"`
}

// Clock of a snapshot, in seconds.
type Clock struct {
	// Now since the Unix epoch; 0 where there is no clock.
	Now float64
	// Window that rates were measured over, and Horizon that is looked ahead.
	Window, Horizon float64
	// Ahead is how much further is looked for what nodes are needed; 0 is no further.
	Ahead float64
}

// minBacklogTime is the least time in which requests that wait are to be served, in seconds.
//
// Tuned: s; guard against a horizon of 0 s: half and twice of it make no difference with one of minutes
const minBacklogTime = 60

// beginning is by what share the last measurement alone is followed: it may begin a rise, or be chance.
//
// Tuned: share; measured by the scenarios day-30s and fleet-day; at half: 5 % more cost of day-30s over three seeds, for its trim makes up
// for what is missed; at twice: 2 % more cost of day-30s and 98.9 % of fleet-day, after 99.2, at 5 % more cost
const beginning = 0.1

// Of a server whose load is known, and what to remember. Predictors are asked for by how far ahead they look, in seconds.
func Of(s *fleet.Server, m Memory, predict func(horizon float64) forecast.Predictor, c Clock) (Demand, Memory) {
	predictor := predict(c.Horizon)
	load := s.Load
	before := m.Lengths
	m.Lengths = lengths(m.Lengths, Lengths{Time: c.Now, InputTokens: load.InputTokens, OutputTokens: load.OutputTokens}, load.Completions, c.Window, s)
	m.Bursts, m.PrefixHitRate = bursts(m.Bursts, s.Seen), hits(m.PrefixHitRate, s.Seen)
	d := Demand{
		OutputTokens: m.Lengths.OutputTokens, PrefixHitRate: m.PrefixHitRate, Bursts: m.Bursts,
		Turns: jsonspec.InTurns(s.Routing), Backlog: s.Seen.Backlog(),
	}
	d.InputTokens, d.GrownInputTokens = prompt(m.Lengths, before, s.Seen, c)
	d.InputTokensSD, d.OutputTokensSD = m.Lengths.InputTokensSD.OrNaN(), m.Lengths.OutputTokensSD.OrNaN()
	lost := 0.0
	if s.Seen != nil {
		lost = s.Seen.GivenUp.Or(0)
	}
	arrivals := asked(load.Arrivals, min(lost, m.GivenUp), m.Recent)
	m.GivenUp = lost
	rate := arrivals
	m.Recent = forecast.Recent(m.Recent, forecast.Sample{Time: c.Now, Rate: rate})
	if c.Now > 0 {
		rate = forecast.Level(m.Recent, c.Window, m.Bursts)
	}
	m.Forecast = predictor.Observe(m.Forecast, forecast.Sample{Time: c.Now, Rate: rate})
	d.Rate = predictor.Forecast(m.Forecast, c.Now).Upper
	rise := forecast.Rise(m.Recent, c.Window, c.Horizon, m.Bursts)
	if d.Steady = !(rise > rate || arrivals > rate); !d.Steady {
		d.Rate = max(d.Rate, min(arrivals, (1+beginning)*rate))
		if rise > d.Rate {
			d.Rate = rise
		}
	}
	d.Later = d.later(m, predict, predictor, c)
	d.Drain = d.Backlog / max(c.Horizon, minBacklogTime)
	return d, m
}

// asked is the rate of requests that came for the first time, where so many were given up in both of the last two windows. Clients send again what they give up, so
// as many of those that come are taken to come again. Were they all new, that would be too few for as long as capacity lacks: it is at least what came before, and
// a share more in each cycle:
//
//	max(arrivals − again, min(arrivals, (1 + beginning) · before))
func asked(arrivals, again float64, recent forecast.Samples) float64 {
	if len(recent) == 0 || !(again > 0) {
		return arrivals
	}
	return max(arrivals-again, min(arrivals, (1+beginning)*recent[len(recent)-1].Rate))
}

// later is the rate to be expected as far ahead as nodes are asked for. A forecaster that looks at windows is asked for one window more at least: within one it
// has nothing to add.
func (d *Demand) later(m Memory, predict func(horizon float64) forecast.Predictor, predictor forecast.Predictor, c Clock) float64 {
	if !(c.Ahead > 0) {
		return d.Rate
	}
	_, window := predictor.Span()
	horizon := max(c.Horizon, window) + max(c.Ahead, window)
	rate := d.Rate
	for _, expected := range []float64{
		predict(horizon).Forecast(m.Forecast, c.Now).Upper, forecast.Rise(m.Recent, c.Window, c.Horizon+c.Ahead, m.Bursts),
	} {
		if expected > rate {
			rate = expected
		}
	}
	return rate
}

// Recalled is the demand of a server when it was last measured, and whether it had any: who has no capacity runs nothing, who runs nothing is not
// measured, and so it would wait for ever. The rate is the median of the recent ones: some were taken while its replicas went, others when they
// came back to all that had waited.
func Recalled(s *fleet.Server, m Memory) (Demand, bool) {
	if m.Lengths == nil || len(m.Recent) == 0 {
		return Demand{}, false
	}
	rates := make([]float64, len(m.Recent))
	for i := range m.Recent {
		rates[i] = m.Recent[i].Rate
	}
	slices.Sort(rates)
	d := Demand{
		Rate: rates[len(rates)/2], InputTokens: m.Lengths.InputTokens, OutputTokens: m.Lengths.OutputTokens,
		InputTokensSD: m.Lengths.InputTokensSD.OrNaN(), OutputTokensSD: m.Lengths.OutputTokensSD.OrNaN(), Bursts: m.Bursts, Turns: jsonspec.InTurns(s.Routing),
	}
	return d, d.Rate > 0
}

// Requests as one of so many replicas gets them. Replicas that take turns share what is irregular; a load balancer that goes by the fewest
// requests does no worse. One that spreads by chance leaves each what is irregular of chance itself:
//
//	in turns: CV²/n    by chance: 1 + (CV² − 1)/n
//
// Without bursts the arrivals at the server are taken for Poisson.
func (d *Demand) Requests(replicas int) queueing.Requests {
	r := queueing.Requests{
		InputTokens: d.InputTokens, OutputTokens: d.OutputTokens, InputTokensSD: d.InputTokensSD, OutputTokensSD: d.OutputTokensSD, PrefixHitRate: d.PrefixHitRate, ArrivalCV: math.NaN(),
	}
	n, square := float64(max(replicas, 1)), 1.0
	if d.Bursty() {
		square = d.Bursts
	}
	switch {
	case d.Turns:
		r.ArrivalCV = math.Sqrt(square / n)
	case d.Bursty():
		r.ArrivalCV = math.Sqrt(1 + (square-1)/n)
	}
	return r
}
