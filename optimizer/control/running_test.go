package control_test

import (
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// candidateOn is the candidate of the only server on an accelerator.
func candidateOn(t *testing.T, s *jsonspec.System, accelerator string) jsonspec.Candidate {
	t.Helper()
	for _, c := range decide(t, s, control.State{}).Candidates {
		if c.Accelerator == accelerator {
			return c
		}
	}
	t.Fatalf("no candidate on %s", accelerator)
	return jsonspec.Candidate{}
}

// Replicas go on with what they were started with until starting them anew pays back.
func TestLimitsInForce(t *testing.T) {
	running := func(batch int, change func(*jsonspec.System, *jsonspec.ServerEntry)) jsonspec.Candidate {
		t.Helper()
		return candidateOn(t, one(t, func(s *jsonspec.System, e *jsonspec.ServerEntry) {
			e.CurrentAlloc.Load.ArrivalRate *= 20
			e.Observation = &jsonspec.Observation{Parts: []jsonspec.ObservedPart{
				{Accelerator: "G2", Ready: 3, MaxBatchSize: batch}, {Accelerator: "G2", Ready: 1, MaxBatchSize: 5}, {Accelerator: "G2", Ready: 9},
			}}
			if change != nil {
				change(s, e)
			}
		}), "G2")
	}
	wanted := candidateOn(t, one(t, func(_ *jsonspec.System, e *jsonspec.ServerEntry) { e.CurrentAlloc.Load.ArrivalRate *= 20 }), "G2")
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
	expensive := func(s *jsonspec.System, _ *jsonspec.ServerEntry) {
		s.Optimizer.Spec.Change = &jsonspec.ChangePolicy{Start: 1e6, HorizonSeconds: 60}
	}
	if c := running(2, expensive); c.MaxBatch != 2 || c.NumReplicas <= wanted.NumReplicas {
		t.Errorf("sized for batch %d with %d replicas; want 2 and more than %d", c.MaxBatch, c.NumReplicas, wanted.NumReplicas)
	}
	fixed := func(s *jsonspec.System, e *jsonspec.ServerEntry) { expensive(s, e); e.MaxBatchSize = 9 }
	if c := running(2, fixed); c.MaxBatch != 9 {
		t.Errorf("the server fixes batch 9, planned is %d", c.MaxBatch)
	}
	under := func(s *jsonspec.System, e *jsonspec.ServerEntry) {
		expensive(s, e)
		e.DesiredAlloc = &jsonspec.Allocation{Accelerator: "G2", NumReplicas: 3, MaxBatch: wanted.MaxBatch, MaxBatchedTokens: wanted.MaxBatchedTokens}
	}
	if c := running(2, under); c.MaxBatch != wanted.MaxBatch {
		t.Errorf("a change under way was turned back to batch %d", c.MaxBatch)
	}
	// Where there is no card for the first replica with the new batch, those that run serve what they can: while requests wait, they have to be enough.
	waiting := 20.0
	queued := func(s *jsonspec.System, e *jsonspec.ServerEntry) { under(s, e); e.Observation.Waiting = &waiting }
	if c, kept := running(2, queued), running(2, expensive); c.MaxBatch != wanted.MaxBatch || c.NumReplicas < kept.NumReplicas {
		t.Errorf("requests wait for %d replicas with batch %d; want %d, and no fewer than %d", c.NumReplicas, c.MaxBatch, wanted.MaxBatch, kept.NumReplicas)
	}
}
