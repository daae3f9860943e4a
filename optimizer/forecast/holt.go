package forecast

import "math"

// HoltOptions are the constants of exponential smoothing, per window, each between 0 and 1.
type HoltOptions struct {
	Options
	// Level is what a new window weighs in the level.
	Level float64 `json:"level"`
	// Trend is what a new step weighs in the trend.
	Trend float64 `json:"trend"`
	// Damping is what remains of the trend from one window to the next.
	Damping float64 `json:"damping"`
}

// errorLimit bounds the error that smoothing learns from, in usual errors (Gelper, Fried and Croux 2010, robust Holt–Winters smoothing).
const errorLimit = 4

// leastError is the least usual error: who was right to the percent for a day must still learn from a change.
const leastError = 0.01

// errorMemory is what the usual error keeps from window to window.
const errorMemory = 0.98

// holt is linear exponential smoothing with a damped trend (Holt 1957, Gardner and McKenzie 1985) of logarithms, so that the trend is a
// growth rate:
//
//	e = y − (l + φb),  l' = l + φb + αe,  b' = φb + αβe,  forecast(h) = l + (φ + … + φ^h)b
//
// With seasons, y is the logarithm less the season, which is added to the forecast again: Holt–Winters. Missing windows and outages change
// nothing but what time does.
type holt struct {
	alpha, beta, phi float64
	seasons          *seasons // nil for none

	level, trend float64
	usual        float64 // size of errors
	begun        bool
}

func newHolt(o HoltOptions, s *seasons) *holt {
	return &holt{alpha: o.Level, beta: o.Trend, phi: o.Damping, seasons: s}
}

// step is the state after the newest window, and the usual error.
func (h *holt) step(s *series) (level, trend, usual float64) {
	t := s.newest()
	y := s.logs[t] - h.season(t)
	switch {
	case !h.begun && s.accepted[t]:
		return y, 0, 0
	case !s.accepted[t]:
		return h.level + h.phi*h.trend, h.phi * h.trend, h.usual
	}
	e := y - (h.level + h.phi*h.trend)
	usual = h.usual
	if usual == 0 {
		usual = math.Abs(e)
	}
	limit := errorLimit * max(usual, leastError)
	e = min(max(e, -limit), limit)
	usual = errorMemory*usual + (1-errorMemory)*math.Abs(e)
	return h.level + h.phi*h.trend + h.alpha*e, h.phi*h.trend + h.alpha*h.beta*e, usual
}

func (h *holt) season(t int) float64 {
	if h.seasons == nil {
		return 0
	}
	return h.seasons.at(t)
}

func (h *holt) expect(s *series) (float64, bool) {
	t := s.newest()
	if !h.begun && !s.accepted[t] {
		return 0, false
	}
	level, trend, _ := h.step(s)
	sum, power := 0.0, 1.0
	for range s.horizon {
		power *= h.phi
		sum += power
	}
	return level + sum*trend + h.season(t+s.horizon) - s.logs[t], true
}

func (h *holt) close(s *series) {
	t := s.newest()
	if h.begun || s.accepted[t] {
		h.level, h.trend, h.usual = h.step(s)
		h.begun = true
	}
	if h.seasons != nil {
		h.seasons.close(s)
	}
}
