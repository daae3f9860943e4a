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
	"sigs.k8s.io/json"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

func newPredictCommand() *cobra.Command {
	var (
		fit, data, model string
		prior            bool
		arrivalCV        float64
		files            knowledgeFiles
	)
	cmd := &cobra.Command{
		Use:   "predict (--fit fitted.json | --prior) --data points.csv",
		Short: "Predict latencies of benchmark points, from a fit or from physics alone",
		Long: `Writes the rows of the data as CSV, with the predicted mean time to first token and time between tokens and, for open arrivals, their
90th and 99th percentiles, over requests and over intervals, and those of each request's mean time between tokens. Measured columns are never read. A pair that the fit lacks is predicted from the prior.
Rows with the columns prefill_workers and decode_workers are of servers whose prompts and decodes run apart: from a fit to such rows, else from one to replicas of the
pair that do both.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if data == "" || prior == (fit != "") {
				return badInput{errors.New("--data and one of --fit and --prior must be given")}
			}
			knowledge, err := files.load()
			if err != nil {
				return err
			}
			points, err := readFile(data, func(r io.Reader) (*fitting.Points, error) { return fitting.ReadPoints(r, false) })
			if err != nil {
				return err
			}
			var models jsonspec.ModelData
			if fit != "" {
				if models, err = readFile(fit, readModels); err != nil {
					return err
				}
			}
			queue, err := queueing.Models().New(model, nil)
			if err != nil {
				return badInput{err}
			}
			predictor, err := fitting.NewPredictor(queue, knowledge, models)
			if err != nil {
				return badInput{fmt.Errorf("%s: %w", fit, err)}
			}
			if cmd.Flags().Changed("arrival-cv") {
				for i := range points.Rows {
					points.Rows[i].Requests.ArrivalCV = arrivalCV
				}
			}
			return writePredictions(cmd.OutOrStdout(), predictor, points)
		},
	}
	f := cmd.Flags()
	f.StringVar(&fit, "fit", "", "model data that inferno fit wrote")
	f.BoolVar(&prior, "prior", false, "predict from physics and experience alone")
	f.StringVar(&data, "data", "", "CSV of points")
	f.StringVar(&model, "queue-model", queueing.ModelContinuousBatching, "queueing model for open arrivals: "+strings.Join(queueing.Models().Names(), ", "))
	f.Float64Var(&arrivalCV, "arrival-cv", 1, "coefficient of variation of the times between arrivals, instead of the column interarrival_cv; 0 for arrivals at equal distances")
	files.register(cmd)
	return cmd
}

func readModels(r io.Reader) (jsonspec.ModelData, error) {
	var models jsonspec.ModelData
	text, err := io.ReadAll(r)
	if err != nil {
		return models, err
	}
	strict, err := json.UnmarshalStrict(text, &models)
	return models, errors.Join(append(strict, err)...)
}

// writePredictions answers every row, in order. Rows that cannot be predicted are an error, after the others were written.
func writePredictions(w io.Writer, predictor *fitting.Predictor, points *fitting.Points) error {
	out := csv.NewWriter(w)
	header := append([]string(nil), points.Header...)
	header = append(header, "predicted_ttft_ms", "predicted_itl_ms",
		"predicted_ttft_p90_ms", "predicted_ttft_p99_ms", "predicted_itl_p90_ms", "predicted_itl_p99_ms",
		"predicted_request_itl_p90_ms", "predicted_request_itl_p99_ms")
	if err := out.Write(header); err != nil {
		return err
	}
	var faults []error
	for _, p := range points.Rows {
		q, err := predictor.Predict(p)
		if err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", p.Line, err))
			continue
		}
		row := append([]string(nil), p.Fields...)
		for _, v := range []float64{q.TTFT.Mean, q.ITL.Mean, q.TTFT.P90, q.TTFT.P99, q.ITL.P90, q.ITL.P99, q.RequestITL.P90, q.RequestITL.P99} {
			row = append(row, milliseconds(v))
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	if err := errors.Join(faults...); err != nil {
		return badInput{err}
	}
	return out.Error()
}

// milliseconds as text; empty where unknown.
func milliseconds(seconds float64) string {
	if math.IsNaN(seconds) {
		return ""
	}
	return strconv.FormatFloat(seconds*1e3, 'g', 8, 64)
}
