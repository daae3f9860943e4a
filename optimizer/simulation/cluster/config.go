package cluster

import (
	"errors"
	"fmt"
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

// Config is what a cluster is made of.
type Config struct {
	Accelerators []Accelerator
	Pools        []Pool
	Truths       []Truth
	Servers      []Server
	Faults       []Fault
	Times        Times
	Gateway      Gateway
	Seed         uint64
	// Scores tells by its arrival time whether a request is in the score; nil for all.
	Scores func(arrivedAt float64) bool
	// CountFrom is when changes of orders begin to be counted, and cost that is counted ([Usage]), s.
	CountFrom float64
}

// Times of the machinery, in seconds.
type Times struct {
	// Scrape is the interval at which Prometheus reads the pods.
	Scrape float64 `json:"scrape"`
	// Sync is the period of the HorizontalPodAutoscaler.
	Sync float64 `json:"sync"`
	// StartUp of a pod, from its binding to a node to Ready: image, weights, compilation, warm-up.
	StartUp float64 `json:"startUp"`
	// Drain is how long a pod that was told to end may finish what it has.
	Drain float64 `json:"drain"`
	// Window is the width of the windows of the record.
	Window float64 `json:"window"`
	// Timeout after which a first token is too late for a client; 0 for never.
	Timeout float64 `json:"timeout"`
}

// DefaultTimes are those of Kubernetes and Prometheus as people install them: scrapes every 15 s, an autoscaler that syncs every 15 s, 30 s of
// grace; two minutes until an engine has loaded its weights.
func DefaultTimes() Times {
	return Times{Scrape: 15, Sync: 15, StartUp: 120, Drain: 30, Window: 60, Timeout: 60}
}

// Gateway that requests come to. The zero value is one that nobody reads and that lets all through.
type Gateway struct {
	// Counts says that it counts what comes, that which it refuses included, and Prometheus scrapes that.
	Counts bool
	// ObeysAdmission says that it refuses at once what is beyond the admissible rate of an order.
	ObeysAdmission bool
}

// Accelerator that replicas run on.
type Accelerator struct {
	Name string
	// Type of its cards, and how many make up one.
	Type  string
	Cards int
	// Price in cents per hour.
	Price float64
}

// Pool of equal nodes.
type Pool struct {
	Type  string // of the cards
	Cards int    // per node
	Nodes int    // from the start
	// Elastic nodes may be added, each Delay seconds after a pod found no room.
	Elastic int
	Delay   float64
	// Domains are the values of the labels that its nodes have, by which domains of nodes are told apart.
	Domains map[string]string
}

// Truth is how a model really behaves on an accelerator, in one way where it runs there in several.
type Truth struct {
	Model       string
	Accelerator string
	Variant     string // of the model, where it is not told apart by its role
	Role        string // jsonspec's; empty: both
	Count       int    // accelerators per replica
	Pods        int    // that have them between them, each on one node; 0 for one
	Domain      string // key of the label of which the nodes of these pods have one value; empty where they go each where they can
	Link        serving.Link
	StepTime    simulation.StepTime
	Cache       simulation.Cache

	RequestOverhead float64 // see [simulation.Config], as is the next
	NoiseCV         float64
}

// On says what the replicas run on, as parts of orders do.
func (t *Truth) On() string {
	p := jsonspec.AllocationPart{Accelerator: t.Accelerator, Variant: t.Variant, Role: t.Role}
	return p.On()
}

// roles of replicas by their names.
var roles = map[string]serving.Role{"": serving.Both, jsonspec.RolePrefill: serving.Prefill, jsonspec.RoleDecode: serving.Decode}

// Server with its load.
type Server struct {
	Name     string
	Model    string
	Targets  serving.Targets
	Balancer string // see package routing
	Traffic  []Traffic
	// Clients that send the requests.
	Clients serving.Clients
	// Limits that its engines start with where an order says nothing.
	Limits simulation.Limits
	// Initial replicas, which are ready at the start.
	Initial Order
}

// Traffic is a trace with the way it is replayed.
type Traffic struct {
	Trace   *trace.Trace
	Options trace.Options
	// From and Until bound when it plays; Until 0 is the end of the run.
	From, Until float64
}

// Fault takes nodes away.
type Fault struct {
	Type  string  // of the cards
	Nodes int     // how many, the last ones first
	Skip  int     // how many of the last ones stay
	At    float64 // s
	Until float64 // when they return; 0 for never
}

// Validate joins what is wrong with the times and faults; names are the caller's to check.
func (c *Config) Validate() error {
	var faults []error
	for _, t := range []struct {
		name        string
		value       float64
		least, most float64
	}{
		{"scrape", c.Times.Scrape, 1, 3600}, {"sync", c.Times.Sync, 1, 3600}, {"startUp", c.Times.StartUp, 0, 86400}, {"drain", c.Times.Drain, 0, 86400},
		{"window", c.Times.Window, 1, 86400}, {"timeout", c.Times.Timeout, 0, 86400},
	} {
		if !(t.value >= t.least && t.value <= t.most) {
			faults = append(faults, fmt.Errorf("times.%s: %v s, want %v to %v", t.name, t.value, t.least, t.most))
		}
	}
	for i, f := range c.Faults {
		if !(f.At >= 0) || math.IsInf(f.At, 1) || f.Until != 0 && !(f.Until > f.At) {
			faults = append(faults, fmt.Errorf("faults[%d]: from %v to %v s, want a time of at least 0 and an end after it", i, f.At, f.Until))
		}
		if f.Nodes < 1 {
			faults = append(faults, fmt.Errorf("faults[%d].nodes: %d, want at least 1", i, f.Nodes))
		}
		if f.Skip < 0 {
			faults = append(faults, fmt.Errorf("faults[%d].skip: %d, want at least 0", i, f.Skip))
		}
	}
	return errors.Join(faults...)
}
