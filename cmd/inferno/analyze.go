package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

func newAnalyzeCommand() *cobra.Command {
	var data, model, operation string
	cmd := &cobra.Command{
		Use:   "analyze --data problems.csv",
		Short: "Solve queueing problems: latencies at a rate, rates under targets",
		Long: `Solves each row of a CSV with the columns alpha_ms, beta_ms, gamma_ms, input_tokens, output_tokens, max_batch, max_queue,
max_batched_tokens and request_rate, and where there is slo_ttft_ms, slo_itl_ms or both also for the rates that meet each, and for the
smallest batch within 2 % of the highest rate that meets all. A file that begins
with a brace is one problem as JSON, in the form of llm-inferno's queue-analysis: it is solved at its rate, or where it has targets sized,
or with --operation optimize the smallest batch near the peak rate is chosen.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if data == "" {
				return badInput{errors.New("--data must be given")}
			}
			m, err := queueing.Models().New(model, nil)
			if err != nil {
				return badInput{err}
			}
			text, err := os.ReadFile(data)
			if err != nil {
				return badInput{err}
			}
			if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
				err = analyzeJSON(cmd.OutOrStdout(), m, operation, text)
			} else {
				err = analyzeCSV(cmd.OutOrStdout(), m, bytes.NewReader(text))
			}
			if err != nil {
				return badInput{fmt.Errorf("%s: %w", data, err)}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", "", "CSV of problems, or one problem as JSON")
	f.StringVar(&model, "queue-model", queueing.ModelStateDependent, "queueing model: "+strings.Join(queueing.Models().Names(), ", "))
	f.StringVar(&operation, "operation", "", "what to do with a problem as JSON: "+operationSolve+", "+operationTarget+" or "+operationOptimize)
	return cmd
}

// problem is a replica to analyse, in the units of the package queueing.
type problem struct {
	law      queueing.Work
	requests queueing.Requests
	limits   queueing.Limits
	rate     float64
	targets  sizing.Targets
}

// answers are the columns that analyze computes.
var answers = []string{"throughput", "response_ms", "wait_ms", "in_service", "prefill_ms", "itl_ms", "ttft_ms", "max_rate"}

// sizes are the columns that analyze computes where there are targets.
var sizes = []string{"size_rate_ttft", "size_rate_itl", "optimal_concurrency", "optimal_rate"}

func analyzeCSV(w io.Writer, m queueing.Model, r io.Reader) error {
	in := csv.NewReader(r)
	header, err := in.Read()
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	column := map[string]int{}
	for i, name := range header {
		column[name] = i
	}
	var missing []string
	for _, name := range []string{"alpha_ms", "beta_ms", "gamma_ms", "input_tokens", "output_tokens", "max_batch", "max_queue", "max_batched_tokens", "request_rate"} {
		if _, ok := column[name]; !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing columns %s", strings.Join(missing, ", "))
	}
	rows, err := in.ReadAll()
	if err != nil {
		return err
	}
	_, ttft := column["slo_ttft_ms"]
	_, itl := column["slo_itl_ms"]
	sized := ttft || itl
	out := csv.NewWriter(w)
	given := given(header)
	titles := append(append([]string(nil), given...), answers...)
	if sized {
		titles = append(titles, sizes...)
	}
	if err := out.Write(titles); err != nil {
		return err
	}
	var faults []error
	for i, row := range rows {
		answer, err := analyzeRow(m, column, row, sized)
		if err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", i+2, err))
			continue
		}
		fields := make([]string, 0, len(titles))
		for _, name := range given {
			fields = append(fields, row[column[name]])
		}
		for _, v := range answer {
			fields = append(fields, number(v))
		}
		if err := out.Write(fields); err != nil {
			return err
		}
	}
	out.Flush()
	return errors.Join(append(faults, out.Error())...)
}

// given are the columns that are not answers.
func given(header []string) []string {
	computed := map[string]bool{}
	for _, a := range slices.Concat(answers, sizes) {
		computed[a] = true
	}
	var names []string
	for _, h := range header {
		if !computed[h] {
			names = append(names, h)
		}
	}
	return names
}

func analyzeRow(m queueing.Model, column map[string]int, row []string, sized bool) ([]float64, error) {
	var faults []error
	get := func(name string) float64 {
		v, err := strconv.ParseFloat(row[column[name]], 64)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %q is not a number", name, row[column[name]]))
		}
		return v
	}
	p := problem{
		law:      queueing.Work{Alpha: get("alpha_ms") / 1e3, Beta: get("beta_ms") / 1e3, Gamma: get("gamma_ms") / 1e3},
		requests: requestsOf(get("input_tokens"), get("output_tokens")),
		limits:   queueing.Limits{MaxBatch: int(get("max_batch")), MaxQueue: int(get("max_queue")), MaxBatchedTokens: int(get("max_batched_tokens"))},
		rate:     get("request_rate"),
	}
	target := func(name string) float64 {
		if i, ok := column[name]; !ok || row[i] == "" {
			return 0
		}
		return get(name) / 1e3
	}
	p.targets = sizing.Targets{TTFT: target("slo_ttft_ms"), ITL: target("slo_itl_ms")}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	replica, err := m.Replica(p.law, p.requests, p.limits)
	if err != nil {
		return nil, err
	}
	q, err := replica.Open(p.rate)
	if err != nil {
		return nil, err
	}
	answer := []float64{q.Throughput, q.Response * 1e3, q.Wait * 1e3, q.InService, q.Prefill * 1e3, q.ITL.Mean * 1e3, q.TTFT.Mean * 1e3, q.MaxRate}
	if !sized {
		return answer, nil
	}
	for _, t := range []sizing.Targets{{TTFT: p.targets.TTFT}, {ITL: p.targets.ITL}} {
		rate := math.NaN()
		if t != (sizing.Targets{}) {
			_, s, err := sizing.RatePerReplica(m, p.law, p.requests, p.limits, t)
			switch {
			case err == nil:
				rate = s.Rate
			case !errors.As(err, new(*sizing.Infeasible)):
				return nil, err
			}
		}
		answer = append(answer, rate)
	}
	batch, rate := math.NaN(), math.NaN()
	if p.targets != (sizing.Targets{}) {
		c, err := sizing.Choose(m, p.law, p.requests, p.limits, p.targets, sizing.Free{Batch: true})
		switch {
		case err == nil:
			batch, rate = float64(c.Limits.MaxBatch), c.Prediction.Rate
		case !errors.As(err, new(*sizing.Infeasible)):
			return nil, err
		}
	}
	return append(answer, batch, rate), nil
}

// requestsOf means whose distribution is unknown.
func requestsOf(input, output float64) queueing.Requests {
	unknown := math.NaN()
	return queueing.Requests{InputTokens: input, OutputTokens: output, InputTokensSD: unknown, OutputTokensSD: unknown, ArrivalCV: unknown}
}

// number as text; empty where unknown.
func number(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', 9, 64)
}
