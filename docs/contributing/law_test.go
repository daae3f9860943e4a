package contributing_test

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/plug"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Kink is a law that is bound by memory up to a number of tokens and by compute beyond:
//
//	T = floor + perToken · max(0, tokens − free),   tokens = decodes + prompt tokens.
type Kink struct {
	// Floor in seconds, above 0, and PerToken in seconds, at least 0.
	Floor    float64 `json:"floor"`
	PerToken float64 `json:"perToken"`
	// Free is the number of tokens that cost nothing more, at least 0.
	Free float64 `json:"free"`
}

// IterationTime implements queueing.Law.
func (k Kink) IterationTime(b queueing.Batch) float64 {
	return k.Floor + k.PerToken*math.Max(0, b.Decodes+b.PrefillTokens-k.Free)
}

// Validate implements plug.Option: it joins every fault.
func (k Kink) Validate() error {
	var faults []error
	if !(k.Floor > 0) || math.IsInf(k.Floor, 0) {
		faults = append(faults, fmt.Errorf("floor: %v is not allowed, must be above 0", k.Floor))
	}
	for _, f := range []struct {
		name  string
		value float64
	}{{"perToken", k.PerToken}, {"free", k.Free}} {
		if !(f.value >= 0) || math.IsInf(f.value, 0) {
			faults = append(faults, fmt.Errorf("%s: %v is not allowed, must be at least 0", f.name, f.value))
		}
	}
	return errors.Join(faults...)
}

// newLaws is the registry with the new entry.
func newLaws() plug.Registry[queueing.Law] {
	return plug.NewRegistry("service-time law",
		plug.Of("kink", func() Kink { return Kink{} }, func(k Kink) (queueing.Law, error) { return k, nil }),
	)
}

func TestLaw(t *testing.T) {
	law, err := newLaws().New("kink", []byte(`{"floor": 0.008, "perToken": 0.00003, "free": 64}`))
	if err != nil {
		t.Fatal(err)
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
	if _, err := newLaws().New("kink", []byte(`{"floor": 0, "free": -1}`)); err == nil {
		t.Error("a law without a floor")
	}
}
