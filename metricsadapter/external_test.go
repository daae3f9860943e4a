package metricsadapter

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/metrics/pkg/apis/external_metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// answer asks for an external metric and returns it as lines "server[/variant][@accelerator] value".
func answer(t *testing.T, servers Servers, at time.Time, namespace, metric, selector string) ([]string, error) {
	t.Helper()
	parsed, err := labels.Parse(selector)
	if err != nil {
		t.Fatalf("selector %q: %v", selector, err)
	}
	list, err := New(servers, func() time.Time { return at }).
		GetExternalMetric(context.Background(), namespace, parsed, provider.ExternalMetricInfo{Metric: metric})
	if err != nil {
		return nil, err
	}
	return lines(t, list, metric, parsed), nil
}

// lines writes the list as text, and checks what holds of every answer.
func lines(t *testing.T, list *external_metrics.ExternalMetricValueList, metric string, selector labels.Selector) []string {
	t.Helper()
	var all []string
	for _, item := range list.Items {
		if item.MetricName != metric {
			t.Errorf("value of metric %q, asked for %q", item.MetricName, metric)
		}
		if !item.Timestamp.Time.Equal(confirmed) {
			t.Errorf("timestamp %v, want that of the plan, %v", item.Timestamp, confirmed)
		}
		if !selector.Matches(labels.Set(item.MetricLabels)) {
			t.Errorf("the selector %q does not match the labels of its answer, %v", selector, item.MetricLabels)
		}
		line := item.MetricLabels["server"]
		if variant := item.MetricLabels["variant"]; variant != "" {
			line += "/" + variant
		}
		if accelerator := item.MetricLabels["accelerator"]; accelerator != "" {
			line += "@" + accelerator
		}
		all = append(all, line+" "+item.Value.String())
	}
	return all
}

func TestExternalMetricValues(t *testing.T) {
	for _, test := range []struct {
		metric, selector string
		want             []string
	}{
		{DesiredReplicas, "server=chat", []string{"chat 5"}},
		{DesiredReplicas, "inferno.platform.ai/server=chat", []string{"chat 5"}},
		{DesiredReplicas, "server in (chat)", []string{"chat 5"}},
		{DesiredReplicas, "server=chat,namespace=llm", []string{"chat 5"}},
		{DesiredReplicas, "server=idle", []string{"idle 0"}}, // planned zero is zero
		{DesiredReplicas, "", []string{"chat 5", "idle 0", "split 5", "variants 6"}},
		{DesiredReplicas, "server in (split,chat)", []string{"chat 5", "split 5"}},
		{DesiredReplicas, "server!=chat", []string{"idle 0", "split 5", "variants 6"}},
		{DesiredReplicas, "server notin (split,chat)", []string{"idle 0", "variants 6"}},

		// A server over several accelerators is one value, unless parts of it are asked for.
		{DesiredReplicas, "server=split", []string{"split 5"}},
		{DesiredReplicas, "server=split,!accelerator", []string{"split 5"}},
		{DesiredReplicas, "server=split,accelerator=A100", []string{"split@A100 2"}},
		{DesiredReplicas, "server=split,inferno.platform.ai/accelerator=A100", []string{"split@A100 2"}},
		{DesiredReplicas, "server=split,accelerator", []string{"split@A100 2", "split@H100 3"}},
		{DesiredReplicas, "accelerator=A100", []string{"split@A100 2", "variants@A100 2"}},

		// Variants share the parts out, each part to the first variant that lists its accelerator.
		{DesiredReplicas, "server=variants", []string{"variants 6"}},
		{DesiredReplicas, "server=variants,variant=hopper", []string{"variants/hopper 4"}},
		{DesiredReplicas, "server=variants,inferno.platform.ai/variant=ampere", []string{"variants/ampere 2"}},
		{DesiredReplicas, "server=variants,variant=ada", []string{"variants/ada 0"}},
		{DesiredReplicas, "server=variants,variant", []string{"variants/ada 0", "variants/ampere 2", "variants/hopper 4"}},
		{DesiredReplicas, "server=variants,variant,accelerator=H200", []string{"variants/hopper@H200 1"}},
		{DesiredReplicas, "server=variants,accelerator=L40S", []string{"variants@L40S 0"}},

		// 3 replicas are ready; the ratio times the ready ones, rounded up, is the plan.
		{DesiredRatio, "server=chat", []string{"chat 1666m"}},
		{DesiredRatio, "server=idle", []string{"idle 0"}},
		{DesiredRatio, "server=split,accelerator", []string{"split@A100 2", "split@H100 1500m"}},
		{DesiredRatio, "server=variants,variant=hopper", []string{"variants/hopper 2"}},

		{MaxBatchSize, "server=chat", []string{"chat 96"}},
		{MaxBatchSize, "server=split", []string{"split 48"}},
		{MaxBatchSize, "server=split,accelerator=H100", []string{"split@H100 96"}},
		{MaxBatchSize, "server=variants,variant=hopper", []string{"variants/hopper 96"}},
		{MaxBatchedTokens, "server=split", []string{"split 1024"}},
		{MaxBatchedTokens, "server=split,accelerator=A100", []string{"split@A100 2048"}},
		{MaxBatchedTokens, "server=variants,variant=hopper", []string{"variants/hopper 1024"}}, // H200 leaves it to the engine

		{PredictedTTFT, "server=chat", []string{"chat 312457u"}},
		{PredictedITL, "server=split", []string{"split 18250u"}},
	} {
		t.Run(test.metric+"{"+test.selector+"}", func(t *testing.T) {
			got, err := answer(t, fleet(), now, "llm", test.metric, test.selector)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestExternalMetricFaults(t *testing.T) {
	for _, test := range []struct {
		name, namespace, metric, selector string
		outcome                           Outcome
		code                              int32
		message                           []string // each must be part of it
	}{
		{"unknown metric", "llm", "inferno_desired", "server=chat", OutcomeUnknownMetric, 404, []string{`"inferno_desired"`, DesiredReplicas}},
		{"unknown server", "llm", DesiredReplicas, "server=chta", OutcomeNoServer, 404, []string{"llm", "server=chta"}},
		{"server of another namespace", "llm", DesiredReplicas, "server=stale", OutcomeNoServer, 404, []string{"llm"}},
		{"another namespace named by label", "llm", DesiredReplicas, "namespace=other", OutcomeNoServer, 404, []string{"llm"}},
		{"namespace without servers", "empty", DesiredReplicas, "", OutcomeNoServer, 404, []string{"empty"}},
		{"no namespace", "", DesiredReplicas, "", OutcomeNoServer, 404, nil},
		{"contradiction", "llm", DesiredReplicas, "server=chat,server=split", OutcomeNoServer, 404, nil},
		{"misspelt accelerator", "llm", DesiredReplicas, "server=split,accelerator=A1000", OutcomeNoServer, 404, []string{"A1000"}},
		{"variant of a server without", "llm", DesiredReplicas, "server=split,variant=hopper", OutcomeNoServer, 404, nil},
		{"label that no value has", "llm", DesiredReplicas, "app!=chat,tier=x", OutcomeBadSelector, 400, []string{"app, tier", "accelerator", "server"}},
		{"no plan", "sick", DesiredReplicas, "server=planless", OutcomeNoPlan, 503, []string{"sick/planless", "no plan yet", "UnknownModel: no Model x"}},
		{"stale plan", "sick", DesiredReplicas, "server=stale", OutcomeStalePlan, 503, []string{"sick/stale", "stale", "2025-03-01T12:00:00Z", "9 s"}},
		{"a sum with a term missing", "mixed", DesiredReplicas, "", OutcomeNoPlan, 503, []string{"mixed/bad"}},
		{"a sum with all terms missing", "sick", DesiredReplicas, "", OutcomeNoPlan, 503, []string{"sick/planless", "sick/stale"}},
		{"no batch size", "llm", MaxBatchSize, "server=idle", OutcomeNoValue, 404, []string{"llm/idle", "engine's default"}},
		{"latency of a part", "llm", PredictedTTFT, "server=split,accelerator=H100", OutcomeNoValue, 404, []string{"accelerator H100", "as a whole"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := answer(t, fleet(), now, test.namespace, test.metric, test.selector)
			checkFault(t, got, err, test.outcome, test.code, test.message)
		})
	}
}

func checkFault(t *testing.T, got any, err error, outcome Outcome, code int32, message []string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got %v, want an error", got)
	}
	if is := OutcomeOf(err); is != outcome {
		t.Errorf("outcome %q, want %q: %v", is, outcome, err)
	}
	f, is := err.(*fault)
	if !is {
		t.Fatalf("error of type %T, want a fault, which the API server turns into a status", err)
	}
	if status := f.Status(); status.Code != code || status.Message != err.Error() {
		t.Errorf("status %d %q, want %d and the error's message", status.Code, status.Message, code)
	}
	for _, want := range message {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("message %q lacks %q", err, want)
		}
	}
}

func TestExternalMetricBeforeTheServersAreRead(t *testing.T) {
	got, err := answer(t, &fakeServers{unsynced: true}, now, "llm", DesiredReplicas, "server=chat")
	checkFault(t, got, err, OutcomeNotSynced, 503, []string{"not read yet"})
}

func TestPlanIsServedUntilItIsStale(t *testing.T) {
	for _, test := range []struct {
		name       string
		staleAfter int64
		age        time.Duration
		fresh      bool
	}{
		{"young", 60, 30 * time.Second, true},
		{"at the limit", 60, 60 * time.Second, true},
		{"past the limit", 60, 60*time.Second + time.Millisecond, false},
		{"confirmed by a clock that is ahead", 60, -time.Hour, true},
		{"no limit", 0, 1e6 * time.Hour, true},
		{"a limit beyond what a duration holds", 1 << 62, 1e6 * time.Hour, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := server("llm", "chat", part("H100", 5, 96, 1024))
			s.Status.Desired.StaleAfterSeconds = test.staleAfter
			_, err := answer(t, &fakeServers{servers: []*v1alpha1.Server{s}}, confirmed.Add(test.age), "llm", DesiredReplicas, "server=chat")
			if fresh := err == nil; fresh != test.fresh {
				t.Errorf("served: %v, want %v (%v)", fresh, test.fresh, err)
			}
		})
	}
	t.Run("never confirmed", func(t *testing.T) {
		if (&v1alpha1.DesiredState{StaleAfterSeconds: 60}).Fresh(now) {
			t.Error("a plan without confirmation counts as fresh")
		}
	})
}

// While pods change accelerator, the variant they leave keeps them until the others are ready.
func TestSurgeBelongsToItsVariant(t *testing.T) {
	s := variants()
	before := s.Status.Desired
	s.Status.Desired = &v1alpha1.DesiredState{
		ConfirmedAt: before.ConfirmedAt, Replicas: 7, Surge: 3,
		Parts: []jsonspec.AllocationPart{part("H100", 4, 96, 1024), {Accelerator: "A100", Surge: 3}},
	}
	for selector, want := range map[string]string{"server=variants": "variants 7", "server=variants,variant=hopper": "variants/hopper 4", "server=variants,variant=ampere": "variants/ampere 3"} {
		got, err := answer(t, &fakeServers{servers: []*v1alpha1.Server{s}}, now, "llm", DesiredReplicas, selector)
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v, %v; want %s", selector, got, err, want)
		}
	}
}

// Prompts and decodes that run apart are scaled apart, on one type of accelerator too.
func TestEachRoleHasItsReplicas(t *testing.T) {
	s := server("llm", "apart", jsonspec.AllocationPart{Accelerator: "H100", Variant: "prefill", Role: jsonspec.RolePrefill, Replicas: 2},
		jsonspec.AllocationPart{Accelerator: "H100", Variant: "decode", Role: jsonspec.RoleDecode, Replicas: 5, Surge: 1})
	s.Status.Desired.Replicas = 8
	s.Status.Current = []jsonspec.ObservedPart{{Accelerator: "H100", Variant: "prefill", Ready: 2}, {Accelerator: "H100", Variant: "decode", Ready: 3}}
	s.Spec.ScaleTargetRef, s.Spec.Variants = nil, []jsonspec.Variant{
		{Name: "prefills", ModelVariant: "prefill", Accelerators: []string{"H100"}, ScaleTargetRef: deployment("apart-prefill")},
		{Name: "decodes", ModelVariant: "decode", Accelerators: []string{"H100"}, ScaleTargetRef: deployment("apart-decode")},
		{Name: "both", Accelerators: []string{"H100"}, ScaleTargetRef: deployment("apart-both")},
	}
	for selector, want := range map[string][]string{
		"server=apart": {"apart 8"}, "server=apart,variant=prefills": {"apart/prefills 2"}, "server=apart,variant=decodes": {"apart/decodes 6"}, "server=apart,variant=both": {"apart/both 0"},
		"server=apart,variant=decodes,accelerator=H100": {"apart/decodes@H100 6"},
	} {
		got, err := answer(t, &fakeServers{servers: []*v1alpha1.Server{s}}, now, "llm", DesiredReplicas, selector)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v, %s", selector, err, diff)
		}
	}
}

// A plan that no optimizer should write yields an error, never a number to scale to.
func TestImpossiblePlans(t *testing.T) {
	for _, test := range []struct {
		name, metric, selector string
		change                 func(*v1alpha1.DesiredState)
	}{
		{"negative replicas", DesiredReplicas, "server=split", func(d *v1alpha1.DesiredState) { d.Replicas = -1 }},
		{"more replicas than Kubernetes counts", DesiredReplicas, "server=split", func(d *v1alpha1.DesiredState) { d.Replicas = 1 << 40 }},
		{"ratio of that", DesiredRatio, "server=split", func(d *v1alpha1.DesiredState) { d.Replicas = 1 << 62 }},
		{"negative part", DesiredReplicas, "server=split,accelerator=A100", func(d *v1alpha1.DesiredState) { d.Parts[1].Replicas = -2 }},
		{"negative surge", DesiredReplicas, "server=split,accelerator=A100", func(d *v1alpha1.DesiredState) { d.Parts[1].Surge = -2 }},
		{"negative batch", MaxBatchSize, "server=split", func(d *v1alpha1.DesiredState) { d.Parts[1].MaxBatchSize = -48 }},
		{"negative latency", PredictedITL, "server=split", func(d *v1alpha1.DesiredState) { d.Predicted.ITL = new(-1.) }},
		{"endless latency", PredictedITL, "server=split", func(d *v1alpha1.DesiredState) { d.Predicted.ITL = new(1e300) }},
		{"no latency", PredictedTTFT, "server=split", func(d *v1alpha1.DesiredState) { d.Predicted = nil }},
		{"total without parts", DesiredReplicas, "server=variants,variant=hopper", func(d *v1alpha1.DesiredState) { d.Parts = nil }},
	} {
		t.Run(test.name, func(t *testing.T) {
			servers := &fakeServers{servers: []*v1alpha1.Server{split(), variants()}}
			for _, s := range servers.servers {
				test.change(s.Status.Desired)
			}
			got, err := answer(t, servers, now, "llm", test.metric, test.selector)
			checkFault(t, got, err, OutcomeNoValue, 404, nil)
		})
	}
}

func TestManyFaultsMakeAMessageThatCanBeRead(t *testing.T) {
	servers := &fakeServers{}
	for i := range 1000 {
		servers.servers = append(servers.servers, with(server("llm", fmt.Sprintf("s%04d", i)), func(s *v1alpha1.Server) { s.Status.Desired = nil }))
	}
	_, err := answer(t, servers, now, "llm", DesiredReplicas, "")
	if err == nil || len(err.Error()) > 1000 || !strings.HasSuffix(err.Error(), "…") {
		t.Errorf("want a short error that shows it is cut, got %v", err)
	}
}

// The ratio leads an autoscaler that multiplies the ready replicas by it, and rounds up, to exactly the plan.
func TestRatioLeadsToThePlan(t *testing.T) {
	for ready := 1; ready <= 200; ready++ {
		for planned := 0; planned <= 200; planned++ {
			s := server("llm", "chat", part("H100", planned, 0, 0))
			s.Status.ReadyReplicas = ready
			ratio, err := desiredRatio(s, scope{})
			if err != nil {
				t.Fatal(err)
			}
			if got := (ratio.MilliValue()*int64(ready) + 999) / 1000; got != int64(planned) {
				t.Fatalf("%d ready × %s → %d, want %d", ready, ratio.String(), got, planned)
			}
		}
	}
}

func TestListAllExternalMetrics(t *testing.T) {
	want := []provider.ExternalMetricInfo{
		{Metric: DesiredRatio}, {Metric: DesiredReplicas}, {Metric: MaxBatchSize}, {Metric: MaxBatchedTokens}, {Metric: PredictedITL},
		{Metric: PredictedTTFT},
	}
	if diff := cmp.Diff(want, New(fleet(), nil).ListAllExternalMetrics()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Whatever the selector: no panic, no value of another namespace, no value that the selector does not match, and never more than one value
// for a server unless the selector asks for detail.
func FuzzMetricSelector(f *testing.F) {
	for _, seed := range []string{
		"", "server=chat", "server in (chat,split),accelerator", "variant!=hopper", "!variant,server", "inferno.platform.ai/server==split",
		"accelerator notin (H100)", "namespace=other", "server", "x", "server>3", "!server", "server=,variant=", "server=chat,server!=chat",
	} {
		f.Add(seed, "llm")
	}
	f.Fuzz(func(t *testing.T, text, namespace string) {
		selector, err := labels.Parse(text)
		if err != nil {
			t.Skip()
		}
		servers := fleet()
		for _, m := range metrics {
			list, err := New(servers, func() time.Time { return now }).
				GetExternalMetric(context.Background(), namespace, selector, provider.ExternalMetricInfo{Metric: m.name})
			if err != nil {
				if OutcomeOf(err) == OutcomeError {
					t.Errorf("%v: no outcome", err)
				}
				continue
			}
			if len(list.Items) == 0 {
				t.Errorf("%q: neither a value nor an error", selector)
			}
			seen := map[string]bool{}
			for _, line := range lines(t, list, m.name, selector) {
				target, _, _ := strings.Cut(line, " ")
				if seen[target] {
					t.Errorf("%q: two values of %s", selector, target)
				}
				seen[target] = true
			}
			for _, item := range list.Items {
				if item.MetricLabels["namespace"] != namespace {
					t.Errorf("%q in %q: value of namespace %q", selector, namespace, item.MetricLabels["namespace"])
				}
			}
		}
	})
}
