package control_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// tenant is a namespace with one server of the model that all share: what its pods on an accelerator show.
type tenant struct {
	namespace, accelerator string
	// itl in ms; the law that was given predicts about 22.
	itl float64
	// cache of its engines in tokens, and seconds that its pods took to start; 0 shows none.
	cache, startUp float64
}

// shared is a system of tenants on two accelerators of one price.
func shared(i int, trusted []string, tenants ...tenant) *jsonspec.System {
	seconds := 1000 + 60*int64(i)
	s := observed(seconds, 4, 22, 0)
	s.Accelerators.Spec = append(s.Accelerators.Spec, jsonspec.AcceleratorEntry{Name: "B", AcceleratorSpec: s.Accelerators.Spec[0].AcceleratorSpec})
	s.Accelerators.Spec[1].Cost = 90
	slower := s.Models.Spec[0]
	slower.Acc = "B"
	slower.PerfParms = &jsonspec.PerfParms{Alpha: 16, Beta: 0.05, Gamma: 6e-5}
	s.Models.Spec = append(s.Models.Spec, slower)
	s.Models.Info = []jsonspec.ModelInfo{{Name: "m", ModelProperties: jsonspec.ModelProperties{TrustedNamespaces: trusted}}}
	s.Servers.Spec = nil
	for _, t := range tenants {
		e := observed(seconds, 4, t.itl, 0).Servers.Spec[0]
		e.Name, e.Namespace, e.CurrentAlloc.Accelerator = t.namespace+"/s", t.namespace, t.accelerator
		o := e.Observation
		o.Parts[0].Accelerator, o.Groups[0].Accelerator = t.accelerator, t.accelerator
		if t.cache > 0 {
			o.Groups[0].KVTokens = &t.cache
		}
		if t.startUp > 0 {
			o.Starts = []jsonspec.ObservedStart{{Accelerator: t.accelerator, ReadyAt: metav1.NewTime(time.Unix(seconds, 0)), Seconds: t.startUp}}
		}
		s.Servers.Spec = append(s.Servers.Spec, e)
	}
	return s
}

// planOf the server of a namespace after half an hour of what tenants show.
func planOf(t *testing.T, namespace string, trusted []string, tenants ...tenant) jsonspec.Allocation {
	t.Helper()
	d := cycles(t, 30, func(i int) *jsonspec.System { return shared(i, trusted, tenants...) })
	a := d.Plan.Allocations[namespace+"/s"]
	a.Load = nil
	return a
}

// Whatever the pods of one namespace show, of whichever accelerator, the plans of another are the same.
func TestPoisonedMetricsMoveNoOthersPlan(t *testing.T) {
	honest := tenant{namespace: "honest", accelerator: "A", itl: 25, cache: 400000, startUp: 120}
	for _, trusted := range [][]string{nil, {"honest"}} {
		alone := planOf(t, "honest", trusted, honest)
		for _, poison := range []tenant{
			{"poison", "A", 2, 0, 0}, {"poison", "A", 200, 0, 0}, {"poison", "A", 22, 100, 0}, {"poison", "A", 22, 0, 3600},
			{"poison", "B", 2, 0, 0}, {"poison", "B", 200, 0, 0}, {"poison", "B", 22, 100, 0}, {"poison", "B", 22, 0, 3600},
		} {
			if diff := cmp.Diff(alone, planOf(t, "honest", trusted, honest, poison)); diff != "" {
				t.Errorf("trusted %v, poison %+v: %s", trusted, poison, diff)
			}
		}
	}
}

// What one namespace shows of an accelerator is no use to another that never ran there, unless it is trusted or a third shows the same.
func TestWhatOthersTeach(t *testing.T) {
	never := tenant{namespace: "never", accelerator: "A", itl: 22}
	fast := func(namespace string, itl float64) tenant {
		return tenant{namespace: namespace, accelerator: "B", itl: itl}
	}
	for _, c := range []struct {
		name    string
		trusted []string
		others  []tenant
		want    string
	}{
		{"nobody", nil, nil, "A"},
		{"one", nil, []tenant{fast("x", 8)}, "A"},
		{"one that is trusted", []string{"x"}, []tenant{fast("x", 8)}, "B"},
		{"two that show the same", nil, []tenant{fast("x", 8), fast("y", 8.5)}, "B"},
		{"two that do not", nil, []tenant{fast("x", 8), fast("y", 24)}, "A"},
		{"two of three", nil, []tenant{fast("w", 1), fast("x", 8), fast("y", 8.5)}, "B"},
	} {
		if got := planOf(t, "never", c.trusted, append(c.others, never)...); got.Accelerator != c.want {
			t.Errorf("%s: planned on %s, want %s: %s", c.name, got.Accelerator, c.want, got.Reason)
		}
	}
}

// What is remembered of a pair is bounded, and those that serve are remembered.
func TestTeachersAreBounded(t *testing.T) {
	many := func(prefix string, n int) (list []tenant) {
		for i := range n {
			list = append(list, tenant{namespace: fmt.Sprintf("%s%02d", prefix, i), accelerator: "A", itl: 22})
		}
		return list
	}
	d := cycles(t, 6, func(i int) *jsonspec.System {
		if i < 3 {
			return shared(i, nil, many("gone", 12)...)
		}
		return shared(i, nil, many("here", 12)...)
	})
	learned := d.State.Learned["m"]
	if len(learned) != 16 {
		t.Errorf("%d namespaces are remembered, want 16", len(learned))
	}
	for _, here := range many("here", 12) {
		if learned[v1alpha1.PairKey(here.namespace, "A")] == nil {
			t.Errorf("%s serves and is forgotten", here.namespace)
		}
	}
}

// Start-up times are those of a pair, and those that others took are believed as long as it showed none.
func TestStartUpsAreLearned(t *testing.T) {
	at := func(i int, startUp float64) *jsonspec.System {
		return shared(i, nil, tenant{namespace: "x", accelerator: "A", itl: 22, startUp: startUp})
	}
	d := cycles(t, 5, func(i int) *jsonspec.System { return at(i, 300) })
	m := d.State.Learned["m"]["x/A"]
	if m == nil || m.StartUp == nil || m.StartUp.Count != 5 || m.StartUp.Seconds != 300 {
		t.Fatalf("learned %+v", m)
	}
	// A start that was counted is not counted again, and one odd start moves the mean by little.
	again := decide(t, at(4, 300), d.State)
	if got := again.State.Learned["m"]["x/A"].StartUp; *got != *m.StartUp {
		t.Errorf("the same start made %+v of %+v", got, m.StartUp)
	}
	odd := decide(t, at(5, 3600), d.State)
	if got := odd.State.Learned["m"]["x/A"].StartUp.Seconds; !(got > 300 && got <= 350) {
		t.Errorf("one odd start made %v s of 300", got)
	}
}
