package apiserver

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
)

// A real API server takes what the watch writes: a condition beside those of others, which goes when the pod does, and an event.
func TestGatesAreWatchedOnARealCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the binaries of the control plane")
	}
	plane, err := controlplane.Start(t.Context(), controlplane.Options{Scheduler: controlplane.SchedulerOptions{Disabled: true}, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plane.Stop() })
	const objects = `
apiVersion: v1
kind: Namespace
metadata: {name: llm}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default, namespace: llm}
---
apiVersion: inferno.platform.ai/v1alpha1
kind: Server
metadata: {name: chat, namespace: llm}
spec: {model: m, serviceClass: premium}
---
apiVersion: v1
kind: Pod
metadata: {name: waits, namespace: llm, labels: {inferno.platform.ai/server: chat}}
spec:
  schedulingGates: [{name: inferno.platform.ai/placement}]
  containers: [{name: c, image: i}]
`
	if err := plane.Apply(t.Context(), manifests.Join(manifests.CRDs(), []byte(objects))); err != nil {
		t.Fatal(err)
	}
	config := plane.Config()
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	servers, err := newServerCache(client)
	if err != nil {
		t.Fatal(err)
	}
	watch, err := watchGates(config, client, servers, time.Second, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{}, 2)
	go func() { servers.informer.RunWithContext(ctx); ended <- struct{}{} }()
	go func() { watch(ctx); ended <- struct{}{} }()
	t.Cleanup(func() { cancel(); <-ended; <-ended })
	await := func(what string, holds func() bool) {
		t.Helper()
		for began := time.Now(); !holds(); time.Sleep(100 * time.Millisecond) {
			if time.Since(began) > 5*time.Minute {
				t.Fatalf("in vain: %s", what)
			}
		}
	}
	told := func() *metav1.Condition {
		s, found := servers.Get("llm", "chat")
		if !found {
			return nil
		}
		return meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionGatesLifted)
	}
	await("the condition is set", func() bool { c := told(); return c != nil && c.Reason == v1alpha1.ReasonGateNotLifted })
	await("an event says it", func() bool {
		list, err := typed.CoreV1().Events("llm").List(ctx, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Items {
			if e.Reason == v1alpha1.ReasonGateNotLifted && e.InvolvedObject.Kind == "Server" && e.Type == corev1.EventTypeWarning {
				return true
			}
		}
		return false
	})
	if err := typed.CoreV1().Pods("llm").Delete(ctx, "waits", metav1.DeleteOptions{GracePeriodSeconds: new(int64)}); err != nil {
		t.Fatal(err)
	}
	await("the condition goes with the pod", func() bool { return told() == nil })
}
