// Package recording reads recorded observations, one JSON object a line: inferno's own, and the decision logs of llm-inferno's control loop.
//
// Inferno's own lines have the fields of [Line]; a field that is absent or null was not measured, and neither was one that is not a number
// (NaN, Infinity). They are decoded strictly. Decision logs
// are recognised by their field "servers"; they are another program's, so that fields that are not needed are passed over.
package recording

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"time"

	strict "sigs.k8s.io/json"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/llminferno"
	"github.com/llm-inferno/inferno/optimizer/plug"
)

// Record is one observation of one pair.
type Record struct {
	// Line of the file, from 1.
	Line               int
	Model, Accelerator string
	Observation        estimation.Observation
}

// Line is one observation as inferno's own files write it. Times of day are RFC 3339 or seconds since 1970; latencies in ms.
type Line struct {
	Time        *Moment  `json:"time"`
	Server      string   `json:"server"`
	Model       string   `json:"model"`
	Accelerator string   `json:"accelerator"`
	Replicas    *float64 `json:"replicas"`
	MaxBatch    float64  `json:"max_batch"`
	// MaxBatchedTokens is the token budget of an iteration.
	MaxBatchedTokens float64 `json:"max_batched_tokens"`
	// ArrivalRate and Throughput of all replicas together, in requests per second.
	ArrivalRate *float64 `json:"arrival_rate"`
	Throughput  *float64 `json:"throughput"`
	// InputTokens and OutputTokens per request.
	InputTokens  *float64 `json:"input_tokens"`
	OutputTokens *float64 `json:"output_tokens"`
	// PrefixHitRate is the share of input found in the prefix cache.
	PrefixHitRate *float64 `json:"prefix_hit_rate"`
	// Concurrency is the mean number of running requests per replica, ConcurrencySD its standard deviation over time, Waiting those that wait.
	Concurrency   *float64 `json:"concurrency"`
	ConcurrencySD *float64 `json:"concurrency_sd"`
	Waiting       *float64 `json:"waiting"`
	// TTFT and ITL, means and percentiles in ms.
	TTFT    *float64 `json:"ttft_ms"`
	TTFTP90 *float64 `json:"ttft_p90_ms"`
	TTFTP99 *float64 `json:"ttft_p99_ms"`
	ITL     *float64 `json:"itl_ms"`
	ITLP90  *float64 `json:"itl_p90_ms"`
	ITLP99  *float64 `json:"itl_p99_ms"`
	// Requests that the means are taken over.
	Requests *float64 `json:"requests"`
	// Window of the measurement in seconds.
	Window *float64 `json:"window_s"`
}

// Moment is a time in seconds since 1970, written as a number or as RFC 3339.
type Moment float64

// UnmarshalJSON implements json.Unmarshaler.
func (m *Moment) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err == nil {
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return fmt.Errorf("time: %q is not allowed, must be RFC 3339 or seconds since 1970", s)
		}
		*m = Moment(float64(t.UnixMicro()) / 1e6)
		return nil
	}
	if err := json.Unmarshal(text, (*float64)(m)); err != nil {
		return fmt.Errorf("time: %s is not allowed, must be RFC 3339 or seconds since 1970", text)
	}
	return nil
}

const (
	// maxLine bounds the line of an observation.
	//
	// Tuned: bytes; guard against a file that is no recording: no observation comes near it
	maxLine = 1 << 20
	// maxFaults is the number of faults that are spelled out.
	//
	// Tuned: faults; guard against a list of faults that nobody reads
	maxFaults = 20
)

// Read reads all observations. The error joins the faults of all lines, each with its number.
func Read(name string, r io.Reader) ([]Record, error) {
	var records []Record
	var faults []error
	var log decisionLog
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		read, err := readLine(text, &log)
		if err != nil {
			if faults = append(faults, fmt.Errorf("%s:%d: %w", name, n, err)); len(faults) == maxFaults {
				faults = append(faults, fmt.Errorf("%s: further faults are not listed", name))
				break
			}
		}
		for i := range read {
			read[i].Line = n
		}
		records = append(records, read...)
	}
	if err := lines.Err(); err != nil {
		faults = append(faults, fmt.Errorf("%s: %w", name, err))
	}
	if len(records) == 0 && len(faults) == 0 {
		faults = append(faults, fmt.Errorf("%s: holds no observation", name))
	}
	return records, errors.Join(faults...)
}

// notNumbers are what JSON has no words for and programs write nevertheless; group 1 is one that stands outside of strings.
var notNumbers = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|(-?\b(?:NaN|Infinity|nan|inf)\b)`)

// finite takes what is not a number for what was not measured.
func finite(text []byte) []byte {
	if !bytes.ContainsAny(text, "Ni") {
		return text
	}
	return notNumbers.ReplaceAllFunc(text, func(token []byte) []byte {
		if token[0] == '"' {
			return token
		}
		return []byte("null")
	})
}

func readLine(text []byte, log *decisionLog) ([]Record, error) {
	text = finite(text)
	var probe map[string]json.RawMessage
	if err := json.Unmarshal(text, &probe); err != nil {
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	if _, ok := probe["servers"]; ok {
		return log.read(text)
	}
	var l Line
	all, err := strict.UnmarshalStrict(text, &l)
	if err := errors.Join(append(all, plug.InWords(err))...); err != nil {
		return nil, err
	}
	return l.record()
}

func (l *Line) record() ([]Record, error) {
	var faults []error
	for _, f := range []struct{ field, v string }{{"model", l.Model}, {"accelerator", l.Accelerator}} {
		if f.v == "" {
			faults = append(faults, fmt.Errorf("%s: is missing", f.field))
		}
	}
	if l.Replicas != nil && !(*l.Replicas >= 0) {
		faults = append(faults, fmt.Errorf("replicas: %v is not allowed, must be at least 0", *l.Replicas))
	}
	for _, f := range []struct {
		field string
		v     float64
	}{{"max_batch", l.MaxBatch}, {"max_batched_tokens", l.MaxBatchedTokens}} {
		if !(f.v >= 0 && f.v <= math.MaxInt32 && f.v == math.Trunc(f.v)) {
			faults = append(faults, fmt.Errorf("%s: %v is not allowed, must be a whole number of at least 0", f.field, f.v))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	o := estimation.Unmeasured(l.Server)
	if l.Time != nil {
		o.Time = float64(*l.Time)
	}
	replicas := 1.0
	o.MaxBatch, o.MaxBatchedTokens = int(l.MaxBatch), int(l.MaxBatchedTokens)
	if l.Replicas != nil && *l.Replicas == 0 {
		// Nothing ran: whatever is said of it was not measured.
		o.Replicas = 0
		return []Record{{Model: l.Model, Accelerator: l.Accelerator, Observation: o}}, nil
	}
	if l.Replicas != nil {
		replicas, o.Replicas = *l.Replicas, *l.Replicas
	}
	as := func(v float64) float64 { return v }
	each := func(v float64) float64 { return v / replicas }
	for _, f := range []struct {
		to      *float64
		from    *float64
		convert func(float64) float64
	}{
		{&o.Window, l.Window, as}, {&o.Running, l.Concurrency, as}, {&o.RunningSD, l.ConcurrencySD, as}, {&o.Waiting, l.Waiting, as},
		{&o.ArrivalRate, l.ArrivalRate, each}, {&o.Throughput, l.Throughput, each}, {&o.InputTokens, l.InputTokens, as},
		{&o.OutputTokens, l.OutputTokens, as}, {&o.PrefixHitRate, l.PrefixHitRate, as}, {&o.TTFT, l.TTFT, jsonspec.Seconds},
		{&o.ITL, l.ITL, jsonspec.Seconds}, {&o.TTFTP90, l.TTFTP90, jsonspec.Seconds}, {&o.ITLP90, l.ITLP90, jsonspec.Seconds}, {&o.Requests, l.Requests, as},
	} {
		if f.from != nil {
			*f.to = f.convert(*f.from)
		}
	}
	return []Record{{Model: l.Model, Accelerator: l.Accelerator, Observation: o}}, nil
}

// decisionLog reads cycles in their order. Accelerator, replicas and batch of a line are those decided in it; what was measured ran on those
// of the line before. Zero stands for what was not measured.
type decisionLog struct{ before map[string]llminferno.Decided }

func (d *decisionLog) read(text []byte) ([]Record, error) {
	c, err := llminferno.Decode(text)
	if err != nil {
		return nil, err
	}
	if d.before == nil {
		d.before = map[string]llminferno.Decided{}
	}
	var records []Record
	var faults []error
	for i := range c.Servers {
		s := &c.Servers[i]
		if s.Name == "" || s.Model == "" {
			faults = append(faults, fmt.Errorf("servers[%d]: name and model must be given", i))
			continue
		}
		ran, known := d.before[s.Name]
		if !known {
			ran = s.Decided
		}
		d.before[s.Name] = s.Decided
		if s.OccTotal > 0 && s.OccPerReplica > 0 {
			ran.Replicas = math.Round(s.OccTotal / s.OccPerReplica)
		}
		o := observation(s, ran)
		if c.Time != nil {
			o.Time = float64(c.Time.UnixMicro()) / 1e6
		}
		records = append(records, Record{Model: s.Model, Accelerator: ran.Accelerator, Observation: o})
	}
	return records, errors.Join(faults...)
}

func observation(s *llminferno.Server, ran llminferno.Decided) estimation.Observation {
	o := estimation.Unmeasured(s.Name)
	set := func(to *float64, v float64) {
		if v != 0 {
			*to = v
		}
	}
	set(&o.Replicas, ran.Replicas)
	if ran.Replicas > 0 {
		set(&o.ArrivalRate, jsonspec.PerSecond(s.RPM)/ran.Replicas)
		set(&o.Throughput, jsonspec.PerSecond(s.Throughput)/ran.Replicas)
	}
	set(&o.Running, s.OccPerReplica)
	set(&o.InputTokens, s.AvgInTok)
	set(&o.OutputTokens, s.AvgOutTok)
	set(&o.TTFT, jsonspec.Seconds(s.TTFT))
	set(&o.ITL, jsonspec.Seconds(s.ITL))
	o.MaxBatch = max(0, ran.MaxBatch)
	return o
}
