package apiserver

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/llm-inferno/inferno/metricsadapter"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// filledCache is a cache that holds what it was given.
type filledCache struct{ *serverCache }

func (filledCache) HasSynced() bool { return true }

func fill(t testing.TB, servers ...map[string]any) filledCache {
	t.Helper()
	c, err := newServerCache(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range servers {
		item, err := toServer(&unstructured.Unstructured{Object: server})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.informer.GetIndexer().Add(item); err != nil {
			t.Fatal(err)
		}
	}
	return filledCache{c}
}

func TestCacheIsIndexed(t *testing.T) {
	variants := serverObject("llm", "variants", 3)
	variants["spec"].(map[string]any)["variants"] = []any{
		map[string]any{"name": "a", "accelerators": []any{"A100"}, "scaleTargetRef": map[string]any{
			"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "name": "variants-a"}},
	}
	c := fill(t, serverObject("llm", "chat", 5), serverObject("other", "chat", 7), variants)
	if s, found := c.Get("other", "chat"); !found || s.Namespace != "other" {
		t.Errorf("Get: %v, %v", s, found)
	}
	if _, found := c.Get("other", "variants"); found {
		t.Error("Get crosses namespaces")
	}
	if got := len(c.List("llm")); got != 2 {
		t.Errorf("List: %d servers, want 2", got)
	}
	for _, test := range []struct {
		namespace string
		workload  schema.GroupResource
		name      string
		want      []string
	}{
		{"llm", schema.GroupResource{Group: "apps", Resource: "deployments"}, "chat", []string{"chat"}},
		{"llm", schema.GroupResource{Group: "apps", Resource: "deployments"}, "variants", []string{"variants"}},
		{"llm", schema.GroupResource{Group: "leaderworkerset.x-k8s.io", Resource: "leaderworkersets"}, "variants-a", []string{"variants"}},
		{"llm", schema.GroupResource{Group: "apps", Resource: "statefulsets"}, "chat", nil},
		{"nowhere", schema.GroupResource{Group: "apps", Resource: "deployments"}, "chat", nil},
	} {
		var got []string
		for _, s := range c.ScaledBy(test.namespace, test.workload, test.name) {
			got = append(got, s.Name)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s %s/%s (-want +got)\n%s", test.workload, test.namespace, test.name, diff)
		}
	}
}

// What the cache keeps of a Server gives the same answers as all of it.
func TestCacheKeepsWhatAnswersNeed(t *testing.T) {
	object := serverObject("llm", "chat", 5)
	object["metadata"].(map[string]any)["labels"] = map[string]any{"team": "x"}
	object["metadata"].(map[string]any)["uid"] = "u"
	object["metadata"].(map[string]any)["managedFields"] = []any{map[string]any{"manager": "kubectl"}}
	item, err := toServer(&unstructured.Unstructured{Object: object})
	if err != nil {
		t.Fatal(err)
	}
	server := item.(*v1alpha1.Server)
	if server.Labels["team"] != "x" || server.UID != "u" || server.ResourceVersion != "2" || server.Status.Desired.Replicas != 5 ||
		server.Spec.ScaleTargetRef.Name != "chat" {
		t.Errorf("something is lost: %+v", server)
	}
	if server.ManagedFields != nil || server.Spec.Model != "" {
		t.Errorf("something is kept that nobody reads: %+v", server)
	}
	if again, err := toServer(server); err != nil || again != item {
		t.Errorf("a second time changes it: %v (%v)", again, err)
	}
}

// BenchmarkExternalMetric is a question of an autoscaler among 10,000 servers: what remains beside HTTP.
func BenchmarkExternalMetric(b *testing.B) {
	objects := make([]map[string]any, 10_000)
	for i := range objects {
		objects[i] = serverObject("llm", fmt.Sprintf("server-%05d", i), int64(i))
	}
	p := metricsadapter.New(fill(b, objects...), time.Now)
	selector, err := labels.Parse("server=server-07777")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		list, err := p.GetExternalMetric(context.Background(), "llm", selector, provider.ExternalMetricInfo{Metric: metricsadapter.DesiredReplicas})
		if err != nil || list.Items[0].Value.Value() != 7777 {
			b.Fatal(list, err)
		}
	}
}
