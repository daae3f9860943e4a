package policy

import (
	"fmt"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/ratio"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/cluster"
)

// For a scenario are the policies that can serve it, ours first: those of roles where all servers have them.
func For(s *scenario.Scenario) []Entry {
	some, all := false, true
	for i := range s.System.Servers.Spec {
		has := s.HasRoles(s.System.Servers.Spec[i].Name)
		some, all = some || has, all && has
	}
	return slices.DeleteFunc(Entries(), func(e Entry) bool {
		return slices.Contains(apart, e.Name) && !all || e.Name == NameInfernoTogether && !some
	})
}

// apart are the policies that have replicas of roles.
var apart = []string{NameDynamo, NameKEDARoles, NameTokenScale, NameRatio}

// newInfernoTogether is not told of roles.
func newInfernoTogether(f *Fleet, _ Settings) (cluster.Policy, error) {
	system := f.Scenario.System
	system.Models.Spec = slices.DeleteFunc(slices.Clone(system.Models.Spec), func(p jsonspec.PerformanceEntry) bool { return p.Role != "" })
	return newLoop(f, system, f.Scenario.Loop.Interval)
}

// pair is what a server's replicas of roles run on, and how fast they truly are.
type pair struct {
	fleet           *Fleet
	server          string
	prefill, decode string
	limits          simulation.Limits
}

// pairOf a server: of each role what is cheapest for its mean load.
func (f *Fleet) pairOf(server string) (*pair, error) {
	if !f.Scenario.HasRoles(server) {
		return nil, fmt.Errorf("server %q: its model has no replicas of both roles", server)
	}
	p := &pair{fleet: f, server: server, limits: f.Scenario.Limits(server)}
	d := f.Peak[server]
	lowest := [2]float64{math.Inf(1), math.Inf(1)}
	for i, role := range []string{jsonspec.RolePrefill, jsonspec.RoleDecode} {
		for _, on := range f.Scenario.With(server, role) {
			q := *p
			q.prefill, q.decode = on, on
			speed := q.promptTokens(d.InputTokens)
			if i == 1 {
				speed = q.madeTokens(f.Scenario.Targets(server).ITL, d.InputTokens+d.OutputTokens/2)
			}
			if price := f.ReplicaPrice(server, on) / speed; price < lowest[i] {
				lowest[i] = price
				*[]*string{&p.prefill, &p.decode}[i] = on
			}
		}
	}
	if p.prefill == "" || p.decode == "" {
		return nil, fmt.Errorf("server %q: no replicas of both roles meet its targets even at hardly any load", server)
	}
	return p, nil
}

// promptTokens that a prefill replica computes in a second, of prompts of a length, as many in an iteration as its budget has room for.
func (p *pair) promptTokens(length float64) float64 {
	prompts := max(1, min(math.Floor(float64(p.limits.MaxNumBatchedTokens)/length), float64(p.limits.MaxNumSeqs)))
	return prompts * length / p.promptSeconds(prompts, length)
}

// promptSeconds of so many prompts of a length that are computed together.
func (p *pair) promptSeconds(prompts, length float64) float64 {
	law := p.fleet.truth(p.server, p.prefill).StepTime
	seconds, budget := 0.0, max(1, int(float64(p.limits.MaxNumBatchedTokens)/prompts))
	for done, all := 0, max(1, int(length)); done < all; {
		n := min(budget, all-done)
		seconds += law.Seconds(simulation.Batch{
			Prefills: int(prompts), PrefillTokens: int(prompts) * n, PrefillContext: int(prompts) * (done + n), PrefillPairs: prompts * float64(n) * (float64(2*done+n) + 1) / 2,
		})
		done += n
	}
	return seconds
}

// interval between the tokens of so many requests of a context at a decode replica, s.
func (p *pair) interval(requests int, context float64) float64 {
	return p.fleet.truth(p.server, p.decode).StepTime.Seconds(simulation.Batch{Decodes: requests, DecodeContext: int(float64(requests) * context)})
}

// madeTokens that a decode replica makes in a second, of as many requests of a context as keep the interval and have room in its cache and batch; 0 where one is
// too many.
func (p *pair) madeTokens(itl, context float64) float64 {
	cache := p.fleet.truth(p.server, p.decode).Cache
	most := min(p.limits.MaxNumSeqs, int(float64(cache.Blocks*cache.BlockSize)/context))
	for n := most; n > 0; n-- {
		if t := p.interval(n, context); t <= itl {
			return float64(n) / t
		}
	}
	return 0
}

// counts of replicas of both roles.
type counts struct{ prefill, decode int }

// needs of a load: prompts over what a prefill replica computes, and tokens over what a decode replica makes within an interval.
func (p *pair) needs(d Demand, itl float64) counts {
	n := counts{1, 1}
	if x := p.promptTokens(d.InputTokens); d.Rate > 0 {
		n.prefill = max(1, int(math.Ceil(d.Rate*d.InputTokens/x)))
	}
	if x := p.madeTokens(itl, d.InputTokens+d.OutputTokens/2); x > 0 && d.Rate > 0 {
		n.decode = max(1, int(math.Ceil(d.Rate*d.OutputTokens/x)))
	}
	return n
}

// seated are as many of the replicas as find room among what is left, in their ratio, which they then hold.
func (p *pair) seated(left map[string]*placement.Stock, n counts) (prefill, decode int) {
	f := p.fleet
	for all := n.prefill + n.decode; all > 0; all-- {
		m := ratio.Within([]int{n.prefill, n.decode}, all)
		if f.room(left, p.server, p.prefill, m[0]) == m[0] {
			f.take(left, p.server, p.prefill, m[0])
			if f.room(left, p.server, p.decode, m[1]) == m[1] {
				f.take(left, p.server, p.decode, m[1])
				return m[0], m[1]
			}
			f.take(left, p.server, p.prefill, -m[0])
		}
	}
	return 0, 0
}

func (p *pair) order(n counts) cluster.Order {
	return cluster.Order{Replicas: n.prefill + n.decode, Parts: []jsonspec.AllocationPart{
		p.fleet.part(p.server, p.prefill, n.prefill, p.limits), p.fleet.part(p.server, p.decode, n.decode, p.limits),
	}}
}

// rolesPolicy sizes roles of each server by a law of its own.
type rolesPolicy struct {
	fleet    *Fleet
	interval float64
	pairs    map[string]*pair
	now      map[string]counts
	law      func(p *pair, s *cluster.ServerView, at float64, now counts) counts
}

// newRoles is ready for the busiest minute of the begin.
func newRoles(f *Fleet, interval float64, law func(p *pair, s *cluster.ServerView, at float64, now counts) counts) (*rolesPolicy, error) {
	r := &rolesPolicy{fleet: f, interval: interval, pairs: map[string]*pair{}, now: map[string]counts{}, law: law}
	for i, name := range f.Servers() {
		p, err := f.pairOf(name)
		if err != nil {
			return nil, err
		}
		begin, err := peak(f.server(name), min(f.Scenario.Duration, startSpan), f.Config.Seed+1000*uint64(i))
		if err != nil {
			return nil, err
		}
		r.pairs[name], r.now[name] = p, p.needs(begin, f.Scenario.Targets(name).ITL)
	}
	return r, nil
}

func (r *rolesPolicy) Interval() float64 { return r.interval }
func (r *rolesPolicy) Lag() float64      { return 0 }

// Initial orders, in force from the start.
func (r *rolesPolicy) Initial() map[string]cluster.Order {
	orders := map[string]cluster.Order{}
	for name, n := range r.now {
		orders[name] = r.pairs[name].order(n)
	}
	return orders
}

func (r *rolesPolicy) Decide(v *cluster.View) (map[string]cluster.Order, error) {
	orders := map[string]cluster.Order{}
	for i := range v.Servers {
		s := &v.Servers[i]
		n := r.law(r.pairs[s.Name], s, v.Now, r.now[s.Name])
		n.prefill, n.decode = max(n.prefill, 1), max(n.decode, 1)
		if _, most := r.fleet.bounds(s.Name); most > 0 {
			n.prefill = min(n.prefill, max(most-1, 1))
			n.decode = min(n.decode, max(most-n.prefill, 1))
		}
		r.now[s.Name], orders[s.Name] = n, r.pairs[s.Name].order(n)
	}
	return orders, nil
}

// of a role are the pods of a server; those that are gone or going beside.
func of(s *cluster.ServerView, role string, departed bool) *cluster.ServerView {
	view := &cluster.ServerView{Name: s.Name}
	for _, p := range s.Pods {
		if p.Role == role {
			view.Pods = append(view.Pods, p)
		}
	}
	for _, p := range s.Departed {
		if departed && p.Role == role {
			view.Pods = append(view.Pods, p)
		}
	}
	return view
}

// mean of what all pods counted over a window, by how many; false where there is none.
func mean(s *cluster.ServerView, sum, count cluster.Quantity, now, window float64) (float64, bool) {
	var a, b float64
	for _, p := range s.Pods {
		x, _ := p.Series.Rate(sum, now, window)
		n, _ := p.Series.Rate(count, now, window)
		a, b = a+x, b+n
	}
	return a / b, b > 0
}

// load of a server with roles over a window as prefill replicas tell it, with the answers as decode replicas do; false where nothing came.
func (p *pair) load(s *cluster.ServerView, now, window float64) (Demand, bool) {
	prefill, decode := of(s, jsonspec.RolePrefill, true), of(s, jsonspec.RoleDecode, true)
	var d Demand
	for _, pod := range prefill.Pods {
		rate, _ := pod.Series.Rate(cluster.TTFTCount, now, window)
		before, _ := pod.Series.At(cluster.Waiting, now-window)
		after, there := pod.Series.At(cluster.Waiting, now)
		if d.Rate += rate; there {
			d.Rate += (after - before) / window
		}
	}
	var in, out bool
	d.InputTokens, in = mean(prefill, cluster.PromptTokens, cluster.Completions, now, window)
	d.OutputTokens, out = mean(decode, cluster.GenerationTokens, cluster.Completions, now, window)
	return d, d.Rate > 0 && in && out
}

// newDynamo is the law of Dynamo's planner with its predictor "constant": the next interval is as the last.
func newDynamo(f *Fleet, set Settings) (cluster.Policy, error) {
	window := set["interval"]
	return newRoles(f, window, func(p *pair, s *cluster.ServerView, at float64, now counts) counts {
		d, known := p.load(s, at, window)
		if !known {
			return now
		}
		d.Rate *= set["headroom"] // not the planner's own: what a person would make of its profile
		prefill, decode := of(s, jsonspec.RolePrefill, true), of(s, jsonspec.RoleDecode, true)
		context := d.InputTokens + d.OutputTokens/2
		corrected, target := 1.0, set["target"]*p.fleet.Scenario.Targets(s.Name).ITL
		// What was seen over what the profile says of the same load; it lowers the load of prompts and never raises it.
		first, a := mean(prefill, cluster.TTFTSum, cluster.TTFTCount, at, window)
		rest, b := mean(decode, cluster.TTFTSum, cluster.TTFTCount, at, window)
		if a && b {
			corrected = min(1, (first+rest)/p.promptSeconds(1, d.InputTokens))
		}
		if itl, seen := mean(decode, cluster.ITLSum, cluster.ITLCount, at, window); seen {
			running, ready := 0.0, 0.0
			for _, pod := range decode.Pods {
				if x, there := pod.Series.Mean(cluster.Running, at, window); there {
					running, ready = running+x, ready+1
				}
			}
			target /= itl / p.interval(max(1, int(math.Round(running/max(ready, 1)))), context)
		}
		n := p.needs(d, target)
		n.prefill = int(math.Ceil(d.Rate * corrected * p.promptSeconds(1, d.InputTokens)))
		if p.madeTokens(target, context) == 0 {
			n.decode = now.decode + 1 // no number keeps the corrected target
		}
		return n
	})
}

// newTokenScale is the law of token velocities: tokens that come over those that a replica can take. Decode replicas that also compute prompts for a while are left
// out, for engines that change their role without a start are.
func newTokenScale(f *Fleet, set Settings) (cluster.Policy, error) {
	const window = 60
	return newRoles(f, f.Config.Times.Sync, func(p *pair, s *cluster.ServerView, at float64, now counts) counts {
		d, known := p.load(s, at, window)
		if !known {
			return now
		}
		d.Rate *= set["headroom"]
		n := p.needs(d, p.fleet.Scenario.Targets(s.Name).ITL)
		link := p.fleet.truth(p.server, p.prefill).Link
		if velocity := link.Bandwidth / max(link.TokenBytes, 1); velocity > 0 {
			n.prefill = max(n.prefill, int(math.Ceil(d.Rate*d.InputTokens/velocity)))
		}
		return n
	})
}

// newKEDARoles is llm-d's ScaledObject with its two triggers for each role, as a pool for itself.
func newKEDARoles(f *Fleet, set Settings) (cluster.Policy, error) {
	laws := map[string]*[2]cluster.HPA{}
	for _, name := range f.Servers() {
		h := cluster.DefaultHPA()
		h.UpStabilisation = set["window"]
		laws[name] = &[2]cluster.HPA{h, h}
	}
	return newRoles(f, f.Config.Times.Sync, func(_ *pair, s *cluster.ServerView, at float64, now counts) counts {
		for i, role := range []string{jsonspec.RolePrefill, jsonspec.RoleDecode} {
			law, n := &laws[s.Name][i], []*int{&now.prefill, &now.decode}[i]
			pods := of(s, role, false)
			running, _ := latest(pods, at, cluster.Running)
			waiting, _ := latest(pods, at, cluster.Waiting)
			queue := total(waiting)
			if i == 0 {
				queue += float64(s.Queued)
			}
			*n = law.Sync(at, *n, max(law.Total(total(running), set[role], *n), law.Total(queue, 1, *n)))
		}
		return now
	})
}

// newRatio scales decode replicas by the requests that either role has in hand, and has prefill replicas in a fixed ratio to them.
func newRatio(f *Fleet, set Settings) (cluster.Policy, error) {
	laws := map[string]*cluster.HPA{}
	for _, name := range f.Servers() {
		h := cluster.DefaultHPA()
		laws[name] = &h
	}
	return newRoles(f, f.Config.Times.Sync, func(_ *pair, s *cluster.ServerView, at float64, now counts) counts {
		values, _ := latest(s, at, cluster.Running, cluster.Waiting)
		law := laws[s.Name]
		n := law.Sync(at, now.decode, law.Total(total(values)+float64(s.Queued), set["requests"], now.decode))
		return counts{int(math.Ceil(set["prefill"]*float64(n) - 1e-9)), n}
	})
}
