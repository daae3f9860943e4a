package observe

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// load is what the measurements of a server's pods say together. A NaN was not measured.
type load struct {
	// arrivals and completions in requests per second, over all pods.
	arrivals, completions float64
	// unserved are those of the arrivals that were given up or refused, in requests per second.
	unserved float64
	// arrivalCV is the coefficient of variation of the times between arrivals.
	arrivalCV float64
	// tokens per request.
	in, out float64
	// means in seconds.
	ttft, itl float64
	// transfer of a cache between roles in seconds, and its bytes per request.
	transfer, transferred float64
	// per pod.
	running, waiting, kvUsage float64
	// waited says that some of the arrivals may have waited for the pods, for minutes.
	waited bool
}

// nothingMeasured is the load of a server without a pod.
func nothingMeasured() load {
	nan := math.NaN()
	return load{arrivalCV: nan, in: nan, out: nan, ttft: nan, itl: nan, transfer: nan, transferred: nan, running: nan, waiting: nan, kvUsage: nan}
}

// fault says why the load of a server is not known.
type fault struct{ reason, detail string }

// readPod is a pod with its measurements, nil where there are none.
type readPod struct {
	metrics *PodMetrics
	// readyFor is how long the pod has been ready.
	readyFor time.Duration
	// role of it, where prompts and decodes run apart; empty where it does both.
	role string
}

// where requests come to, and where they end: all pods but those of the other role.
func comeTo(p readPod) bool { return p.role != jsonspec.RoleDecode }
func endAt(p readPod) bool  { return p.role != jsonspec.RolePrefill }
func whatever(readPod) bool { return true }

// measurements of those pods that are so.
func measurements(pods []readPod, so func(readPod) bool) []*PodMetrics {
	var list []*PodMetrics
	for _, p := range pods {
		if so(p) {
			list = append(list, p.metrics)
		}
	}
	return list
}

// measure adds up the pods of one server: those that are ready, and those that departed within the window, whose counters still tell of what
// came in before. Pods whose samples are older than staleAfter count as not measured. Pods that became ready within the window may not have
// been scraped and are left out; other pods without measurements are taken to carry as much as the mean of the measured ones, since a load
// balancer does not know who is being measured.
//
// Requests that arrived in a window were completed in it, or are there at its end though they were not at its beginning, or were given up or refused:
// offered load is the rate of completions plus the growth of what runs and waits, and what was not served. That holds under overload too, when completions alone say what capacity is; and
// when a pod dies and a gateway sends what it had in hand to others: those leave one batch and enter another, where counting first tokens would
// count them twice. A server that was not measured for so long, unseen, has pods again that all began since, and maybe found what had waited for minutes: that is
// no load of a window, and its load is not known until they were there for one. Of a server that was never measured what they found is all that is known.
//
// Where prompts and decodes run apart, a request comes to a pod of the one role and ends at one of the other: it counts once, where it ends, with its lengths;
// what waits and runs counts at both, and its time to first token is what it took at the one and then at the other.
func measure(pods, departed []readPod, window, staleAfter, unseen time.Duration, routing string) (load, *fault) {
	var fresh []readPod
	stale, missing := 0, 0 // of those that requests end at
	for _, p := range pods {
		switch {
		case p.metrics == nil || math.IsNaN(p.metrics.values[SampleAge]):
			if p.readyFor > window && endAt(p) {
				missing++
			}
		case p.metrics.values[SampleAge] > staleAfter.Seconds():
			if endAt(p) {
				stale++
			}
		default:
			fresh = append(fresh, p)
		}
	}
	last := measurements(fresh, endAt)
	if len(last) == 0 || len(measurements(fresh, comeTo)) == 0 {
		switch {
		case stale > 0:
			return load{}, &fault{v1alpha1.ReasonStaleMetrics, fmt.Sprintf("the newest samples of all %d pods are older than %s", stale, staleAfter)}
		case len(fresh) > 0:
			return load{}, &fault{v1alpha1.ReasonNoMetrics, fmt.Sprintf("of the %d ready pods with samples all are of one role, and none of the other: nothing is served", len(fresh))}
		case len(pods) > 0:
			return load{}, &fault{v1alpha1.ReasonNoMetrics, fmt.Sprintf("Prometheus has no samples of any of the %d ready pods", len(pods))}
		}
		return load{}, &fault{v1alpha1.ReasonNoMetrics, "there is no ready pod to measure"}
	}
	counted := slices.Concat(fresh, departed)
	all, ends := measurements(counted, whatever), measurements(counted, endAt)
	l := load{
		completions: total(ends, Completions), ttft: total(all, TTFTSum) / positive(total(ends, TTFTCount)), itl: ratio(ends, ITLSum, ITLCount),
		in: ratio(ends, PromptTokens, PromptRequests), out: ratio(ends, GenerationTokens, GenerationRequests),
		transfer: ratio(all, TransferSum, Transfers), transferred: total(all, TransferBytes) / positive(total(ends, Completions)),
		running: total(last, Running) / float64(len(fresh)), waiting: mean(measurements(fresh, whatever), Waiting), kvUsage: mean(last, KVUsage),
	}
	var running, waiting, unanswered float64 // requests per second
	add := func(p *PodMetrics, gone bool) {
		r, w := p.growth(RunningNow, RunningThen, gone)/window.Seconds(), p.growth(WaitingNow, WaitingThen, gone)/window.Seconds()
		running, waiting, unanswered = running+r, waiting+w, unanswered+p.unserved(r+w)
	}
	for _, p := range fresh {
		add(p.metrics, false)
	}
	for _, p := range departed {
		add(p.metrics, true)
	}
	l.unserved = unanswered
	l.arrivals = l.completions + running + waiting + unanswered
	if math.IsNaN(l.arrivals) { // an engine may count nothing before its first request is complete
		l.arrivals = total(measurements(counted, comeTo), Admissions) + waiting
	}
	if math.IsNaN(l.arrivals) {
		return load{}, &fault{v1alpha1.ReasonNoMetrics, fmt.Sprintf("Prometheus has samples of %d pods but no rate of requests yet", len(fresh))}
	}
	every := float64(len(last)+stale+missing) / float64(len(last))
	l.arrivalCV = arrivalCV(measurements(fresh, comeTo), measurements(departed, comeTo), every, jsonspec.InTurns(routing))
	l.arrivals = max(l.arrivals, 0) * every
	l.completions, l.unserved = known(l.completions)*every, l.unserved*every
	if l.waited = waited(pods, all, unseen); l.waited {
		return l, &fault{v1alpha1.ReasonNoMetrics, fmt.Sprintf("all %d pods with samples began within the window, after a time without any: what had waited for them is not told from what came", len(fresh))}
	}
	return l, nil
}

// waited says that what the pods of a server have may have waited for them: it was unseen until after they all became ready, and of none of those counted is it known
// how many requests it had when the window began, though it is now.
func waited(pods []readPod, counted []*PodMetrics, unseen time.Duration) bool {
	for _, p := range pods {
		if p.readyFor >= unseen {
			return false
		}
	}
	now := false
	for _, p := range counted {
		if !math.IsNaN(p.value(RunningThen)) || !math.IsNaN(p.value(WaitingThen)) {
			return false
		}
		now = now || !math.IsNaN(p.value(RunningNow)) || !math.IsNaN(p.value(WaitingNow))
	}
	return now
}

// growth of a number of requests over the window. A pod that is gone has none now. What is not known of one that is there has not gone: questions are asked one
// after the other, and what one of them finds the next may not, once Prometheus has marked the end of a series.
func (m *PodMetrics) growth(now, then Quantity, gone bool) float64 {
	n := m.value(now)
	if math.IsNaN(n) && !gone {
		return 0
	}
	return known(n) - known(m.value(then))
}

// unserved are the requests of the window that came and are neither among the completions nor there any more, in requests per second, where those that are
// there grew by so much: given up by their clients, or refused. Where an engine counts what comes, they are what it counts more than came by the balance of
// what left and is there; or else those that HTTP answered and the engine did not complete, or the engine's own count of them, whichever is more.
func (m *PodMetrics) unserved(growth float64) float64 {
	completions := known(m.value(Completions))
	if received := m.value(Received); !math.IsNaN(received) {
		return max(received-completions-growth, 0)
	}
	return max(known(m.value(Answered))-completions, known(m.value(Refused)), 0)
}

// arrivalCV is the coefficient of variation of the times between the arrivals at a server: CV² is the index of dispersion of their numbers A_i in half
// windows, of all pods together, for how these share them is none of the arrivals' doing,
//
//	D = mean((A_i − A_(i−1))²) / (2 · mean(A_i)).
//
// Differences of two in a row keep out load that rises or falls slowly. Each is over the pods that were seen at both; before its first sample a pod had
// none, and one that is gone gets no more. Where some are not measured, those that are see a part of the arrivals: by turns one of CV²/k, by chance
// one of 1 + (CV² − 1)/k.
func arrivalCV(pods, departed []*PodMetrics, unseen float64, turns bool) float64 {
	first, last := math.MaxInt, math.MinInt
	all := make([]arrivals, 0, len(pods)+len(departed))
	add := func(p *PodMetrics, gone bool) {
		if steps := slices.Sorted(maps.Keys(p.arrived)); len(steps) > 0 {
			a := arrivals{p.arrived, steps[0], steps[len(steps)-1], gone}
			all, first, last = append(all, a), min(first, a.first), max(last, a.last)
		}
	}
	for _, p := range pods {
		add(p, false)
	}
	for _, p := range departed {
		add(p, true)
	}
	squares, sum := 0.0, 0.0
	for i := first + 2; i <= last && len(all) > 0; i++ {
		var before, after float64
		for k := range all {
			a, b, c := all[k].at(i-2, first), all[k].at(i-1, first), all[k].at(i, first)
			if b >= a && c >= b { // not where one is missing, or fewer than before: then it began anew
				before, after = before+b-a, after+c-b
			}
		}
		squares, sum = squares+(after-before)*(after-before), sum+(after+before)/2
	}
	if !(sum > 0) {
		return math.NaN()
	}
	square := squares / (2 * sum)
	if turns {
		return math.Sqrt(square * unseen)
	}
	return math.Sqrt(max(1+(square-1)*unseen, 0))
}

// arrivals at a pod, as they were counted at the ends of steps from the first to the last; gone says that it is no more.
type arrivals struct {
	counted     map[int]float64
	first, last int
	gone        bool
}

// at a step, where the first that any pod was seen at is given; NaN where it is not known.
func (a *arrivals) at(step, seen int) float64 {
	switch n, known := a.counted[step]; {
	case known:
		return n
	case step < a.first && a.first > seen:
		return 0
	case step > a.last && a.gone:
		return a.counted[a.last]
	}
	return math.NaN()
}

// positive is a count; NaN where there is none.
func positive(n float64) float64 {
	if n > 0 {
		return n
	}
	return math.NaN()
}

// total over the pods that measured the quantity; NaN where none did.
func total(pods []*PodMetrics, q Quantity) float64 {
	sum, n := 0.0, 0
	for _, p := range pods {
		if v := p.value(q); !math.IsNaN(v) {
			sum += v
			n++
		}
	}
	if n == 0 {
		return math.NaN()
	}
	return sum
}

func mean(pods []*PodMetrics, q Quantity) float64 {
	n := 0
	for _, p := range pods {
		if v := p.value(q); !math.IsNaN(v) {
			n++
		}
	}
	return total(pods, q) / float64(n)
}

// ratio of two totals; NaN where either is unknown or nothing was counted.
func ratio(pods []*PodMetrics, sum, count Quantity) float64 {
	n := total(pods, count)
	if !(n > 0) {
		return math.NaN()
	}
	return total(pods, sum) / n
}
