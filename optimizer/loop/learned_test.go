package loop

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

func TestLearnedCondition(t *testing.T) {
	since := metav1.NewTime(time.Unix(0, 0))
	good := &v1alpha1.PairMemory{Observations: 120, LearnedSince: &since, ITLError: 0.031, TTFTError: 0.08, Rejected: 4, LastRejection: "itl is odd"}
	failing := &v1alpha1.PairMemory{Observations: 7, Unreliable: true}
	restarted := &v1alpha1.PairMemory{Notice: "learning begins anew: version 1, not 2"}
	for _, c := range []struct {
		name    string
		learned map[string]*v1alpha1.PairMemory
		probes  []jsonspec.Probe
		want    string
		says    []string
	}{
		{"nothing", nil, nil, "False NothingLearned", []string{"was given"}},
		{"learned", map[string]*v1alpha1.PairMemory{"h100": good}, nil, "True Learned",
			[]string{"h100: 120 observations", "since 1970-01-01 00:00", "3.1 % in ITL and 8 % in TTFT", "4 rejected, the last because itl is odd"}},
		{"failing", map[string]*v1alpha1.PairMemory{"h100": good, "l4": failing}, nil, "False PredictionsFail", []string{"l4: 7 observations, predictions keep failing"}},
		{"restarted", map[string]*v1alpha1.PairMemory{"h100": good, "l4": restarted}, nil, "False LearningRestarted", []string{"l4: 0 observations, learning begins anew: version 1"}},
		{"failing and restarted", map[string]*v1alpha1.PairMemory{"h100": restarted, "l4": failing}, nil, "False PredictionsFail", nil},
		{"probe", map[string]*v1alpha1.PairMemory{"h100": good}, []jsonspec.Probe{{Server: "chat", Accelerator: "l4", PlannedRunning: 40, Running: 32, SDBefore: 0.4, SDAfter: 0.1}}, "True Learned",
			[]string{"suggestion: let 32 run on a replica of chat on l4", "10 % instead of 40 %"}},
		{"probing", map[string]*v1alpha1.PairMemory{"h100": good}, []jsonspec.Probe{{Server: "chat", Accelerator: "h100", PlannedRunning: 40, SDBefore: 0.4, Replicas: 3, Until: 90}}, "True Probing",
			[]string{"probing: 3 replicas of chat on h100 until 00:01:30", "the ITL of 40 running, known to 40 %"}},
		{"probing one, failing on another", map[string]*v1alpha1.PairMemory{"l4": failing}, []jsonspec.Probe{{Replicas: 3}}, "False PredictionsFail", nil},
	} {
		got := learnedCondition(c.learned, c.probes)
		if string(got.Status)+" "+got.Reason != c.want || got.Type != v1alpha1.ConditionLearned {
			t.Errorf("%s: %s %s, want %s", c.name, got.Status, got.Reason, c.want)
		}
		for _, says := range c.says {
			if !strings.Contains(got.Message, says) {
				t.Errorf("%s: %q does not say %q", c.name, got.Message, says)
			}
		}
	}
}

func TestModelEvents(t *testing.T) {
	status := func(reason string) *v1alpha1.ModelStatus {
		if reason == "" {
			return &v1alpha1.ModelStatus{}
		}
		return &v1alpha1.ModelStatus{Conditions: []metav1.Condition{{Type: v1alpha1.ConditionLearned, Reason: reason, Message: "m"}}}
	}
	for _, c := range []struct {
		before, after string
		want          []string
	}{
		{"", v1alpha1.ReasonNothingLearned, nil},
		{v1alpha1.ReasonNothingLearned, v1alpha1.ReasonLearned, nil},
		{v1alpha1.ReasonLearned, v1alpha1.ReasonPredictionsFail, []string{"Warning PredictionsFail m"}},
		{v1alpha1.ReasonPredictionsFail, v1alpha1.ReasonPredictionsFail, nil},
		{v1alpha1.ReasonPredictionsFail, v1alpha1.ReasonLearned, []string{"Normal Learned predictions hold again"}},
		{v1alpha1.ReasonLearned, v1alpha1.ReasonProbing, []string{"Normal Probing m"}},
		{v1alpha1.ReasonProbing, v1alpha1.ReasonProbing, nil},
		{v1alpha1.ReasonProbing, v1alpha1.ReasonLearned, []string{"Normal Learned the probe has ended: m"}},
		{v1alpha1.ReasonLearned, v1alpha1.ReasonLearningRestarted, []string{"Warning LearningRestarted m"}},
	} {
		var got []string
		for _, e := range modelEvents(status(c.before), status(c.after)) {
			got = append(got, e.kind+" "+e.reason+" "+e.message)
		}
		if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q → %q: %s", c.before, c.after, diff)
		}
	}
}

func TestLearningMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := newMetrics(registry)
	since := metav1.NewTime(time.Unix(60, 0))
	m.model("m", map[string]*v1alpha1.PairMemory{"chat/h100": {Acc: "h100", Namespace: "chat", Observations: 3, Rejected: 2, ITLError: 0.5, TTFTError: 0.25, Unreliable: true, LearnedSince: &since}})
	want := `
# HELP inferno_learning_prediction_error_ratio Recent mean error of predictions one step ahead, as a share of what was measured, by latency: itl or ttft.
# TYPE inferno_learning_prediction_error_ratio gauge
inferno_learning_prediction_error_ratio{accelerator="h100",latency="itl",model="m",namespace="chat"} 0.5
inferno_learning_prediction_error_ratio{accelerator="h100",latency="ttft",model="m",namespace="chat"} 0.25
# HELP inferno_learning_unreliable 1 while predictions of a pair keep failing and plans keep to a floor by saturation.
# TYPE inferno_learning_unreliable gauge
inferno_learning_unreliable{accelerator="h100",model="m",namespace="chat"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "inferno_learning_prediction_error_ratio", "inferno_learning_unreliable"); err != nil {
		t.Error(err)
	}
	m.settle()
	if n := testutil.CollectAndCount(m.observations); n != 1 {
		t.Errorf("%d series of a model, want 1", n)
	}
	m.settle()
	if n := testutil.CollectAndCount(m.observations); n != 0 {
		t.Errorf("%d series of models that are gone", n)
	}
}

// Limits that an engine was seen not to keep are told once, and that they hold again.
func TestLimitsHold(t *testing.T) {
	var st v1alpha1.ServerStatus
	condition := func() *metav1.Condition { return meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionLimitsHold) }
	setOnceFalse(&st, limitsHold(""), 1, metav1.Now())
	if condition() != nil {
		t.Errorf("%+v of a server whose engines always kept their limits", condition())
	}
	setOnceFalse(&st, limitsHold("2 pods run more"), 1, metav1.Now())
	if c := condition(); c == nil || c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "2 pods run more") {
		t.Errorf("%+v", c)
	}
	setOnceFalse(&st, limitsHold(""), 1, metav1.Now())
	if c := condition(); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("%+v", c)
	}
}
