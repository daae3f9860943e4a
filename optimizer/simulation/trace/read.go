package trace

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

var (
	requestHeader = []string{"seconds", "input_tokens", "output_tokens"}
	rateHeader    = []string{"seconds", "request_rate_per_s", "input_tokens_mean", "output_tokens_mean", "interarrival_cv"}
)

const (
	// maxFaults is how many faults are reported before reading stops.
	//
	// Tuned: faults; guard against a file that is wrong in every line
	maxFaults = 20
	// maxTokens of a request: no context is that long.
	//
	// Tuned: tokens; guard against a file of something else
	maxTokens = 100_000_000
	// maxRate is more than any service gets.
	//
	// Tuned: req/s; guard against a file of something else
	maxRate = 1e6
	// maxCV of the times between arrivals: no stream of requests is that bursty.
	//
	// Tuned: 1; guard against a file of something else
	maxCV = 1000
	// maxTime is the latest that a request may come, in seconds since any epoch.
	//
	// Tuned: s; guard against times in another unit
	maxTime = 1e12
)

// Fault is one thing wrong with a file.
type Fault struct {
	File    string
	Line    int
	Field   string // empty where the whole line is meant
	Value   string
	Allowed string
}

func (f *Fault) Error() string {
	if f.Field == "" {
		return fmt.Sprintf("%s:%d: %q, want %s", f.File, f.Line, f.Value, f.Allowed)
	}
	return fmt.Sprintf("%s:%d: %s: %q, want %s", f.File, f.Line, f.Field, f.Value, f.Allowed)
}

// Read reads a trace in CSV; the name stands for the file in messages. The error
// joins a Fault for everything wrong, up to a limit.
func Read(content io.Reader, name string) (*Trace, error) {
	records := csv.NewReader(content)
	records.ReuseRecord = true
	records.FieldsPerRecord = -1
	r := &reader{file: name, records: records}
	trace := r.read()
	if len(r.faults) > 0 {
		return nil, errors.Join(r.faults...)
	}
	return trace, nil
}

// reader keeps the place in the file and what was wrong so far.
type reader struct {
	file    string
	records *csv.Reader
	line    int
	header  []string
	record  []string
	faults  []error
}

func (r *reader) read() *Trace {
	if !r.next() {
		r.empty("a header")
		return nil
	}
	trace := new(Trace)
	switch header := r.record; {
	case slices.Equal(header, requestHeader):
		r.header = requestHeader
		r.requests(trace)
	case slices.Equal(header, rateHeader):
		r.header = rateHeader
		r.windows(trace)
	default:
		r.fault("", strings.Join(header, ","), fmt.Sprintf("the header %s or %s",
			strings.Join(requestHeader, ","), strings.Join(rateHeader, ",")))
	}
	return trace
}

// next reads a line and tells whether there is one and more should be read.
func (r *reader) next() bool {
	if len(r.faults) >= maxFaults {
		r.faults = append(r.faults, fmt.Errorf("%s: more than %d faults, not read beyond line %d", r.file, maxFaults-1, r.line))
		return false
	}
	record, err := r.records.Read()
	if errors.Is(err, io.EOF) {
		return false
	}
	if err != nil {
		r.faults = append(r.faults, fmt.Errorf("%s: %w", r.file, err))
		return false
	}
	r.line, _ = r.records.FieldPos(0)
	r.record = record
	return true
}

func (r *reader) empty(want string) {
	if len(r.faults) == 0 {
		r.fault("", "", want)
	}
}

func (r *reader) requests(trace *Trace) {
	earliest := 0.0
	for r.next() {
		before := len(r.faults)
		a := Arrival{
			At:           r.number(0, atLeast(earliest), maxTime),
			InputTokens:  r.tokens(1),
			OutputTokens: r.tokens(2),
		}
		if r.complete() && len(r.faults) == before {
			trace.Arrivals = append(trace.Arrivals, a)
			earliest = a.At
		}
	}
	if len(trace.Arrivals) == 0 {
		r.empty("at least one request")
	}
}

func (r *reader) windows(trace *Trace) {
	earliest := atLeast(0)
	for r.next() {
		before := len(r.faults)
		w := Window{
			Start:      r.number(0, earliest, maxTime),
			End:        math.Inf(1),
			Rate:       r.number(1, atLeast(0), maxRate),
			InputMean:  r.number(2, above(0), maxTokens),
			OutputMean: r.number(3, above(0), maxTokens),
			CV:         r.number(4, atLeast(0), maxCV),
		}
		if !r.complete() || len(r.faults) > before {
			continue
		}
		if n := len(trace.Windows); n > 0 {
			trace.Windows[n-1].End = w.Start
		}
		trace.Windows = append(trace.Windows, w)
		earliest = above(w.Start)
	}
	n := len(trace.Windows)
	if n == 0 {
		r.empty("at least one window")
	}
	// The last window lasts as long as the one before; a lone one is constant.
	if n > 1 {
		last, previous := &trace.Windows[n-1], trace.Windows[n-2]
		last.End = last.Start + (previous.End - previous.Start)
	}
}

// complete reports a line with too few or too many fields.
func (r *reader) complete() bool {
	if len(r.record) == len(r.header) {
		return true
	}
	r.fault("", strings.Join(r.record, ","), fmt.Sprintf("%d fields", len(r.header)))
	return false
}

// field returns a field of the line; complete reports the missing ones.
func (r *reader) field(i int) (string, bool) {
	if i < len(r.record) && len(r.record) == len(r.header) {
		return r.record[i], true
	}
	return "", false
}

// bound is the least value of a field, or one that it must exceed.
type bound struct {
	value float64
	open  bool
}

func atLeast(value float64) bound { return bound{value: value} }
func above(value float64) bound   { return bound{value: value, open: true} }

func (b bound) admits(value float64) bool { return value > b.value || value == b.value && !b.open }

func (b bound) String() string {
	if b.open {
		return fmt.Sprintf("above %v", b.value)
	}
	return fmt.Sprintf("at least %v", b.value)
}

func (r *reader) number(i int, least bound, most float64) float64 {
	text, present := r.field(i)
	if !present {
		return 0
	}
	value, err := strconv.ParseFloat(text, 64)
	if err == nil && least.admits(value) && value <= most {
		return value
	}
	r.fault(r.header[i], text, fmt.Sprintf("a number %v and at most %v", least, most))
	return 0
}

func (r *reader) tokens(i int) int {
	text, present := r.field(i)
	if !present {
		return 1
	}
	value, err := strconv.Atoi(text)
	if err == nil && value >= 1 && value <= maxTokens {
		return value
	}
	r.fault(r.header[i], text, fmt.Sprintf("a whole number from 1 to %d", maxTokens))
	return 1
}

func (r *reader) fault(field, value, allowed string) {
	r.faults = append(r.faults, &Fault{File: r.file, Line: max(r.line, 1), Field: field, Value: value, Allowed: allowed})
}
