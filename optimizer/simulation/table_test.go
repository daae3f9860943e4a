package simulation

import (
	"math"
	"strings"
	"testing"
)

// Qwen3-32B on two H100 with vLLM, from test/data/measured/silicon.csv: of each number N of clients, ITL = D(N) + N/out · P(in) by least squares over
// the output lengths gives decodes D and what a prompt adds to an iteration, P(1024) = 44 ms and P(4096) = 155 ms.
var measured = Table{
	Decode:  []Point{{8, 0.0156}, {16, 0.0167}, {32, 0.0187}, {64, 0.0232}, {128, 0.0318}},
	Prefill: []Point{{256, 0.026}, {1024, 0.059}, {4096, 0.170}}, Context: 1300, PerContext: 5.5e-8,
}

// The engine with the measured table must give back what was measured in closed loop, also of the shape that the table was not made of.
func TestTableGivesBackWhatWasMeasured(t *testing.T) {
	for _, c := range []struct {
		clients, in, out int
		itl              float64 // s, as measured
	}{
		{8, 1024, 512, 0.01648}, {16, 1024, 512, 0.01788}, {32, 1024, 512, 0.02100}, {64, 1024, 512, 0.02851}, {128, 1024, 512, 0.04229}, {32, 4096, 512, 0.03575},
	} {
		e, err := New(Config{Limits: Limits{MaxNumSeqs: 256, MaxNumBatchedTokens: 8192}, Cache: Cache{BlockSize: 16, Blocks: 1 << 20}, StepTime: measured})
		if err != nil {
			t.Fatal(err)
		}
		id := uint64(0)
		submit := func(at float64) {
			id++
			if err := e.Submit(at, Request{ID: id, ArrivedAt: at, InputTokens: c.in, OutputTokens: c.out}); err != nil {
				t.Fatal(err)
			}
		}
		// Clients begin one after the other, so that they do not run in step.
		for i := range c.clients {
			at := float64(i) * 0.02 * float64(c.out) / float64(c.clients)
			e.Advance(at, nil)
			submit(at)
		}
		sum, n := 0.0, 0
		var done []Completion
		for n < 20*c.clients {
			var stepped bool
			if done, stepped = e.Step(math.Inf(1), done[:0]); !stepped {
				t.Fatal("the engine stands still")
			}
			for _, d := range done {
				if itl, _ := d.ITL(); d.ID > uint64(2*c.clients) {
					sum, n = sum+itl, n+1
				}
				submit(d.FinishedAt)
			}
		}
		if got := sum / float64(n); math.Abs(got/c.itl-1) > 0.08 {
			t.Errorf("%d clients, %d → %d tokens: ITL %.2f ms, measured %.2f ms", c.clients, c.in, c.out, 1e3*got, 1e3*c.itl)
		}
	}
}

func TestTableNamesEveryFault(t *testing.T) {
	err := Table{Decode: []Point{{1, 2}, {1, 1}}, PerContext: -1}.Validate()
	for _, want := range []string{"decode[1]", "prefill: 0 points", "perContext: -1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %q", err, want)
		}
	}
}
