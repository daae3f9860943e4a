package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/routing"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

// Order is what is wanted of a server, as adapter and scheduler plugin read it in the status of a Server.
type Order struct {
	// Replicas in all.
	Replicas int
	// Parts say on which accelerators pods are bound, as far as room is left in a part's replicas and surge, and with which limits they are started;
	// 0 is the server's own. They may sum up to less than the replicas: what is beyond was started before and stays until it is not needed. A part with
	// a variant or role is a workload of its own, of its replicas and surge; all others are one.
	Parts []jsonspec.AllocationPart
	// Admissible rate of requests per second, which a gateway that obeys lets through; nil for all.
	Admissible *float64
}

// quotas by what parts run on.
func (o *Order) quotas() map[string]int {
	by := map[string]int{}
	for _, p := range o.Parts {
		by[p.On()] += p.Now()
	}
	return by
}

// workload of the pods of a part.
func workload(p *jsonspec.AllocationPart) string {
	if p.Variant == "" && p.Role == "" {
		return ""
	}
	return p.On()
}

// workloads with their replicas.
func (o *Order) workloads() map[string]int {
	n := map[string]int{"": o.Replicas}
	for i := range o.Parts {
		if p := &o.Parts[i]; workload(p) != "" {
			n[workload(p)] += p.Now()
			n[""] -= p.Now()
		}
	}
	return n
}

// limits that a pod is started with on something, where the server's own are these. No engine takes more requests than tokens at a time.
func (o *Order) limits(on string, own simulation.Limits) simulation.Limits {
	for _, p := range o.Parts {
		if p.On() == on {
			own.MaxNumSeqs, own.MaxNumBatchedTokens = cmp.Or(p.MaxBatchSize, own.MaxNumSeqs), cmp.Or(p.MaxBatchedTokens, own.MaxNumBatchedTokens)
		}
	}
	own.MaxNumSeqs = min(own.MaxNumSeqs, own.MaxNumBatchedTokens)
	return own
}

// Policy decides. It may remember.
type Policy interface {
	// Interval between decisions in seconds, a multiple of the sync period.
	Interval() float64
	// Lag is how long it takes until a decision is enacted, in seconds: 0 for an autoscaler, which acts itself, more for who only writes
	// down what an autoscaler is to read.
	Lag() float64
	// Decide gives orders by server. A server without one stays as it is.
	Decide(*View) (map[string]Order, error)
}

// Cluster in virtual time.
type Cluster struct {
	config  Config
	policy  Policy
	now     float64
	nodes   []*node
	servers []*server
	pending []enactment
	created int
	usage   Usage
}

// enactment is a decision that waits to be enacted.
type enactment struct {
	at     float64
	orders map[string]Order
}

// server with its pods.
type server struct {
	Server
	serving *serving.Server
	sources []*stream
	order   Order
	pods    []*pod // in order of creation
	gone    []*pod // whose counters still tell of the window
	came    Series // to the gateway, where it counts
	scale   Scale
}

// stream of arrivals with the next one at hand.
type stream struct {
	source *trace.Source
	from   float64
	until  float64
	next   trace.Arrival
	more   bool
}

func (s *stream) advance() {
	s.next, s.more = s.source.Next()
	s.next.At += s.from
	s.more = s.more && s.next.At < s.until
}

// Usage is what a run used.
type Usage struct {
	// Hours of accelerators that replicas held, by name.
	Hours map[string]float64
	// Cost of them in cents, and what of it there was before anything is counted ([Config.CountFrom]).
	Cost, CostBefore float64
}

// Scale is how often a server's order changed, beyond the first.
type Scale struct {
	Out, In int
	// Reversals are changes in the other direction than the one before.
	Reversals int
	last      int
	// Switches of accelerator, or of the way to run the model on it.
	Switches int
}

// New makes a cluster at time 0. The error joins what is wrong with the configuration.
func New(config Config, policy Policy) (*Cluster, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	c := &Cluster{config: config, policy: policy, usage: Usage{Hours: map[string]float64{}}}
	for i, p := range config.Pools {
		for k := range p.Nodes + p.Elastic {
			n := &node{name: fmt.Sprintf("%s-%d-%d", p.Type, i, k), kind: p.Type, cards: p.Cards, delay: p.Delay, pool: i, elastic: k >= p.Nodes, domains: p.Domains}
			if n.elastic {
				n.state = absent
			}
			c.nodes = append(c.nodes, n)
		}
	}
	var faults []error
	for i := range config.Servers {
		s, err := c.newServer(&config.Servers[i], uint64(i))
		if err != nil {
			faults = append(faults, fmt.Errorf("server %q: %w", config.Servers[i].Name, err))
		}
		c.servers = append(c.servers, s)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	for _, s := range c.servers {
		s.order = s.Initial
		c.replicate(s)
		c.schedule(s)
		for _, p := range s.pods {
			if p.state != starting {
				return nil, fmt.Errorf("server %q: %w for its %d initial replicas", s.Name, ErrNoRoom, s.Initial.Replicas)
			}
			p.createdAt, p.readyAt = -config.Times.StartUp, 0 // they were started before
		}
	}
	return c, nil
}

// ErrNoRoom is that of a cluster whose nodes do not hold what it is to begin with.
var ErrNoRoom = errors.New("no room")

func (c *Cluster) newServer(config *Server, number uint64) (*server, error) {
	var balancers [3]routing.Balancer
	for i := range balancers {
		var err error
		if balancers[i], err = routing.Balancers().New(config.Balancer, nil); err != nil {
			return nil, err
		}
	}
	s := &server{Server: *config}
	clients := config.Clients
	clients.Seed += c.config.Seed + 1000*number
	var err error
	s.serving, err = serving.NewServer(balancers[0], serving.RecordOptions{Targets: config.Targets, Window: c.config.Times.Window, Keep: math.MaxInt32, Timeout: c.config.Times.Timeout, Scores: c.config.Scores, Clients: clients})
	if err != nil {
		return nil, err
	}
	s.serving.Apart(balancers[1], balancers[2])
	for i, t := range config.Traffic {
		o := t.Options
		o.Seed += c.config.Seed + 1000*number + uint64(i)
		source, err := t.Trace.Replay(o)
		if err != nil {
			return nil, fmt.Errorf("traffic %d: %w", i, err)
		}
		st := &stream{source: source, from: t.From, until: math.Inf(1)}
		if t.Until > 0 {
			st.until = t.Until
		}
		st.advance()
		s.sources = append(s.sources, st)
	}
	return s, nil
}

// tick is the step of the machinery, in seconds.
//
// Tuned: s; measured by the scenarios ramp, short and flash-crowd; at half: no difference in attainment, 4 % less cost of ramp, for twice the steps;
// at twice: 98.5 % of ramp
const tick = 1.0

// Run plays until a time in seconds.
func (c *Cluster) Run(until float64) error {
	for c.now < until {
		to := c.now + tick
		for _, s := range c.servers {
			s.play(to)
		}
		c.account(to - c.now)
		c.now = to
		if err := c.machinery(); err != nil {
			return err
		}
	}
	return nil
}

// play delivers what arrives before a time.
func (s *server) play(to float64) {
	for {
		var first *stream
		for _, st := range s.sources {
			if st.more && st.next.At < to && (first == nil || st.next.At < first.next.At) {
				first = st
			}
		}
		if first == nil {
			s.serving.Advance(to)
			return
		}
		s.serving.Arrive(first.next)
		first.advance()
	}
}

// machinery does what is due.
func (c *Cluster) machinery() error {
	c.fail()
	for _, s := range c.servers {
		c.settle(s)
	}
	if due(c.now, c.config.Times.Scrape) {
		c.scrape()
	}
	if due(c.now, c.policy.Interval()) {
		orders, err := c.policy.Decide(c.view())
		if err != nil {
			return fmt.Errorf("at %v s: %w", c.now, err)
		}
		c.pending = append(c.pending, enactment{c.now + c.policy.Lag(), orders})
	}
	for len(c.pending) > 0 && c.pending[0].at <= c.now {
		c.enact(c.pending[0].orders)
		c.pending = c.pending[1:]
	}
	for _, s := range c.servers {
		c.schedule(s)
	}
	return nil
}

func due(now, period float64) bool { return math.Mod(now, period) < tick }

// enact takes up orders.
func (c *Cluster) enact(orders map[string]Order) {
	for _, s := range c.servers {
		o, given := orders[s.Name]
		if !given {
			continue
		}
		if c.now >= c.config.CountFrom {
			s.scale.note(s.order, o)
		}
		s.order = o
		c.replicate(s)
		if c.config.Gateway.ObeysAdmission {
			s.admit(c.now)
		}
	}
}

// admit at the gateway what the order says can be, and at once as much of that as comes in the time within which a first token is due: what comes at once when
// nothing waits has its first token in time, for the replicas sustain at least that rate.
func (s *server) admit(at float64) {
	if s.order.Admissible == nil {
		s.serving.LetAll(at)
		return
	}
	rate := *s.order.Admissible
	s.serving.Limit(at, rate, math.Max(rate*s.Targets.TTFT, min(rate, 1)))
}

func (k *Scale) note(before, after Order) {
	direction := 0
	switch {
	case after.Replicas > before.Replicas:
		k.Out, direction = k.Out+1, 1
	case after.Replicas < before.Replicas:
		k.In, direction = k.In+1, -1
	}
	if direction != 0 {
		if k.last == -direction {
			k.Reversals++
		}
		k.last = direction
	}
	was := before.quotas()
	for a, n := range after.quotas() {
		if n > 0 && was[a] == 0 && len(was) > 0 {
			k.Switches++
		}
	}
}

// account adds up what pods held for so many seconds.
func (c *Cluster) account(seconds float64) {
	for _, s := range c.servers {
		for _, p := range s.pods {
			if len(p.nodes) > 0 {
				held := float64(p.truth.Count) * seconds / 3600
				c.usage.Hours[p.truth.Accelerator] += held
				cost := held * c.accelerator(p.truth.Accelerator).Price
				c.usage.Cost += cost
				if c.now < c.config.CountFrom {
					c.usage.CostBefore += cost
				}
			}
		}
	}
}

func (c *Cluster) accelerator(name string) *Accelerator {
	i := slices.IndexFunc(c.config.Accelerators, func(a Accelerator) bool { return a.Name == name })
	return &c.config.Accelerators[i]
}

func (c *Cluster) scrape() {
	const kept = 1200 // seconds that any policy looks back
	for _, s := range c.servers {
		if c.config.Gateway.Counts {
			if s.came = append(s.came, Sample{At: c.now, Value: []float64{float64(s.serving.Sent())}}); s.came[0].At < c.now-2*kept {
				s.came = slices.Clone(s.came.within(c.now-kept, c.now))
			}
		}
		for _, p := range s.pods {
			if p.state == ready || p.state == draining {
				p.series = append(p.series, p.counters.scrape(c.now, p.engine))
				if p.series[0].At < c.now-2*kept {
					p.series = slices.Clone(p.series.within(c.now-kept, c.now))
				}
			}
		}
		for _, p := range s.gone {
			if n := len(p.series); n > 0 && p.series[n-1].Value != nil {
				p.series = append(p.series, Sample{At: c.now})
			}
		}
		s.gone = slices.DeleteFunc(s.gone, func(p *pod) bool { return p.endedAt < c.now-kept })
	}
}

// Usage so far.
func (c *Cluster) Usage() Usage { return c.usage }

// Reports of the servers by name.
func (c *Cluster) Reports() map[string]serving.Report {
	all := map[string]serving.Report{}
	for _, s := range c.servers {
		all[s.Name] = s.serving.Report()
	}
	return all
}

// Scales of the servers by name.
func (c *Cluster) Scales() map[string]Scale {
	all := map[string]Scale{}
	for _, s := range c.servers {
		all[s.Name] = s.scale
	}
	return all
}
