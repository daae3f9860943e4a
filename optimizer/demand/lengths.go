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
}

// lengths averages the lengths of the last windows with those before, over lengthRequests requests: of a server that gets ten requests a minute
// some windows show a few, and the mean of a few requests is chance. What differs by more than chance is taken at once. completed are requests per second.
func lengths(last *Lengths, now Lengths, completed, window float64, s *fleet.Server) *Lengths {
	o := s.Seen
	completed *= told(s)
	seen := completed * LengthWindows * window
	passed := 0.0
	if last != nil {
		passed = now.Time - last.Time
	}
	if last == nil || !(seen > 0) || seen >= lengthRequests || !(passed >= 0) || passed*completed >= lengthRequests {
		return &now
	}
	inSD, outSD := deviations(o)
	share := -math.Expm1(-passed * completed / lengthRequests)
	next := func(last, now, sd float64) float64 {
		if chance.MeanExceeded(now, last, sd, seen) {
			return now
		}
		return last + share*(now-last)
	}
	now.InputTokens, now.OutputTokens = next(last.InputTokens, now.InputTokens, inSD), next(last.OutputTokens, now.OutputTokens, outSD)
	return &now
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
	running := s.Seen.Running.Or(0) * float64(s.Seen.Ready())
	var itl float64
	for _, a := range []*fleet.Allocation{s.Runs, s.Plan} {
		if a != nil && !(itl > 0) {
			itl = a.ITL.Or(0)
		}
	}
	if ended := s.Load.Completions * s.Load.OutputTokens * itl; itl > 0 && ended < running {
		return ended / running
	}
	return 1
}

// prompt is the mean length of the prompts that arrive: that of the last few windows, or, where those that were admitted in the last one differ
// from it by much and by more than chance, theirs. So what is noise is averaged out, and requests of another kind are sized for at once: while
// they are told from the others only bit by bit, a queue grows that takes longer still to serve.
func prompt(mean float64, o *fleet.Observation) float64 {
	if o == nil {
		return mean
	}
	tokens, n := 0.0, 0.0
	for _, g := range o.Groups {
		if admitted, requests := g.AdmittedTokens.Or(0), g.Requests.Or(0); admitted > 0 && requests > 0 {
			tokens, n = tokens+requests*admitted, n+requests
		}
	}
	if n == 0 {
		return mean
	}
	sd, _ := deviations(o)
	last := tokens / n
	if math.Abs(last-mean) > promptChange*mean && chance.MeanExceeded(last, mean, sd, n) {
		return last
	}
	return mean
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
