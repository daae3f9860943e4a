// Package scenario reads what the closed loop is tried on: a fleet with prices, servers with classes and load, how engines really behave, and
// what goes wrong.
package scenario

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/cluster"
	"github.com/llm-inferno/inferno/optimizer/simulation/routing"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// Scenario is a document; docs/evaluation.md describes its fields. Times are in seconds.
type Scenario struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// Duration of the run.
	Duration float64 `json:"duration"`
	// WarmUp is left out of the score.
	WarmUp float64 `json:"warmUp,omitempty"`
	// Exclude are stretches left out of the score, such as one pod start after the onset of a flash crowd: nobody could have served it.
	Exclude []Span `json:"exclude,omitempty"`
	// Step is when the load changes, for the time until capacity has followed; 0 for never.
	Step float64 `json:"step,omitempty"`
	Seed uint64  `json:"seed,omitempty"`

	Times cluster.Times `json:"times,omitempty"`
	Loop  Loop          `json:"loop,omitempty"`

	// System is what a planner is told: accelerators with prices, models with performance data, classes with targets, servers, options.
	// Its capacity is that of the pools.
	System jsonspec.System `json:"system"`
	Pools  []Pool          `json:"pools"`
	// Truths are how models behave on accelerators, which is not what the planner is told.
	Truths []Truth `json:"truths"`
	// Defaults are the limits that engines start with where nobody says otherwise; vLLM's, 256 sequences and 8192 tokens.
	Defaults simulation.Limits `json:"defaults,omitempty"`
	Load     []Load            `json:"load"`
	// Clients of servers, where they do not wait for ever.
	Clients map[string]serving.Clients `json:"clients,omitempty"`
	// Gateway before the servers, where it does more than spread requests.
	Gateway *Gateway `json:"gateway,omitempty"`
	Faults  []Fault  `json:"faults,omitempty"`
	// Initial replicas of servers, on the accelerator they are pinned to or the one cheapest for them; where not given as many as the busiest
	// minute of the first ten needs.
	Initial map[string]int `json:"initial,omitempty"`
	// Pinned is what a server's Deployment runs on under policies that choose nothing, an accelerator or a variant there, such as H100/tp4; the cheapest for its
	// load where not given.
	Pinned map[string]string `json:"pinned,omitempty"`

	folder string
}

// Span of time.
type Span struct {
	From  float64 `json:"from"`
	Until float64 `json:"until"`
}

// Gateway counts the requests that come to it, those that it refuses included, where Prometheus reads it.
type Gateway struct {
	// ObeysAdmission has it refuse at once what is beyond the admissible rate of a server's plan.
	ObeysAdmission bool `json:"obeysAdmission,omitempty"`
}

// Loop is how the decision core is run.
type Loop struct {
	// Interval between decisions, and the window over which rates are taken.
	Interval float64 `json:"interval,omitempty"`
	Window   float64 `json:"window,omitempty"`
}

// Pool of equal nodes of one type of card.
type Pool struct {
	Type  string `json:"type"`
	Cards int    `json:"cards"`
	Nodes int    `json:"nodes"`
	// Elastic nodes that can be had beside, one after the other, each after a delay.
	Elastic int     `json:"elastic,omitempty"`
	Delay   float64 `json:"delay,omitempty"`
	// Domains are the values of the labels that its nodes have, such as {rack: r7}: what entries of models name as topologyKey.
	Domains map[string]string `json:"domains,omitempty"`
}

// Truth is how a model really behaves on an accelerator. The number of accelerators of a replica, its pods, and its transfer of caches are those of the system's
// performance data.
type Truth struct {
	Model       string `json:"model"`
	Accelerator string `json:"accelerator"`
	// Variant of the model there, where the data have several: as they name it, or its role.
	Variant  string           `json:"variant,omitempty"`
	StepTime jsonspec.Plug    `json:"stepTime"`
	Cache    simulation.Cache `json:"cache"`
	// RequestOverhead is the time between arrival and queue, and NoiseCV the variation of iterations.
	RequestOverhead float64 `json:"requestOverhead,omitempty"`
	NoiseCV         float64 `json:"noiseCV,omitempty"`
}

// Load of a server: a trace file, or steps.
type Load struct {
	Server string `json:"server"`
	// File with a trace, relative to the scenario.
	File string `json:"file,omitempty"`
	// Steps of a synthetic load.
	Steps []Step `json:"steps,omitempty"`
	// Ramp goes from step to step in a straight line instead.
	Ramp bool `json:"ramp,omitempty"`
	// Counted has as many requests come in each step as its rate says, none more or fewer by chance. The last step ends as the scenario does.
	Counted bool `json:"counted,omitempty"`
	// MaxCV bounds the interarrival CV of a rate-level trace; 0 for no bound. Recorded windows beside an outage have absurd ones.
	MaxCV float64       `json:"maxCV,omitempty"`
	Play  trace.Options `json:"play,omitempty"`
	From  float64       `json:"from,omitempty"`
	Until float64       `json:"until,omitempty"`
}

// Step of a load: from a time on.
type Step struct {
	At           float64 `json:"at"`
	Rate         float64 `json:"rate"`
	InputTokens  float64 `json:"inputTokens"`
	OutputTokens float64 `json:"outputTokens"`
	// CV of the interarrival times; 1, Poisson, where not given.
	CV *float64 `json:"cv,omitempty"`
}

// Fault takes nodes of a type away for a while, the last ones after those that it skips.
type Fault struct {
	Type  string  `json:"type"`
	Nodes int     `json:"nodes"`
	Skip  int     `json:"skip,omitempty"`
	At    float64 `json:"at"`
	Until float64 `json:"until,omitempty"`
}

// Defaults of a scenario.
const (
	defaultInterval = 30
	defaultWindow   = 60
	longest         = 60 * 86400
)

var defaultLimits = simulation.Limits{MaxNumSeqs: 256, MaxNumBatchedTokens: 8192}

// Open reads a scenario from a file, or a built-in one by its name. The error joins every fault.
func Open(path string) (*Scenario, error) {
	if s, ok, err := openBuiltIn(path); ok {
		return s, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Decode(data, filepath.Base(path), filepath.Dir(path))
}

// Decode reads a scenario from YAML or JSON, strictly; files in it are relative to the folder.
func Decode(data []byte, name, folder string) (*Scenario, error) {
	s := &Scenario{Times: cluster.DefaultTimes(), Loop: Loop{Interval: defaultInterval, Window: defaultWindow}, Defaults: defaultLimits, folder: folder}
	if err := specification.Decode(name, data, s); err != nil {
		return nil, err
	}
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

func (s *Scenario) validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !(s.Duration > 0 && s.Duration <= longest) {
		fault("duration: %v s, want above 0 to %v", s.Duration, float64(longest))
	}
	if !(s.WarmUp >= 0 && s.WarmUp < math.Max(s.Duration, 1e-9)) {
		fault("warmUp: %v s, want at least 0 and less than the duration", s.WarmUp)
	}
	for i, e := range s.Exclude {
		if !(e.From >= 0 && e.Until > e.From) {
			fault("exclude[%d]: from %v until %v, want an end after a begin of at least 0", i, e.From, e.Until)
		}
	}
	if !(s.Loop.Interval > 0 && s.Times.Sync > 0 && math.Mod(s.Loop.Interval, s.Times.Sync) == 0) {
		fault("loop.interval: %v s, want a multiple of times.sync (%v s)", s.Loop.Interval, s.Times.Sync)
	}
	if !(s.Loop.Window >= 2*s.Times.Scrape) {
		fault("loop.window: %v s, want at least two scrapes (times.scrape is %v s): a rate needs two samples", s.Loop.Window, s.Times.Scrape)
	}
	if err := s.Defaults.Validate(); err != nil {
		fault("defaults: %w", err)
	}
	faults = append(faults, s.names()...)
	if _, err := specification.Validate(&s.System); err != nil {
		fault("system: %w", err)
	}
	return errors.Join(faults...)
}

// names checks that what is named exists.
func (s *Scenario) names() []error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	servers, types := map[string]bool{}, map[string]bool{}
	for _, e := range s.System.Servers.Spec {
		servers[e.Name] = true
	}
	for _, a := range s.System.Accelerators.Spec {
		types[a.CardType(a.Name)] = true
	}
	for i, p := range s.Pools {
		if !types[p.Type] {
			fault("pools[%d].type: %q is no type of an accelerator", i, p.Type)
		}
		if p.Cards < 1 || p.Nodes < 0 || p.Elastic < 0 || !(p.Delay >= 0) {
			fault("pools[%d]: %d cards, %d nodes, %d elastic after %v s, want at least one card and no negative number", i, p.Cards, p.Nodes, p.Elastic, p.Delay)
		}
		for _, key := range slices.Sorted(maps.Keys(p.Domains)) {
			if key == "" || p.Domains[key] == "" {
				fault("pools[%d].domains: %q has the value %q, want a name and a value", i, key, p.Domains[key])
			}
		}
	}
	for i := range s.Truths {
		t := &s.Truths[i]
		if s.performance(t.Model, t.on()) == nil {
			fault("truths[%d]: the system has no performance data of model %q on accelerator %q", i, t.Model, t.on())
		}
		if slices.ContainsFunc(s.Truths[:i], func(o Truth) bool { return o.Model == t.Model && o.on() == t.on() }) {
			fault("truths[%d]: there is one of model %q on accelerator %q already", i, t.Model, t.on())
		}
	}
	for i := range s.System.Models.Spec {
		p := &s.System.Models.Spec[i]
		path := fmt.Sprintf("system.modelData.models[%d]", i)
		if p.Way() != "" && !slices.ContainsFunc(s.Truths, func(t Truth) bool { return t.Model == p.Name && t.on() == on(p) }) {
			fault("truths: there is none of model %q on accelerator %q (%s)", p.Name, on(p), path)
		}
		if key := p.Domain(); key != "" && !slices.ContainsFunc(s.Pools, func(p Pool) bool { return p.Domains[key] != "" }) {
			fault("%s.topologyKey: %q, want a label that domains of pools have", path, key)
		}
		if p.Ranks > 1 || p.TokensPerIteration > 1 {
			fault("%s: %d ranks and %v tokens per iteration, want neither: they are not simulated", path, p.Ranks, p.TokensPerIteration)
		}
	}
	loaded := map[string]bool{}
	for i, l := range s.Load {
		loaded[l.Server] = true
		if !servers[l.Server] {
			fault("load[%d].server: %q does not exist", i, l.Server)
		}
		if (l.File == "") == (len(l.Steps) == 0) {
			fault("load[%d]: want either file or steps", i)
		}
		for k, step := range l.Steps {
			if k > 0 && !(step.At > l.Steps[k-1].At) || !(step.At >= 0) || !(step.Rate >= 0) || !(step.InputTokens >= 1) || !(step.OutputTokens >= 1) {
				fault("load[%d].steps[%d]: at %v s %v requests/s of %v and %v tokens, want ascending times, a rate of at least 0 and at least one token", i, k, step.At, step.Rate, step.InputTokens, step.OutputTokens)
			}
		}
	}
	for _, e := range s.System.Servers.Spec {
		if !loaded[e.Name] {
			fault("load: server %q has none", e.Name)
		}
		if !slices.ContainsFunc(s.System.ServiceClasses.Spec, func(c jsonspec.ServiceClassEntry) bool { return c.Name == e.Class }) {
			fault("system: class %q of server %q does not exist", e.Class, e.Name)
		} else if t := s.target(e.Name); t == nil || t.TTFT <= 0 || t.ITL <= 0 {
			fault("system: class %q needs targets for TTFT and ITL of model %q", e.Class, e.Model)
		}
		if len(s.Accelerators(e.Name)) == 0 {
			fault("truths: there is none of model %q of server %q whose replicas compute prompts and tokens", e.Model, e.Name)
		}
	}
	for i, f := range s.Faults {
		if !types[f.Type] {
			fault("faults[%d].type: %q is no type of an accelerator", i, f.Type)
		}
	}
	for server, c := range s.Clients {
		if err := c.Validate(); err != nil || !servers[server] {
			fault("clients.%s: want a server whose clients are valid: %v", server, err)
		}
	}
	for server, n := range s.Initial {
		if !servers[server] || n < 1 {
			fault("initial.%s: %d, want a server and at least one replica", server, n)
		}
	}
	for server, on := range s.Pinned {
		e := s.server(server)
		if e == nil {
			fault("pinned.%s: no such server", server)
		} else if p := s.performance(e.Model, on); p == nil || p.Role != "" {
			fault("pinned.%s: %q, want a server and an accelerator that serves its model", server, on)
		}
	}
	return faults
}

func (s *Scenario) server(name string) *jsonspec.ServerEntry {
	for i := range s.System.Servers.Spec {
		if e := &s.System.Servers.Spec[i]; e.Name == name {
			return e
		}
	}
	return nil
}

// on says what replicas of an entry run on, as parts of plans do.
func on(p *jsonspec.PerformanceEntry) string {
	part := jsonspec.AllocationPart{Accelerator: p.Acc, Variant: p.Way()}
	return part.On()
}

func (t *Truth) on() string {
	part := jsonspec.AllocationPart{Accelerator: t.Accelerator, Variant: t.Variant}
	return part.On()
}

// performance of a model on an accelerator, or in one of its ways there.
func (s *Scenario) performance(model, where string) *jsonspec.PerformanceEntry {
	for i := range s.System.Models.Spec {
		if p := &s.System.Models.Spec[i]; p.Name == model && on(p) == where {
			return p
		}
	}
	return nil
}

// target of a server; nil where its class has none for its model.
func (s *Scenario) target(server string) *jsonspec.ModelTarget {
	e := s.server(server)
	for i := range s.System.ServiceClasses.Spec {
		c := &s.System.ServiceClasses.Spec[i]
		for k := range c.ModelTargets {
			if c.Name == e.Class && c.ModelTargets[k].Model == e.Model {
				return &c.ModelTargets[k]
			}
		}
	}
	return nil
}

// Priority of a server's class; lower is more important.
func (s *Scenario) Priority(server string) int {
	e := s.server(server)
	for _, c := range s.System.ServiceClasses.Spec {
		if c.Name == e.Class {
			return c.Priority
		}
	}
	return 0
}

// Class of a server.
func (s *Scenario) Class(server string) string { return s.server(server).Class }

// Targets of a server in seconds.
func (s *Scenario) Targets(server string) serving.Targets {
	t := s.target(server)
	return serving.Targets{TTFT: jsonspec.Seconds(t.TTFT), ITL: jsonspec.Seconds(t.ITL)}
}

// Percentile that the targets of a server are for; 0 is the mean.
func (s *Scenario) Percentile(server string) float64 { return s.target(server).Percentile }

// Accelerators that a server's model runs on with replicas that compute prompts and tokens, by name, and variant where there are several.
func (s *Scenario) Accelerators(server string) []string { return s.With(server, "") }

// With a role is what replicas of a server that have it run on, by name.
func (s *Scenario) With(server, role string) []string {
	var names []string
	for i := range s.Truths {
		t := &s.Truths[i]
		if t.Model != s.server(server).Model {
			continue
		}
		if p := s.performance(t.Model, t.on()); p == nil && role == "" || p != nil && p.Role == role {
			names = append(names, t.on())
		}
	}
	slices.Sort(names)
	return names
}

// HasRoles tells whether prompts and tokens of a server can be computed apart.
func (s *Scenario) HasRoles(server string) bool {
	return len(s.With(server, jsonspec.RolePrefill)) > 0 && len(s.With(server, jsonspec.RoleDecode)) > 0
}

// Limits that a server's engines start with where a policy says nothing.
func (s *Scenario) Limits(server string) simulation.Limits {
	l, e := s.Defaults, s.server(server)
	if e.MaxBatchSize > 0 {
		l.MaxNumSeqs = e.MaxBatchSize
	}
	if e.MaxBatchedTokens > 0 {
		l.MaxNumBatchedTokens = e.MaxBatchedTokens
	}
	l.MaxNumSeqs = min(l.MaxNumSeqs, l.MaxNumBatchedTokens)
	return l
}

// Scores tells whether what arrives at a time is in the score.
func (s *Scenario) Scores(at float64) bool {
	if at < s.WarmUp {
		return false
	}
	for _, e := range s.Exclude {
		if at >= e.From && at < e.Until {
			return false
		}
	}
	return true
}

// Cluster is the configuration of the cluster, without the initial orders.
func (s *Scenario) Cluster() (*cluster.Config, error) {
	c := &cluster.Config{Times: s.Times, Seed: s.Seed, Scores: s.Scores, CountFrom: s.WarmUp}
	if s.Gateway != nil {
		c.Gateway = cluster.Gateway{Counts: true, ObeysAdmission: s.Gateway.ObeysAdmission}
	}
	for _, a := range s.System.Accelerators.Spec {
		c.Accelerators = append(c.Accelerators, cluster.Accelerator{Name: a.Name, Type: a.CardType(a.Name), Cards: a.Cards(), Price: a.Cost})
	}
	for _, p := range s.Pools {
		c.Pools = append(c.Pools, cluster.Pool{Type: p.Type, Cards: p.Cards, Nodes: p.Nodes, Elastic: p.Elastic, Delay: p.Delay, Domains: p.Domains})
	}
	for _, f := range s.Faults {
		c.Faults = append(c.Faults, cluster.Fault{Type: f.Type, Nodes: f.Nodes, Skip: f.Skip, At: f.At, Until: f.Until})
	}
	var faults []error
	for i, t := range s.Truths {
		var options []byte
		if t.StepTime.Options != nil {
			options = t.StepTime.Options.Raw
		}
		law, err := simulation.StepTimes().New(t.StepTime.Name, options)
		if err != nil {
			faults = append(faults, fmt.Errorf("truths[%d].stepTime: %w", i, err))
		}
		if err := t.Cache.Validate(); err != nil {
			faults = append(faults, fmt.Errorf("truths[%d].cache: %w", i, err))
		}
		p := s.performance(t.Model, t.on())
		truth := cluster.Truth{
			Model: t.Model, Accelerator: t.Accelerator, Variant: p.Variant, Role: p.Role, Count: p.Accelerators(), Pods: p.Pods(), Domain: p.Domain(), StepTime: law, Cache: t.Cache,
			RequestOverhead: t.RequestOverhead, NoiseCV: t.NoiseCV,
		}
		if x := p.Transfer; x != nil {
			truth.Link = serving.Link{Bandwidth: jsonspec.Bytes(x.Bandwidth), Delay: jsonspec.Seconds(x.Delay), TokenBytes: x.BytesPerToken}
		}
		c.Truths = append(c.Truths, truth)
	}
	for _, e := range s.System.Servers.Spec {
		server := cluster.Server{Name: e.Name, Model: e.Model, Targets: s.Targets(e.Name), Balancer: balancer(e.Routing), Limits: s.Limits(e.Name), Clients: s.Clients[e.Name]}
		for i := range s.Load {
			if l := &s.Load[i]; l.Server == e.Name {
				t, err := s.traffic(l)
				if err != nil {
					faults = append(faults, fmt.Errorf("load[%d]: %w", i, err))
					continue
				}
				server.Traffic = append(server.Traffic, t)
			}
		}
		c.Servers = append(c.Servers, server)
	}
	return c, errors.Join(append(faults, c.Validate())...)
}

func balancer(routingPolicy string) string {
	if routingPolicy == jsonspec.RoutingRoundRobin {
		return routing.RoundRobin
	}
	return routing.LeastRequests
}

// rampStep is the width of the windows that a ramp is made of, s.
const rampStep = 10

func (s *Scenario) traffic(l *Load) (cluster.Traffic, error) {
	t := cluster.Traffic{Options: l.Play, From: l.From, Until: l.Until}
	if l.File != "" {
		read, err := trace.Open(filepath.Join(s.folder, l.File))
		if err != nil {
			return t, err
		}
		for i := range read.Windows {
			if w := &read.Windows[i]; l.MaxCV > 0 {
				w.CV = min(w.CV, l.MaxCV)
			}
		}
		t.Trace = read
		return t, nil
	}
	t.Trace = new(trace.Trace)
	for i, step := range l.Steps {
		end, next := math.Inf(1), step
		if i+1 < len(l.Steps) {
			next = l.Steps[i+1]
			end = next.At
		}
		w := trace.Window{Start: step.At, End: end, Rate: step.Rate, InputMean: step.InputTokens, OutputMean: step.OutputTokens, CV: 1}
		if step.CV != nil {
			w.CV = *step.CV
		}
		if l.Counted {
			w.End = min(end, s.Duration)
		}
		if !l.Ramp || math.IsInf(end, 1) {
			t.Trace.Windows = append(t.Trace.Windows, w)
			continue
		}
		for at := step.At; at < end; at += rampStep {
			x := (min(at+rampStep/2, end) - step.At) / (end - step.At)
			part := w
			part.Start, part.End = at, min(at+rampStep, end)
			part.Rate += x * (next.Rate - step.Rate)
			part.InputMean += x * (next.InputTokens - step.InputTokens)
			part.OutputMean += x * (next.OutputTokens - step.OutputTokens)
			t.Trace.Windows = append(t.Trace.Windows, part)
		}
	}
	if !l.Counted {
		return t, nil
	}
	o := l.Play
	o.Seed += s.Seed
	counted, err := t.Trace.Counted(o)
	t.Trace = counted
	return t, err
}
