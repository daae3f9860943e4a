package policy

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/simulation/cluster"
)

// Names of the policies.
const (
	NameInferno       = "inferno"
	NameInfernoFixed  = "inferno-fixed-budget"
	NameStatic        = "static-peak"
	NameHPA           = "hpa-concurrency"
	NameKEDA          = "keda-queue"
	NameKEDALatency   = "keda-slo"
	NameWVASaturation = "wva-saturation"
	NameWVACapacity   = "wva-capacity"
	NameReference     = "llm-inferno"
	NameMelange       = "aibrix-melange"

	NameInfernoTogether = "inferno-together"
	NameDynamo          = "dynamo-planner"
	NameKEDARoles       = "keda-roles"
	NameTokenScale      = "tokenscale"
	NameRatio           = "fixed-ratio"
)

// Entries are the policies, ours first.
func Entries() []Entry {
	return []Entry{
		{NameInferno, "this project: the decision core of the cluster, unchanged", nil, newInferno},
		{NameInfernoFixed, "the same with the token budget left at its default", nil, newInfernoFixed},
		{NameStatic, "as many replicas as the busiest minute needs by the true capacity, times a factor, all the time",
			[]Knob{{"factor", 1, []float64{0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.3, 1.5, 2}}}, newStatic},
		{NameHPA, "HorizontalPodAutoscaler on running and waiting requests per pod, as a share of max-num-seqs; autoscaling/v2 defaults",
			[]Knob{{"share", 0.5, []float64{0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.18, 0.25, 0.35}}}, newHPA},
		{NameKEDA, "llm-d's KEDA triggers, queue size 1 and running requests 16 per replica, scale-up and scale-down windows of 300 s " +
			"(llm-d, docs/architecture/advanced/autoscaling/keda-epp.md)",
			[]Knob{{"running", 16, []float64{4, 8, 12, 24, 40}}, {"window", 300, []float64{0}}}, newKEDA},
		{NameKEDALatency, "llm-d's SLO-aware control law on P90 latency over target, band 0.40 to 0.55, with a latency predictor that knows the truth " +
			"(llm-d, docs/architecture/advanced/autoscaling/slo-aware-keda.md)",
			[]Knob{{"up", 0.55, []float64{0.75, 0.9, 1}}, {"down", 0.40, []float64{0.6, 0.8}}}, newKEDALatency},
		{NameWVASaturation, "llm-d's Workload Variant Autoscaler, percentages: KV cache 0.80, queue 5, spare 0.1 and 3, one replica at a time each 30 s " +
			"(llm-d-workload-variant-autoscaler v0.7, configmap-saturation-scaling.yaml)",
			[]Knob{{"kv", 0.8, []float64{0.1, 0.2, 0.4}}, {"queue", 5, []float64{4}}}, newWVASaturation},
		{NameWVACapacity, "the same, tokens: demand in KV tokens against 0.85 and 0.70 of the anticipated supply, pending replicas counted (v0.9)",
			[]Knob{{"ceiling", 0.8, []float64{0.05, 0.1, 0.15, 0.2, 0.3, 0.5}}}, newWVACapacity},
		{NameReference, "llm-inferno's own loop: mean latencies, greedy solver, arrivals from completions, no forecast, no damping, a cycle each 2 minutes",
			[]Knob{{"interval", 120, []float64{30, 60}}}, newReference},
		{NameMelange, "AIBrix's GPU optimizer after Mélange: for each model alone the cheapest mix of types by a profile of what each sustains, " +
			"for the rate of the last 4 minutes",
			[]Knob{{"headroom", 1, []float64{1.1, 1.25, 1.5}}}, newMelange},
		{NameInfernoTogether, "inferno, of scenarios with roles told only of replicas that compute prompts and tokens", nil, newInfernoTogether},
		{NameDynamo, "Dynamo's SLA planner: prefill replicas by prompt tokens over the profiled throughput, decode replicas by tokens over that at the ITL target, both " +
			"corrected by what was seen, predictor constant, each 180 s (github.com/ai-dynamo/dynamo, docs/planner/sla_planner.md)",
			[]Knob{{"headroom", 1, []float64{1.25, 1.5, 2}}, {"target", 1, []float64{0.8}}, {"interval", 180, []float64{60}}}, newDynamo},
		{NameKEDARoles, "llm-d's KEDA triggers for the pool of each role, queue 1 and running 16 per replica, windows of 300 s " +
			"(llm-d, docs/architecture/advanced/autoscaling/keda-epp.md)",
			[]Knob{{"prefill", 16, []float64{1, 2, 4}}, {"decode", 16, []float64{8, 24, 40}}, {"window", 300, []float64{0}}}, newKEDARoles},
		{NameTokenScale, "TokenScale: tokens that come over the velocities at which a profile says that prompts are computed, sent, and tokens made, of the last minute, " +
			"without decoders that convert (arXiv 2512.03416)",
			[]Knob{{"headroom", 1, []float64{1.1, 1.25, 1.5, 2}}}, newTokenScale},
		{NameRatio, "HPA on the requests in hand of all replicas per decode replica, with prefill replicas in a fixed ratio to these",
			[]Knob{{"prefill", 1, []float64{0.33, 0.5, 2, 3, 4}}, {"requests", 32, []float64{8, 16, 24, 48}}}, newRatio},
	}
}

// Find the policy of a name.
func Find(name string) (*Entry, error) {
	entries := Entries()
	if i := slices.IndexFunc(entries, func(e Entry) bool { return e.Name == name }); i >= 0 {
		return &entries[i], nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return nil, fmt.Errorf("policy: unknown name %q, allowed are %s", name, strings.Join(names, ", "))
}

// static never changes.
type static struct {
	fleet  *Fleet
	orders map[string]cluster.Order
}

func newStatic(f *Fleet, s Settings) (cluster.Policy, error) {
	p := &static{f, map[string]cluster.Order{}}
	for _, name := range f.Servers() {
		need := float64(f.Need(name, f.Pins[name], f.Peak[name]))
		p.orders[name] = f.order(name, max(int(math.Ceil(need*s["factor"]-1e-9)), 1))
	}
	return p, nil
}

func (p *static) Interval() float64 { return p.fleet.Config.Times.Sync }
func (p *static) Lag() float64      { return 0 }

func (p *static) Decide(*cluster.View) (map[string]cluster.Order, error) { return p.orders, nil }

// scaler is an autoscaler of Deployments that are pinned to accelerators: a control law for each server and what it recommends.
type scaler struct {
	fleet     *Fleet
	interval  float64
	lag       float64
	laws      map[string]*cluster.HPA
	recommend func(s *cluster.ServerView, now float64, law *cluster.HPA) int
}

func newScaler(f *Fleet, interval, lag float64, law func() cluster.HPA) *scaler {
	p := &scaler{fleet: f, interval: interval, lag: lag, laws: map[string]*cluster.HPA{}}
	for _, name := range f.Servers() {
		h := law()
		h.Min, h.Max = f.bounds(name)
		p.laws[name] = &h
	}
	return p
}

func (p *scaler) Interval() float64 { return p.interval }
func (p *scaler) Lag() float64      { return p.lag }

func (p *scaler) Decide(v *cluster.View) (map[string]cluster.Order, error) {
	orders := map[string]cluster.Order{}
	for i := range v.Servers {
		s := &v.Servers[i]
		law := p.laws[s.Name]
		n := law.Sync(v.Now, s.Replicas, p.recommend(s, v.Now, law))
		orders[s.Name] = p.fleet.order(s.Name, n)
	}
	return orders, nil
}

// latest values of quantities summed up, of the ready pods.
func latest(s *cluster.ServerView, now float64, quantities ...cluster.Quantity) (values []float64, unready int) {
	for _, p := range s.Pods {
		sum, seen := 0.0, false
		for _, q := range quantities {
			x, ok := p.Series.At(q, now)
			sum, seen = sum+x, ok
		}
		switch {
		case p.Ready && seen:
			values = append(values, sum)
		case !p.Ready:
			unready++
		}
	}
	return values, unready
}

func total(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum
}

func newHPA(f *Fleet, set Settings) (cluster.Policy, error) {
	p := newScaler(f, f.Config.Times.Sync, 0, cluster.DefaultHPA)
	p.recommend = func(s *cluster.ServerView, now float64, law *cluster.HPA) int {
		values, unready := latest(s, now, cluster.Running, cluster.Waiting)
		return law.Average(values, set["share"]*float64(f.Scenario.Limits(s.Name).MaxNumSeqs), s.Replicas, unready)
	}
	return p, nil
}

func newKEDA(f *Fleet, set Settings) (cluster.Policy, error) {
	p := newScaler(f, f.Config.Times.Sync, 0, func() cluster.HPA {
		h := cluster.DefaultHPA()
		h.UpStabilisation, h.DownStabilisation = set["window"], 300
		return h
	})
	p.recommend = func(s *cluster.ServerView, now float64, law *cluster.HPA) int {
		running, _ := latest(s, now, cluster.Running)
		waiting, _ := latest(s, now, cluster.Waiting)
		return max(law.Total(total(running), set["running"], s.Replicas), law.Total(total(waiting)+float64(s.Queued), 1, s.Replicas))
	}
	return p, nil
}

// newKEDALatency is the law of llm-d's document, step by step. Its predictor is given for free: what it says of a replica is what truly
// happens at the rate and lengths of the last minute.
func newKEDALatency(f *Fleet, set Settings) (cluster.Policy, error) {
	up, down := set["up"], min(set["down"], set["up"])
	p := newScaler(f, f.Config.Times.Sync, 0, func() cluster.HPA {
		return cluster.HPA{UpPods: 4, UpPercent: 100, DownPercent: 100, Period: 60, UpStabilisation: 30, DownStabilisation: 180}
	})
	smooth := map[string][]float64{}
	shed := map[string]float64{} // when a pod was last removed
	p.recommend = func(s *cluster.ServerView, now float64, _ *cluster.HPA) int {
		const ceiling, span = 2.0, 3 // of the signal, and scrapes in 45 s
		raw := min(f.saturation(s, now), ceiling)
		h := append(smooth[s.Name], raw)
		h = h[max(0, len(h)-span):]
		smooth[s.Name] = h
		signal := total(h) / float64(len(h))
		n, ready := float64(s.Replicas), 0.0
		for _, pod := range s.Pods {
			if pod.Ready {
				ready++
			}
		}
		credit := 1.0
		if ready > 0 && ready < n {
			credit = ready / n
		}
		switch {
		case signal > up:
			return s.Replicas + int(math.Ceil(n*max(signal*credit/up-1, 0)))
		case signal < down && now-shed[s.Name] >= 120: // it walks down one pod per 120 s
			if want := s.Replicas - int(math.Floor(n*(1-signal/down))); want < s.Replicas {
				shed[s.Name] = now
				return s.Replicas - 1
			}
		}
		return s.Replicas
	}
	return p, nil
}

// saturation is P90 latency over target, the worse of both, of a replica at the rate of the last minute.
func (f *Fleet) saturation(s *cluster.ServerView, now float64) float64 {
	rate, in, out, ready := f.offered(s, now)
	if rate == 0 || ready == 0 {
		return 0
	}
	ttft, itl := f.Profile.Latency(s.Name, f.Pins[s.Name], f.Scenario.Limits(s.Name), rate/float64(ready), in, out)
	t := f.Scenario.Targets(s.Name)
	return max(ttft/t.TTFT, itl/t.ITL)
}

// offered load of a server over the last minute as a gateway sees it, mean tokens over the last four, and the ready pods.
func (f *Fleet) offered(s *cluster.ServerView, now float64) (rate, in, out float64, ready int) {
	const minute = 60
	var prompts, generated, done, waited float64
	for _, p := range s.Pods {
		if !p.Ready {
			continue
		}
		ready++
		if r, ok := p.Series.Rate(cluster.TTFTCount, now, minute); ok {
			rate += r
		}
		before, _ := p.Series.At(cluster.Waiting, now-minute)
		after, _ := p.Series.At(cluster.Waiting, now)
		waited += after - before
		for q, sum := range map[cluster.Quantity]*float64{cluster.PromptTokens: &prompts, cluster.GenerationTokens: &generated, cluster.Completions: &done} {
			x, _ := p.Series.Rate(q, now, 4*minute)
			*sum += x
		}
	}
	d := f.Peak[s.Name]
	in, out = d.InputTokens, d.OutputTokens
	if done > 0 {
		in, out = prompts/done, generated/done
	}
	return max(rate+waited/minute, 0), in, out, ready
}

func newWVASaturation(f *Fleet, set Settings) (cluster.Policy, error) {
	const kvSpare, queueSpare = 0.1, 3
	p := newScaler(f, 2*f.Config.Times.Sync, lagOf(f), func() cluster.HPA { return cluster.HPA{UpPods: 1000, UpPercent: 100, DownPercent: 100, Period: 1} })
	p.recommend = func(s *cluster.ServerView, now float64, _ *cluster.HPA) int {
		var kv, queue float64
		sane, unready := 0, 0
		for _, pod := range s.Pods {
			if !pod.Ready {
				unready++
				continue
			}
			usage, seen := pod.Series.At(cluster.KVUsage, now)
			waiting, _ := pod.Series.At(cluster.Waiting, now)
			if seen && usage < set["kv"] && waiting < set["queue"] {
				sane++
				kv += set["kv"] - usage
				queue += set["queue"] - waiting
			}
		}
		n := float64(sane)
		switch {
		case unready > 0:
			return s.Replicas
		case sane == 0 || kv/n < kvSpare || queue/n < queueSpare:
			return s.Replicas + 1
		// Without one replica its load is on the others, and there must still be room to spare.
		case sane > 1 && spareAfter(kv, n, set["kv"]) >= kvSpare && spareAfter(queue, n, set["queue"]) >= queueSpare:
			return s.Replicas - 1
		}
		return s.Replicas
	}
	return p, nil
}

// spareAfter is the mean spare share below a threshold when the load of n replicas, which have so much spare in all, is on one less.
func spareAfter(spare, n, threshold float64) float64 {
	return threshold - (n*threshold-spare)/(n-1)
}

func newWVACapacity(f *Fleet, set Settings) (cluster.Policy, error) {
	const scaleUp, scaleDown = 0.85, 0.70
	p := newScaler(f, 2*f.Config.Times.Sync, lagOf(f), func() cluster.HPA { return cluster.HPA{UpPods: 1000, UpPercent: 100, DownPercent: 100, Period: 1} })
	p.recommend = func(s *cluster.ServerView, now float64, _ *cluster.HPA) int {
		truth := f.truth(s.Name, f.Pins[s.Name])
		tokens := float64(truth.Cache.Blocks * truth.Cache.BlockSize)
		_, in, _, _ := f.offered(s, now)
		demand := float64(s.Queued) * in
		for _, pod := range s.Pods {
			usage, _ := pod.Series.At(cluster.KVUsage, now)
			waiting, _ := pod.Series.At(cluster.Waiting, now)
			demand += usage*tokens + waiting*in
		}
		each := set["ceiling"] * tokens
		supply := each * float64(s.Replicas)
		switch {
		case demand > scaleUp*supply:
			return int(math.Ceil(demand / (scaleUp * each)))
		case demand < scaleDown*supply:
			return max(int(math.Ceil(demand/(scaleDown*each))), s.Replicas-1)
		}
		return s.Replicas
	}
	return p, nil
}

// lagOf is how long it takes on average until the HorizontalPodAutoscaler reads a number that was published.
func lagOf(f *Fleet) float64 { return math.Round(f.Config.Times.Sync / 2) }

// melange plans each model for itself.
type melange struct {
	fleet    *Fleet
	headroom float64
}

func newMelange(f *Fleet, set Settings) (cluster.Policy, error) {
	return &melange{f, set["headroom"]}, nil
}

func (p *melange) Interval() float64 { return 2 * p.fleet.Config.Times.Sync }
func (p *melange) Lag() float64      { return lagOf(p.fleet) }

func (p *melange) Decide(v *cluster.View) (map[string]cluster.Order, error) {
	orders := map[string]cluster.Order{}
	var there jsonspec.CapacityData
	for _, n := range v.Nodes {
		there.Nodes = append(there.Nodes, jsonspec.NodeCapacity{Type: n.Type, Free: n.Cards, Domains: n.Domains})
	}
	cards := placement.Stocks(&there)
	for i := range v.Servers {
		s := &v.Servers[i]
		const window = 240
		rate := 0.0
		for _, pod := range s.Pods {
			r, _ := pod.Series.Rate(cluster.TTFTCount, v.Now, window)
			rate += r
		}
		for _, d := range s.Departed {
			r, _ := d.Series.Rate(cluster.TTFTCount, v.Now, window)
			rate += r
		}
		if v.Now < window {
			continue // the load monitor's window is not full
		}
		_, in, out, _ := p.fleet.offered(s, v.Now)
		orders[s.Name] = p.cheapest(s.Name, rate*p.headroom, in, out, cards)
	}
	return orders, nil
}

// cheapest mix of types for a rate: whole replicas of each, by trying every number of all types but the last.
func (p *melange) cheapest(server string, rate, in, out float64, cards map[string]*placement.Stock) cluster.Order {
	f := p.fleet
	names := f.Scenario.Accelerators(server)
	limits := f.Scenario.Limits(server)
	best, lowest := map[string]int(nil), math.Inf(1)
	var fill func(i int, left, cost float64, mix map[string]int)
	fill = func(i int, left, cost float64, mix map[string]int) {
		if left <= 0 || i == len(names) {
			if left <= 0 && cost < lowest {
				best, lowest = map[string]int{}, cost
				for a, n := range mix {
					best[a] = n
				}
			}
			return
		}
		a := names[i]
		each := f.Profile.Capacity(server, a, limits, in, out)
		most := 0
		if each > 0 {
			most = f.room(cards, server, a, int(math.Ceil(left/each)))
		}
		for n := 0; n <= most && cost+float64(n)*f.ReplicaPrice(server, a) < lowest; n++ {
			mix[a] = n
			fill(i+1, left-float64(n)*each, cost+float64(n)*f.ReplicaPrice(server, a), mix)
		}
		delete(mix, a)
	}
	fill(0, max(rate, 1e-9), 0, map[string]int{})
	if best == nil { // more than all types hold: all of the pinned one
		pin := f.Pins[server]
		best = map[string]int{pin: f.room(cards, server, pin, math.MaxInt)}
	}
	var o cluster.Order
	for _, a := range slices.Sorted(maps.Keys(best)) {
		o.Parts = append(o.Parts, f.part(server, a, best[a], limits))
		o.Replicas += best[a]
	}
	return o
}
