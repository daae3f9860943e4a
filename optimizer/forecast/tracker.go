package forecast

import (
	"math"
	"slices"
)

const (
	day = 86400.0
	// forgotten is the number of days without a sample after which a history is begun anew.
	forgotten = 7
)

// tracker follows the samples of one server for one horizon.
type tracker struct {
	window  float64 // s
	begin   func() (*series, *mixture)
	series  *series
	mixture *mixture

	keep, slack int       // windows of history, and how many more before it is cut
	closed      []float64 // rates of the windows before the open one, NaN where missing
	index       float64   // of the open window, since the epoch
	seen        float64   // the window of the last sample
	sum, weight float64   // of the samples in it
}

// newTracker makes a tracker for a horizon in seconds.
func newTracker(o Options, horizon float64, mix func(perDay int) *mixture) *tracker {
	steps := 1
	if horizon > o.Window {
		steps = int(math.Round(min(horizon, maxHorizon) / o.Window))
	}
	perDay := int(math.Round(day / o.Window))
	k := &tracker{window: o.Window, keep: o.windows(), slack: perDay}
	k.begin = func() (*series, *mixture) { return newSeries(perDay, steps, 1/o.Window), mix(perDay) }
	k.series, k.mixture = k.begin()
	return k
}

// Observe takes in a sample.
func (k *tracker) Observe(s Sample) {
	if !s.sound() {
		return
	}
	index := math.Floor(s.Time / k.window)
	if k.empty() || index-k.seen > k.forgotten() {
		k.series, k.mixture = k.begin()
		k.closed, k.index = nil, index-1
	}
	k.reach(index)
	if index < k.index {
		return
	}
	if len(k.closed) > k.keep+k.slack {
		k.cut()
	}
	k.seen = index
	k.sum += s.Rate * s.weight()
	k.weight += s.weight()
	k.series.set(k.sum / k.weight)
}

// Pass begins the windows up to that of the given time.
func (k *tracker) Pass(now float64) {
	if index := math.Floor(now / k.window); !k.empty() && index-k.seen <= k.forgotten() {
		k.reach(index)
	}
}

func (k *tracker) forgotten() float64 { return forgotten * day / k.window }

func (k *tracker) empty() bool { return k.series.newest() < 0 }

func (k *tracker) reach(index float64) {
	for ; k.index < index; k.index++ {
		if !k.empty() {
			k.closed = append(k.closed, k.sum/k.weight) // NaN where nothing was seen
		}
		k.advance()
		k.sum, k.weight = 0, 0
	}
}

func (k *tracker) advance() {
	if !k.empty() {
		k.mixture.close(k.series)
	}
	k.series.advance()
}

// cut begins anew with the history that is kept, so that what is known never depends on more than that.
func (k *tracker) cut() {
	kept := k.closed[len(k.closed)-k.keep:]
	for len(kept) > 0 && math.IsNaN(kept[0]) {
		kept = kept[1:]
	}
	k.closed = slices.Clone(kept)
	k.series, k.mixture = k.begin()
	for _, rate := range k.closed {
		k.advance()
		k.series.set(rate)
	}
	k.advance()
}

// Forecast from what was observed.
func (k *tracker) Forecast() Prediction {
	if k.empty() {
		return Prediction{Mean: math.NaN(), Upper: math.NaN()}
	}
	return k.mixture.forecast(k.series)
}
