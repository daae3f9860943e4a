package forecast

import "math"

const (
	// lossMemory is what a loss still weighs one window later: the back-test looks back over about 500 windows.
	// Tuned: share a window; measured by TestAdaptiveOnProductionLoad;
	// at half: 0.71, 0.72, 0.67 at half of the windows; at twice: 0.70, 0.70, 0.67
	lossMemory = 0.998
	// learningRate says how fast losses move weights: an expert's weight falls by e for every 1/learningRate windows' worth of loss of
	// persistence that it loses more than another. A lead of one percent over the 500 windows of the back-test is then a factor of 2.
	// Tuned: 1; measured by TestAdaptiveOnProductionLoad;
	// at half: 0.72, 0.73, 0.67; at twice: 0.70, 0.70, 0.67
	learningRate = 0.15
	// persistencePrior is the lead of persistence at the start, as the logarithm of its weight: others must earn theirs.
	// Tuned: 1; measured by TestAdaptiveOnProductionLoad;
	// at half: no difference on production load, more where there is nothing to find; at twice: 0.72, 0.73, 0.67
	persistencePrior = 4
	// surprise bounds the rates a loss is counted for, in multiples of the rate forecast from: one flash crowd must not decide who is heard.
	// Tuned: 1; derived from what an outage is; at half: 0.29 at 2 h on office hours, after 0.25; at twice: no difference
	surprise = 5
	// originsPerHorizon are how many windows of a horizon are forecast from and learned from: growth from one and from the next is nearly the same.
	// Tuned: windows; measured by TestAdaptiveOnProductionLoad;
	// at half: 0.70, 0.70, 0.71; at twice: 0.70, 0.70, 0.68, and 300 bytes more
	originsPerHorizon = 6
	// forgotten is the number of days without a sample after which a server is begun anew.
	// Tuned: days; guard against windows without end to go through after a long absence: half and twice of it make no difference
	forgotten = 7
	// longestHorizon in windows.
	// Exact: a day of the shortest windows, which are of 10 s.
	longestHorizon = day / 10
)

// method predicts the growth over the horizon of a series: the logarithm of the rate then over the rate now. It may know several ways.
type method interface {
	// expect is the growth that each way expects after a window; NaN while it does not know enough. Of the examples it learned from so many overlap
	// that they count as one.
	expect(v *view, overlap float64) []float64
	// features of the window that are worth keeping until its outcome is known.
	features(v *view) []float64
	// learn from what was the case and the growth that followed, and its usual size. The example stands for so many windows.
	learn(v *view, features []float64, growth, usual float64, windows int)
	// close ends a window.
	close(v *view)
	// rescale what was learned to a horizon longer by a factor.
	rescale(factor float64)
	walk(c *codec)
}

// state is what is remembered of a server: the series, what a method learned from it, and how it did, by exponentially weighted aggregation with
// forgetting (Cesa-Bianchi and Lugosi, Prediction, Learning, and Games, 2006, chapter 2), with pinball loss in requests per second. The first
// voice is the one to beat.
type state struct {
	since, last float64 // times of the first and the last sample
	index       int     // of the open window
	sum, weight float64 // of the samples in it
	steps       int     // windows in the horizon

	series  series
	method  method
	voices  []voice
	count   float64 // of what was judged, faded like the losses
	origins []origin
}

// origin is a window that was forecast from, until the outcome is known.
type origin struct {
	age      int // windows since
	log      float64
	opinions []opinion
	features []float64
}

// stride is the distance between windows that are forecast from.
func (k *state) stride() int { return (k.steps + originsPerHorizon - 1) / originsPerHorizon }

func (k *state) hour(window int) float64 {
	h := (float64(window) + 0.5) * k.series.window / hour
	return h - hours*math.Floor(h/hours)
}

// look at the open window.
func (k *state) look() view {
	return k.series.look(k.index, k.sum/k.weight, k.steps) // NaN where nothing was seen
}

// opinions on a window. After a rate that is out of all proportion only the first is asked: the others know ordinary windows and would
// extrapolate.
func (k *state) opinions(v *view, quantile float64) []opinion {
	odd := v.odd()
	list := make([]opinion, len(k.voices))
	for i, centre := range k.method.expect(v, float64(k.steps)/float64(k.stride())) {
		if odd && i > 0 {
			centre = math.NaN()
		}
		list[i] = k.voices[i].opinion(centre, k.hour(v.at), quantile)
	}
	return list
}

// forecast from the open window. Until there are errors to take quantiles from, the rate is taken to stay as it is.
func (k *state) forecast(quantile float64) Prediction {
	v := k.look()
	opinions := k.opinions(&v, quantile)
	best := math.Inf(-1)
	k.each(opinions, func(_, _, score float64) { best = max(best, score) })
	if math.IsInf(best, -1) {
		return Prediction{Mean: v.level, Upper: v.level}
	}
	var centre, upper, weights float64
	k.each(opinions, func(c, u, score float64) {
		w := math.Exp(score - best)
		centre, upper, weights = centre+w*c, upper+w*u, weights+w
	})
	return Prediction{Mean: v.exp(v.log + centre/weights), Upper: v.exp(v.log + upper/weights)}
}

// each visits the experts that speak, with the logarithm of their weight.
func (k *state) each(opinions []opinion, visit func(centre, upper, score float64)) {
	first := k.voices[0].experts[0].loss
	for i := range k.voices {
		for j := range k.voices[i].experts {
			if math.IsNaN(opinions[i].uppers[j]) {
				continue
			}
			score := 0.0
			if i == 0 && j == 0 {
				score = persistencePrior
			}
			if first > 0 {
				score -= learningRate * k.voices[i].experts[j].loss / first * k.count * float64(k.stride())
			}
			visit(opinions[i].centre, opinions[i].uppers[j], score)
		}
	}
}

// close ends the open window: the forecasts made for it are judged, then all learn from it.
func (k *state) close(quantile float64) {
	v := k.look()
	due := k.due()
	if v.accepted {
		var next []origin
		if k.index%k.stride() == 0 {
			next = []origin{{log: v.log, opinions: k.opinions(&v, quantile), features: k.method.features(&v)}}
		}
		if due != nil {
			k.judge(&v, due, quantile)
			k.learn(&v, due)
		}
		k.origins = append(k.origins, next...)
	}
	k.method.close(&v)
	v.close()
	k.index++
	k.sum, k.weight = 0, 0
}

// due is the origin that the open window is the outcome of; nil where there is none. All origins grow older.
func (k *state) due() (due *origin) {
	for i := range k.origins {
		k.origins[i].age++
	}
	for len(k.origins) > 0 && k.origins[0].age >= k.steps {
		if k.origins[0].age == k.steps {
			due = &k.origins[0]
		}
		k.origins = k.origins[1:]
	}
	return due
}

// judge counts the losses of the forecasts made from a window for the newest. Who was silent then counts as if it had spoken like the first
// (specialists; Freund, Schapire, Singer and Warmuth 1997), so that it is neither rewarded nor punished.
func (k *state) judge(v *view, from *origin, quantile float64) {
	first := from.opinions[0].uppers[0]
	if math.IsNaN(first) {
		return
	}
	keep := math.Pow(lossMemory, float64(k.stride()))
	rate := min(v.level, surprise*v.exp(from.log))
	k.count = k.count*keep + 1
	for i := range k.voices {
		for j := range k.voices[i].experts {
			upper := from.opinions[i].uppers[j]
			if math.IsNaN(upper) {
				upper = first
			}
			loss := &k.voices[i].experts[j].loss
			*loss = *loss*keep + pinball(rate, v.exp(from.log+upper), quantile)
		}
	}
}

// learn from the growth between a window and the newest.
func (k *state) learn(v *view, from *origin) {
	growth, hour := v.log-from.log, k.hour(k.index-k.steps)
	span := residualSpan
	for i := range k.voices {
		k.voices[i].learn(from.opinions[i], growth, hour, k.index/k.stride(), span)
	}
	first := &k.voices[0]
	usual := first.size.value * first.experts[constant].errors.spread()
	k.method.learn(v, from.features, growth, usual, k.stride())
}

// rescale to another horizon: growth over it is taken to be that of a random walk, with the root of the time.
func (k *state) rescale(steps int) {
	factor := float64(steps) / float64(k.steps)
	k.steps, k.origins = steps, nil
	for i := range k.voices {
		k.voices[i].rescale(math.Sqrt(factor))
	}
	k.method.rescale(factor)
}
