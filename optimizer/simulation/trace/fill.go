package trace

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// filler draws arrivals for a rate-level trace: a renewal process with gamma
// distributed intervals of mean 1 on the time axis Λ(t) = ∫ rate dt. So the rate
// is that of the trace at every moment, and the coefficient of variation of the
// intervals that of the window in which an interval begins.
type filler struct {
	windows []Window
	loop    bool
	scale   float64
	tokenCV float64
	random  *rand.Rand

	index  int
	at     float64 // present time within the trace
	offset float64 // begin of the present round
}

func newFiller(t *Trace, o Options, random *rand.Rand) *filler {
	f := &filler{windows: t.Windows, loop: o.Loop && t.offers(), scale: o.Scale, tokenCV: o.TokenCV, random: random}
	f.at = max(o.Start, f.windows[0].Start)
	for f.windows[f.index].End <= f.at {
		f.index++
	}
	return f
}

// offers tells whether any window has load: without it a loop would search for
// ever.
func (t *Trace) offers() bool {
	for _, w := range t.Windows {
		if w.Rate > 0 {
			return true
		}
	}
	return false
}

func (f *filler) next() (Arrival, bool) {
	interval := f.gamma(1, f.windows[f.index].CV)
	for {
		w := f.windows[f.index]
		rate := w.Rate * f.scale
		if rate > 0 {
			if at := f.at + interval/rate; at < w.End {
				f.at = at
				return Arrival{At: f.offset + at, InputTokens: f.tokens(w.InputMean), OutputTokens: f.tokens(w.OutputMean)}, true
			}
			interval -= min(interval, rate*(w.End-f.at))
		}
		if !f.advance() {
			return Arrival{}, false
		}
	}
}

func (f *filler) advance() bool {
	last := f.windows[len(f.windows)-1]
	switch {
	case f.index+1 < len(f.windows):
		f.index++
		f.at = f.windows[f.index].Start
	case f.loop && !math.IsInf(last.End, 1):
		f.index = 0
		f.at = f.windows[0].Start
		f.offset += last.End - f.windows[0].Start
	default:
		return false
	}
	return true
}

func (f *filler) tokens(mean float64) int {
	return int(max(1, min(maxTokens, math.Round(f.gamma(mean, f.tokenCV)))))
}

// gamma draws from the gamma distribution with the given mean and coefficient of
// variation: shape 1/CV², rate shape/mean.
func (f *filler) gamma(mean, cv float64) float64 {
	if cv == 0 {
		return mean
	}
	shape := 1 / (cv * cv)
	return distuv.Gamma{Alpha: shape, Beta: shape / mean, Src: f.random}.Rand()
}
