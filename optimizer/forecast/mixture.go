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
	// surprise bounds the rates a loss is counted for, in multiples of the rate forecast from: one flash crowd must not decide who is heard.
	surprise = 5
)

// mixture weighs experts by their losses in a rolling back-test on the series itself: exponentially weighted aggregation with forgetting
// (Cesa-Bianchi and Lugosi, Prediction, Learning, and Games, 2006, chapter 2), with pinball loss in requests per second. The first expert
// is the one to beat.
type mixture struct {
	quantile float64
	voices   []*voice
	count    float64 // of what was judged, faded like the losses
}

// voice is a method with the experts that follow it, one per scale; the first scale is constant.
type voice struct {
	method  method
	sizes   sums // of the method's errors
	experts []*expert
	losses  []float64 // of each expert
}

func newMixture(quantile float64, scales []scale, methods ...method) *mixture {
	m := &mixture{quantile: quantile}
	for _, method := range methods {
		v := &voice{method: method, losses: make([]float64, len(scales))}
		for _, s := range scales {
			v.experts = append(v.experts, &expert{scale: s})
		}
		m.voices = append(m.voices, v)
	}
	return m
}

// forecast from the newest window. Until there are errors to take quantiles from, the rate is taken to stay as it is.
func (m *mixture) forecast(s *series) Prediction {
	m.look(s)
	here := s.logs[s.newest()]
	best := math.Inf(-1)
	m.each(func(o opinion, score float64) { best = max(best, score) })
	if math.IsInf(best, -1) {
		return Prediction{Mean: s.exp(here), Upper: s.exp(here)}
	}
	var centre, upper, weights float64
	m.each(func(o opinion, score float64) {
		w := math.Exp(score - best)
		centre, upper, weights = centre+w*o.centre, upper+w*o.upper, weights+w
	})
	return Prediction{Mean: s.exp(here + centre/weights), Upper: s.exp(here + upper/weights)}
}

// look lets all form their opinion on the newest window. After a rate that is out of all proportion only the first is asked: the others
// know ordinary windows and would extrapolate.
func (m *mixture) look(s *series) {
	odd := s.odd()
	for i, v := range m.voices {
		centre, speaks := v.method.expect(s)
		if !speaks || odd && i > 0 {
			centre = math.NaN()
		}
		for _, e := range v.experts {
			e.look(s, centre, &v.sizes, m.quantile)
			e.bound(&v.experts[0].errors)
		}
	}
}

// each visits the experts that speak about the newest window, with the logarithm of their weight.
func (m *mixture) each(visit func(o opinion, score float64)) {
	first := m.voices[0].losses[0]
	for i, v := range m.voices {
		for j, e := range v.experts {
			if math.IsNaN(e.open.upper) {
				continue
			}
			score := 0.0
			if i == 0 && j == 0 {
				score = persistencePrior
			}
			if first > 0 {
				score -= learningRate * v.losses[j] / (first / m.count)
			}
			visit(e.open, score)
		}
	}
}

// close ends a window: the forecasts made for it are judged, then all learn from it.
func (m *mixture) close(s *series) {
	m.look(s)
	for _, v := range m.voices {
		for _, e := range v.experts {
			e.past = append(e.past, e.open)
		}
	}
	if from := s.newest() - s.horizon; from >= 0 {
		m.judge(s, from)
		for _, v := range m.voices {
			v.learn(s, from)
		}
	}
	for _, v := range m.voices {
		v.method.close(s)
	}
}

// judge counts the losses of the forecasts made from a window for the newest. Who was silent then counts as if it had spoken like the first
// (specialists; Freund, Schapire, Singer and Warmuth 1997), so that it is neither rewarded nor punished.
func (m *mixture) judge(s *series, from int) {
	to := s.newest()
	first := m.voices[0].experts[0].past[0].upper
	if !s.accepted[to] || math.IsNaN(first) {
		return
	}
	most := surprise * s.exp(s.logs[from])
	rate := min(s.exp(s.logs[to]), most)
	m.count = m.count*lossMemory + 1
	for _, v := range m.voices {
		for j, e := range v.experts {
			upper := e.past[0].upper
			if math.IsNaN(upper) {
				upper = first
			}
			v.losses[j] = v.losses[j]*lossMemory + pinball(rate, s.exp(s.logs[from]+upper), m.quantile)
		}
	}
}

// learn from the growth between a window and the newest.
func (v *voice) learn(s *series, from int) {
	growth := math.NaN()
	if to := s.newest(); s.accepted[from] && s.accepted[to] {
		growth = s.logs[to] - s.logs[from]
	}
	v.sizes.set(from, math.Abs(growth-v.experts[0].past[0].centre))
	for _, e := range v.experts {
		e.learn(from, growth)
		e.past = e.past[1:]
	}
}

// pinball is the loss of a quantile forecast: q per unit of rate above it, 1−q per unit below.
func pinball(rate, forecast, q float64) float64 {
	return max(q*(rate-forecast), (1-q)*(forecast-rate))
}
