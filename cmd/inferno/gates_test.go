package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

func TestGates(t *testing.T) {
	now := time.Unix(10_000, 0)
	pod := func(name string, age time.Duration, gates ...string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: "llm", Name: name, UID: types.UID(name), Labels: map[string]string{v1alpha1.ServerLabel: "chat"}, CreationTimestamp: metav1.NewTime(now.Add(-age)),
		}}
		for _, g := range gates {
			p.Spec.SchedulingGates = append(p.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: g})
		}
		return p
	}
	c := fake.NewClientBuilder().WithObjects(
		pod("young", time.Minute, v1alpha1.PlacementGate), pod("old", time.Hour, "example.com/quota", v1alpha1.PlacementGate), pod("free", time.Hour), pod("stuck", time.Second, v1alpha1.PlacementGate),
	).WithInterceptorFuncs(interceptor.Funcs{Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
		if o.GetName() == "stuck" {
			return errors.New("not today")
		}
		return c.Patch(ctx, o, p, opts...)
	}}).Build()
	waiting := func() []corev1.Pod {
		var list corev1.PodList
		if err := c.List(t.Context(), &list); err != nil {
			t.Fatal(err)
		}
		return waitingBehindGates(list.Items)
	}
	var out bytes.Buffer
	if err := listGated(&out, waiting(), now); err != nil {
		t.Fatal(err)
	}
	want := "NAMESPACE  SERVER  POD    WAITS\nllm        chat    old    60m\nllm        chat    young  60s\nllm        chat    stuck  1s\n"
	if out.String() != want {
		t.Errorf("got\n%s want\n%s", &out, want)
	}
	out.Reset()
	err := releaseGated(t.Context(), c, &out, waiting())
	if err == nil || !strings.Contains(err.Error(), "llm/stuck: not today") || out.String() != "2 of 3 gates lifted\n" {
		t.Errorf("said %q, %v", &out, err)
	}
	if left := waiting(); len(left) != 1 || left[0].Name != "stuck" {
		t.Errorf("left are %v", left)
	}
	var old corev1.Pod
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "llm", Name: "old"}, &old); err != nil || len(old.Spec.SchedulingGates) != 1 || seats.Gated(&old) {
		t.Errorf("the gates of others are %v, %v", old.Spec.SchedulingGates, err)
	}
	out.Reset()
	if err := listGated(&out, nil, now); err != nil || !strings.HasPrefix(fmt.Sprint(&out), "no pod") {
		t.Errorf("said %q, %v", &out, err)
	}
	for _, args := range [][]string{{"gates", "release"}, {"gates", "-n", "llm", "-A"}, {"gates", "stray"}} {
		if code := run(t.Context(), newRootCommand(), args); code != exitBadInput {
			t.Errorf("%v: exit status %d", args, code)
		}
	}
}
