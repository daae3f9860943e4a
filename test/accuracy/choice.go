package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// prices of a card in dollars an hour that the comparison assumes.
var prices = map[string]float64{"h100_sxm": 2.5, "h200_sxm": 3.3, "b200_sxm": 5, "b300_sxm": 6, "gb200": 5.5, "gb300": 6.5}

// objectives are the targets that configurations are chosen for: ITL, and TTFT of short and of long prompts, in seconds.
var objectives = []struct {
	name             string
	itl, short, long float64
}{{"tight", .01, 1, 3}, {"chat", .02, 2, 5}, {"relaxed", .04, 4, 8}, {"bulk", .08, 15, 30}}

// longPrompts have at least so many tokens.
const longPrompts = 4096

// slack is by how much what is chosen may miss a target.
const slack = 1.1

// way is a measured configuration under so many clients.
type way struct {
	fitting.Point
	config    string
	cards     float64
	itl, ttft float64 // predicted, in seconds
}

// cost in dollars for a million tokens, at latencies in seconds.
func (w *way) cost(itl, ttft float64) float64 {
	out := w.Requests.OutputTokens
	return w.cards * prices[w.Group["accelerator"]] / 3600 * (ttft + (out-1)*itl) / (w.Clients * out) * 1e6
}

// cell is what one model, lengths and objective can be served with.
type cell struct {
	model     string
	itl, ttft float64
	ways      []*way
}

// meets says whether latencies are within so many times the targets.
func (c *cell) meets(itl, ttft, slack float64) bool {
	return itl <= slack*c.itl && ttft <= slack*c.ttft
}

// best of the ways that meet the targets at latencies that are told of each, the cheapest; nil where none does.
func (c *cell) best(of func(w *way) (itl, ttft float64), slack float64) (best *way, least float64) {
	least = math.Inf(1)
	for _, w := range c.ways {
		if itl, ttft := of(w); c.meets(itl, ttft, slack) && w.cost(itl, ttft) < least {
			best, least = w, w.cost(itl, ttft)
		}
	}
	return best, least
}

func measuredOf(w *way) (itl, ttft float64)  { return w.ITL, w.TTFT }
func predictedOf(w *way) (itl, ttft float64) { return w.itl, w.ttft }

// ways of all measured points with a price, each predicted from every other point of its pair.
func waysOf(data string, pairs [][]fitting.Point) ([]*way, error) {
	roles, err := servers(data)
	if err != nil {
		return nil, err
	}
	k := fitting.BuiltIn()
	var ways []*way
	replicas, apart := &fitting.Points{}, &fitting.Points{}
	for _, group := range slices.Concat(pairs, roles) {
		g := group[0].Group
		if prices[g["accelerator"]] == 0 {
			continue
		}
		ofRoles := group[0].Roles != nil
		cards := 0
		if !ofRoles {
			if cards, err = k.Cards(g); err != nil {
				return nil, err
			}
			if g["accelerator"] == "gb200" && cards > 8 {
				continue // servers with roles, of which only all cards together are told
			}
		}
		train, _ := everyOther(group)
		for _, p := range group {
			w := &way{Point: p, config: g.Key(), cards: float64(cards)}
			if r := p.Roles; ofRoles {
				w.cards = float64(r.Prefill.Workers*r.Prefill.Tensor*r.Prefill.Data + r.Decode.Workers*r.Decode.Tensor*r.Decode.Data)
				w.config += fmt.Sprint(*r)
			}
			ways = append(ways, w)
		}
		if ofRoles {
			apart.Rows = append(apart.Rows, train...)
		} else {
			replicas.Rows = append(replicas.Rows, train...)
		}
	}
	fits, err := k.FitAll(replicas, fitting.Options{})
	if err != nil {
		return nil, err
	}
	fitted, err := k.FitRoles(apart, fits, fitting.Options{})
	if err != nil {
		return nil, err
	}
	var known jsonspec.ModelData
	for _, f := range fits {
		known.Spec = append(known.Spec, f.Performance())
	}
	for _, f := range fitted {
		known.Roles = append(known.Roles, f.Entry())
	}
	predict, err := fitting.NewPredictor(queueing.ContinuousBatching{}, k, known)
	if err != nil {
		return nil, err
	}
	for _, w := range ways {
		q, err := predict.Predict(w.Point)
		if err != nil {
			return nil, err
		}
		w.itl, w.ttft = q.ITL.Mean, q.TTFT.Mean
	}
	return ways, nil
}

// cells that some measured way serves, and several might.
func cellsOf(ways []*way) []*cell {
	type shape struct {
		model   string
		in, out float64
	}
	by := map[shape][]*way{}
	for _, w := range ways {
		s := shape{family(w.Group["model"]), w.Requests.InputTokens, w.Requests.OutputTokens}
		by[s] = append(by[s], w)
	}
	order := func(a, b shape) int {
		return cmp.Or(cmp.Compare(a.model, b.model), cmp.Compare(a.in, b.in), cmp.Compare(a.out, b.out))
	}
	var cells []*cell
	for _, s := range slices.SortedFunc(maps.Keys(by), order) {
		configs := map[string]bool{}
		for _, w := range by[s] {
			configs[w.config] = true
		}
		if len(configs) < 3 || len(by[s]) < 3*leastOfGroup {
			continue
		}
		for _, o := range objectives {
			c := &cell{model: by[s][0].Group["model"], itl: o.itl, ttft: o.short, ways: by[s]}
			if s.in >= longPrompts {
				c.ttft = o.long
			}
			if best, _ := c.best(measuredOf, 1); best != nil {
				cells = append(cells, c)
			}
		}
	}
	return cells
}

// choice is how good what is chosen by predictions is for some cells: the geometric means of its cost over that of the cheapest that was measured to meet the
// targets, and to meet them within the slack, the largest of the former, and in how many cells it is within the slack itself. Fixed is the same for the one
// configuration that is best for all cells, whole for replicas that do both alone, both chosen by what was measured.
type choice struct {
	cells, within      int
	mean, alike, worst float64
	fixed, whole       float64
	wholeServes        int
	apart              int // in how many cells it has roles
}

func judgeChoice(cells []*cell) choice {
	r := choice{cells: len(cells), fixed: math.Inf(1)}
	var ratios, alike, whole []float64
	fixed := map[string][]float64{}
	for _, c := range cells {
		w, _ := c.best(predictedOf, 1)
		if w == nil { // the nearest to what is asked for
			w = slices.MinFunc(c.ways, func(a, b *way) int {
				return cmp.Compare(max(a.itl/c.itl, a.ttft/c.ttft), max(b.itl/c.itl, b.ttft/c.ttft))
			})
		}
		if c.meets(w.ITL, w.TTFT, slack) {
			r.within++
		}
		if w.Roles != nil {
			r.apart++
		}
		_, least := c.best(measuredOf, 1)
		_, within := c.best(measuredOf, slack)
		ratios = append(ratios, w.cost(w.ITL, w.TTFT)/least)
		alike = append(alike, w.cost(w.ITL, w.TTFT)/within)
		only := &cell{itl: c.itl, ttft: c.ttft, ways: slices.DeleteFunc(slices.Clone(c.ways), func(w *way) bool { return w.Roles != nil })}
		if best, cost := only.best(measuredOf, 1); best != nil {
			whole = append(whole, cost/least)
		}
		by := map[string][]*way{}
		for _, w := range c.ways {
			by[w.config] = append(by[w.config], w)
		}
		for config, ways := range by {
			if best, cost := (&cell{itl: c.itl, ttft: c.ttft, ways: ways}).best(measuredOf, 1); best != nil {
				fixed[config] = append(fixed[config], cost/least)
			}
		}
	}
	r.mean, r.alike, r.worst, r.whole, r.wholeServes = geometric(ratios), geometric(alike), slices.Max(ratios), geometric(whole), len(whole)
	for _, list := range fixed {
		if len(list) == len(cells) {
			r.fixed = min(r.fixed, geometric(list))
		}
	}
	return r
}

func geometric(list []float64) float64 {
	sum := 0.0
	for _, x := range list {
		sum += math.Log(x) / float64(len(list))
	}
	return math.Exp(sum)
}

// choiceTable says what the configurations cost that are chosen by predictions.
func choiceTable(w io.Writer, data string, pairs [][]fitting.Point) error {
	ways, err := waysOf(data, pairs)
	if err != nil {
		return err
	}
	by := map[string][]*cell{}
	cells := cellsOf(ways)
	for _, c := range cells {
		by[c.model] = append(by[c.model], c)
	}
	fmt.Fprint(w, "\n### Configurations that are chosen by predictions, from every other point of each pair\n\n"+
		"| model | cells | with roles | cost ÷ cheapest measured that meets the targets: mean, worst | ÷ cheapest within 10 % of them | itself within 10 % | one configuration for all cells | replicas that do both alone |\n"+
		"|---|---|---|---|---|---|---|---|\n")
	row := func(name string, cells []*cell) {
		r := judgeChoice(cells)
		fixed := "none serves all"
		if !math.IsInf(r.fixed, 1) {
			fixed = fmt.Sprintf("%.2f", r.fixed)
		}
		fmt.Fprintf(w, "| %s | %d | %d | %.2f, %.2f | %.2f | %d of %d | %s | %.2f in %d |\n", name, r.cells, r.apart, r.mean, r.worst, r.alike, r.within, r.cells, fixed, r.whole, r.wholeServes)
	}
	for _, model := range slices.Sorted(maps.Keys(by)) {
		row(model, by[model])
	}
	row("all", cells)
	return nil
}
