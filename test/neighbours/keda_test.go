package neighbours

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
)

// often and seldom are how often KEDA looks by itself, in seconds: what follows a plan in a test that does so seldom is pushed.
const often, seldom = 1, 3600

// kedaHolder is the Service of KEDA's own adapter.
const kedaHolder = "keda/keda-metrics-apiserver"

// scaledObject is that of the samples, for Server chat, of which KEDA looks by itself so often, in seconds: for going to zero, which it does not do when it is told.
func (s *site) scaledObject(interval int) {
	s.t.Helper()
	data, err := manifests.Files.ReadFile("samples/keda/scaledobject.yaml")
	s.must(err)
	text := string(data)
	for _, r := range [][2]string{
		{"chat-bulk", "chat"}, {"inferno-adapter.inferno-system.svc:9443", s.ScalerAddress()}, {"pollingInterval: 5", fmt.Sprintf("pollingInterval: %d", interval)},
	} {
		if !strings.Contains(text, r[0]) {
			s.t.Fatalf("the sample lacks %q", r[0])
		}
		text = strings.ReplaceAll(text, r[0], r[1])
	}
	s.must(s.Apply(s.t.Context(), []byte(text)))
}

// holder of an API of metrics, as NAMESPACE/NAME of its Service.
func (s *site) holder(api string) string {
	s.t.Helper()
	service := &unstructured.Unstructured{}
	service.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"})
	s.must(s.Client.Get(s.t.Context(), client.ObjectKey{Name: api}, service))
	namespace, _, _ := unstructured.NestedString(service.Object, "spec", "service", "namespace")
	name, _, _ := unstructured.NestedString(service.Object, "spec", "service", "name")
	return namespace + "/" + name
}

// KEDA scales a Deployment to the plan by the sample's ScaledObject, to zero and back, which is pushed to it, and keeps external.metrics.k8s.io: neither inferno's adapter
// nor its chart takes it. On the oldest version that inferno is for it is the one that scales to zero.
func TestKEDAFollowsThePlan(t *testing.T) {
	all := controlplane.Versions()
	for _, version := range []string{all[0], all[len(all)-1]} {
		t.Run(version, func(t *testing.T) { kedaFollowsThePlan(t, version) })
	}
}

func kedaFollowsThePlan(t *testing.T, version string) {
	s := start(t, stack.Options{
		Kubernetes: version, KEDA: true, Policies: true, Nodes: []controlplane.NodePool{{Name: "h100", Count: 1, GPU: controlplane.H100, GPUsPerNode: 8}},
	}, cluster(map[string]carried{"h100": {kind: "H100"}}, "  mode: Suspended\n"))
	server := &v1alpha1.Server{
		ObjectMeta: metav1.ObjectMeta{Name: "chat", Namespace: namespace},
		Spec: v1alpha1.ServerSpec{
			Model: "llama", ServiceClass: "premium", MinReplicas: new(0),
			ServerBinding: jsonspec.ServerBinding{ScaleTargetRef: &jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: "chat"}},
		},
	}
	d := stack.Deployment(server, 1)
	s.must(errors.Join(s.Client.Create(t.Context(), server), s.Client.Create(t.Context(), d)))
	s.plan("chat", map[string]int{"h100": 3})
	s.scaledObject(seldom)
	replicas := func(n int) {
		t.Helper()
		began := time.Now()
		s.plan("chat", map[string]int{"h100": n})
		s.eventually(fmt.Sprintf("there are %d replicas", n), func(ctx context.Context) error {
			d := &appsv1.Deployment{}
			err := s.Client.Get(ctx, client.ObjectKeyFromObject(server), d)
			if err == nil && (*d.Spec.Replicas != int32(n) || d.Status.ReadyReplicas != int32(n)) {
				err = fmt.Errorf("%d are asked for, %d are ready", *d.Spec.Replicas, d.Status.ReadyReplicas)
			}
			return err
		})
		t.Logf("%d replicas ready after %.1f s", n, time.Since(began).Seconds())
	}
	replicas(3)
	replicas(5)
	s.scaledObject(often)
	replicas(0)
	s.scaledObject(seldom)
	time.Sleep(10 * time.Second) // KEDA looks once when that changes, and then not before this test is over
	replicas(4)

	hpa := &autoscalingv2.HorizontalPodAutoscaler{}
	s.must(s.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "keda-hpa-chat"}, hpa))
	if len(hpa.Spec.Metrics) != 1 || hpa.Spec.Metrics[0].Type != autoscalingv2.ExternalMetricSourceType || hpa.Status.DesiredReplicas != 4 {
		t.Errorf("the autoscaler is %+v with status %+v", hpa.Spec, hpa.Status)
	}
	if holder := s.holder("v1beta1.external.metrics.k8s.io"); holder != kedaHolder {
		t.Errorf("external metrics are %s's, want KEDA's", holder)
	}
	s.leavesOut("external.metrics.k8s.io", kedaHolder)
	// Another than this release has custom metrics, as prometheus-adapter would.
	s.leavesOut("custom.metrics.k8s.io", manifests.Namespace+"/"+manifests.AdapterService, "--set=metrics.custom=auto")
}

// leavesOut holds that the chart registers nothing for an API that somebody else holds, and says so.
func (s *site) leavesOut(api, holder string, values ...string) {
	s.t.Helper()
	out, err := s.Helm(s.t.Context(), append([]string{"install", "second", "../../manifests/chart", "--namespace=second", "--dry-run=server"}, values...)...)
	s.must(err)
	if strings.Contains(out, "name: v1beta1."+api) {
		s.t.Errorf("the chart registers %s, which is %s's", api, holder)
	}
	if want := fmt.Sprintf("LEFT OUT: %s belongs to %s", api, holder); !strings.Contains(out, want) {
		_, notes, _ := strings.Cut(out, "NOTES:")
		s.t.Errorf("the chart does not say %q:\n%s", want, notes)
	}
}
