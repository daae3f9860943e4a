package control_test

import (
	"math"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// settled is one server on three A100 for 120 cents/h, where three G2 for 69 would do, without a stabiliser.
func settled(t *testing.T, c *jsonspec.ChangePolicy) *jsonspec.System {
	return one(t, func(s *jsonspec.System, e *jsonspec.ServerEntry) {
		s.Optimizer.Spec.Stability = &jsonspec.Plug{Name: "none"}
		s.Optimizer.Spec.Change = c
		e.DesiredAlloc = &jsonspec.Allocation{Accelerator: "A100", NumReplicas: 3, Cost: 120}
	})
}

// A plan moves only for a gain that pays back within the horizon.
func TestPriceOfChange(t *testing.T) {
	for _, c := range []struct {
		name   string
		change *jsonspec.ChangePolicy
		want   string
		price  float64 // of three G2, in cents/h
	}{
		{"change is free", nil, "G2", 0},
		{"a switch that does not pay back in an hour", &jsonspec.ChangePolicy{Switch: 60, HorizonSeconds: 3600}, "A100", 60},
		{"but does in two", &jsonspec.ChangePolicy{Switch: 60, HorizonSeconds: 7200}, "G2", 30},
		{"three starts at 20 cents", &jsonspec.ChangePolicy{Start: 20, HorizonSeconds: 3600}, "A100", 60},
		{"three replicas that start for 20 minutes, spread over 15", &jsonspec.ChangePolicy{StartupSeconds: 1200, HorizonSeconds: 900}, "A100", 92},
		{"over two hours", &jsonspec.ChangePolicy{StartupSeconds: 1200, HorizonSeconds: 7200}, "G2", 11.5},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := settled(t, c.change)
			d := decide(t, s, control.State{})
			a := only(t, s, d)
			if a.Accelerator != c.want {
				t.Errorf("%s: %+v, want %s", c.name, a, c.want)
			}
			if stays := c.want == "A100"; stays != strings.Contains(a.Reason, "; 3 × G2 would cost 69.00, but ") {
				t.Errorf("reason %q", a.Reason)
			}
			for _, x := range d.Candidates {
				want := x.Cost
				if x.Accelerator == "G2" {
					want += c.price
				}
				if (x.Accelerator == "G2" || x.Accelerator == "A100") && math.Abs(x.Value-want) > 1e-9 {
					t.Errorf("%s is valued %v, want %v", x.Accelerator, x.Value, want)
				}
			}
		})
	}
}

// A split in force costs nothing to keep; moving from it to an accelerator it has is no switch.
func TestPriceOfChangingASplit(t *testing.T) {
	s := torn(t, func(*jsonspec.ServerEntry) {})
	first := decide(t, s, control.State{})
	plan := only(t, s, first)
	s.Servers.Spec[0].DesiredAlloc = &plan
	s.Optimizer.Spec.Change = &jsonspec.ChangePolicy{Switch: 1000, HorizonSeconds: 3600}
	s.Optimizer.Spec.Stability = &jsonspec.Plug{Name: "none"}
	kept := false
	for _, c := range decide(t, s, first.State).Candidates {
		if !c.Feasible {
			continue
		}
		price := 0.0
		switch c.Accelerator {
		case "A100", "G2", "A100+G2":
		default:
			price = 1000
		}
		if math.Abs(c.Value-c.Cost-price) > 1e-9 {
			t.Errorf("%s with %d replicas: change is priced %v, want %v", c.Accelerator, c.NumReplicas, c.Value-c.Cost, price)
		}
		kept = kept || len(c.Parts) > 0
	}
	if !kept {
		t.Error("no split among the candidates")
	}
}

// With energy alone, the value is what the cards draw, between idle and full; shares mix linearly with the cost.
func TestEnergy(t *testing.T) {
	values := func(share float64) map[string]jsonspec.Candidate {
		s := load(t, "small")
		s.Optimizer.Spec.Heterogeneous = true
		s.Optimizer.Spec.EnergyShare, s.Optimizer.Spec.CentsPerKWh = share, 20
		d := decide(t, s, control.State{})
		sound(t, s, d)
		all := map[string]jsonspec.Candidate{}
		for _, c := range d.Candidates {
			if c.Feasible && len(c.Parts) == 0 {
				all[c.Server+" on "+c.Accelerator] = c
			}
		}
		return all
	}
	power := map[string]jsonspec.PowerCurve{}
	cards := map[string]int{}
	for _, a := range load(t, "small").Accelerators.Spec {
		power[a.Name], cards[a.Name] = a.Power, a.Cards()
	}
	full, half := values(1), values(0.5)
	for name, c := range full {
		accelerators := float64(c.Units) / float64(cards[c.Accelerator])
		low, high := accelerators*power[c.Accelerator].Idle/1000*20, accelerators*power[c.Accelerator].Full/1000*20
		if !(c.Value > low && c.Value <= high) {
			t.Errorf("%s: %v cents/h, must be above %v idle and up to %v full", name, c.Value, low, high)
		}
		if got, want := half[name].Value, (c.Cost+c.Value)/2; math.Abs(got-want) > 1e-6*want {
			t.Errorf("%s: half energy is valued %v, want %v", name, got, want)
		}
	}
	if len(full) < 40 {
		t.Errorf("only %d candidates", len(full))
	}
}

// Capacity that is interrupted is worth as much less as its interruptions cost: cheap spot is taken, unless what is late meanwhile is dearer.
func TestInterruptions(t *testing.T) {
	const startUp, start = 120.0, 1.0
	plan := func(often, violation float64) (*decided, jsonspec.Candidate) {
		s := shared(0, nil, tenant{namespace: "x", accelerator: "A", itl: 22})
		s.Models.Spec[1].PerfParms = s.Models.Spec[0].PerfParms // B is the same card in a spot pool
		s.Servers.Spec[0].CurrentAlloc.Accelerator = ""
		s.Accelerators.Spec[1].InterruptionsPerHour = often
		s.Optimizer.Spec.Change = &jsonspec.ChangePolicy{StartupSeconds: startUp, Start: start, HorizonSeconds: 3600}
		if violation > 0 {
			s.ServiceClasses.Spec[0].ViolationCost = &violation
		}
		d := decide(t, s, control.State{})
		for _, c := range d.Candidates {
			if c.Accelerator == "B" {
				return d, c
			}
		}
		t.Fatal("no candidate on B")
		return nil, jsonspec.Candidate{}
	}
	never, without := plan(0, 0.01)
	often, with := plan(2, 0.01)
	if a, b := never.Plan.Allocations["x/s"].Accelerator, often.Plan.Allocations["x/s"].Accelerator; a != "B" || b != "A" {
		t.Errorf("planned on %s where spot is never interrupted, on %s where it is twice an hour", a, b)
	}
	// 3000 requests a minute are 50 a second over all replicas.
	n := float64(with.NumReplicas)
	want := n*2*(start+startUp*90/3600) + 2*startUp*50*0.01
	if got := with.Value - without.Value; math.Abs(got-want) > 1e-6*want {
		t.Errorf("interruptions count %v cents/h, want %v", got, want)
	}
	if cheap, _ := plan(2, 0); cheap.Plan.Allocations["x/s"].Accelerator != "B" {
		t.Errorf("planned on %s where nothing that is late has a price", cheap.Plan.Allocations["x/s"].Accelerator)
	}
}

func TestPricesAreChecked(t *testing.T) {
	s := load(t, "small")
	s.Optimizer.Spec.EnergyShare = 0.5
	s.Optimizer.Spec.Change = &jsonspec.ChangePolicy{Start: math.NaN()}
	_, err := control.NewStages(&s.Optimizer.Spec)
	for _, want := range []string{"centsPerKWh: 0 is not allowed where energyShare is 0.5", "change: start: NaN"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// Prices of the last plan speed the next one up and change nothing; prices that are none do no harm.
func TestPricesOfTheLastPlan(t *testing.T) {
	s := tight(t)
	first := decide(t, s, control.State{})
	if len(first.State.Prices) == 0 {
		t.Fatal("no prices are remembered")
	}
	for _, prices := range []map[string]float64{first.State.Prices, {"G2": math.NaN(), "A100": -1, "L4": math.Inf(1), "unheard of": 3}} {
		d := decide(t, s, control.State{Prices: prices})
		if d.Plan.TotalCost != first.Plan.TotalCost || len(d.Plan.Unserved) != len(first.Plan.Unserved) {
			t.Errorf("from prices %v: cost %v with %d unserved, without %v with %d", prices, d.Plan.TotalCost, len(d.Plan.Unserved), first.Plan.TotalCost, len(first.Plan.Unserved))
		}
	}
}
