package observe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// tenants is a Prometheus that answers a question by what stands in it, and remembers all.
type tenants struct {
	mu    sync.Mutex
	asked []string
}

func (p *tenants) answer(ctx context.Context, query string, _ time.Time) (model.Value, []string, error) {
	p.mu.Lock()
	p.asked = append(p.asked, query)
	p.mu.Unlock()
	switch {
	case strings.Contains(query, "hangs"):
		<-ctx.Done()
		return nil, nil, ctx.Err()
	case strings.Contains(query, "refused"):
		return nil, nil, errors.New("parse error")
	}
	return model.Vector{{Value: 3}}, nil, nil
}

func counting(namespace, name, counter string) v1alpha1.Server {
	return v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1alpha1.ServerSpec{ServerBinding: jsonspec.ServerBinding{
		Arrivals: &jsonspec.ArrivalCounter{Counter: counter, Labels: map[string]jsonspec.LabelValue{"a": "b"}},
	}}}
}

// However many counters of some namespaces fail or never answer, every other Server has its answer, and of each failing one there is a reason.
func TestCountersFailAlone(t *testing.T) {
	var servers []v1alpha1.Server
	for i := range 3 { // before all others by name
		for k := range 5 {
			servers = append(servers, counting(fmt.Sprintf("a-hostile-%d", i), fmt.Sprint(k), "hangs_total"))
		}
	}
	servers = append(servers, counting("broken", "refused", "refused_total"), counting("broken", "fine", "fine_total"), counting("broken", "invalid", "x-y"))
	for i := range 20 {
		servers = append(servers, counting("good", fmt.Sprint(i), "fine_total"))
	}
	var counters Counters
	p := &tenants{}
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		answers := counters.Read(ctx, source(t, Whole(p.answer)), servers, now, window)
		cancel()
		for i := range servers {
			s := &servers[i]
			got := answers[types.NamespacedName{Namespace: s.Namespace, Name: s.Name}]
			if fine := s.Spec.Arrivals.Counter == "fine_total"; fine != (got == Counted{Rate: 3, Known: true}) || fine != (got.Err == nil) {
				t.Errorf("%s/%s: %+v", s.Namespace, s.Name, got)
			}
		}
		p.mu.Lock()
		first := p.asked[0]
		hanging := 0
		for _, q := range p.asked {
			if strings.Contains(q, "x-y") || strings.Count(q, "namespace=") != 1 {
				t.Errorf("asked %s", q)
			}
			if strings.Contains(q, "hangs") {
				hanging++
			}
		}
		p.asked = nil
		p.mu.Unlock()
		if counters.took["good"] >= counters.took["a-hostile-0"] {
			t.Errorf("took %v", counters.took)
		}
		if hanging > 3*concurrentQueries {
			t.Errorf("%d questions were asked that hang, of 15", hanging)
		}
		t.Logf("first asked: %s", first)
	}
	// The second time those that answered soonest come first.
	if order := inTurns(servers, counters.took); order[0].Namespace == "a-hostile-0" {
		t.Errorf("asked first: %s", order[0].Namespace)
	}
}

// A counter that cannot be asked for holds its Server, with the field and what is allowed.
func TestCounterFault(t *testing.T) {
	for counter, want := range map[string]string{"x-y": v1alpha1.ReasonInvalidSpec, "refused_total": v1alpha1.ReasonCounterFailed, "fine_total": ""} {
		o := Observe(readings(func(r *Readings) {
			r.Resources.Servers[0].Spec.Arrivals = counting("", "", counter).Spec.Arrivals
			var counters Counters
			r.Arrivals = counters.Read(t.Context(), source(t, Whole(new(tenants).answer)), r.Resources.Servers, now, window)
		}))
		seen := o.Snapshot.System.Servers.Spec[0].Observation
		if seen.Fault != want || (want != "" && !strings.Contains(seen.Detail, "spec.arrivals")) {
			t.Errorf("%s: %q, %q", counter, seen.Fault, seen.Detail)
		}
	}
}

// source of a Prometheus that is asked for nothing in particular.
func source(t *testing.T, q Querier) *Source {
	t.Helper()
	s, err := NewSource(q, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Requests that came and were not served count, by what an engine says of them, and no request twice.
func TestUnservedRequestsCount(t *testing.T) {
	const served = 2.0 // requests per second that are completed
	for name, c := range map[string]struct {
		values map[Quantity]float64
		want   float64 // requests per second
	}{
		"all served":                          {nil, served},
		"answered as many":                    {map[Quantity]float64{Answered: served}, served},
		"a request of several prompts":        {map[Quantity]float64{Answered: 1}, served},
		"given up, which HTTP ends":           {map[Quantity]float64{Answered: 3}, 3},
		"refused by the engine":               {map[Quantity]float64{Refused: 0.5}, served + 0.5},
		"refused, which HTTP answers, too":    {map[Quantity]float64{Answered: 2.5, Refused: 0.5}, served + 0.5},
		"received, of which some are waiting": {map[Quantity]float64{Received: 3, WaitingNow: window.Seconds(), WaitingThen: 0}, 3},
		"received, more than went or waits":   {map[Quantity]float64{Received: 5, WaitingNow: window.Seconds(), WaitingThen: 0, Refused: 1}, 5},
		"infinite":                            {map[Quantity]float64{Answered: math.Inf(1)}, served},
	} {
		o := Observe(readings(func(r *Readings) {
			m := r.Metrics[types.NamespacedName{Namespace: "llm", Name: "chat-1"}] // the one that is ready
			for q, v := range c.values {
				m.Set(q, v)
			}
		}))
		if l := o.Statuses["llm/chat"].Load; l == nil || math.Abs(l.ArrivalRate-60*c.want) > 1e-6 {
			t.Errorf("%s: %+v, want %v a minute", name, l, 60*c.want)
		}
	}
}
