package trace

import (
	"errors"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// filler draws arrivals for a rate-level trace: a renewal process with gamma
// distributed intervals of mean 1 on the time axis Λ(t) = ∫ rate dt. So the rate
// is that of the trace at every moment, and the coefficient of variation of the
// intervals that of the window in which an interval begins.
type filler struct {
	windows           []Window
	loop              bool
	scale             float64
	inputCV, outputCV float64
	random            *rand.Rand

	index  int
	at     float64 // present time within the trace
	offset float64 // begin of the present round
}

func newFiller(t *Trace, o Options, random *rand.Rand) *filler {
	f := &filler{windows: t.Windows, loop: o.Loop && t.offers(), scale: o.Scale, inputCV: o.TokenCV, outputCV: o.OutputCV, random: random}
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
				return Arrival{At: f.offset + at, InputTokens: f.tokens(w.InputMean, f.inputCV), OutputTokens: f.tokens(w.OutputMean, f.outputCV)}, true
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

func (f *filler) tokens(mean, cv float64) int {
	return int(max(1, min(maxTokens, math.Round(f.gamma(mean, cv)))))
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

// Counted draws arrivals of windows such that in each as many come as its rate says, not more or fewer by chance: what was counted has its chance in it
// already. Fractions are carried over to the next window. The error lists every option out of range, and windows that do not end.
func (t *Trace) Counted(options Options) (*Trace, error) {
	o := options.withDefaults()
	faults := []error{o.validate(t.end())}
	if len(t.Windows) == 0 || math.IsInf(t.end(), 1) {
		faults = append(faults, errors.New("trace: want windows that end"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	const stream = 0x636f756e74 // as in Replay
	f := &filler{inputCV: o.TokenCV, outputCV: o.OutputCV, random: rand.New(rand.NewPCG(o.Seed, stream))}
	counted, due := new(Trace), 0.0
	for _, w := range t.Windows {
		due += w.Rate * (w.End - w.Start)
		times := f.times(int(due), w)
		for _, at := range times {
			counted.Arrivals = append(counted.Arrivals, Arrival{At: at, InputTokens: f.tokens(w.InputMean, f.inputCV), OutputTokens: f.tokens(w.OutputMean, f.outputCV)})
		}
		due -= float64(len(times))
	}
	return counted, nil
}

// times of n arrivals in a window, with intervals as a renewal process has them of which so many came.
func (f *filler) times(n int, w Window) []float64 {
	ends := make([]float64, n+1)
	for i := range ends {
		ends[i] = f.gamma(1, w.CV)
		if i > 0 {
			ends[i] += ends[i-1]
		}
	}
	all := ends[n]
	for i := range ends {
		ends[i] = w.Start + (w.End-w.Start)*ends[i]/max(all, math.SmallestNonzeroFloat64)
	}
	return ends[:n]
}
