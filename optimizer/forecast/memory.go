package forecast

import (
	"cmp"
	"fmt"
	"math"
)

// Memory is what a forecaster remembers of a server: a value of some hundred bytes that can be written, read back and copied. The zero value is that
// of a server of which nothing is known.
type Memory struct {
	// By is the forecaster that it is the memory of, with its options.
	By string `json:"by,omitempty"`
	// Since is the time of the first sample, in seconds since the Unix epoch.
	Since float64 `json:"since,omitempty"`
	// Data is known to the forecaster.
	Data []byte `json:"data,omitempty"`
}

// IsZero tells whether nothing is known.
func (m Memory) IsZero() bool { return len(m.Data) == 0 }

// layout of memories; another number for another way to write them.
// Exact: a number that tells one layout from the next.
const layout = 1

// maxLog bounds the logarithms of rates.
// Tuned: logarithm; guard against memories that were not written here: no float64 has more than 710
const maxLog = 100

// windowed is a forecaster that averages samples over windows, for one horizon and quantile.
type windowed struct {
	kind
	quantile float64
	horizon  float64 // in windows
}

// kind is a windowed forecaster.
type kind struct {
	Options
	by string
	// begin makes what is remembered of a new server.
	begin func() (method, []voice)
}

func newKind(name string, o Options, options any, begin func() (method, []voice)) kind {
	return kind{o, fmt.Sprintf("%s/%d %v", name, layout, options), begin}
}

// For is the forecaster for a horizon and a quantile.
func (k kind) For(horizon, quantile float64) Predictor {
	windows := 1.0
	if horizon > k.Window {
		windows = min(horizon, maxHorizon) / k.Window
	}
	return windowed{k, cmp.Or(quantile, DefaultQuantile), windows}
}

// Span is as far back as past days are looked at, and what regressions learn from them.
func (k kind) Span() (span, window float64) { return memory * day, k.Window }

// Observe takes a sample into the open window, after those before it were closed.
func (w windowed) Observe(m Memory, s Sample) Memory {
	if !s.sound() {
		return m
	}
	k := w.recall(m)
	switch index := w.index(s.Time); {
	case k == nil, index-k.index > w.forgotten():
		k = w.begins(s.Time)
	case s.Time <= k.last:
		return m
	default:
		w.reach(k, index)
	}
	k.last = s.Time
	k.sum, k.weight = k.sum+s.Rate, k.weight+1
	return w.write(k)
}

// Forecast from the window of a time. After too many windows without a sample it is from the last one.
func (w windowed) Forecast(m Memory, now float64) Prediction {
	k := w.recall(m)
	if k == nil {
		return Prediction{Mean: math.NaN(), Upper: math.NaN()}
	}
	if index := w.index(min(max(now, k.last), maxTime)); index-k.index <= w.forgotten() {
		w.reach(k, index)
	}
	p := k.forecast(w.quantile)
	return Prediction{Mean: digits(p.Mean, 6), Upper: digits(p.Upper, 6)}
}

func (w windowed) reach(k *state, index int) {
	for k.index < index {
		k.close(w.quantile)
	}
}

func (w windowed) index(time float64) int { return int(math.Floor(time / w.Window)) }

func (w windowed) forgotten() int { return int(forgotten * day / w.Window) }

func (w windowed) begins(at float64) *state {
	k := w.fresh()
	k.since, k.index, k.steps = at, w.index(at), int(math.Round(w.horizon))
	return k
}

func (w windowed) fresh() *state {
	k := &state{series: series{window: w.Window}}
	k.method, k.voices = w.begin()
	return k
}

// recall reads a memory; nil where there is none, or not one of this forecaster. A horizon that is not another by more than three quarters of a window
// is the one that was learned for, so that one between two does not change with every measurement.
func (w windowed) recall(m Memory) *state {
	if m.By != w.by || m.IsZero() || !(math.Abs(m.Since) <= maxTime) {
		return nil
	}
	k := w.fresh()
	c := codec{data: m.Data, reading: true}
	k.walk(&c)
	if c.bad || len(c.data) > 0 {
		return nil
	}
	k.since, k.index = m.Since, w.index(k.last)
	if math.Abs(w.horizon-float64(k.steps)) > horizonSlack {
		k.rescale(int(math.Round(w.horizon)))
	}
	return k
}

func (w windowed) write(k *state) Memory {
	var c codec
	k.walk(&c)
	return Memory{By: w.by, Since: k.since, Data: c.data}
}

// horizonSlack in windows.
// Tuned: windows; guard against learning anew whenever a measured start-up time moves from one window to the next
const horizonSlack = 0.75

func (k *state) walk(c *codec) {
	c.exact(&k.last)
	c.exact(&k.sum)
	c.number(&k.weight)
	c.check(math.Abs(k.last) <= maxTime && k.sum >= 0 && k.sum <= maxRate*k.weight && k.weight >= 1)
	c.whole(&k.steps, longestHorizon)
	c.check(k.steps >= 1)
	k.series.walk(c)
	k.method.walk(c)
	for i := range k.voices {
		k.voices[i].walk(c)
	}
	c.number(&k.count)
	c.check(k.count >= 0)
	length(c, &k.origins, originsPerHorizon+1)
	for i := range k.origins {
		k.origins[i].walk(c, k.voices)
	}
}

func (o *origin) walk(c *codec, voices []voice) {
	c.whole(&o.age, longestHorizon)
	c.number(&o.log)
	c.check(math.Abs(o.log) <= maxLog)
	if c.reading {
		o.opinions = make([]opinion, len(voices))
	}
	for i := range o.opinions {
		p := &o.opinions[i]
		c.coarse(&p.centre)
		for j := range voices[i].experts {
			c.coarse(&p.uppers[j])
			if j != constant {
				c.coarse(&p.scales[j])
				c.check(!(p.scales[j] <= 0))
			}
		}
	}
	length(c, &o.features, featureCount)
	for i := range o.features {
		c.coarse(&o.features[i])
		c.check(math.Abs(o.features[i]) <= featureLimit)
	}
}
