package forecast

import "math"

const (
	day = 86400.0
	// forgotten is the number of missing windows after which a history is begun anew.
	forgotten = 2 * memoryWindows
)

// tracker follows the samples of one server for one horizon.
type tracker struct {
	window  float64 // s
	begin   func() (*series, *mixture)
	series  *series
	mixture *mixture

	index       float64 // of the open window, since the epoch
	sum, weight float64 // of the samples in it
}

// newTracker makes a tracker for a horizon in seconds.
func newTracker(o Options, horizon float64, mix func(perDay int) *mixture) *tracker {
	steps := int(max(1, math.Round(min(horizon, maxHorizon)/o.Window)))
	perDay := int(math.Round(day / o.Window))
	k := &tracker{window: o.Window}
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
	if k.empty() || index-k.index > forgotten {
		k.series, k.mixture = k.begin()
		k.index = index - 1
	}
	k.reach(index)
	if index == k.index {
		k.sum += s.Rate * s.weight()
		k.weight += s.weight()
		k.series.set(k.sum / k.weight)
	}
}

// Pass begins the windows up to that of the given time.
func (k *tracker) Pass(now float64) {
	if index := math.Floor(now / k.window); !k.empty() && index-k.index <= forgotten {
		k.reach(index)
	}
}

func (k *tracker) empty() bool { return k.series.newest() < 0 }

func (k *tracker) reach(index float64) {
	for ; k.index < index; k.index++ {
		if !k.empty() {
			k.mixture.close(k.series)
		}
		k.series.advance()
		k.sum, k.weight = 0, 0
	}
}

// Forecast from what was observed.
func (k *tracker) Forecast() Prediction {
	if k.empty() {
		return Prediction{Mean: math.NaN(), Upper: math.NaN()}
	}
	return k.mixture.forecast(k.series)
}
