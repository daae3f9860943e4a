package estimation

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// ekf is an extended Kalman filter on the logarithms of a law's parameters, linearised where the answer lies.
type ekf struct{ options Options }

// Estimate implements [Estimator].
func (e ekf) Estimate(given v1alpha1.Performance, learned *v1alpha1.PairStatus, seen []Observation) (Estimate, error) {
	return estimate(EstimatorEKF, &e.options, 0, given, learned, seen)
}

// estimate runs the filter; keep is the number of observations that are fitted anew each time, 0 to fit none anew.
func estimate(name string, o *Options, keep int, given v1alpha1.Performance, learned *v1alpha1.PairStatus, seen []Observation) (Estimate, error) {
	f, err := newForm(given, *o)
	if errors.Is(err, queueing.ErrNoParameters) {
		return Estimate{Performance: given, Learned: learned, Notice: "nothing can be learned: " + err.Error()}, nil
	}
	if err != nil {
		return Estimate{Performance: given, Learned: learned}, err
	}
	m, g, notice := recall(learned, f, name, given.Acc)
	t := &tracker{form: f, options: o, memory: m, gaussian: g, learner: newLearner(len(f.states)), law: f.laws(), keep: keep}
	out := Estimate{Notice: notice, Judgements: make([]Judgement, len(seen))}
	for i := range seen {
		out.Judgements[i] = t.observe(&seen[i])
	}
	if m.Observations > 0 || m.Rejected > 0 {
		store(m, f, g)
		out.Learned = m
	}
	out.Performance = f.performance(given, t.reported())
	return out, nil
}

// tracker is the filter at work on one pair.
type tracker struct {
	form    *form
	options *Options
	memory  *v1alpha1.PairStatus
	gaussian
	learner *learner
	law     func(x []float64) queueing.Law
	keep    int
}

// unjudged is a judgement in which nothing is known but a reason.
func unjudged(reason string) Judgement {
	nan := math.NaN()
	return Judgement{nan, nan, nan, nan, nan, nan, false, reason}
}

// oneLine joins the lines of an error.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// reject notes that an observation was not learned from.
func (t *tracker) reject(reason string) {
	t.memory.Rejected++
	t.memory.LastRejection = reason
}

// observe judges one observation and learns from it.
func (t *tracker) observe(o *Observation) Judgement {
	m := t.memory
	r, err := o.read(t.options, source(m, o.Source))
	if err != nil {
		j := unjudged(oneLine(err))
		t.reject(j.Reason)
		return j
	}
	remember(m, o.status())
	dt, now := elapsed(m, r.seconds)
	t.pass(dt, t.options.MemoryHours*3600, t.form.prior)
	r, ranges := attenuateAll(m.Ranges, r, t.options)

	j := unjudged("")
	expected := t.expected()
	itl, ttft := r.latencies(t.law(expected))
	ttft *= math.Exp(expected[len(expected)-1])
	j.PredictedITL, j.PredictedTTFT = itl, ttft
	j.InnovationITL, j.InnovationTTFT = r.logITL-math.Log(itl), r.logTTFT-math.Log(ttft)
	notes := r.notes
	learn := func(name string, y *float64, noise *float64, f func(*reading, []float64) float64, innovation float64, surprise, mean *float64) {
		if math.IsNaN(*y) {
			return
		}
		*noise += t.batchNoise(&r, f)
		var why string
		if *surprise, why = t.learn(name, *y, noise, func(x []float64) float64 { return f(&r, x) }); why != "" {
			notes = append(notes, why)
			*y = math.NaN()
			return
		}
		score(mean, m.Observations, innovation)
		j.Accepted = true
	}
	learn("itl", &r.logITL, &r.itlNoise, t.logITL, j.InnovationITL, &j.SurpriseITL, &m.ITLError)
	learn("ttft", &r.logTTFT, &r.ttftNoise, t.logTTFT, j.InnovationTTFT, &j.SurpriseTTFT, &m.TTFTError)
	j.Reason = strings.Join(notes, "; ")
	m.UpdatedAt = now
	if !j.Accepted {
		t.reject(j.Reason)
		return j
	}
	if t.keep > 0 {
		t.refit(&r)
	}
	m.Ranges = ranges
	if m.Observations++; m.LearnedSince == nil {
		m.LearnedSince = now
	}
	return j
}

// expected is the vector whose exponentials are the means of the parameters.
func (t *tracker) expected() []float64 {
	n := len(t.mean)
	x := make([]float64, n)
	for i := range x {
		x[i] = t.mean[i]
	}
	return x
}

func (t *tracker) logITL(r *reading, x []float64) float64 {
	itl, _ := r.latencies(t.law(x))
	return math.Log(itl)
}

func (t *tracker) logTTFT(r *reading, x []float64) float64 {
	_, ttft := r.latencies(t.law(x))
	return math.Log(ttft) + x[len(x)-1]
}

// batchNoise is the variance that an uncertain batch puts on a latency: that of the batch times the square of the response to it. Where the
// batch follows from arrivals, the response to either is taken that is larger, since a batch that is full no longer responds to arrivals.
func (t *tracker) batchNoise(r *reading, f func(*reading, []float64) float64) float64 {
	const step = 0.1
	at := f(r, t.mean)
	response := func(running, rate float64) float64 {
		other := *r
		other.running, other.rate = running, rate
		return math.Abs(f(&other, t.mean)-at) / math.Log1p(step)
	}
	if !math.IsNaN(r.running) {
		return r.batchNoise * square(response(r.running*(1+step), 0))
	}
	n := r.follows(t.law(t.mean))
	return r.batchNoise * square(max(response(n*(1+step), 0), response(math.NaN(), r.rate/(1+step))))
}

// Measurements beyond bend standard deviations count for less, as in Huber's estimator.
const bend = 2

// learn takes in one latency and returns how surprising it was, and why it was not learned from. Noise is the variance of its logarithm; it
// grows where the latency counts for less.
func (t *tracker) learn(name string, y float64, noise *float64, f func(x []float64) float64) (surprise float64, why string) {
	line := t.learner.linearise(t.gaussian, f)
	innovation := y - line.value
	surprise = innovation / math.Sqrt(line.variance(t.gaussian)+line.missed+*noise)
	if math.Abs(surprise) > t.options.Gate {
		s := suspect(t.memory, name, innovation)
		if s.Count < t.options.Believe {
			return surprise, fmt.Sprintf("%s is %.2g times what is expected, %.1f standard deviations off", name, math.Exp(innovation), surprise)
		}
		t.reopen(name, s.LogRatio)
	}
	trust(t.memory, name)
	*noise *= max(1, math.Abs(surprise)/bend)
	t.learner.update(t.gaussian, f, y, *noise)
	return surprise, ""
}

// reopened is the share of the prior's variance that is given back when a change is believed.
const reopened = 0.1

// reopen makes room for a change that was seen several times. What most likely happened is that everything became slower or faster by the
// same factor: other hardware, another clock, another engine.
func (t *tracker) reopen(name string, ratio float64) {
	n := len(t.mean)
	if t.keep > 0 {
		t.memory.Kept = nil
		t.reset()
	}
	if name == "ttft" { // ITL fits: it is the prefill that changed
		t.cov[n*n-1] += ratio * ratio
		t.widen(0, 0, reopened, t.form.prior)
		return
	}
	t.widen(n-1, ratio*ratio, reopened, t.form.prior)
}

// reported is the estimate to plan with. While a change is suspected but not yet believed, it is less sure by as much as is suspected, up
// to a factor of 2.
func (t *tracker) reported() gaussian {
	g := t.clone()
	for _, s := range t.memory.Suspicions {
		if s.Name == "itl" && s.Count > 1 {
			g.widen(len(g.mean)-1, square(min(math.Abs(s.LogRatio), math.Ln2)), 0, g)
		}
	}
	return g
}
