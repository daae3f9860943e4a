package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

func TestAdviseFaults(t *testing.T) {
	_, err := runAlone(t, newAdviseCommand(), "--prometheus-url", "here", "--window", "1s", "--span", "1m", "--ttft", "0s", "--percentile", "100", "-o", "csv", "--price", "X=1", "--replay=-1h", "--accelerators=H100,X9")
	for _, want := range []string{`--prometheus-url: "here"`, "--window: 1s", "--ttft: 0s", "--percentile: 100", "--output", "--price: type", "--replay: -1h", `--accelerators: "X9"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want that it says %q", err, want)
		}
	}
}

func serving(image string, args ...string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "c", Image: image, Args: args, Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("1")}},
	}}}}
}

func deployment(name string, t corev1.PodTemplateSpec) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: name}, Spec: appsv1.DeploymentSpec{Template: t}}
}

// A Prometheus that knows nothing makes no advice: it says what is not known and what to scrape; workloads that cannot be read are named with the reason.
func TestAdviseOfWhatIsNotKnown(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"nvidia.com/gpu.product": "NVIDIA-L4"}}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: "chat-5d9f-abcde"}, Spec: corev1.PodSpec{NodeName: "n"}}
	c := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(node, pod,
		deployment("chat", serving("vllm/vllm-openai", "--model=Qwen/Qwen3-8B", "--max-num-seqs=$(SEQS)")),
		deployment("train", serving("pytorch/pytorch")), deployment("idle", serving("vllm/vllm-openai", "--model=Qwen/Qwen3-8B")),
		deployment("web", corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "nginx"}}}}),
	).Build()
	cluster, err := readWorkloads(context.Background(), c, "")
	if err != nil {
		t.Fatal(err)
	}
	o := &adviseOptions{
		span: time.Hour, window: 2 * time.Minute, replay: time.Hour, startUp: time.Minute, ttft: time.Second, itl: 50 * time.Millisecond, percentile: 90,
	}
	nothing := observe.Whole(func(context.Context, string, time.Time) (model.Value, []string, error) {
		return model.Matrix{}, nil, nil
	})
	var progress, out bytes.Buffer
	report, err := o.advise(context.Background(), cluster, nothing, catalogue.BuiltInPrices(), time.Unix(1_700_000_000, 0), &progress)
	if err != nil {
		t.Fatal(err)
	}
	if report.Saving != nil || len(report.Rows) > 0 || len(report.Servers) != 1 || report.Servers[0].Accelerator != "L4" {
		t.Errorf("advice of nothing: %+v", report)
	}
	if err := printAdvice(&out, report, o); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"no saving is promised: the load of llm/chat is known for 0 % of the time only", "Prometheus has no load of its pods: scrape their port 8000",
		"skipped: llm/idle: no pod of it is on a node", "skipped: llm/train: serves no LLM that is known", "assumed: targets of servers without a class that has its own (--class): TTFT 1s and ITL 50ms", "not known",
	} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), want) {
			t.Errorf("it does not say %q:\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "llm/web") {
		t.Errorf("it tells of what has no cards:\n%s", &out)
	}
	if !strings.Contains(progress.String(), "read 100 % of 1h0m0s") {
		t.Errorf("progress is %q", &progress)
	}
}

// documentedRole is the ClusterRole that the documentation gives whoever runs advise.
func documentedRole(t *testing.T) *rbacv1.ClusterRole {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	begin := strings.Index(string(text), "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: inferno-advise\n")
	role, _, ends := strings.Cut(string(text[max(begin, 0):]), "```")
	allowed := new(rbacv1.ClusterRole)
	if err := yaml.UnmarshalStrict([]byte(role), allowed); err != nil || begin < 0 || !ends {
		t.Fatalf("docs/operations.md has no ClusterRole inferno-advise (%v)", err)
	}
	return allowed
}

// Advise asks a cluster for four lists, those that the ClusterRole in the documentation allows, and for nothing else; of what it may not list it says which.
func TestAdviseOnlyLists(t *testing.T) {
	allowed := documentedRole(t)
	may := map[string]bool{}
	for _, rule := range allowed.Rules {
		for _, resource := range rule.Resources {
			may[resource] = slices.Equal(rule.Verbs, []string{"list"}) && len(rule.APIGroups) == 1
		}
	}
	forbidden := false
	did := map[string]bool{}
	list := func(_ context.Context, _ client.WithWatch, into client.ObjectList, _ ...client.ListOption) error {
		what := map[string]string{"*v1.DeploymentList": "deployments", "*v1.StatefulSetList": "statefulsets", "*v1.PodList": "pods", "*v1.NodeList": "nodes"}[fmt.Sprintf("%T", into)]
		did[what] = true
		if forbidden {
			return apierrors.NewForbidden(schema.GroupResource{Resource: what}, "", errors.New("by nobody"))
		}
		return nil
	}
	get := func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
		t.Error("an object is read alone")
		return nil
	}
	c := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithInterceptorFuncs(interceptor.Funcs{List: list, Get: get}).Build()
	if _, err := readWorkloads(context.Background(), c, ""); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(did, may) || len(did) != 4 {
		t.Errorf("it lists %v, and the ClusterRole allows %v", did, may)
	}
	forbidden = true
	_, err := readWorkloads(context.Background(), c, "")
	for what := range may {
		if err == nil || !strings.Contains(err.Error(), "the right to list "+what+" is missing") {
			t.Errorf("%v, want that it says that the right to list %s is missing", err, what)
		}
	}
}
