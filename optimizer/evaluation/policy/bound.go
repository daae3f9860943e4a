package policy

import (
	"maps"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/simulation"
)

const (
	// boundSlot is the width of a step of the bound, s: what a request takes is some tens of seconds, and counts where it comes in.
	boundSlot = 300
	// longest prompt batch of an iteration that the bound counts with: beyond it a prompt token takes no less, tokens.
	longestBatch = 1 << 16
	// boundPasses over the prices of classes, and steps of the search for one of them, or for those of cards.
	boundPasses, boundSteps = 2, 30
)

// promptGrid of prompt tokens of an iteration, as multiples of those that come with its tokens.
var promptGrid = []float64{0, 0.25, 0.5, 0.75, 1, 1.5, 2, 4, 8, 16}

// Bound is what no schedule can cost less than: a linear relaxation over time.
//
//	minimise  Σ_t Σ_w price_w · x_tw                       replicas x of each way w to serve, not whole ones, free to come and go
//	so that   Σ_w x_tw / work_tw ≥ rate_t − missed_t       of every server
//	          Σ_w x_tw ≥ least replicas
//	          Σ cards_w · x_tw ≤ cards that there are      of every type
//	          Σ_t missed_t ≤ (1 − share) · requests        of every class
//
// Work is what a request takes of a replica, s, in the best of all iterations: its engine is always full, with as much as its targets allow and its cache holds.
// Requests are all as long as the mean of their hour, which takes no more than lengths that differ, and who misses its targets is no longer than others. There are
// no starts, no bursts, no queues. The relaxation is bounded by its dual: whatever requests missed and cards are worth, what is found is a bound, and the values
// are searched for that give the highest.
type Bound struct {
	servers  []boundServer
	cards    []map[string]float64 // of every type, by slot
	requests map[string]float64   // of every class
	dearest  float64              // of what a request costs, cents · s/h
	duration float64

	missed map[string]float64 // requests of every class that may miss their targets
	worth  map[string]float64 // of such a request, cents · s/h as costs are
}

// NewBound for the load of a scenario and the truth of its engines.
func (f *Fleet) NewBound() (*Bound, error) {
	b := &Bound{requests: map[string]float64{}, duration: f.Scenario.Duration}
	for _, name := range f.Servers() {
		rates, shapes, err := f.counted(name)
		if err != nil {
			return nil, err
		}
		s := boundServer{class: f.Scenario.Class(name), least: f.floor(name), rates: rates}
		known := map[lengths][]way{}
		for k, rate := range rates {
			b.requests[s.class] += rate * boundSlot
			if _, seen := known[shapes[k]]; !seen {
				known[shapes[k]] = f.ways(name, shapes[k])
			}
			s.ways = append(s.ways, known[shapes[k]])
			for _, w := range s.ways[k] {
				b.dearest = max(b.dearest, w.cost(nil))
			}
		}
		b.servers = append(b.servers, s)
	}
	for k := range b.servers[0].rates {
		cards := map[string]float64{}
		for kind, stock := range f.stocksAt(float64(k) * boundSlot) {
			cards[kind] = float64(stock.Left())
		}
		b.cards = append(b.cards, cards)
	}
	return b, nil
}

// Of schedules that serve these shares of the requests of every class, by name, cents/h.
func (b *Bound) Of(served map[string]float64) float64 {
	b.missed, b.worth = map[string]float64{}, map[string]float64{}
	for class, n := range b.requests {
		b.missed[class], b.worth[class] = (1-min(served[class], 1))*n, b.dearest
	}
	best := b.value()
	for range boundPasses {
		for _, class := range slices.Sorted(maps.Keys(b.worth)) {
			best = max(best, b.raise(class))
		}
	}
	return best / b.duration
}

// raise the bound by what missed requests of a class are worth: between nothing and so much that none is missed.
func (b *Bound) raise(class string) float64 {
	at := func(x float64) float64 {
		b.worth[class] = b.dearest * math.Exp(x)
		return b.value()
	}
	x, best := highest(-12, 8, at)
	at(x)
	return best
}

type boundServer struct {
	class string
	least float64 // cost of the least replicas, cents/h
	rates []float64
	ways  [][]way // by slot
}

// way to serve a request: what it takes of replicas of one kind, or of two.
type way []use

type use struct {
	kind               string  // of the cards
	work, price, cards float64 // s, and of a replica cents/h and cards
}

// cost of a request, cents · s/h, with cards that are worth something beside their price.
func (w way) cost(worth map[string]float64) float64 {
	sum := 0.0
	for _, u := range w {
		sum += u.work * (u.price + u.cards*worth[u.kind])
	}
	return sum
}

// value of the dual, cents · s/h.
func (b *Bound) value() float64 {
	sum := 0.0
	for k := range b.cards {
		sum += b.slot(k) * boundSlot
	}
	for _, class := range slices.Sorted(maps.Keys(b.missed)) { // in one order, so that sums are the same to the last bit
		sum -= b.worth[class] * b.missed[class]
	}
	return sum
}

// slot is what one costs at the least, cents/h, with cards worth what makes it most.
func (b *Bound) slot(k int) float64 {
	worth := map[string]float64{}
	best, over := b.price(k, worth)
	size := 0.0
	for _, kind := range slices.Sorted(maps.Keys(over)) {
		size = max(size, over[kind].price)
	}
	for step := range boundSteps {
		length := 0.0
		for _, kind := range slices.Sorted(maps.Keys(over)) {
			length = math.Hypot(length, over[kind].cards)
		}
		if !(length > 0) {
			break
		}
		for kind, o := range over {
			worth[kind] = max(worth[kind]+2*size/float64(step+2)*o.cards/length, 0)
		}
		var now float64
		now, over = b.price(k, worth)
		best = max(best, now)
	}
	return best
}

// excess of cards that are used over those that there are, of types that have any or whose cards are worth something; the price is that of one card, cents/h.
type excess struct{ cards, price float64 }

// price of a slot, cents/h.
func (b *Bound) price(k int, worth map[string]float64) (float64, map[string]excess) {
	sum, used := 0.0, map[string]excess{}
	for i := range b.servers {
		s := &b.servers[i]
		sum += s.least
		missed := b.worth[s.class]
		var cheapest way
		cost := math.Inf(1)
		for _, w := range s.ways[k] {
			if c := w.cost(worth); c < cost {
				cheapest, cost = w, c
			}
		}
		rate := s.rates[k]
		if rest := rate - s.least/cost; rest > 0 {
			sum += min(missed, cost) * rest
		}
		if missed < cost {
			continue
		}
		for _, u := range cheapest {
			e := used[u.kind]
			used[u.kind] = excess{e.cards + rate*u.work*u.cards, max(e.price, u.price/u.cards)}
		}
	}
	over := map[string]excess{}
	for _, kind := range slices.Sorted(maps.Keys(b.cards[k])) {
		there := b.cards[k][kind]
		sum -= worth[kind] * there
		if e := used[kind]; e.cards > there || worth[kind] > 0 {
			over[kind] = excess{e.cards - there, e.price}
		}
	}
	return sum, over
}

// floor is the cost of the least replicas of a server, cents/h.
func (f *Fleet) floor(server string) float64 {
	least := 0
	for _, e := range f.Scenario.System.Servers.Spec {
		if e.Name == server {
			least = e.MinNumReplicas
		}
	}
	cheapest := math.Inf(1)
	for _, role := range []string{"", jsonspec.RolePrefill, jsonspec.RoleDecode} {
		for _, on := range f.Scenario.With(server, role) {
			cheapest = min(cheapest, f.ReplicaPrice(server, on))
		}
	}
	return float64(least) * cheapest
}

// ways to serve requests of a server that are so long; none that cannot keep its ITL.
func (f *Fleet) ways(server string, l lengths) []way {
	var ways []way
	itl := f.Scenario.Targets(server).ITL
	for _, on := range f.Scenario.With(server, "") {
		if w := f.leastWork(server, on, l, itl, l.in/max(l.out-1, 1)); !math.IsInf(w, 1) {
			ways = append(ways, way{f.use(server, on, w)})
		}
	}
	for _, prefill := range f.Scenario.With(server, jsonspec.RolePrefill) {
		prompt := f.use(server, prefill, l.in*f.promptToken(server, prefill, l.in))
		for _, decode := range f.Scenario.With(server, jsonspec.RoleDecode) {
			if w := f.leastWork(server, decode, l, itl, 0); !math.IsInf(w, 1) {
				ways = append(ways, way{prompt, f.use(server, decode, w)})
			}
		}
	}
	return ways
}

func (f *Fleet) use(server, on string, work float64) use {
	return use{f.accelerator(server, on).Type, work, f.ReplicaPrice(server, on), float64(f.cards(server, on))}
}

// promptToken is the least time of a prompt token, s: of iterations that do nothing else. What is cached of a prompt takes none.
func (f *Fleet) promptToken(server, on string, in float64) float64 {
	t := f.truth(server, on)
	computed := 1 - t.Cache.PrefixHitRate
	batch := simulation.Batch{PrefillTokens: longestBatch, PrefillPairs: longestBatch * (in*t.Cache.PrefixHitRate + in*computed/2)}
	return computed * t.StepTime.Seconds(batch) / longestBatch
}

// leastWork of a request on replicas of one kind, s, where so many prompt tokens come with each token that is made, none where others compute prompts.
//
// An iteration makes n tokens, at least one, computes p prompt tokens beside and takes T. Over all of them
//
//	work = minimise Σ T   so that   Σ n = tokens,   Σ p = prompts · tokens,   Σ n T ≤ ITL · tokens,
//
// which is the highest of min over (n, p) of (T (1 + μ n) − α p) / n, + α prompts − μ ITL, for each token.
func (f *Fleet) leastWork(server, on string, l lengths, itl, prompts float64) float64 {
	t := f.truth(server, on)
	computed := 1 - t.Cache.PrefixHitRate
	prompts *= computed
	type point struct{ n, p, took float64 }
	var points []point
	possible := false
	most := min(f.Scenario.Limits(server).MaxNumSeqs, max(1, int(float64(t.Cache.BlockSize*t.Cache.Blocks)/l.context)))
	for n := 1; n <= most; n++ {
		for _, times := range promptGrid {
			p := int(times * prompts * float64(n))
			took := t.StepTime.Seconds(simulation.Batch{
				Decodes: n, DecodeContext: int(float64(n) * l.context), PrefillTokens: p, PrefillPairs: float64(p) * l.in * (1 - computed/2),
			})
			possible = possible || took <= itl
			points = append(points, point{float64(n), float64(p), took})
			if prompts == 0 {
				break
			}
		}
	}
	if !possible {
		return math.Inf(1)
	}
	dual := func(alpha, mu float64) float64 {
		least := math.Inf(1)
		for _, p := range points {
			least = min(least, (p.took*(1+mu*p.n)-alpha*p.p)/p.n)
		}
		return least + alpha*prompts - mu*itl
	}
	// Work for each token is at most that of one token in an iteration, and a longer interval saves at most all of it.
	work := points[0].took
	_, each := highest(0, 1e3*work/itl, func(mu float64) float64 {
		if prompts == 0 {
			return dual(0, mu)
		}
		_, v := highest(0, 1e2*work/prompts, func(alpha float64) float64 { return dual(alpha, mu) })
		return v
	})
	return each * max(l.out-1, 0)
}

// highest value of a concave function between two ends that it found, and where.
func highest(low, high float64, value func(float64) float64) (at, best float64) {
	at, best = low, value(low)
	for range boundSteps {
		left, right := low+(high-low)/3, high-(high-low)/3
		l, r := value(left), value(right)
		if l > best {
			at, best = left, l
		}
		if r > best {
			at, best = right, r
		}
		if l < r {
			low = left
		} else {
			high = right
		}
	}
	return at, best
}

// lengths of requests, tokens: means, and the mean context of the tokens that are made.
type lengths struct{ in, out, context float64 }

// counted is the load of a server that is in the score, by slot of the bound: requests/s, and the lengths of the hour.
func (f *Fleet) counted(name string) ([]float64, []lengths, error) {
	const hour = 3600
	rates := make([]float64, int(math.Ceil(f.Scenario.Duration/boundSlot)))
	hours := make([]struct{ n, in, out, contexts float64 }, int(math.Ceil(f.Scenario.Duration/hour)))
	seed := f.Config.Seed + 1000*uint64(slices.Index(f.Servers(), name))
	err := arrivals(f.server(name), f.Scenario.Duration, seed, func(at float64, in, out int) {
		if f.Scenario.Scores(at) {
			rates[int(at/boundSlot)] += 1. / boundSlot
			h, made := &hours[int(at/hour)], float64(out)
			h.n, h.in, h.out, h.contexts = h.n+1, h.in+float64(in), h.out+made, h.contexts+made*(float64(in)+made/2)
		}
	})
	shapes := make([]lengths, len(rates))
	for k := range shapes {
		h := hours[int(float64(k)*boundSlot/hour)]
		shapes[k] = lengths{max(h.in/max(h.n, 1), 1), max(h.out/max(h.n, 1), 1), max(h.contexts/max(h.out, 1), 1)}
	}
	return rates, shapes, err
}
