package contributing_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/plug"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/queueing/conformance"
)

// Distant is the model "distant": continuous batching behind a gateway that every request waits at.
type Distant struct{ DistantOptions }

// DistantOptions are the options of Distant.
type DistantOptions struct {
	// Delay of a request on its way to the engine, in seconds, 0 to 10.
	Delay float64 `json:"delay"`
}

// Validate implements plug.Option.
func (o DistantOptions) Validate() error {
	if !(o.Delay >= 0 && o.Delay <= 10) {
		return fmt.Errorf("delay: %v is not allowed, must be 0 to 10", o.Delay)
	}
	return nil
}

// Replica implements queueing.Model.
func (d Distant) Replica(law queueing.Law, requests queueing.Requests, limits queueing.Limits) (queueing.Replica, error) {
	r, err := queueing.ContinuousBatching{}.Replica(law, requests, limits)
	return distant{r, d.Delay}, err
}

// SeesBudget implements queueing.Model.
func (d Distant) SeesBudget() bool { return true }

type distant struct {
	queueing.Replica
	delay float64
}

// Open implements queueing.Replica.
func (d distant) Open(rate float64) (queueing.Prediction, error) {
	p, err := d.Replica.Open(rate)
	for _, latency := range []*float64{&p.Response, &p.Wait, &p.TTFT.Mean, &p.TTFT.P50, &p.TTFT.P90, &p.TTFT.P95, &p.TTFT.P99} {
		*latency += d.delay
	}
	return p, err
}

// newModels is the registry with the new entry; in optimizer/queueing/models.go it is one line more.
func newModels() plug.Registry[queueing.Model] {
	return plug.NewRegistry("queueing model",
		plug.Of("distant", func() DistantOptions { return DistantOptions{Delay: 0.01} }, func(o DistantOptions) (queueing.Model, error) { return Distant{o}, nil }),
	)
}

func TestQueueingModel(t *testing.T) {
	m, err := newModels().New("distant", []byte(`{"delay": 0.02}`))
	if err != nil {
		t.Fatal(err)
	}
	conformance.Run(t, m, conformance.Contract{Monotone: true})
	if _, err := newModels().New("distant", []byte(`{"delay": -1}`)); err == nil || errors.Unwrap(err) == nil {
		t.Errorf("a delay below zero: %v", err)
	}
}
