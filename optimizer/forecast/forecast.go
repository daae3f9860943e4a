// Package forecast predicts arrival rates with calibrated upper quantiles. Forecasters are chosen by registered name and are deterministic
// functions of the history: they are told no more than the samples, and the same samples give the same forecast.
package forecast

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"github.com/llm-inferno/inferno/optimizer/plug"
)

// Sample is an arrival rate that was observed.
type Sample struct {
	// Time in seconds since the Unix epoch, within ±1e12.
	Time float64 `json:"time"`
	// Rate in requests per second, 0 to 1e9.
	Rate float64 `json:"rate"`
	// Count is the number of observations that the rate is the mean of; 0 means one.
	Count int `json:"count,omitempty"`
}

func (s Sample) weight() float64 { return float64(max(s.Count, 1)) }

// sound tells whether a sample is one: finite, and a rate that can be.
func (s Sample) sound() bool {
	return math.Abs(s.Time) <= maxTime && s.Rate >= 0 && s.Rate <= maxRate
}

// Prediction of the arrival rate at the end of the horizon, in requests per second.
type Prediction struct {
	// Mean is the rate that is expected: the middle one, and the last one where the forecaster is silent.
	Mean float64
	// Upper is the forecaster's quantile of that rate, at least 0.
	Upper float64
}

// Forecaster predicts the arrival rate of one server.
type Forecaster interface {
	// Forecast predicts the rate horizon seconds after the last sample, at most a day and in whole windows, at least one. Samples are in ascending order of time and there is at least one.
	Forecast(history []Sample, horizon float64) Prediction
	// For is the forecaster with a horizon in seconds, at most a day and in whole windows, at least one, and a quantile for Upper, above 0 and
	// below 1; 0 is the forecaster's own.
	For(horizon, quantile float64) Predictor
	// Track follows one server and predicts the same as Forecast does from all that was observed, at little cost per sample.
	Track(horizon float64) Tracker
	// Remember appends a sample to a history and drops or merges what the forecaster does not need, so that the history is bounded. A
	// sample that is not newer than the last one, or is not a rate, changes nothing. The given history is not written to.
	Remember(history []Sample, s Sample) []Sample
	// At is the forecaster with another quantile for Upper, above 0 and below 1.
	At(quantile float64) Forecaster
	// Memory is how far back a history is of use, and the window that its rates may be means over, both in seconds: what is worth reading
	// back where a history was lost. 0 where nothing is.
	Memory() (span, window float64)
}

// Predictor forecasts servers for one horizon, each from its memory.
type Predictor interface {
	// Observe takes the next sample into the memory of a server; the zero memory knows nothing. The given memory stays as it is. A sample that
	// is not newer than the last one, or is not a rate, changes nothing. A memory of another forecaster is begun anew.
	Observe(m Memory, s Sample) Memory
	// Forecast the rate a horizon after the given time, which is that of the last sample or later. Nothing is known before the first sample: NaN.
	Forecast(m Memory, now float64) Prediction
	// Span is how far back a history is of use, and the window that its rates may be means over, both in seconds: what is worth reading back where
	// the memory was lost. 0 where nothing is.
	Span() (span, window float64)
}

// Tracker forecasts one server for one horizon, sample by sample. It is not safe for concurrent use.
type Tracker interface {
	// Observe takes in the next sample. One that is not newer than the last window, or is not a rate, is ignored.
	Observe(s Sample)
	// Pass tells that it is now the given time, and no sample came since the last one.
	Pass(now float64)
	// Forecast the rate at the end of the horizon, which begins at the last sample or at what Pass told. Nothing is known before the
	// first sample: NaN.
	Forecast() Prediction
}

// Names of the forecasters.
const (
	// NameNone predicts that the rate stays as it is: persistence, without a margin unless a quantile is asked for.
	NameNone = "none"
	// NameHolt smooths level and a damped trend of the logarithm of the rate.
	NameHolt = "holt"
	// NameHoltWinters adds the seasons of the day and of the week to what NameHolt does.
	NameHoltWinters = "holt-winters"
	// NameAdaptive mixes persistence and two regressions, on the day and on the week too, by how well each forecast lately.
	NameAdaptive = "adaptive"
)

// Default is the forecaster used where none is named.
const Default = NameNone

// Forecasters are the registered forecasters.
func Forecasters() plug.Registry[Forecaster] {
	return plug.NewRegistry("forecaster",
		plug.Of(NameNone, defaultOptions, func(o Options) (Forecaster, error) { return None{o}, nil }),
		plug.Of(NameHolt, defaultHolt, func(o HoltOptions) (Forecaster, error) {
			return windowed{o.Options, NameHolt, o, DefaultQuantile, func(quantile float64, _ int) *mixture {
				return newMixture(quantile, plain, newHolt(o, nil))
			}}, nil
		}),
		plug.Of(NameHoltWinters, defaultHolt, func(o HoltOptions) (Forecaster, error) {
			return windowed{o.Options, NameHoltWinters, o, DefaultQuantile, func(quantile float64, perDay int) *mixture {
				return newMixture(quantile, plain, newHolt(o, newSeasons(perDay)))
			}}, nil
		}),
		plug.Of(NameAdaptive, defaultOptions, func(o Options) (Forecaster, error) {
			return windowed{o, NameAdaptive, o, DefaultQuantile, func(quantile float64, perDay int) *mixture {
				return newMixture(quantile, []scale{constant, lately, daily}, persistence{}, &regression{count: dayFeatures}, &regression{count: featureCount})
			}}, nil
		}),
	)
}

// Options of forecasters that look at the history in windows.
type Options struct {
	// Window in seconds that rates are averaged over, 10 to 3600, a divisor of a day. Horizons are whole windows.
	Window float64 `json:"window"`
}

const (
	// DefaultQuantile of the rate at the end of the horizon that forecasters give where nobody asks for another; "none" gives the last rate.
	DefaultQuantile = 0.9
	// DefaultWindow in seconds.
	DefaultWindow = 600

	// memory is how many days of history are kept, at most memoryWindows windows: a weekly season is there to be used in the third week.
	memory        = 21
	memoryWindows = 4032
	// maxHorizon in seconds; a longer one counts as this.
	maxHorizon = day

	// Times and rates beyond these are no observations.
	maxTime = 1e12
	maxRate = 1e9
)

func defaultOptions() Options { return Options{Window: DefaultWindow} }

func defaultHolt() HoltOptions {
	return HoltOptions{Options: defaultOptions(), Level: 0.6, Trend: 0.05, Damping: 0.95}
}

// Validate says what is wrong with the options.
func (o Options) Validate() error {
	if w := o.Window; !(w >= 10 && w <= 3600 && math.Mod(day, w) == 0) {
		return fmt.Errorf("window: %v, want 10 to 3600 seconds and a divisor of a day", w)
	}
	return nil
}

// ValidQuantile says what is wrong with a quantile that [Forecaster.At] is to be given.
func ValidQuantile(q float64) error {
	if !(q > 0 && q < 1) {
		return fmt.Errorf("%v, want above 0 and below 1", q)
	}
	return nil
}

// Validate joins what is wrong with the options.
func (o HoltOptions) Validate() error {
	faults := []error{o.Options.Validate()}
	for _, c := range []struct {
		name  string
		value float64
	}{{"level", o.Level}, {"trend", o.Trend}, {"damping", o.Damping}} {
		if !(c.value >= 0 && c.value <= 1) {
			faults = append(faults, fmt.Errorf("%s: %v, want 0 to 1", c.name, c.value))
		}
	}
	return errors.Join(faults...)
}

// windowed is a forecaster that averages samples over windows and mixes experts.
type windowed struct {
	Options
	name     string
	options  any
	quantile float64
	mix      func(quantile float64, perDay int) *mixture
}

// At is the same at another quantile.
func (w windowed) At(quantile float64) Forecaster {
	w.quantile = quantile
	return w
}

// For is the same at another quantile, with a horizon.
func (w windowed) For(horizon, quantile float64) Predictor {
	return predictor{w.by(), w.At(cmp.Or(quantile, w.quantile)), horizon}
}

// by tells memories of different forecasters apart; the quantile is no matter of what is remembered.
func (w windowed) by() string { return fmt.Sprintf("%s %v", w.name, w.options) }

// Memory is that of the histories that are kept.
func (w windowed) Memory() (span, window float64) { return float64(w.windows()) * w.Window, w.Window }

// Forecast follows the history from its begin.
func (w windowed) Forecast(history []Sample, horizon float64) Prediction {
	k := w.Track(horizon)
	for _, s := range history {
		k.Observe(s)
	}
	return k.Forecast()
}

// Track makes a tracker.
func (w windowed) Track(horizon float64) Tracker {
	return newTracker(w.Options, horizon, func(perDay int) *mixture { return w.mix(w.quantile, perDay) })
}

// Remember keeps one sample per window. Old ones are dropped a day at a time.
func (w windowed) Remember(history []Sample, s Sample) []Sample {
	n := len(history)
	if !s.sound() || n > 0 && s.Time <= history[n-1].Time {
		return history
	}
	kept := append(make([]Sample, 0, n+1), w.cut(history, s)...)
	if k := len(kept) - 1; k >= 0 && w.index(kept[k]) == w.index(s) {
		kept[k] = merge(kept[k], s)
		return kept
	}
	return append(kept, s)
}

// cut drops what lies more than the memory before a sample, once that is a day's worth.
func (w windowed) cut(history []Sample, s Sample) []Sample {
	back := func(x Sample) float64 { return w.index(s) - w.index(x) }
	keep := float64(w.windows())
	if len(history) == 0 || back(history[0]) <= keep+day/w.Window {
		return history
	}
	i := 0
	for i < len(history) && back(history[i]) > keep {
		i++
	}
	return history[i:]
}

// windows of history that are kept.
func (o Options) windows() int { return int(min(memory*day/o.Window, memoryWindows)) }

func (o Options) index(s Sample) float64 { return math.Floor(s.Time / o.Window) }

func merge(a, b Sample) Sample {
	n := a.weight() + b.weight()
	return Sample{Time: b.Time, Rate: (a.Rate*a.weight() + b.Rate*b.weight()) / n, Count: int(n)}
}
