package metricsadapter

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

var deployments = schema.GroupResource{Group: "apps", Resource: "deployments"}

func selectorOf(t *testing.T, text string) labels.Selector {
	t.Helper()
	selector, err := labels.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return selector
}

func TestCustomMetricOfAnObject(t *testing.T) {
	for _, test := range []struct {
		resource       schema.GroupResource
		name, selector string
		metric         string
		want           string
	}{
		{ServersResource, "chat", "", DesiredReplicas, "5"},
		{ServersResource, "idle", "", DesiredReplicas, "0"},
		{ServersResource, "split", "", DesiredReplicas, "5"},
		{ServersResource, "split", "accelerator=A100", DesiredReplicas, "2"},
		{ServersResource, "variants", "variant=hopper", DesiredReplicas, "4"},
		{ServersResource, "split", "", MaxBatchSize, "48"},
		{deployments, "chat", "", DesiredReplicas, "5"},
		{deployments, "variants-hopper", "", DesiredReplicas, "4"},
		{deployments, "variants-ada", "", DesiredReplicas, "0"},
		{deployments, "variants-hopper", "accelerator=H200", DesiredReplicas, "1"},
		{deployments, "variants-ampere", "", MaxBatchSize, "48"},
	} {
		t.Run(test.resource.String()+"/"+test.name+"/"+test.metric+"{"+test.selector+"}", func(t *testing.T) {
			got, err := New(fleet(), func() time.Time { return now }).GetMetricByName(context.Background(),
				types.NamespacedName{Namespace: "llm", Name: test.name},
				provider.CustomMetricInfo{GroupResource: test.resource, Namespaced: true, Metric: test.metric}, selectorOf(t, test.selector))
			if err != nil {
				t.Fatal(err)
			}
			if got.Value.String() != test.want || !got.Timestamp.Time.Equal(confirmed) || got.DescribedObject.Name != test.name {
				t.Errorf("got %+v, want the value %s of %v for %s", got, test.want, confirmed, test.name)
			}
		})
	}
}

func TestCustomMetricDescribesItsObject(t *testing.T) {
	p := New(fleet(), func() time.Time { return now })
	for resource, want := range map[schema.GroupResource]custom_metrics.ObjectReference{
		ServersResource: {APIVersion: "inferno.platform.ai/v1alpha1", Kind: "Server", Namespace: "llm", Name: "chat", UID: "uid-of-it"},
		deployments:     {APIVersion: "apps/v1", Kind: "Deployment", Namespace: "llm", Name: "chat"},
	} {
		got, err := p.GetMetricByName(context.Background(), types.NamespacedName{Namespace: "llm", Name: "chat"},
			provider.CustomMetricInfo{GroupResource: resource, Namespaced: true, Metric: DesiredReplicas}, labels.Everything())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.DescribedObject); diff != "" {
			t.Errorf("%s (-want +got)\n%s", resource, diff)
		}
	}
}

func TestCustomMetricFaults(t *testing.T) {
	twice := fleet()
	twice.servers = append(twice.servers, with(server("llm", "rival"), func(s *v1alpha1.Server) { s.Spec.ScaleTargetRef.Name = "chat" }))
	twice.servers = append(twice.servers, with(variants(), func(s *v1alpha1.Server) {
		s.Name = "one-for-two"
		s.Spec.Variants[0].ScaleTargetRef, s.Spec.Variants[1].ScaleTargetRef = deployment("both"), deployment("both")
	}))
	for _, test := range []struct {
		name, namespace string
		resource        schema.GroupResource
		object, metric  string
		selector        string
		outcome         Outcome
		code            int32
		message         []string
	}{
		{"unknown metric", "llm", ServersResource, "chat", "x", "", OutcomeUnknownMetric, 404, []string{`"x"`}},
		{"unknown server", "llm", ServersResource, "chta", DesiredReplicas, "", OutcomeNoServer, 404, []string{"llm/chta"}},
		{"other namespace", "llm", ServersResource, "stale", DesiredReplicas, "", OutcomeNoServer, 404, nil},
		{"workload of nobody", "llm", deployments, "nginx", DesiredReplicas, "", OutcomeNoServer, 404, []string{"nginx"}},
		{"other kind of that name", "llm", schema.GroupResource{Group: "apps", Resource: "statefulsets"}, "chat", DesiredReplicas, "", OutcomeNoServer, 404, nil},
		{"workload of two servers", "llm", deployments, "chat", DesiredReplicas, "", OutcomeNoValue, 404, []string{"chat, rival"}},
		{"workload of two variants", "llm", deployments, "both", DesiredReplicas, "", OutcomeNoValue, 404, []string{"hopper", "ampere"}},
		{"several values", "llm", ServersResource, "split", DesiredReplicas, "accelerator", OutcomeNoValue, 404, []string{"matches 2 values"}},
		{"no values", "llm", ServersResource, "split", DesiredReplicas, "accelerator=X", OutcomeNoValue, 404, []string{"matches 0 values"}},
		{"bad selector", "llm", ServersResource, "split", DesiredReplicas, "x=y", OutcomeBadSelector, 400, nil},
		{"stale", "sick", deployments, "stale", DesiredReplicas, "", OutcomeStalePlan, 503, nil},
		{"no plan", "sick", ServersResource, "planless", DesiredReplicas, "", OutcomeNoPlan, 503, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := New(twice, func() time.Time { return now }).GetMetricByName(context.Background(),
				types.NamespacedName{Namespace: test.namespace, Name: test.object},
				provider.CustomMetricInfo{GroupResource: test.resource, Namespaced: true, Metric: test.metric}, selectorOf(t, test.selector))
			checkFault(t, got, err, test.outcome, test.code, test.message)
		})
	}
}

func TestCustomMetricOfManyObjects(t *testing.T) {
	for _, test := range []struct {
		name, namespace string
		resource        schema.GroupResource
		objects         string
		want            []string
		outcome         Outcome
	}{
		{"all servers", "llm", ServersResource, "", []string{"chat 5", "idle 0", "split 5", "variants 6"}, OutcomeValue},
		{"servers by label", "llm", ServersResource, "team=llm", []string{"chat 5", "idle 0", "split 5", "variants 6"}, OutcomeValue},
		{"servers of another label", "llm", ServersResource, "team=other", nil, OutcomeNoServer},
		{"all workloads", "llm", deployments, "", []string{"chat 5", "idle 0", "split 5", "variants-hopper 4", "variants-ampere 2", "variants-ada 0"}, OutcomeValue},
		{"workloads by label", "llm", deployments, "app=chat", nil, OutcomeBadSelector},
		{"those that have a value", "mixed", ServersResource, "", []string{"good 2"}, OutcomeValue},
		{"none has a value", "sick", ServersResource, "", nil, OutcomeNoPlan},
		{"no namespace", "", ServersResource, "", nil, OutcomeNoServer},
	} {
		t.Run(test.name, func(t *testing.T) {
			list, err := New(fleet(), func() time.Time { return now }).GetMetricBySelector(context.Background(), test.namespace,
				selectorOf(t, test.objects), provider.CustomMetricInfo{GroupResource: test.resource, Namespaced: true, Metric: DesiredReplicas}, nil)
			if outcome := OutcomeOf(err); outcome != test.outcome {
				t.Fatalf("outcome %q, want %q (%v)", outcome, test.outcome, err)
			}
			if err != nil {
				return
			}
			var got []string
			for _, item := range list.Items {
				got = append(got, item.DescribedObject.Name+" "+item.Value.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestListAllMetricsNamesServersAndDeployments(t *testing.T) {
	listed := map[schema.GroupResource]int{}
	for _, info := range New(fleet(), nil).ListAllMetrics() {
		if !info.Namespaced {
			t.Errorf("%v is not namespaced", info)
		}
		listed[info.GroupResource]++
	}
	if diff := cmp.Diff(map[schema.GroupResource]int{ServersResource: len(metrics), deployments: len(metrics)}, listed); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestWorkload(t *testing.T) {
	for ref, want := range map[jsonspec.ScaleTargetRef]string{
		{APIVersion: "apps/v1", Kind: "Deployment"}:                          "deployments.apps",
		{APIVersion: "apps/v1", Kind: "StatefulSet"}:                         "statefulsets.apps",
		{APIVersion: "leaderworkerset.x-k8s.io/v1", Kind: "LeaderWorkerSet"}: "leaderworkersets.leaderworkerset.x-k8s.io",
		{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout"}:                "rollouts.argoproj.io",
		{APIVersion: "v1", Kind: "ReplicationController"}:                    "replicationcontrollers",
		{APIVersion: "not/a/version", Kind: ""}:                              "",
	} {
		if got := Workload(ref); got.String() != want {
			t.Errorf("%v: %q, want %q", ref, got, want)
		}
	}
}
