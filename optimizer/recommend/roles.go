package recommend

import (
	"cmp"
	"errors"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// Role is one of the two parts of a configuration whose prompts are computed on replicas of their own.
type Role struct {
	Accelerator string `json:"accelerator"`
	// TensorParallel, PipelineParallel and Nodes as of a [Configuration].
	TensorParallel   int `json:"tensorParallel"`
	PipelineParallel int `json:"pipelineParallel,omitempty"`
	Nodes            int `json:"nodes,omitempty"`
	// Replicas that are likely needed, and by how much that may be wrong.
	Replicas int   `json:"replicas"`
	Range    Range `json:"replicasRange"`
	// MaxNumSeqs and MaxNumBatchedTokens to start engines with.
	MaxNumSeqs          int `json:"maxNumSeqs"`
	MaxNumBatchedTokens int `json:"maxNumBatchedTokens"`
	// Price of a card, and what the performance rests on.
	Price   catalogue.Price `json:"price"`
	Assumed string          `json:"assumed"`
}

// Apart is a way to serve it by replicas that compute prompts and others that decode. Both grow and shrink together: what is not known of one is not known of the
// other, and the ranges are of each by itself.
type Apart struct {
	Prefill Role `json:"prefill"`
	Decode  Role `json:"decode"`
	// Feasible is the share of what may be, 0 to 1, in which the targets can be met at all.
	Feasible float64 `json:"feasible"`
	// TTFT and ITL in ms at the percentile asked for, with that many replicas; the transfer of the KV cache is in the first.
	TTFT float64 `json:"ttftMs"`
	ITL  float64 `json:"itlMs"`
	// CostPerHour in cents, of the likely replicas of both, and CentsPerMillionTokens generated.
	CostPerHour           float64 `json:"costPerHour"`
	CentsPerMillionTokens float64 `json:"centsPerMillionTokens"`
}

// Before says whether it comes before a configuration whose replicas do both, in their common order.
func (a *Apart) Before(c *Configuration) bool { return a.rank().compare(c.rank()) < 0 }

func (a *Apart) rank() rank {
	return rank{a.Prefill.Range.P90 == nil || a.Decode.Range.P90 == nil, a.CostPerHour, a.Feasible}
}

// way to run one role: on cards of a type, spread so.
type way struct {
	typ string
	spread
	price   catalogue.Price
	assumed fitting.Assumed
	laws    []queueing.Roofline // drawn, the likeliest first
}

func (w *way) cost() float64 { return w.price.CentsPerHour * float64(w.cards()) }

// apart are the ways to serve with roles that can meet the targets: of each type of cards the cheapest pair of parallelisms. Where the user names accelerators, one type
// may also hand over to another: whether their caches fit each other, and a network is between them, is for the user to know.
func (q *Question) apart(heads int) []Apart {
	prefills, decodes := q.ways(jsonspec.RolePrefill, heads), q.ways(jsonspec.RoleDecode, heads)
	type types struct{ prefill, decode string }
	best := map[types]*sized{}
	for _, p := range prefills {
		for _, d := range decodes {
			if p.typ != d.typ && len(q.Accelerators) == 0 {
				continue
			}
			key := types{p.typ, d.typ}
			if s := q.pair(p, d); s != nil && (best[key] == nil || s.cost() < best[key].cost()) {
				best[key] = s
			}
		}
	}
	var all []Apart
	for _, s := range best {
		if a, err := q.describe(s); err == nil {
			all = append(all, *a)
		}
	}
	slices.SortFunc(all, func(x, y Apart) int {
		return cmp.Or(x.rank().compare(y.rank()), cmp.Compare(x.Prefill.Accelerator, y.Prefill.Accelerator), cmp.Compare(x.Decode.Accelerator, y.Decode.Accelerator))
	})
	return all
}

// ways to run a role, of one node where it fits one.
func (q *Question) ways(role string, heads int) []*way {
	var all []*way
	for _, typ := range q.types() {
		price, _ := q.Prices.Find(typ)
		if _, known := q.Knowledge.Accelerators.Find(typ); !known {
			continue
		}
		fits := false
		for cards := 1; cards <= mostCards*mostNodes; cards *= 2 {
			if cards > mostCards && (fits || !q.Knowledge.SpansNodes(typ)) {
				break
			}
			for _, stages := range stages(cards) {
				over := spread{cards / stages, stages}
				given, properties := q.given(typ, over), jsonspec.AcceleratorProperties{Type: typ}
				given.Role = role
				assumed, err := q.Knowledge.AssumeRole(q.Model, q.properties(), typ, properties, given, nil)
				if fits = fits || !errors.As(err, new(*fitting.TooLarge)); err != nil || heads > 0 && heads%over.tensor != 0 {
					continue
				}
				if laws, err := q.Knowledge.DrawRole(q.Model, q.properties(), typ, properties, given, draws); err == nil {
					all = append(all, &way{typ, over, price, assumed, laws})
				}
			}
		}
	}
	return all
}

// sized is a pair of ways with the replicas that are likely needed.
type sized struct {
	prefill, decode *way
	split           queueing.Split // of the likeliest laws
	replicas        [2]int
}

func (s *sized) costs() [2]float64 { return [2]float64{s.prefill.cost(), s.decode.cost()} }
func (s *sized) cost() float64 {
	return float64(s.replicas[0])*s.prefill.cost() + float64(s.replicas[1])*s.decode.cost()
}

// pair two ways; nil where they cannot meet the targets.
func (q *Question) pair(prefill, decode *way) *sized {
	s := &sized{prefill: prefill, decode: decode}
	s.split = queueing.Split{Prefill: q.workers(&prefill.laws[0]), Decode: q.workers(&decode.laws[0]), Routing: queueing.Random}
	s.split.Link, s.split.TokenBytes = sizing.Link(prefill.assumed.Transfer, decode.assumed.Transfer)
	n, err := sizing.FewestOfRoles(s.split, q.requests(), q.Targets, q.Rate, s.costs())
	if err != nil || max(n[0], n[1]) > mostReplicas {
		return nil
	}
	s.replicas = n
	return s
}

// workers under a law, with the limits that engines could have.
func (q *Question) workers(law *queueing.Roofline) queueing.Workers {
	l := q.limits(law)
	l.MaxBatch = min(l.MaxBatch, l.MaxBatchedTokens)
	return queueing.Workers{Law: *law, Limits: l}
}

// describe a pair, with what it predicts and how sure that is.
func (q *Question) describe(s *sized) (*Apart, error) {
	var needs [2][]float64
	feasible := 0
	for i := range s.prefill.laws {
		drawn := s.split
		drawn.Prefill.Law, drawn.Decode.Law = s.prefill.laws[i], s.decode.laws[i]
		drawn.Prefill.Limits.KVTokens, drawn.Decode.Limits.KVTokens = cache(&s.prefill.laws[i]), cache(&s.decode.laws[i])
		n, err := sizing.FewestOfRoles(drawn, q.requests(), q.Targets, q.Rate, s.costs())
		for k := range needs {
			need := math.Inf(1)
			if err == nil {
				need = float64(n[k])
			}
			needs[k] = append(needs[k], need)
		}
		if err == nil {
			feasible++
		}
	}
	with := s.split
	with.Prefill.Count, with.Decode.Count = s.replicas[0], s.replicas[1]
	replica, err := with.Replica(q.requests())
	if err != nil {
		return nil, err
	}
	p, err := replica.Open(q.Rate)
	if err != nil {
		return nil, err
	}
	a := &Apart{
		Prefill: s.prefill.role(with.Prefill, needs[0]), Decode: s.decode.role(with.Decode, needs[1]), Feasible: float64(feasible) / float64(len(s.prefill.laws)),
		CostPerHour: s.cost(), CentsPerMillionTokens: q.perMillionTokens(s.cost()),
	}
	a.TTFT, a.ITL = q.latencies(&p)
	return a, nil
}

// cache is how many tokens a replica holds under a law.
func cache(law *queueing.Roofline) int { return int(min(law.KVTokens, math.MaxInt32)) }

func (w *way) role(as queueing.Workers, needs []float64) Role {
	return Role{
		Accelerator: w.typ, TensorParallel: w.tensor, PipelineParallel: w.pipeline(), Nodes: nodes(w.cards()), Replicas: as.Count, Range: rangeOf(needs),
		MaxNumSeqs: as.Limits.MaxBatch, MaxNumBatchedTokens: as.Limits.MaxBatchedTokens, Price: w.price, Assumed: w.assumed.From,
	}
}
