package control_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// untried is a server that runs two replicas on H100, at 400 cents an hour each, and could run on L40S, where its model never ran: by a prior so wide that
// a plan made with caution is dearer, at 160 cents a replica, and one made with what is likeliest is not.
func untried(i int) *jsonspec.System {
	s := priced("meta-llama/Llama-3.1-8B-Instruct")
	s.ServiceClasses.Spec[0].ModelTargets = []jsonspec.ModelTarget{{Model: "m", TTFT: 4000, ITL: 150, Percentile: 99}}
	ran := observed(1000+60*int64(i), 2, 9, 0).Servers.Spec[0]
	ran.Model, ran.MaxBatchSize = "m", 0
	ran.CurrentAlloc.Accelerator, ran.Observation.Parts[0].Accelerator, ran.Observation.Groups[0].Accelerator = "H100", "H100", "H100"
	ran.CurrentAlloc.Load = &jsonspec.Load{ArrivalRate: 1800, AvgInTokens: 800, AvgOutTokens: 250}
	s.Servers.Spec = []jsonspec.ServerEntry{ran}
	s.Models.Spec = []jsonspec.PerformanceEntry{s.Models.Spec[0], s.Models.Spec[2]}
	s.Accelerators.Spec[2].Cost = 160
	s.Optimizer.Spec.Unlimited, s.Optimizer.Spec.Probing = false, jsonspec.ProbingAct
	s.Capacity.Count = []jsonspec.AcceleratorCount{{Type: "H100", Count: 20}, {Type: "L40S", Count: 20}}
	return s
}

// played is what a trial led to: the decisions of so many minutes, where a replica on L40S shows such an ITL in milliseconds at 60 running.
func played(t *testing.T, minutes int, itl float64) []*decided {
	t.Helper()
	var list []*decided
	var state control.State
	for i := range minutes {
		s := untried(i)
		if i > 0 {
			last := list[i-1].Plan.Allocations["s"]
			parts := last.Parts
			if len(parts) == 0 {
				parts = []jsonspec.AllocationPart{{Accelerator: last.Accelerator, Replicas: last.NumReplicas, MaxBatchSize: last.MaxBatch}}
			}
			o := s.Servers.Spec[0].Observation
			group := o.Groups[0]
			o.Parts, o.Groups = nil, nil
			for _, p := range parts {
				o.Parts = append(o.Parts, jsonspec.ObservedPart{Accelerator: p.Accelerator, Ready: p.Replicas, MaxBatchSize: p.MaxBatchSize})
				g := group
				g.Accelerator, g.Replicas, g.MaxBatchSize = p.Accelerator, p.Replicas, p.MaxBatchSize
				if p.Accelerator == "L40S" {
					running := 60 + float64(i%7)
					g.Running, g.ITL = &running, &jsonspec.ObservedLatency{Mean: itl}
				}
				o.Groups = append(o.Groups, g)
			}
			load := s.Servers.Spec[0].CurrentAlloc.Load
			s.Servers.Spec[0].CurrentAlloc, s.Servers.Spec[0].DesiredAlloc = &last, &last
			s.Servers.Spec[0].CurrentAlloc.Load = load
		}
		d := decideOn(t, at(s, 1000+60*int64(i)), state)
		list, state = append(list, d), d.State
	}
	return list
}

// A wide prior keeps what it is about from being tried. A trial finds out, and the plan follows what it shows.
func TestATrialFindsOut(t *testing.T) {
	for _, c := range []struct {
		itl  float64
		ends string
	}{{20, "L40S"}, {120, "H100"}} {
		list := played(t, 15, c.itl)
		first, last := list[0], list[len(list)-1]
		if a := first.Plan.Allocations["s"]; !strings.Contains(a.Reason, "1 of them to try L40S") || len(first.Probes) != 1 || !(first.Probes[0].ExpectedSaving > 0) || first.Probes[0].Replicas != 1 {
			t.Fatalf("%+v, probes %+v", a, first.Probes)
		}
		if a := last.Plan.Allocations["s"]; a.Accelerator != c.ends || len(a.Parts) > 1 || strings.Contains(a.Reason, "try") {
			t.Errorf("with an ITL of %v ms on L40S: %+v", c.itl, a)
		}
		tries := 0
		for _, d := range list {
			for _, p := range d.Probes {
				if p.ExpectedSaving > 0 {
					tries++
				}
			}
		}
		if tries == 0 || tries > 6 {
			t.Errorf("%d minutes of trials", tries)
		}
	}
}

// A trial is not begun where it does not pay, or could do harm, or is only to be suggested.
func TestTrialsAreSafe(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*jsonspec.System)
		begins bool
	}{
		{"nothing against it", func(*jsonspec.System) {}, true},
		{"only suggested", func(s *jsonspec.System) { s.Optimizer.Spec.Probing = jsonspec.ProbingSuggest }, false},
		{"no probing", func(s *jsonspec.System) { s.Optimizer.Spec.Probing = "" }, false},
		{"no card to spare", func(s *jsonspec.System) { s.Capacity.Count[1].Count = 0 }, false},
		{"dear", func(s *jsonspec.System) { s.Accelerators.Spec[2].Cost = 300 }, false},
		{"a start that costs more than an hour saves", func(s *jsonspec.System) {
			s.Optimizer.Spec.Change = &jsonspec.ChangePolicy{Start: 500, HorizonSeconds: 1e7}
		}, false},
		{"a node that costs more than an hour saves", func(s *jsonspec.System) {
			s.Capacity.Elastic = []jsonspec.ElasticCapacity{{Name: "p", Type: "L40S", Cards: 8, Limit: 1, DelaySeconds: 3600}}
		}, false},
		{"not to change its accelerator", func(s *jsonspec.System) { s.Servers.Spec[0].KeepAccelerator = true }, false},
		{"no more replicas allowed", func(s *jsonspec.System) { s.Servers.Spec[0].MaxNumReplicas = 2 }, false},
		{"as many requests to each replica", func(s *jsonspec.System) { s.Servers.Spec[0].Routing = jsonspec.RoutingRoundRobin }, false},
		{"targets that the pessimistic view misses", func(s *jsonspec.System) { s.ServiceClasses.Spec[0].ModelTargets[0].ITL = 30 }, false},
	} {
		s := untried(0)
		c.change(s)
		d := decideOn(t, at(s, 1000), control.State{})
		tried := strings.Contains(d.Plan.Allocations["s"].Reason, "to try L40S") && len(d.State.Probing) == 1 && d.State.Probing[0].Trial != nil
		if tried != c.begins || !c.begins && slices.ContainsFunc(d.State.Probing, func(p control.Probing) bool { return p.Trial != nil }) {
			t.Errorf("%s: %s, remembered %+v", c.name, d.Plan.Allocations["s"].Reason, d.State.Probing)
		}
		suggested := slices.ContainsFunc(d.Probes, func(p jsonspec.Probe) bool { return p.ExpectedSaving > 0 && p.Replicas == 0 })
		if suggested != (c.name == "only suggested") {
			t.Errorf("%s: suggested %+v", c.name, d.Probes)
		}
	}
}
