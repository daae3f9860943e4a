package forecast

import "math"

const (
	// lossMemory is what a loss still weighs one window later: the back-test looks back over about 500 windows.
	lossMemory = 0.998
	// learningRate says how fast losses move weights: an expert's weight falls by e for every 1/learningRate windows' worth of loss of
	// persistence that it loses more than another. A lead of one percent over the 500 windows of the back-test is then a factor of 2.
	learningRate = 0.15
	// persistencePrior is the lead of persistence at the start, as the logarithm of its weight: others must earn theirs.
	persistencePrior = 4
	// surprise bounds the rate a loss is counted for, in multiples of the rate forecast from: one flash crowd must not decide who is heard.
	surprise = 5
)

// mixture weighs experts by their losses in a rolling back-test on the series itself: exponentially weighted aggregation with forgetting
// (Cesa-Bianchi and Lugosi, Prediction, Learning, and Games, 2006, chapter 2), with pinball loss in requests per second. The first expert
// is the one to beat.
type mixture struct {
	quantile float64
	methods  []method
	experts  []*expert // for each method one per scale
	losses   []float64 // of each expert
	count    float64   // of what was judged, faded like the losses
	opinions []opinion // on the newest window
}

// newMixture asks for an expert per method and scale.
func newMixture(quantile float64, scales []scale, methods ...method) *mixture {
	m := &mixture{quantile: quantile, methods: methods}
	for range methods {
		for _, s := range scales {
			m.experts = append(m.experts, &expert{scale: s})
		}
	}
	m.losses = make([]float64, len(m.experts))
	m.opinions = make([]opinion, len(m.experts))
	return m
}

// forecast from the newest window. Until there are errors to take quantiles from, the rate is taken to stay as it is.
func (m *mixture) forecast(s *series) Prediction {
	m.look(s)
	here := s.logs[s.newest()]
	best := m.best()
	if math.IsInf(best, -1) {
		return Prediction{Mean: s.exp(here), Upper: s.exp(here)}
	}
	var centre, upper, weights float64
	for i, o := range m.opinions {
		if !math.IsNaN(o.upper) {
			w := math.Exp(m.score(i) - best)
			centre, upper, weights = centre+w*o.centre, upper+w*o.upper, weights+w
		}
	}
	return Prediction{Mean: s.exp(here + centre/weights), Upper: s.exp(here + upper/weights)}
}

func (m *mixture) look(s *series) {
	each := len(m.experts) / len(m.methods)
	for i, method := range m.methods {
		centre, speaks := method.expect(s)
		if !speaks {
			centre = math.NaN()
		}
		for j := i * each; j < (i+1)*each; j++ {
			m.opinions[j] = m.experts[j].look(s, centre, m.quantile)
		}
	}
}

// score is the logarithm of the weight of an expert.
func (m *mixture) score(i int) float64 {
	prior := 0.0
	if i == 0 {
		prior = persistencePrior
	}
	if m.losses[0] <= 0 {
		return prior
	}
	return prior - learningRate*m.losses[i]/(m.losses[0]/m.count)
}

// best is the highest score of those that speak, −Inf where nobody does.
func (m *mixture) best() float64 {
	best := math.Inf(-1)
	for i, o := range m.opinions {
		if !math.IsNaN(o.upper) {
			best = max(best, m.score(i))
		}
	}
	return best
}

// close ends a window: the forecasts made for it are judged, then all learn from it.
func (m *mixture) close(s *series) {
	m.look(s)
	t := s.newest()
	if j := t - s.horizon; j >= 0 && s.accepted[t] {
		m.judge(j, s)
	}
	for _, e := range m.experts {
		e.close(s)
	}
	for _, method := range m.methods {
		method.close(s)
	}
}

// judge counts the losses of the forecasts made at a place for the newest window. Who was silent then counts as if it had spoken like the
// first (specialists; Freund, Schapire, Singer and Warmuth 1997), so that it is neither rewarded nor punished.
func (m *mixture) judge(at int, s *series) {
	first := m.experts[0].past[at].upper
	if math.IsNaN(first) {
		return
	}
	from := s.logs[at]
	rate := min(s.exp(s.logs[s.newest()]), surprise*s.exp(from))
	m.count = m.count*lossMemory + 1
	for i, e := range m.experts {
		upper := e.past[at].upper
		if math.IsNaN(upper) {
			upper = first
		}
		m.losses[i] = m.losses[i]*lossMemory + pinball(rate, s.exp(from+upper), m.quantile)
	}
}

// pinball is the loss of a quantile forecast: q per unit of rate above it, 1−q per unit below.
func pinball(rate, forecast, q float64) float64 {
	return max(q*(rate-forecast), (1-q)*(forecast-rate))
}
