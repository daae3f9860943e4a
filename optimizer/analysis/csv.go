package analysis

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// Columns of a table of problems. Latency targets are optional.
const (
	columnTTFT = "slo_ttft_ms"
	columnITL  = "slo_itl_ms"
)

// required columns of a table of problems.
var required = []string{"alpha_ms", "beta_ms", "gamma_ms", "input_tokens", "output_tokens", "max_batch", "max_queue", "max_batched_tokens", "request_rate"}

// answers are the columns that are computed.
var answers = []string{"throughput", "response_ms", "wait_ms", "in_service", "prefill_ms", "itl_ms", "ttft_ms", "max_rate"}

// sizes are the columns that are computed where there are targets.
var sizes = []string{"size_rate_ttft", "size_rate_itl", "optimal_concurrency", "optimal_rate"}

// CSV reads a table of problems, answers each by the model and writes the table with the answers beside what was given. Where a column of
// targets is there, rows are sized too; what cannot be known stays empty. The error joins the faults of all rows, each with its line.
func CSV(out io.Writer, m queueing.Model, in io.Reader) error {
	t, err := readTable(in)
	if err != nil {
		return err
	}
	w := csv.NewWriter(out)
	if err := w.Write(t.titles()); err != nil {
		return err
	}
	var faults []error
	for i, row := range t.rows {
		answer, err := t.answer(m, row)
		if err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", i+2, err))
			continue
		}
		if err := w.Write(t.fields(row, answer)); err != nil {
			return err
		}
	}
	w.Flush()
	return errors.Join(append(faults, w.Error())...)
}

// table of problems.
type table struct {
	column map[string]int
	// given are the columns that are not computed, in their order.
	given []string
	rows  [][]string
	// sized says that there is a column of targets.
	sized bool
}

func readTable(in io.Reader) (*table, error) {
	r := csv.NewReader(in)
	header, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	t := &table{column: map[string]int{}}
	for i, name := range header {
		t.column[name] = i
		if !slices.Contains(answers, name) && !slices.Contains(sizes, name) {
			t.given = append(t.given, name)
		}
	}
	if missing := slices.DeleteFunc(slices.Clone(required), func(name string) bool { return slices.Contains(header, name) }); len(missing) > 0 {
		return nil, fmt.Errorf("missing columns %s", strings.Join(missing, ", "))
	}
	t.sized = slices.Contains(header, columnTTFT) || slices.Contains(header, columnITL)
	t.rows, err = r.ReadAll()
	return t, err
}

func (t *table) titles() []string {
	if !t.sized {
		return slices.Concat(t.given, answers)
	}
	return slices.Concat(t.given, answers, sizes)
}

// fields of a row: what was given, then the answers, empty where unknown.
func (t *table) fields(row []string, answer []float64) []string {
	fields := make([]string, 0, len(t.given)+len(answer))
	for _, name := range t.given {
		fields = append(fields, row[t.column[name]])
	}
	for _, v := range answer {
		text := ""
		if !math.IsNaN(v) {
			text = strconv.FormatFloat(v, 'g', 9, 64)
		}
		fields = append(fields, text)
	}
	return fields
}

// problem of a row; the error joins the faults of its fields. An empty target is none.
func (t *table) problem(row []string) (Problem, error) {
	var faults []error
	get := func(name string) float64 {
		i, ok := t.column[name]
		if !ok || row[i] == "" && (name == columnTTFT || name == columnITL) {
			return 0
		}
		v, err := strconv.ParseFloat(row[i], 64)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %q is not a number", name, row[i]))
		}
		return v
	}
	seconds := func(name string) float64 { return jsonspec.Seconds(get(name)) }
	law := queueing.Work{Alpha: seconds("alpha_ms"), Beta: seconds("beta_ms"), Gamma: seconds("gamma_ms")}
	p := NewProblem(get("input_tokens"), get("output_tokens"))
	p.Law = law
	p.Limits = queueing.Limits{MaxBatch: int(get("max_batch")), MaxQueue: int(get("max_queue")), MaxBatchedTokens: int(get("max_batched_tokens"))}
	p.Rate = get("request_rate")
	p.Targets = sizing.Targets{TTFT: seconds(columnTTFT), ITL: seconds(columnITL)}
	return p, errors.Join(faults...)
}

// answer to a row, in the order of the columns.
func (t *table) answer(m queueing.Model, row []string) ([]float64, error) {
	p, err := t.problem(row)
	if err != nil {
		return nil, err
	}
	q, err := p.Latencies(m)
	if err != nil {
		return nil, err
	}
	ms := jsonspec.Milliseconds
	answer := []float64{q.Throughput, ms(q.Response), ms(q.Wait), q.InService, ms(q.Prefill), ms(q.ITL.Mean), ms(q.TTFT.Mean), q.MaxRate}
	if !t.sized {
		return answer, nil
	}
	ttft, errTTFT := p.rate(m, sizing.Targets{TTFT: p.Targets.TTFT})
	itl, errITL := p.rate(m, sizing.Targets{ITL: p.Targets.ITL})
	batch, rate, errBatch := p.batch(m)
	return append(answer, ttft, itl, batch, rate), errors.Join(errTTFT, errITL, errBatch)
}

// rate is the highest that meets targets; NaN where there are none, or where nothing meets them.
func (p *Problem) rate(m queueing.Model, targets sizing.Targets) (float64, error) {
	if targets == (sizing.Targets{}) {
		return math.NaN(), nil
	}
	q, err := p.Highest(m, targets)
	if infeasible(err) {
		return math.NaN(), nil
	}
	return q.Rate, err
}

// batch is the smallest near the highest rate that meets the targets, and that rate; NaN where there are none, or where nothing meets them.
func (p *Problem) batch(m queueing.Model) (batch, rate float64, err error) {
	if p.Targets == (sizing.Targets{}) {
		return math.NaN(), math.NaN(), nil
	}
	c, err := p.Smallest(m)
	if infeasible(err) {
		return math.NaN(), math.NaN(), nil
	}
	return float64(c.Limits.MaxBatch), c.Prediction.Rate, err
}
