package serving

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/routing"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

var record = RecordOptions{Targets: Targets{TTFT: 0.5, ITL: 0.012}, Window: 1, Keep: 1 << 20}

func server(t testing.TB, balancer string, options RecordOptions) *Server {
	t.Helper()
	b, err := routing.Balancers().New(balancer, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewServer(b, options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func engine(t testing.TB, blocks int) *simulation.Engine {
	t.Helper()
	e, err := simulation.New(simulation.Config{
		Limits:   simulation.Limits{MaxNumSeqs: 8, MaxNumBatchedTokens: 512},
		Cache:    simulation.Cache{BlockSize: 16, Blocks: blocks},
		StepTime: simulation.Linear{Base: 0.01, PerToken: 1e-5},
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Whatever happens to the replicas, every request ends exactly once.
func TestEveryRequestEndsOnce(t *testing.T) {
	queued := 0
	for seed := range uint64(20) {
		names := routing.Balancers().Names()
		s := server(t, names[seed%uint64(len(names))], record)
		random := rand.New(rand.NewPCG(seed, 1))
		source, err := trace.Constant(30, 200, 40, 2).Replay(trace.Options{Seed: seed})
		must(t, err)
		var present []string
		input := 0
		for i := range 3000 {
			a, _ := source.Next()
			if random.IntN(60) == 0 {
				if len(present) > 0 && random.IntN(2) == 0 {
					k := random.IntN(len(present))
					must(t, s.Remove(a.At, present[k]))
					present = slices.Delete(present, k, k+1)
				} else {
					name := fmt.Sprint("pod-", i)
					must(t, s.Add(a.At, name, []string{"H100", "L40S"}[i%2], engine(t, 100)))
					present = append(present, name)
				}
			}
			s.Arrive(a)
			input += a.InputTokens
		}
		must(t, s.Add(500, "last", "H100", engine(t, 100)))
		s.Advance(2000)
		r := s.Report()
		if r.Total.Arrivals != 3000 || r.Total.Completions+r.Total.Rejected != 3000 || r.Queued+r.Pending != 0 {
			t.Fatalf("seed %d: %+v, want 3000 arrivals, each completed or rejected", seed, r.Total)
		}
		if r.Total.InputTokens != input || r.Total.TTFT.Count != r.Total.Completions || r.Total.Retried == 0 {
			t.Errorf("seed %d: %+v, want %d prompt tokens, a TTFT per completion and some retries", seed, r.Total, input)
		}
		if r.Total.MetBoth > min(r.Total.MetTTFT, r.Total.MetITL) || r.Total.MetBoth < r.Total.MetTTFT+r.Total.MetITL-r.Total.Completions {
			t.Errorf("seed %d: %d met both, %d TTFT, %d ITL", seed, r.Total.MetBoth, r.Total.MetTTFT, r.Total.MetITL)
		}
		queued += checkWindowsAddUp(t, r)
	}
	if queued == 0 {
		t.Error("nothing ever waited at the gateway: no run reached that path")
	}
}

// checkWindowsAddUp returns the most requests that waited at the gateway.
func checkWindowsAddUp(t *testing.T, r Report) (queued int) {
	t.Helper()
	var sum Tally
	inside := 0
	for i, w := range r.Windows {
		if w.Start != float64(i) {
			t.Fatalf("window %d begins at %v s", i, w.Start)
		}
		sum.Arrivals += w.Arrivals
		sum.Completions += w.Completions
		sum.Retried += w.Retried
		sum.Rejected += w.Rejected
		sum.MetBoth += w.MetBoth
		inside += w.Arrivals - w.Completions - w.Rejected
		if inside != w.Queued+w.Pending {
			t.Fatalf("window %d: %d at the gateway and %d in replicas, want %d in all", i, w.Queued, w.Pending, inside)
		}
		replicas := 0
		for _, n := range w.Replicas {
			replicas += n
		}
		if w.Queued > 0 && replicas > 0 {
			t.Fatalf("window %d: %d requests wait at the gateway beside %d replicas", i, w.Queued, replicas)
		}
		queued = max(queued, w.Queued)
	}
	want := Tally{Arrivals: r.Total.Arrivals, Completions: r.Total.Completions, Retried: r.Total.Retried, Rejected: r.Total.Rejected, MetBoth: r.Total.MetBoth}
	if diff := cmp.Diff(want, sum); diff != "" {
		t.Errorf("windows do not add up to the total (-total +sum):\n%s", diff)
	}
	return queued
}

func TestGatewayWaitIsPartOfTTFT(t *testing.T) {
	s := server(t, routing.LeastRequests, record)
	s.Arrive(trace.Arrival{At: 1, InputTokens: 100, OutputTokens: 11})
	s.Advance(4)
	if r := s.Report(); r.Queued != 1 || r.Pending != 0 || len(r.Windows) != 4 || r.Windows[3].Queued != 1 {
		t.Fatalf("%+v, want one request at the gateway", r)
	}
	must(t, s.Add(4, "a", "H100", engine(t, 100)))
	s.Advance(4.05)
	must(t, s.Remove(4.05, "a"))
	must(t, s.Add(6, "b", "L40S", engine(t, 100)))
	s.Advance(10)
	r := s.Report()
	// From 1 s to 6 s, then a prefill of 100 tokens: 5 + 0.011 s, and 0.01001 s for
	// each further token.
	if got := r.Total.TTFT.Mean; math.Abs(got-5.011) > 1e-9 {
		t.Errorf("TTFT %v s, want 5.011", got)
	}
	if got := r.Total.ITL.Mean; math.Abs(got-0.01001) > 1e-9 {
		t.Errorf("ITL %v s, want 0.01001", got)
	}
	if share, ok := r.Total.Attainment(); !ok || share != 0 || r.Total.MetITL != 1 || r.Total.Retried != 1 {
		t.Errorf("attainment %v, %+v; want 0, ITL met, one retry", share, r.Total)
	}
	if diff := cmp.Diff(map[string]int{"L40S": 1}, r.Replicas); diff != "" {
		t.Error(diff)
	}
}

func TestRejectedRequestsAreNotAttained(t *testing.T) {
	s := server(t, routing.RoundRobin, record)
	must(t, s.Add(0, "a", "H100", engine(t, 10)))
	s.Arrive(trace.Arrival{At: 1, InputTokens: 200, OutputTokens: 10})
	s.Arrive(trace.Arrival{At: 1, InputTokens: 100, OutputTokens: 10})
	s.Advance(10)
	total := s.Report().Total
	if share, ok := total.Attainment(); total.Rejected != 1 || total.Completions != 1 || !ok || share != 0.5 {
		t.Errorf("%+v: attainment %v, want one rejected, one completed, 0.5", total, share)
	}
	if _, ok := (Tally{}).Attainment(); ok {
		t.Error("nothing has an attainment")
	}
}

func TestReplicaNames(t *testing.T) {
	s := server(t, routing.RoundRobin, record)
	must(t, s.Add(0, "a", "H100", engine(t, 10)))
	if err := s.Add(0, "a", "H100", engine(t, 10)); err == nil {
		t.Error("a second replica of the same name is accepted")
	}
	if err := s.Remove(0, "b"); err == nil {
		t.Error("an unknown replica can be removed")
	}
}

func TestRecordKeepsTheLatestWindows(t *testing.T) {
	s := server(t, routing.RoundRobin, RecordOptions{Targets: record.Targets, Window: 0.5, Keep: 3})
	s.Arrive(trace.Arrival{At: 0.1, InputTokens: 1, OutputTokens: 1})
	before := s.Report()
	s.Advance(10.2)
	r := s.Report()
	if len(before.Windows) != 0 || len(r.Windows) != 3 || r.Windows[0].Start != 8.5 || r.Windows[2].Start != 9.5 || r.Total.Arrivals != 1 {
		t.Errorf("%+v, want the windows from 8.5 to 9.5 s and one arrival in all", r)
	}
}

func TestRecordOptionsNameEveryFault(t *testing.T) {
	_, err := NewServer(nil, RecordOptions{Targets: Targets{TTFT: -1, ITL: math.NaN()}})
	for _, want := range []string{"ttft: -1", "itl: NaN", "window: 0", "keep: 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

// The quantiles of a sketch against those of the sorted sample.
func TestSketch(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for name, draw := range map[string]func() float64{
		"exponential": random.ExpFloat64,
		"log-normal":  func() float64 { return math.Exp(3 * random.NormFloat64()) },
		"constant":    func() float64 { return 0.0123 },
		"zero":        func() float64 { return 0 },
		"beyond":      func() float64 { return 1e9 },
	} {
		var s sketch
		sample := make([]float64, 10_001)
		for i := range sample {
			sample[i] = draw()
			s.add(sample[i])
		}
		slices.Sort(sample)
		got := s.summary()
		for _, q := range []struct{ q, got float64 }{{0.5, got.P50}, {0.9, got.P90}, {0.99, got.P99}} {
			want := sample[int(math.Ceil(q.q*float64(len(sample))))-1]
			if math.Abs(q.got-want) > 0.005*want {
				t.Errorf("%s: quantile %v is %v, want %v", name, q.q, q.got, want)
			}
		}
		if got.Max != sample[len(sample)-1] {
			t.Errorf("%s: maximum %v, want %v", name, got.Max, sample[len(sample)-1])
		}
	}
}

func TestWriteCSV(t *testing.T) {
	reports := map[string]Report{
		"llm/b": {Windows: []Window{{Start: 0, Tally: Tally{Arrivals: 3}, Queued: 2, Replicas: map[string]int{"L40S": 1}}}},
		"llm/a": {Windows: []Window{{Start: 1209600.5, Tally: Tally{
			Arrivals: 1, InputTokens: 10, OutputTokens: 20, Completions: 2, Retried: 3, Rejected: 4, MetTTFT: 2, MetITL: 1, MetBoth: 1,
			TTFT: Summary{Count: 2, Mean: 0.125, P50: 0.1, P90: 0.15, P99: 0.15},
		}, Pending: 5, Replicas: map[string]int{"H100": 2, "L40S": 1}}}},
	}
	var out strings.Builder
	must(t, WriteCSV(&out, reports))
	want := `seconds,server,arrivals,input_tokens,output_tokens,completions,retried,rejected,met_ttft,met_itl,met_both,ttft_mean,ttft_p50,ttft_p90,ttft_p99,itl_mean,itl_p50,itl_p90,itl_p99,queued,pending,replicas,replicas_H100,replicas_L40S
1209600.5,llm/a,1,10,20,2,3,4,2,1,1,0.125,0.1,0.15,0.15,,,,,0,5,3,2,1
0,llm/b,3,0,0,0,0,0,0,0,0,,,,,,,,,2,0,1,0,1
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDrainingFinishesButTakesNothingNew(t *testing.T) {
	s := server(t, routing.LeastRequests, record)
	must(t, s.Add(0, "a", "H100", engine(t, 100)))
	s.Arrive(trace.Arrival{At: 1, InputTokens: 100, OutputTokens: 50})
	must(t, s.Drain(1.1, "a"))
	must(t, s.Drain(1.2, "a"))
	s.Arrive(trace.Arrival{At: 1.3, InputTokens: 100, OutputTokens: 2})
	s.Advance(5)
	if r := s.Report(); r.Total.Completions != 1 || r.Total.Retried != 0 || r.Queued != 1 || len(r.Replicas) != 0 {
		t.Errorf("%+v, want the first request served, the second waiting and no replica counted", r)
	}
	must(t, s.Remove(5, "a"))
	must(t, s.Add(6, "b", "H100", engine(t, 100)))
	s.Advance(10)
	if r := s.Report(); r.Total.Completions != 2 || r.Replicas["H100"] != 1 {
		t.Errorf("%+v, want both served and one replica", r)
	}
	if err := s.Drain(10, "c"); err == nil {
		t.Error("an unknown replica can be drained")
	}
}
