package loop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

var (
	earlier = metav1.NewTime(time.Unix(1000, 0))
	now     = metav1.NewTime(time.Unix(2000, 0))
)

func plan(accelerator string, replicas int) []jsonspec.AllocationPart {
	return []jsonspec.AllocationPart{{Accelerator: accelerator, Replicas: replicas}}
}

func on(accelerator string, ready, starting int) jsonspec.ObservedPart {
	return jsonspec.ObservedPart{Accelerator: accelerator, Ready: ready, Starting: starting}
}

func pod(name, on string, age time.Duration) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(now.Add(-age)), Labels: map[string]string{"acc": on}},
		Spec:       corev1.PodSpec{NodeName: on},
	}
}

// stays says of any pod that its node does.
func stays(*corev1.Pod) bool { return false }

// On each accelerator the oldest pods keep their place; those that wait for a node are in nobody's way.
func TestOverQuota(t *testing.T) {
	pods := []*corev1.Pod{pod("a-young", "A", 1), pod("a-old", "A", 3), pod("a-mid", "A", 2), pod("b", "B", 9), pod("waiting", "", 9), pod("c", "C", 1)}
	over := overQuota([]jsonspec.AllocationPart{{Accelerator: "A", Replicas: 2}, {Accelerator: "C", Replicas: 5}}, pods, looks{func(p *corev1.Pod) jsonspec.ObservedPart { return jsonspec.ObservedPart{Accelerator: p.Labels["acc"]} }, func(*corev1.Pod) (float64, float64) { return math.NaN(), math.NaN() }, stays})
	var names []string
	for _, p := range pods {
		if over[p] {
			names = append(names, p.Name)
		}
	}
	if diff := cmp.Diff([]string{"a-young", "b"}, names); diff != "" {
		t.Error(diff)
	}
}

// A pod that is not measured is not taken for idle, nor for the busiest.
func TestUnmeasuredPodsAreNotIdle(t *testing.T) {
	requests := map[string]float64{"idle": 0, "busy": 9, "unknown": math.NaN()}
	pods := []*corev1.Pod{pod("unknown", "A", 1), pod("idle", "A", 3), pod("busy", "A", 2)}
	at := looks{func(*corev1.Pod) jsonspec.ObservedPart { return jsonspec.ObservedPart{Accelerator: "A"} }, func(p *corev1.Pod) (float64, float64) { return requests[p.Name], math.NaN() }, stays}
	for replicas, want := range map[int][]string{2: {"idle"}, 1: {"idle", "unknown"}} {
		over := overQuota(plan("A", replicas), pods, at)
		if len(over) != len(want) {
			t.Errorf("of %d replicas %d go, want %v", replicas, len(over), want)
		}
		for _, p := range pods {
			if over[p] != slices.Contains(want, p.Name) {
				t.Errorf("of %d replicas %s goes: %v, want %v", replicas, p.Name, over[p], want)
			}
		}
	}
}

// What a workload numbers goes by its number. Costs are not written there, and where others should go it is said.
func TestNumberedPodsGoByNumber(t *testing.T) {
	yes := true
	numbered := func(name string, labels map[string]string) *corev1.Pod {
		p := pod(name, "A", 1)
		p.Labels = labels
		p.OwnerReferences = []metav1.OwnerReference{{Kind: "StatefulSet", Name: "chat", Controller: &yes}}
		return p
	}
	group := func(n string) map[string]string {
		return map[string]string{placement.LWSName: "chat", placement.LWSGroup: n}
	}
	first, last, leader, worker := numbered("chat-0", nil), numbered("chat-10", nil), numbered("chat-1", group("1")), numbered("chat-0-1", group("0"))
	free := pod("chat-5d4-x7", "A", 1)
	all := []*corev1.Pod{first, last, leader, worker, free}
	for name, tt := range map[string]struct {
		over  []*corev1.Pod
		words []string
		costs int
	}{
		"the highest":          {[]*corev1.Pod{last, leader}, nil, 0},
		"none":                 {nil, nil, 0},
		"all":                  {all, nil, 1},
		"another":              {[]*corev1.Pod{first, free}, []string{"StatefulSet chat removes chat-10 before chat-0"}, 1},
		"a group":              {[]*corev1.Pod{worker}, []string{"LeaderWorkerSet chat removes chat-1 before chat-0-1"}, 0},
		"of one without order": {[]*corev1.Pod{free}, nil, 1},
	} {
		over := map[*corev1.Pod]bool{}
		for _, p := range tt.over {
			over[p] = true
		}
		if diff := cmp.Diff(tt.words, wrongOrder(over, all)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if costs := deletionCosts(over, all); len(costs) != tt.costs {
			t.Errorf("%s: %d costs are written, want %d", name, len(costs), tt.costs)
		}
	}
}

func allocation(accelerator string, replicas int) *jsonspec.Allocation {
	return &jsonspec.Allocation{Accelerator: accelerator, NumReplicas: replicas, MaxBatch: 8, Cost: 5, Load: &jsonspec.Load{ArrivalRate: 60}}
}

func decided(a *jsonspec.Allocation, v fleet.Verdict) planned {
	var plan *v1alpha1.DesiredState
	if a != nil {
		plan = specification.Desired(a)
	}
	return planned{plan: plan, verdict: v, staleAfter: metav1.Duration{Duration: time.Minute}, now: now}
}

var good = fleet.Verdict{Planned: true, Reason: v1alpha1.ReasonPlanned, Message: "cheapest"}

func TestDesired(t *testing.T) {
	last := &v1alpha1.DesiredState{Replicas: 3, Parts: []jsonspec.AllocationPart{{Accelerator: "A", Replicas: 3, MaxBatchSize: 8}}, DecidedAt: earlier, ConfirmedAt: earlier}

	same := desired(last, decided(allocation("A", 3), good))
	if !same.DecidedAt.Equal(&earlier) || !same.ConfirmedAt.Equal(&now) || same.StaleAfterSeconds != 60 {
		t.Errorf("a plan that was confirmed: %+v", same)
	}
	other := desired(last, decided(allocation("A", 4), good))
	if !other.DecidedAt.Equal(&now) || other.Replicas != 4 {
		t.Errorf("a plan that changed: %+v", other)
	}
	// What nobody decided stays; what was decided to be nothing becomes nothing.
	if kept := desired(last, decided(nil, fleet.Verdict{Reason: v1alpha1.ReasonUnknownModel})); kept != last {
		t.Errorf("an unknown model changed the plan to %+v", kept)
	}
	if none := desired(last, decided(nil, fleet.Verdict{Reason: v1alpha1.ReasonNoCapacity, Message: "needs 4"})); none.Replicas != 0 || len(none.Parts) != 0 || none.Reason != "needs 4" {
		t.Errorf("without capacity the plan is %+v", none)
	}
}

func conditions(t *testing.T, st v1alpha1.ServerStatus) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, c := range st.Conditions {
		got[c.Type] = string(c.Status) + " " + c.Reason
		if c.Message == "" || c.ObservedGeneration != 7 {
			t.Errorf("condition %+v", c)
		}
	}
	return got
}

func TestServerStatus(t *testing.T) {
	server := &v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Generation: 7}}
	observed := v1alpha1.ServerStatus{Current: []jsonspec.ObservedPart{on("A", 3, 0)}, Load: &v1alpha1.ObservedLoad{Load: jsonspec.Load{AvgOutTokens: 1}}}
	st := serverStatus(server, observed, &jsonspec.Observation{}, decided(allocation("A", 3), good))
	if diff := cmp.Diff(map[string]string{"Observed": "True Observed", "Planned": "True Planned", "Realised": "True Realised", "Ready": "True Realised"}, conditions(t, st)); diff != "" {
		t.Error(diff)
	}
	server.Status = st

	st = serverStatus(server, observed, &jsonspec.Observation{Fault: v1alpha1.ReasonNoMetrics, Detail: "none"}, decided(allocation("A", 5), fleet.Verdict{Reason: v1alpha1.ReasonNoMetrics, Message: "held"}))
	if diff := cmp.Diff(map[string]string{"Observed": "False NoMetrics", "Planned": "False NoMetrics", "Realised": "False Realising", "Ready": "False NoMetrics"}, conditions(t, st)); diff != "" {
		t.Error(diff)
	}
	if c := meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionRealised); c.Message != "A: 3 of 5 ready" {
		t.Errorf("message %q", c.Message)
	}

	dry := decided(allocation("A", 9), good)
	dry.dryRun = true
	if st := serverStatus(server, observed, nil, dry); st.Desired.Replicas != 3 || conditions(t, st)["Planned"] != "False DryRun" {
		t.Errorf("a dry run wrote %+v, %v", st.Desired, st.Conditions)
	}
	if diff := cmp.Diff(4, len(server.Status.Conditions)); diff != "" {
		t.Error("the input changed: " + diff)
	}
}

func TestEvents(t *testing.T) {
	status := func(replicas int, planned metav1.ConditionStatus, reason string) *v1alpha1.ServerStatus {
		return &v1alpha1.ServerStatus{
			Desired:    &v1alpha1.DesiredState{Replicas: replicas, Parts: plan("A", replicas), Reason: "because"},
			Conditions: []metav1.Condition{{Type: v1alpha1.ConditionPlanned, Status: planned, Reason: reason, Message: "m"}},
		}
	}
	fine := status(3, metav1.ConditionTrue, v1alpha1.ReasonPlanned)
	for _, c := range []struct {
		name          string
		before, after *v1alpha1.ServerStatus
		want          []string
	}{
		{"nothing new", fine, fine, nil},
		{"first plan", &v1alpha1.ServerStatus{}, fine, []string{"Normal PlanChanged"}},
		{"plan changed", fine, status(4, metav1.ConditionTrue, v1alpha1.ReasonPlanned), []string{"Normal PlanChanged"}},
		{"gone bad", fine, status(3, metav1.ConditionFalse, v1alpha1.ReasonNoCapacity), []string{"Warning NoCapacity"}},
		{"still bad", status(3, metav1.ConditionFalse, v1alpha1.ReasonNoCapacity), status(3, metav1.ConditionFalse, v1alpha1.ReasonNoCapacity), nil},
		{"bad in another way", status(3, metav1.ConditionFalse, v1alpha1.ReasonNoCapacity), status(3, metav1.ConditionFalse, v1alpha1.ReasonNoMetrics), []string{"Warning NoMetrics"}},
		{"good again", status(3, metav1.ConditionFalse, v1alpha1.ReasonNoCapacity), fine, []string{"Normal Planned"}},
	} {
		var got []string
		for _, e := range eventsOf(c.before, c.after) {
			got = append(got, e.kind+" "+e.reason)
		}
		if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// What was learned is in Estimates, whence a restart takes it up.
func TestLearnedSurvivesARestart(t *testing.T) {
	learned := map[string]*v1alpha1.PairMemory{
		"a": {Acc: "a", Observations: 3, Law: &jsonspec.LawParms{Name: "work", Parameters: map[string]float64{"alpha": 7}}},
		"b": {Acc: "b", Observations: 4},
	}
	m := v1alpha1.Model{ObjectMeta: metav1.ObjectMeta{Name: "m"}}
	r := specification.Resources{Models: []v1alpha1.Model{m}}
	for key, p := range learned {
		r.Estimates = append(r.Estimates, *estimateOf(&m, key, p))
	}
	r.Estimates = append(r.Estimates, v1alpha1.Estimate{Model: "gone"})
	if diff := cmp.Diff(map[string]map[string]*v1alpha1.PairMemory{"m": learned}, LearnedOf(&r)); diff != "" {
		t.Error(diff)
	}
}

func TestOldestOptimizerDrives(t *testing.T) {
	o := func(name string, at metav1.Time) v1alpha1.Optimizer {
		return v1alpha1.Optimizer{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: at}}
	}
	for want, list := range map[string][]v1alpha1.Optimizer{
		"b": {o("a", now), o("b", earlier), o("c", now)},
		"a": {o("c", now), o("a", now), o("b", now)},
	} {
		if got := Oldest(list).Name; got != want {
			t.Errorf("%s drives, want %s", got, want)
		}
	}
}

// Each record is one line, also when many are written at once.
func TestDecisionLog(t *testing.T) {
	var out bytes.Buffer
	log := NewDecisionLog(&out)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if err := log.Write(&Record{ID: "x", Decision: &specification.Decision{Plan: jsonspec.Solution{TotalCost: 7}}}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 20 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, line := range lines {
		var r Record
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.ID != "x" || r.Plan.TotalCost != 7 {
			t.Errorf("%v: %s", err, line)
		}
	}
	if err := NewDecisionLog(nil).Write(&Record{}); err != nil {
		t.Error(err)
	}
}

// A type whose price is no longer known leaves no series behind.
func TestShadowPrices(t *testing.T) {
	registry := prometheus.NewRegistry()
	c := &cycle{Reconciler: &Reconciler{metrics: newMetrics(registry)}}
	gauges := func(prices map[string]float64) map[string]float64 {
		c.finish(nil, &observe.Observation{}, &specification.Decision{Plan: jsonspec.Solution{Solver: jsonspec.SolverReport{Prices: prices}}})
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			if f.GetName() == "inferno_accelerator_shadow_price_cents_per_hour" {
				for _, m := range f.GetMetric() {
					got[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
				}
			}
		}
		return got
	}
	for _, prices := range []map[string]float64{{"A100": 12.5, "L4": 0}, {"H100": 3}, {}} {
		if diff := cmp.Diff(prices, gauges(prices)); diff != "" {
			t.Error(diff)
		}
	}
}

// What is refused, and what counts for less, is said in conditions, with what somebody must know to mend it; a Server of which no pod was ever refused has none.
func TestWhatIsRefusedIsSaid(t *testing.T) {
	var st v1alpha1.ServerStatus
	now := metav1.Unix(1000, 0)
	setOnceFalse(&st, podsAdmitted(nil), 1, now)
	if len(st.Conditions) > 0 {
		t.Errorf("conditions of a server whose pods are allowed: %v", st.Conditions)
	}
	setOnceFalse(&st, podsAdmitted([]string{"LimitRange llm/bounds: spec.limits[0].max[cpu] allows at most 6"}), 1, now)
	c := meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionPodsAdmitted)
	if c == nil || c.Status != metav1.ConditionFalse || c.Reason != v1alpha1.ReasonPodsRefused || !strings.HasSuffix(c.Message, "LimitRange llm/bounds: spec.limits[0].max[cpu] allows at most 6") {
		t.Errorf("condition of a server whose pods are refused: %+v", c)
	}
	setOnceFalse(&st, podsAdmitted(nil), 1, now)
	if !meta.IsStatusConditionTrue(st.Conditions, v1alpha1.ConditionPodsAdmitted) {
		t.Errorf("conditions of a server whose pods are allowed again: %v", st.Conditions)
	}
	if c := devicesCounted(nil); c.Status != metav1.ConditionTrue {
		t.Errorf("all devices count: %+v", c)
	}
	if c := devicesCounted([]string{"pool a: cards are cut (2)"}); c.Status != metav1.ConditionFalse || !strings.HasSuffix(c.Message, ": pool a: cards are cut (2)") {
		t.Errorf("some devices count for less: %+v", c)
	}
}

// An explanation is a few lines, the way that was taken first, and says what would lift what stands against the others.
func TestExplanationsAreShort(t *testing.T) {
	e := &jsonspec.Explanation{Binding: []string{"H100", "A100"}}
	for i := range 9 {
		e.Candidates = append(e.Candidates, jsonspec.ExplainedCandidate{Accelerator: "X", RunsOn: fmt.Sprintf("%d × X", i), Cost: float64(i), Feasible: i > 2, Why: "because"})
	}
	e.Candidates[5].Chosen = true
	e.Candidates[3].Lacks = map[string]int{"H100": 2, "A100": 1}
	e.Candidates[4].Penalties = []jsonspec.Penalty{{Cents: -3, Lifted: "nothing"}, {Cents: 1, Lifted: "a little"}, {Cents: 2, Lifted: "time"}}
	want := &v1alpha1.ServerExplanation{
		Binding: []string{"H100", "A100"},
		Ways: []v1alpha1.Way{
			{RunsOn: "5 × X", CostPerHour: 5, Taken: true, Why: "because"}, {RunsOn: "3 × X", CostPerHour: 3, Why: "because", Lift: "1 × A100 more and 2 × H100 more"},
			{RunsOn: "4 × X", CostPerHour: 4, Why: "because", Lift: "time"}, {RunsOn: "6 × X", CostPerHour: 6, Why: "because"}, {RunsOn: "7 × X", CostPerHour: 7, Why: "because"},
		},
		Barred: []string{"a: taint (1)", "b: taint (2)"},
	}
	if diff := cmp.Diff(want, shortly(e, map[string]string{"b": "taint (2)", "a": "taint (1)"})); diff != "" {
		t.Error(diff)
	}
	// Of a plan that is held there is nothing to explain: an empty explanation would be written as null, and the API server refuse the whole status.
	if got := shortly(&jsonspec.Explanation{Server: "s", Summary: "held"}, nil); got != nil {
		t.Errorf("nothing is explained by %+v", got)
	}
}
