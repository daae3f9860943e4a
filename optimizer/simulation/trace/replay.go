package trace

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// Options say how a trace is replayed. The zero value of a field is its default.
type Options struct {
	SpeedUp float64 `json:"speedUp,omitempty"` // trace seconds that pass in a second; 1
	Scale   float64 `json:"scale,omitempty"`   // requests for each of the trace; 1
	Start   float64 `json:"start,omitempty"`   // where to begin, s of the trace; 0
	Loop    bool    `json:"loop,omitempty"`    // begin again at the end
	Seed    uint64  `json:"seed,omitempty"`

	// TokenCV is the coefficient of variation of the token counts that a
	// rate-level trace is filled with (gamma distributed); 1, the exponential.
	TokenCV float64 `json:"tokenCV,omitempty"`
	// OutputCV is that of the generated tokens alone; TokenCV.
	OutputCV float64 `json:"outputCV,omitempty"`
}

func (o Options) withDefaults() Options {
	for _, field := range []*float64{&o.SpeedUp, &o.Scale, &o.TokenCV} {
		if *field == 0 {
			*field = 1
		}
	}
	if o.OutputCV == 0 {
		o.OutputCV = o.TokenCV
	}
	return o
}

func (o Options) validate(end float64) error {
	var faults []error
	for _, field := range []struct {
		name        string
		value       float64
		least, most float64
	}{{"speedUp", o.SpeedUp, 1e-6, 1e6}, {"scale", o.Scale, 1e-6, 1e6}, {"tokenCV", o.TokenCV, 1e-6, maxCV}, {"outputCV", o.OutputCV, 1e-6, maxCV}} {
		if !(field.value >= field.least && field.value <= field.most) {
			faults = append(faults, fmt.Errorf("%s: %v, want %v to %v", field.name, field.value, field.least, field.most))
		}
	}
	if !(o.Start >= 0 && o.Start < end) {
		faults = append(faults, fmt.Errorf("start: %v s, want at least 0 and before the end of the trace at %v s", o.Start, end))
	}
	return errors.Join(faults...)
}

// Source yields the arrivals of a trace in order of time, from 0 s on.
type Source struct {
	next    func() (Arrival, bool) // in trace time
	start   float64
	speedUp float64
}

// Replay starts a trace. The error lists every option out of range.
func (t *Trace) Replay(options Options) (*Source, error) {
	if len(t.Arrivals) == 0 && len(t.Windows) == 0 {
		return nil, errors.New("trace: empty, want arrivals or windows")
	}
	o := options.withDefaults()
	if err := o.validate(t.end()); err != nil {
		return nil, err
	}
	const stream = 0x7472616365 // keeps these draws apart from others of the same seed
	random := rand.New(rand.NewPCG(o.Seed, stream))
	s := &Source{start: o.Start, speedUp: o.SpeedUp}
	if len(t.Windows) > 0 {
		s.next = newFiller(t, o, random).next
	} else {
		s.next = newRecording(t, o, random).next
	}
	return s, nil
}

// Next returns the next arrival, or false when the trace is over.
func (s *Source) Next() (Arrival, bool) {
	a, ok := s.next()
	a.At = (a.At - s.start) / s.speedUp
	return a, ok
}

// recording replays the arrivals of a request-level trace.
type recording struct {
	arrivals []Arrival
	period   float64 // 0 where the trace does not begin again
	gap      float64 // after the last arrival
	scale    float64
	random   *rand.Rand

	index  int
	offset float64 // begin of the present round

	copy, copies int
}

func newRecording(t *Trace, o Options, random *rand.Rand) *recording {
	r := &recording{arrivals: t.Arrivals, gap: t.meanGap(), scale: o.Scale, random: random}
	if o.Loop {
		r.period = t.end()
	}
	for r.index < len(r.arrivals) && r.arrivals[r.index].At < o.Start {
		r.index++
	}
	r.index--
	return r
}

// next yields each arrival as often as the scale says, by chance where that is no
// whole number. Copies are spread evenly over the gap to the next arrival: that
// keeps the course of the rate and makes no batches that were not recorded.
func (r *recording) next() (Arrival, bool) {
	for r.copy+1 >= r.copies {
		if !r.advance() {
			return Arrival{}, false
		}
	}
	r.copy++
	a := r.arrivals[r.index]
	a.At += r.offset + r.gapAfter(r.index)*float64(r.copy)/float64(r.copies)
	return a, true
}

func (r *recording) advance() bool {
	r.index++
	if r.index >= len(r.arrivals) {
		if r.period == 0 {
			r.index = len(r.arrivals)
			return false
		}
		r.index = 0
		r.offset += r.period
	}
	whole, part := math.Modf(r.scale)
	r.copy, r.copies = -1, int(whole)
	if part > 0 && r.random.Float64() < part {
		r.copies++
	}
	return true
}

func (r *recording) gapAfter(i int) float64 {
	if i+1 < len(r.arrivals) {
		return r.arrivals[i+1].At - r.arrivals[i].At
	}
	return r.gap
}
