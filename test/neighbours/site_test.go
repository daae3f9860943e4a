// Package neighbours tests inferno beside what it shares clusters with, for real: Karpenter, whose cloud is pretended, Kueue and KEDA. make test-neighbours
// runs it. Recipes are tested against definitions alone, in make test.
package neighbours

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/fleet"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

var neighbours = flag.Bool("neighbours", false, "test with real neighbours, which takes long")

const (
	namespace = "llm"
	// soon is when a test stops waiting for what normally takes seconds: late enough for any machine, since only a test that fails waits so long.
	soon = 10 * time.Minute
	// interval of the optimizer.
	interval = 2 * time.Second
)

// carried by machines that are had in a way, or by any nodes where neither is named: the kind of an accelerator.
type carried struct{ machine, way, kind string }

// laws of a step of the engine, by kind of card: seconds, and seconds for each token and each token of context.
var laws = map[string]simulation.Linear{
	"H100": {Base: 0.007, PerToken: 0.0325e-3, PerContext: 0.049e-6}, "A100": {Base: 0.0121, PerToken: 0.05e-3, PerContext: 0.09e-6},
	"L40S": {Base: 0.0242, PerToken: 0.0887e-3, PerContext: 0.19e-6},
}

// cluster is what every test begins with: these accelerators, one model and one class, and an Optimizer with this specification.
func cluster(of map[string]carried, optimizer string) string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: Namespace\nmetadata: {name: llm}\n")
	names := slices.Sorted(maps.Keys(of))
	for _, name := range names {
		selector := ""
		if way := of[name].way; way != "" {
			selector = fmt.Sprintf(", nodeSelector: {%s: %s}", capacityType, way)
		}
		fmt.Fprintf(&b, "---\napiVersion: inferno.platform.ai/v1alpha1\nkind: Accelerator\nmetadata: {name: %s}\nspec: {type: %s, costPerHour: 1000%s}\n", name, of[name].kind, selector)
	}
	b.WriteString(`---
apiVersion: inferno.platform.ai/v1alpha1
kind: ServiceClass
metadata: {name: premium}
spec: {priority: 1, targets: [{model: llama, itl: 60ms, ttft: 2s}]}
---
apiVersion: inferno.platform.ai/v1alpha1
kind: Model
metadata: {name: llama}
spec:
  performance:
`)
	for _, name := range names {
		law := laws[of[name].kind]
		fmt.Fprintf(&b, "    - {accelerator: %s, maxBatchSize: 64, atTokens: 100, work: {alpha: '%g', beta: '%g', gamma: '%g'}}\n", name, law.Base*1e3, law.PerToken*1e3, law.PerContext*1e3)
	}
	b.WriteString("---\napiVersion: inferno.platform.ai/v1alpha1\nkind: Optimizer\nmetadata: {name: default}\nspec:\n" + optimizer)
	return b.String()
}

// site is a running stack with helpers that fail the test.
type site struct {
	*stack.Stack
	t testing.TB
}

// start a stack with these objects.
func start(t testing.TB, o stack.Options, objects string) *site {
	t.Helper()
	if !*neighbours {
		t.Skip("make test-neighbours runs this")
	}
	programs := os.Getenv("INFERNO_PROGRAMS")
	if programs == "" {
		programs = t.TempDir()
		if err := stack.Build(t.Context(), programs, os.Stderr); err != nil {
			t.Fatal(err)
		}
	}
	o.Programs, o.PodStartup, o.Progress = programs, 2*time.Second, os.Stderr
	s, err := stack.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	at := &site{s, t}
	t.Cleanup(func() {
		if t.Failed() {
			at.showLogs()
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Apply(t.Context(), []byte(objects)); err != nil {
		t.Fatal(err)
	}
	return at
}

func (s *site) showLogs() {
	logs, _ := filepath.Glob(filepath.Join(s.Dir(), "*.log")) // the pattern is right
	for _, log := range logs {
		name := filepath.Base(log)
		if strings.HasPrefix(name, "kube-") || name == "etcd.log" || name == "kwok.log" || name == "prometheus.log" {
			continue
		}
		data, err := os.ReadFile(log)
		if err != nil {
			s.t.Log(err)
		}
		lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
		s.t.Logf("%s:\n%s", name, bytes.Join(lines[max(len(lines)-40, 0):], []byte("\n")))
	}
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) eventually(what string, condition func(context.Context) error) {
	s.t.Helper()
	s.must(stack.Eventually(s.t.Context(), what, soon, condition))
}

func (s *site) nodes(ctx context.Context) ([]corev1.Node, error) {
	var list corev1.NodeList
	err := s.Client.List(ctx, &list)
	return list.Items, err
}

func (s *site) pods(ctx context.Context, server string) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := s.Client.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.ServerLabel: server})
	return list.Items, err
}

func ready(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// watch looks again and again until the returned function is called.
func (s *site) watch(look func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			look(ctx)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// play the model servers of Server chat, on cards of these kinds, by the product label of nodes.
func (s *site) play(kinds map[string]string) {
	s.t.Helper()
	config := fleet.Config{Accelerators: kinds, Seed: 1, Servers: []fleet.Server{{Namespace: namespace, Name: "chat", Model: "llama", Targets: serving.Targets{TTFT: 2, ITL: 0.06}}}}
	for _, kind := range slices.Sorted(maps.Values(kinds)) {
		config.Truths = append(config.Truths, fleet.Truth{Model: "llama", Accelerator: kind, StepTime: laws[kind], Cache: simulation.Cache{BlockSize: 16, Blocks: 10000}})
	}
	s.must(s.StartFleet(s.t.Context(), config))
}

// traffic for Server chat from now on, in requests per second.
func (s *site) traffic(rate float64) {
	s.t.Helper()
	s.must(s.Fleet.SetTraffic([]fleet.Traffic{{
		Trace: trace.Constant(rate, 200, 100, 1), Options: trace.Options{Seed: 1}, Shares: []trace.Share{{Server: namespace + "/chat", Weight: 1}},
	}}))
}
