package control_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/forecast"
)

// rising decides every 30 s on a server of which a node takes so many seconds to come, for a load in requests per minute at each time, and follows the plan.
type rising struct {
	t      *testing.T
	ahead  float64
	change func(*jsonspec.System)
	now    int64
	state  control.State
	plan   *jsonspec.Allocation
	// each is what a replica sustains, in requests per minute, as it was planned last.
	each float64
}

func (r *rising) system(rate float64) *jsonspec.System {
	s := observed(r.now, 2, 20, 0)
	e := &s.Servers.Spec[0]
	e.MinNumReplicas, e.DesiredAlloc = 1, r.plan
	e.CurrentAlloc.Load.ArrivalRate = rate
	s.Optimizer.Spec.AheadSeconds = r.ahead
	if r.change != nil {
		r.change(s)
	}
	return s
}

func (r *rising) decide(s *jsonspec.System) jsonspec.Allocation {
	r.t.Helper()
	r.now += 30
	snap := at(s, r.now)
	snap.HorizonSeconds, snap.WindowSeconds = 30, 60
	d := decideOn(r.t, snap, r.state)
	a := d.Plan.Allocations["s"]
	r.state, r.plan = d.State, &a
	for _, c := range d.Candidates {
		r.each = c.RatePerReplica
	}
	return a
}

func (r *rising) at(rate float64) jsonspec.Allocation {
	r.t.Helper()
	return r.decide(r.system(rate))
}

// later is the rate, per minute, that a rise goes to by the time a node has come.
func (r *rising) later() float64 {
	m := r.state.Servers["s"].Demand
	rise := forecast.Rise(m.Recent, 60, 30+r.ahead, m.Bursts)
	if math.IsNaN(rise) {
		rise = forecast.Level(m.Recent, 60, m.Bursts)
	}
	return jsonspec.PerMinute(rise)
}

// What is needed ahead of time is what a plan for the load to come has beyond this one, and changes nothing else.
func TestAheadIsWhatTheLoadToComeNeeds(t *testing.T) {
	source := rand.New(rand.NewPCG(1, 2))
	more := 0
	for range 40 {
		base, slope := 1000+9000*source.Float64(), 6000*source.Float64()
		off, on := rising{t: t, now: 1000}, rising{t: t, now: 1000, ahead: 60 + 300*source.Float64()}
		for k := range 5 {
			rate := base + slope*float64(k)
			without, with := off.at(rate), on.at(rate)
			if without.Ahead != 0 || without.NumReplicas != with.NumReplicas || without.Cost != with.Cost {
				t.Fatalf("%+v where nothing is asked ahead of time, %+v where it is", without, with)
			}
			if want := int(math.Ceil(on.later() / on.each)); k == 4 && with.NumReplicas+with.Ahead != want {
				t.Errorf("%d replicas and %d ahead of time at %.0f a minute that go to %.0f, which %d sustain", with.NumReplicas, with.Ahead, rate, on.later(), want)
			}
			more += with.Ahead
		}
	}
	if more == 0 {
		t.Error("nothing was asked for ahead of time")
	}
}

// Forecasters are asked how high the load may be when a node has come: the longer that takes the more is needed.
func TestAheadIsForecast(t *testing.T) {
	for _, name := range []string{"none", "adaptive"} {
		last := 0
		for _, seconds := range []float64{0, 60, 7200} {
			_, state := replicasFor(t, name, func(s *jsonspec.System) {
				q := 0.9
				s.Optimizer.Spec.ForecastQuantile = &q
				s.Optimizer.Spec.AheadSeconds = seconds
			})
			asked := 0
			for _, a := range state.Servers["s"].Ahead {
				asked = a.Replicas
			}
			if asked < last || seconds == 0 && asked > 0 || seconds == 7200 && asked == 0 {
				t.Errorf("%s: %d replicas by the time of a node that takes %v s, after %d of one that takes less", name, asked, seconds, last)
			}
			last = asked
		}
	}
}

// climbed is a server after a rise, with what it asks for.
func climbed(t *testing.T, change func(*jsonspec.System)) (*rising, jsonspec.Allocation) {
	t.Helper()
	r := &rising{t: t, now: 1000, ahead: 300, change: change}
	var a jsonspec.Allocation
	for _, rate := range []float64{3000, 3000, 6000, 9000, 12000} {
		a = r.at(rate)
	}
	return r, a
}

// A server at rest asks for nothing. What was asked for is asked for until it is planned, or until a node that was asked for has come and is not needed.
func TestAheadStaysForAsLongAsANodeTakes(t *testing.T) {
	r, a := climbed(t, nil)
	if a.Ahead == 0 {
		t.Fatal("nothing is asked for ahead of time")
	}
	total, since := a.NumReplicas+a.Ahead, r.now
	for ; r.now-since < 270; a = r.at(12000) {
		if a.NumReplicas+a.Ahead < total {
			t.Fatalf("%d s after the rise %d replicas and %d ahead, which were %d", r.now-since, a.NumReplicas, a.Ahead, total)
		}
	}
	for range 10 {
		a = r.at(12000)
	}
	if a.Ahead != 0 || r.state.Servers["s"].Ahead != nil {
		t.Errorf("%d are still asked for, %v is remembered", a.Ahead, r.state.Servers["s"].Ahead)
	}

	r, a = climbed(t, nil)
	total = a.NumReplicas + a.Ahead
	for k := 1; a.NumReplicas < total; k++ {
		if a = r.at(12000 + 2000*float64(k)); k > 50 {
			t.Fatal("the plan does not grow")
		}
	}
	for range 12 { // in the end less is needed, and what is planned less is not asked for again
		a = r.at(2000)
	}
	if a.Ahead != 0 {
		t.Errorf("%d are asked for of a load that fell", a.Ahead)
	}
}

// A restart, and a time without measurements, change nothing of what is asked for.
func TestAheadOutlivesRestartsAndFaults(t *testing.T) {
	r, a := climbed(t, nil)
	r.state = control.State{}
	if b := r.at(12000); b.NumReplicas+b.Ahead != a.NumReplicas+a.Ahead {
		t.Errorf("after a restart %d replicas and %d ahead, before %d and %d", b.NumReplicas, b.Ahead, a.NumReplicas, a.Ahead)
	}
	r, a = climbed(t, nil)
	s := r.system(12000)
	s.Servers.Spec[0].CurrentAlloc.Load = nil
	s.Servers.Spec[0].Observation.Fault = v1alpha1.ReasonNoMetrics
	for range 30 {
		if b := r.decide(s); b.NumReplicas != a.NumReplicas || b.Ahead != a.Ahead {
			t.Fatalf("without measurements %d replicas and %d ahead, before %d and %d", b.NumReplicas, b.Ahead, a.NumReplicas, a.Ahead)
		}
	}
}

// Nothing is asked for that the server, or its share, may not have; nor where a target is on tokens per second.
func TestAheadKeepsToBounds(t *testing.T) {
	_, free := climbed(t, nil)
	for bound := free.NumReplicas; bound <= free.NumReplicas+free.Ahead+1; bound++ {
		want := min(bound-free.NumReplicas, free.Ahead)
		for name, change := range map[string]func(*jsonspec.System){
			"maxReplicas": func(s *jsonspec.System) { s.Servers.Spec[0].MaxNumReplicas = bound },
			"cards of a share": func(s *jsonspec.System) {
				s.Optimizer.Spec.Shares = []jsonspec.ShareBounds{{Name: "team", Cards: []jsonspec.ShareCards{{Type: "A", Most: &bound}}}}
				s.Servers.Spec[0].Share = "team"
			},
		} {
			if _, a := climbed(t, change); a.NumReplicas != free.NumReplicas || a.Ahead != want {
				t.Errorf("%s %d: %d replicas and %d ahead, want %d and %d", name, bound, a.NumReplicas, a.Ahead, free.NumReplicas, want)
			}
		}
	}
	if _, a := climbed(t, func(s *jsonspec.System) { s.ServiceClasses.Spec[0].ModelTargets[0].TPS = 3000 }); a.Ahead != 0 {
		t.Errorf("%d are asked for, whatever the load", a.Ahead)
	}
}

func TestAheadSecondsAreChecked(t *testing.T) {
	for _, seconds := range []float64{-1, jsonspec.MaxAheadSeconds + 1, math.NaN(), math.Inf(1)} {
		_, err := control.NewStages(&jsonspec.OptimizerEntry{SolverPolicy: jsonspec.SolverPolicy{AheadSeconds: seconds}})
		if want := fmt.Sprintf("aheadSeconds: %v is not allowed, must be from 0 to 86400", seconds); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
