package policy

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/cluster"
)

// Schedule is a policy that was written with the future known: replicas by server, what they run on, and slot.
type Schedule struct {
	fleet  *Fleet
	plan   map[string]map[string][]int
	limits map[string]map[string]simulation.Limits
	pairs  map[string]*pair // of servers that have roles in it
}

// slot is the width of a step of a schedule, s.
const slot = 60

// Foreseen is the load of a server as it will come: for every slot the highest rate over the given width that begins in it, requests/s, and
// the mean tokens of the hour around.
type Foreseen struct {
	rates   []float64
	in, out []float64
}

// Foresee replays the load of every server.
func (f *Fleet) Foresee(width float64) (map[string]*Foreseen, error) {
	all := map[string]*Foreseen{}
	for i := range f.Config.Servers {
		s := &f.Config.Servers[i]
		seen, err := foresee(s, f.Scenario.Duration, width, f.Config.Seed+1000*uint64(i))
		if err != nil {
			return nil, err
		}
		all[s.Name] = seen
	}
	return all, nil
}

// arrivals of a server one after the other, by trace.
func arrivals(server *cluster.Server, duration float64, seed uint64, visit func(at float64, in, out int)) error {
	for i, t := range server.Traffic {
		o := t.Options
		o.Seed += seed + uint64(i)
		source, err := t.Trace.Replay(o)
		if err != nil {
			return err
		}
		end := duration
		if t.Until > 0 {
			end = min(end, t.Until)
		}
		for a, more := source.Next(); more && a.At+t.From < end; a, more = source.Next() {
			visit(a.At+t.From, a.InputTokens, a.OutputTokens)
		}
	}
	return nil
}

func foresee(server *cluster.Server, duration, width float64, seed uint64) (*Foreseen, error) {
	const fine, hour = 10.0, 3600.0
	counts := make([]float64, int(duration/fine)+1)
	slots := int(math.Ceil(duration / slot))
	hours := int(math.Ceil(duration / hour))
	n, in, out := make([]float64, hours), make([]float64, hours), make([]float64, hours)
	err := arrivals(server, duration, seed, func(at float64, inputs, outputs int) {
		counts[int(at/fine)]++
		h := int(at / hour)
		n[h], in[h], out[h] = n[h]+1, in[h]+float64(inputs), out[h]+float64(outputs)
	})
	if err != nil {
		return nil, err
	}
	seen := &Foreseen{rates: make([]float64, slots), in: make([]float64, slots), out: make([]float64, slots)}
	span := int(width / fine)
	sum := 0.0
	for i := range counts {
		sum += counts[i]
		if i >= span {
			sum -= counts[i-span]
		}
		// The window that ends here lies in these slots.
		for k := max(i-span+1, 0) * int(fine) / slot; k <= min(i*int(fine)/slot, slots-1); k++ {
			seen.rates[k] = max(seen.rates[k], sum/width)
		}
	}
	for k := range slots {
		h := min(int(float64(k)*slot/hour), hours-1)
		if n[h] > 0 {
			seen.in[k], seen.out[k] = in[h]/n[h], out[h]/n[h]
		}
	}
	return seen, nil
}

// NewSchedule serves the foreseen load with every replica loaded to a share of what it truly sustains at its best token budget (or at the
// default one where that is fixed). In every slot servers are served in order of priority, each on what is cheapest for it while there are
// cards. A replica that is needed again within a pod start stays.
func (f *Fleet) NewSchedule(load map[string]*Foreseen, share float64, fixedBudget bool) *Schedule {
	return f.schedule(load, share, fixedBudget, nil)
}

// NewScheduleApart is the same where all servers that can have roles do, each role loaded to the share; nil where none can.
func (f *Fleet) NewScheduleApart(load map[string]*Foreseen, share float64) *Schedule {
	pairs := map[string]*pair{}
	for _, name := range f.Servers() {
		if !f.Scenario.HasRoles(name) {
			continue
		}
		if p, err := f.pairOf(name); err == nil {
			pairs[name] = p
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	return f.schedule(load, share, false, pairs)
}

func (f *Fleet) schedule(load map[string]*Foreseen, share float64, fixedBudget bool, pairs map[string]*pair) *Schedule {
	s := &Schedule{fleet: f, plan: map[string]map[string][]int{}, limits: map[string]map[string]simulation.Limits{}, pairs: pairs}
	servers := f.byPriority()
	slots := 0
	for _, name := range servers {
		s.plan[name], s.limits[name] = map[string][]int{}, map[string]simulation.Limits{}
		slots = len(load[name].rates)
		if p := pairs[name]; p != nil {
			for _, on := range []string{p.prefill, p.decode} {
				s.plan[name][on], s.limits[name][on] = make([]int, slots), p.limits
			}
			continue
		}
		for _, a := range f.Scenario.Accelerators(name) {
			s.plan[name][a] = make([]int, slots)
			s.limits[name][a] = f.Scenario.Limits(name)
			if d := f.Peak[name]; !fixedBudget {
				s.limits[name][a], _ = f.Profile.Best(name, a, s.limits[name][a], d.InputTokens, d.OutputTokens)
			}
		}
	}
	for k := range slots {
		left := f.stocksAt(float64(k) * slot)
		for _, name := range servers {
			l := load[name]
			s.serve(name, k, l.rates[k], l.in[k], l.out[k], share, left)
		}
	}
	for _, byAccelerator := range s.plan {
		for _, n := range byAccelerator {
			bridge(n, int(math.Ceil(f.Config.Times.StartUp/slot)))
		}
	}
	return s
}

// stocksAt are the cards by type that there are at a time.
func (f *Fleet) stocksAt(at float64) map[string]*placement.Stock {
	return f.stocks(func(p *cluster.Pool) int {
		n := most(p)
		for _, fault := range f.Config.Faults {
			if fault.Type == p.Type && at+slot > fault.At && (fault.Until == 0 || at < fault.Until) {
				n -= fault.Nodes
			}
		}
		return max(n, 0)
	})
}

// serve a rate in a slot.
func (s *Schedule) serve(name string, k int, rate, in, out, share float64, left map[string]*placement.Stock) {
	f := s.fleet
	if p := s.pairs[name]; p != nil {
		n := p.needs(Demand{Rate: rate / share, InputTokens: max(in, 1), OutputTokens: max(out, 1)}, f.Scenario.Targets(name).ITL)
		s.plan[name][p.prefill][k], s.plan[name][p.decode][k] = p.seated(left, n)
		return
	}
	least, _ := f.bounds(name)
	type choice struct {
		on           string
		sustain, per float64 // requests/s of a replica, and its price for each
	}
	var choices []choice
	for _, a := range f.Scenario.Accelerators(name) {
		if sustain := share * f.Profile.Capacity(name, a, s.limits[name][a], max(in, 1), max(out, 1)); sustain > 0 {
			choices = append(choices, choice{a, sustain, f.ReplicaPrice(name, a) / sustain})
		}
	}
	slices.SortFunc(choices, func(a, b choice) int {
		return cmp.Or(cmp.Compare(a.per, b.per), cmp.Compare(a.on, b.on))
	})
	served := 0
	for i, c := range choices {
		if rate <= 0 && served >= least {
			break
		}
		want := max(int(math.Ceil(rate/c.sustain)), least-served)
		n := f.room(left, name, c.on, want)
		// A last replica that is hardly used may be smaller.
		if rest := rate - float64(n-1)*c.sustain; n == want && n > 1 && i+1 < len(choices) {
			for _, other := range choices[i+1:] {
				if other.sustain >= rest && f.ReplicaPrice(name, other.on) < f.ReplicaPrice(name, c.on) && f.room(left, name, other.on, 1) > 0 {
					n--
					break
				}
			}
		}
		s.plan[name][c.on][k] = n
		f.take(left, name, c.on, n)
		rate -= float64(n) * c.sustain
		served += n
	}
}

// bridge keeps replicas over gaps of at most so many slots: starting them anew would cost as much.
func bridge(n []int, gap int) {
	last := map[int]int{} // slot in which a level was last needed
	for k := range n {
		for level := 1; level <= n[k]; level++ {
			if before, seen := last[level]; seen && k-before > 1 && k-before-1 <= gap {
				for i := before + 1; i < k; i++ {
					n[i] = max(n[i], level)
				}
			}
			last[level] = k
		}
	}
}

// Initial orders of a schedule, in force from the start.
func (s *Schedule) Initial() map[string]cluster.Order {
	orders := map[string]cluster.Order{}
	for name := range s.plan {
		orders[name] = s.order(name, 0, 1)
	}
	return orders
}

// order holds what is needed in any of the slots from one to before another.
func (s *Schedule) order(name string, from, to int) cluster.Order {
	var o cluster.Order
	for _, a := range slices.Sorted(maps.Keys(s.plan[name])) {
		most := 0
		if n := s.plan[name][a]; from < len(n) {
			most = slices.Max(n[from:min(to, len(n))])
		}
		o.Parts = append(o.Parts, s.fleet.part(name, a, most, s.limits[name][a]))
		o.Replicas += most
	}
	return o
}

// Interval implements cluster.Policy.
func (s *Schedule) Interval() float64 { return s.fleet.Config.Times.Sync }

// Lag implements cluster.Policy.
func (s *Schedule) Lag() float64 { return 0 }

// Decide orders what will be needed when a pod that is ordered now is ready.
func (s *Schedule) Decide(v *cluster.View) (map[string]cluster.Order, error) {
	orders := map[string]cluster.Order{}
	ahead := v.Now + s.fleet.Config.Times.StartUp + 2*s.Interval()
	for name := range s.plan {
		orders[name] = s.order(name, int(v.Now/slot), int(ahead/slot)+1)
	}
	return orders, nil
}
