package fleet_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/fleet"
)

// Missing, zero and not a number stay apart, also through JSON.
func TestMaybe(t *testing.T) {
	type record struct {
		A fleet.Maybe `json:"a,omitzero"`
		B fleet.Maybe `json:"b"`
	}
	for text, r := range map[string]record{
		`{"b":null}`:    {},
		`{"a":0,"b":0}`: {A: fleet.Known(0), B: fleet.Known(0)},
		`{"b":-1.5}`:    {A: fleet.Measured(math.NaN()), B: fleet.Measured(-1.5)},
	} {
		data, err := json.Marshal(r)
		if err != nil || string(data) != text {
			t.Errorf("%+v is written %s, %v; want %s", r, data, err, text)
		}
		var back record
		if err := json.Unmarshal(data, &back); err != nil || back != r {
			t.Errorf("%s is read as %+v, %v", data, back, err)
		}
	}
	if _, err := json.Marshal(record{B: fleet.Known(math.NaN())}); err == nil {
		t.Error("NaN is no JSON")
	}
	if x, known := fleet.Known(0).Get(); x != 0 || !known || fleet.Known(0).IsZero() {
		t.Error("zero is known")
	}
	if _, known := (fleet.Maybe{}).Get(); known || (fleet.Maybe{}).Or(3) != 3 || !math.IsNaN((fleet.Maybe{}).OrNaN()) || (fleet.Maybe{}).Pointer() != nil {
		t.Error("missing is missing")
	}
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if !fleet.Measured(x).IsZero() {
			t.Errorf("%v was measured", x)
		}
	}
}

func TestPricesOfChange(t *testing.T) {
	c := &jsonspec.ChangePolicy{StartupSeconds: 120, Start: 2, Switch: 5, HorizonSeconds: 1800}
	if err := fleet.ValidateChange(c); err != nil {
		t.Fatal(err)
	}
	start := 2 + 10*120./3600 // of a replica for 10 cents/h
	for replicas, want := range map[int]float64{-2: 0, 0: 0, 1: 2 * start, 4: 2 * 4 * start} {
		if got := fleet.StartPrice(c, replicas, 10); math.Abs(got-want) > 1e-9 {
			t.Errorf("starting %d costs %v, want %v", replicas, got, want)
		}
	}
	if got := fleet.SwitchPrice(c); got != 10 {
		t.Errorf("a switch costs %v, want 10", got)
	}
	if fleet.StartPrice(nil, 4, 10) != 0 || fleet.SwitchPrice(nil) != 0 {
		t.Error("change costs without a price")
	}
	err := fleet.ValidateChange(&jsonspec.ChangePolicy{Start: -1, Switch: math.NaN()})
	for _, want := range []string{"start: -1", "switch: NaN", "horizonSeconds: 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestEnergy(t *testing.T) {
	p := jsonspec.PowerCurve{Idle: 200, MidPower: 600, MidUtil: .5, Full: 700}
	for u, want := range map[float64]float64{-1: 200, 0: 200, .25: 400, .5: 600, .75: 650, 1: 700, 2: 700} {
		if got := fleet.Watts(p, u); got != want {
			t.Errorf("%v W at a utilisation of %v, want %v", got, u, want)
		}
	}
	if !math.IsNaN(fleet.Watts(p, math.NaN())) {
		t.Error("an unknown utilisation draws a known power")
	}
	if got := fleet.EnergyCost(1400, 20); math.Abs(got-28) > 1e-9 {
		t.Errorf("1.4 kW at 20 cents/kWh cost %v cents/h", got)
	}
}

// What is in force is the plan, and without one what runs; pods that wait for a node are nowhere.
func TestInForce(t *testing.T) {
	on := func(a string, n int) *fleet.Allocation {
		return &fleet.Allocation{Parts: []fleet.Part{{Accelerator: a, Replicas: n}, {Replicas: 2}}}
	}
	s := fleet.Server{}
	if len(s.InForce()) != 0 || s.Held() != nil {
		t.Errorf("of a new server %v", s.InForce())
	}
	s.Runs = on("A", 3)
	if got := s.InForce(); len(got) != 1 || got["A"] != 3 {
		t.Errorf("of what runs %v", got)
	}
	s.Plan = on("B", 0)
	if got, known := s.InForce()["B"]; got != 0 || !known || s.Held().Replicas() != 2 {
		t.Errorf("of a plan %v", s.InForce())
	}
	if s.Plan.Part("A") != nil || s.Plan.Part("B") == nil || (*fleet.Allocation)(nil).Part("A") != nil {
		t.Error("a part that is there is found, and no other")
	}
}
