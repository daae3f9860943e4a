package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/evaluation/contest"
	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
)

// bases are the scenarios that families are drawn from: those whose truths are rooflines, each for another reason.
var bases = []string{"ramp", "flash-crowd", "azure-hour", "shapes", "lost-nodes", "scarcity", "rush-hour", "day-2min", "fleet-day"}

// longestDraw bounds what is played of a base, s.
const longestDraw = 7200

// Halves of the families. No constant is set on what the second shows.
const (
	development = "development"
	judged      = "judged"
)

// drawn is what came of inferno on a scenario that was drawn.
type drawn struct {
	Base     string  `json:"base"`
	Half     string  `json:"half"`
	Draw     int     `json:"draw"`
	Priors   string  `json:"priors"`
	StartUp  float64 `json:"startUp"`
	Served   float64 `json:"attainment"`
	Cost     float64 `json:"costPerHour"`
	ToOracle float64 `json:"toOracle"`
	// Reversals an hour, over all servers, after the warm-up.
	Reversals float64 `json:"reversals"`
}

// draw a scenario from a base: what engines are, what the planner is told of them, prices, targets, loads, how irregular they are, start-ups and seed. The same
// half and number give the same scenario.
func draw(s *scenario.Scenario, half string, number int) (priors string) {
	h := fnv.New64a()
	fmt.Fprint(h, s.Name, half)
	r := rand.New(rand.NewPCG(h.Sum64(), uint64(number)))
	about := func(share float64) float64 { return 1 + share*(2*r.Float64()-1) }
	between := func(low, high float64) float64 { return low * math.Exp(r.Float64()*math.Log(high/low)) }

	for i := range s.Truths {
		memory, compute, overhead, sequence, prefill := about(0.15), about(0.15), about(0.4), about(0.4), about(0.25)
		scaled(&s.Truths[i].StepTime, map[string]float64{
			"memoryEfficiency": memory, "computeEfficiency": compute, "overhead": overhead, "sequenceOverhead": sequence,
			// What prompts compute; of what is generated memory bounds the time.
			"activeParameters": prefill, "attentionFLOP": prefill,
		})
	}
	all, priors := 1.0, "each ± 30 %"
	switch r.IntN(4) {
	case 0:
		all, priors = 1.5, "all 1.5 × too slow"
	case 1:
		all, priors = 1/1.5, "all 1.5 × too fast"
	}
	models := s.System.Models.Spec
	for i := range models {
		law := *models[i].Law
		law.Parameters = map[string]float64{}
		for _, name := range slices.Sorted(maps.Keys(models[i].Law.Parameters)) { // in one order, for what is drawn
			factor := about(0.3)
			if all != 1 {
				factor = all
				if name == "prefill" { // a share, not a time
					factor = 1
				}
			}
			law.Parameters[name] = factor * models[i].Law.Parameters[name]
		}
		models[i].Law = &law
	}
	for i := range s.System.Accelerators.Spec {
		s.System.Accelerators.Spec[i].Cost *= between(0.6, 1.6)
	}
	for i := range s.System.ServiceClasses.Spec {
		targets := s.System.ServiceClasses.Spec[i].ModelTargets
		for k := range targets {
			targets[k].TTFT *= between(0.7, 1.6)
			targets[k].ITL *= between(0.85, 1.5)
		}
	}
	from := 43200 * r.Float64()
	for i := range s.Load {
		l := &s.Load[i]
		l.Play.Scale = cmp.Or(l.Play.Scale, 1) * between(0.6, 1.4)
		if l.Play.Loop {
			l.Play.Start += from
		}
		cv := between(0.5, 2)
		for k := range l.Steps {
			l.Steps[k].CV = &cv
		}
	}
	s.Times.StartUp = math.Round(between(45, 240))
	s.Seed = r.Uint64N(1 << 32)
	s.Duration = min(s.Duration, longestDraw)
	return priors
}

// scaled options of a plug, those that it has; efficiencies stay shares.
func scaled(p *jsonspec.Plug, by map[string]float64) {
	options := map[string]float64{}
	if err := json.Unmarshal(p.Options.Raw, &options); err != nil {
		panic(err) // the bases are ours
	}
	for name, factor := range by {
		if x, is := options[name]; is {
			options[name] = x * factor
			if strings.HasSuffix(name, "Efficiency") {
				options[name] = min(options[name], 1)
			}
		}
	}
	raw, err := json.Marshal(options)
	if err != nil {
		panic(err)
	}
	p.Options = &apiruntime.RawExtension{Raw: raw}
}

// drawScenario is a draw whose targets some accelerator meets for each server: draws that none meets are passed over.
func (r *request) drawScenario(base, half string, number int) (*policy.Fleet, string, error) {
	const most = 20
	var fault error
	for try := range most {
		s, err := r.open(base)
		if err != nil {
			return nil, "", err
		}
		priors := draw(s, half, number+1000*try)
		f, err := policy.NewFleet(s)
		if err == nil {
			return f, priors, nil
		}
		fault = err
	}
	return nil, "", fmt.Errorf("%s: %w", base, fault)
}

// familyFile has what came of each draw.
func (r *request) familyFile() string {
	return filepath.Join(strings.TrimSuffix(r.document, ".md"), "families.json")
}

// playFamilies plays so many draws of each base in each half, writes the table and what each came to.
func (r *request) playFamilies() error {
	ours, err := policy.Find(policy.NameInferno)
	if err != nil {
		return err
	}
	var all []*drawn
	for _, half := range []string{development, judged} {
		for number := range r.families {
			for _, base := range bases {
				all = append(all, &drawn{Base: base, Half: half, Draw: number})
			}
		}
	}
	began := time.Now()
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, d := range all {
		g.Go(func() error {
			f, priors, err := r.drawScenario(d.Base, d.Half, d.Draw)
			if err != nil {
				return err
			}
			o, err := contest.Run(f, ours, nil)
			if err != nil {
				return err
			}
			cheapest, err := contest.Hindsight(f, o.Served, o.Classes, o.CostPerHour)
			if err != nil {
				return err
			}
			d.Priors, d.StartUp, d.Served, d.Cost = priors, f.Scenario.Times.StartUp, o.Served, o.CostPerHour
			d.ToOracle, d.Reversals = o.CostPerHour/cheapest, float64(o.Reversals)/((f.Scenario.Duration-f.Scenario.WarmUp)/3600)
			fmt.Fprintf(os.Stderr, "%6s %s %s %d: %.2f %% at %.0f ¢/h, %.2f of the oracle, %.1f reversals/h\n", time.Since(began).Round(time.Second), d.Half, d.Base, d.Draw, 100*d.Served, d.Cost, d.ToOracle, d.Reversals)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	data, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(r.familyFile(), append(data, '\n'), 0o644); err != nil {
		return err
	}
	return between(r.document, "families", familyTable(all))
}

// familyTable has a row for each half, and one for each base in it.
func familyTable(all []*drawn) string {
	var b strings.Builder
	b.WriteString("| half | drawn from | draws | within targets %: 5th, 50th, 95th | of them ≥ 99 % | cost ÷ oracle: 5th, 50th, 95th | reversals an hour: 5th, 50th, 95th |\n|---|---|---|---|---|---|---|\n")
	for _, half := range []string{development, judged} {
		for _, base := range append([]string{""}, bases...) {
			var served, cost, reversals []float64
			good := 0
			for _, d := range all {
				if d.Half == half && (base == "" || d.Base == base) {
					served, cost, reversals = append(served, 100*d.Served), append(cost, d.ToOracle), append(reversals, d.Reversals)
					if d.Served >= 0.99 {
						good++
					}
				}
			}
			if len(served) == 0 {
				continue
			}
			name := base
			if base == "" {
				name = "**all**"
			}
			fmt.Fprintf(&b, "| %s | %s | %d | %s | %d | %s | %s |\n", half, name, len(served), percentiles(served, "%.2f"), good, percentiles(cost, "%.2f"), percentiles(reversals, "%.1f"))
		}
	}
	return b.String() + "\n"
}

// percentiles of a few values, by interpolation; one value is itself.
func percentiles(x []float64, format string) string {
	slices.Sort(x)
	if len(x) == 1 {
		return fmt.Sprintf(format, x[0])
	}
	var words []string
	for _, p := range []float64{0.05, 0.5, 0.95} {
		at := p * float64(len(x)-1)
		i := int(at)
		v := x[i]
		if i+1 < len(x) {
			v += (at - float64(i)) * (x[i+1] - x[i])
		}
		words = append(words, fmt.Sprintf(format, v))
	}
	return strings.Join(words, ", ")
}
