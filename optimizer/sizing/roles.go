package sizing

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/ratio"
)

// roles are replicas that compute prompts and others that decode, which are sized together: a first token comes when a prompt was computed, its cache
// transferred, and an iteration of the other role is through.
type roles struct {
	prefill, decode *Sized
	split           queueing.Split // without counts
	requests        queueing.Requests
	server          *Server // that they are sized for; nil where there is no load
}

// apart are the ways of a server to compute prompts on replicas of one pair and to decode on those of another, or of the same accelerator.
func (st *Stage) apart(s *Server, m *Memory, late map[string]int) []*Candidate {
	inForce := s.InForce()
	demand := s.Targets.Demand(s.Demand.Rate, s.Demand.OutputTokens)
	var list []*Candidate
	for _, pair := range pairsOfRoles(s.Pairs) {
		with := func(of func(*Pair) queueing.Limits) *Candidate {
			part := func(p *Pair) *Sized {
				return &Sized{Pair: p, Limits: of(p), Trim: m.Trims[pair[0].Accelerator.Name+"+"+pair[1].Accelerator.Name], late: late[p.Accelerator.Name], demand: demand}
			}
			r := &roles{prefill: part(pair[0]), decode: part(pair[1]), requests: s.Demand.Requests(1), server: s}
			r.requests.InputTokens = max(r.requests.InputTokens, s.Demand.GrownInputTokens)
			return r.candidate(1, 1, demand)
		}
		wanted := func(p *Pair) queueing.Limits { return limits(s, p, m.Budgets[p.Accelerator.Name].Tokens) }
		c := with(wanted)
		if c.Fault = errors.Join(allowed(s, pair[0], inForce), allowed(s, pair[1], inForce)); c.Fault == nil {
			st.sizeRoles(c, s)
			c = st.keepRoles(c, s, with)
		}
		list = append(list, c)
	}
	return list
}

// keepRoles replaces a candidate by one with the limits of the replicas that run, as keepRunning does, unless the wanted ones save more than starting all anew.
func (st *Stage) keepRoles(c *Candidate, s *Server, with func(func(*Pair) queueing.Limits) *Candidate) *Candidate {
	differ := false
	var kept, sizedFor, wanted [2]queueing.Limits
	for i := range c.Parts {
		one, other := c.Parts[i].Sized, false
		wanted[i] = one.Limits
		kept[i], other = running(s, one.Accelerator.Name, wanted[i])
		sizedFor[i] = kept[i]
		sizedFor[i].MaxBatch = min(kept[i].MaxBatch, wanted[i].MaxBatch) // an engine runs no more than its memory holds
		differ = differ || other
	}
	if !differ {
		return c
	}
	of := func(l [2]queueing.Limits) func(*Pair) queueing.Limits {
		return func(p *Pair) queueing.Limits {
			if p == c.Parts[0].Pair {
				return l[0]
			}
			return l[1]
		}
	}
	k := with(of(sizedFor))
	if st.sizeRoles(k, s); k.Fault != nil {
		return c
	}
	if start := Cost(c.Parts) / float64(max(c.Replicas(), 1)); c.Fault == nil && Cost(k.Parts) > Cost(c.Parts)+fleet.StartPrice(st.Change, c.Replicas(), start) {
		return c
	}
	for i := range k.Parts {
		k.Parts[i].Limits = kept[i]
	}
	return k
}

// pairsOfRoles are those that can hand caches over to each other, prefill first: each with each, but for other precisions.
func pairsOfRoles(pairs []*Pair) (list [][2]*Pair) {
	for _, p := range pairs {
		for _, d := range pairs {
			if p.Performance.Role != jsonspec.RolePrefill || d.Performance.Role != jsonspec.RoleDecode {
				continue
			}
			if a, b := p.Performance.Match["precision"], d.Performance.Match["precision"]; a != "" && b != "" && a != b {
				continue
			}
			list = append(list, [2]*Pair{p, d})
		}
	}
	return list
}

// idleApart are the ways of a server without load whose prompts and decodes run apart: one replica of each role, or as many as it must have in all.
func idleApart(s *Server, least int) []*Candidate {
	inForce := s.InForce()
	var list []*Candidate
	for _, pair := range pairsOfRoles(s.Pairs) {
		part := func(p *Pair) *Sized { return &Sized{Pair: p, Limits: limits(s, p, 0)} }
		r := &roles{prefill: part(pair[0]), decode: part(pair[1])}
		n := ratio.Grow([]int{1, 1}, []int{1, 1}, least)
		c := r.candidate(n[0], n[1], 0)
		c.Fault = errors.Join(allowed(s, pair[0], inForce), allowed(s, pair[1], inForce))
		list = append(list, c)
	}
	return list
}

func (r *roles) candidate(prefill, decode int, demand float64) *Candidate {
	r.prefill.roles, r.decode.roles = r, r
	return &Candidate{Parts: []Part{{r.prefill, prefill, 1}, {r.decode, decode, 1}}, Demand: demand}
}

// routings of requests to the replicas of a role, by that of the server.
var routings = map[string]queueing.Routing{
	jsonspec.RoutingRoundRobin: queueing.RoundRobin, jsonspec.RoutingLeastRequest: queueing.QueueAware, jsonspec.RoutingWeighted: queueing.Random, "": queueing.Random,
}

// under laws, the roles as one queueing model, without counts.
func (r *roles) under(prefill, decode queueing.Law, routing string) {
	workers := func(one *Sized, law queueing.Law) queueing.Workers {
		return queueing.Workers{Law: law, Ranks: one.Performance.Ranks, Limits: one.Limits}
	}
	r.split = queueing.Split{Prefill: workers(r.prefill, prefill), Decode: workers(r.decode, decode), Routing: routings[routing]}
	r.split.TokensPerIteration = r.decode.Performance.TokensPerIteration
	r.split.Link, r.split.TokenBytes = Link(r.prefill.Performance.Transfer, r.decode.Performance.Transfer)
}

// FewestOfRoles are the cheapest numbers of replicas of both roles, prefill first, that serve a rate within the targets, where a replica of each costs so much. The
// counts of the split are not read; its laws, limits, link and routing are.
func FewestOfRoles(split queueing.Split, requests queueing.Requests, t Targets, rate float64, costs [2]float64) ([2]int, error) {
	part := func(cost float64) *Sized {
		return &Sized{Pair: &Pair{Accelerator: &fleet.Accelerator{Cost: cost}}, demand: t.Demand(rate, requests.OutputTokens)}
	}
	r := &roles{prefill: part(costs[0]), decode: part(costs[1]), split: split, requests: requests}
	s := &Server{Targets: t}
	s.Demand.Rate = rate
	n, _, err := r.search(s, 1)
	if err != nil {
		return [2]int{}, err
	}
	return [2]int(n), nil
}

// Link between replicas of two roles, and the bytes that a token's cache takes.
func Link(ends ...*jsonspec.Transfer) (l queueing.Link, tokenBytes float64) {
	t := jsonspec.LinkOf(ends...)
	if t == nil {
		return l, 0
	}
	return queueing.Link{Bandwidth: jsonspec.Bytes(t.Bandwidth), Delay: jsonspec.Seconds(t.Delay)}, t.BytesPerToken
}

// errNotSized says that roles were not sized, for one of them cannot be.
var errNotSized = errors.New("was not sized")

// with so many replicas of each role.
func (r *roles) with(prefill, decode int) (queueing.Replica, error) {
	s := r.split
	if s.Decode.Law == nil {
		return nil, errNotSized
	}
	s.Prefill.Count, s.Decode.Count = prefill, decode
	return s.Replica(r.requests)
}

// sizeRoles fills in the replicas of a candidate of two roles.
func (st *Stage) sizeRoles(c *Candidate, s *Server) {
	n, err := st.fewest(c.Parts[0].roles, s)
	if err != nil {
		c.Fault = err
		return
	}
	n = c.withLate(n, s.MinReplicas)
	c.Parts[0].Replicas, c.Parts[1].Replicas = n[0], n[1]
	if all := c.Replicas(); s.MaxReplicas > 0 && all > s.MaxReplicas {
		c.Fault = fmt.Errorf("needs %d replicas, maxNumReplicas is %d", all, s.MaxReplicas)
		if n = ratio.Within(n, s.MaxReplicas); n[0] > 0 {
			c.Capped = true
			c.Parts[0].Replicas, c.Parts[1].Replicas = n[0], n[1]
		}
	}
}

// withLate are the replicas of the roles with as many more as did not come, and at least so many in all.
func (c *Candidate) withLate(n []int, least int) []int {
	for i := range n {
		n[i] += min(c.Parts[i].late, n[i])
	}
	return ratio.Grow(n, n, least)
}

// grownRoles are the replicas of each role for so many times the load: as many as would be needed for it, under the laws that they were sized with last.
func (c *Candidate) grownRoles(factor float64, least int) []int {
	if r := c.Parts[0].roles; r.server != nil && c.Fault == nil {
		if n, _, err := r.search(r.server, factor); err == nil {
			return c.withLate(n, least)
		}
	}
	return scaled(c.counts(), factor)
}

// scaled replicas, each rounded up.
func scaled(n []int, factor float64) []int {
	list := make([]int, len(n))
	for i := range n {
		list[i] = int(math.Ceil(factor * float64(n[i])))
	}
	return list
}

// fewest replicas of both roles that serve the demand, by cost: under the likeliest laws, or, where confidence is asked for, under such as are slower by as
// much as is not known of each at the operating point of the likeliest.
func (st *Stage) fewest(r *roles, s *Server) ([]int, error) {
	r.under(r.prefill.Law, r.decode.Law, s.Routing)
	n, there, err := r.search(s, 1)
	if err != nil {
		return nil, err
	}
	var laws [2]queueing.Law
	for i, one := range []*Sized{r.prefill, r.decode} {
		at := there
		if at.InService = 1; i == 1 {
			at.InService = there.InService / float64(n[1])
		}
		if laws[i], err = st.careful(one.Pair, at, r.requests); err != nil {
			return nil, err
		}
	}
	if laws[0] == r.prefill.Law && laws[1] == r.decode.Law {
		return n, nil
	}
	r.under(laws[0], laws[1], s.Routing)
	if n, _, err = r.search(s, 1); err != nil {
		return nil, fmt.Errorf("with a confidence of %g: %w", max(st.confidence(r.prefill.Pair), st.confidence(r.decode.Pair)), err)
	}
	return n, nil
}

// tries of one more decode replica than suffices, each of which may do with fewer prefill replicas.
//
// Tuned: replicas; guard against a search without end: the first hardly ever pays
const tries = 16

// search for the cheapest numbers of replicas that meet the targets. The ITL depends on the decode replicas alone, and falls with their number; the TTFT falls with
// both. So: the fewest decode replicas with which enough prefill replicas would do, then the fewest of these, and then one more decode replica as long as it can
// pay. The load is so many times that of the server, and more by what a trim takes off what replicas sustain.
func (r *roles) search(s *Server, factor float64) ([]int, queueing.Prediction, error) {
	slower := 1 / r.decode.trimmed(1)
	rate, total := slower*factor*r.decode.demand, slower*(factor*s.Demand.Rate+s.Demand.Drain)
	var there queueing.Prediction
	var failed error
	meets := func(prefill, decode int) bool {
		replica, err := r.with(prefill, decode)
		if err != nil {
			failed = err
			return false
		}
		if replica.MaxRate() < max(rate, total) {
			return false
		}
		q := newSearch(replica, s.Targets)
		over := q.over(rate)
		failed = cmp.Or(failed, q.err)
		return over <= 0
	}
	alone, err := r.with(1, 1)
	if err != nil {
		return nil, there, err
	}
	each, known := alone.(queueing.RoleRates)
	if !known {
		return nil, there, errors.New("the queueing model does not know roles")
	}
	r.prefill.most, r.decode.most = each.RoleRates()
	if !(r.prefill.most > 0 && r.decode.most > 0) {
		return nil, there, errNoLoad
	}
	lowest := func(most float64) int { return max(1, int(math.Ceil(max(rate, total)/most))) }
	if lowest(r.prefill.most) > most || lowest(r.decode.most) > most {
		return nil, there, fmt.Errorf("needs more than %d replicas", most)
	}
	const ample = 4 // times what is needed at least: prompts hardly wait
	plenty := ample * (lowest(r.prefill.most) + 1)
	decode := fewestOf(lowest(r.decode.most), func(n int) bool { return meets(plenty, n) })
	if failed != nil || decode == 0 {
		return nil, there, cmp.Or(failed, r.infeasible(s.Targets))
	}
	fewest := func(decode int) int {
		low := lowest(r.prefill.most)
		return low + sort.Search(plenty-low, func(n int) bool { return meets(low+n, decode) })
	}
	cost := func(n []int) float64 {
		return float64(n[0])*r.prefill.Cost() + float64(n[1])*r.decode.Cost()
	}
	best := []int{fewest(decode), decode}
	for more := decode + 1; more <= decode+tries && cost([]int{lowest(r.prefill.most), more}) < cost(best); more++ {
		if n := []int{fewest(more), more}; cost(n) < cost(best) {
			best = n
		}
	}
	replica, err := r.with(best[0], best[1])
	if err != nil {
		return nil, there, err
	}
	if there, err = means(replica, rate); err != nil {
		return nil, there, err
	}
	return best, there, failed
}

// fewestOf numbers from the lowest on for which something holds that holds for all above; 0 where it holds for none.
func fewestOf(lowest int, holds func(n int) bool) int {
	step := 1
	for !holds(lowest + step - 1) {
		if step *= 2; step > mostSharing*lowest {
			return 0
		}
	}
	return lowest + sort.Search(step-1, func(n int) bool { return holds(lowest + n) })
}

// infeasible names the target that is missed most where hardly anything is to be done.
func (r *roles) infeasible(t Targets) error {
	replica, err := r.with(1, 1)
	if err != nil {
		return err
	}
	s := newSearch(replica, t)
	p, err := replica.Open(s.low)
	if err != nil {
		return err
	}
	return s.infeasible(&p)
}

// served by so many replicas of each role: within the targets, and at all beside what waits; missing where no rate meets the targets.
func (r *roles) served(s *Server, prefill, decode int) (within, atAll fleet.Maybe) {
	if prefill == 0 || decode == 0 {
		return fleet.Known(0), fleet.Known(0)
	}
	replica, err := r.with(prefill, decode)
	if err != nil {
		return within, atAll
	}
	rate, _, err := highest(replica, s.Targets, r.decode.demand)
	if err != nil {
		return within, atAll
	}
	rate = r.decode.trimmed(rate)
	full := max(r.decode.trimmed(replica.MaxRate())-s.Demand.Drain, 0)
	return fleet.Measured(min(rate, full)), fleet.Measured(full)
}

// latencies of so many replicas of each role at a rate.
func (r *roles) latencies(parts []Part, rate float64) (ttft, itl fleet.Maybe) {
	if parts[0].Replicas == 0 || parts[1].Replicas == 0 || !(rate > 0) {
		return ttft, itl
	}
	replica, err := r.with(parts[0].Replicas, parts[1].Replicas)
	if err != nil {
		return ttft, itl
	}
	p, err := means(replica, rate)
	if err != nil {
		return ttft, itl
	}
	return fleet.Measured(p.TTFT.Mean), fleet.Measured(p.ITL.Mean)
}

// resizeRoles are the parts with so many replicas in all: of fewer than are needed at most as many as keep the ratio of the roles; of more, each role keeps
// what it has in force as far as that goes, and what is left grows in the ratio.
func (c *Candidate) resizeRoles(replicas int, inForce map[string]int) []Part {
	needed, parts := c.counts(), slices.Clone(c.Parts)
	n, left := ratio.Within(needed, replicas), replicas-c.Replicas()
	for i := range parts {
		if more := min(left, inForce[parts[i].Accelerator.Name]-needed[i]); more > 0 {
			n[i], left = n[i]+more, left-more
		}
	}
	if left > 0 {
		n = ratio.Grow(needed, n, replicas)
	}
	for i := range parts {
		parts[i].Replicas = n[i]
	}
	return parts
}
