package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-inferno/inferno/optimizer/analysis"
	"github.com/llm-inferno/inferno/optimizer/queueing"
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
				err = analysis.JSON(cmd.OutOrStdout(), m, operation, text)
			} else {
				err = analysis.CSV(cmd.OutOrStdout(), m, bytes.NewReader(text))
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
	f.StringVar(&operation, "operation", "", fmt.Sprintf("what to do with a problem as JSON: %s, %s or %s",
		analysis.OperationSolve, analysis.OperationTarget, analysis.OperationOptimize))
	return cmd
}
