package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/routing"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
)

// Fleet plays model servers. Its methods may be called at any time from any
// goroutine.
type Fleet struct {
	config   Config
	listener net.Listener
	servers  map[string]*server // by key; the map does not change

	mu      sync.Mutex // guards everything below, and all engines
	begun   time.Time
	now     float64 // up to which everything was played, s
	streams []*stream
	pods    map[types.NamespacedName]*pod
	faults  map[types.NamespacedName]string
}

type server struct {
	Server
	served *serving.Server
}

// New checks the configuration and opens the listener, so that the address of the
// fleet is known before it runs. The error lists everything wrong.
func New(config Config) (*Fleet, error) {
	c := config.withDefaults()
	f := &Fleet{config: c, servers: map[string]*server{}, pods: map[types.NamespacedName]*pod{}, faults: map[types.NamespacedName]string{}}
	faults := []error{c.validate()}
	for i, s := range c.Servers {
		played, err := newServer(s, c)
		if err != nil {
			faults = append(faults, fmt.Errorf("servers[%d] (%s): %w", i, s.Key(), err))
			continue
		}
		f.servers[s.Key()] = &server{Server: s, served: played}
	}
	streams, err := newStreams(c.Traffic, f.servers, c.Seed, 0)
	if err := errors.Join(append(faults, err)...); err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	f.streams = streams
	if f.listener, err = net.Listen("tcp", c.Listen); err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	return f, nil
}

func newServer(s Server, c Config) (*serving.Server, error) {
	var balancers [3]routing.Balancer // of replicas that do both, and of each role
	var balancerErr error
	for i := range balancers {
		balancers[i], balancerErr = routing.Balancers().New(s.Balancer, nil)
	}
	played, err := serving.NewServer(balancers[0], serving.RecordOptions{Targets: s.Targets, Window: c.Window.Seconds(), Keep: c.Keep})
	if err := errors.Join(balancerErr, err); err != nil {
		return nil, err
	}
	played.Apart(balancers[1], balancers[2])
	return played, nil
}

// SetTraffic replaces all traffic from now on: the new traces begin now. On an
// error, which lists everything wrong, the old traffic goes on.
func (f *Fleet) SetTraffic(traffic []Traffic) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	streams, err := newStreams(traffic, f.servers, f.config.Seed, f.now)
	if err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	f.streams = streams
	return nil
}

// Report is what the fleet's clients saw.
type Report struct {
	Elapsed float64 // since the fleet began to run, s; windows count from there
	Servers map[string]serving.Report
	Faults  map[string]string // pods (namespace/name) that are Ready but cannot be played, and why
}

// WriteCSV writes the windows of all servers, see [serving.WriteCSV].
func (r Report) WriteCSV(out io.Writer) error { return serving.WriteCSV(out, r.Servers) }

// Report returns the record so far.
func (f *Fleet) Report() Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := Report{Elapsed: f.now, Servers: map[string]serving.Report{}, Faults: map[string]string{}}
	for key, s := range f.servers {
		r.Servers[key] = s.served.Report()
	}
	for name, reason := range f.faults {
		r.Faults[name.String()] = reason
	}
	return r
}

// play brings all servers up to the given time.
func (f *Fleet) play(until float64) {
	for s := earliest(f.streams, until); s != nil; s = earliest(f.streams, until) {
		f.servers[s.server].served.Arrive(s.next)
		s.advance()
	}
	for _, s := range f.servers {
		s.served.Advance(until)
	}
	f.now = until
}

// reconcile makes the pods played those that serve, and tells whether any came or
// went. A pod that is to go finishes what it has for as long as it is there.
func (f *Fleet) reconcile(pods []*corev1.Pod, node func(name string) (*corev1.Node, error)) (changed bool) {
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return cmp.Compare(key(a).String(), key(b).String()) })
	whole := together(pods)
	pods = placement.Leaders(pods)
	wanted := map[types.NamespacedName]types.UID{}
	for _, p := range pods {
		played, runs := f.pods[key(p)]
		if whole(p) || (runs && p.DeletionTimestamp != nil) {
			wanted[key(p)] = p.UID
		}
		if runs && played.uid == p.UID && p.DeletionTimestamp != nil {
			f.drain(played)
		}
	}
	for _, name := range slices.SortedFunc(maps.Keys(f.pods), compareNames) {
		if uid, stays := wanted[name]; !stays || uid != f.pods[name].uid {
			f.stop(f.pods[name])
			changed = true
		}
	}
	maps.DeleteFunc(f.faults, func(name types.NamespacedName, _ string) bool { _, stays := wanted[name]; return !stays })
	for _, p := range pods {
		if _, runs := f.pods[key(p)]; runs || !whole(p) {
			continue
		}
		if err := f.launch(p, node); err != nil {
			f.blame(key(p), err)
			continue
		}
		changed = true
	}
	return changed
}

// launch starts to play a pod.
func (f *Fleet) launch(p *corev1.Pod, node func(name string) (*corev1.Node, error)) error {
	n, err := node(p.Spec.NodeName)
	if err != nil {
		return err
	}
	played, err := f.start(p, n)
	if err != nil {
		return err
	}
	engine, err := simulation.New(played.config)
	if err != nil {
		return err
	}
	played.page.Attach(engine, played.config)
	if err := f.servers[played.server].served.AddApart(f.now, played.name.String(), played.accelerator, played.role, played.link, engine); err != nil {
		return err
	}
	f.pods[played.name] = played
	delete(f.faults, played.name)
	f.config.Logger.Info("Pod serves", "pod", played.name, "server", played.server, "node", played.node, "accelerator", played.accelerator,
		"maxNumSeqs", played.config.MaxNumSeqs, "maxNumBatchedTokens", played.config.MaxNumBatchedTokens)
	return nil
}

func (f *Fleet) drain(p *pod) {
	if err := f.servers[p.server].served.Drain(f.now, p.name.String()); err != nil {
		panic(fmt.Sprintf("fleet: %v", err)) // as in stop
	}
}

func (f *Fleet) stop(p *pod) {
	if err := f.servers[p.server].served.Remove(f.now, p.name.String()); err != nil {
		panic(fmt.Sprintf("fleet: %v", err)) // launch and stop are the only ones to add and remove
	}
	delete(f.pods, p.name)
	f.config.Logger.Info("Pod is gone", "pod", p.name, "server", p.server)
}

// blame remembers why a pod cannot be played.
func (f *Fleet) blame(name types.NamespacedName, err error) {
	if f.faults[name] == err.Error() {
		return
	}
	f.faults[name] = err.Error()
	f.config.Logger.Warn("Pod cannot be played", "pod", name, "error", err)
}

func key(p *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
}

func compareNames(a, b types.NamespacedName) int { return cmp.Compare(a.String(), b.String()) }
