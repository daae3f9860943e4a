package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
)

const (
	printEvery  = 5 * time.Second
	sampleEvery = time.Second
	// recent windows of the fleet's record that a line is about.
	recent = 10
	// settleTime is how long the cluster may take in the end to be where the plan says.
	settleTime = 90 * time.Second
)

// watcher looks at the cluster from outside: at Servers, Deployments, pods and nodes.
type watcher struct {
	stack    *stack.Stack
	scenario *scenario
	began    time.Time
	samples  []sample
	// replicas that a Deployment asked for last, and how often that changed.
	replicas map[string]int32
	changes  map[string]int
}

// sample is the state of the cluster at one time.
type sample struct {
	seconds float64
	servers map[string]serverSample
}

type serverSample struct {
	status    v1alpha1.ServerStatus
	placement map[string]int // ready pods by accelerator
	cost      float64        // of the ready pods, cents per hour
}

func newWatcher(s *stack.Stack, sc *scenario) *watcher {
	return &watcher{stack: s, scenario: sc, began: time.Now(), replicas: map[string]int32{}, changes: map[string]int{}}
}

// watch samples and prints until the time is over. An API server that is away for a while is waited for.
func (w *watcher) watch(ctx context.Context, duration time.Duration, out io.Writer) error {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	printed := time.Now()
	for time.Since(w.began) < duration {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		if err := w.sample(ctx); err != nil {
			fmt.Fprintf(out, "%4.0f s  %v\n", time.Since(w.began).Seconds(), err)
			continue
		}
		if time.Since(printed) >= printEvery {
			printed = time.Now()
			w.print(out)
		}
	}
	return nil
}

func (w *watcher) sample(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s := sample{seconds: time.Since(w.began).Seconds(), servers: map[string]serverSample{}}
	for _, server := range w.scenario.servers {
		one, err := w.sampleServer(ctx, server.Name)
		if err != nil {
			return err
		}
		s.servers[server.Name] = one
	}
	w.samples = append(w.samples, s)
	return nil
}

func (w *watcher) sampleServer(ctx context.Context, name string) (serverSample, error) {
	key := client.ObjectKey{Namespace: namespace, Name: name}
	var server v1alpha1.Server
	if err := w.stack.Client.Get(ctx, key, &server); err != nil {
		return serverSample{}, err
	}
	now := int32(0)
	for _, workload := range workloads(&server) {
		var deployment appsv1.Deployment
		if err := w.stack.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: workload}, &deployment); err != nil {
			return serverSample{}, err
		}
		now += *deployment.Spec.Replicas
	}
	products, err := w.stack.Placement(ctx, namespace, name, "nvidia.com/gpu.product")
	if err != nil {
		return serverSample{}, err
	}
	if before := w.replicas[name]; now != before {
		if before != 0 {
			w.changes[name]++
		}
		w.replicas[name] = now
	}
	s := serverSample{status: server.Status, placement: map[string]int{}}
	for product, n := range products {
		a := accelerators[product]
		s.placement[a] += n
		s.cost += float64(n) * w.scenario.costs[a]
	}
	return s, nil
}

// workloads of a server, each with an autoscaler of its name.
func workloads(s *v1alpha1.Server) []string {
	if len(s.Spec.Variants) == 0 {
		return []string{s.Name}
	}
	var names []string
	for i := range s.Spec.Variants {
		names = append(names, s.Spec.Variants[i].ScaleTargetRef.Name)
	}
	return names
}

// print a line for every server.
func (w *watcher) print(out io.Writer) {
	last := w.samples[len(w.samples)-1]
	report := w.stack.Fleet.Report()
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%3.0f s\tREQ/S\tREADY\tDESIRED\tBATCH\tTTFT ms (target)\tITL ms (target)\t¢/h\n", last.seconds)
	for _, server := range w.scenario.servers {
		s := last.servers[server.Name]
		target := w.scenario.targets[server.Name]
		ttft, itl, arrivals := recentLatencies(report.Servers[namespace+"/"+server.Name])
		fmt.Fprintf(t, "%s\t%.1f\t%s\t%s\t%s\t%s (%.0f)\t%s (%.0f)\t%.0f\n", server.Name, arrivals, counts(s.placement), desired(s.status.Desired), batches(s.status.Desired),
			milliseconds(ttft), 1e3*target.TTFT, milliseconds(itl), 1e3*target.ITL, s.cost)
	}
	t.Flush()
	for _, pod := range slices.Sorted(maps.Keys(report.Faults)) {
		fmt.Fprintf(out, "%s cannot serve: %s\n", pod, report.Faults[pod])
	}
	fmt.Fprintln(out)
}

// recentLatencies are means over the last windows, and the arrival rate; NaN where nothing completed.
func recentLatencies(r serving.Report) (ttft, itl, arrivals float64) {
	windows := r.Windows[max(len(r.Windows)-recent, 0):]
	var nTTFT, nITL, n int
	for _, x := range windows {
		if x.TTFT.Count > 0 {
			ttft += x.TTFT.Mean * float64(x.TTFT.Count)
			nTTFT += x.TTFT.Count
		}
		if x.ITL.Count > 0 {
			itl += x.ITL.Mean * float64(x.ITL.Count)
			nITL += x.ITL.Count
		}
		n += x.Arrivals
	}
	return ttft / float64(nTTFT), itl / float64(nITL), float64(n) / float64(max(len(windows), 1))
}

func milliseconds(seconds float64) string {
	if math.IsNaN(seconds) {
		return "-"
	}
	return fmt.Sprintf("%.0f", 1e3*seconds)
}

func counts(m map[string]int) string {
	var words []string
	for _, a := range slices.Sorted(maps.Keys(m)) {
		words = append(words, fmt.Sprintf("%s:%d", a, m[a]))
	}
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, " ")
}

func desired(d *v1alpha1.DesiredState) string {
	if d == nil {
		return "-"
	}
	text := counts(planned(d))
	if d.Surge > 0 {
		text += fmt.Sprintf(" +%d", d.Surge)
	}
	if d.BestEffort {
		text += " best effort"
	}
	return text
}

func planned(d *v1alpha1.DesiredState) map[string]int {
	m := map[string]int{}
	for _, p := range d.Parts {
		if p.Replicas > 0 { // and not a surge alone
			m[p.Accelerator] += p.Replicas // of both roles
		}
	}
	return m
}

func batches(d *v1alpha1.DesiredState) string {
	if d == nil {
		return "-"
	}
	var words []string
	for _, p := range d.Parts {
		if p.Replicas > 0 {
			words = append(words, fmt.Sprint(p.MaxBatchSize))
		}
	}
	return strings.Join(words, "+")
}

// verify that the cluster followed: autoscalers changed replicas, and every ready pod is where the plan says.
func (w *watcher) verify(ctx context.Context, out io.Writer) error {
	var faults []error
	scaled := 0
	for _, server := range w.scenario.servers {
		followed := false
		for _, workload := range workloads(&server) {
			var hpa autoscalingv2.HorizontalPodAutoscaler
			if err := w.stack.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: workload}, &hpa); err != nil {
				faults = append(faults, err)
			} else {
				followed = followed || hpa.Status.LastScaleTime != nil && w.changes[server.Name] > 0
			}
		}
		if followed {
			scaled++
		}
	}
	if scaled == 0 {
		faults = append(faults, errors.New("no autoscaler changed the replicas of its Deployment"))
	}
	fmt.Fprintf(out, "autoscalers changed the replicas of %d of %d servers; comparing pods with the plan\n", scaled, len(w.scenario.servers))
	faults = append(faults, stack.Eventually(ctx, "pods are where the plan says", settleTime, func(ctx context.Context) error {
		if err := w.sample(ctx); err != nil {
			return err
		}
		return w.followed()
	}))
	return errors.Join(faults...)
}

// followed compares the pods of the last sample, by the labels of their nodes, with the plan.
func (w *watcher) followed() error {
	var faults []error
	for name, s := range w.samples[len(w.samples)-1].servers {
		if s.status.Desired == nil {
			faults = append(faults, fmt.Errorf("%s has no plan", name))
			continue
		}
		want := planned(s.status.Desired)
		maps.DeleteFunc(want, func(_ string, n int) bool { return n == 0 })
		if !maps.Equal(want, s.placement) {
			faults = append(faults, fmt.Errorf("%s: ready pods are %s, the plan says %s", name, counts(s.placement), counts(want)))
		}
	}
	return errors.Join(faults...)
}
