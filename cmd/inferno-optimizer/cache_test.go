package main

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
)

// Of namespaces that are named the Servers are seen and no others, and all pods: they hold cards wherever they are.
func TestWatchNamespaces(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the binaries of the control plane")
	}
	plane, err := controlplane.Start(t.Context(), controlplane.Options{Scheduler: controlplane.SchedulerOptions{Disabled: true}, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plane.Stop() })
	objects := [][]byte{manifests.CRDs()}
	for _, n := range []string{"a", "b"} {
		objects = append(objects, []byte(`
apiVersion: v1
kind: Namespace
metadata: {name: `+n+`}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default, namespace: `+n+`}
---
apiVersion: inferno.platform.ai/v1alpha1
kind: Server
metadata: {name: chat, namespace: `+n+`}
spec: {model: m, serviceClass: premium}
---
apiVersion: v1
kind: Pod
metadata: {name: chat, namespace: `+n+`}
spec: {containers: [{name: c, image: i}]}
`))
	}
	if err := plane.Apply(t.Context(), manifests.Join(objects...)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		namespaces []string
		servers    int
	}{{nil, 2}, {[]string{"a"}, 1}, {[]string{"a", "b"}, 2}} {
		scheme := runtime.NewScheme()
		if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
			t.Fatal(err)
		}
		o := cacheOptions(c.namespaces)
		o.Scheme = scheme
		seen, err := cache.New(plane.Config(), o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- seen.Start(ctx) }()
		for _, o := range []client.Object{&v1alpha1.Server{}, &corev1.Pod{}} {
			if _, err := seen.GetInformer(ctx, o, cache.BlockUntilSynced(false)); err != nil {
				t.Fatal(err)
			}
		}
		if !seen.WaitForCacheSync(ctx) {
			t.Fatal("the cache is not filled")
		}
		var servers v1alpha1.ServerList
		var pods corev1.PodList
		if err := errors.Join(seen.List(ctx, &servers), seen.List(ctx, &pods)); err != nil {
			t.Fatal(err)
		}
		if len(servers.Items) != c.servers || len(pods.Items) != 2 {
			t.Errorf("of namespaces %v %d Servers and %d pods are seen, want %d and 2", c.namespaces, len(servers.Items), len(pods.Items), c.servers)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
