// Package recommend answers what a model that does not run yet would run on: for each accelerator and tensor parallelism the replicas, limits, latencies
// and cost that physics and experience with other pairs expect, and how sure that is.
package recommend

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// Question is what is to be served.
type Question struct {
	// Model by its name on a hub, and its architecture where the catalogue does not know it.
	Model        string
	Architecture *jsonspec.Architecture
	// Engine is vllm, sglang or trtllm, Precision of the weights bf16, fp8, int8, int4 or fp4; empty where nobody says.
	Engine, Precision string
	// Rate of requests per second, and their mean lengths in tokens; each above 0.
	Rate, InputTokens, OutputTokens float64
	// ArrivalCV is the coefficient of variation of times between arrivals: 1 for Poisson.
	ArrivalCV float64
	// Targets in seconds.
	Targets sizing.Targets
	// Accelerators by their types in the catalogue; empty for all that have a price and are known to physics.
	Accelerators []string
	Prices       catalogue.Prices
	Knowledge    fitting.Knowledge
	// Sibling is what was learned of the model where it runs; nil where it does not.
	Sibling *fitting.Sibling
}

// Configuration is one way to serve it.
type Configuration struct {
	Accelerator string `json:"accelerator"`
	// TensorParallel is the number of cards that share each layer, and PipelineParallel that of stages which share the layers, absent for one: a replica has as many
	// cards as both multiplied. Nodes are those that it spans, absent for one.
	TensorParallel   int `json:"tensorParallel"`
	PipelineParallel int `json:"pipelineParallel,omitempty"`
	Nodes            int `json:"nodes,omitempty"`
	// Replicas that are likely needed, and by how much that may be wrong.
	Replicas int   `json:"replicas"`
	Range    Range `json:"replicasRange"`
	// Feasible is the share of what may be, 0 to 1, in which the targets can be met at all.
	Feasible float64 `json:"feasible"`
	// MaxNumSeqs and MaxNumBatchedTokens to start engines with.
	MaxNumSeqs          int `json:"maxNumSeqs"`
	MaxNumBatchedTokens int `json:"maxNumBatchedTokens"`
	// TTFT and ITL in ms at the percentile asked for, with that many replicas.
	TTFT float64 `json:"ttftMs"`
	ITL  float64 `json:"itlMs"`
	// CostPerHour in cents, of the likely replicas, and CentsPerMillionTokens generated.
	CostPerHour           float64 `json:"costPerHour"`
	CentsPerMillionTokens float64 `json:"centsPerMillionTokens"`
	// Price of a card, and what the performance rests on.
	Price   catalogue.Price `json:"price"`
	Assumed string          `json:"assumed"`
}

// Range of replicas: in one of ten cases of what is not known fewer than P10 are enough, and in one of ten more than P90 are needed. A bound at which no
// number of replicas meets the targets is absent.
type Range struct {
	P10 *int `json:"p10,omitempty"`
	P90 *int `json:"p90,omitempty"`
}

// Excluded is an accelerator that is no way to serve it, and why.
type Excluded struct {
	Accelerator    string `json:"accelerator"`
	TensorParallel int    `json:"tensorParallel,omitempty"`
	Why            string `json:"why"`
}

// Answer lists configurations: first those that meet the targets in nine of ten cases, by their likely cost, then the others.
type Answer struct {
	Model string `json:"model"`
	// Guessed says that the architecture is guessed from the name.
	Guessed        bool            `json:"guessed,omitempty"`
	Configurations []Configuration `json:"configurations"`
	// Apart are configurations with roles, in the same order: of each type the cheapest, and of each two types where accelerators are named.
	Apart       []Apart    `json:"apart,omitempty"`
	Excluded    []Excluded `json:"excluded,omitempty"`
	Assumptions []string   `json:"assumptions"`
}

const (
	// draws of what is not known, each of which is sized.
	//
	// Tuned: 1; measured by the ranges of Llama-3.1-8B and 70B; at half: a bound moves by up to a tenth; at twice: by less, for twice the time
	draws = 41
	// mostCards of a replica: those of a usual node.
	//
	// Tuned: cards; derived from nodes of clouds, which have eight; at half: models above 150 billion parameters in 16 bits fit nothing; at twice:
	// no node has them
	mostCards = 8
	// mostNodes of a replica, of a model that fits no single one.
	//
	// Tuned: nodes; derived from the largest open models, of 700 billion to a thousand billion parameters, whose 16-bit weights take 1.4 to 2 TB and four
	// nodes of eight cards of 80 GB; at half: they fit nothing but larger cards; at twice: no model needs them
	mostNodes = 4
	// mostReplicas that are recommended.
	//
	// Tuned: replicas; guard against a rate that is a mistake
	mostReplicas = 1 << 20
)

// Validate joins every fault of a question.
func (q *Question) Validate() error {
	var faults []error
	if strings.TrimSpace(q.Model) == "" {
		faults = append(faults, errors.New("model: is missing"))
	}
	for _, f := range []struct {
		field string
		value float64
		most  float64
	}{{"rate", q.Rate, 1e6}, {"input", q.InputTokens, 1e7}, {"output", q.OutputTokens, 1e7}} {
		if !(f.value > 0 && f.value <= f.most) {
			faults = append(faults, fmt.Errorf("%s: %v is not allowed, must be above 0 and at most %g", f.field, f.value, f.most))
		}
	}
	if !(q.ArrivalCV >= 0 && q.ArrivalCV <= 100) {
		faults = append(faults, fmt.Errorf("cv: %v is not allowed, must be 0 to 100", q.ArrivalCV))
	}
	if q.Targets.TTFT == 0 && q.Targets.ITL == 0 {
		faults = append(faults, errors.New("ttft, itl: at least one target must be given"))
	}
	faults = append(faults, q.Targets.Validate())
	for _, a := range q.Accelerators {
		if _, known := catalogue.Lookup(a); !known {
			faults = append(faults, fmt.Errorf("accelerators: %q is not known, known are %s", a, strings.Join(catalogue.TypeNames(), ", ")))
		} else if _, priced := q.Prices.Find(a); !priced {
			faults = append(faults, fmt.Errorf("accelerators: %q has no price, give one", a))
		}
	}
	return errors.Join(faults...)
}

// Ask for configurations. The error joins every fault of the question; that nothing meets the targets is an answer.
func Ask(q *Question) (*Answer, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	model, err := queueing.Models().New(queueing.ModelContinuousBatching, nil)
	if err != nil {
		return nil, err
	}
	a := &Answer{Model: q.Model}
	var heads int
	if heads, a.Guessed = q.Knowledge.Heads(q.Model, q.properties()); a.Guessed {
		heads = 0 // nobody knows what divides them
	}
	a.Assumptions = q.assumptions(a.Guessed)
	sizer := &sizing.Sizer{Model: model}
	for _, typ := range q.types() {
		price, _ := q.Prices.Find(typ)
		if _, known := q.Knowledge.Accelerators.Find(typ); !known {
			a.Excluded = append(a.Excluded, Excluded{Accelerator: typ, Why: "nothing is known of its memory and speed"})
			continue
		}
		fits := false
		for cards := 1; cards <= mostCards*mostNodes; cards *= 2 {
			if cards > mostCards && (fits || !q.Knowledge.SpansNodes(typ)) {
				break // over nodes is for what fits on none
			}
			for _, stages := range stages(cards) {
				c, err := q.configure(sizer, typ, spread{cards / stages, stages}, heads, price)
				fits = fits || !errors.As(err, new(*fitting.TooLarge))
				if err != nil {
					a.Excluded = append(a.Excluded, Excluded{typ, cards / stages, err.Error()})
					continue
				}
				a.Configurations = append(a.Configurations, *c)
			}
		}
	}
	slices.SortStableFunc(a.Configurations, func(x, y Configuration) int { return x.rank().compare(y.rank()) })
	a.Apart = q.apart(heads)
	if len(a.Apart) > 0 {
		a.Assumptions = append(a.Assumptions, "between roles a card has 50 GB/s, one port of 400 Gbit/s, or its links where these span a rack")
	}
	return a, nil
}

// rank of a configuration among others.
type rank struct {
	doubtful       bool // more than one case of ten does not meet the targets
	cost, feasible float64
}

func (r rank) compare(o rank) int {
	if r.doubtful != o.doubtful {
		if r.doubtful {
			return 1
		}
		return -1
	}
	return cmp.Or(cmp.Compare(r.cost, o.cost), cmp.Compare(o.feasible, r.feasible))
}

// Cards of a replica.
func (c *Configuration) Cards() int { return c.TensorParallel * max(1, c.PipelineParallel) }

func (c *Configuration) rank() rank { return rank{c.Range.P90 == nil, c.CostPerHour, c.Feasible} }

// types of cards to consider. Of names of one card at one price, such as A100 and A100-80GB, the first is enough.
func (q *Question) types() []string {
	if len(q.Accelerators) > 0 {
		return q.Accelerators
	}
	type offer struct {
		card  string
		cents float64
	}
	seen := map[offer]bool{}
	var all []string
	for _, e := range catalogue.Types() {
		price, priced := q.Prices.Find(e.Type)
		card, known := q.Knowledge.Accelerators.Find(e.Type)
		if !priced || known && seen[offer{card.Name, price.CentsPerHour}] {
			continue
		}
		seen[offer{card.Name, price.CentsPerHour}] = true
		all = append(all, e.Type)
	}
	return all
}

func (q *Question) properties() jsonspec.ModelProperties {
	return jsonspec.ModelProperties{Architecture: q.Architecture}
}

// assumptions that nobody gave.
func (q *Question) assumptions(guessed bool) []string {
	var all []string
	if guessed {
		all = append(all, fmt.Sprintf("the architecture of %s is not in the catalogue: a dense model of the size in its name is taken, which widens all ranges", q.Model))
	}
	if q.Precision == "" {
		all = append(all, "the precision of the weights is as the model's name says, bf16 where it says nothing")
	}
	if q.Engine == "" {
		all = append(all, "the engine is not said: ranges are over what was measured of several")
	}
	return append(all, fmt.Sprintf("arrivals vary with a CV of %g, lengths of requests as of an exponential distribution; no prompt is found in a prefix cache; all replicas get an equal share", q.ArrivalCV))
}

// spread of a replica over cards: each layer over so many, and the layers over so many stages.
type spread struct{ tensor, stages int }

func (s spread) cards() int { return s.tensor * s.stages }

// pipeline is the number of stages to tell, none for one.
func (s spread) pipeline() int {
	if s.stages > 1 {
		return s.stages
	}
	return 0
}

// stages that so many cards may be in: one, or over several nodes also one on each, between which less is to be sent.
func stages(cards int) []int {
	if n := nodes(cards); n > 1 {
		return []int{1, n}
	}
	return []int{1}
}

// configure one type, spread so.
func (q *Question) configure(sizer *sizing.Sizer, typ string, over spread, heads int, price catalogue.Price) (*Configuration, error) {
	if heads > 0 && heads%over.tensor != 0 {
		return nil, fmt.Errorf("%d cards do not divide %d heads of attention", over.tensor, heads)
	}
	given := q.given(typ, over)
	properties := jsonspec.AcceleratorProperties{Type: typ}
	assumed, err := q.Knowledge.Assume(q.Model, q.properties(), typ, properties, given)
	if err != nil {
		return nil, err
	}
	laws, err := q.Knowledge.Draws(q.Model, q.properties(), typ, properties, given, q.Sibling, draws)
	if err != nil {
		return nil, err
	}
	requests := q.requests()
	best, err := sizer.Choose(laws[0], requests, q.limits(&laws[0]), q.Targets, sizing.Free{Budget: true})
	if err != nil {
		return nil, err
	}
	if l := &best.Limits; l.MaxBatch > l.MaxBatchedTokens { // engines refuse a batch above the token budget
		l.MaxBatch = l.MaxBatchedTokens
		if best.Rate, _, err = sizer.Rate(laws[0], requests, *l, q.Targets); err != nil {
			return nil, err
		}
	}
	if best.Rate*mostReplicas < q.Rate {
		return nil, fmt.Errorf("more than %d replicas would be needed", mostReplicas)
	}
	c := &Configuration{
		Accelerator: typ, TensorParallel: over.tensor, PipelineParallel: over.pipeline(), Replicas: sizing.Replicas(q.Rate, best.Rate, 1),
		Nodes: nodes(over.cards()), MaxNumSeqs: best.Limits.MaxBatch, MaxNumBatchedTokens: best.Limits.MaxBatchedTokens, Price: price, Assumed: assumed.From,
	}
	if c.Range, c.Feasible, err = q.needs(sizer, laws, requests, best.Limits); err != nil {
		return nil, err
	}
	if err := c.predict(sizer.Model, laws[0], requests, best.Limits, q); err != nil {
		return nil, err
	}
	each := price.CentsPerHour * float64(over.cards())
	c.CostPerHour = each * float64(c.Replicas)
	c.CentsPerMillionTokens = q.perMillionTokens(c.CostPerHour)
	return c, nil
}

// given of replicas that are spread so.
func (q *Question) given(typ string, over spread) jsonspec.Performance {
	p := jsonspec.Performance{Acc: typ, AccCount: over.cards(), Match: map[string]string{}}
	if over.stages > 1 {
		p.Match["pipeline_parallel"] = strconv.Itoa(over.stages)
	}
	if q.Engine != "" {
		p.Match["engine"] = q.Engine
	}
	if q.Precision != "" {
		p.Match["precision"] = q.Precision
	}
	return p
}

// requests with lengths as of an exponential distribution.
func (q *Question) requests() queueing.Requests {
	return queueing.Requests{
		InputTokens: q.InputTokens, OutputTokens: q.OutputTokens, InputTokensSD: q.InputTokens, OutputTokensSD: q.OutputTokens, ArrivalCV: q.ArrivalCV,
	}
}

// nodes that a replica of so many cards spans; 0 for one.
func nodes(cards int) int {
	if cards <= mostCards {
		return 0
	}
	return (cards + mostCards - 1) / mostCards
}

// Exact: an hour has so many seconds.
const secondsPerHour = 3600

// perMillionTokens generated, of so many cents per hour.
func (q *Question) perMillionTokens(cost float64) float64 {
	return cost / (q.Rate * q.OutputTokens * secondsPerHour) * 1e6
}

// limits that engines could have: as many requests as the cache holds.
func (q *Question) limits(law *queueing.Roofline) queueing.Limits {
	// most requests of a batch is vLLM's largest default, 1024 on cards of much memory.
	const most = 1024
	tokens := cache(law)
	batch := max(1, min(most, int(float64(tokens)/(q.InputTokens+q.OutputTokens))))
	return queueing.Limits{MaxBatch: batch, MaxQueue: batch, MaxBatchedTokens: queueing.DefaultMaxBatchedTokens, KVTokens: tokens}
}

// needs of replicas over what is not known. Draws that cannot meet the targets need infinitely many.
func (q *Question) needs(sizer *sizing.Sizer, laws []queueing.Roofline, r queueing.Requests, l queueing.Limits) (Range, float64, error) {
	needs := make([]float64, len(laws))
	feasible := 0
	for i := range laws {
		own := l
		own.KVTokens = cache(&laws[i])
		rate, _, err := sizer.Rate(laws[i], r, own, q.Targets)
		switch {
		case errors.As(err, new(*sizing.Infeasible)) || err == nil && !(rate > 0):
			needs[i] = math.Inf(1)
			continue
		case err != nil:
			return Range{}, 0, err
		}
		feasible++
		needs[i] = math.Max(1, math.Ceil(q.Rate/rate))
	}
	return rangeOf(needs), float64(feasible) / float64(len(laws)), nil
}

// rangeOf replicas that are needed in so many cases.
func rangeOf(needs []float64) Range {
	slices.Sort(needs)
	at := func(share float64) *int {
		need := needs[int(math.Round(share*float64(len(needs)-1)))]
		if need > mostReplicas {
			return nil
		}
		n := int(need)
		return &n
	}
	return Range{at(0.1), at(0.9)}
}

// predict what the likely replicas do when they share the load.
func (c *Configuration) predict(m queueing.Model, law queueing.Law, r queueing.Requests, l queueing.Limits, q *Question) error {
	replica, err := m.Replica(law, r, l)
	if err != nil {
		return err
	}
	p, err := replica.Open(q.Rate / float64(c.Replicas))
	if err != nil {
		return err
	}
	c.TTFT, c.ITL = q.latencies(&p)
	return nil
}

// latencies in ms at the percentile asked for.
func (q *Question) latencies(p *queueing.Prediction) (ttft, itl float64) {
	ttft, itl = p.TTFT.Mean, p.RequestITL.Mean
	if q.Targets.Percentile > 0 {
		ttft, itl = p.TTFT.At(q.Targets.Percentile), p.RequestITL.At(q.Targets.Percentile)
	}
	return jsonspec.Digits(jsonspec.Milliseconds(ttft)), jsonspec.Digits(jsonspec.Milliseconds(itl))
}
