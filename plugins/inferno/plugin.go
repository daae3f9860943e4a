package inferno

import (
	"context"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/utils/clock"

	"github.com/llm-inferno/inferno/plugins/apis/config"
	"github.com/llm-inferno/inferno/plugins/apis/config/scheme"
)

// Name of the plugin in a KubeSchedulerConfiguration.
const Name = "Inferno"

// Plugin is the plugin in one profile of a scheduler.
type Plugin struct {
	args    *config.InfernoArgs
	handle  fwk.Handle
	cluster *cluster
	// annotate writes annotations on a pod.
	annotate func(ctx context.Context, pod *v1.Pod, annotations map[string]string) error
	// bindsFirst tells whether the plugin binds its pods itself.
	bindsFirst func() bool
	clock      clock.WithTicker
	notices    *notices
}

var (
	_ fwk.PreEnqueuePlugin  = &Plugin{}
	_ fwk.PreFilterPlugin   = &Plugin{}
	_ fwk.FilterPlugin      = &Plugin{}
	_ fwk.PostFilterPlugin  = &Plugin{}
	_ fwk.PreScorePlugin    = &Plugin{}
	_ fwk.ScorePlugin       = &Plugin{}
	_ fwk.ReservePlugin     = &Plugin{}
	_ fwk.PermitPlugin      = &Plugin{}
	_ fwk.PreBindPlugin     = &Plugin{}
	_ fwk.BindPlugin        = &Plugin{}
	_ fwk.PostBindPlugin    = &Plugin{}
	_ fwk.SignPlugin        = &Plugin{}
	_ fwk.EnqueueExtensions = &Plugin{}
)

// Name of the plugin.
func (p *Plugin) Name() string { return Name }

// Factory makes the plugin for each profile of one scheduler. The profiles share what they know of the cluster: pods of one server that
// different profiles place count against one quota.
type Factory struct {
	// Register the metrics.
	Register func(metrics.Registerable) error
	// Clock to wait by.
	Clock clock.WithTicker

	// openPlans and openClient are replaced in tests.
	openPlans  func(*rest.Config) (*plans, error)
	openClient func(fwk.Handle) (kubernetes.Interface, error)

	once    sync.Once
	cluster *cluster
	err     error
}

// NewFactory makes a factory with the scheduler's own metrics registry and the real clock.
func NewFactory() *Factory {
	return &Factory{Register: legacyregistry.Register, Clock: clock.RealClock{}, openPlans: newPlans, openClient: annotationClient}
}

// New makes the plugin for a profile. What it starts runs until the context ends.
func (f *Factory) New(ctx context.Context, obj runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
	args, err := scheme.FromObject(obj)
	if err != nil {
		return nil, err
	}
	f.once.Do(func() { f.cluster, f.err = f.start(ctx, handle) })
	if f.err != nil {
		return nil, fmt.Errorf("plugin %s: %w", Name, f.err)
	}
	client, err := f.openClient(handle)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", Name, err)
	}
	p := &Plugin{args: args, handle: handle, cluster: f.cluster, annotate: patchWith(client), bindsFirst: bindsFirst(handle), clock: f.Clock}
	p.notices = newNotices(p, client)
	go p.notices.run(ctx)
	p.cluster.profiles.Store(handle.ProfileName(), true)
	go p.cluster.wakeWhenReady(ctx, args.SyncTimeout.Duration)
	go p.watchOverdue(ctx, time.Second)
	return p, nil
}

func (f *Factory) start(ctx context.Context, handle fwk.Handle) (*cluster, error) {
	m, err := newMetrics(f.Register)
	if err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	p, err := f.openPlans(handle.KubeConfig())
	if err != nil {
		return nil, err
	}
	return newCluster(ctx, handle.SharedInformerFactory(), p, handle, m, f.Clock)
}

// annotationClient has a rate limit of its own, as high as the scheduler's: annotating must not take from the pace of binding.
func annotationClient(handle fwk.Handle) (kubernetes.Interface, error) {
	c := rest.CopyConfig(handle.KubeConfig())
	c.RateLimiter = nil
	return kubernetes.NewForConfig(c)
}

// watchOverdue wakes pods whose time to wait for the plan is over.
func (p *Plugin) watchOverdue(ctx context.Context, period time.Duration) {
	ticker := p.clock.NewTicker(period)
	defer ticker.Stop()
	last := p.clock.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
			now := p.clock.Now()
			p.cluster.wakeOverdue(p.handle.ProfileName(), p.args.FallbackAfter.Duration, last, now)
			last = now
		}
	}
}

// patience that a pod has left.
func (p *Plugin) patience(pod *v1.Pod) patience {
	since, waiting := waitsSince(pod)
	switch {
	case !waiting || p.clock.Since(since) < p.args.FallbackAfter.Duration:
		return patient
	case p.args.Fallback != config.FallbackAnyFeasible:
		return impatient
	}
	return overdue
}
