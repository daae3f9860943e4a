package inferno

import (
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
)

// ledger counts the seats of every Server by accelerator: pods that are bound (learnt from the API server), and pods that are reserved or
// assumed (learnt from Reserve). After a restart the first kind is all there is, and it is recounted from the informer's first list.
//
// What the API server says wins: a pod seen bound stays seated whatever the scheduler thinks became of its binding.
type ledger struct {
	// locate says which accelerator a pod on a node takes. It is called under the lock, so that no change of the fleet gets lost between
	// its answer and the entry: whoever changes the fleet calls relocate afterwards.
	locate func(pod *v1.Pod, node string) string

	mu      sync.Mutex
	rosters map[types.NamespacedName]*roster
	home    map[types.UID]types.NamespacedName
	byNode  map[string]sets.Set[types.UID]
}

// roster are the pods of one server.
type roster struct {
	seats   map[types.UID]seat
	waiting map[types.UID]*v1.Pod
	counts  map[revision]map[string]int
}

// seat is a pod's place.
type seat struct {
	pod         *v1.Pod
	node        string
	accelerator string
	revision    revision
	bound       bool
}

// effect of an entry on a server's pods.
type effect struct {
	server types.NamespacedName
	// freed is set when a seat became free.
	freed bool
	// arrived is the pod when it is new among those that wait.
	arrived *v1.Pod
}

func newLedger(locate func(pod *v1.Pod, node string) string) *ledger {
	return &ledger{
		locate: locate, rosters: map[types.NamespacedName]*roster{}, home: map[types.UID]types.NamespacedName{}, byNode: map[string]sets.Set[types.UID]{},
	}
}

// observe a pod as the API server has it. A pod may have left one server for another by a change of its label, hence a list.
func (l *ledger) observe(pod *v1.Pod) []effect {
	l.mu.Lock()
	defer l.mu.Unlock()
	var effects []effect
	key, ours := serverOf(pod)
	if old, known := l.home[pod.UID]; known && (!ours || old != key) {
		effects = append(effects, l.remove(pod.UID))
	}
	switch {
	case !ours:
	case leaving(pod):
		effects = append(effects, l.remove(pod.UID))
	case pod.Spec.NodeName != "":
		l.seat(key, seat{pod: pod, node: pod.Spec.NodeName, accelerator: l.locate(pod, pod.Spec.NodeName), revision: revisionOf(pod), bound: true})
	default:
		r := l.roster(key)
		e := effect{server: key}
		if _, known := r.waiting[pod.UID]; !known {
			e.arrived = pod
		}
		r.waiting[pod.UID] = pod
		l.home[pod.UID] = key
		effects = append(effects, e)
	}
	return effects
}

// forget a pod that the API server no longer has.
func (l *ledger) forget(uid types.UID) effect {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.remove(uid)
}

// take a seat for a pod that the scheduler reserves a node for, unless the quota is used up.
func (l *ledger) take(key types.NamespacedName, pod *v1.Pod, node, accelerator string, quota int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.roster(key)
	if old, ok := r.seats[pod.UID]; ok {
		if old.bound {
			return true
		}
		l.unseat(r, pod.UID)
	}
	rev := revisionOf(pod)
	if quota != unlimited && r.count(rev)[accelerator] >= quota {
		return false
	}
	l.seat(key, seat{pod: pod, node: node, accelerator: accelerator, revision: rev})
	return true
}

// release the seat of a pod whose reservation came to nothing, and tell whether it had one. A pod that was seen bound keeps its seat.
func (l *ledger) release(key types.NamespacedName, uid types.UID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.rosters[key]
	if !ok {
		return false
	}
	s, ok := r.seats[uid]
	if !ok || s.bound {
		return false
	}
	l.unseat(r, uid)
	l.tidy(key, uid)
	return true
}

// seated counts the seats of a server by accelerator that count for a pod of a revision.
func (l *ledger) seated(key types.NamespacedName, rev revision) map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.rosters[key]
	if !ok {
		return nil
	}
	return r.count(rev)
}

// hasSeat tells whether a pod of a server has a seat.
func (l *ledger) hasSeat(key types.NamespacedName, uid types.UID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.rosters[key]
	if !ok {
		return false
	}
	_, seated := r.seats[uid]
	return seated
}

// waiting pods of a server that have no seat, in turn.
func (l *ledger) waiting(key types.NamespacedName) []*v1.Pod {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.rosters[key]
	if !ok {
		return nil
	}
	pods := make([]*v1.Pod, 0, len(r.waiting))
	for uid, pod := range r.waiting {
		if _, seated := r.seats[uid]; !seated {
			pods = append(pods, pod)
		}
	}
	inTurn(pods)
	return pods
}

// serversWaiting are the servers with pods that wait.
func (l *ledger) serversWaiting() []types.NamespacedName {
	l.mu.Lock()
	defer l.mu.Unlock()
	var keys []types.NamespacedName
	for key, r := range l.rosters {
		if len(r.waiting) > 0 {
			keys = append(keys, key)
		}
	}
	return keys
}

// relocate the bound pods of a node, or of all nodes where it is empty, after the fleet changed.
func (l *ledger) relocate(node string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if node != "" {
		l.relocateOn(node)
		return
	}
	for n := range l.byNode {
		l.relocateOn(n)
	}
}

func (l *ledger) relocateOn(node string) {
	for uid := range l.byNode[node] {
		r := l.rosters[l.home[uid]]
		s := r.seats[uid]
		if !s.bound {
			continue
		}
		r.add(s, -1)
		s.accelerator = l.locate(s.pod, node)
		r.add(s, 1)
		r.seats[uid] = s
	}
}

func (l *ledger) roster(key types.NamespacedName) *roster {
	r, ok := l.rosters[key]
	if !ok {
		r = &roster{seats: map[types.UID]seat{}, waiting: map[types.UID]*v1.Pod{}, counts: map[revision]map[string]int{}}
		l.rosters[key] = r
	}
	return r
}

func (l *ledger) seat(key types.NamespacedName, s seat) {
	r, uid := l.roster(key), s.pod.UID
	l.unseat(r, uid)
	r.seats[uid] = s
	r.add(s, 1)
	if s.bound {
		delete(r.waiting, uid)
	}
	l.home[uid] = key
	if l.byNode[s.node] == nil {
		l.byNode[s.node] = sets.New[types.UID]()
	}
	l.byNode[s.node].Insert(uid)
}

func (l *ledger) unseat(r *roster, uid types.UID) bool {
	s, ok := r.seats[uid]
	if !ok {
		return false
	}
	delete(r.seats, uid)
	r.add(s, -1)
	l.byNode[s.node].Delete(uid)
	if l.byNode[s.node].Len() == 0 {
		delete(l.byNode, s.node)
	}
	return true
}

func (l *ledger) remove(uid types.UID) effect {
	key, ok := l.home[uid]
	if !ok {
		return effect{}
	}
	r := l.rosters[key]
	e := effect{server: key, freed: l.unseat(r, uid)}
	delete(r.waiting, uid)
	l.tidy(key, uid)
	return e
}

// tidy drops what no longer holds anything.
func (l *ledger) tidy(key types.NamespacedName, uid types.UID) {
	r := l.rosters[key]
	_, seated := r.seats[uid]
	if _, waits := r.waiting[uid]; !seated && !waits {
		delete(l.home, uid)
	}
	if len(r.seats) == 0 && len(r.waiting) == 0 {
		delete(l.rosters, key)
	}
}

func (r *roster) add(s seat, n int) {
	c := r.counts[s.revision]
	if c == nil {
		c = map[string]int{}
		r.counts[s.revision] = c
	}
	c[s.accelerator] += n
	if c[s.accelerator] == 0 {
		delete(c, s.accelerator)
	}
	if len(c) == 0 {
		delete(r.counts, s.revision)
	}
}

func (r *roster) count(rev revision) map[string]int {
	total := map[string]int{}
	for other, counts := range r.counts {
		if rev.supersedes(other) {
			continue
		}
		for accelerator, n := range counts {
			total[accelerator] += n
		}
	}
	return total
}
