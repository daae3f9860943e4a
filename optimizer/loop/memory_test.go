package loop

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// A process that begins reads the history of loads back from Prometheus, as far as the forecaster remembers, tries again where it does not
// answer, and goes on from there.
func TestHistoryIsReadBack(t *testing.T) {
	s := newStage(t)
	var o v1alpha1.Optimizer
	if err := s.client.Get(context.Background(), client.ObjectKey{Name: "default"}, &o); err != nil {
		t.Fatal(err)
	}
	o.Spec.Forecaster = &v1alpha1.Forecaster{Adaptive: &v1alpha1.ForecasterOptions{}}
	if err := s.client.Update(context.Background(), &o); err != nil {
		t.Fatal(err)
	}
	s.settle()
	const windows = 500
	begin := s.clock.Now().Truncate(10 * time.Minute).Add(-windows * 10 * time.Minute)
	for i := range windows {
		s.history = append(s.history, model.SamplePair{Timestamp: model.TimeFromUnix(begin.Unix() + int64(i)*600), Value: 7})
	}
	s.history[3].Value = -1 // no rate

	restarted := s.start()
	s.prometheus = errors.New("connection refused")
	if err := s.cycle(restarted); err != nil {
		t.Fatal(err)
	}
	if m := restarted.state.Servers["llm/chat"].Demand.Forecast; !m.IsZero() && m.Since < float64(begin.Unix()+windows*600) {
		t.Fatalf("remembers what was since %v while Prometheus is away", m.Since)
	}
	s.prometheus = nil
	for range 3 {
		if err := s.cycle(restarted); err != nil {
			t.Fatal(err)
		}
	}
	if since := restarted.state.Servers["llm/chat"].Demand.Forecast.Since; since != float64(begin.Unix())-300 {
		t.Errorf("remembers what was since %v, want %v", since, begin.Unix()-300)
	}
}

// What a server waited for capacity with is in its status.
func TestStateFromStatus(t *testing.T) {
	at := metav1.NewTime(time.Unix(5000, 0))
	st := v1alpha1.ServerStatus{Load: &v1alpha1.ObservedLoad{ObservedAt: at, Load: jsonspec.Load{ArrivalRate: 120, AvgInTokens: 100, AvgOutTokens: 50}}}
	m := fromStatus(&st)
	if m.Waits || len(m.Demand.Recent) != 0 || m.Demand.Lengths == nil || m.Demand.Lengths.OutputTokens != 50 || m.Demand.Lengths.Time != 5000 {
		t.Errorf("of a server that is served: %+v", m)
	}
	meta.SetStatusCondition(&st.Conditions, metav1.Condition{Type: v1alpha1.ConditionPlanned, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNoCapacity})
	if m = fromStatus(&st); !m.Waits || len(m.Demand.Recent) != 1 || m.Demand.Recent[0].Rate != 2 {
		t.Errorf("of a server that waits: %+v", m)
	}
	if m = fromStatus(&v1alpha1.ServerStatus{}); m.Waits || m.Demand.Lengths != nil {
		t.Errorf("of a new server: %+v", m)
	}
}
