package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// referenceCycle is a line of the decision log of llm-inferno's control loop. Rates are per minute, latencies in ms.
type referenceCycle struct {
	Time    time.Time `json:"ts"`
	Cycle   int       `json:"cycle"`
	Servers []struct {
		Name        string  `json:"name"`
		Class       string  `json:"class"`
		Model       string  `json:"model"`
		RPM         float64 `json:"rpm"`
		Throughput  float64 `json:"throughput"`
		AvgInTok    float64 `json:"avgInTok"`
		AvgOutTok   float64 `json:"avgOutTok"`
		SloITL      float64 `json:"sloItl"`
		SloTTFT     float64 `json:"sloTtft"`
		Accelerator string  `json:"accelerator"`
		Replicas    int     `json:"replicas"`
		MaxBatch    int     `json:"maxBatch"`
		Cost        float64 `json:"cost"`
	} `json:"servers"`
	Internals []struct {
		Model string  `json:"model"`
		Acc   string  `json:"acc"`
		Alpha float64 `json:"alpha"`
		Beta  float64 `json:"beta"`
		Gamma float64 `json:"gamma"`
	} `json:"internals"`
	Capacity []struct {
		Type      string `json:"type"`
		Available int    `json:"available"`
	} `json:"capacity"`
}

// queueToBatch is llm-inferno's default of waiting requests for each place in a batch.
const queueToBatch = 10

// system of a cycle as llm-inferno had it, with its stages: the mean model, greedy, no forecast and no damping. The batch is the recorded one:
// some runs fixed it and others searched it.
func (c *referenceCycle) system() *v1alpha1.System {
	s := &v1alpha1.System{}
	s.Optimizer.Spec.Plugs = v1alpha1.Plugs{Solver: &v1alpha1.Plug{Name: "greedy"}, Stability: &v1alpha1.Plug{Name: "none"}, Forecaster: &v1alpha1.Plug{Name: "none"}}
	for _, t := range c.Capacity {
		s.Capacity.Count = append(s.Capacity.Count, v1alpha1.AcceleratorCount{Type: t.Type, Count: t.Available})
		s.Accelerators.Spec = append(s.Accelerators.Spec, v1alpha1.AcceleratorEntry{Name: t.Type})
	}
	for _, p := range c.Internals {
		s.Models.Spec = append(s.Models.Spec, v1alpha1.PerformanceEntry{Name: p.Model, Performance: v1alpha1.Performance{
			Acc: p.Acc, PerfParms: &v1alpha1.PerfParms{Alpha: p.Alpha, Beta: p.Beta, Gamma: p.Gamma},
		}})
	}
	for _, e := range c.Servers {
		for i := range s.Accelerators.Spec {
			if a := &s.Accelerators.Spec[i]; a.Name == e.Accelerator && e.Replicas > 0 {
				a.Cost = e.Cost / float64(e.Replicas)
			}
		}
		class := e.Class + "/" + e.Name
		s.ServiceClasses.Spec = append(s.ServiceClasses.Spec, v1alpha1.ServiceClassEntry{Name: class, ServiceClassSpec: v1alpha1.ServiceClassSpec{
			Priority: 1, ModelTargets: []v1alpha1.ModelTarget{{Model: e.Model, ITL: e.SloITL, TTFT: e.SloTTFT}},
		}})
		s.Servers.Spec = append(s.Servers.Spec, v1alpha1.ServerEntry{
			Name: e.Name, Class: class, Model: e.Model, MinNumReplicas: 1,
			ServerPolicy: v1alpha1.ServerPolicy{MaxBatchSize: e.MaxBatch, MaxQueueSize: queueToBatch * e.MaxBatch},
			CurrentAlloc: &v1alpha1.Allocation{Accelerator: e.Accelerator, Load: &v1alpha1.Load{
				ArrivalRate: e.RPM, Throughput: e.Throughput, AvgInTokens: e.AvgInTok, AvgOutTokens: e.AvgOutTok,
			}},
		})
	}
	return s
}

// plan that was recorded.
func (c *referenceCycle) plan() *v1alpha1.Solution {
	p := &v1alpha1.Solution{Allocations: map[string]v1alpha1.Allocation{}}
	for _, e := range c.Servers {
		p.Allocations[e.Name] = v1alpha1.Allocation{Accelerator: e.Accelerator, NumReplicas: e.Replicas, MaxBatch: e.MaxBatch, Cost: e.Cost}
		p.TotalCost += e.Cost
	}
	return p
}

// replayReference decides the cycles of llm-inferno's log again, each from what it measured.
func (o *replayOptions) replayReference(ctx context.Context, data []byte, out io.Writer) error {
	cycles, differ := 0, 0
	for n, line := range bytes.Split(data, []byte("\n")) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var c referenceCycle
		if err := json.Unmarshal(line, &c); err != nil {
			return badInput{fmt.Errorf("line %d: %w", n+1, err)}
		}
		system, changes, err := o.apply(c.system())
		if err != nil {
			return badInput{err}
		}
		stages, err := control.NewStages(&system.Optimizer.Spec)
		if err != nil {
			return badInput{err}
		}
		d, err := stages.Decide(ctx, &control.Snapshot{Time: metav1.NewMicroTime(c.Time), System: *system}, control.State{}, nil)
		if err != nil {
			return fmt.Errorf("line %d: %w", n+1, err)
		}
		recorded := c.plan()
		// The token budget is none of llm-inferno's.
		for name, a := range d.Plan.Allocations {
			a.MaxBatchedTokens = 0
			d.Plan.Allocations[name] = a
		}
		r := &replayed{ID: fmt.Sprintf("cycle %d", c.Cycle), Difference: control.Difference(changes, recorded, &d.Plan)}
		cycles++
		if !r.same() {
			differ++
		}
		if err := o.print(out, r); err != nil {
			return err
		}
	}
	if o.output == "table" {
		fmt.Fprintf(out, "%d of %d cycles are decided differently\n", differ, cycles)
	}
	return nil
}
