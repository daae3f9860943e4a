package serving

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/routing"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

// apart is a server that may have replicas of roles.
func apart(t testing.TB, balancer string, options RecordOptions) *Server {
	t.Helper()
	s := server(t, balancer, options)
	s.Apart(server(t, balancer, options).balancers[Both], server(t, balancer, options).balancers[Both])
	return s
}

// worker of a role whose iterations take base and so much for each token.
func worker(t testing.TB, role Role, budget, blocks int, base, perToken float64) *simulation.Engine {
	t.Helper()
	e, err := simulation.New(simulation.Config{
		Limits: simulation.Limits{MaxNumSeqs: min(budget, 64), MaxNumBatchedTokens: budget}, Cache: simulation.Cache{BlockSize: 16, Blocks: blocks},
		StepTime: simulation.Linear{Base: base, PerToken: perToken}, KeepsCaches: role == Prefill,
	})
	must(t, err)
	return e
}

// A lone request: two parts of a prompt, a transfer, and as many iterations as it has tokens, the first of which yields the client's first.
func TestRolesByHand(t *testing.T) {
	for _, c := range []struct {
		link Link
		want float64 // s between prompt and first iteration
	}{{Link{}, 0}, {Link{Bandwidth: 1e6, Delay: 0.05, TokenBytes: 100}, 0.05 + 1000*100/1e6}, {Link{Delay: 0.2}, 0.2}} {
		s := apart(t, routing.LeastRequests, record)
		must(t, s.AddApart(0, "p", "H100/prefill", Prefill, c.link, worker(t, Prefill, 512, 1000, 0.01, 1e-4)))
		s.Arrive(trace.Arrival{At: 1, InputTokens: 1000, OutputTokens: 11})
		s.Advance(1.5)
		if r := s.Report(); r.Queued != 1 || r.Pending != 0 {
			t.Fatalf("%+v: want the request at the gateway, for nobody would decode it", r)
		}
		must(t, s.AddApart(2, "d", "H100/decode", Decode, Link{Bandwidth: 1e9}, worker(t, Decode, 64, 1000, 0.005, 1e-3)))
		s.Advance(10)
		r := s.Report()
		want := 1 + (0.01 + 512e-4) + (0.01 + 488e-4) + c.want + 0.006
		if math.Abs(r.Total.TTFT.Mean-want) > 1e-9 || math.Abs(r.Total.ITL.Mean-0.006) > 1e-9 || r.Total.Completions != 1 {
			t.Errorf("TTFT %v s and ITL %v s over %v, want %v and 0.006 s", r.Total.TTFT.Mean, r.Total.ITL.Mean, c.link, want)
		}
		if r.Replicas["H100/prefill"] != 1 || r.Replicas["H100/decode"] != 1 {
			t.Errorf("replicas %v", r.Replicas)
		}
		for _, x := range s.replicas {
			if stats := x.engine.Stats(); stats.UsedBlocks != 0 || stats.Completed != 1 || x.engine.Keeps() != 0 {
				t.Errorf("%s: %+v, want one completed and an empty cache", x.name, stats)
			}
		}
	}
}

// Whatever comes and goes, of either role or both, and whoever gives up: every request ends once, and caches are empty in the end.
func TestEveryRequestOfRolesEndsOnce(t *testing.T) {
	var retried, queued, abandoned, computed int
	for seed := range uint64(60) {
		names := routing.Balancers().Names()
		options := record
		if seed%3 == 0 {
			options.Clients = Clients{Impatient: 0.5, Patience: 3, Retries: 2, Backoff: 1, Seed: seed}
		}
		s := apart(t, names[seed%uint64(len(names))], options)
		random := rand.New(rand.NewPCG(seed, 2))
		source, err := trace.Constant(30, 200, 40, 2).Replay(trace.Options{Seed: seed})
		must(t, err)
		var present []string
		at := 0.0
		add := func(at float64, i int, role Role) {
			name := fmt.Sprint("pod-", i)
			link := Link{Bandwidth: []float64{0, 2e6, 2e7}[random.IntN(3)], Delay: 0.1 * random.Float64(), TokenBytes: 1e4}
			must(t, s.AddApart(at, name, fmt.Sprint("A/", role), role, link, worker(t, role, 512, 150, 0.01, 1e-5)))
			present = append(present, name)
		}
		for i := range 2000 {
			a, _ := source.Next()
			at = a.At
			if random.IntN(40) == 0 {
				switch k := random.IntN(max(len(present), 1)); {
				case len(present) > 0 && random.IntN(2) == 0:
					must(t, s.Remove(a.At, present[k]))
					present = slices.Delete(present, k, k+1)
				case len(present) > 0 && random.IntN(4) == 0:
					must(t, s.Drain(a.At, present[k]))
				default:
					add(a.At, i, Role(random.IntN(3)))
				}
			}
			s.Arrive(a)
			r := s.Report()
			if options.Clients.Impatient == 0 && r.Total.Arrivals != r.Total.Ended()+r.Queued+r.Pending {
				t.Fatalf("seed %d, %v s: %+v and %d and %d in hand", seed, a.At, r.Total, r.Queued, r.Pending)
			}
			queued, computed = max(queued, r.Queued), max(computed, len(s.computed))
		}
		add(at, 9998, Prefill)
		add(at, 9999, Decode)
		s.Advance(at + 4000)
		r := s.Report()
		if r.Total.Arrivals != 2000 || r.Total.Ended() != 2000 || r.Queued+r.Pending+len(s.outputs) != 0 {
			t.Fatalf("seed %d: %+v with %d and %d left, want 2000 that ended", seed, r.Total, r.Queued, r.Pending)
		}
		for _, x := range s.replicas {
			if stats := x.engine.Stats(); stats.UsedBlocks != 0 || x.engine.Keeps() != 0 {
				t.Fatalf("seed %d: %s: %+v, keeps %d", seed, x.name, stats, x.engine.Keeps())
			}
		}
		retried, abandoned = retried+r.Total.Retried, abandoned+r.Total.Abandoned
	}
	if retried == 0 || queued == 0 || abandoned == 0 || computed == 0 {
		t.Errorf("%d retried, %d at the gateway, %d given up, %d without a decode replica: some path was not taken", retried, queued, abandoned, computed)
	}
}

// No more goes through than a link carries, and what waits for it fills the cache of the replica that computes prompts, which then computes no more.
func TestSlowLinkBoundsThroughput(t *testing.T) {
	const perSecond, tokens, until = 2.0, 160, 600.0
	s := apart(t, routing.LeastRequests, record)
	must(t, s.AddApart(0, "p", "A/prefill", Prefill, Link{Bandwidth: perSecond * tokens * 1e5, TokenBytes: 1e5}, worker(t, Prefill, 512, 100, 0.01, 1e-5)))
	must(t, s.AddApart(0, "d", "A/decode", Decode, Link{}, worker(t, Decode, 64, 1000, 0.01, 1e-5)))
	for at := 0.0; at < until; at += 0.25 {
		s.Arrive(trace.Arrival{At: at, InputTokens: tokens, OutputTokens: 5})
	}
	s.Advance(until)
	done := float64(s.Report().Total.Completions)
	if done < perSecond*until*0.98 || done > perSecond*until {
		t.Errorf("%v completions in %v s, the link carries %v per second", done, until, perSecond)
	}
	p, d := s.replicas[1].engine.Stats(), s.replicas[0].engine.Stats()
	if p.UsedBlocks != p.Blocks || p.Waiting < 500 || d.Waiting > 10 {
		t.Errorf("prefill %+v, decode %+v: want a full cache and a queue before the one, and at the other only what is on its way", p, d)
	}
}

// A lone prefill replica whose prompts are alike and fill an iteration each is M/D/1: the mean wait is ρ D/(2 (1 − ρ)).
func TestLonePrefillIsMD1(t *testing.T) {
	const tokens, base, perToken, step, load, requests = 1000, 0.02, 1e-4, 1e-6, 0.7, 60000
	service := base + tokens*perToken
	s := apart(t, routing.LeastRequests, RecordOptions{Targets: record.Targets, Window: 60, Keep: 1})
	must(t, s.AddApart(0, "p", "A/prefill", Prefill, Link{}, worker(t, Prefill, tokens, 1e6, base, perToken)))
	must(t, s.AddApart(0, "d", "A/decode", Decode, Link{}, worker(t, Decode, 1024, 1e6, step, 0)))
	random := rand.New(rand.NewPCG(3, 3))
	at := 0.0
	for range requests {
		at += random.ExpFloat64() * service / load
		s.Arrive(trace.Arrival{At: at, InputTokens: tokens, OutputTokens: 1})
	}
	s.Advance(at + 1000)
	wait := s.Report().Total.TTFT.Mean - service - step
	if want := load * service / (2 * (1 - load)); math.Abs(wait/want-1) > 0.03 {
		t.Errorf("mean wait %v s, want %v", wait, want)
	}
}
