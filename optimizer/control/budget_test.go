package control_test

import (
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// long prompts between which decodes must be fast: a budget of 8192 tokens would let a prompt hold up everybody's decodes.
func chat(tokens float64) *jsonspec.System {
	perf := jsonspec.Performance{Acc: "H100", MaxBatchSize: 128, KVTokens: 400000, Law: &jsonspec.LawParms{Name: "roofline", Version: 1, Parameters: map[string]float64{
		"overhead": 2, "weights": 7, "compute": 0.03, "attention": 1e-6, "kv": 4e-5, "sequence": 0.02,
	}}}
	return &jsonspec.System{
		Accelerators:   jsonspec.AcceleratorData{Spec: []jsonspec.AcceleratorEntry{{Name: "H100", AcceleratorSpec: jsonspec.AcceleratorSpec{AcceleratorProperties: jsonspec.AcceleratorProperties{Cost: 400}}}}},
		Models:         jsonspec.ModelData{Spec: []jsonspec.PerformanceEntry{{Name: "m", Performance: perf}}},
		ServiceClasses: jsonspec.ServiceClassData{Spec: []jsonspec.ServiceClassEntry{{Name: "c", ServiceClassSpec: jsonspec.ServiceClassSpec{Priority: 1, ModelTargets: []jsonspec.ModelTarget{{Model: "m", ITL: 20, TTFT: 1500, Percentile: 99}}}}}},
		Servers: jsonspec.ServerData{Spec: []jsonspec.ServerEntry{{Name: "s", Class: "c", Model: "m", MinNumReplicas: 1, ServerPolicy: jsonspec.ServerPolicy{MaxQueueSize: 256},
			CurrentAlloc: &jsonspec.Allocation{Load: &jsonspec.Load{ArrivalRate: 900, AvgInTokens: tokens, AvgOutTokens: 300}}}}},
		Optimizer: jsonspec.OptimizerData{Spec: jsonspec.OptimizerEntry{Plugs: jsonspec.Plugs{QueueModel: &jsonspec.Plug{Name: "continuous-batching"}}, SolverPolicy: jsonspec.SolverPolicy{Unlimited: true}}},
	}
}

func decideAt(t *testing.T, s *jsonspec.System, state control.State, seconds int64) *decided {
	t.Helper()
	return decideOn(t, at(s, 1e6+seconds), state)
}

func TestBudgetIsChosen(t *testing.T) {
	free := decideAt(t, chat(1500), control.State{}, 0).Plan.Allocations["s"]
	system := chat(1500)
	system.Servers.Spec[0].MaxBatchedTokens = 8192
	fixed := decideAt(t, system, control.State{}, 0).Plan.Allocations["s"]
	if fixed.MaxBatchedTokens != 8192 {
		t.Errorf("a fixed budget became %d", fixed.MaxBatchedTokens)
	}
	if free.MaxBatchedTokens >= 2048 || free.NumReplicas >= fixed.NumReplicas {
		t.Errorf("%d replicas with %d tokens an iteration, %d with 8192: want fewer", free.NumReplicas, free.MaxBatchedTokens, fixed.NumReplicas)
	}
	system = chat(1500)
	system.Optimizer.Spec.QueueModel = nil
	if blind := decideAt(t, system, control.State{}, 0); blind.State.Servers["s"].Sizing.Budgets != nil {
		t.Errorf("the reference model does not see what a budget does, and chose %v", blind.State.Servers["s"].Sizing.Budgets)
	}
}

func TestBudgetStands(t *testing.T) {
	first := decideAt(t, chat(1500), control.State{}, 0)
	was := first.State.Servers["s"].Sizing.Budgets["H100"]
	if was.Tokens == 0 {
		t.Fatal("no budget in the state")
	}
	if soon := decideAt(t, chat(1600), first.State, 60).State.Servers["s"].Sizing.Budgets["H100"]; soon != was {
		t.Errorf("after a minute of much the same load %+v instead of %+v", soon, was)
	}
	if other := decideAt(t, chat(6000), first.State, 60).State.Servers["s"].Sizing.Budgets["H100"]; other.Time == was.Time {
		t.Errorf("four times as long prompts, and still the choice of before: %+v", other)
	}
	// What is chosen again without a gain stays, so that nothing is restarted for it.
	if late := decideAt(t, chat(1600), first.State, 1000).State.Servers["s"].Sizing.Budgets["H100"]; late.Tokens != was.Tokens || late.Time == was.Time {
		t.Errorf("after a while %+v instead of %d tokens confirmed", late, was.Tokens)
	}
}
