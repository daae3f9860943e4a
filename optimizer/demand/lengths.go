package demand

import (
	"math"

	"github.com/llm-inferno/inferno/optimizer/chance"
	"github.com/llm-inferno/inferno/optimizer/fleet"
)

const (
	// promptChange is by what share the prompts of the last window must differ from those of the last few: less is not worth another plan.
	//
	// Tuned: share; measured by the scenario azure-hour, 99.97 % at 2573 ¢/h; at half: 99.99 % at 9.7 % more cost; at twice: 99.95 % at 1.5 % less
	promptChange = 0.25
	// lengthRequests is the number of requests over which lengths are averaged.
	//
	// Tuned: requests; measured by TestLengthsOfFewRequests; at half: no difference over the scenarios, whose servers get more than that in
	// four windows, and √2 the standard error where they get fewer; at twice: no difference over the scenarios, and where they get fewer, what
	// changes slowly is followed in twice the time
	lengthRequests = 200
)

// LengthWindows are the windows of an observation over which the lengths of requests are taken: those that finish first after load has risen
// are the short ones.
//
// Tuned: windows; measured by the scenarios ramp, short and flash-crowd; at half: no difference in attainment, 5 % less cost of ramp and 14 % of
// short; at twice: 4 % more cost of flash-crowd
const LengthWindows = 4

// Lengths of a server's requests as they are remembered, tokens.
type Lengths struct {
	Time         float64 `json:"time"` // s
	InputTokens  float64 `json:"inputTokens"`
	OutputTokens float64 `json:"outputTokens"`
	// InputTokensSD and OutputTokensSD are their standard deviations, missing where they were not measured.
	InputTokensSD  fleet.Maybe `json:"inputTokensSD,omitzero"`
	OutputTokensSD fleet.Maybe `json:"outputTokensSD,omitzero"`
	// Another is since when outputs differ from those remembered by more than chance, in seconds since the Unix epoch; 0 where they do not.
	Another float64 `json:"another,omitempty"`
}

// lengths averages the lengths of the last windows with those before, over lengthRequests requests: of a server that gets ten requests a minute
// some windows show a few, and the mean of a few requests is chance; more still so is how they spread. What differs by more than chance is taken at
// once; of outputs when it has differed for as long as a request takes, for of those that came together the short ones end first and the long ones last.
// completed are requests per second.
func lengths(last *Lengths, now Lengths, completed, window float64, s *fleet.Server) *Lengths {
	inSD, outSD := deviations(s.Seen)
	now.InputTokensSD, now.OutputTokensSD = fleet.Measured(inSD), fleet.Measured(outSD)
	completed *= told(s)
	seen := completed * LengthWindows * window
	passed := 0.0
	if last != nil {
		passed = now.Time - last.Time
	}
	if last == nil || !(seen > 0) || seen >= lengthRequests || !(passed >= 0) || passed*completed >= lengthRequests {
		return &now
	}
	share := -math.Expm1(-passed * completed / lengthRequests)
	next := Lengths{Time: now.Time, InputTokens: now.InputTokens, InputTokensSD: now.InputTokensSD, OutputTokens: now.OutputTokens, OutputTokensSD: now.OutputTokensSD}
	if !chance.MeanExceeded(now.InputTokens, last.InputTokens, last.InputTokensSD.Or(inSD), seen) {
		next.InputTokens, next.InputTokensSD = mixed(last.InputTokens, now.InputTokens, last.InputTokensSD, now.InputTokensSD, share)
	}
	if chance.MeanExceeded(now.OutputTokens, last.OutputTokens, last.OutputTokensSD.Or(outSD), seen) {
		if next.Another = last.Another; next.Another == 0 {
			next.Another = now.Time
		}
		if takes := interval(s) * max(last.OutputTokens, now.OutputTokens); now.Time-next.Another >= takes {
			next.Another = 0
			return &next
		}
	}
	next.OutputTokens, next.OutputTokensSD = mixed(last.OutputTokens, now.OutputTokens, last.OutputTokensSD, now.OutputTokensSD, share)
	return &next
}

// mixed are the mean and the standard deviation of two sets of which the second has a share: those of a mixture. A deviation that one of them lacks is the other's.
func mixed(a, b float64, aSD, bSD fleet.Maybe, share float64) (mean float64, sd fleet.Maybe) {
	mean = a + share*(b-a)
	x, y := aSD.Or(bSD.OrNaN()), bSD.Or(aSD.OrNaN())
	return mean, fleet.Measured(math.Sqrt((1-share)*x*x + share*y*y + share*(1-share)*(b-a)*(b-a)))
}

// told is the share of the requests that run of which those that ended tell, 0 to 1. By Little's law as many run as end in the time that one of them takes,
//
//	running = completions · output tokens · ITL,
//
// unless many came together, of which the short ones end first: then those that ended are few beside those that run. 1 where that is not known.
func told(s *fleet.Server) float64 {
	if s.Seen == nil || s.Load == nil {
		return 1
	}
	running, itl := s.Seen.Running.Or(0)*float64(s.Seen.Ready()), interval(s)
	if ended := s.Load.Completions * s.Load.OutputTokens * itl; itl > 0 && ended < running {
		return ended / running
	}
	return 1
}

// interval between the tokens of a server's requests in seconds, as measured or else as planned; 0 where it is not known.
func interval(s *fleet.Server) float64 {
	for _, a := range []*fleet.Allocation{s.Runs, s.Plan} {
		if a != nil && a.ITL.Or(0) > 0 {
			return a.ITL.Or(0)
		}
	}
	return 0
}

// prompt is the mean length of the prompts that arrive: that of the last few windows, or, where those that were admitted in the last one differ
// from it by much and by more than chance, theirs. So what is noise is averaged out, and requests of another kind are sized for at once: while
// they are told from the others only bit by bit, a queue grows that takes longer still to serve.
//
// Where they are longer by less than that, but by more than chance, and the mean has grown since before, prompts grow: grown is how long they will be when the next
// pod can be ready, with the slower of what they grew by from the middle of the few windows to that of the last, which lie (LengthWindows − 1)/2 windows apart,
// and what their mean grew by. It is 0 where they do not.
func prompt(now, before *Lengths, o *fleet.Observation, c Clock) (mean, grown float64) {
	mean = now.InputTokens
	if o == nil {
		return mean, 0
	}
	tokens, n := 0.0, 0.0
	for _, g := range o.Groups {
		if admitted, requests := g.AdmittedTokens.Or(0), g.Requests.Or(0); admitted > 0 && requests > 0 {
			tokens, n = tokens+requests*admitted, n+requests
		}
	}
	if n == 0 {
		return mean, 0
	}
	sd, _ := deviations(o)
	last := tokens / n
	switch {
	case !chance.MeanExceeded(last, mean, sd, n):
		return mean, 0
	case math.Abs(last-mean) > promptChange*mean:
		return last, 0
	case before == nil || !(now.Time > before.Time) || !(mean > before.InputTokens) || last < mean:
		return mean, 0
	}
	const apart = (LengthWindows - 1) / 2.0
	growth := min((last-mean)/(apart*c.Window), (mean-before.InputTokens)/(now.Time-before.Time))
	return mean, last + growth*(c.Window/2+c.Horizon)
}

// deviations of the lengths of a server's requests: means over its measured replicas, NaN where none measured any.
func deviations(o *fleet.Observation) (in, out float64) {
	var inSum, outSum, inCount, outCount float64
	if o != nil {
		for _, g := range o.Groups {
			n := float64(g.Replicas)
			if sd, known := g.InputTokensSD.Get(); known {
				inSum, inCount = inSum+n*sd, inCount+n
			}
			if sd, known := g.OutputTokensSD.Get(); known {
				outSum, outCount = outSum+n*sd, outCount+n
			}
		}
	}
	return inSum / inCount, outSum / outCount
}
