package seats

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/placement/seats/seatstest"
)

// The leader and the workers of a LeaderWorkerSet, which StatefulSets of different names own, are of one revision.
func TestRevisionOfALeaderWorkerSet(t *testing.T) {
	yes := true
	of := func(owner, hash string) Revision {
		return RevisionOf(&v1.Pod{ObjectMeta: metav1.ObjectMeta{
			Labels:          map[string]string{placement.LWSName: "chat", placement.LWSRevision: hash},
			OwnerReferences: []metav1.OwnerReference{{Kind: "StatefulSet", Name: owner, Controller: &yes}},
		}})
	}
	if of("chat", "a") != of("chat-0", "a") {
		t.Error("leader and worker are of different revisions")
	}
	if !of("chat", "a").supersedes(of("chat-0", "b")) {
		t.Error("two templates are of one revision")
	}
}

// The pods of a group have one seat: the first takes it, the others take part in it there and nowhere else, and it is free when the last has gone.
func TestAGroupHasOneSeat(t *testing.T) {
	l := NewLedger(byNodeName)
	a, b := seatstest.Member(pod("a", "r1"), "g", 2), seatstest.Member(pod("b", "r1"), "g", 2)
	c, d := seatstest.Member(pod("c", "r1"), "h", 2), seatstest.Member(pod("d", "r1"), "h", 2)
	single := pod("single", "r1")
	for _, p := range []*v1.Pod{d, c, b, a, single} {
		l.Observe(p)
	}
	seated := func(want int) {
		t.Helper()
		if got := byAccelerator(l.Seated(chat, RevisionOf(a)))["h100"]; got != want {
			t.Errorf("%d seats, want %d", got, want)
		}
	}
	take := func(p *v1.Pod, node string, quota int, want bool) {
		t.Helper()
		if got := take(l, chat, p, node, byNodeName(nil, node), quota); got != want {
			t.Errorf("%s takes a seat on %s: %v, want %v", p.Name, node, got, want)
		}
	}
	if l.Together(chat, a).Seated {
		t.Error("a group holds a seat that none took")
	}
	take(a, "h100-1", 1, true)
	seated(1)
	take(c, "h100-1", 1, false) // of another group
	take(single, "h100-1", 1, false)
	take(b, "a100-1", 5, false) // the seat of the group is elsewhere
	take(b, "h100-2", 1, true)  // no further seat
	seated(1)
	if b := l.Together(chat, b); b.Held != "h100" || !b.Seated {
		t.Errorf("the group holds a seat on %q: %v", b.Held, b.Seated)
	}
	if got := l.Together(chat, a).OnNodes; got != 2 {
		t.Errorf("%d of the group have a node, want 2", got)
	}
	l.Observe(on(a, "h100-1"))
	l.Forget(b.UID)
	seated(1)
	l.Forget(a.UID)
	seated(0)
	take(c, "h100-1", 1, true)
	l.Release(chat, c.UID)
	seated(0)
	for _, p := range []*v1.Pod{c, d, single} {
		l.Forget(p.UID)
	}
	if len(l.rosters)+len(l.home)+len(l.byNode) > 0 {
		t.Errorf("left over: %v %v %v", l.rosters, l.home, l.byNode)
	}
}

// It is the turn of a group when it is that of its first pod; it counts once, and not before all of it are there.
func TestTurnsOfGroups(t *testing.T) {
	l := NewLedger(byNodeName)
	at := func(name, group string, size int, second int64) *v1.Pod {
		p := pod(name, "r1")
		if size > 1 {
			p = seatstest.Member(p, group, size)
		}
		p.CreationTimestamp = metav1.Unix(second, 0)
		l.Observe(p)
		return p
	}
	half := at("half", "incomplete", 2, 0)
	a1, b1, single, b2, a2 := at("a1", "a", 2, 1), at("b1", "b", 2, 2), at("single", "", 1, 3), at("b2", "b", 2, 4), at("a2", "a", 2, 5)
	for _, tt := range []struct {
		pod  *v1.Pod
		want int
	}{{a1, 0}, {a2, 0}, {b1, 1}, {b2, 1}, {single, 2}} {
		if ahead, waits := l.Ahead(chat, tt.pod, 5, func(*v1.Pod) bool { return true }); ahead != tt.want || !waits {
			t.Errorf("%d are ahead of %s (waits: %v), want %d", ahead, tt.pod.Name, waits, tt.want)
		}
	}
	var order []string
	for _, p := range l.Waiting(chat) {
		order = append(order, p.Name)
	}
	if diff := cmp.Diff([]string{half.Name, "a1", "a2", "b1", "b2", "single"}, order); diff != "" {
		t.Errorf("in turn (-want +got):\n%s", diff)
	}
	take(l, chat, a1, "h100-1", "h100", 1)
	if ahead, _ := l.Ahead(chat, b2, 5, func(*v1.Pod) bool { return true }); ahead != 0 {
		t.Errorf("%d are ahead when the first group has its seat, want none", ahead)
	}
}

// Whatever comes, is reserved, bound and goes, in whatever order: a seat for each replica of which a pod has one, and nothing left over in the end.
func TestSeatsOfGroupsThroughDisorder(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 11))
		l, pods, has := NewLedger(byNodeName), []*v1.Pod{}, map[string]string{} // the node of a pod that has one
		for i := range 12 {
			p := pod(fmt.Sprint(i), fmt.Sprintf("r%d", i%2))
			if size := i % 4; size > 1 {
				p = seatstest.Member(p, fmt.Sprintf("g%d", i%3), size)
			}
			pods = append(pods, p)
		}
		for range 200 {
			p, node := pods[r.IntN(len(pods))], []string{"h100-1", "a100-1", "a100-2"}[r.IntN(3)]
			switch r.IntN(5) {
			case 0:
				if has[p.Name] == "" {
					l.Observe(p)
				}
			case 1:
				if has[p.Name] == "" && take(l, chat, p, node, byNodeName(nil, node), 1+r.IntN(3)) {
					has[p.Name] = node
				}
			case 2:
				if has[p.Name] == "" {
					has[p.Name] = node
				}
				l.Observe(on(p, has[p.Name]))
			case 3:
				if l.Release(chat, p.UID) {
					delete(has, p.Name)
				}
			case 4:
				l.Forget(p.UID)
				delete(has, p.Name)
			}
			for _, rev := range []Revision{RevisionOf(pods[0]), RevisionOf(pods[1]), {}} {
				want, counted := map[string]int{}, map[string]bool{}
				for _, p := range pods {
					at := byNodeName(nil, has[p.Name])
					replica := fmt.Sprint(placement.GroupOf(p).Name, RevisionOf(p), at)
					if at == "" || rev.supersedes(RevisionOf(p)) || placement.GroupOf(p).Name != "" && counted[replica] {
						continue
					}
					counted[replica] = true
					want[at]++
				}
				if diff := cmp.Diff(want, byAccelerator(l.Seated(chat, rev))); diff != "" && len(want)+len(byAccelerator(l.Seated(chat, rev))) > 0 {
					t.Fatalf("seed %d: seats (-want +got):\n%s", seed, diff)
				}
			}
		}
		for _, p := range pods {
			l.Forget(p.UID)
		}
		if len(l.rosters)+len(l.home)+len(l.byNode) > 0 {
			t.Fatalf("seed %d: left over: %v %v %v", seed, l.rosters, l.home, l.byNode)
		}
	}
}

// The leader of a LeaderWorkerSet's group that is made while the worker of the one before it still goes is whole with its own worker alone: it gets no seat, and no
// node, for those of the other.
func TestAGroupThatStartsAgainHasNothingOfTheOneBefore(t *testing.T) {
	of := func(uid, number string, second int64) *v1.Pod {
		p := pod(uid, "r1")
		p.Labels[placement.LWSName], p.Labels[placement.LWSGroup], p.Labels[placement.LWSWorker] = "chat", "0", number
		p.Annotations = map[string]string{placement.LWSSize: "2"}
		p.CreationTimestamp = metav1.Unix(second, 0)
		return p
	}
	on := func(p *v1.Pod, node string) *v1.Pod {
		p = p.DeepCopy()
		p.Spec.NodeName = node
		return p
	}
	leader, worker := of("leader", "0", 1), of("worker", "1", 1)
	next, its := of("next-leader", "0", 60), of("next-worker", "1", 60)
	l := NewLedger(byNodeName)
	seats := func() int { return byAccelerator(l.Seated(chat, RevisionOf(leader)))["h100"] }
	for _, p := range []*v1.Pod{on(leader, "h100-1"), on(worker, "h100-2")} {
		l.Observe(p)
	}
	l.Forget(leader.UID)
	if seats() != 1 {
		t.Errorf("with a worker left there are %d seats, want 1", seats())
	}
	freed := false
	for _, e := range l.Observe(next) {
		freed = freed || e.Freed
	}
	l.Observe(on(worker, "h100-2")) // whatever else is said of it
	if together := l.Together(chat, next); !freed || seats() != 0 || together.Seated || together.OnNodes != 0 || together.Missing == "" {
		t.Errorf("beside what was there before: freed %v, %d seats, %+v", freed, seats(), together)
	}
	l.Observe(its)
	if together := l.Together(chat, next); together.Missing != "" || len(together.Pods) != 2 {
		t.Errorf("with its worker: %+v", together)
	}
}
