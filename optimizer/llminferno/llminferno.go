// Package llminferno reads what llm-inferno's control loop writes: its decision log, a line of JSON for every cycle. A cycle says what was
// measured of each server, which laws were believed, what capacity there was, and what was decided.
//
// The log is another program's, so fields that are not needed are passed over. Zero stands for what was not measured.
package llminferno

import (
	"bytes"
	"encoding/json"
	"time"

	strict "sigs.k8s.io/json"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// Cycle is a line of the log. Rates are per minute, times in ms, costs in cents per hour.
type Cycle struct {
	Time      *time.Time `json:"ts"`
	Cycle     int        `json:"cycle"`
	Servers   []Server   `json:"servers"`
	Internals []Law      `json:"internals"`
	Capacity  []Capacity `json:"capacity"`
}

// Server is what was measured of a server and what was then decided for it.
type Server struct {
	Name       string  `json:"name"`
	Class      string  `json:"class"`
	Model      string  `json:"model"`
	RPM        float64 `json:"rpm"`
	Throughput float64 `json:"throughput"`
	AvgInTok   float64 `json:"avgInTok"`
	AvgOutTok  float64 `json:"avgOutTok"`
	ITL        float64 `json:"itl"`
	TTFT       float64 `json:"ttft"`
	SLOITL     float64 `json:"sloItl"`
	SLOTTFT    float64 `json:"sloTtft"`
	// OccPerReplica and OccTotal are the mean numbers of requests that run, on one replica and on all.
	OccPerReplica float64 `json:"occPerReplica"`
	OccTotal      float64 `json:"occTotal"`
	Decided
}

// Decided is what a cycle decided for a server, which the next one measures.
type Decided struct {
	Accelerator string  `json:"accelerator"`
	Replicas    float64 `json:"replicas"`
	MaxBatch    int     `json:"maxBatch"`
	Cost        float64 `json:"cost"`
}

// Law is how long an iteration of a model on an accelerator was believed to take.
type Law struct {
	Model string  `json:"model"`
	Acc   string  `json:"acc"`
	Alpha float64 `json:"alpha"`
	Beta  float64 `json:"beta"`
	Gamma float64 `json:"gamma"`
}

// Capacity is how many cards of a type there were.
type Capacity struct {
	Type      string `json:"type"`
	Available int    `json:"available"`
}

// Recognise tells a decision log of llm-inferno by its first line.
func Recognise(log []byte) bool {
	line, _, _ := bytes.Cut(log, []byte("\n"))
	var first struct {
		Cycle     *int            `json:"cycle"`
		Internals json.RawMessage `json:"internals"`
	}
	return json.Unmarshal(line, &first) == nil && first.Cycle != nil && first.Internals != nil
}

// Decode reads a line. Names of fields are told apart by case, as they are written.
func Decode(line []byte) (*Cycle, error) {
	c := new(Cycle)
	if err := strict.UnmarshalCaseSensitivePreserveInts(line, c); err != nil {
		return nil, err
	}
	return c, nil
}

// queueToBatch is the number of waiting requests for each place in a batch.
//
// Exact: llm-inferno's own, whose plans its logs are replayed for.
const queueToBatch = 10

// System is the cycle's as llm-inferno had it, with its stages: the mean model, greedy, no forecast and no damping. The batch is the recorded
// one: some runs fixed it and others searched it. Each server has a service class of its own, as targets are recorded by server.
func (c *Cycle) System() *jsonspec.System {
	s := &jsonspec.System{}
	s.Optimizer.Spec.Plugs = jsonspec.Plugs{Solver: &jsonspec.Plug{Name: "greedy"}, Stability: &jsonspec.Plug{Name: "none"}, Forecaster: &jsonspec.Plug{Name: "none"}}
	for _, t := range c.Capacity {
		s.Capacity.Count = append(s.Capacity.Count, jsonspec.AcceleratorCount{Type: t.Type, Count: t.Available})
		entry := jsonspec.AcceleratorEntry{Name: t.Type}
		entry.Cost = c.price(t.Type)
		s.Accelerators.Spec = append(s.Accelerators.Spec, entry)
	}
	for _, p := range c.Internals {
		s.Models.Spec = append(s.Models.Spec, jsonspec.PerformanceEntry{Name: p.Model, Performance: jsonspec.Performance{
			Acc: p.Acc, PerfParms: &jsonspec.PerfParms{Alpha: p.Alpha, Beta: p.Beta, Gamma: p.Gamma},
		}})
	}
	for i := range c.Servers {
		e := &c.Servers[i]
		class := e.Class + "/" + e.Name
		s.ServiceClasses.Spec = append(s.ServiceClasses.Spec, jsonspec.ServiceClassEntry{Name: class, ServiceClassSpec: jsonspec.ServiceClassSpec{
			Priority: 1, ModelTargets: []jsonspec.ModelTarget{{Model: e.Model, ITL: e.SLOITL, TTFT: e.SLOTTFT}},
		}})
		s.Servers.Spec = append(s.Servers.Spec, e.entry(class))
	}
	return s
}

// price of an accelerator, from what its servers cost. The log holds no other.
func (c *Cycle) price(accelerator string) float64 {
	price := 0.0
	for _, e := range c.Servers {
		if e.Accelerator == accelerator && e.Replicas > 0 {
			price = e.Cost / e.Replicas
		}
	}
	return price
}

func (s *Server) entry(class string) jsonspec.ServerEntry {
	return jsonspec.ServerEntry{
		Name: s.Name, Class: class, Model: s.Model, MinNumReplicas: 1,
		ServerPolicy: jsonspec.ServerPolicy{MaxBatchSize: s.MaxBatch, MaxQueueSize: queueToBatch * s.MaxBatch},
		CurrentAlloc: &jsonspec.Allocation{Accelerator: s.Accelerator, Load: &jsonspec.Load{
			ArrivalRate: s.RPM, Throughput: s.Throughput, AvgInTokens: s.AvgInTok, AvgOutTokens: s.AvgOutTok,
		}},
	}
}

// Plan that was recorded.
func (c *Cycle) Plan() *jsonspec.Solution {
	p := &jsonspec.Solution{Allocations: map[string]jsonspec.Allocation{}}
	for _, e := range c.Servers {
		p.Allocations[e.Name] = jsonspec.Allocation{Accelerator: e.Accelerator, NumReplicas: int(e.Replicas), MaxBatch: e.MaxBatch, Cost: e.Cost}
		p.TotalCost += e.Cost
	}
	return p
}
