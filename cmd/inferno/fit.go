package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// knowledgeFiles are the flags that add to the built-in catalogues.
type knowledgeFiles struct{ models, accelerators string }

func (k *knowledgeFiles) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&k.models, "models", "", "JSON of model name to config.json fields, for priors of models the built-in catalogue lacks")
	cmd.Flags().StringVar(&k.accelerators, "accelerators", "", "CSV of accelerators, for priors of those the built-in catalogue lacks")
}

func (k *knowledgeFiles) load() (fitting.Knowledge, error) {
	all := fitting.BuiltIn()
	var faults []error
	if k.models != "" {
		m, err := readFile(k.models, fitting.ReadArchitectures)
		faults = append(faults, err)
		all.Architectures = all.Architectures.With(m)
	}
	if k.accelerators != "" {
		a, err := readFile(k.accelerators, fitting.ReadAccelerators)
		faults = append(faults, err)
		all.Accelerators = all.Accelerators.With(a)
	}
	return all, errors.Join(faults...)
}

// readFile reads a file that the user named; whatever is wrong with it is bad input.
func readFile[T any](name string, read func(io.Reader) (T, error)) (T, error) {
	var none T
	f, err := os.Open(name)
	if err != nil {
		return none, badInput{err}
	}
	defer func() { _ = f.Close() }()
	t, err := read(f)
	if err != nil {
		return none, badInput{fmt.Errorf("%s: %w", name, err)}
	}
	return t, nil
}

func newFitCommand() *cobra.Command {
	var (
		data, out, law string
		openLoop       bool
		files          knowledgeFiles
	)
	cmd := &cobra.Command{
		Use:   "fit --data points.csv --out fitted.json",
		Short: "Learn service-time laws from benchmark points",
		Long: `Learns the service-time law of every pair of model and accelerator from measured points, starting from what physics and other pairs
say, and writes it as model data. Rows with a request_rate are measurements of open arrivals and are left out. Rows with the columns prefill_workers and decode_workers
(and the parallelism of either) are of servers whose prompts and decodes run apart: of these the law of a pair is learned whatever the numbers of workers and their parallelism.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if data == "" || out == "" {
				return badInput{errors.New("--data and --out must be given")}
			}
			knowledge, err := files.load()
			if err != nil {
				return err
			}
			points, err := readFile(data, func(r io.Reader) (*fitting.Points, error) { return fitting.ReadPoints(r, true) })
			if err != nil {
				return err
			}
			fits, err := knowledge.FitAll(points, fitting.Options{Law: law, OpenLoop: openLoop})
			if err != nil {
				return badInput{err}
			}
			roles, err := knowledge.FitRoles(points, fits, fitting.Options{OpenLoop: openLoop})
			if err != nil {
				return badInput{err}
			}
			if err := writeModels(out, fits, roles); err != nil {
				return err
			}
			return printFits(cmd.OutOrStdout(), fits, roles)
		},
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", "", "CSV of measured points")
	f.StringVar(&out, "out", "", "file to write the fitted model data to, as JSON")
	f.StringVar(&law, "law", queueing.LawRoofline, "law to fit: "+strings.Join(fitting.LawNames(), ", "))
	f.BoolVar(&openLoop, "open-loop", false, "use rows with a request_rate too")
	files.register(cmd)
	return cmd
}

func writeModels(name string, fits []*fitting.Fit, roles []*fitting.RolesFit) error {
	models := jsonspec.ModelData{Spec: []jsonspec.PerformanceEntry{}}
	for _, f := range fits {
		models.Spec = append(models.Spec, f.Performance())
	}
	for _, f := range roles {
		models.Roles = append(models.Roles, f.Entry())
	}
	text, err := json.MarshalIndent(models, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}

func printFits(w io.Writer, fits []*fitting.Fit, roles []*fitting.RolesFit) error {
	t := newTable(w)
	fmt.Fprintln(t, "GROUP\tPOINTS\tITL ERROR\tTTFT ERROR\tPARAMETERS\tNOT IDENTIFIED\tOUTLIERS (LINES)")
	line := func(key string, points int, itl, ttft float64, parameters string, unseen []string, guessed bool, residuals []fitting.Residual) {
		unknown := strings.Join(unseen, " ")
		if guessed {
			unknown = strings.TrimSpace(unknown + " (architecture or card guessed)")
		}
		fmt.Fprintf(t, "%s\t%d\t%.1f %%\t%.1f %%\t%s\t%s\t%s\n", key, points, 100*itl, 100*ttft, parameters, unknown, lines(residuals))
	}
	for _, f := range fits {
		itl, ttft := f.Errors()
		line(f.Group.Key(), f.Points, itl, ttft, f.Describe(), f.Unseen, f.Guessed, f.Residuals)
	}
	for _, f := range roles {
		itl, ttft := f.Errors()
		key := f.Group.Key() + " (roles apart)"
		if f.Unsaid > 0 {
			key += fmt.Sprintf(" (%d rows left out that do not say whether decodes speculate)", f.Unsaid)
		}
		line(key, f.Points, itl, ttft, f.Describe(), f.Unseen, f.Guessed, f.Residuals)
	}
	return t.Flush()
}

// lines of the points that the fit gave up.
func lines(residuals []fitting.Residual) string {
	var all []string
	for _, r := range residuals {
		if r.Outlier {
			all = append(all, fmt.Sprintf("%d (ITL %+.0f %%, TTFT %+.0f %%)", r.Line, 100*math.Expm1(r.ITL), 100*math.Expm1(r.TTFT)))
		}
	}
	return strings.Join(all, ", ")
}
