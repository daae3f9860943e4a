//go:build unix

package inferno

import (
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Size of the fleet whose throughput is measured. Each variant runs twice, which makes 10,000 pods.
const (
	fleetNodes   = 5000
	fleetPods    = 5000
	fleetServers = 100
)

// BenchmarkThroughput compares kube-scheduler with the stock profile, with the plugin for pods that are not ours, and with the plugin for
// pods that are, on 5,000 nodes. Nodes and pods live in memory, so that no API server hides what the plugin costs: on a real one, where
// binding takes most of the time, the ratios are closer to one. A busy scheduler is bound by the processor, so that pods per second of
// processor time is what is compared; unlike time on the clock it does not depend on what else the machine does.
func BenchmarkThroughput(b *testing.B) {
	variants := []struct {
		name   string
		ours   bool
		setups []setup
	}{{"stock", false, []setup{withoutPlugin}}, {"foreign", false, nil}, {"ours", true, nil}}
	processor := map[string]float64{}
	for b.Loop() {
		for range 2 {
			for _, v := range variants {
				processor[v.name] += schedule(b, v.ours, v.setups...)
			}
			slices.Reverse(variants) // whatever grows over the runs grows for all
		}
	}
	b.ReportMetric(2*fleetPods*float64(b.N)/processor["stock"], "stock-pods/cpu-s")
	b.ReportMetric(processor["stock"]/processor["foreign"], "x-stock-foreign")
	b.ReportMetric(processor["stock"]/processor["ours"], "x-stock-ours")
	b.ReportMetric(0, "ns/op")
}

// schedule all pods and say how many seconds of processor time that took.
func schedule(b *testing.B, ours bool, setups ...setup) float64 {
	b.Helper()
	w := newWorld(b)
	types := []string{"h100", "a100", "l40s"}
	for i := range fleetNodes {
		typ := types[i%len(types)]
		w.addNodes(node(fmt.Sprintf("%s-%04d", typ, i), typ, 8))
	}
	w.addAccelerators(types...)
	var bound atomic.Int64
	all := make(chan struct{})
	w.onBound = func(*v1.Pod) {
		if bound.Add(1) == fleetPods {
			close(all)
		}
	}
	for i := range fleetServers {
		s := server(part("h100", 20), part("a100", 20), part("l40s", 10))
		s.Name = fmt.Sprintf("chat-%d", i)
		w.serverSource.Add(s)
	}
	stop := w.start(defaultScheduler, setups...)
	defer stop()
	pods := make([]*v1.Pod, fleetPods)
	for i := range pods {
		p := pod(fmt.Sprintf("pod-%05d", i), fmt.Sprintf("r%d", i%fleetServers))
		p.Spec.SchedulerName = v1.DefaultSchedulerName
		p.Labels[v1alpha1.ServerLabel] = fmt.Sprintf("chat-%d", i%fleetServers)
		if !ours {
			delete(p.Labels, v1alpha1.ServerLabel)
		}
		pods[i] = p
	}
	before := processorTime(b)
	w.addPods(pods...)
	select {
	case <-all:
	case <-time.After(10 * time.Minute):
		b.Fatalf("%d of %d pods are bound after ten minutes", bound.Load(), fleetPods)
	}
	return processorTime(b) - before
}

// processorTime of this process in seconds.
func processorTime(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
