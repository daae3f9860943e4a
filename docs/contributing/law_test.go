package contributing_test

import (
	"math"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Kink is a law that is bound by memory up to a number of tokens and by compute beyond:
//
//	T = floor + perToken · max(0, tokens − free),   tokens = decodes + prompt tokens.
type Kink struct {
	// Floor in seconds, above 0, and PerToken in seconds, at least 0.
	Floor, PerToken float64
	// Free is the number of tokens that cost nothing more, at least 0.
	Free float64
}

// IterationTime implements queueing.Law.
func (k Kink) IterationTime(b queueing.Batch) float64 {
	return k.Floor + k.PerToken*math.Max(0, b.Decodes+b.PrefillTokens-k.Free)
}

// Parameters implements queueing.Described.
func (k *Kink) Parameters() []queueing.Parameter {
	return []queueing.Parameter{
		{Name: "floor", At: &k.Floor, Unit: queueing.Millisecond, Range: queueing.AboveZero, With: "floor", Like: []string{"overhead", "weights", "experts"}},
		{Name: "perToken", At: &k.PerToken, Unit: queueing.Millisecond, With: "perToken", Like: []string{"compute"}},
		{Name: "free", At: &k.Free, Unit: 1},
	}
}

// kink is what queueing.Laws has a line more of.
var kink = queueing.Describe[Kink]("kink", 0)

func TestLaw(t *testing.T) {
	law, err := kink.Law(map[string]float64{"floor": 8, "perToken": 0.03, "free": 64})
	if err != nil {
		t.Fatal(err)
	}
	if law != (Kink{0.008, 0.00003, 64}) {
		t.Errorf("%+v", law)
	}
	// Positive, and in no field of the batch less for more.
	smaller := queueing.Batch{Decodes: 40, PrefillTokens: 30}
	larger := queueing.Batch{Decodes: 80, PrefillTokens: 30, DecodeContext: 9000, PrefillContext: 100, Prefills: 1, PrefillPairs: 500}
	if a, b := law.IterationTime(smaller), law.IterationTime(larger); !(a > 0 && b >= a) {
		t.Errorf("iterations of %v and %v s", a, b)
	}
	requests := queueing.Requests{
		InputTokens: 500, OutputTokens: 100, InputTokensSD: math.NaN(), OutputTokensSD: math.NaN(), ArrivalCV: math.NaN(),
	}
	for _, model := range queueing.Models().Names() {
		m, err := queueing.Models().New(model, nil)
		if err != nil {
			t.Fatal(err)
		}
		replica, err := m.Replica(law, requests, queueing.Limits{MaxBatch: 64, MaxQueue: 100, MaxBatchedTokens: 2048})
		if err != nil {
			t.Fatalf("%s: %v", model, err)
		}
		p, err := replica.Open(replica.MaxRate() / 2)
		if err != nil || !(p.ITL.Mean >= 0.008) {
			t.Errorf("%s: ITL %v s, below the floor of the law (%v)", model, p.ITL.Mean, err)
		}
	}
	_, err = kink.Law(map[string]float64{"floor": 0, "free": -1, "fre": 1})
	for _, part := range []string{"floor: 0", "above 0", "free: -1", "fre: is no parameter"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error %v does not say %q", err, part)
		}
	}
}
