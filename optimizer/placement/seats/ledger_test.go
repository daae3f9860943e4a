package seats

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// byNodeName takes the accelerator from the name of the node, up to the dash.
func byNodeName(_ *v1.Pod, node string) string {
	typ, _, _ := strings.Cut(node, "-")
	return typ
}

func ending(p *v1.Pod) *v1.Pod {
	p = p.DeepCopy()
	now := metav1.Now()
	p.DeletionTimestamp = &now
	return p
}

func TestLedgerLifeOfASeat(t *testing.T) {
	a, b := pod("a", "r1"), pod("b", "r1")
	moved := on(a, "h100-1")
	moved.Labels[v1alpha1.ServerLabel] = "other"
	done := on(a, "h100-1")
	done.Status.Phase = v1.PodSucceeded
	let := pod("a", "r1")
	let.Annotations = map[string]string{v1alpha1.PlacementAnnotation: v1alpha1.PlacementGates}
	type step struct {
		name string
		do   func(l *Ledger) any
		says any
		// seats and waiting of the server afterwards.
		seats   map[string]int
		waiting int
	}
	take := func(p *v1.Pod, node string, quota int) func(*Ledger) any {
		return func(l *Ledger) any { return take(l, chat, p, node, byNodeName(nil, node), quota) }
	}
	observe := func(p *v1.Pod) func(*Ledger) any {
		return func(l *Ledger) any {
			freed := 0
			for _, e := range l.Observe(p) {
				if e.Freed {
					freed++
				}
			}
			return freed
		}
	}
	release := func(p *v1.Pod) func(*Ledger) any {
		return func(l *Ledger) any { return l.Release(chat, p.UID) }
	}
	forget := func(p *v1.Pod) func(*Ledger) any { return func(l *Ledger) any { return l.Forget(p.UID).Freed } }
	for name, steps := range map[string][]step{
		"reserved, bound, deleted": {
			{"arrives", observe(a), 0, nil, 1},
			{"reserved", take(a, "h100-1", 1), true, map[string]int{"h100": 1}, 0},
			{"another finds no seat", take(b, "h100-1", 1), false, map[string]int{"h100": 1}, 0},
			{"seen again before it is bound", observe(a), 0, map[string]int{"h100": 1}, 0},
			{"bound", observe(on(a, "h100-1")), 0, map[string]int{"h100": 1}, 0},
			{"deletion begins", observe(ending(on(a, "h100-1"))), 1, nil, 0},
			{"deletion ends", forget(a), false, nil, 0},
		},
		"reservation fails": {
			{"arrives", observe(a), 0, nil, 1},
			{"reserved", take(a, "h100-1", 1), true, map[string]int{"h100": 1}, 0},
			{"unreserved", release(a), true, nil, 1},
			{"unreserved again", release(a), false, nil, 1},
			{"reserved elsewhere", take(a, "a100-1", 1), true, map[string]int{"a100": 1}, 0},
		},
		"bound although the scheduler thinks not": {
			{"reserved", take(a, "h100-1", 1), true, map[string]int{"h100": 1}, 0},
			{"bound", observe(on(a, "h100-1")), 0, map[string]int{"h100": 1}, 0},
			{"unreserved after a timeout", release(a), false, map[string]int{"h100": 1}, 0},
		},
		"deleted while reserved": {
			{"arrives", observe(a), 0, nil, 1},
			{"reserved", take(a, "h100-1", 1), true, map[string]int{"h100": 1}, 0},
			{"deleted", forget(a), true, nil, 0},
			{"unreserved", release(a), false, nil, 0},
		},
		"reserved after it was deleted": {
			{"reserved", take(a, "h100-1", 1), true, map[string]int{"h100": 1}, 0},
			{"unreserved", release(a), true, nil, 0},
		},
		"reserved twice": {
			{"reserved", take(a, "h100-1", 1), true, map[string]int{"h100": 1}, 0},
			{"and again elsewhere", take(a, "a100-1", 1), true, map[string]int{"a100": 1}, 0},
		},
		"bound by another scheduler, beyond any quota": {
			{"one", observe(on(a, "h100-1")), 0, map[string]int{"h100": 1}, 0},
			{"two", observe(on(b, "h100-1")), 0, map[string]int{"h100": 2}, 0},
		},
		"finished": {
			{"bound", observe(on(a, "h100-1")), 0, map[string]int{"h100": 1}, 0},
			{"succeeded", observe(done), 1, nil, 0},
		},
		"given to another server": {
			{"bound", observe(on(a, "h100-1")), 0, map[string]int{"h100": 1}, 0},
			{"relabelled", observe(moved), 1, nil, 0},
		},
		"let go by another, and placed": {
			{"let go", observe(let), 0, map[string]int{"": 1}, 0},
			{"reserved within no quota", take(let, "h100-1", 0), true, map[string]int{"": 1}, 0},
			{"unreserved", release(let), false, map[string]int{"": 1}, 0},
			{"bound", observe(on(let, "h100-1")), 0, map[string]int{"h100": 1}, 0},
		},
		"unknown": {
			{"forgotten", forget(a), false, nil, 0},
			{"released", release(a), false, nil, 0},
			{"ending", observe(ending(a)), 0, nil, 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := NewLedger(byNodeName)
			for _, s := range steps {
				if got := s.do(l); got != s.says {
					t.Errorf("%s: says %v, want %v", s.name, got, s.says)
				}
				if got := byAccelerator(l.Seated(chat, RevisionOf(a))); len(got)+len(s.seats) > 0 && !cmp.Equal(got, s.seats) {
					t.Errorf("%s: seats %v, want %v", s.name, got, s.seats)
				}
				if got := len(l.Waiting(chat)); got != s.waiting {
					t.Errorf("%s: %d wait, want %d", s.name, got, s.waiting)
				}
			}
		})
	}
}

func TestLedgerForgetsEverythingInTheEnd(t *testing.T) {
	l := NewLedger(byNodeName)
	for i := range 100 {
		p := pod(fmt.Sprint(i), fmt.Sprintf("r%d", i%3))
		l.Observe(p)
		take(l, chat, p, "h100-1", "h100", Unlimited)
		l.Observe(on(p, "h100-1"))
		l.Forget(p.UID)
	}
	if len(l.rosters)+len(l.home)+len(l.byNode) > 0 {
		t.Errorf("left over: %v %v %v", l.rosters, l.home, l.byNode)
	}
}

// Pods pass in turn, those of a workload's other revisions left out, and each tells the others when it goes.
func TestLedgerTurns(t *testing.T) {
	l, at := NewLedger(byNodeName), func(name, revision string, second int64) *v1.Pod {
		p := pod(name, revision)
		p.CreationTimestamp = metav1.Unix(second, 0)
		return p
	}
	first, second, other, third := at("z", "r1", 1), at("b", "r1", 2), at("a", "r2", 2), at("c", "r1", 2)
	for _, p := range []*v1.Pod{third, other, second, first} {
		l.Observe(p)
	}
	everybody := func(*v1.Pod) bool { return true }
	for _, tt := range []struct {
		name  string
		pod   *v1.Pod
		limit int
		count func(*v1.Pod) bool
		want  int
	}{
		{"the oldest", first, 1, everybody, 0}, {"the next", second, 1, everybody, 1}, {"by name", third, 3, everybody, 2}, {"no further than asked", third, 1, everybody, 1},
		{"another revision", other, 1, everybody, 0}, {"room for all", third, 4, everybody, 0}, {"nobody contends", third, 1, func(*v1.Pod) bool { return false }, 0},
	} {
		if ahead, waits := l.Ahead(chat, tt.pod, tt.limit, tt.count); ahead != tt.want || !waits {
			t.Errorf("%s: %d ahead (waits: %v), want %d", tt.name, ahead, waits, tt.want)
		}
	}
	if _, waits := l.Ahead(chat, at("unseen", "r1", 0), 1, everybody); waits {
		t.Error("a pod waits that was never seen")
	}
	take(l, chat, first, "h100-1", "h100", 1)
	if ahead, _ := l.Ahead(chat, second, 1, everybody); ahead != 0 {
		t.Errorf("%d ahead of the next when the oldest has a seat, want none", ahead)
	}
	if e := l.Forget(second.UID); !e.Withdrew || e.Freed {
		t.Errorf("a waiting pod is gone: %+v", e)
	}
	if e := l.Forget(first.UID); e.Withdrew || !e.Freed {
		t.Errorf("a seated pod is gone: %+v", e)
	}
}

func TestLedgerRelocates(t *testing.T) {
	typ := "h100"
	l := NewLedger(func(*v1.Pod, string) string { return typ })
	p := pod("a", "r1")
	l.Observe(on(p, "node-1"))
	typ = "a100"
	l.Relocate("node-2")
	if got := byAccelerator(l.Seated(chat, RevisionOf(p))); got["h100"] != 1 {
		t.Errorf("another node's change moved the pod: %v", got)
	}
	l.Relocate("node-1")
	if diff := cmp.Diff(map[string]int{"a100": 1}, byAccelerator(l.Seated(chat, RevisionOf(p)))); diff != "" {
		t.Errorf("after the node changed (-want +got):\n%s", diff)
	}
	typ = "l40s"
	l.Relocate("")
	if diff := cmp.Diff(map[string]int{"l40s": 1}, byAccelerator(l.Seated(chat, RevisionOf(p)))); diff != "" {
		t.Errorf("after all nodes changed (-want +got):\n%s", diff)
	}
}

func TestLedgerCountsRevisionsApart(t *testing.T) {
	l := NewLedger(byNodeName)
	l.Observe(on(pod("old", "r1"), "h100-1"))
	l.Observe(on(pod("new", "r2"), "h100-1"))
	stranger := pod("stranger", "r1")
	stranger.OwnerReferences[0].Name = "someone-r1"
	l.Observe(on(stranger, "h100-1"))
	bare := pod("bare", "r1")
	bare.OwnerReferences = nil
	l.Observe(on(bare, "h100-1"))
	for name, want := range map[string]int{"r1": 3, "r2": 3, "r3": 2} {
		if got := byAccelerator(l.Seated(chat, RevisionOf(pod("x", name))))["h100"]; got != want {
			t.Errorf("%d seats count for revision %s, want %d", got, name, want)
		}
	}
	if got := byAccelerator(l.Seated(chat, Revision{}))["h100"]; got != 4 {
		t.Errorf("%d seats count for a pod without a controller, want all 4", got)
	}
}

// TestLedgerUnderConcurrency has many goroutines take, bind, lose and free seats of one server at once.
func TestLedgerUnderConcurrency(t *testing.T) {
	const quota = 7
	l := NewLedger(byNodeName)
	var held atomic.Int64 // pods that hold a seat in truth, counted after take and no longer before the seat is freed
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 3))
			for i := range 300 {
				p := pod(fmt.Sprintf("%d-%d", g, i), "r1")
				l.Observe(p)
				if !take(l, chat, p, "h100-1", "h100", quota) {
					l.Forget(p.UID)
					continue
				}
				if n := held.Add(1); n > quota {
					t.Errorf("%d pods hold seats, the quota is %d", n, quota)
				}
				if r.IntN(3) > 0 {
					l.Observe(on(p, "h100-1"))
					l.Release(chat, p.UID) // a late Unreserve must not free a bound pod's seat
				}
				held.Add(-1)
				l.Forget(p.UID)
			}
		})
	}
	wg.Wait()
	if got := byAccelerator(l.Seated(chat, Revision{})); len(got) > 0 {
		t.Errorf("seats left over: %v", got)
	}
}

// take a seat on an accelerator, within a quota.
func take(l *Ledger, key types.NamespacedName, p *v1.Pod, node, accelerator string, quota int) bool {
	return l.Take(key, nil, p, node, Option{Accelerator: accelerator, Quota: quota})
}

// seatsOn accelerators, of pods of no variant.
func seatsOn(n map[string]int) Seats {
	s := Seats{}
	for accelerator, k := range n {
		s[Seat{accelerator, ""}] = k
	}
	return s
}

// byAccelerator are seats whatever their variant.
func byAccelerator(s Seats) map[string]int {
	n := map[string]int{}
	for at, k := range s {
		n[at.Accelerator] += k
	}
	return n
}
