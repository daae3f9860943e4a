package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/recommend"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

type recommendOptions struct {
	question                        recommend.Question
	ttft, itl                       time.Duration
	prices                          []string
	priceFile, architecture, format string
	write, name                     string
}

// What physics tells apart: engines and precisions of weights.
var (
	knownEngines    = []string{"vllm", "sglang", "trtllm"}
	knownPrecisions = []string{"bf16", "fp8", "int8", "int4", "fp4"}
)

func newRecommendCommand() *cobra.Command {
	var o recommendOptions
	cmd := &cobra.Command{
		Use:   "recommend MODEL --rate 5 --input 1000 --output 200 --ttft 500ms --itl 30ms",
		Short: "Say what a model that does not run yet would run on, by cost, and how sure that is",
		Long: `Sizes a model for a load and targets on every accelerator with a price, for each tensor parallelism that fits its memory and divides its heads of
attention; on several nodes where it fits none; and with prompts computed on replicas of their own, of the same type of cards or of those of --accelerators. Nothing was measured of it: times follow from physics and from what other models showed, and their spread is carried through to the
replicas. REPLICAS 3 (2-5) says that 3 are likely, that in one of ten cases fewer than 2 are enough, and that in one of ten more than 5 are needed;
a ? that there the targets cannot be met by any number.
SURE is the share of cases in which the targets can be met at all. Prices are on-demand list prices unless given: ` + "`-o json`" + ` says of what and when.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.ExactArgs(1)(cmd, args); err != nil {
				return badInput{errors.New("MODEL: is missing or not one word, give a name such as meta-llama/Llama-3.1-8B-Instruct")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.OutOrStdout(), args[0]) },
	}
	f := cmd.Flags()
	q := &o.question
	f.Float64Var(&q.Rate, "rate", 0, "requests per second")
	f.Float64Var(&q.InputTokens, "input", 0, "mean prompt tokens of a request")
	f.Float64Var(&q.OutputTokens, "output", 0, "mean generated tokens of a request")
	f.Float64Var(&q.ArrivalCV, "cv", 1, "coefficient of variation of the times between arrivals; 1 is Poisson")
	f.DurationVar(&o.ttft, "ttft", 0, "target on the time to first token")
	f.DurationVar(&o.itl, "itl", 0, "target on the time between tokens")
	f.Float64Var(&q.Targets.Percentile, "percentile", 90, "percentile of requests that the targets hold for; 0 for the mean")
	f.StringVar(&q.Engine, "engine", "", "engine: "+strings.Join(knownEngines, ", "))
	f.StringVar(&q.Precision, "precision", "", "precision of the weights: "+strings.Join(knownPrecisions, ", "))
	f.StringSliceVar(&q.Accelerators, "accelerators", nil, "types of accelerators to consider; all that have a price")
	f.StringArrayVar(&o.prices, "price", nil, "price of a card as TYPE=CENTS_PER_HOUR, such as H100=250; may be repeated")
	f.StringVar(&o.priceFile, "prices", "", "CSV of prices with the columns type and cents_per_hour")
	f.StringVar(&o.architecture, "architecture", "", "config.json of the model, where the catalogue does not know it")
	f.StringVarP(&o.format, "format", "o", "table", "output format: "+strings.Join(outputFormats, ", "))
	f.StringVar(&o.write, "write", "", "directory to write the manifests of the first configuration to")
	f.StringVar(&o.name, "name", "", "name of the Server in the manifests; that of the model")
	return cmd
}

// complete the question from flags and files; the error joins every fault.
func (o *recommendOptions) complete(model string) error {
	q := &o.question
	q.Model, q.Knowledge = model, fitting.BuiltIn()
	q.Targets.TTFT, q.Targets.ITL = o.ttft.Seconds(), o.itl.Seconds()
	var faults []error
	flag := func(name string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("--%s: %w", name, err))
		}
	}
	flag("format", oneOf(o.format, outputFormats))
	if q.Engine != "" {
		flag("engine", oneOf(q.Engine, knownEngines))
	}
	if q.Precision != "" {
		flag("precision", oneOf(q.Precision, knownPrecisions))
	}
	prices, wrong := givenPrices(o.priceFile, o.prices)
	q.Prices, faults = prices, append(faults, wrong...)
	if o.architecture != "" {
		a, err := readArchitecture(o.architecture)
		flag("architecture", err)
		q.Architecture = a
	}
	if o.write != "" {
		flag("write", writable(q))
	}
	if err := q.Validate(); err != nil {
		faults = append(faults, errors.New("--"+strings.ReplaceAll(err.Error(), "\n", "\n--")))
	}
	return errors.Join(faults...)
}

// writable says why no manifests can be written.
func writable(q *recommend.Question) error {
	named := string(fitting.PrecisionOf(q.Model))
	switch {
	case q.Engine != "" && q.Engine != "vllm":
		return fmt.Errorf("writes manifests for vllm, not for %s", q.Engine)
	case q.Precision != "" && q.Precision != "bf16" && q.Precision != "fp8" && q.Precision != named:
		return fmt.Errorf("no argument makes %s of the weights of %s: give the name of weights that are quantised", q.Precision, q.Model)
	}
	return nil
}

// oneOf says what is allowed where a value is not among them.
func oneOf(value string, allowed []string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%q is not allowed, must be one of %s", value, strings.Join(allowed, ", "))
}

// givenPrices are those of the flags --price, then those of the file of --prices, then list prices, and every fault of them.
func givenPrices(file string, flags []string) (catalogue.Prices, []error) {
	prices := catalogue.BuiltInPrices()
	var faults []error
	if file != "" {
		given, err := readPrices(file)
		if err != nil {
			faults = append(faults, fmt.Errorf("--prices: %w", err))
		}
		prices = prices.With(given...)
	}
	for _, s := range flags {
		p, err := catalogue.ParsePrice(s)
		if err != nil {
			faults = append(faults, fmt.Errorf("--price: %w", err))
			continue
		}
		prices = prices.With(p)
	}
	return prices, faults
}

func readPrices(path string) (catalogue.Prices, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return catalogue.ReadPrices(f)
}

// readArchitecture of one model from its config.json.
func readArchitecture(path string) (*jsonspec.Architecture, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	all, err := fitting.ReadArchitectures(strings.NewReader(fmt.Sprintf(`{%q: %s}`, path, text)))
	if err != nil {
		return nil, err
	}
	a := all[path]
	return &a, nil
}

func (o *recommendOptions) run(out io.Writer, model string) error {
	if err := o.complete(model); err != nil {
		return badInput{err}
	}
	answer, err := recommend.Ask(&o.question)
	if err != nil {
		return err
	}
	if o.format == "table" {
		err = printRecommended(out, answer, o.question.Targets)
	} else {
		err = writeAs(out, o.format, answer)
	}
	if err != nil {
		return err
	}
	switch {
	case len(answer.Configurations)+len(answer.Apart) == 0:
		return fmt.Errorf("no accelerator serves %s within the targets", model)
	case o.write == "":
		return nil
	}
	ways := waysOf(answer)
	for i := range ways {
		if n := ways[i].Nodes; n > 1 {
			return fmt.Errorf("--write: no manifests are written of replicas over %d nodes, which are no Deployment's; name --accelerators that hold the model on one, or see docs/variants.md", n)
		}
	}
	return writeRecommended(o.write, o.name, &o.question, ways)
}

// printRecommended configurations for people, then what is none and why, then what was assumed.
func printRecommended(out io.Writer, a *recommend.Answer, t sizing.Targets) error {
	what := "mean"
	if t.Percentile > 0 {
		what = fmt.Sprintf("P%g", t.Percentile)
	}
	w := newTable(out)
	fmt.Fprintf(w, "ACCELERATOR\tREPLICAS\tCOST ¢/h\t¢/M TOKENS\tBATCH\tBUDGET\tTTFT %[1]s ms\tITL %[1]s ms\tSURE\n", what)
	apart := a.Apart
	roles := func(before *recommend.Configuration) { // those that come before it, all without one
		for ; len(apart) > 0 && (before == nil || apart[0].Before(before)); apart = apart[1:] {
			r := &apart[0]
			p, d := &r.Prefill, &r.Decode
			fmt.Fprintf(w, "%s prefill\t%s\t%.0f\t%.1f\t%d\t%d\t%.0f\t%.1f\t%.0f %%\n", cardsOf(p.TensorParallel, p.PipelineParallel, p.Accelerator, p.Nodes), replicasOf(p.Replicas, p.Range),
				r.CostPerHour, r.CentsPerMillionTokens, p.MaxNumSeqs, p.MaxNumBatchedTokens, r.TTFT, r.ITL, 100*r.Feasible)
			fmt.Fprintf(w, "+ %s decode\t%s\t\t\t%d\t%d\t\t\t\n", cardsOf(d.TensorParallel, d.PipelineParallel, d.Accelerator, d.Nodes), replicasOf(d.Replicas, d.Range), d.MaxNumSeqs, d.MaxNumBatchedTokens)
		}
	}
	for i := range a.Configurations {
		c := &a.Configurations[i]
		roles(c)
		fmt.Fprintf(w, "%s\t%s\t%.0f\t%.1f\t%d\t%d\t%.0f\t%.1f\t%.0f %%\n", cardsOf(c.TensorParallel, c.PipelineParallel, c.Accelerator, c.Nodes), replicasOf(c.Replicas, c.Range),
			c.CostPerHour, c.CentsPerMillionTokens, c.MaxNumSeqs, c.MaxNumBatchedTokens, c.TTFT, c.ITL, 100*c.Feasible)
	}
	roles(nil)
	if err := w.Flush(); err != nil {
		return err
	}
	var text strings.Builder
	for i, e := range a.Excluded { // one line for a type that is no way, by as many cards as there may be
		last := i+1 == len(a.Excluded) || a.Excluded[i+1].Accelerator != e.Accelerator
		if last && !offered(a, e.Accelerator) {
			text.WriteString(wrapped(fmt.Sprintf("not %s: %s", e.Accelerator, e.Why)))
		}
	}
	for _, s := range a.Assumptions {
		text.WriteString(wrapped("assumed: " + s))
	}
	text.WriteString(wrapped(fmt.Sprintf("prices: on-demand list prices of several clouds, from %s to %s; give yours with --price or --prices", oldest(a), newest(a))))
	_, err := io.WriteString(out, text.String())
	return err
}

// offered says whether a type of cards is in any configuration.
func offered(a *recommend.Answer, typ string) bool {
	return slices.ContainsFunc(a.Configurations, func(c recommend.Configuration) bool { return c.Accelerator == typ }) ||
		slices.ContainsFunc(a.Apart, func(r recommend.Apart) bool { return r.Prefill.Accelerator == typ || r.Decode.Accelerator == typ })
}

// cardsOf a replica, for people.
func cardsOf(tensor, stages int, typ string, nodes int) string {
	on := fmt.Sprintf("%d × %s", tensor*max(1, stages), typ)
	switch {
	case stages > 1:
		on += fmt.Sprintf(" (%d nodes, a stage on each)", nodes)
	case nodes > 1:
		on += fmt.Sprintf(" (%d nodes)", nodes)
	}
	return on
}

// replicasOf a configuration or a role, for people.
func replicasOf(n int, r recommend.Range) string {
	return fmt.Sprintf("%d (%s-%s)", n, bound(r.P10), bound(r.P90))
}

// wrapped text in lines of at most 120 columns, all but the first indented.
func wrapped(s string) string {
	const most = 120
	var out strings.Builder
	column := 0
	for _, word := range strings.Fields(s) {
		width := utf8.RuneCountInString(word)
		switch {
		case column == 0:
		case column+1+width > most:
			out.WriteString("\n  ")
			column = 2
		default:
			out.WriteByte(' ')
			column++
		}
		out.WriteString(word)
		column += width
	}
	return out.String() + "\n"
}

// bound of a range; a question mark where the targets cannot be met.
func bound(n *int) string {
	if n == nil {
		return "?"
	}
	return strconv.Itoa(*n)
}

func oldest(a *recommend.Answer) string { return priced(a, slices.Min[[]string]) }
func newest(a *recommend.Answer) string { return priced(a, slices.Max[[]string]) }

// priced is one of the dates of list prices; "-" without any.
func priced(a *recommend.Answer, one func([]string) string) string {
	var dates []string
	note := func(p catalogue.Price) {
		if p.Date != "" {
			dates = append(dates, p.Date)
		}
	}
	for _, c := range a.Configurations {
		note(c.Price)
	}
	for _, r := range a.Apart {
		note(r.Prefill.Price)
		note(r.Decode.Price)
	}
	if len(dates) == 0 {
		return "-"
	}
	return one(dates)
}
