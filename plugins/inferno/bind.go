package inferno

import (
	"context"
	"slices"
	"sync"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/util"
)

// A binding can carry annotations, which the API server adds to the pod in the same step. That is one request instead of three: with work
// to do in PreBind, the scheduler first nominates the node (a patch), then PreBind patches the annotations, then the pod is bound. Where a
// profile lists the plugin first among the Bind plugins it binds its pods itself; otherwise PreBind annotates them.

// Bind binds the pod together with its annotations. Pods that the plugin has not placed are left to the next binder.
func (p *Plugin) Bind(ctx context.Context, state fwk.CycleState, pod *v1.Pod, nodeName string) *fwk.Status {
	s := read[*seating](state, placementKey)
	if s == nil {
		return fwk.NewStatus(fwk.Skip)
	}
	binding := &v1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, Annotations: s.annotations},
		Target:     v1.ObjectReference{Kind: "Node", Name: nodeName},
	}
	calls := p.handle.APICacher()
	if calls == nil {
		return fwk.AsStatus(util.BindPod(ctx, p.handle.ClientSet(), binding))
	}
	done, err := calls.BindPod(binding)
	if err != nil {
		return fwk.AsStatus(err)
	}
	return fwk.AsStatus(calls.WaitOnFinish(ctx, done))
}

// bindsFirst tells, once the profile is set up, whether the plugin is the first of its Bind plugins.
func bindsFirst(handle fwk.Handle) func() bool {
	return sync.OnceValue(func() bool {
		profile, ok := handle.(interface{ ListPlugins() *config.Plugins })
		if !ok {
			return false
		}
		binders := profile.ListPlugins().Bind.Enabled
		return slices.IndexFunc(binders, func(b config.Plugin) bool { return b.Name == Name }) == 0
	})
}
