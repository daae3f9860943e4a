// Package trace turns recorded load into arrivals.
//
// A trace is read from CSV in one of two forms, told apart by the header:
// request level (seconds,input_tokens,output_tokens), one line per request, or
// rate level (seconds,request_rate_per_s,input_tokens_mean,output_tokens_mean,
// interarrival_cv), one line per window that lasts until the next one. It is
// replayed faster, denser, from a later start or again and again; rate-level
// traces are filled with random arrivals. Equal seeds give equal arrivals.
package trace

import (
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// Arrival is one request.
type Arrival struct {
	At           float64 // s
	InputTokens  int
	OutputTokens int
}

// Window is a stretch of a rate-level trace.
type Window struct {
	Start, End float64 // s; the end may be +Inf
	Rate       float64 // requests/s
	InputMean  float64 // tokens per prompt
	OutputMean float64 // tokens generated per request
	CV         float64 // coefficient of variation of the interarrival times; 1 is Poisson
}

// Trace is recorded load: either arrivals or windows, in order of time.
type Trace struct {
	Arrivals []Arrival
	Windows  []Window
}

// Constant is a rate-level trace that never changes and never ends.
func Constant(rate, inputMean, outputMean, cv float64) *Trace {
	return &Trace{Windows: []Window{{End: math.Inf(1), Rate: rate, InputMean: inputMean, OutputMean: outputMean, CV: cv}}}
}

// Open reads a trace from a file, unpacking it if its name ends in .gz.
func Open(path string) (*Trace, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var content io.Reader = file
	if strings.HasSuffix(path, ".gz") {
		unpacked, err := gzip.NewReader(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		defer unpacked.Close()
		content = unpacked
	}
	return Read(content, filepath.Base(path))
}

// end is when the trace is over and may begin again, s.
func (t *Trace) end() float64 {
	if n := len(t.Windows); n > 0 {
		return t.Windows[n-1].End
	}
	n := len(t.Arrivals)
	return t.Arrivals[n-1].At + t.meanGap()
}

// meanGap is the mean interarrival time of a request-level trace, s. It stands in
// for the gap that nobody recorded, after the last request.
func (t *Trace) meanGap() float64 {
	n := len(t.Arrivals)
	if span := t.Arrivals[n-1].At - t.Arrivals[0].At; span > 0 {
		return span / float64(n-1)
	}
	return 1
}
