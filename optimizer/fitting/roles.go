package fitting

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Roles are the workers of a server whose prompts and decodes run apart.
type Roles struct {
	Prefill, Decode Role
	// Speculative is true where decodes propose several tokens an iteration, Unsaid where a table does not say.
	Speculative, Unsaid bool
	// Link from prefill to decode workers; without bandwidth it is that of the network of the cards.
	Link queueing.Link
}

// Role is one kind of workers.
type Role struct {
	Workers int
	// Tensor is the number of cards that share each attention layer, Data that of such groups in a worker, Expert that over which experts are spread.
	Tensor, Data, Expert int
	// Pipeline is the number of stages that share the layers, each of Tensor·Data cards; 0 is 1.
	Pipeline int
}

func (r Role) parallelism() Parallelism {
	return Parallelism{Tensor: r.Tensor, Data: r.Data, Pipeline: r.Pipeline}
}

func (r Role) cards() int { return r.parallelism().stage() * r.parallelism().stages() }

// single is a worker on one card.
var single = Role{Workers: 1, Tensor: 1, Data: 1, Expert: 1}

// rolesColumns tell pairs apart, whatever the parallelism of their workers.
var rolesColumns = []string{"engine", "model", "accelerator", "precision"}

// roleNames in the columns of tables.
var roleNames = []string{"prefill", "decode"}

// roles of a row, nil where it says nothing of them.
func (r *record) roles() *Roles {
	degrees := map[string]int{}
	for _, role := range roleNames {
		for _, column := range append([]string{"workers"}, degreeColumns...) {
			column = role + "_" + column
			text := r.text(column)
			if text == "" {
				continue
			}
			n, err := parseDegree(text)
			if err != nil || n < 1 {
				r.faults = append(r.faults, fmt.Errorf("line %d: %s: %q is not a whole number of at least 1", r.line, column, text))
			}
			degrees[column] = n
		}
	}
	if len(degrees) == 0 {
		return nil
	}
	role := func(name, other string) Role {
		if _, ok := degrees[name+"_workers"]; !ok {
			r.faults = append(r.faults, fmt.Errorf("line %d: %s_workers: is missing: a row with %s workers has both roles, one without any role neither", r.line, name, other))
		}
		of := func(column string) int { return max(1, degrees[name+"_"+column]) }
		w := Role{of("workers"), of("tensor_parallel"), of("attention_dp"), of("expert_parallel"), of("pipeline_parallel")}
		if stage := w.parallelism().stage(); stage%w.Expert != 0 {
			r.faults = append(r.faults, fmt.Errorf("line %d: %s_expert_parallel: %d does not divide the %d cards that have a layer (%s_tensor_parallel · %s_attention_dp)",
				r.line, name, w.Expert, stage, name, name))
		}
		return w
	}
	all := &Roles{Prefill: role("prefill", "decode"), Decode: role("decode", "prefill")}
	switch s := r.text("speculative"); s {
	case "", "none":
	case "mtp":
		all.Speculative = true
	case "unknown":
		all.Unsaid = true
	default:
		r.faults = append(r.faults, fmt.Errorf("line %d: speculative: %q is not allowed, must be none, mtp or unknown", r.line, s))
	}
	all.Link = queueing.Link{Bandwidth: r.optional("transfer_bandwidth_bytes_per_s"), Delay: r.optional("transfer_base_ms") / 1e3}
	return all
}

// The multipliers of a server with roles, as logarithms, beside those of each worker's law: of these, bunch and step are the server's.
const (
	// prompt is of computing prompts, beside compute.
	prompt = multipliers + iota
	// wide is by how much the overhead of a worker grows with each doubling of its cards beyond a node, of a tenth.
	wide
	// accepted is the number of tokens of an iteration that speculates.
	accepted
	roleMultipliers // their number
)

// roleMultiplierNames are the names of the multipliers.
var roleMultiplierNames = append(append([]string(nil), multiplierNames[:]...), "prompt", "wide", "accepted")

// RoleMultiplierNames are the names of the multipliers, in the order of [RoleExperience].
func RoleMultiplierNames() []string { return slices.Clone(roleMultiplierNames) }

type roleTheta [roleMultipliers]float64

const (
	// acceptedScale is the number of tokens that an iteration accepts where it speculates.
	//
	// Tuned: tokens; measured by ITL of points of disagg.csv that speculate, 8.0 % off; at half: 53.8 %; at twice: 9.1 %
	acceptedScale = 2
	// replicasShare is the share of what replicas of a pair show, beside the experience with replicas, that its roles do too.
	//
	// Tuned: share; measured by ITL of roles after fits to replicas of the pair, 11.9 % off; at half: 10.5 %; at twice: 19.4 %
	replicasShare = 0.5
	// driftPerDoubling is by how much multipliers differ between replicas of one pair, for each doubling of their cards.
	//
	// Tuned: logarithm; measured by ITL of roles after fits to replicas of the pair, 11.9 % off; at half: 11.8 %; at twice: 11.9 %
	driftPerDoubling = 0.15
	// leastVariance keeps a fit that is sure of everything from deciding alone.
	//
	// Tuned: squared logarithm; guard against a weight without end
	leastVariance = 1e-4
	// node is the number of cards that need no network between nodes.
	//
	// Tuned: cards; measured by ITL and TTFT of other points of disagg.csv, 6.4 and 35.4 %; at half: 6.3, 35.6 %; at twice: 6.9, 35.3 %
	node = 8
	// wideScale is by how much overhead grows with a doubling of the cards beyond that, as a share.
	//
	// Tuned: share; measured by ITL and TTFT of other points of disagg.csv, 6.4 and 35.4 %; at half: 6.4, 35.5 %; at twice: 6.4, 35.4 %
	wideScale = 0.1
	// openingScale is the share of the requests of a benchmark that start together: ten for each client.
	//
	// Exact: one of ten.
	openingScale = 0.1
	// network is the bandwidth between nodes that a card has where none is given, in bytes per second.
	//
	// Tuned: bytes/s; derived from one port of 400 Gb/s for each card; at half: no difference; at twice: no difference
	network = 50e9
)

// roleFeatures are those of the engine, by which multipliers of roles differ from those of replicas: any known engine, TensorRT-LLM, 4-bit weights.
//
// Exact: there are so many.
const roleFeatures = 3

func (k kind) roleFeatures() [roleFeatures]float64 {
	f := k.features()
	any := f[1] + f[2] + f[3]
	return [roleFeatures]float64{any, f[3] - any/2, any * (f[6] - 0.5)}
}

// RoleExperience is what was learned from servers with roles: the mean of each multiplier's logarithm, beside that of a replica of the kind, is linear in the
// features of the engine. An engine that is not known has that of a replica.
type RoleExperience [roleMultipliers]struct {
	Mean   [roleFeatures]float64
	Spread float64
}

// hardware is what the physics of all workers of a server are derived from.
type hardware struct {
	architecture jsonspec.Architecture
	card         Accelerator
	precision    Precision
	engine       string
	vague        float64
}

// hardwareOf a group; a card that is not known is an error.
func (k Knowledge) hardwareOf(g Group) (hardware, error) {
	card, ok := k.Accelerators.Find(g["accelerator"])
	if !ok {
		return hardware{}, &UnknownAccelerator{g["accelerator"]}
	}
	h := hardware{card: card, precision: Precision(g["precision"]), engine: g["engine"]}
	var guessed bool
	if h.architecture, guessed = k.Architectures.Find(g["model"]); guessed {
		h.vague = guess
	}
	return h, nil
}

// allows says what is wrong with the parallelism of a point.
func (h hardware) allows(p Point) error {
	var faults []error
	for i, r := range []Role{p.Roles.Prefill, p.Roles.Decode} {
		a := h.architecture
		if h.vague == 0 && a.NumAttentionHeads%r.Tensor != 0 {
			faults = append(faults, fmt.Errorf("%s_tensor_parallel: %d does not divide the %d attention heads of %s", roleNames[i], r.Tensor, a.NumAttentionHeads, p.Group["model"]))
		}
		if experts := a.Experts(); h.vague == 0 && r.Expert > 1 && r.Expert > experts {
			faults = append(faults, fmt.Errorf("%s_expert_parallel: %d is more than the %d experts of %s", roleNames[i], r.Expert, experts, p.Group["model"]))
		}
	}
	return errors.Join(faults...)
}

// cacheBytes of a value.
func cacheBytes(engine string, p Precision) float64 {
	if engine == "trtllm" && p.bytes() <= 1 {
		return 1 // TensorRT-LLM caches in 8 bits where the weights have at most that
	}
	return 2
}

// worker is the physics of a worker of a role.
func (h hardware) worker(r Role) setting {
	s := scales(h.architecture, h.card, h.precision, r.parallelism(), cacheBytes(h.engine, h.precision))
	return setting{s, kind{engine: h.engine, moe: s.moe, cards: float64(r.parallelism().stage()), precision: h.precision, accelerator: h.card.Name}, h.vague}
}

// prior of the multipliers of a server's roles, beside what [Experience] says of a replica like each worker.
func (e *Experience) roles(h hardware, roles *RoleExperience) (mean, sd roleTheta) {
	f := h.worker(single).kind.roleFeatures()
	for i, p := range roles {
		for j, x := range f {
			mean[i] += p.Mean[j] * x
		}
		sd[i] = p.Spread
		if h.vague > 0 && i != bunch && i != step && i != wide && i != accepted {
			sd[i] = math.Hypot(sd[i], h.vague)
		}
	}
	return mean, sd
}

// evidence is what replicas of a pair showed that do both: how far the logarithms of their multipliers are from the prior, and their variances.
type evidence struct {
	cards         float64
	off, variance theta
}

// shown collects the evidence of fits to the pair of a group, whatever their parallelism.
func (k Knowledge) shown(fitted []jsonspec.PerformanceEntry, g Group) []evidence {
	var all []evidence
	for _, e := range fitted {
		own := Group(e.Match)
		if e.Law == nil || e.Law.Name != queueing.LawRoofline || slices.ContainsFunc(rolesColumns, func(c string) bool { return own[c] != g[c] }) {
			continue
		}
		s := k.measuredSetting(own)
		mean, sd := k.Experience.prior(s.kind, s.vague)
		was, err := queueing.ParmsOf(s.law(mean))
		if err != nil {
			continue // the law is one of ours
		}
		v := evidence{cards: s.kind.cards}
		for j, name := range multiplierNames {
			v.variance[j] = sd[j] * sd[j]
			if a, b := was.Parameters[name], e.Law.Parameters[name]; a > 0 && b > 0 {
				v.off[j] = math.Log(b / a)
			}
			if i := slices.Index(e.Law.Order, name); i >= 0 && i < len(e.Law.Covariance) && i < len(e.Law.Covariance[i]) {
				v.variance[j] = e.Law.Covariance[i][i]
			}
		}
		all = append(all, v)
	}
	return all
}

// shared is what replicas showed that is expected of a worker of a role: their mean, by how sure each is and how near in cards. All of it where nothing is
// known of the roles of an engine, else a share.
func (h hardware) shared(all []evidence, r Role) (off theta) {
	s := h.worker(r)
	share := 1.0
	if s.kind.roleFeatures()[0] > 0 {
		share = replicasShare
	}
	for j := range off {
		sum := 0.0
		for _, v := range all {
			w := 1 / (v.variance[j] + square(driftPerDoubling*math.Log2(s.kind.cards/v.cards)) + leastVariance)
			off[j] += w * v.off[j] * share
			sum += w
		}
		if sum > 0 {
			off[j] /= sum
		}
	}
	return off
}

func square(x float64) float64 { return x * x }

// with what replicas showed.
func (t roleTheta) with(off theta) roleTheta {
	for j, x := range off {
		if j != bunch && j != step {
			t[j] += x
		}
	}
	return t
}

// split is the server of a point whose workers have these multipliers; those of the server are the decode workers'.
func (h hardware) split(e *Experience, prefill, decode roleTheta, p Point) queueing.Split {
	workers := func(name string, r Role, t roleTheta) queueing.Workers {
		law := h.roleLaw(e, name, r, t)
		w := queueing.Workers{Law: law, Count: r.Workers, Ranks: r.Data, Limits: p.Limits}
		if w.Limits.KVTokens == 0 {
			w.Limits.KVTokens = int(math.Max(1, math.Min(law.KVTokens, math.MaxInt32)))
		}
		return w
	}
	q := queueing.Split{
		Prefill: workers(jsonspec.RolePrefill, p.Roles.Prefill, prefill), Decode: workers(jsonspec.RoleDecode, p.Roles.Decode, decode),
		Link: p.Roles.Link, TokenBytes: h.tokenBytes(),
		Bunch: openingScale * math.Exp(decode[bunch]), Wait: math.Exp(decode[step]),
	}
	if q.Link.Bandwidth == 0 {
		q.Link.Bandwidth = min(h.bandwidth(p.Roles.Prefill), h.bandwidth(p.Roles.Decode))
	}
	if p.Roles.Speculative {
		q.TokensPerIteration = decode.accepts()
	}
	return q
}

// roleLaw is the law of a worker of a role with these multipliers.
func (h hardware) roleLaw(e *Experience, name string, r Role, t roleTheta) queueing.Roofline {
	s := h.worker(r)
	m, _ := e.prior(s.kind, 0)
	for j := range m {
		m[j] += t[j]
	}
	law := s.law(m)
	law.Overhead *= 1 + wideScale*math.Exp(t[wide])*math.Log2(math.Max(1, s.kind.cards/node))
	law.Bunch, law.Step = 0, 0
	if name == jsonspec.RolePrefill {
		more := math.Exp(t[prompt])
		law.Compute, law.Attention = law.Compute*more, law.Attention*more
	}
	return law
}

// accepts is the number of tokens of an iteration that speculates.
func (t roleTheta) accepts() float64 { return math.Max(1, acceptedScale*math.Exp(t[accepted])) }

// tokenBytes are those that the cache of a token takes.
func (h hardware) tokenBytes() float64 {
	return measure(h.architecture).kv * cacheBytes(h.engine, h.precision)
}

// bandwidth of a worker to others, where none is given, in bytes per second.
func (h hardware) bandwidth(r Role) float64 {
	each := float64(network)
	if h.card.rack() {
		each = h.card.Link
	}
	return each * float64(r.cards())
}

// expect of a point whose workers have these multipliers.
func (h hardware) expect(e *Experience, prefill, decode roleTheta, p Point) (queueing.Prediction, error) {
	q := h.split(e, prefill, decode, p)
	if p.Clients > 0 {
		return q.Closed(p.Requests, p.Clients)
	}
	replica, err := q.Replica(p.Requests)
	if err != nil {
		return queueing.Prediction{}, err
	}
	return replica.Open(p.Rate)
}

// rolesForm is the form of a fit to points with roles.
func (h hardware) rolesForm(e *Experience, mean, sd roleTheta) form {
	return form{names: roleMultiplierNames, mean: mean[:], sd: sd[:], split: func(x []float64) answers {
		return func(p Point) (itl, ttft float64) {
			q, err := h.expect(e, roleTheta(x), roleTheta(x), p)
			if err != nil {
				return math.NaN(), math.NaN()
			}
			return q.ITL.Mean, q.TTFT.Mean
		}
	}}
}
