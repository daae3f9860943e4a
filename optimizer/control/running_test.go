package control_test

import (
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// candidateOn is the candidate of the only server on an accelerator.
func candidateOn(t *testing.T, s *v1alpha1.System, accelerator string) v1alpha1.Candidate {
	t.Helper()
	for _, c := range decide(t, s, control.State{}).Candidates {
		if c.Accelerator == accelerator {
			return c
		}
	}
	t.Fatalf("no candidate on %s", accelerator)
	return v1alpha1.Candidate{}
}

// Replicas go on with what they were started with until starting them anew pays back.
func TestLimitsInForce(t *testing.T) {
	running := func(batch int, change func(*v1alpha1.System, *v1alpha1.ServerEntry)) v1alpha1.Candidate {
		t.Helper()
		return candidateOn(t, one(t, func(s *v1alpha1.System, e *v1alpha1.ServerEntry) {
			e.CurrentAlloc.Load.ArrivalRate *= 20
			e.Observation = &v1alpha1.Observation{Parts: []v1alpha1.ObservedPart{
				{Accelerator: "G2", Ready: 3, MaxBatchSize: batch}, {Accelerator: "G2", Ready: 1, MaxBatchSize: 5}, {Accelerator: "G2", Ready: 9},
			}}
			if change != nil {
				change(s, e)
			}
		}), "G2")
	}
	wanted := candidateOn(t, one(t, func(_ *v1alpha1.System, e *v1alpha1.ServerEntry) { e.CurrentAlloc.Load.ArrivalRate *= 20 }), "G2")
	if c := running(wanted.MaxBatch, nil); c.MaxBatch != wanted.MaxBatch || c.NumReplicas != wanted.NumReplicas {
		t.Errorf("with the wanted batch in force: %+v", c)
	}
	if c := running(1000, nil); c.MaxBatch != 1000 || c.NumReplicas != wanted.NumReplicas {
		t.Errorf("a batch beyond what memory holds gains nothing and is left: batch %d, %d replicas; want 1000, %d", c.MaxBatch, c.NumReplicas, wanted.NumReplicas)
	}
	if c := running(2, nil); c.MaxBatch != wanted.MaxBatch || c.NumReplicas != wanted.NumReplicas {
		t.Errorf("a far too small batch was kept: %+v", c)
	}
	// The same gain, where restarts cost more than it saves: the running batch is what replicas are counted with.
	expensive := func(s *v1alpha1.System, _ *v1alpha1.ServerEntry) {
		s.Optimizer.Spec.Change = &v1alpha1.ChangePolicy{Start: 1e6, HorizonSeconds: 60}
	}
	if c := running(2, expensive); c.MaxBatch != 2 || c.NumReplicas <= wanted.NumReplicas {
		t.Errorf("sized for batch %d with %d replicas; want 2 and more than %d", c.MaxBatch, c.NumReplicas, wanted.NumReplicas)
	}
	fixed := func(s *v1alpha1.System, e *v1alpha1.ServerEntry) { expensive(s, e); e.MaxBatchSize = 9 }
	if c := running(2, fixed); c.MaxBatch != 9 {
		t.Errorf("the server fixes batch 9, planned is %d", c.MaxBatch)
	}
	under := func(s *v1alpha1.System, e *v1alpha1.ServerEntry) {
		expensive(s, e)
		e.DesiredAlloc = &v1alpha1.Allocation{Accelerator: "G2", NumReplicas: 3, MaxBatch: wanted.MaxBatch, MaxBatchedTokens: wanted.MaxBatchedTokens}
	}
	if c := running(2, under); c.MaxBatch != wanted.MaxBatch {
		t.Errorf("a change under way was turned back to batch %d", c.MaxBatch)
	}
	// Where there is no card for the first replica with the new batch, those that run serve what they can: while requests wait, they have to be enough.
	waiting := 20.0
	queued := func(s *v1alpha1.System, e *v1alpha1.ServerEntry) { under(s, e); e.Observation.Waiting = &waiting }
	if c, kept := running(2, queued), running(2, expensive); c.MaxBatch != wanted.MaxBatch || c.NumReplicas < kept.NumReplicas {
		t.Errorf("requests wait for %d replicas with batch %d; want %d, and no fewer than %d", c.NumReplicas, c.MaxBatch, wanted.MaxBatch, kept.NumReplicas)
	}
}
