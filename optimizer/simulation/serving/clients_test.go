package serving

import (
	"math"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/routing"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

// Every request ends as completed or given up for good, whether it waits at a replica, at the gateway, or its replica goes away; a client tries as often as it
// says, and one that is served in time never.
func TestImpatientClients(t *testing.T) {
	for name, c := range map[string]struct {
		clients  Clients
		replicas int
		lose     bool
	}{
		"at a replica":     {Clients{Impatient: 0.5, Patience: 4, Retries: 2, Backoff: 1}, 1, false},
		"at the gateway":   {Clients{Impatient: 1, Patience: 4, Retries: 1, Backoff: 1}, 0, false},
		"of a lost pod":    {Clients{Impatient: 1, Patience: 4, Retries: 3}, 2, true},
		"served in time":   {Clients{Impatient: 1, Patience: 60, Retries: 3}, 8, false},
		"who wait forever": {Clients{Retries: 3, Backoff: 1}, 1, false},
	} {
		balancer, err := routing.Balancers().New(routing.LeastRequests, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewServer(balancer, RecordOptions{Targets: Targets{TTFT: 1, ITL: 1}, Window: 10, Keep: 1 << 20, Clients: c.clients})
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.replicas {
			e, err := simulation.New(simulation.Config{
				Limits: simulation.Limits{MaxNumSeqs: 4, MaxNumBatchedTokens: 256}, Cache: simulation.Cache{BlockSize: 16, Blocks: 1000}, StepTime: simulation.Linear{Base: 0.02},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Add(0, string(rune('a'+i)), "A", e); err != nil {
				t.Fatal(err)
			}
		}
		const sent = 400
		for i := range sent {
			s.Arrive(trace.Arrival{At: float64(i) / 8, InputTokens: 50, OutputTokens: 50})
			if c.lose && i == sent/2 {
				if err := s.Remove(float64(i)/8, "a"); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.Advance(1e4)
		r := s.Report()
		total := r.Total
		if total.Arrivals != sent || total.Completions+total.Lost != sent || r.Queued+r.Pending != 0 {
			t.Errorf("%s: %+v, %d and %d left", name, total, r.Queued, r.Pending)
		}
		if total.Abandoned != total.Resent+total.Lost || total.Resent > total.Abandoned || total.Sent() != sent+total.Resent {
			t.Errorf("%s: given up %d times, sent again %d, for good %d", name, total.Abandoned, total.Resent, total.Lost)
		}
		switch name {
		case "at the gateway":
			if total.Lost != sent || total.Resent != sent {
				t.Errorf("%s: %+v", name, total)
			}
		case "served in time", "who wait forever":
			if total.Abandoned != 0 {
				t.Errorf("%s: %d were given up", name, total.Abandoned)
			}
		default:
			if total.Abandoned < 20 {
				t.Errorf("%s: only %d were given up", name, total.Abandoned)
			}
		}
		if share, ok := total.Attainment(); !ok || share > float64(total.Completions)/sent {
			t.Errorf("%s: attainment %v of %+v", name, share, total)
		}
	}
}

func TestClientsAreChecked(t *testing.T) {
	err := Clients{Impatient: 2, Patience: 0, Retries: -1, Backoff: math.NaN(), Sessions: &Sessions{Live: 0, Turns: 0.5}}.Validate()
	for _, want := range []string{"impatient: 2", "patience: 0 s", "retries: -1", "backoff: NaN", "sessions: 0 live of 0.5 turns"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
