package control_test

import (
	"math"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/demand"
	"github.com/llm-inferno/inferno/optimizer/forecast"
)

// restless is a load of ten-minute means, 14 days back from a time, that wanders by a fifth from window to window.
func restless(until float64) []forecast.Sample {
	var history []forecast.Sample
	for i := 14 * 144; i > 0; i-- {
		history = append(history, forecast.Sample{Time: until - 600*float64(i), Rate: 50 * math.Exp(0.2*math.Sin(float64(i*i%97)))})
	}
	return history
}

// replicasFor are what the only server of the system of one pair gets, after two decisions: the first learns the price of capacity.
func replicasFor(t *testing.T, forecaster string, change func(*jsonspec.System)) (int, control.State) {
	t.Helper()
	const now = 14 * 86400
	s := observed(now, 4, 20, 0)
	s.Accelerators.Spec[0].Cost = 400
	s.Optimizer.Spec.Forecaster = &jsonspec.Plug{Name: forecaster}
	if change != nil {
		change(s)
	}
	server := s.Servers.Spec[0].Name
	var memory forecast.Memory
	quantile := 0.0
	if q := s.Optimizer.Spec.ForecastQuantile; q != nil {
		quantile = *q
	}
	for _, sample := range restless(now) {
		memory = stages(t, s).Forecaster.For(600, quantile).Observe(memory, sample)
	}
	state := control.State{Servers: map[string]control.ServerState{server: {Demand: demand.Memory{Forecast: memory}}}}
	var replicas int
	for i := range 2 {
		snap := at(s, now+30*int64(i))
		snap.HorizonSeconds = 600
		d := decideOn(t, snap, state)
		if v := d.Verdicts[server]; !v.Planned {
			t.Fatal(v.Message)
		}
		for _, c := range d.Candidates {
			replicas = c.NumReplicas
		}
		state = d.State
	}
	return replicas, state
}

// The quantile decides the margin: by the policy, by the class, which goes first, and by the price of a violation.
func TestForecastQuantile(t *testing.T) {
	policy := func(q float64) func(*jsonspec.System) {
		return func(s *jsonspec.System) { s.Optimizer.Spec.ForecastQuantile = &q }
	}
	class := func(q float64) func(*jsonspec.System) {
		return func(s *jsonspec.System) { policy(0.5)(s); s.ServiceClasses.Spec[0].ForecastQuantile = &q }
	}
	priced := func(cents float64) func(*jsonspec.System) {
		return func(s *jsonspec.System) { s.ServiceClasses.Spec[0].ViolationCost = &cents }
	}
	at := func(forecaster string, change func(*jsonspec.System)) int {
		n, _ := replicasFor(t, forecaster, change)
		return n
	}
	own := at("adaptive", nil)
	half, most := at("adaptive", policy(0.5)), at("adaptive", policy(0.99))
	if !(half < own && own <= most) {
		t.Errorf("%d replicas at the median, %d by default, %d at the 0.99 quantile", half, own, most)
	}
	if n := at("adaptive", policy(forecast.DefaultQuantile)); n != own {
		t.Errorf("%d replicas by default, %d at the default quantile", own, n)
	}
	if n := at("adaptive", class(0.99)); n != most {
		t.Errorf("%d replicas, want those of the class's quantile, %d", n, most)
	}
	if plain, sized := at("none", nil), at("none", policy(0.99)); plain >= sized {
		t.Errorf("persistence: %d replicas without a quantile, %d with the 0.99", plain, sized)
	}
	_, state := replicasFor(t, "adaptive", nil)
	var price float64
	for _, m := range state.Servers {
		price = m.Sizing.CapacityPrice.OrNaN()
	}
	// c_o/c_v = 1/2, 1/10, 1/100 and more than one: the median, 0.9, 0.99 and no less than the median.
	for factor, q := range map[float64]float64{2: 0.5, 10: 0.9, 100: 0.99, 1e6: 0.99, 0.5: 0.5} {
		if got, want := at("adaptive", priced(factor*price)), at("adaptive", policy(q)); got != want {
			t.Errorf("a violation costs %g times what the capacity does: %d replicas, want those of the %v quantile, %d", factor, got, q, want)
		}
	}
}

func TestQuantilesAreChecked(t *testing.T) {
	s := observed(1000, 4, 20, 0)
	two := 2.0
	s.Optimizer.Spec.ForecastQuantile = &two
	if _, err := control.NewStages(&s.Optimizer.Spec); err == nil || !strings.Contains(err.Error(), "forecastQuantile: 2, want above 0 and below 1") {
		t.Errorf("error %v", err)
	}
	negative := -1.0
	for want, class := range map[string]jsonspec.ServiceClassSpec{
		"forecastQuantile: 2, want above 0 and below 1": {ForecastQuantile: &two},
		"violationCost: -1 is not allowed":              {ViolationCost: &negative},
	} {
		s := observed(1000, 4, 20, 0)
		s.ServiceClasses.Spec[0].ForecastQuantile, s.ServiceClasses.Spec[0].ViolationCost = class.ForecastQuantile, class.ViolationCost
		for _, v := range decide(t, s, control.State{}).Verdicts {
			if v.Planned || v.Reason != v1alpha1.ReasonInvalidSpec || !strings.Contains(v.Message, want) {
				t.Errorf("%+v, want %q", v, want)
			}
		}
	}
}
