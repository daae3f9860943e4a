package recommend

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// long prompts, and an ITL near that of an iteration that does nothing.
func long() *Question {
	q := question("meta-llama/Llama-3.1-70B-Instruct")
	q.Rate, q.InputTokens, q.OutputTokens, q.Targets = 20, 8000, 300, sizing.Targets{TTFT: 3, ITL: 0.02, Percentile: 90}
	return q
}

// Every configuration with roles meets the targets as far as is known, costs what its cards cost, is within its ranges, and hands over to its own type of cards,
// unless types are named.
func TestApartHolds(t *testing.T) {
	named := long()
	named.Accelerators = []string{"H100", "B200"}
	mixed := false
	for name, q := range map[string]*Question{"long": long(), "named": named, "short": question("meta-llama/Llama-3.1-70B-Instruct")} {
		a := ask(t, q)
		if len(a.Apart) < 2 {
			t.Fatalf("%s: %d configurations with roles", name, len(a.Apart))
		}
		for i, c := range a.Apart {
			p, d := &c.Prefill, &c.Decode
			if c.TTFT > 1000*q.Targets.TTFT*1.001 || c.ITL > 1000*q.Targets.ITL*1.001 {
				t.Errorf("%s: %+v misses its targets", name, c)
			}
			cost := 0.0
			for _, r := range []*Role{p, d} {
				cost += r.Price.CentsPerHour * float64(r.TensorParallel*r.Replicas)
				low, high := r.Range.P10, r.Range.P90
				if r.Replicas < 1 || low != nil && *low > r.Replicas || high != nil && *high < r.Replicas {
					t.Errorf("%s: %+v is beyond its range", name, r)
				}
				if r.MaxNumSeqs > r.MaxNumBatchedTokens {
					t.Errorf("%s: no engine starts with a batch of %d and %d tokens", name, r.MaxNumSeqs, r.MaxNumBatchedTokens)
				}
			}
			if c.CostPerHour != cost {
				t.Errorf("%s: %+v costs %g, want %g", name, c, c.CostPerHour, cost)
			}
			if p.Accelerator != d.Accelerator {
				if mixed = true; name != "named" {
					t.Errorf("%s: %s hands over to %s", name, p.Accelerator, d.Accelerator)
				}
			}
			if i > 0 && a.Apart[i-1].rank().compare(c.rank()) > 0 {
				t.Errorf("%s: not by cost", name)
			}
		}
		if diff := cmp.Diff(a.Apart, ask(t, q).Apart); diff != "" {
			t.Errorf("%s: answers differ:\n%s", name, diff)
		}
	}
	if !mixed {
		t.Error("no two types of cards that are named serve together")
	}
}

// One replica fewer of either role misses a target or the load, by the same model that plans are sized with.
func TestApartIsTheFewest(t *testing.T) {
	q := long()
	q.Accelerators = []string{"H100"}
	checked := 0
	for _, p := range q.ways("prefill", 64) {
		for _, d := range q.ways("decode", 64) {
			s := q.pair(p, d)
			if s == nil {
				continue
			}
			meets := func(prefill, decode int) bool {
				with := s.split
				with.Prefill.Count, with.Decode.Count = prefill, decode
				replica, err := with.Replica(q.requests())
				if err != nil {
					t.Fatal(err)
				}
				if replica.MaxRate() < q.Rate {
					return false
				}
				prediction, err := replica.Open(q.Rate)
				if err != nil {
					t.Fatal(err)
				}
				ttft, itl := q.latencies(&prediction)
				return ttft <= 1000*q.Targets.TTFT && itl <= 1000*q.Targets.ITL
			}
			n := s.replicas
			if n[0] > 1 && meets(n[0]-1, n[1]) || n[1] > 1 && meets(n[0], n[1]-1) {
				t.Errorf("%d + %d cards: fewer than %v are enough", p.cards(), d.cards(), n)
			}
			checked++
		}
	}
	if checked == 0 {
		t.Error("nothing was checked")
	}
}

// Roles pay for long prompts and an ITL near that of an iteration that does nothing, and do not for short prompts and a loose one (docs/variants.md).
func TestRolesPayWhereTheyShould(t *testing.T) {
	cheapest := func(q *Question) (both, apart float64) {
		q.Accelerators, q.Prices = []string{"H100"}, catalogue.BuiltInPrices()
		a := ask(t, q)
		return a.Configurations[0].CostPerHour, a.Apart[0].CostPerHour
	}
	if both, apart := cheapest(long()); apart > both/2 {
		t.Errorf("long prompts cost %v on replicas that do both, %v with roles", both, apart)
	}
	loose := question("meta-llama/Llama-3.1-70B-Instruct")
	loose.Rate, loose.InputTokens, loose.OutputTokens, loose.Targets = 20, 100, 500, sizing.Targets{TTFT: 5, ITL: 0.2, Percentile: 90}
	if both, apart := cheapest(loose); apart < both {
		t.Errorf("short prompts cost %v on replicas that do both, %v with roles", both, apart)
	}
}
