package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
)

// inferno-scheduler in place of the cluster's own, as docs/scheduler.md has it, and the way back. No optimizer runs. Pods that belong to no Server are
// placed throughout: before there are any custom resource definitions, and beside a plan.
func TestInPlaceOfTheClustersScheduler(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	plane, err := controlplane.Start(t.Context(), controlplane.Options{Scheduler: controlplane.SchedulerOptions{Disabled: true}, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plane.Stop() })
	c, _, err := stack.Clients(plane.Config())
	if err != nil {
		t.Fatal(err)
	}
	s := &scheduled{t: t, plane: plane, client: c}
	pools := []controlplane.NodePool{{Name: "plain", Count: 2}, {Name: "h100", Count: 1, GPU: controlplane.H100, GPUsPerNode: 4}, {Name: "l40s", Count: 1, GPU: controlplane.L40S, GPUsPerNode: 4}}
	rights, err := os.ReadFile("../../plugins/config/kubeadm/rbac.yaml")
	if err = errors.Join(err, plane.AddNodes(t.Context(), pools...), plane.Apply(t.Context(), []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: llm}\n"))); err != nil {
		t.Fatal(err)
	}
	stockPaths, err := controlplane.Binaries(t.Context(), "", t.Output(), controlplane.Scheduler)
	if err != nil {
		t.Fatal(err)
	}
	stock := func() func() {
		return s.run(stockPaths[controlplane.Scheduler], []byte("apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"))
	}
	sample, err := os.ReadFile("../../plugins/config/samples/default-scheduler.yaml")
	if err != nil {
		t.Fatal(err)
	}

	stop := stock()
	s.placed("with the stock scheduler", "stranger-0", s.pod("stranger-0", ""))
	stop()

	stop = s.run(filepath.Join(programs, "inferno-scheduler"), sample)
	s.placed("without rights and custom resource definitions", "stranger-1", s.pod("stranger-1", ""))
	if err := plane.Apply(t.Context(), rights); err != nil {
		t.Fatal(err)
	}
	s.placed("without custom resource definitions, for a Server", "early", s.pod("early", "other"))

	if err := plane.Apply(t.Context(), manifests.CRDs()); err != nil {
		t.Fatal(err)
	}
	s.server()
	s.plan(0)
	// Until the plugin has heard of the plan it places as if there were none.
	s.eventually("the plan is followed: it has no seat", func(ctx context.Context) error {
		if s.on(ctx, "probe", "") == nil {
			return errors.Join(c.Delete(ctx, s.pod("probe", "chat"), client.GracePeriodSeconds(0)), errors.New("it was placed without a plan"))
		}
		if err := c.Create(ctx, s.pod("probe", "chat")); client.IgnoreAlreadyExists(err) != nil {
			return err
		}
		return s.held(ctx, 1)
	})
	s.plan(2)
	s.eventually("the plan wakes who waited for it", func(ctx context.Context) error { return s.on(ctx, "probe", "h100-0") })
	s.placed("beside a plan", "stranger-2", s.pod("stranger-2", ""))
	for i := range 3 {
		s.create(s.pod(fmt.Sprintf("chat-%d", i), "chat"))
	}
	s.eventually("one more has a seat, and two are held", func(ctx context.Context) error { return s.held(ctx, 2) })
	stop()

	stop = stock()
	defer stop()
	s.placed("with the stock scheduler again", "stranger-3", s.pod("stranger-3", ""))
	s.eventually("it knows no plan, and places what was held", func(ctx context.Context) error { return s.held(ctx, 0) })
}

// scheduled is a control plane whose scheduler the test starts and stops.
type scheduled struct {
	t      *testing.T
	plane  *controlplane.Plane
	client client.Client
}

// run a scheduler as the cluster's own, with its identity and its lease.
func (s *scheduled) run(path string, config []byte) (stop func()) {
	s.t.Helper()
	kubeconfig, err := s.plane.Kubeconfig("system:kube-scheduler")
	if err != nil {
		s.t.Fatal(err)
	}
	text := strings.ReplaceAll(string(config), "/etc/kubernetes/scheduler.conf", kubeconfig)
	if !strings.Contains(text, kubeconfig) {
		text += "clientConnection: {kubeconfig: " + kubeconfig + "}\n"
	}
	file := filepath.Join(s.t.TempDir(), "scheduler.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	command := exec.Command(path, "--config="+file, "--secure-port=0")
	command.Stdout, command.Stderr = s.t.Output(), s.t.Output()
	if err := command.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := false
	stop = func() {
		if !ended {
			ended = true
			_ = command.Process.Signal(syscall.SIGTERM)
			_ = command.Wait()
		}
	}
	s.t.Cleanup(stop)
	return stop
}

// pod for the default scheduler; of a Server where that is named, which takes a card.
func (s *scheduled) pod(name, server string) *corev1.Pod {
	p := stack.Deployment(&v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Name: server, Namespace: namespace}}, 1).Spec.Template
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: p.Labels}, Spec: p.Spec}
	pod.Spec.SchedulerName = corev1.DefaultSchedulerName
	if server == "" {
		pod.Labels, pod.Spec.Containers[0].Resources = nil, corev1.ResourceRequirements{}
	}
	return pod
}

func (s *scheduled) create(p *corev1.Pod) {
	s.t.Helper()
	if err := s.client.Create(s.t.Context(), p); err != nil {
		s.t.Fatal(err)
	}
}

// server makes the Server chat and what its plan is about.
func (s *scheduled) server() {
	s.t.Helper()
	if err := s.plane.Apply(s.t.Context(), []byte(`
apiVersion: inferno.platform.ai/v1alpha1
kind: Accelerator
metadata: {name: h100}
spec: {type: H100, costPerHour: 400}
---
apiVersion: inferno.platform.ai/v1alpha1
kind: Server
metadata: {name: chat, namespace: llm}
spec: {model: llama, serviceClass: premium}
`)); err != nil {
		s.t.Fatal(err)
	}
}

// plan so many replicas of the Server chat on the H100.
func (s *scheduled) plan(replicas int) {
	s.t.Helper()
	server := &v1alpha1.Server{}
	if err := s.client.Get(s.t.Context(), client.ObjectKey{Namespace: namespace, Name: "chat"}, server); err != nil {
		s.t.Fatal(err)
	}
	server.Status.Desired = &v1alpha1.DesiredState{
		Replicas: replicas, Parts: []jsonspec.AllocationPart{{Accelerator: "h100", Replicas: replicas}}, DecidedAt: metav1.Now(), ConfirmedAt: metav1.Now(), StaleAfterSeconds: 3600,
	}
	if err := s.client.Status().Update(s.t.Context(), server); err != nil {
		s.t.Fatal(err)
	}
}

// placed waits until a pod that is made now has a node.
func (s *scheduled) placed(when, name string, p *corev1.Pod) {
	s.t.Helper()
	s.create(p)
	s.eventually(name+" has a node "+when, func(ctx context.Context) error { return s.on(ctx, name, "") })
}

// on tells whether a pod is on a node, or on any where that is empty.
func (s *scheduled) on(ctx context.Context, name, node string) error {
	var p corev1.Pod
	if err := s.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &p); err != nil {
		return err
	}
	if p.Spec.NodeName == "" || node != "" && p.Spec.NodeName != node {
		return fmt.Errorf("%s is on %q: %+v", name, p.Spec.NodeName, p.Status.Conditions)
	}
	return nil
}

// held tells whether so many pods of the Server chat wait without a seat, and all others have a node.
func (s *scheduled) held(ctx context.Context, want int) error {
	var list corev1.PodList
	if err := s.client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return err
	}
	held, pending := 0, 0
	for _, p := range list.Items {
		if p.Spec.NodeName != "" {
			continue
		}
		pending++
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Reason == v1alpha1.ReasonNoSeat {
				held++
			}
		}
	}
	if held != want || pending != want {
		return fmt.Errorf("%d pods have no node, %d of them are held, want %d", pending, held, want)
	}
	return nil
}

func (s *scheduled) eventually(what string, condition func(context.Context) error) {
	s.t.Helper()
	if err := stack.Eventually(s.t.Context(), what, soon, condition); err != nil {
		s.t.Fatal(err)
	}
}
