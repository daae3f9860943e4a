package inferno

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/placement/seats/seatstest"
)

// replica of so many pods that take a whole node each, as old as its number.
func replica(number, size int) []*v1.Pod {
	var pods []*v1.Pod
	for i := range size {
		p := seatstest.Member(pod(fmt.Sprintf("g%d-%d", number, i), "r1"), fmt.Sprintf("g%d", number), size)
		p.CreationTimestamp = metav1.NewTime(time.Unix(int64(number), 0))
		p.Spec.Containers[0].Resources = v1.ResourceRequirements{Requests: gpus("8"), Limits: gpus("8")}
		pods = append(pods, p)
	}
	return pods
}

// bound counts, by group, the pods that have a node.
func bound(pods map[string]*v1.Pod) map[string]int {
	n := map[string]int{}
	for _, p := range pods {
		if p.Spec.NodeName != "" {
			n[placement.GroupOf(p).Name]++
		}
	}
	return n
}

// Two replicas of several nodes compete for the last ones: one gets all that it needs, the other none, and has them when there are enough.
func TestGroupsThatCompeteForTheLastNodes(t *testing.T) {
	w := newWorld(t)
	w.addNodes(node("h100-1", "h100", 8), node("h100-2", "h100", 8), node("h100-3", "h100", 8))
	w.addAccelerators("h100")
	w.setPlan(part("h100", 2))
	w.start(secondScheduler)
	first, second := replica(1, 2), replica(2, 2)
	w.addPods(first[0], second[0], second[1], first[1])
	w.await("one replica to be bound whole", func(pods map[string]*v1.Pod) bool {
		n := bound(pods)
		return n["g1"] == 2 && n["g2"] == 0 || n["g1"] == 0 && n["g2"] == 2
	})
	w.addNodes(node("h100-4", "h100", 8))
	w.await("both replicas to be bound whole", func(pods map[string]*v1.Pod) bool { return bound(pods)["g1"] == 2 && bound(pods)["g2"] == 2 })
}

// The plan has one seat: all pods of the first replica get it, and those of the next are held. Of a replica that is not all there none is tried.
func TestAGroupHasOneSeatOfThePlan(t *testing.T) {
	w := newWorld(t)
	for i := range 6 {
		w.addNodes(node(fmt.Sprintf("h100-%d", i), "h100", 8))
	}
	w.addAccelerators("h100")
	w.setPlan(part("h100", 1))
	w.start(secondScheduler)
	early, late := replica(1, 3), replica(2, 2)
	w.addPods(early[0], early[1])
	w.awaitHeld(2)
	for _, e := range w.events.find(v1alpha1.ReasonNoSeat) {
		if !strings.Contains(e, "its replica g1 has ") {
			t.Errorf("the event does not say what the pod waits for: %s", e)
		}
	}
	w.addPods(late...)
	w.await("the replica that is whole to be bound", func(pods map[string]*v1.Pod) bool { return bound(pods)["g2"] == 2 })
	w.addPods(early[2])
	w.awaitHeld(3)
	w.setPlan(part("h100", 2))
	w.await("both to be bound", func(pods map[string]*v1.Pod) bool { return bound(pods)["g1"] == 3 && bound(pods)["g2"] == 2 })
}

// A pod that keeps a node for the others of its replica gives it back when they do not come in time.
func TestAGroupGivesItsNodesBack(t *testing.T) {
	w := newWorld(t)
	w.addNodes(node("h100-1", "h100", 8))
	w.addAccelerators("h100")
	w.setPlan(part("h100", 1))
	w.start(secondScheduler, withArgs(`{"groupTimeout":"1s"}`))
	pods := replica(1, 2)
	pods[1].Spec.SchedulerName = "nobody" // so that it is there, and gets no node
	w.addPods(pods...)
	foreign := replica(2, 1)[0]
	delete(foreign.Labels, v1alpha1.ServerLabel)
	w.addPods(foreign)
	w.await("another to get the node when the group gives up", func(p map[string]*v1.Pod) bool { return p[foreign.Name].Spec.NodeName != "" && bound(p)["g1"] == 0 })
}

// No replica ends half seated: bindings fail, nodes go and come, replicas go and others come, and the scheduler starts anew. One of which a binding failed when
// the others were bound has its seat, and waits for a node as any pod does: that may be for as long as others have all of them.
func TestGroupsThroughDisorder(t *testing.T) {
	inDisorder(t, 13, func(t *testing.T, intn func(int) int) {
		w := newWorld(t)
		nodes, quota := 5+intn(4), 2+intn(2)
		for i := range nodes {
			w.addNodes(node(fmt.Sprintf("h100-%d", i), "h100", 8))
		}
		w.addAccelerators("h100")
		w.setPlan(part("h100", quota))
		goodDays := w.badDays(intn, 6)
		stop := w.start(secondScheduler)
		made := 0
		make2 := func() {
			w.addPods(replica(made, 2)...)
			made++
		}
		remove := func(group int) {
			for i := range 2 {
				w.deletePod(fmt.Sprintf("g%d-%d", group, i))
			}
		}
		for range 25 {
			switch intn(6) {
			case 0, 1, 2:
				make2()
			case 3:
				remove(intn(made + 1))
			case 4:
				w.nodeSource.Delete(node("h100-0", "h100", 8))
				time.Sleep(time.Millisecond)
				w.addNodes(node("h100-0", "h100", 8))
			case 5:
				stop()
				stop = w.start(secondScheduler)
			}
			time.Sleep(time.Duration(intn(5)) * time.Millisecond)
		}
		goodDays()
		for range quota {
			make2()
		}
		want := min(quota, nodes/2)
		w.await("as many replicas to be bound whole as are planned and have nodes, and no other", func(pods map[string]*v1.Pod) bool {
			whole, half := 0, 0
			for _, n := range bound(pods) {
				whole, half = whole+n/2, half+n%2
			}
			return whole == want && half == 0 || half > 0 && 2*whole+half == nodes
		})
	})
}

// inRack puts a node into a rack.
func inRack(rack string, n *v1.Node) *v1.Node {
	n.Labels["rack"] = rack
	return n
}

// withinRacks is a part of a plan whose replicas are each in one rack.
func withinRacks(replicas int) jsonspec.AllocationPart {
	p := part("h100", replicas)
	p.TopologyKey = "rack"
	return p
}

// racks are those that each group with a node is on.
func racks(pods map[string]*v1.Pod, of map[string]string) map[string][]string {
	by := map[string][]string{}
	for _, p := range pods {
		if g, node := placement.GroupOf(p).Name, p.Spec.NodeName; g != "" && node != "" && !slices.Contains(by[g], of[node]) {
			by[g] = append(by[g], of[node])
		}
	}
	return by
}

// A replica of two pods is in one rack, the one that it fills best: a node of another, or of none, has room and gets neither. The next, for which no rack has room,
// waits and says why, and is placed when a node joins its rack.
func TestAGroupIsInOneDomain(t *testing.T) {
	w := newWorld(t)
	of := map[string]string{"a-1": "a", "a-2": "a", "a-3": "a", "b-1": "b", "b-2": "b", "c-1": "c", "c-2": "c", "none": ""}
	for name, rack := range of {
		n := node(name, "h100", 8)
		if rack != "" {
			n = inRack(rack, n)
		}
		if name != "c-2" {
			w.addNodes(n)
		}
	}
	w.addAccelerators("h100")
	w.setPlan(withinRacks(3))
	w.start(secondScheduler)
	w.addPods(replica(1, 2)...)
	w.await("a replica in the rack that it fills", func(pods map[string]*v1.Pod) bool { return bound(pods)["g1"] == 2 && racks(pods, of)["g1"][0] == "b" })
	w.addPods(replica(2, 3)...)
	w.await("a replica of three in the rack of three", func(pods map[string]*v1.Pod) bool { return bound(pods)["g2"] == 3 && racks(pods, of)["g2"][0] == "a" })
	w.addPods(replica(3, 2)...)
	w.await("a replica that no rack has room for to say so", func(pods map[string]*v1.Pod) bool {
		return slices.ContainsFunc(slices.Collect(maps.Values(pods)), func(p *v1.Pod) bool {
			return slices.ContainsFunc(p.Status.Conditions, func(c v1.PodCondition) bool {
				return strings.Contains(c.Message, "no domain by rack has room for the 2 pods of its replica g3: c has most, for 1")
			})
		})
	})
	w.addNodes(inRack("c", node("c-2", "h100", 8)))
	w.await("the third replica in the rack that grew", func(pods map[string]*v1.Pod) bool {
		return bound(pods)["g3"] == 2 && len(racks(pods, of)["g3"]) == 1 && racks(pods, of)["g3"][0] == "c"
	})
}

// A rack is no domain for pods that its taints keep out.
func TestDomainsThatPodsCannotUse(t *testing.T) {
	w := newWorld(t)
	of := map[string]string{"a-1": "a", "a-2": "a", "b-1": "b", "b-2": "b", "b-3": "b"}
	for name, rack := range of {
		n := inRack(rack, node(name, "h100", 8))
		if rack == "a" {
			n.Spec.Taints = []v1.Taint{{Key: "for", Value: "others", Effect: v1.TaintEffectNoSchedule}}
		}
		w.addNodes(n)
	}
	w.addAccelerators("h100")
	w.setPlan(withinRacks(1))
	w.start(secondScheduler)
	w.addPods(replica(1, 2)...)
	w.await("a replica in the rack that lets it", func(pods map[string]*v1.Pod) bool { return bound(pods)["g1"] == 2 && racks(pods, of)["g1"][0] == "b" })
}

// Whatever comes and goes, no replica is ever in two racks, and in the end as many are whole as the racks hold.
func TestGroupsInDomainsThroughDisorder(t *testing.T) {
	inDisorder(t, 17, func(t *testing.T, intn func(int) int) {
		w := newWorld(t)
		quota, of, free := 2+intn(2), map[string]string{}, map[string]int{}
		for i := range 6 + intn(3) {
			name, rack := fmt.Sprintf("h100-%d", i), fmt.Sprint(intn(3))
			of[name] = rack
			free[rack]++
			w.addNodes(inRack(rack, node(name, "h100", 8)))
		}
		w.addAccelerators("h100")
		w.setPlan(withinRacks(quota))
		stop := w.start(secondScheduler)
		made := 0
		make2 := func() {
			w.addPods(replica(made, 2)...)
			made++
		}
		for range 25 {
			switch intn(6) {
			case 0, 1, 2:
				make2()
			case 3, 4:
				group := intn(made + 1)
				for i := range 2 {
					w.deletePod(fmt.Sprintf("g%d-%d", group, i))
				}
			case 5:
				stop()
				stop = w.start(secondScheduler)
			}
			time.Sleep(time.Duration(intn(5)) * time.Millisecond)
		}
		for range quota {
			make2()
		}
		want := 0
		for _, n := range free {
			want += n / 2
		}
		want = min(want, quota)
		w.await("as many replicas to be whole as are planned and racks hold, each in one", func(pods map[string]*v1.Pod) bool {
			for group, in := range racks(pods, of) {
				if len(in) > 1 {
					t.Fatalf("%s is in racks %v", group, in)
				}
			}
			whole, half := 0, 0
			for _, n := range bound(pods) {
				whole, half = whole+n/2, half+n%2
			}
			return whole == want && half == 0
		})
	})
}
