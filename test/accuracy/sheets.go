package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// sheet is a table with the measured percentiles of open arrivals, and a predictor that was fitted on closed loops of the same pairs.
type sheet struct {
	name      string
	points    *fitting.Points
	columns   map[string]int
	predictor *fitting.Predictor
}

// sheets are the simulated data: requests cost little to prefill and come at equal distances in the first two, in the last prompts cost what
// the arithmetic of a card charges and come at random and in bursts.
func sheets(data string) ([]*sheet, error) {
	var all []*sheet
	for _, f := range []struct{ name, file, fit string }{
		{"loads", "open-loop.csv", "open-loop.csv"},
		{"token budgets", "token-budget.csv", "open-loop.csv"},
		{"dear prompts", "poisson.csv", "poisson.csv"},
	} {
		s := &sheet{name: f.name, columns: map[string]int{}}
		var err error
		if s.points, err = read(data + "/simulated/" + f.file); err != nil {
			return nil, err
		}
		for i, c := range s.points.Header {
			s.columns[c] = i
		}
		fitted, err := read(data + "/simulated/" + f.fit)
		if err != nil {
			return nil, err
		}
		k := fitting.BuiltIn()
		fits, err := k.FitAll(fitted, fitting.Options{})
		if err != nil {
			return nil, err
		}
		if s.predictor, err = predictor(k, fits, queueing.ContinuousBatching{}); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// open are the rows with open arrivals of that CV.
func (s *sheet) open(cv float64) []fitting.Point {
	var rows []fitting.Point
	for _, row := range s.points.Rows {
		if row.Rate > 0 && row.Requests.ArrivalCV == cv {
			rows = append(rows, row)
		}
	}
	return rows
}

// cvs are the coefficients of variation of arrivals that the sheet has rows of.
func (s *sheet) cvs() []float64 {
	var cvs []float64
	for _, row := range s.points.Rows {
		if row.Rate > 0 {
			cvs = append(cvs, row.Requests.ArrivalCV)
		}
	}
	slices.Sort(cvs)
	return slices.Compact(cvs)
}

// number of one column of a row; NaN where the sheet has no such column.
func (s *sheet) number(row fitting.Point, column string) (float64, error) {
	i, ok := s.columns[column]
	if !ok {
		return math.NaN(), nil
	}
	v, err := strconv.ParseFloat(row.Fields[i], 64)
	if err != nil {
		return 0, fmt.Errorf("line %d: %s: %w", row.Line, column, err)
	}
	return v, nil
}

// simulated predicts the open arrivals of each sheet.
func simulated(w io.Writer, data string) error {
	all, err := sheets(data)
	if err != nil {
		return err
	}
	fmt.Fprint(w, "### Simulated engines, open arrivals, fitted on a closed loop, median errors\n\n"+
		"| data | CV of arrivals | runs | ITL | P90 ITL | P99 ITL | P90 ITL of requests | P99 of it | TTFT | P90 TTFT | P99 TTFT |\n"+
		"|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, s := range all {
		for _, cv := range s.cvs() {
			if err := s.print(w, cv); err != nil {
				return err
			}
		}
	}
	fmt.Fprint(w, "\n### The same, highest rate that meets the ITL and the P90 TTFT measured at a rate\n\n"+
		"| data | CV of arrivals | load | runs | median error | worst | within 8 % |\n|---|---|---|---|---|---|---|\n")
	for _, s := range all {
		for _, cv := range s.cvs() {
			if err := s.printCapacities(w, cv); err != nil {
				return err
			}
		}
	}
	return nil
}

// print writes the median errors of the rows of one CV.
func (s *sheet) print(w io.Writer, cv float64) error {
	columns := []string{"itl_ms", "itl_p90_ms", "itl_p99_ms", "request_itl_p90_ms", "request_itl_p99_ms", "ttft_ms", "ttft_p90_ms", "ttft_p99_ms"}
	errs := make([][]float64, len(columns))
	rows := s.open(cv)
	for _, row := range rows {
		q, err := s.predictor.Predict(row)
		if err != nil {
			return err
		}
		for i, v := range []float64{q.ITL.Mean, q.ITL.P90, q.ITL.P99, q.RequestITL.P90, q.RequestITL.P99, q.TTFT.Mean, q.TTFT.P90, q.TTFT.P99} {
			measured, err := s.number(row, columns[i])
			if err != nil {
				return err
			}
			if !math.IsNaN(measured) {
				errs[i] = append(errs[i], math.Abs(v*1e3/measured-1))
			}
		}
	}
	fmt.Fprintf(w, "| %s | %g | %d |", s.name, cv, len(rows))
	for _, e := range errs {
		if len(e) == 0 {
			fmt.Fprint(w, " – |")
			continue
		}
		fmt.Fprintf(w, " %.1f %% |", 100*median(e))
	}
	fmt.Fprintln(w)
	return nil
}
