// Package fitting learns service-time laws from benchmark points: robust regression that starts from a prior derived from physics, falls
// back to it where the data say nothing, and reports what the data cannot see.
package fitting

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// GroupColumns are what tells pairs apart, as far as a table has them.
var GroupColumns = append([]string{"engine", "model", "accelerator", "precision"}, degreeColumns...)

// Group identifies a pair: the text of its columns, absent ones missing.
type Group map[string]string

// Key is the group in one line, for sorting and for people.
func (g Group) Key() string {
	var parts []string
	for _, c := range GroupColumns {
		if v := g[c]; v != "" {
			parts = append(parts, c+"="+v)
		}
	}
	return strings.Join(parts, " ")
}

// Point is one row of a table of measurements or questions.
type Point struct {
	// Line of the file, from 1.
	Line  int
	Group Group
	// Fields of the row as they were read.
	Fields   []string
	Requests queueing.Requests
	Limits   queueing.Limits
	// Clients of a closed loop, 0 for open arrivals.
	Clients float64
	// Rate of open arrivals in requests per second, 0 for a closed loop.
	Rate float64
	// Roles are the workers where prompts and decodes have their own; nil where a replica does both.
	Roles *Roles
	// Samples is the number of requests that the measured means were taken over, 0 where unknown.
	Samples float64
	// TTFT and ITL are the measured means in seconds, NaN where not measured.
	TTFT, ITL float64
}

// Points is a table of them.
type Points struct {
	Header []string
	Rows   []Point
}

// unlimited stands for a batch that only memory limits.
//
// Tuned: requests; guard against a batch that is unbounded: no memory holds as many
const unlimited = 1 << 16

// ReadPoints reads a CSV with the columns model, accelerator, input_tokens, output_tokens and concurrency or request_rate; the other
// columns of [GroupColumns], input_tokens_sd, output_tokens_sd, interarrival_cv, max_num_seqs, max_num_batched_tokens, prefix_hit_rate,
// kv_tokens, and, where measured is true, ttft_ms, itl_ms and requests. The error joins every fault, by line.
func ReadPoints(r io.Reader, measured bool) (*Points, error) {
	t, err := readTable(r)
	if err != nil {
		return nil, err
	}
	needs := []string{"model", "accelerator", "input_tokens", "output_tokens"}
	if measured {
		needs = append(needs, "ttft_ms", "itl_ms")
	}
	faults := []error{t.need(needs...)}
	if !t.has("concurrency") && !t.has("request_rate") {
		faults = append(faults, errors.New("missing columns: one of concurrency and request_rate"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	all := &Points{Header: t.header}
	for _, row := range t.rows {
		p := row.point(measured)
		faults = append(faults, row.faults...)
		all.Rows = append(all.Rows, p)
	}
	return all, errors.Join(faults...)
}

// degreeColumns say over how many cards a replica is spread.
var degreeColumns = []string{"tensor_parallel", "attention_dp", "expert_parallel", "pipeline_parallel"}

// parseDegree reads a whole number, also one that a table wrote as 2.0.
func parseDegree(text string) (int, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err == nil && !(v >= 0 && v <= maxDegree && v == math.Trunc(v)) {
		err = strconv.ErrRange
	}
	return int(v), err
}

// maxDegree is more cards than any replica has.
//
// Tuned: cards; guard against a number that is a mistake
const maxDegree = 1 << 20

func (r *record) point(measured bool) Point {
	p := Point{Line: r.line, Fields: r.fields, Group: Group{}, TTFT: math.NaN(), ITL: math.NaN()}
	for _, c := range GroupColumns {
		if v := r.text(c); v != "" {
			p.Group[c] = v
		}
	}
	for _, c := range degreeColumns {
		if v, given := p.Group[c]; given {
			if _, err := parseDegree(v); err != nil {
				r.faults = append(r.faults, fmt.Errorf("line %d: %s: %q is not a whole number of at least 0", r.line, c, v))
			}
		}
	}
	p.Roles = r.roles()
	unknown := func(column string) float64 {
		if r.text(column) == "" {
			return math.NaN()
		}
		return r.optional(column)
	}
	p.Requests = queueing.Requests{
		InputTokens: r.given("input_tokens"), OutputTokens: r.positive("output_tokens"),
		InputTokensSD: unknown("input_tokens_sd"), OutputTokensSD: unknown("output_tokens_sd"), ArrivalCV: unknown("interarrival_cv"),
		PrefixHitRate: r.optional("prefix_hit_rate"),
	}
	p.Limits = queueing.Limits{
		MaxBatch: int(r.optional("max_num_seqs")), MaxBatchedTokens: int(r.optional("max_num_batched_tokens")), KVTokens: int(r.optional("kv_tokens")),
		MaxQueue: unlimited,
	}
	if p.Limits.MaxBatch == 0 {
		p.Limits.MaxBatch = unlimited
	}
	if p.Limits.MaxBatchedTokens == 0 {
		p.Limits.MaxBatchedTokens = queueing.DefaultMaxBatchedTokens
	}
	p.Clients, p.Rate = r.optional("concurrency"), r.optional("request_rate")
	if (p.Clients > 0) == (p.Rate > 0) {
		r.faults = append(r.faults, fmt.Errorf("line %d: exactly one of concurrency and request_rate must be above 0", r.line))
	}
	if measured {
		p.Samples = r.optional("requests")
		p.TTFT, p.ITL = r.positive("ttft_ms")/1e3, r.positive("itl_ms")/1e3
	}
	return p
}

// Groups of the rows that keep accepts, sorted by key; rows stay in their order.
func (p *Points) Groups(keep func(Point) bool) [][]Point {
	by := map[string][]Point{}
	for _, row := range p.Rows {
		if keep(row) {
			k := row.Group.Key()
			by[k] = append(by[k], row)
		}
	}
	var all [][]Point
	for _, k := range slices.Sorted(maps.Keys(by)) {
		all = append(all, by[k])
	}
	return all
}
