package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-inferno/inferno/optimizer/forecast"
)

func newForecastCommand() *cobra.Command {
	var (
		data, name string
		horizons   []float64
		quantile   float64
		from       float64
	)
	cmd := &cobra.Command{
		Use:   "forecast --data trace.csv",
		Short: "Forecast a recorded load as it would have been forecast at the time",
		Long: `Reads a rate-level trace (seconds,request_rate_per_s,…) and writes CSV: for each of its windows, from day 4 on, and each horizon the time
forecast for, the horizon, the forecast and its quantile, from the windows up to the time less the horizon only. Times and horizons are in
seconds, rates in requests per second.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if data == "" {
				return badInput{errors.New("--data must be given")}
			}
			samples, err := readFile(data, forecast.ReadSamples)
			if err != nil {
				return err
			}
			back, err := newBacktest(samples, name, quantile, horizons)
			if err != nil {
				return badInput{err}
			}
			return back.write(cmd.OutOrStdout(), samples[0].Time+from)
		},
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", "", "rate-level trace, CSV or CSV.gz")
	f.Float64SliceVar(&horizons, "horizon", []float64{600, 1800, 7200}, "seconds to look ahead, separated by commas")
	f.Float64Var(&quantile, "quantile", forecast.DefaultQuantile, "quantile of the rate, above 0 and below 1")
	f.StringVar(&name, "forecaster", forecast.NameAdaptive, "forecaster: "+strings.Join(forecast.Forecasters().Names(), ", "))
	f.Float64Var(&from, "from", 3*86400, "seconds of the trace to learn from before the first forecast is written")
	return cmd
}

// backtest replays a trace to forecasters.
type backtest struct {
	samples  []forecast.Sample
	window   float64 // s
	horizons []float64
	// For each horizon.
	predictors []forecast.Predictor
	memories   []forecast.Memory
}

// Limits of what is replayed: a horizon of at most a day, windows of 10 s to an hour.
const (
	maxHorizon = 86400
	minWindow  = 10
	maxWindow  = 3600
)

func newBacktest(samples []forecast.Sample, name string, quantile float64, horizons []float64) (*backtest, error) {
	if len(samples) < 2 {
		return nil, fmt.Errorf("--data: a trace of %d windows, want two or more", len(samples))
	}
	b := &backtest{samples: samples, window: spacing(samples), horizons: horizons}
	faults := []error{b.validate()}
	if err := forecast.ValidQuantile(quantile); err != nil {
		faults = append(faults, fmt.Errorf("--quantile: %w", err))
	}
	f, err := forecast.Forecasters().New(name, fmt.Appendf(nil, `{"window": %v}`, b.window))
	if err := errors.Join(append(faults, err)...); err != nil {
		return nil, err
	}
	for _, h := range horizons {
		b.predictors = append(b.predictors, f.For(h, quantile))
	}
	b.memories = make([]forecast.Memory, len(horizons))
	return b, nil
}

// spacing is the least distance between two samples: the length of a window.
func spacing(samples []forecast.Sample) float64 {
	least := math.Inf(1)
	for i, s := range samples[1:] {
		least = min(least, s.Time-samples[i].Time)
	}
	return least
}

func (b *backtest) validate() error {
	var faults []error
	if !(b.window >= minWindow && b.window <= maxWindow) {
		faults = append(faults, fmt.Errorf("--data: windows of %v s, want %v to %v", b.window, minWindow, maxWindow))
	}
	if len(b.horizons) == 0 {
		faults = append(faults, errors.New("--horizon: want at least one"))
	}
	for _, h := range b.horizons {
		if !(h >= b.window && h <= maxHorizon) {
			faults = append(faults, fmt.Errorf("--horizon: %v, want %v (the window of the trace) to %v seconds", h, b.window, maxHorizon))
		}
	}
	return errors.Join(faults...)
}

// write forecasts each window from a time on.
func (b *backtest) write(w io.Writer, from float64) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"seconds", "horizon", "forecast", "quantile"}); err != nil {
		return err
	}
	seen := make([]int, len(b.horizons)) // windows that each predictor has seen
	for _, target := range b.samples {
		for i, h := range b.horizons {
			for ; b.samples[seen[i]].Time <= target.Time-h; seen[i]++ {
				b.memories[i] = b.predictors[i].Observe(b.memories[i], b.samples[seen[i]])
			}
			if target.Time < from || seen[i] == 0 {
				continue
			}
			p := b.predictors[i].Forecast(b.memories[i], target.Time-h)
			if err := out.Write([]string{decimal(target.Time), decimal(h), decimal(p.Mean), decimal(p.Upper)}); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

func decimal(x float64) string { return strconv.FormatFloat(x, 'g', 10, 64) }
