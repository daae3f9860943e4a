// Package e2e tests inferno as a whole on a real control plane: real API server, autoscaler, Prometheus, and inferno's programs as processes
// with the rights of their manifests. Only the model servers are simulated.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/localcluster/fleet"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

// programs is the directory of inferno's programs.
var programs string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		programs = os.Getenv("INFERNO_PROGRAMS")
		if programs == "" {
			dir, err := os.MkdirTemp("", "inferno-programs-")
			if err == nil {
				defer os.RemoveAll(dir)
				programs, err = dir, stack.Build(context.Background(), dir, os.Stderr)
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		return m.Run()
	}())
}

const (
	namespace = "llm"
	product   = "nvidia.com/gpu.product"
	// soon is when a test stops waiting for what normally takes seconds: late enough for any machine, since only a test that fails waits so long.
	soon = 10 * time.Minute
)

// cluster is what every test begins with. The interval is short; a hold-down of a few seconds stands for minutes.
const cluster = `
apiVersion: v1
kind: Namespace
metadata: {name: llm}
---
apiVersion: inferno.platform.ai/v1alpha1
kind: Accelerator
metadata: {name: h100}
spec: {type: H100, costPerHour: 400}
---
apiVersion: inferno.platform.ai/v1alpha1
kind: Accelerator
metadata: {name: l40s}
spec: {type: L40S, costPerHour: 110}
---
apiVersion: inferno.platform.ai/v1alpha1
kind: Model
metadata: {name: llama}
spec:
  performance:
    - {accelerator: h100, maxBatchSize: 64, atTokens: 100, work: {alpha: "7.0", beta: "0.0325", gamma: "0.000049"}}
    - {accelerator: l40s, maxBatchSize: 64, atTokens: 100, work: {alpha: "24.2", beta: "0.0887", gamma: "0.00019"}}
---
apiVersion: inferno.platform.ai/v1alpha1
kind: ServiceClass
metadata: {name: premium}
spec:
  priority: 1
  targets:
    - {model: llama, itl: 60ms, ttft: 2s}
---
apiVersion: inferno.platform.ai/v1alpha1
kind: Optimizer
metadata: {name: default}
spec:
  interval: 1s
  staleAfter: 5m
  prometheus: {window: 8s}
  stability: {damped: {scaleInHoldDown: 5s, minimalGain: "0.1"}}
`

// system is a running stack with helpers that fail the test.
type system struct {
	*stack.Stack
	t testing.TB
}

func start(t testing.TB, changes ...func(*stack.Options)) *system {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	progress := &strings.Builder{}
	options := stack.Options{
		Programs: programs, PodStartup: 2 * time.Second, Progress: progress,
		Nodes: []controlplane.NodePool{
			{Name: "h100", Count: 2, GPU: controlplane.H100, GPUsPerNode: 4},
			{Name: "l40s", Count: 4, GPU: controlplane.L40S, GPUsPerNode: 4},
		},
	}
	for _, change := range changes {
		change(&options)
	}
	s, err := stack.Start(t.Context(), options)
	if err != nil {
		t.Fatalf("%v\n%s", err, progress)
	}
	t.Cleanup(func() {
		if t.Failed() {
			keepLogs(t, s)
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	sys := &system{Stack: s, t: t}
	sys.apply(cluster)
	return sys
}

// keepLogs shows the end of the logs of inferno's programs and keeps the decision log where go test keeps artifacts (-artifacts).
func keepLogs(t testing.TB, s *stack.Stack) {
	if data, err := os.ReadFile(s.DecisionLog); err == nil {
		if err := os.WriteFile(filepath.Join(t.ArtifactDir(), "decisions.jsonl"), data, 0o644); err != nil {
			t.Log(err)
		}
	}
	for _, name := range []string{"inferno-optimizer", "inferno-adapter", "kube-scheduler"} {
		data, err := os.ReadFile(filepath.Join(s.Dir(), name+".log"))
		if err != nil {
			t.Log(err)
			continue
		}
		lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
		t.Logf("%s:\n%s", name, bytes.Join(lines[max(len(lines)-25, 0):], []byte("\n")))
	}
}

func (s *system) apply(manifest string) {
	s.t.Helper()
	if err := s.Apply(s.t.Context(), []byte(manifest)); err != nil {
		s.t.Fatal(err)
	}
}

// newServer that is yet to be created.
func newServer(name string, change func(*v1alpha1.Server)) *v1alpha1.Server {
	server := &v1alpha1.Server{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: v1alpha1.ServerSpec{
			Model: "llama", ServiceClass: "premium", MaxBatchedTokens: 1024,
			ServerBinding: jsonspec.ServerBinding{ScaleTargetRef: &jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: name}},
		},
	}
	if change != nil {
		change(server)
	}
	return server
}

// serve creates a server with its workload and autoscaler.
func (s *system) serve(name string, change func(*v1alpha1.Server)) *v1alpha1.Server {
	s.t.Helper()
	server := newServer(name, change)
	if err := errors.Join(s.Client.Create(s.t.Context(), server), s.Deploy(s.t.Context(), server, 1)); err != nil {
		s.t.Fatal(err)
	}
	return server
}

// play starts the simulated model servers without load.
func (s *system) play(names ...string) {
	s.t.Helper()
	config := fleet.Config{Accelerators: map[string]string{controlplane.H100.Product: "h100", controlplane.L40S.Product: "l40s"}, Seed: 1}
	for _, n := range names {
		config.Servers = append(config.Servers, fleet.Server{Namespace: namespace, Name: n, Model: "llama", Targets: serving.Targets{TTFT: 2, ITL: 0.06}})
	}
	for accelerator, law := range map[string]simulation.Linear{
		"h100": {Base: 0.007, PerToken: 0.0325e-3, PerContext: 0.049e-6}, "l40s": {Base: 0.0242, PerToken: 0.0887e-3, PerContext: 0.19e-6},
	} {
		config.Truths = append(config.Truths, fleet.Truth{Model: "llama", Accelerator: accelerator, StepTime: law, Cache: simulation.Cache{BlockSize: 16, Blocks: 10000}})
	}
	if err := s.StartFleet(s.t.Context(), config); err != nil {
		s.t.Fatal(err)
	}
}

// load sends so many requests per second to a server.
func (s *system) load(name string, rate float64) {
	s.t.Helper()
	err := s.Fleet.SetTraffic([]fleet.Traffic{{
		Trace: trace.Constant(rate, 200, 100, 1), Options: trace.Options{Seed: 1}, Shares: []trace.Share{{Server: namespace + "/" + name, Weight: 1}},
	}})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) server(ctx context.Context, name string) (*v1alpha1.Server, error) {
	server := &v1alpha1.Server{}
	return server, s.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, server)
}

// eventually waits for a condition.
func (s *system) eventually(what string, condition func(context.Context) error) {
	s.t.Helper()
	if err := stack.Eventually(s.t.Context(), what, soon, condition); err != nil {
		s.t.Fatal(err)
	}
}

// wantCondition waits until a condition of a server has a status and a reason.
func (s *system) wantCondition(name, kind string, status metav1.ConditionStatus, reason string) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("condition %s of %s is %s for %s", kind, name, status, reason), func(ctx context.Context) error {
		server, err := s.server(ctx, name)
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(server.Status.Conditions, kind)
		if c == nil || c.Status != status || c.Reason != reason {
			return fmt.Errorf("it is %+v", c)
		}
		return nil
	})
}

// settled waits until at least min and at most max replicas are ready, exactly where the plan says, with the limits it says.
func (s *system) settled(name string, min, max int) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%s runs as planned on %d to %d replicas", name, min, max), func(ctx context.Context) error {
		server, err := s.server(ctx, name)
		if err != nil {
			return err
		}
		d := server.Status.Desired
		if d == nil || d.Surge > 0 || d.Replicas < min || d.Replicas > max {
			return fmt.Errorf("the plan is %+v", d)
		}
		return s.realised(ctx, server)
	})
}

// realised compares the pods of a server with its plan, by the labels of their nodes and by their annotations.
func (s *system) realised(ctx context.Context, server *v1alpha1.Server) error {
	placement, err := s.Placement(ctx, namespace, server.Name, product)
	if err != nil {
		return err
	}
	products := map[string]string{"h100": controlplane.H100.Product, "l40s": controlplane.L40S.Product}
	total := 0
	for _, p := range server.Status.Desired.Parts {
		if placement[products[p.Accelerator]] != p.Replicas {
			return fmt.Errorf("ready pods are %v, the plan %+v", placement, server.Status.Desired.Parts)
		}
		total += p.Replicas
	}
	sum := 0
	for _, n := range placement {
		sum += n
	}
	if sum != total {
		return fmt.Errorf("ready pods are %v, the plan %+v", placement, server.Status.Desired.Parts)
	}
	return nil
}

// replicas that the Deployment asks for.
func (s *system) replicas(ctx context.Context, name string) (int, error) {
	d := &appsv1.Deployment{}
	if err := s.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, d); err != nil {
		return 0, err
	}
	return int(*d.Spec.Replicas), nil
}

// kill a program as a node that dies would, and wait until its supervisor has it running again.
func (s *system) kill(name string) {
	s.t.Helper()
	p := s.Process(name)
	before, pid := p.Restarts(), p.PID()
	if pid == 0 {
		s.t.Fatalf("%s does not run", name)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	s.eventually(name+" runs again", func(context.Context) error {
		if p.Restarts() == before || p.PID() == 0 {
			return errors.New("it does not")
		}
		return nil
	})
}

// patch an object with a JSON merge patch.
func (s *system) patch(o client.Object, patch string) {
	s.t.Helper()
	if err := s.Client.Patch(s.t.Context(), o, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		s.t.Fatal(err)
	}
}

func optimizer() *v1alpha1.Optimizer {
	return &v1alpha1.Optimizer{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
}

func accelerator(name string) *v1alpha1.Accelerator {
	return &v1alpha1.Accelerator{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// pods of a server.
func (s *system) pods(ctx context.Context, name string) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := s.Client.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.ServerLabel: name})
	return list.Items, err
}
