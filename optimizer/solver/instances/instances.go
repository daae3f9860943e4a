// Package instances generates problems for tests and benchmarks of solvers: the same seed gives the same problem, everywhere.
package instances

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/solver"
)

// source is a deterministic stream of random numbers for a seed.
func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x1f)) }

// Small is a problem of at most 6 servers and 4 types, made to be awkward: ties, candidates that take nothing, several accelerators of one
// type, servers without candidates, types without capacity, and mostly too little of everything.
func Small(seed uint64) *solver.Problem {
	r := source(seed)
	types := 1 + r.IntN(4)
	p := &solver.Problem{Capacity: map[string]int{}, DelayedBestEffort: r.IntN(2) == 0}
	for t := range types {
		if r.IntN(10) > 0 {
			p.Capacity[typeName(t)] = r.IntN(13)
		}
	}
	priorities := 1 + r.IntN(3)
	whole := r.IntN(2) == 0
	for i := range 1 + r.IntN(6) {
		s := solver.Server{Name: fmt.Sprintf("s%d", i), Priority: 1 + r.IntN(priorities)}
		for j := range r.IntN(types + 2) {
			t := r.IntN(types)
			replicas, units := 1+r.IntN(4), 1+r.IntN(2)
			c := solver.On(fmt.Sprintf("%s/%d", typeName(t), j), typeName(t), replicas, units, 10*r.Float64())
			switch {
			case r.IntN(40) == 0:
				c = solver.Candidate{}
			case whole:
				c.Cost = float64(r.IntN(8))
			}
			c.Value = c.Cost
			s.Candidates = append(s.Candidates, c)
		}
		p.Servers = append(p.Servers, s)
	}
	return p
}

// Placed is a small problem in which some types are on nodes, some can be bought, and some candidates are split over two types.
func Placed(seed uint64) *solver.Problem {
	p := Small(seed)
	r := source(seed + 1<<32)
	p.Servers = p.Servers[:min(len(p.Servers), 4)]
	for t := range 3 {
		if r.IntN(2) == 0 {
			for n := range 1 + r.IntN(3) {
				p.Nodes = append(p.Nodes, solver.Node{Name: fmt.Sprintf("%s-%d", typeName(t), n), Type: typeName(t), Free: r.IntN(6)})
			}
		}
		if r.IntN(3) == 0 {
			p.Elastic = append(p.Elastic, solver.Elastic{Name: "more-" + typeName(t), Type: typeName(t), Cards: 1 + r.IntN(4), Limit: r.IntN(3), Price: float64(r.IntN(5))})
		}
	}
	for i := range p.Servers {
		for j := range p.Servers[i].Candidates {
			c := &p.Servers[i].Candidates[j]
			if len(c.Parts) == 0 {
				continue
			}
			part := &c.Parts[0]
			if r.IntN(3) == 0 {
				part.UnitsPerReplica = 1 << r.IntN(3)
			}
			if part.Replicas > 1 && r.IntN(4) == 0 {
				other := typeName((int(part.Type[0]-'A') + 1) % 3)
				if other != part.Type {
					c.Parts = []solver.Part{
						{Accelerator: part.Type, Type: part.Type, Replicas: 1, UnitsPerReplica: part.UnitsPerReplica, Share: .5},
						{Accelerator: other, Type: other, Replicas: part.Replicas - 1, UnitsPerReplica: 1, Share: .5},
					}
				}
			}
		}
	}
	return p
}

// Scoped is a small problem on nodes, of which some candidates can use those of a set alone: sets that hold each other, overlap, are apart, or are of no
// node.
func Scoped(seed uint64) *solver.Problem {
	p := Placed(seed)
	r := source(seed + 5<<32)
	scopes := []string{"x", "y", "z"}
	some := func() (list []string) {
		for _, s := range scopes[:2] {
			if r.IntN(2) == 0 {
				list = append(list, s)
			}
		}
		return list
	}
	for i := range p.Nodes {
		p.Nodes[i].Scopes = some()
	}
	for i := range p.Elastic {
		p.Elastic[i].Scopes = some()
	}
	for i := range p.Servers {
		for j := range p.Servers[i].Candidates {
			for k := range p.Servers[i].Candidates[j].Parts {
				if part := &p.Servers[i].Candidates[j].Parts[k]; r.IntN(5) > 1 {
					part.Scope = scopes[(r.IntN(5)+1)/2%3]
				}
			}
		}
	}
	return p
}

// Mixed is a scoped problem whose replicas differ in what they take of the processors and the memory of nodes, so that these may run out before cards do.
func Mixed(seed uint64) *solver.Problem {
	p := Scoped(seed)
	r := source(seed + 11<<32)
	for i := range p.Nodes {
		p.Nodes[i].Portions = map[string][]float64{}
		for _, s := range p.Nodes[i].Scopes {
			p.Nodes[i].Portions[s] = []float64{float64(r.IntN(5)) / 8, float64(1+r.IntN(3)) / 4}
		}
	}
	return p
}

// Racked is a small problem on nodes of racks, in which some replicas are groups of pods, each within one rack: there are nodes of no rack, and racks that no
// group fits into.
func Racked(seed uint64) *solver.Problem {
	p := Placed(seed)
	r := source(seed + 13<<32)
	rack := func() map[string]string {
		if n := r.IntN(4); n > 0 {
			return map[string]string{"rack": fmt.Sprint(n)}
		}
		return nil
	}
	p.Nodes = nil
	for t := range 3 {
		for n := range 2 + r.IntN(4) {
			p.Nodes = append(p.Nodes, solver.Node{Name: fmt.Sprintf("%s-%d", typeName(t), n), Type: typeName(t), Free: r.IntN(5), Domains: rack()})
		}
	}
	for i := range p.Elastic {
		p.Elastic[i].Domains = rack()
	}
	for i := range p.Servers {
		for j := range p.Servers[i].Candidates {
			for k := range p.Servers[i].Candidates[j].Parts {
				if part := &p.Servers[i].Candidates[j].Parts[k]; r.IntN(3) > 0 {
					part.Replicas, part.Pods, part.Domain = min(part.Replicas, 2), 2+r.IntN(2), "rack"
					part.UnitsPerReplica = part.Pods * (1 + r.IntN(3))
				}
			}
		}
	}
	return p
}

// Bundled is a small problem of servers that are served by bundles: a prefill and a decode workload, on one type or on two, each replica with
// cards of its own number, and some by a third workload beside them. A few run on one type alone. Some types are on nodes.
func Bundled(seed uint64) *solver.Problem {
	p := Placed(seed)
	r := source(seed + 4<<32)
	p.Elastic = nil
	for t := range p.Capacity {
		p.Capacity[t] *= 2
	}
	for i := range p.Servers {
		for j := range p.Servers[i].Candidates {
			if c := &p.Servers[i].Candidates[j]; len(c.Parts) > 0 && r.IntN(5) > 0 {
				*c = bundle(r, c.Cost)
			}
		}
	}
	return p
}

// bundle is a candidate of two or three roles.
func bundle(r *rand.Rand, cost float64) solver.Candidate {
	c := solver.Candidate{Cost: cost, Value: cost}
	for _, role := range []string{"prefill", "decode", "encode"}[:2+r.IntN(4)/3] {
		kind := typeName(r.IntN(4))
		c.Parts = append(c.Parts, solver.Part{Accelerator: kind + "/" + role, Type: kind, Replicas: 1 + r.IntN(2), UnitsPerReplica: 1 << r.IntN(2), Share: 1})
		c.ID += "+" + kind + "/" + role
	}
	return c
}

// Roles is a small problem of servers that are served by a prefill and a decode workload which keep their ratio, replicas of several pods among them,
// with less capacity than all need. Of a third, the servers are of a share that may have only so much.
func Roles(seed uint64) *solver.Problem {
	p := Bundled(seed)
	r := source(seed + 12<<32)
	for t := range p.Capacity {
		p.Capacity[t] /= 2
	}
	for i := range p.Servers {
		for j := range p.Servers[i].Candidates {
			c := &p.Servers[i].Candidates[j]
			c.Cost = 0
			for k := range c.Parts {
				part := &c.Parts[k]
				part.Replicas, part.Pods, part.Cost = 1+r.IntN(6), 1+r.IntN(2), float64(1+r.IntN(9))
				part.UnitsPerReplica *= part.Pods
				c.Cost += float64(part.Replicas) * part.Cost
			}
			c.Ratio, c.Value = len(c.Parts) > 1, c.Cost
		}
	}
	if seed%3 == 0 {
		cost := 10 + 50*r.Float64()
		p.Shares = []solver.Share{{Name: "t", Most: map[string]int{"A": 2 + r.IntN(12), "B": 2 + r.IntN(12)}, MostCost: &cost}}
		for i := range p.Servers {
			p.Servers[i].Share = "t"
		}
		if watts := 55 * cost; seed%2 == 1 {
			p.Shares[0].MostPower = &watts
			draw(p)
		}
	}
	return p
}

// Counted is a small problem in which servers count by their weights.
func Counted(seed uint64) *solver.Problem {
	p := Small(seed)
	r := source(seed + 2<<32)
	for i := range p.Servers {
		p.Servers[i].Weight = r.IntN(40)
	}
	return p
}

// Summed is a small problem that is a weighted sum.
func Summed(seed uint64) *solver.Problem {
	p := Placed(seed)
	r := source(seed + 3<<32)
	p.WeightedSum = true
	for i := range p.Servers {
		p.Servers[i].Penalty = 10 * r.Float64()
	}
	return p
}

func typeName(t int) string { return string(rune('A' + t)) }

// card is an accelerator type: memory in bytes, bandwidth in bytes/s, dense 16-bit FLOP/s, price in cents/hour.
type card struct {
	name                           string
	memory, bandwidth, flops, cost float64
}

// cards are twenty types. Memory, bandwidth and FLOP/s are of the makers' data sheets, rounded, those of AIU2 and G2 of the llm-inferno
// sample systems with FLOP/s assumed. Prices are of the order of those systems' prices.
var cards = []card{
	{"L4", 24e9, .3e12, 121e12, 6}, {"L40S", 48e9, .864e12, 362e12, 32}, {"A100", 80e9, 2.04e12, 312e12, 40},
	{"H100", 80e9, 3.35e12, 989e12, 75}, {"H200", 141e9, 4.8e12, 989e12, 90}, {"B200", 180e9, 7.7e12, 2250e12, 150},
	{"B300", 270e9, 7.75e12, 2250e12, 170}, {"GB200", 185e9, 8e12, 2500e12, 165}, {"A100-PCIe", 80e9, 1.94e12, 312e12, 36},
	{"H100-PCIe", 80e9, 2e12, 756e12, 60}, {"RTX-6000", 96e9, 1.79e12, 468e12, 38}, {"MI210", 64e9, 1.6e12, 181e12, 25},
	{"MI250", 128e9, 3.28e12, 362e12, 45}, {"MI300X", 192e9, 5.3e12, 1307e12, 85}, {"AIU2", 128e9, .204e12, 90e12, 3.75},
	{"G2", 96e9, 2.4e12, 432e12, 23}, {"A10G", 24e9, .6e12, 70e12, 9}, {"A100-40", 40e9, 1.55e12, 312e12, 30},
	{"MI325X", 256e9, 6e12, 1307e12, 100}, {"TPU", 32e9, 1.6e12, 197e12, 22},
}

// models by bytes of weights and of key-value cache per token, with how often they occur.
var models = []struct {
	weights, kv float64
	share       int
}{{16e9, .13e6, 5}, {26e9, .8e6, 3}, {68e9, .2e6, 2}, {93e9, .13e6, 2}, {140e9, .33e6, 3}}

// Fleet is a problem of a realistic fleet: servers of five model sizes in three classes over at most 20 types. Service rates follow from
// memory, bandwidth and FLOP/s of the cards, so that price/performance differs by type and model as in reality. Capacity is that share of
// the cards that the servers would take if each had its cheapest candidate, spread over all types: well below 1 is tight.
func Fleet(seed uint64, servers, types int, share float64) *solver.Problem {
	r := source(seed)
	types = min(types, len(cards))
	p := &solver.Problem{Capacity: map[string]int{}, DelayedBestEffort: true}
	need := make([]float64, types)
	for i := range servers {
		s := solver.Server{Name: fmt.Sprintf("server-%04d", i), Priority: 1 + r.IntN(3)}
		m := model(r)
		rate := math.Exp(r.Float64()*4 - 2)                                   // requests/s, 0.14 to 7.4
		in := 64 + float64(r.IntN(1984))                                      // tokens
		out := 32 + float64(r.IntN(992))                                      // tokens
		itl := []float64{.04, .08, .16}[s.Priority-1] * (.75 + r.Float64()/2) // s
		for t := range types {
			if c, ok := candidate(cards[t], m.weights, m.kv, rate, in, out, itl); ok {
				s.Candidates = append(s.Candidates, c)
				need[t] += float64(c.Units())
			}
		}
		p.Servers = append(p.Servers, s)
	}
	for t := range types {
		p.Capacity[cards[t].name] = int(need[t] / float64(types) * share * (.5 + r.Float64()))
	}
	return p
}

// FleetOfRoles is a fleet whose servers may also compute prompts on one type and decode on the same or another, in one of two ratios: some forty ways each
// with six types. Replicas of more than four cards are of two pods. Where apart is false, ways of two roles are on the first type alone: as many ways, of
// a single part.
func FleetOfRoles(seed uint64, servers, types int, share float64, apart bool) *solver.Problem {
	p := Fleet(seed, servers, types, share)
	r := source(seed + 13<<32)
	for i := range p.Servers {
		s := &p.Servers[i]
		for j := range s.Candidates {
			if part := &s.Candidates[j].Parts[0]; part.UnitsPerReplica > 4 {
				part.Pods = 2
			}
		}
		whole := s.Candidates
		for _, a := range whole {
			for _, b := range whole {
				prompts, saved := .2+.4*r.Float64(), .7+.6*r.Float64()
				prefill, decode := a.Parts[0], b.Parts[0]
				prefill.Cost, decode.Cost = a.Cost/float64(prefill.Replicas), b.Cost/float64(decode.Replicas)
				prefill.Replicas = max(1, int(math.Round(prompts*saved*float64(prefill.Replicas))))
				decode.Replicas = max(1, int(math.Round((1-prompts)*saved*float64(decode.Replicas))))
				if !apart {
					prefill.Replicas += decode.Replicas
					c := solver.Candidate{ID: a.ID + "/" + b.ID, Parts: []solver.Part{prefill}, Cost: float64(prefill.Replicas) * prefill.Cost}
					c.Value = c.Cost
					s.Candidates = append(s.Candidates, c)
					continue
				}
				prefill.Accelerator, decode.Accelerator = prefill.Accelerator+"/prefill", decode.Accelerator+"/decode"
				c := solver.Candidate{ID: prefill.Accelerator + "+" + decode.Accelerator, Ratio: true, Parts: []solver.Part{prefill, decode}}
				c.Cost = float64(prefill.Replicas)*prefill.Cost + float64(decode.Replicas)*decode.Cost
				c.Value = c.Cost
				s.Candidates = append(s.Candidates, c)
			}
		}
	}
	return p
}

func model(r *rand.Rand) struct {
	weights, kv float64
	share       int
} {
	at := r.IntN(15)
	for _, m := range models {
		if at -= m.share; at < 0 {
			return m
		}
	}
	return models[0]
}

// candidate sizes a server on a card: an iteration takes the time to read weights and cache at 60 % of the bandwidth, plus 4 ms; the batch
// is the largest that fits the memory and keeps the inter-token latency; prefill costs 2 × weights FLOPs per 2-byte parameter at 40 % of
// the peak.
func candidate(c card, weights, kv, rate, in, out, itl float64) (solver.Candidate, bool) {
	units := 1
	for float64(units)*c.memory*.9 < weights*1.1 {
		units *= 2
	}
	if units > 8 {
		return solver.Candidate{}, false
	}
	u := float64(units)
	tokens := in + out/2
	batch := (u*c.memory*.9 - weights) / (kv * tokens)
	read := func(bytes float64) float64 { return bytes / (.6 * u * c.bandwidth) }
	prefill := in * weights / (.4 * u * c.flops) // s of a request
	// itl ≥ .004 + read(weights) + batch·(read(kv·tokens) + prefill/out)
	free := itl - .004 - read(weights)
	batch = math.Floor(min(batch, 256, free/(read(kv*tokens)+prefill/out)))
	if batch < 1 {
		return solver.Candidate{}, false
	}
	step := .004 + read(weights) + batch*(read(kv*tokens)+prefill/out)
	replicas := int(math.Ceil(rate / (.8 * batch / (out * step))))
	cost := float64(replicas*units) * c.cost
	return solver.On(c.name, c.name, replicas, units, cost), true
}

// Shared is a small problem of servers in shares, some in none: with guarantees that may be more than there is, bounds on cards, on cost and on power, and cards that
// are kept. Costs are of a continuum, so that the best plan is the only one.
func Shared(seed uint64) *solver.Problem {
	r := source(seed + 6<<32)
	p := &solver.Problem{Capacity: map[string]int{"A": 4 + r.IntN(9), "B": 2 + r.IntN(9)}, DelayedBestEffort: r.IntN(2) == 0}
	left := map[string]int{"A": p.Capacity["A"], "B": p.Capacity["B"]}
	for n := range 1 + r.IntN(3) {
		s := solver.Share{Name: fmt.Sprintf("t%d", n), Guaranteed: map[string]int{}, Most: map[string]int{}}
		for _, t := range []string{"A", "B"} {
			if r.IntN(4) > 0 {
				s.Guaranteed[t] = r.IntN(left[t] + 1)
				left[t] -= s.Guaranteed[t]
			}
			if r.IntN(3) == 0 {
				s.Most[t] = s.Guaranteed[t] + r.IntN(5)
			}
		}
		switch cost := 5 + 25*r.Float64(); r.IntN(6) {
		case 0:
			s.MostCost = &cost
		case 1:
			if len(s.Guaranteed) == 2 { // of other types it would be guaranteed what others are
				s.GuaranteedCost = &cost
			}
		case 2:
			s.Kept = map[string]int{"A": s.Guaranteed["A"] / 2}
		case 3:
			watts := 55 * cost
			s.MostPower = &watts
		}
		p.Shares = append(p.Shares, s)
	}
	for i := range 2 + r.IntN(5) {
		s := solver.Server{Name: fmt.Sprintf("s%d", i), Priority: 1 + r.IntN(3)}
		if n := r.IntN(len(p.Shares) + 1); n < len(p.Shares) {
			s.Share = p.Shares[n].Name
		}
		for j := range 1 + r.IntN(3) {
			t := typeName(r.IntN(2))
			s.Candidates = append(s.Candidates, solver.On(fmt.Sprintf("%s/%d", t, j), t, 1+r.IntN(4), 1+r.IntN(2), 1+10*r.Float64()))
		}
		p.Servers = append(p.Servers, s)
	}
	draw(p)
	return p
}

// draw gives candidates a power that does not follow their cost.
func draw(p *solver.Problem) {
	for i := range p.Servers {
		for j := range p.Servers[i].Candidates {
			parts := p.Servers[i].Candidates[j].Parts
			for k := range parts {
				parts[k].Watts = float64(parts[k].UnitsPerReplica) * (120 + 70*float64((3*i+2*j+k)%5))
			}
		}
	}
}

// SharedScoped is a scoped problem, with nodes of several cards, bundles and purchases, whose servers are of shares, some of none.
func SharedScoped(seed uint64) *solver.Problem {
	p := Scoped(seed)
	r := source(seed + 8<<32)
	left := map[string]int{}
	for t, n := range p.Capacity {
		left[t] = n
	}
	for _, n := range p.Nodes {
		left[n.Type] = 0
	}
	for _, n := range p.Nodes {
		left[n.Type] += n.Free
	}
	for n := range 1 + r.IntN(2) {
		s := solver.Share{Name: fmt.Sprintf("t%d", n), Guaranteed: map[string]int{}, Most: map[string]int{}, Kept: map[string]int{}}
		for _, t := range []string{"A", "B", "C"} {
			if r.IntN(4) > 0 {
				s.Guaranteed[t] = r.IntN(left[t] + 1)
				left[t] -= s.Guaranteed[t]
			}
			if r.IntN(4) == 0 {
				s.Most[t] = s.Guaranteed[t] + r.IntN(5)
			}
			if r.IntN(8) == 0 {
				s.Kept[t] = r.IntN(s.Guaranteed[t] + 1)
			}
		}
		switch cost := 3 + 20*r.Float64(); r.IntN(5) {
		case 0:
			s.MostCost = &cost
		case 1:
			watts := 55 * cost
			s.MostPower = &watts
		}
		p.Shares = append(p.Shares, s)
	}
	for i := range p.Servers {
		if n := r.IntN(len(p.Shares) + 1); n < len(p.Shares) {
			p.Servers[i].Share = p.Shares[n].Name
		}
	}
	draw(p)
	return p
}

// Cohorts is a problem whose shares are of cohorts, the second of all shares, others of some: of every other seed one as Shared has them, else as SharedScoped.
// Of one in four there is more of everything than is asked for, so that only shares and cohorts bind.
func Cohorts(seed uint64) *solver.Problem {
	p := Shared(seed)
	if seed%2 == 1 {
		p = SharedScoped(seed)
	}
	r := source(seed + 9<<32)
	p.Unlimited = r.IntN(4) == 0
	for n := range 1 + r.IntN(3) {
		c := solver.Cohort{Name: fmt.Sprintf("c%d", n), Most: map[string]int{}}
		for i := range p.Shares {
			if n == 1 || r.IntN(3) > 0 {
				c.Shares = append(c.Shares, p.Shares[i].Name)
			}
		}
		for _, t := range []string{"A", "B"} {
			if r.IntN(4) == 0 {
				continue
			}
			for i := range p.Shares {
				if slices.Contains(c.Shares, p.Shares[i].Name) {
					c.Most[t] += p.Shares[i].Guaranteed[t]
				}
			}
			c.Most[t] = max(0, c.Most[t]+r.IntN(5)-1)
		}
		p.Cohorts = append(p.Cohorts, c)
	}
	return p
}

// SharedFleet is a fleet whose servers are of so many shares of unlike sizes, one in ten of none. What is guaranteed is that part of the capacity, given out at
// random; a third of the shares may have half as much again of the dearest types at most, and a third has a largest cost.
func SharedFleet(seed uint64, servers, types int, share float64, shares int, guaranteed float64) *solver.Problem {
	p := Fleet(seed, servers, types, share)
	r := source(seed + 7<<32)
	weights, sum := make([]float64, shares), 0.0
	for n := range weights {
		weights[n] = .2 + r.Float64()
		sum += weights[n]
	}
	for n := range shares {
		s := solver.Share{Name: fmt.Sprintf("team-%02d", n), Guaranteed: map[string]int{}, Most: map[string]int{}}
		for _, c := range cards[:min(types, len(cards))] {
			s.Guaranteed[c.name] = int(guaranteed * float64(p.Capacity[c.name]) * weights[n] / sum)
			if n%3 == 0 && c.cost > 80 {
				s.Most[c.name] = s.Guaranteed[c.name]*3/2 + 1
			}
		}
		if most := 100 * float64(servers) / float64(shares); n%3 == 1 {
			s.MostCost = &most
		}
		p.Shares = append(p.Shares, s)
	}
	for i := range p.Servers {
		if n := r.IntN(shares + 1 + shares/10); n < shares {
			p.Servers[i].Share = p.Shares[n].Name
		}
	}
	return p
}
