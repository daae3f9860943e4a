package demand

import (
	"testing"

	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/forecast"
)

// What clients give up and send again is no load: while a third of what comes for the first time is served, several times as much comes, and half as much is sized
// for. What is given up for good is: it is sized for in the end, however long capacity has lacked.
func TestRequestsThatComeAgain(t *testing.T) {
	forecaster, err := forecast.Forecasters().New(forecast.NameNone, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := 0.0
	of := func(m Memory, arrivals, lost float64) (Demand, Memory) {
		now += 30
		s := &fleet.Server{
			Load: &fleet.Load{Arrivals: arrivals, Completions: arrivals - lost, InputTokens: 900, OutputTokens: 250},
			Seen: &fleet.Observation{GivenUp: fleet.Known(lost)},
		}
		return Of(s, m, func(float64) forecast.Predictor { return forecaster.For(150, 0) }, Clock{Now: now, Window: 60, Horizon: 150})
	}
	const first, served = 42.0, 14.0
	var m Memory
	var d Demand
	for range 20 {
		d, m = of(m, served, 0)
	}
	came, lost := first, 0.0
	d, m = of(m, came, lost)
	for range 6 {
		came = first + lost // all of them again
		lost = came - served
		d, m = of(m, came, lost)
	}
	if came < 4*first || d.Rate > 2.5*first {
		t.Errorf("where %v come for the first time and %v in all, %v are sized for", first, came, d.Rate)
	}

	m = Memory{}
	for range 20 {
		d, m = of(m, served, 0)
	}
	d, m = of(m, served+1, 1)
	for range 20 {
		d, m = of(m, first, first-served)
	}
	if d.Rate < 0.95*first {
		t.Errorf("of %v that come and are given up for good %v are sized for", first, d.Rate)
	}
}
