//go:debug randseednop=0

package inferno

import (
	"fmt"
	"maps"
	"math/rand"
	randv2 "math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// In place of the cluster's scheduler, pods that belong to no Server go to the same nodes as by the stock profile, for the same seeds: of nodes with
// equal scores kube-scheduler takes one by chance.
func TestForeignPodsGoWhereTheStockProfileSendsThem(t *testing.T) {
	const seeds = 4
	for seed := range uint64(seeds) {
		stock := strangersPlaced(t, seed, withoutPlugin)
		if again := strangersPlaced(t, seed, withoutPlugin); !maps.Equal(stock, again) {
			t.Fatalf("seed %d: the stock profile does not do the same twice, so that nothing can be compared:\n%s", seed, cmp.Diff(stock, again))
		}
		if ours := strangersPlaced(t, seed); !maps.Equal(stock, ours) {
			t.Errorf("seed %d: pods went elsewhere (-stock +with the plugin):\n%s", seed, cmp.Diff(stock, ours))
		}
	}
}

// strangersPlaced are the nodes of pods, one after the other, on nodes of several sizes, with and without accelerators.
func strangersPlaced(t *testing.T, seed uint64, setups ...setup) map[string]string {
	t.Helper()
	r := randv2.New(randv2.NewPCG(seed, 11))
	w := newWorld(t)
	w.addAccelerators("h100", "l40s")
	w.serverSource.Add(server(part("h100", 2), part("l40s", 1)))
	w.parallelism = 1 // nodes are looked at in their order, which is that in which they come
	stop := w.start(defaultScheduler, setups...)
	defer stop()
	for i := range 24 {
		typ := []string{"", "", "h100", "l40s"}[r.IntN(4)]
		n := node(fmt.Sprintf("n-%02d", i), typ, map[bool]int{false: 8, true: 0}[typ == ""])
		n.Labels[v1.LabelTopologyZone] = fmt.Sprintf("zone-%d", r.IntN(3))
		n.Status.Allocatable = maps.Clone(n.Status.Allocatable)
		n.Status.Allocatable[v1.ResourceCPU] = *resource.NewQuantity(int64(16*(1+r.IntN(3))), resource.DecimalSI)
		w.addNodes(n)
	}
	for i := range 60 {
		p := stranger(fmt.Sprintf("p-%02d", i), r)
		if i == 0 {
			p.Spec.NodeSelector = map[string]string{v1.LabelHostname: "n-23"} // the last: when it has a pod, all are known
		}
		//lint:ignore SA1019 kube-scheduler draws from this source
		rand.Seed(int64(i))
		w.addPods(p)
		w.await(p.Name+" to be placed", func(pods map[string]*v1.Pod) bool { return pods[p.Name].Spec.NodeName != "" })
	}
	placed := map[string]string{}
	for name, p := range w.snapshot() {
		placed[name] = p.Spec.NodeName
	}
	return placed
}

// stranger is a pod that belongs to no Server.
func stranger(name string, r *randv2.Rand) *v1.Pod {
	p := pod(name, "r1")
	p.Labels = map[string]string{"app": fmt.Sprintf("app-%d", r.IntN(3))}
	p.Spec.SchedulerName = v1.DefaultSchedulerName
	requests := v1.ResourceList{v1.ResourceCPU: *resource.NewMilliQuantity(int64(100*(1+r.IntN(20))), resource.DecimalSI)}
	if r.IntN(4) == 0 {
		requests["nvidia.com/gpu"] = resource.MustParse("1")
	}
	p.Spec.Containers[0].Resources = v1.ResourceRequirements{Requests: requests, Limits: requests}
	if r.IntN(3) == 0 {
		p.Spec.TopologySpreadConstraints = []v1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: v1.LabelTopologyZone, WhenUnsatisfiable: v1.ScheduleAnyway, LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels},
		}}
	}
	return p
}
