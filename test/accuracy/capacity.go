package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// sizedShare is the share of requests that the target on TTFT holds for; that on ITL is for the mean.
const sizedShare = 90

// capacities sizes every open run for what was measured in it: where a replica met an ITL and a P90 TTFT at some rate, that rate is what
// sizing for these two should return. The error is of the rate; a target that sizing holds for infeasible counts as 100 %.
func (s *sheet) capacities(cv float64) (byLoad map[float64][]float64, err error) {
	byLoad = map[float64][]float64{}
	for _, row := range s.open(cv) {
		load, err := s.number(row, "load")
		if err != nil {
			return nil, err
		}
		p90, err := s.number(row, "ttft_p90_ms")
		if err != nil {
			return nil, err
		}
		rate, err := capacity(s.predictor, row, row.ITL, p90/1e3)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", row.Line, err)
		}
		byLoad[load] = append(byLoad[load], math.Abs(rate/row.Rate-1))
	}
	return byLoad, nil
}

// capacity is the highest rate of arrivals at which the mean ITL and the P90 of TTFT, in seconds, are met; 0 where none meets them.
func capacity(p *fitting.Predictor, at fitting.Point, itl, ttftP90 float64) (float64, error) {
	law, limits, err := p.Law(at)
	if err != nil {
		return 0, err
	}
	lowest := math.Inf(1)
	for _, t := range []sizing.Targets{{ITL: itl}, {TTFT: ttftP90, Percentile: sizedShare}} {
		_, q, err := sizing.RatePerReplica(queueing.ContinuousBatching{}, law, at.Requests, limits, t)
		if errors.As(err, new(*sizing.Infeasible)) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		lowest = min(lowest, q.Rate)
	}
	return lowest, nil
}

// printCapacities writes one row for each load, and one for all.
func (s *sheet) printCapacities(w io.Writer, cv float64) error {
	byLoad, err := s.capacities(cv)
	if err != nil {
		return err
	}
	var all []float64
	line := func(load string, errs []float64) {
		within := 0
		for _, e := range errs {
			if e <= 0.08 {
				within++
			}
		}
		fmt.Fprintf(w, "| %s | %g | %s | %d | %.1f %% | %.1f %% | %.0f %% |\n", s.name, cv, load, len(errs), 100*median(errs), 100*slices.Max(errs),
			100*float64(within)/float64(len(errs)))
	}
	for _, load := range slices.Sorted(maps.Keys(byLoad)) {
		line(fmt.Sprint(load), byLoad[load])
		all = append(all, byLoad[load]...)
	}
	line("all", all)
	return nil
}
