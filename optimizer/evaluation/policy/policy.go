// Package policy holds what decides over replicas in a simulated cluster: inferno's own loop, with the decision core of the cluster, and the
// alternatives, each from its documentation with its defaults.
package policy

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
	"github.com/llm-inferno/inferno/optimizer/loop"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/cluster"
)

// Knob is a setting of a policy that a person would tune.
type Knob struct {
	Name    string
	Default float64
	// Values that a search tries beside the default.
	Values []float64
}

// Settings of knobs by name; what is not given has its default.
type Settings map[string]float64

// String lists settings by name.
func (s Settings) String() string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(s)) {
		words = append(words, fmt.Sprintf("%s=%g", name, s[name]))
	}
	return strings.Join(words, " ")
}

// Entry is a policy that can be chosen by name.
type Entry struct {
	Name string
	// About says what it is and where that is written down.
	About string
	Knobs []Knob
	new   func(*Fleet, Settings) (cluster.Policy, error)
}

// New makes the policy.
func (e *Entry) New(f *Fleet, s Settings) (cluster.Policy, error) {
	all := Settings{}
	for _, k := range e.Knobs {
		all[k.Name] = k.Default
	}
	for name, value := range s {
		if _, known := all[name]; !known {
			return nil, fmt.Errorf("policy %s: unknown setting %q", e.Name, name)
		}
		all[name] = value
	}
	return e.new(f, all)
}

// RunsCore tells whether the policy decides with the decision core.
func (e *Entry) RunsCore() bool {
	return e.Name == NameInferno || e.Name == NameInfernoFixed || e.Name == NameInfernoTogether || e.Name == NameReference
}

// Fleet is what there is to decide over.
type Fleet struct {
	Scenario *scenario.Scenario
	Config   *cluster.Config
	Profile  *Profile
	// Pins are what the servers' Deployments run on, for policies that choose nothing.
	Pins map[string]string
	// Peak is the highest rate over a minute of each server, requests/s, and its mean tokens.
	Peak map[string]Demand
	// Record is called with every decision of inferno, if it is not nil.
	Record func(*loop.Record) error
}

// startSpan is the begin of a scenario for whose busiest minute the initial replicas suffice, s.
const startSpan = 600

// Demand is a load of one server.
type Demand struct {
	Rate, InputTokens, OutputTokens float64
}

// NewFleet looks at the load and pins servers to accelerators, as an operator would who knows the peak and what each type sustains: in order
// of priority, each on the type that serves its peak cheapest and still has room for it.
func NewFleet(s *scenario.Scenario) (*Fleet, error) {
	config, err := s.Cluster()
	if err != nil {
		return nil, err
	}
	f := &Fleet{Scenario: s, Config: config, Profile: NewProfile(s, config), Pins: map[string]string{}, Peak: map[string]Demand{}}
	for i := range config.Servers {
		server := &config.Servers[i]
		d, err := peak(server, s.Duration, config.Seed+1000*uint64(i))
		if err != nil {
			return nil, fmt.Errorf("server %q: %w", server.Name, err)
		}
		f.Peak[server.Name] = d
	}
	if err := f.pin(); err != nil {
		return nil, err
	}
	return f, f.start()
}

// start gives every server its initial replicas, in order of priority while there is room on the accelerators they are pinned to.
func (f *Fleet) start() error {
	left := f.stocks(func(p *cluster.Pool) int { return p.Nodes })
	for _, name := range f.byPriority() {
		i := slices.IndexFunc(f.Config.Servers, func(s cluster.Server) bool { return s.Name == name })
		server, pin := &f.Config.Servers[i], f.Pins[name]
		n := f.Scenario.Initial[name]
		if n == 0 {
			begin, err := peak(server, min(f.Scenario.Duration, startSpan), f.Config.Seed+1000*uint64(i))
			if err != nil {
				return err
			}
			d := f.Peak[name]
			d.Rate = begin.Rate
			n = f.Need(name, pin, d)
		}
		n = f.room(left, name, pin, n)
		f.take(left, name, pin, n)
		server.Initial = f.order(name, n)
	}
	return nil
}

// byPriority are the servers, the most important first, else in the order of the configuration.
func (f *Fleet) byPriority() []string {
	servers := f.Servers()
	slices.SortStableFunc(servers, func(a, b string) int { return f.Scenario.Priority(a) - f.Scenario.Priority(b) })
	return servers
}

func (f *Fleet) pin() error {
	all, left := f.stocks(most), f.stocks(most)
	for _, server := range f.byPriority() {
		best, lowest, mostRoom := f.Scenario.Pinned[server], math.Inf(1), 0.0
		for _, a := range f.Scenario.Accelerators(server) {
			if f.Scenario.Pinned[server] != "" {
				break
			}
			n := f.Need(server, a, f.Peak[server])
			if n == 0 {
				continue
			}
			kind, cost := f.accelerator(server, a).Type, float64(n)*f.ReplicaPrice(server, a)
			// What fits is equally good; where nothing does, the type is best that would be overbooked least.
			room := min(float64(left[kind].Left()-n*f.cards(server, a))/float64(max(all[kind].Left(), 1)), 0)
			if best == "" || room > mostRoom || room == mostRoom && cost < lowest {
				best, lowest, mostRoom = a, cost, room
			}
		}
		if best == "" {
			return fmt.Errorf("server %q: no accelerator meets its targets even at hardly any load", server)
		}
		f.Pins[server] = best
		f.take(left, server, best, f.Need(server, best, f.Peak[server]))
	}
	return nil
}

// stocks of cards by type, where the pools have so many nodes.
func (f *Fleet) stocks(nodes func(*cluster.Pool) int) map[string]*placement.Stock {
	var c jsonspec.CapacityData
	for i := range f.Config.Pools {
		p := &f.Config.Pools[i]
		for range nodes(p) {
			c.Nodes = append(c.Nodes, jsonspec.NodeCapacity{Type: p.Type, Free: p.Cards, Domains: p.Domains})
		}
	}
	return placement.Stocks(&c)
}

// most nodes of a pool.
func most(p *cluster.Pool) int { return p.Nodes + p.Elastic }

// Servers by name, in the order of the configuration.
func (f *Fleet) Servers() []string {
	names := make([]string, len(f.Config.Servers))
	for i := range f.Config.Servers {
		names[i] = f.Config.Servers[i].Name
	}
	return names
}

func (f *Fleet) server(name string) *cluster.Server {
	i := slices.IndexFunc(f.Config.Servers, func(s cluster.Server) bool { return s.Name == name })
	return &f.Config.Servers[i]
}

// truth of replicas of a server on something.
func (f *Fleet) truth(server, on string) *cluster.Truth {
	model := f.server(server).Model
	i := slices.IndexFunc(f.Config.Truths, func(t cluster.Truth) bool { return t.Model == model && t.On() == on })
	return &f.Config.Truths[i]
}

// accelerator that is made of.
func (f *Fleet) accelerator(server, on string) *cluster.Accelerator {
	name := f.truth(server, on).Accelerator
	i := slices.IndexFunc(f.Config.Accelerators, func(a cluster.Accelerator) bool { return a.Name == name })
	return &f.Config.Accelerators[i]
}

// cards of a replica.
func (f *Fleet) cards(server, on string) int {
	return f.truth(server, on).Count * f.accelerator(server, on).Cards
}

// room for replicas among what is left, at most so many.
func (f *Fleet) room(left map[string]*placement.Stock, server, on string, most int) int {
	pods, stock := f.stock(left, server, on)
	return stock.Room(f.cards(server, on)/pods, min(most, math.MaxInt/pods)*pods) / pods
}

// stock that the pods of a replica, so many, are placed with.
func (f *Fleet) stock(left map[string]*placement.Stock, server, on string) (pods int, _ *placement.Stock) {
	t := f.truth(server, on)
	pods = max(t.Pods, 1)
	return pods, left[f.accelerator(server, on).Type].Together(t.Domain, pods)
}

// take what replicas hold.
func (f *Fleet) take(left map[string]*placement.Stock, server, on string, replicas int) {
	pods, stock := f.stock(left, server, on)
	stock.Add(f.cards(server, on)/pods, replicas*pods)
}

// ReplicaPrice in cents per hour.
func (f *Fleet) ReplicaPrice(server, on string) float64 {
	return float64(f.truth(server, on).Count) * f.accelerator(server, on).Price
}

// Need is the number of replicas that a demand takes at the rate that one truly sustains with default limits; 0 where none meets the targets.
func (f *Fleet) Need(server, on string, d Demand) int {
	rate := f.Profile.Capacity(server, on, f.Scenario.Limits(server), d.InputTokens, d.OutputTokens)
	if rate == 0 {
		return 0
	}
	return max(int(math.Ceil(d.Rate/rate)), 1)
}

// order for so many replicas on the pinned accelerator, with default limits.
func (f *Fleet) order(server string, replicas int) cluster.Order {
	return cluster.Order{Replicas: replicas, Parts: []jsonspec.AllocationPart{f.part(server, f.Pins[server], replicas, f.Scenario.Limits(server))}}
}

// part of an order.
func (f *Fleet) part(server, on string, replicas int, l simulation.Limits) jsonspec.AllocationPart {
	t := f.truth(server, on)
	return jsonspec.AllocationPart{
		Accelerator: t.Accelerator, Variant: t.Variant, Role: t.Role, Replicas: replicas, MaxBatchSize: l.MaxNumSeqs, MaxBatchedTokens: l.MaxNumBatchedTokens,
	}
}

// least and most replicas of a server.
func (f *Fleet) bounds(server string) (least, most int) {
	for _, e := range f.Scenario.System.Servers.Spec {
		if e.Name == server {
			return max(e.MinNumReplicas, 1), e.MaxNumReplicas
		}
	}
	return 1, 0
}

// peak finds the busiest minute of a server's load, and the mean tokens of all requests.
func peak(server *cluster.Server, duration float64, seed uint64) (Demand, error) {
	const minute = 60
	counts := make([]int, int(duration/minute)+1)
	total, in, out := 0, 0, 0
	err := arrivals(server, duration, seed, func(at float64, inputs, outputs int) {
		counts[int(at/minute)]++
		total, in, out = total+1, in+inputs, out+outputs
	})
	if err != nil {
		return Demand{}, err
	}
	if total == 0 {
		return Demand{InputTokens: 1, OutputTokens: 1}, nil
	}
	return Demand{Rate: float64(slices.Max(counts)) / minute, InputTokens: float64(in) / float64(total), OutputTokens: float64(out) / float64(total)}, nil
}
