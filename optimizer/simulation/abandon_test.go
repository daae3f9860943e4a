package simulation

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Whoever gives up, whenever: every request is completed or given up, once, those given up had no first token, and the cache is empty in the end.
func TestAbandonedRequests(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 5))
		first, given := map[uint64]bool{}, map[uint64]bool{}
		e, err := New(Config{
			Limits: Limits{MaxNumSeqs: 8, MaxNumBatchedTokens: 64}, Cache: Cache{BlockSize: 4, Blocks: 60}, StepTime: Linear{Base: 0.02, PerToken: 0.001},
			Hooks: Hooks{
				FirstToken: func(_, _ float64, r Request) { first[r.ID] = true },
				Abandoned:  func(r Request) { given[r.ID] = true },
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		all := requests(seed, 300, 12, 60, 20)
		var done []Completion
		accepted := 0
		for _, r := range all {
			done = e.Advance(r.ArrivedAt, done)
			if err := e.Submit(r.ArrivedAt, r); err == nil {
				accepted++
			}
			for range 2 {
				id := uint64(max(0, int(r.ID)-random.IntN(12)))
				had := first[id]
				if e.Abandon(id) && had {
					t.Fatalf("request %d was given up after its first token", id)
				}
			}
		}
		done = e.Advance(math.Inf(1), done)
		for _, c := range done {
			if given[c.ID] || !first[c.ID] {
				t.Fatalf("request %d is completed, given up: %t, first token: %t", c.ID, given[c.ID], first[c.ID])
			}
		}
		s := e.Stats()
		if len(done)+len(given) != accepted || int(s.Abandoned) != len(given) || len(given) < 20 || s.UsedBlocks != 0 || s.Running+s.Waiting != 0 {
			t.Fatalf("seed %d: %d completed and %d given up of %d, %+v", seed, len(done), len(given), accepted, s)
		}
	}
}
