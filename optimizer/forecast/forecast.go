// Package forecast predicts arrival rates with calibrated upper quantiles. Forecasters are chosen by registered name and are deterministic
// functions of what they are told: the same samples give the same memory, and that the same forecast.
package forecast

import (
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
}

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

// Forecaster predicts arrival rates.
type Forecaster interface {
	// For is the forecaster for a horizon in seconds, at most a day and in whole windows, at least one, and a quantile for Upper, above 0 and below 1;
	// 0 is its own.
	For(horizon, quantile float64) Predictor
}

// Predictor forecasts servers for one horizon, each from its memory.
type Predictor interface {
	// Observe takes the next sample into the memory of a server; the zero memory knows nothing. The given memory stays as it is. A sample that
	// is not newer than the last one, or is not a rate, changes nothing. A memory of another forecaster, or a broken one, is begun anew. One for
	// another horizon or quantile is gone on with.
	Observe(m Memory, s Sample) Memory
	// Forecast the rate a horizon after the given time, which is that of the last sample or later. Nothing is known before the first sample: NaN.
	Forecast(m Memory, now float64) Prediction
	// Span is how far back a history is of use, and the window that its rates may be means over, both in seconds: what is worth reading back where
	// the memory was lost. 0 where nothing is.
	Span() (span, window float64)
}

// Names of the forecasters.
const (
	// NameNone predicts that the rate stays as it is: persistence, without a margin unless a quantile is asked for.
	NameNone = "none"
	// NameHolt smooths level and a damped trend of the logarithm of the rate.
	NameHolt = "holt"
	// NameHoltWinters adds the seasons of the day and of the week to what NameHolt does.
	NameHoltWinters = "holt-winters"
	// NameAdaptive mixes persistence and a regression on the past days and the week before, by how well each forecast lately.
	NameAdaptive = "adaptive"
)

// Default is the forecaster used where none is named.
const Default = NameNone

// Forecasters are the registered forecasters.
func Forecasters() plug.Registry[Forecaster] {
	return plug.NewRegistry("forecaster",
		plug.Of(NameNone, defaultOptions, func(o Options) (Forecaster, error) {
			return none{newKind(NameNone, o, o, func() (method, []voice) { return persistence{}, []voice{newVoice(1)} })}, nil
		}),
		plug.Of(NameHolt, defaultHolt, func(o HoltOptions) (Forecaster, error) {
			return newKind(NameHolt, o.Options, o, func() (method, []voice) { return &holt{HoltOptions: o}, []voice{newVoice(1)} }), nil
		}),
		plug.Of(NameHoltWinters, defaultHolt, func(o HoltOptions) (Forecaster, error) {
			return newKind(NameHoltWinters, o.Options, o, func() (method, []voice) {
				return &holt{HoltOptions: o, seasons: newSeasons()}, []voice{newVoice(1)}
			}), nil
		}),
		plug.Of(NameAdaptive, defaultOptions, func(o Options) (Forecaster, error) {
			return newKind(NameAdaptive, o, o, func() (method, []voice) {
				return &regression{perDay: day / o.Window}, []voice{newVoice(ideas), newVoice(ideas)}
			}), nil
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
	// Tuned: share; option forecastQuantile, at half and twice the distance from 1;
	// at half: the rate is above in one window of twenty, after one of ten; at twice: in one of five
	DefaultQuantile = 0.9
	// DefaultWindow in seconds.
	// Tuned: s; option window of the forecasters;
	// at half: what is counted by windows, such as past errors, is remembered half as long; at twice: twice as long, and a change is seen later
	DefaultWindow = 600

	// day in seconds.
	// Exact: a day has so many.
	day = 86400.0
	// memory is how many days of history are of use: a weekly season is there to be used in the third week.
	// Tuned: days; derived from a weekly season, which two weeks show and the third uses;
	// at half: no weekly season after a restart; at twice: twice the samples to read back after one, for nothing more to find
	memory = 21
	// maxHorizon in seconds; a longer one counts as this.
	maxHorizon = day

	// maxTime is the latest that is an observation, either side of the epoch.
	// Tuned: s; guard against times in another unit
	maxTime = 1e12
	// maxRate is the highest that is an observation.
	// Tuned: req/s; guard against a load that is a mistake
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

// ValidQuantile says what is wrong with a quantile that [Forecaster.For] is to be given.
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
