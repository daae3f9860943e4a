package control

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// Pair is a model on an accelerator, in a namespace.
type Pair struct{ Model, Accelerator, Namespace string }

// pairs that are known, by model, then namespace, in the order of accelerators. A model of which nothing is known has none.
type pairs map[string]map[string][]*sizing.Pair

// of a server on an accelerator, nil where there is none.
func (p pairs) of(model, namespace, accelerator string) *sizing.Pair {
	return sizing.PairOn(p[model][namespace], accelerator)
}

// estimated is what the stage returns.
type estimated struct {
	pairs pairs
	// learned is what to remember.
	learned map[string]map[string]*v1alpha1.PairMemory
	// judgements of all observations in the order of models and accelerators.
	judgements []fleet.Judgement
	// assumptions about pairs of which no performance was given, in the same order.
	assumptions []fleet.Assumption
}

// pairsOf a model, by accelerator.
func pairsOf(m *fleet.Model, accelerators []fleet.Accelerator) []*sizing.Pair {
	var list []*sizing.Pair
	for i := range accelerators {
		a := &accelerators[i]
		for _, perf := range m.Performance {
			if perf.Acc == a.Name {
				list = append(list, &sizing.Pair{Model: m.Name, Accelerator: a, Performance: perf})
			}
		}
	}
	slices.SortFunc(list, func(a, b *sizing.Pair) int { return strings.Compare(a.Accelerator.Name, b.Accelerator.Name) })
	return list
}

// assume completes a pair of which no law was given by what physics and experience say, or what was fitted to servers with roles, and returns the tokens that
// its cache probably holds. A pair that cannot be for want of memory, but runs, is: then it is what was said of it that is wrong.
func (st *Stages) assume(p *sizing.Pair, m jsonspec.ModelProperties, fitted []jsonspec.RolesEntry, runs bool) (kvTokens int) {
	if _, err := queueing.ParmsIn(p.Performance); !errors.Is(err, queueing.ErrNoParameters) {
		return 0
	}
	base := cmp.Or(p.Accelerator.Base, p.Accelerator.Name)
	var a fitting.Assumed
	var err error
	if p.Performance.Role == "" {
		a, err = st.Knowledge.Assume(p.Model, m, base, p.Accelerator.Given, p.Performance)
	} else {
		a, err = st.Knowledge.AssumeRole(p.Model, m, base, p.Accelerator.Given, p.Performance, fitted)
	}
	if err != nil && !(runs && a.Law != nil) {
		p.Fault = err
		return 0
	}
	p.Performance, p.Assumed = a.Performance, a.From
	p.Performance.Acc = p.Accelerator.Name
	return a.KVTokens
}

// estimate prepares the law of every pair, from the performance that was given and what is learned of it.
func (st *Stages) estimate(snap *fleet.Snapshot, before map[string]map[string]*v1alpha1.PairMemory) estimated {
	shown, times := lessonsOf(snap), startingOf(snap, before)
	serve := map[string][]string{}
	for i := range snap.Servers {
		s := &snap.Servers[i]
		serve[s.Model] = append(serve[s.Model], s.Namespace)
	}
	models := map[string]*fleet.Model{}
	for i := range snap.Models {
		models[snap.Models[i].Name] = &snap.Models[i]
	}
	out := estimated{pairs: pairs{}, learned: map[string]map[string]*v1alpha1.PairMemory{}}
	var classes []class
	for _, name := range slices.Sorted(maps.Keys(models)) {
		m := models[name]
		slices.Sort(serve[name])
		namespaces := slices.Compact(serve[name])
		out.pairs[name] = map[string][]*sizing.Pair{}
		for _, given := range pairsOf(m, snap.Accelerators) {
			lessons := make([]*lesson, len(namespaces))
			runs := false
			for i, namespace := range namespaces {
				lessons[i] = cmp.Or(shown[Pair{name, given.Accelerator.Name, namespace}], &lesson{namespace: namespace})
				runs = runs || len(lessons[i].seen) > 0
			}
			cache := st.assume(given, m.Given, m.Roles, runs)
			classes = append(classes, class{given, m, lessons, taughtOf(before[name], given.Accelerator.Name), cache})
		}
	}
	shared := relatives(classes)
	for i := range classes {
		st.teach(&out, &classes[i], shared, &times)
	}
	return out
}

// class is what there is to teach a pair.
type class struct {
	given   *sizing.Pair
	model   *fleet.Model
	lessons []*lesson
	known   taught
	// cache, in tokens, is what is assumed where nothing else is known.
	cache int
}

// relatives are what was learned of pairs that began with a prior of physics, by the namespace that taught it.
func relatives(classes []class) map[string][]estimation.Relative {
	of := map[string][]estimation.Relative{}
	for i := range classes {
		c := &classes[i]
		if c.given.Assumed == "" || c.given.Fault != nil {
			continue
		}
		for namespace, m := range c.known {
			if r, ok := estimation.NewRelative(c.model.Name, c.given.Performance, m); ok {
				of[namespace] = append(of[namespace], r)
			}
		}
	}
	return of
}

// borrow moves the prior of a pair, of which nobody showed anything, by what its relatives showed.
func borrow(p *sizing.Pair, relatives []estimation.Relative) {
	if p.Assumed == "" || p.Fault != nil || p.Observed {
		return
	}
	p.Performance = estimation.Borrow(p.Model, p.Performance, relatives)
	p.Law, p.Fault = queueing.NewLaw(p.Performance)
}

// lesson is what the pods of one namespace showed of a pair.
type lesson struct {
	namespace string
	seen      []estimation.Observation
	starts    []fleet.Start
	// cache is the size of its KV cache in tokens; 0 where none was seen.
	cache int
}

// empty says that nothing was shown.
func (l *lesson) empty() bool { return len(l.seen) == 0 && len(l.starts) == 0 && l.cache == 0 }

// teach a pair what was seen of it, each namespace for its own servers; relatives are what each learned of other pairs.
func (st *Stages) teach(out *estimated, c *class, relatives map[string][]estimation.Relative, times *starting) {
	given, m, lessons, known, cache := c.given, c.model, c.lessons, c.known, c.cache
	acc := given.Accelerator.Name
	if given.Fault != nil || given.Assumed != "" {
		a := fleet.Assumption{Model: m.Name, Accelerator: acc, From: given.Assumed}
		if given.Fault != nil {
			a.Fault = given.Fault.Error()
		}
		out.assumptions = append(out.assumptions, a)
	}
	var common *v1alpha1.PairMemory
	if given.Fault == nil && slices.ContainsFunc(lessons, func(l *lesson) bool { return known[l.namespace] == nil }) {
		common = known.common(m.Given.TrustedNamespaces, func(p *v1alpha1.PairMemory) queueing.Law {
			law := *given
			st.learn(&law, p, nil)
			return law.Law
		})
	}
	next := maps.Clone(known)
	var untaught *sizing.Pair // as those plan it who have shown nothing of it
	for _, l := range lessons {
		own := known[l.namespace]
		var p sizing.Pair
		switch {
		case own != nil || !l.empty():
			if own == nil {
				own = inherited(common, l.namespace)
			}
			if p, own = st.taught(out, given, own, l, cache); own != nil {
				own.Namespace, next[l.namespace] = l.namespace, own
			}
		case untaught == nil:
			p, _ = st.taught(out, given, inherited(common, ""), l, cache)
			untaught = &p
		default:
			p = *untaught
		}
		pair := p
		known := cmp.Or(own, common)
		pair.Observed = known != nil && known.Observations > 0
		borrow(&pair, relatives[l.namespace])
		pair.StartUp = times.of(l.namespace, own)
		out.pairs[m.Name][l.namespace] = append(out.pairs[m.Name][l.namespace], &pair)
	}
	next.forget(lessons, mostTeachers)
	for _, p := range next {
		out.remember(m.Name, p)
	}
}

// taught is a pair after a lesson, and what to remember of it; nil where there is nothing.
func (st *Stages) taught(out *estimated, given *sizing.Pair, own *v1alpha1.PairMemory, l *lesson, cache int) (sizing.Pair, *v1alpha1.PairMemory) {
	p := *given
	if p.Fault != nil {
		return p, own
	}
	learned, judgements := st.learn(&p, own, l.seen)
	for i := range judgements {
		out.judgements = append(out.judgements, judged(&p, &l.seen[i], &judgements[i]))
	}
	learned = withStarts(withCache(learned, p.Accelerator.Name, l.cache), p.Accelerator.Name, l.starts)
	if learned != nil {
		p.Unreliable = learned.Unreliable
		p.Performance.KVTokens = cmp.Or(p.Performance.KVTokens, learned.KVTokens)
	}
	p.Performance.KVTokens = cmp.Or(p.Performance.KVTokens, cache)
	return p, learned
}

// inherited is what a namespace begins with that has taught nothing of a pair; nil where there is nothing.
func inherited(common *v1alpha1.PairMemory, namespace string) *v1alpha1.PairMemory {
	if common == nil {
		return nil
	}
	own := common.DeepCopy()
	own.Namespace, own.Sources, own.StartUp = namespace, nil, nil
	return own
}

// remember what was learned of a pair.
func (e *estimated) remember(model string, p *v1alpha1.PairMemory) {
	if e.learned[model] == nil {
		e.learned[model] = map[string]*v1alpha1.PairMemory{}
	}
	e.learned[model][p.Key()] = p
}

// learn fills in a pair's law, and returns what to remember.
func (st *Stages) learn(p *sizing.Pair, before *v1alpha1.PairMemory, seen []estimation.Observation) (*v1alpha1.PairMemory, []estimation.Judgement) {
	e, err := st.Estimator.Estimate(p.Performance, before, seen)
	if err != nil {
		p.Fault = fmt.Errorf("estimating: %w", err)
		return before, e.Judgements
	}
	p.Performance = e.Performance
	p.Law, p.Fault = queueing.NewLaw(e.Performance)
	return e.Learned, e.Judgements
}

// withCache remembers the size of the cache that was seen last, 0 for none; it changes nothing that others hold.
func withCache(learned *v1alpha1.PairMemory, acc string, size int) *v1alpha1.PairMemory {
	if size == 0 || (learned != nil && learned.KVTokens == size) {
		return learned
	}
	next := &v1alpha1.PairMemory{Acc: acc}
	if learned != nil {
		next = learned.DeepCopy()
	}
	next.KVTokens = size
	return next
}

func judged(p *sizing.Pair, o *estimation.Observation, j *estimation.Judgement) fleet.Judgement {
	return fleet.Judgement{
		Model: p.Model, Accelerator: p.Accelerator.Name, Source: o.Source, Running: fleet.Measured(o.Running), ITL: fleet.Measured(o.ITL),
		PredictedITL: fleet.Measured(j.PredictedITL), TTFT: fleet.Measured(o.TTFT), PredictedTTFT: fleet.Measured(j.PredictedTTFT),
		Accepted: j.Accepted, Reason: j.Reason,
	}
}

// Observations that a snapshot teaches, in the order of the servers. Replicas of a server that differ are told apart; each pair learns from
// all servers of a namespace that run it. What was measured of a server as a whole teaches nothing: it may hold replicas that came within the window.
func Observations(snap *fleet.Snapshot) map[Pair][]estimation.Observation {
	seen := map[Pair][]estimation.Observation{}
	for pair, l := range lessonsOf(snap) {
		if len(l.seen) > 0 {
			seen[pair] = l.seen
		}
	}
	return seen
}

// mostGivenUp is the largest share of the arrivals of a server that may be given up for what it measures to teach: prompts of those are computed, too, and
// nothing counts them.
//
// Tuned: share; measured by the scenario timeouts over three seeds; at half: no difference; at twice: 1 % less cost of one seed, less than chance
const mostGivenUp = 0.05

// lessonsOf a snapshot, by pair, in the order of the servers. Of the sizes of caches that differ the smallest counts.
func lessonsOf(snap *fleet.Snapshot) map[Pair]*lesson {
	all := map[Pair]*lesson{}
	of := func(s *fleet.Server, accelerator string) *lesson {
		pair := Pair{s.Model, accelerator, s.Namespace}
		if all[pair] == nil {
			all[pair] = &lesson{namespace: s.Namespace}
		}
		return all[pair]
	}
	// Of replicas with roles the ITL of those that decode tells of their law, and the time to first token of those that compute prompts of theirs.
	roles := map[Pair]string{}
	for i := range snap.Models {
		for _, p := range snap.Models[i].Performance {
			roles[Pair{Model: snap.Models[i].Name, Accelerator: p.Acc}] = p.Role
		}
	}
	for i := range snap.Servers {
		s := &snap.Servers[i]
		if s.Seen == nil {
			continue
		}
		for j := range s.Seen.Groups {
			g := &s.Seen.Groups[j]
			l := of(s, g.Accelerator)
			switch role := roles[Pair{Model: s.Model, Accelerator: g.Accelerator}]; {
			case s.Load != nil && s.Seen.GivenUp.Or(0) > mostGivenUp*s.Load.Arrivals:
			case role == "":
				l.seen = append(l.seen, ofGroup(s, g))
			case role == jsonspec.RoleDecode:
				l.seen = append(l.seen, ofDecodes(s, g))
			case g.Waiting.Or(0) <= g.Running.Or(0): // else it is mostly wait, which tells little
				l.seen = append(l.seen, ofPrompts(s, g))
			}
			if size := g.KVTokens.Or(0); size >= 1 && size < math.MaxInt32 && (l.cache == 0 || int(size) < l.cache) {
				l.cache = int(size)
			}
		}
		for _, start := range s.Seen.Starts {
			l := of(s, start.Accelerator)
			l.starts = append(l.starts, start)
		}
	}
	return all
}

// ofDecodes is what was measured of replicas that decode for others: an iteration without prompts, whose tokens are all there, and a time to first token that is
// mostly of what comes before.
func ofDecodes(s *fleet.Server, g *fleet.Group) estimation.Observation {
	o := ofGroup(s, g)
	o.PrefixHitRate, o.TTFT, o.TTFTP90 = 1, math.NaN(), math.NaN()
	return o
}

// ofPrompts is what was measured of replicas that compute prompts for others.
func ofPrompts(s *fleet.Server, g *fleet.Group) estimation.Observation {
	o := ofGroup(s, g)
	o.PromptsOnly, o.OutputTokens, o.ITL, o.ITLP90 = true, 1, math.NaN(), math.NaN()
	return o
}

// ofGroup is what was measured of replicas that are alike, and were there for the whole window.
func ofGroup(s *fleet.Server, g *fleet.Group) estimation.Observation {
	admitted, admitting := g.AdmittedTokens.Get()
	e := estimation.Observation{
		Source: fmt.Sprintf("%s %d/%d", s.Name, g.MaxBatch, g.MaxBatchedTokens), Time: s.Seen.Time - g.Age, Window: g.Window, Replicas: float64(g.Replicas), Settled: true,
		MaxBatch: g.MaxBatch, MaxBatchedTokens: g.MaxBatchedTokens,
		Running: g.Running.OrNaN(), RunningSD: g.RunningSD.OrNaN(), Waiting: g.Waiting.OrNaN(),
		ArrivalRate: g.Admissions.OrNaN(), Admissions: g.Admissions.OrNaN(), Throughput: g.Completions.OrNaN(), Preemptions: g.Preemptions.OrNaN(),
		InputTokens: g.InputTokens.OrNaN(), InputTokensSD: g.InputTokensSD.OrNaN(), OutputTokens: g.OutputTokens.OrNaN(), PrefixHitRate: g.PrefixHitRate.OrNaN(), Requests: g.Requests.OrNaN(),
		TTFT: g.TTFT.Mean.OrNaN(), TTFTP90: g.TTFT.P90.OrNaN(), ITL: g.ITL.Mean.OrNaN(), ITLP90: g.ITL.P90.OrNaN(),
	}
	// The prompts that the window's latencies are of are those that were computed in it. Others are those of requests that finished.
	if admitting {
		e.InputTokens = admitted
	}
	return e
}
