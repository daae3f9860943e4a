package demand

import (
	"math/rand/v2"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/forecast"
)

// A server that gets few requests is sized for those that come, not for the highest count of the last windows: what is counted in a minute is chance, and the
// more of it the fewer they are. A rise is followed all the same.
func TestFewRequestsAreCountedOverSeveralWindows(t *testing.T) {
	forecaster, err := forecast.Forecasters().New(forecast.NameNone, nil)
	if err != nil {
		t.Fatal(err)
	}
	of := func(m Memory, now, rate float64) (Demand, Memory) {
		s := &fleet.Server{Load: &fleet.Load{Arrivals: rate, Completions: rate, InputTokens: 2000, OutputTokens: 3000}}
		return Of(s, m, func(float64) forecast.Predictor { return forecaster.For(150, 0) }, Clock{Now: now, Window: 60, Horizon: 150})
	}
	const mean = 10. / 60
	r := rand.New(rand.NewPCG(1, 2))
	var m Memory
	var d Demand
	var sized, counted float64
	now := 0.0
	for range 2000 {
		now += 60
		n := 0
		for at := r.ExpFloat64() / mean; at < 60; at += r.ExpFloat64() / mean {
			n++
		}
		d, m = of(m, now, float64(n)/60)
		sized, counted = sized+d.Rate, counted+float64(n)/60
	}
	if over := sized / counted; over < 1 || over > 1.07 {
		t.Errorf("sized for %.2f times what came", over)
	}
	for _, rate := range []float64{1, 2, 3, 4} {
		now += 60
		d, m = of(m, now, rate)
	}
	if d.Rate < 4 || d.Steady {
		t.Errorf("a rise to 4 requests/s is sized for %v", d.Rate)
	}
}
