package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
)

// long names, as long as they may be, are what tables must bear.
var long = strings.Repeat("abcdefghi-", 6) + "end"

// planned is a cluster with two Servers, of which one has a plan and the longest names that there are, and its kubeconfig.
func planned(t *testing.T) (client.WithWatch, string) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the binaries of the control plane")
	}
	plane, err := controlplane.Start(t.Context(), controlplane.Options{Scheduler: controlplane.SchedulerOptions{Disabled: true}, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plane.Stop() })
	if err := plane.AddNodes(t.Context(), controlplane.NodePool{Name: "h100", Count: 1, GPU: controlplane.H100, GPUsPerNode: 8}); err != nil {
		t.Fatal(err)
	}
	objects := fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata: {name: llm}
---
apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: inferno.platform.ai/v1alpha1
kind: Server
metadata: {namespace: llm, name: chat}
spec: {model: llama-3.1-8b, serviceClass: premium}
---
apiVersion: inferno.platform.ai/v1alpha1
kind: Server
metadata: {namespace: %[1]s, name: %[1]s}
spec: {model: llama-3.1-8b, serviceClass: premium}
`, long)
	cluster, err := manifests.Files.ReadFile("samples/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := plane.Apply(t.Context(), manifests.Join(manifests.CRDs(), []byte(objects), cluster)); err != nil {
		t.Fatal(err)
	}
	c, _, err := (&clusterFlags{kubeconfig: plane.AdminKubeconfig()}).client()
	if err != nil {
		t.Fatal(err)
	}
	s := &v1alpha1.Server{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: long, Name: long}, s); err != nil {
		t.Fatal(err)
	}
	plan(s, 3)
	if err := c.Status().Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return c, plane.AdminKubeconfig()
}

// plan so many replicas, as the loop would.
func plan(s *v1alpha1.Server, replicas int) {
	load := jsonspec.Load{ArrivalRate: 600, AvgInTokens: 200, AvgOutTokens: 100}
	status := `{"load": {"observedAt": "2026-01-01T00:00:00Z"}, "placement": "H100:2 ` + long + `:1", "readyReplicas": 2, "desired": {"decidedAt": "2026-01-01T00:00:00Z",
"confirmedAt": "2026-01-01T00:00:00Z", "replicas": 0, "costPerHour": 1200, "parts": [{"accelerator": "h100", "replicas": 3}], "predicted": {"itl": 12.5}},
"explanation": {"binding": ["H100"], "ways": [{"runsOn": "3 × h100", "costPerHour": 1200, "taken": true, "why": "the cheapest that meets its targets"},
{"runsOn": "` + long + `", "costPerHour": 1500, "why": "dearer than what was taken, by a lot and for several reasons that take many words to say in full", "lift": "a cost of less"}]},
"conditions": [{"type": "Observed", "status": "True", "reason": "Observed", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
{"type": "Planned", "status": "False", "reason": "BestEffort", "message": "its targets cannot be met, for a reason that takes a line and more to say, so that it would not fit into a table", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}`
	s.Status = v1alpha1.ServerStatus{}
	if err := yaml.Unmarshal([]byte(status), &s.Status); err != nil {
		panic(err)
	}
	s.Status.Load.Load, s.Status.Desired.Replicas = load, replicas
}

// What looks at a cluster says what is there, in tables that fit a terminal and in the formats that scripts read, and completes names of the cluster.
func TestCluster(t *testing.T) {
	c, kubeconfig := planned(t)
	in := func(args ...string) []string { return append(args, "--kubeconfig", kubeconfig) }
	for _, x := range []struct {
		args string
		want []string
	}{
		{"get", []string{"NAMESPACE", "chat", "premium", "600.0", "BestEffort", "unknown"}},
		{"get servers chat", []string{"llm", "chat"}},
		{"get -n llm -o name", []string{"server.inferno.platform.ai/chat\n"}},
		{"get server -o json", []string{`"kind": "Server"`, `"arrivalRate": 600`}},
		{"get servers -o yaml", []string{"kind: List", "costPerHour: 1200"}},
		{"get accelerators", []string{"h100", "400"}},
		{"get models", []string{"llama-3.1-70b", "meta-llama/Llama-3.1-70B-Instruct"}},
		{"get serviceclasses", []string{"bulk", "10"}},
		{"explain " + long, []string{"class premium: its targets cannot be met", "load: 600.0 requests per minute", "TTFT -, ITL 12.5 ms", "cards that are short: H100", "3 × h100"}},
		{"explain llm/chat", []string{"plan: none yet"}},
		{"explain chat -o json", []string{`"name": "chat"`}},
		{"what-if load.*=*4", []string{"what if load", "total cost"}},
		{"what-if capacity.H100=+8 -o json", []string{`"before":`}},
		{"__complete explain ", []string{"chat\n", long + "\n"}},
		{"__complete explain -n llm ", []string{"chat\n"}},
		{"__complete get ", []string{"servers\n", "models\n"}},
		{"__complete get accelerators ", []string{"h100\n", "l40s\n"}},
		{"__complete get -o ", []string{"wide\n", "name\n"}},
		{"__complete get -n ", []string{"llm\n", "kube-system\n"}},
		{"__complete doctor -n ", []string{"llm\n"}},
		{"__complete explain --context ", []string{"inferno\n"}},
	} {
		t.Run(x.args, func(t *testing.T) {
			args := strings.Split(x.args, " ")
			if args[0] == "__complete" { // what is completed is the last word
				args = append(append(append([]string{}, args[:2]...), "--kubeconfig", kubeconfig), args[2:]...)
			} else {
				args = in(args...)
			}
			out, said, status := execute(t, args...)
			for _, want := range x.want {
				if status != 0 || !strings.Contains(out, want) {
					t.Errorf("status %d, %s: it does not say %q:\n%s", status, said, want, out)
				}
			}
			if !strings.Contains(x.args, "-o ") {
				narrow(t, out)
			}
		})
	}
	if out, _, _ := execute(t, in("__complete", "explain", "-n", "llm", "")...); strings.Contains(out, long) {
		t.Errorf("names of other namespaces are offered:\n%s", out)
	}
	for _, x := range []struct {
		args, want string
	}{
		{"get nodes", `KIND: "nodes" is not allowed, must be one of servers, accelerators`}, {"get -o csv", `--output: "csv" is not allowed`}, {"explain nobody", `there is no Server "nobody"`},
		{"explain", "SERVER: is missing"}, {"what-if", "CHANGE: is missing"}, {"what-if load.nobody=1", "nobody"}, {"what-if load.*=*2 --solver magic", `--solver: "magic" is not allowed`},
	} {
		if _, said, status := execute(t, in(strings.Fields(x.args)...)...); status != exitBadInput || !strings.Contains(said, x.want) {
			t.Errorf("%s: status %d: %s", x.args, status, said)
		}
	}
	if _, said, status := execute(t, in("get", "servers", "nobody")...); status != exitFailure || !strings.Contains(said, `server "nobody" is not there`) {
		t.Errorf("status %d: %s", status, said)
	}
	watched(t, c, kubeconfig)
}

// screen is written to while it is read.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *screen) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *screen) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// watched: what changes follows, and what is deleted is said to be gone.
func watched(t *testing.T, c client.WithWatch, kubeconfig string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := new(screen)
	root := newRootCommand()
	root.SetOut(out)
	root.SetErr(os.Stderr)
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, root, []string{"get", "-n", "llm", "--watch", "--kubeconfig", kubeconfig}) }()
	until := func(want string) {
		t.Helper()
		for began := time.Now(); !strings.Contains(out.String(), want); time.Sleep(50 * time.Millisecond) {
			if time.Since(began) > 2*time.Minute {
				t.Fatalf("it does not say %q:\n%s", want, out)
			}
		}
	}
	until("chat")
	s := &v1alpha1.Server{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "llm", Name: "chat"}, s); err != nil {
		t.Fatal(err)
	}
	plan(s, 7)
	if err := c.Status().Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	until("BestEffort")
	if err := c.Delete(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	until("server.inferno.platform.ai/llm/chat is gone")
	narrow(t, out.String())
	cancel()
	if status := <-ended; status != 0 {
		t.Errorf("status %d after it was ended", status)
	}
}

// Under the names of a plugin of kubectl the program says so, and completes.
func TestAsPlugin(t *testing.T) {
	root := newRootCommand()
	if args := asPlugin(root, "/bin/kubectl-inferno", []string{"get"}); len(args) != 1 || !strings.Contains(root.UsageString(), "kubectl inferno") {
		t.Errorf("%q, %s", args, root.UsageString())
	}
	var out bytes.Buffer
	root = newRootCommand()
	root.SetOut(&out)
	root.SetErr(new(bytes.Buffer))
	if status := run(t.Context(), root, asPlugin(root, "kubectl_complete-inferno", []string{"ge"})); status != 0 || !strings.Contains(out.String(), "get\t") {
		t.Errorf("status %d: %s", status, &out)
	}
}
