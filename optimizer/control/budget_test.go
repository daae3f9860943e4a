package control_test

import (
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// long prompts between which decodes must be fast: a budget of 8192 tokens would let a prompt hold up everybody's decodes.
func chat(tokens float64) *v1alpha1.System {
	perf := v1alpha1.Performance{Acc: "H100", MaxBatchSize: 128, KVTokens: 400000, Law: &v1alpha1.LawParms{Name: "roofline", Version: 1, Parameters: map[string]float64{
		"overhead": 2, "weights": 7, "compute": 0.03, "attention": 1e-6, "kv": 4e-5, "sequence": 0.02,
	}}}
	return &v1alpha1.System{
		Accelerators:   v1alpha1.AcceleratorData{Spec: []v1alpha1.AcceleratorEntry{{Name: "H100", AcceleratorSpec: v1alpha1.AcceleratorSpec{AcceleratorProperties: v1alpha1.AcceleratorProperties{Cost: 400}}}}},
		Models:         v1alpha1.ModelData{Spec: []v1alpha1.PerformanceEntry{{Name: "m", Performance: perf}}},
		ServiceClasses: v1alpha1.ServiceClassData{Spec: []v1alpha1.ServiceClassEntry{{Name: "c", ServiceClassSpec: v1alpha1.ServiceClassSpec{Priority: 1, ModelTargets: []v1alpha1.ModelTarget{{Model: "m", ITL: 20, TTFT: 1500, Percentile: 99}}}}}},
		Servers: v1alpha1.ServerData{Spec: []v1alpha1.ServerEntry{{Name: "s", Class: "c", Model: "m", MinNumReplicas: 1, ServerPolicy: v1alpha1.ServerPolicy{MaxQueueSize: 256},
			CurrentAlloc: &v1alpha1.Allocation{Load: &v1alpha1.Load{ArrivalRate: 900, AvgInTokens: tokens, AvgOutTokens: 300}}}}},
		Optimizer: v1alpha1.OptimizerData{Spec: v1alpha1.OptimizerEntry{Plugs: v1alpha1.Plugs{QueueModel: &v1alpha1.Plug{Name: "continuous-batching"}}, SolverPolicy: v1alpha1.SolverPolicy{Unlimited: true}}},
	}
}

func decideAt(t *testing.T, s *v1alpha1.System, state control.State, seconds int64) *decided {
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
