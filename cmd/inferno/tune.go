package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/estimation/recording"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

type tuneOptions struct {
	models, observations, estimator, options, output, plot string
}

var tuneFormats = []string{"jsonl", "table"}

func newTuneCommand() *cobra.Command {
	var o tuneOptions
	cmd := &cobra.Command{
		Use:   "tune --model-data FILE --observations FILE.jsonl",
		Short: "Learn how fast models run from recorded observations",
		Long: `Feeds recorded observations to an estimator, one at a time, and prints for each what was predicted before it was learned from, how far off
that was, whether it was accepted, and the parameters learned with the standard deviations of their logarithms.

Observations are JSON lines: inferno's own (time, model, accelerator, replicas, max_batch, arrival_rate per s, input_tokens, output_tokens,
concurrency per replica, ttft_ms, itl_ms and more; what is absent was not measured), the decision log of inferno-optimizer, or that of
llm-inferno's control loop.
Described in docs/estimation.md.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.OutOrStdout()) },
	}
	f := cmd.Flags()
	f.StringVar(&o.models, "model-data", "", "model data to begin with: of a system specification, or written by inferno fit")
	f.StringVar(&o.observations, "observations", "", "file of observations")
	f.StringVar(&o.estimator, "estimator", estimation.EstimatorEKF, "estimator: "+strings.Join(estimation.Estimators().Names(), ", "))
	f.StringVar(&o.options, "estimator-options", "", "options of the estimator, as JSON")
	f.StringVarP(&o.output, "output", "o", "table", "output format: "+strings.Join(tuneFormats, ", "))
	f.StringVar(&o.plot, "plot", "", "file to draw parameters with their bands, and predicted against observed latencies to, as PNG")
	return cmd
}

func (o *tuneOptions) run(out io.Writer) error {
	var faults []error
	for _, f := range []struct{ flag, v string }{{"--model-data", o.models}, {"--observations", o.observations}} {
		if f.v == "" {
			faults = append(faults, fmt.Errorf("%s: is missing", f.flag))
		}
	}
	if !slices.Contains(tuneFormats, o.output) {
		faults = append(faults, fmt.Errorf("--output: %q is not allowed, must be one of %s", o.output, strings.Join(tuneFormats, ", ")))
	}
	estimator, err := estimation.Estimators().New(o.estimator, []byte(o.options))
	if err := errors.Join(append(faults, err)...); err != nil {
		return badInput{err}
	}
	pairs, err := readPairs(o.models)
	if err != nil {
		return badInput{err}
	}
	file, err := os.Open(o.observations)
	if err != nil {
		return badInput{err}
	}
	defer file.Close()
	records, err := readObservations(filepath.Base(o.observations), file)
	if err != nil {
		return badInput{err}
	}
	steps, err := tune(estimator, pairs, records)
	if err != nil {
		return badInput{err}
	}
	if o.plot != "" {
		if err := plotTuning(o.plot, steps); err != nil {
			return err
		}
	}
	if o.output == "table" {
		return printTuning(out, steps)
	}
	e := json.NewEncoder(out)
	for i := range steps {
		if err := e.Encode(&steps[i]); err != nil {
			return err
		}
	}
	return nil
}

// pair is a model on an accelerator.
type pair struct{ model, accelerator string }

// readPairs reads model data.
func readPairs(name string) (map[pair]jsonspec.Performance, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var data jsonspec.ModelData
	if err := specification.Decode(filepath.Base(name), text, &data); err != nil {
		return nil, err
	}
	pairs := map[pair]jsonspec.Performance{}
	var faults []error
	for i, m := range data.Spec {
		key := pair{m.Name, m.Acc}
		if _, twice := pairs[key]; twice {
			faults = append(faults, fmt.Errorf("models[%d]: %s on %s is given twice", i, m.Name, m.Acc))
		}
		pairs[key] = m.Performance
	}
	return pairs, errors.Join(faults...)
}

// tuneStep is what an estimator made of one observation: a line of output. What is absent is not known.
type tuneStep struct {
	Line        int    `json:"line"`
	Time        string `json:"time,omitempty"`
	Server      string `json:"server,omitempty"`
	Model       string `json:"model"`
	Accelerator string `json:"accelerator"`
	// Parameters after the observation, in the units of model data, and the standard deviations of their logarithms.
	Parameters map[string]float64 `json:"parameters,omitempty"`
	SD         map[string]float64 `json:"sd,omitempty"`
	// Latencies in ms; predictions are from before the observation was learned from.
	PredictedITL  *float64 `json:"predicted_itl_ms,omitempty"`
	ITL           *float64 `json:"itl_ms,omitempty"`
	PredictedTTFT *float64 `json:"predicted_ttft_ms,omitempty"`
	TTFT          *float64 `json:"ttft_ms,omitempty"`
	// Innovations are log(measured/predicted), surprises the same in expected standard deviations.
	InnovationITL  *float64 `json:"innovation_itl,omitempty"`
	SurpriseITL    *float64 `json:"surprise_itl,omitempty"`
	InnovationTTFT *float64 `json:"innovation_ttft,omitempty"`
	SurpriseTTFT   *float64 `json:"surprise_ttft,omitempty"`
	Accepted       bool     `json:"accepted"`
	Reason         string   `json:"reason,omitempty"`
}

// tune feeds the records to the estimator in their order.
func tune(estimator estimation.Estimator, pairs map[pair]jsonspec.Performance, records []recording.Record) ([]tuneStep, error) {
	learned := map[pair]*v1alpha1.PairMemory{}
	steps := make([]tuneStep, 0, len(records))
	for _, r := range records {
		key := pair{r.Model, r.Accelerator}
		o := r.Observation
		s := tuneStep{Line: r.Line, Server: o.Source, Model: r.Model, Accelerator: r.Accelerator, ITL: known(o.ITL * 1e3), TTFT: known(o.TTFT * 1e3)}
		if !math.IsNaN(o.Time) {
			s.Time = time.UnixMicro(int64(o.Time * 1e6)).UTC().Format(time.RFC3339Nano)
		}
		given, ok := pairs[key]
		if !ok {
			s.Reason = fmt.Sprintf("the model data do not hold %s on %s", r.Model, r.Accelerator)
			steps = append(steps, s)
			continue
		}
		e, err := estimator.Estimate(given, learned[key], []estimation.Observation{o})
		if err != nil {
			return nil, fmt.Errorf("line %d: %s on %s: %w", r.Line, r.Model, r.Accelerator, err)
		}
		learned[key] = e.Learned
		s.judge(e)
		steps = append(steps, s)
	}
	return steps, nil
}

func (s *tuneStep) judge(e estimation.Estimate) {
	if len(e.Judgements) > 0 {
		j := e.Judgements[0]
		s.PredictedITL, s.PredictedTTFT = known(j.PredictedITL*1e3), known(j.PredictedTTFT*1e3)
		s.InnovationITL, s.InnovationTTFT = known(j.InnovationITL), known(j.InnovationTTFT)
		s.SurpriseITL, s.SurpriseTTFT = known(j.SurpriseITL), known(j.SurpriseTTFT)
		s.Accepted, s.Reason = j.Accepted, j.Reason
	}
	if e.Notice != "" {
		s.Reason = strings.TrimPrefix(s.Reason+"; "+e.Notice, "; ")
	}
	law := e.Performance.Law
	if e.Learned != nil && e.Learned.Law != nil {
		law = e.Learned.Law
	}
	if law == nil {
		return
	}
	s.Parameters, s.SD = law.Parameters, map[string]float64{}
	for i, name := range law.Order {
		if i < len(law.Covariance) && i < len(law.Covariance[i]) {
			s.SD[name] = math.Sqrt(max(0, law.Covariance[i][i]))
		}
	}
}

// known is nil for what is not known.
func known(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func printTuning(out io.Writer, steps []tuneStep) error {
	w := newTable(out)
	fmt.Fprintln(w, "LINE\tMODEL\tACCELERATOR\tITL ms\tPREDICTED\tTTFT ms\tPREDICTED\tACCEPTED\tPARAMETERS ± SD\tREASON")
	number := func(v *float64) string {
		if v == nil {
			return "-"
		}
		return fmt.Sprintf("%.2f", *v)
	}
	for _, s := range steps {
		accepted := "no"
		if s.Accepted {
			accepted = "yes"
		}
		var parameters []string
		for _, name := range s.names() {
			parameters = append(parameters, fmt.Sprintf("%s=%.4g±%.0f%%", name, s.Parameters[name], 100*s.SD[name]))
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Line, s.Model, s.Accelerator,
			number(s.ITL), number(s.PredictedITL), number(s.TTFT), number(s.PredictedTTFT), accepted, strings.Join(parameters, " "), s.Reason)
	}
	return w.Flush()
}

// names of the parameters that are learned, sorted. A state that scales several parameters is named like the first of them.
func (s *tuneStep) names() []string {
	var names []string
	for name := range s.SD {
		if _, ok := s.Parameters[name]; ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
