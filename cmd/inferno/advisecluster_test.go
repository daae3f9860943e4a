package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/llm-inferno/inferno/optimizer/evaluation/advise"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/localcluster/fleet"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	clients "github.com/llm-inferno/inferno/optimizer/simulation/serving"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

// adviser is who looks at a cluster, and has the rights that the documentation gives.
const adviser = "adviser"

// theirs is what runs in a cluster that knows nothing of inferno. The label is what the simulated engines know their pods by.
const theirs = `
apiVersion: v1
kind: Namespace
metadata: {name: llm}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: chat, namespace: llm}
spec:
  replicas: 2
  selector: {matchLabels: {app: chat}}
  template:
    metadata: {labels: {app: chat, inferno.platform.ai/server: chat}}
    spec:
      automountServiceAccountToken: false
      containers:
      - name: vllm
        image: vllm/vllm-openai:v0.11.0
        args: [--model=meta-llama/Llama-3.1-8B-Instruct, --max-num-seqs=256, --max-num-batched-tokens=8192]
        resources: {limits: {nvidia.com/gpu: "1"}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: training, namespace: llm}
spec:
  selector: {matchLabels: {app: training}}
  template:
    metadata: {labels: {app: training}}
    spec:
      automountServiceAccountToken: false
      containers: [{name: c, image: pytorch/pytorch, resources: {limits: {nvidia.com/gpu: "1"}}}]
`

// audited is a control plane that notes what the adviser asks of its API server, and the file that it notes it in.
func audited(t *testing.T) (*controlplane.Plane, string) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the binaries of the control plane")
	}
	log := filepath.Join(t.TempDir(), "audit.jsonl")
	policy := file(t, "audit.yaml", "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata, users: ["+adviser+"]}, {level: None}]\n")
	plane, err := controlplane.Start(t.Context(), controlplane.Options{
		Progress: t.Output(), Prometheus: &controlplane.PrometheusOptions{},
		ExtraArgs: map[controlplane.Binary][]string{controlplane.APIServer: {"--audit-policy-file=" + policy, "--audit-log-path=" + log, "--audit-log-mode=blocking"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plane.Stop() })
	if err := plane.AddNodes(t.Context(), controlplane.NodePool{Name: "h100", Count: 1, GPU: controlplane.H100, GPUsPerNode: 8}); err != nil {
		t.Fatal(err)
	}
	if err := plane.Apply(t.Context(), []byte(theirs)); err != nil {
		t.Fatal(err)
	}
	return plane, log
}

// serveLoad has the pods play an engine under load, and the plane's Prometheus scrape them.
func serveLoad(t *testing.T, plane *controlplane.Plane, kube kubernetes.Interface) {
	t.Helper()
	f, err := fleet.New(fleet.Config{
		Client: kube, FileSD: filepath.Join(plane.TargetsDir(), "fleet.json"), Seed: 1,
		Servers:      []fleet.Server{{Namespace: "llm", Name: "chat", Model: "llama", Targets: clients.Targets{TTFT: 1, ITL: 0.05}}},
		Truths:       []fleet.Truth{{Model: "llama", Accelerator: "H100", StepTime: simulation.Linear{Base: 0.007, PerToken: 0.0325e-3, PerContext: 0.049e-6}, Cache: simulation.Cache{BlockSize: 16, Blocks: 25000}}},
		Accelerators: map[string]string{controlplane.H100.Product: "H100"},
		Traffic:      []fleet.Traffic{{Trace: trace.Constant(6, 200, 100, 1), Options: trace.Options{Seed: 1}, Shares: []trace.Share{{Server: "llm/chat", Weight: 1}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// knownFor waits until a Prometheus has the load of as long as that.
func knownFor(t *testing.T, url string, span time.Duration) {
	t.Helper()
	p, err := observe.NewPrometheus(url, http.DefaultTransport)
	if err != nil {
		t.Fatal(err)
	}
	err = stack.Eventually(t.Context(), "Prometheus knows the past", 15*time.Minute, func(ctx context.Context) error {
		pods := 0
		question := fmt.Sprintf("vllm:request_success_total offset %s", model.Duration(span))
		if _, err := p.Query(ctx, question, time.Time{}, func(observe.Series) { pods++ }); err != nil || pods == 0 {
			return fmt.Errorf("it knows of %d pods (%w)", pods, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// askedFor are the resources that the adviser asked an API server for, by verb; "refused" has those that it did not get. What is none (versions, discovery) is left out.
func askedFor(t *testing.T, log string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]map[string]bool{}
	for line := range bytes.Lines(text) {
		var e auditv1.Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		verb, what := e.Verb, e.RequestURI
		switch {
		case e.ResponseStatus != nil && e.ResponseStatus.Code != http.StatusOK:
			verb = "refused"
		case e.ObjectRef == nil && verb == "get":
			continue
		}
		if e.ObjectRef != nil {
			what = e.ObjectRef.Resource
		}
		if by[verb] == nil {
			by[verb] = map[string]bool{}
		}
		by[verb][what] = true
	}
	out := map[string][]string{}
	for verb, what := range by {
		out[verb] = slices.Sorted(maps.Keys(what))
	}
	return out
}

// A real cluster with a real Prometheus is advised on by whoever has the rights that the documentation names and no others: without them it is said which
// are missing, with them nothing is asked but what they allow.
func TestAdviseOnARealCluster(t *testing.T) {
	plane, log := audited(t)
	_, kube, err := stack.Clients(plane.Config())
	if err != nil {
		t.Fatal(err)
	}
	serveLoad(t, plane, kube)
	kubeconfig, err := plane.Kubeconfig(adviser)
	if err != nil {
		t.Fatal(err)
	}
	const span, window = 100 * time.Second, 10 * time.Second
	run := func(prometheus string, more ...string) (string, error) {
		args := []string{"--kubeconfig", kubeconfig, "--prometheus-url", prometheus, "--span", span.String(), "--window", window.String(), "--replay", "1m", "--start-up", "20s"}
		return runAlone(t, newAdviseCommand(), append(args, more...)...)
	}
	resources := []string{"deployments", "nodes", "pods", "statefulsets"}

	_, err = run(plane.PrometheusURL())
	for _, r := range resources {
		if err == nil || !strings.Contains(err.Error(), "the right to list "+r+" is missing") {
			t.Errorf("without rights: %v, want that it names the right to list %s", err, r)
		}
	}
	role := documentedRole(t)
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: adviser}, Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: adviser}},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
	}
	if _, err := kube.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := kube.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	knownFor(t, plane.PrometheusURL(), span+window)

	if _, err := run("http://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "--prometheus-url: http://127.0.0.1:1 does not answer") {
		t.Errorf("without a Prometheus: %v", err)
	}
	dir := t.TempDir()
	out, err := run(plane.PrometheusURL(), "--report", filepath.Join(dir, "report"), "--write", filepath.Join(dir, "manifests"))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Log(out)
	for _, want := range []string{"llm/chat", "meta-llama/Llama-3.1-8B-Instruct", "2 × 1 H100", "skipped: llm/training: serves no LLM that is known", "read 100 % of 1m40s", "as it was", "inferno"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	for _, written := range []string{"report/" + reportFile, "manifests/kustomization.yaml", "manifests/llm/chat.yaml"} {
		if text, err := os.ReadFile(filepath.Join(dir, written)); err != nil || len(text) == 0 {
			t.Errorf("%s: %d bytes (%v)", written, len(text), err)
		}
	}
	var report advise.Report
	text, err := run(plane.PrometheusURL(), "-o", "json", "--replay", "0s", "--accelerators", "L40S")
	if err := json.Unmarshal([]byte(text[strings.Index(text, "{"):]), &report); err != nil {
		t.Fatal(err)
	}
	if err != nil || len(report.Servers) != 1 || report.Servers[0].Known < 0.8 || !(report.Servers[0].MeanRate > 3 && report.Servers[0].MeanRate < 9) {
		t.Errorf("of 6 requests/s at llm/chat it saw %+v (%v)", report.Servers, err)
	}

	if e := report.Elsewhere; len(e) != 1 || len(e[0].Choices) != 2 || !e[0].Choices[0].Runs || e[0].Choices[0].Accelerator != "H100" || e[0].Choices[1].Accelerator != "L40S" {
		t.Errorf("on H100 and L40S it would need %+v", e)
	}

	all := askedFor(t, log)
	if !slices.Equal(all["refused"], resources) || !slices.Equal(all["list"], resources) || len(all) != 2 {
		t.Errorf("asked for %v, want that it lists %v and is refused the same", all, resources)
	}
}
