package gatewatch_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"github.com/llm-inferno/inferno/metricsadapter/gatewatch"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement/seats/seatstest"
)

// cluster of one Server, which takes conditions unless it is broken.
type cluster struct {
	pods   []corev1.Pod
	server *v1alpha1.Server
	broken error
	writes int
}

func (c *cluster) Pending(context.Context) ([]corev1.Pod, error) { return c.pods, nil }
func (c *cluster) Servers() []*v1alpha1.Server                   { return []*v1alpha1.Server{c.server} }
func (c *cluster) SetCondition(_ context.Context, s *v1alpha1.Server, condition *metav1.Condition) error {
	if c.writes++; c.broken != nil {
		return c.broken
	}
	if condition == nil {
		meta.RemoveStatusCondition(&s.Status.Conditions, v1alpha1.ConditionGatesLifted)
		return nil
	}
	meta.SetStatusCondition(&s.Status.Conditions, *condition)
	return nil
}

// Pods behind a gate are told of once they waited for longer than a replica starts: where nobody stands by the plan, as what it is, and else that there is no seat for
// them. It is said once, and taken back.
func TestOverdueGatesAreTold(t *testing.T) {
	now := time.Unix(10_000, 0)
	server := seatstest.Server(seatstest.Part("h100", 2))
	server.Status.Desired.Replicas, server.Status.Desired.StaleAfterSeconds, server.Status.Desired.ConfirmedAt = 2, 300, metav1.NewTime(now)
	gated := func(name string, age time.Duration) corev1.Pod {
		p := seatstest.Pod(name, "r1")
		p.CreationTimestamp = metav1.NewTime(now.Add(-age))
		p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: v1alpha1.PlacementGate}}
		return *p
	}
	free := *seatstest.Pod("free", "r1")
	c := &cluster{server: server, pods: []corev1.Pod{gated("new", time.Minute), free}}
	recorder, registry := events.NewFakeRecorder(10), prometheus.NewRegistry()
	w, err := gatewatch.New(gatewatch.Watch{Cluster: c, Events: recorder, Now: func() time.Time { return now }, After: 5 * time.Minute}, registry)
	if err != nil {
		t.Fatal(err)
	}
	look := func(reason, words string, pods float64) {
		t.Helper()
		if err := w.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := meta.FindStatusCondition(server.Status.Conditions, v1alpha1.ConditionGatesLifted)
		switch {
		case reason == "" && got != nil:
			t.Errorf("told: %+v", got)
		case reason != "" && (got == nil || got.Status != metav1.ConditionFalse || got.Reason != reason || !strings.Contains(got.Message, words)):
			t.Errorf("told %+v, want %s, %q", got, reason, words)
		}
		if reason != "" {
			want := "# HELP inferno_gates_overdue_pods Pods of a server that wait behind their gate for longer than a replica takes to start, by why.\n# TYPE inferno_gates_overdue_pods gauge\n" +
				`inferno_gates_overdue_pods{namespace="llm",reason="` + reason + `",server="chat"} ` + map[float64]string{1: "1", 5: "5"}[pods] + "\n"
			if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
				t.Error(err)
			}
		} else if n, err := testutil.GatherAndCount(registry); err != nil || n != 0 {
			t.Errorf("%d series where no pod waits, %v", n, err)
		}
	}
	look("", "", 0)
	c.pods = append(c.pods, gated("old", 6*time.Minute))
	look(v1alpha1.ReasonNoSeat, "old; the plan has 2 replicas, and no seat", 1)
	look(v1alpha1.ReasonNoSeat, "old", 1)
	if c.writes != 1 || len(recorder.Events) != 1 {
		t.Errorf("%d writes and %d events where nothing changed", c.writes, len(recorder.Events))
	}
	server.Status.Desired.ConfirmedAt = metav1.NewTime(now.Add(-10 * time.Minute))
	for _, name := range []string{"a", "b", "c", "d"} {
		c.pods = append(c.pods, gated(name, time.Hour))
	}
	look(v1alpha1.ReasonGateNotLifted, "a, b, c and 2 more; no cycle has confirmed the plan since 1970-01-01T02:36:40Z: see that the optimizer runs", 5)
	server.Status.Desired = nil
	c.broken = errors.New("no")
	if err := w.Look(t.Context()); err == nil || !strings.Contains(err.Error(), "1 Servers") {
		t.Errorf("a write that is refused gives %v", err)
	}
	c.broken = nil
	look(v1alpha1.ReasonGateNotLifted, "there is no plan", 5)
	c.pods = c.pods[:2]
	look("", "", 0)
}
