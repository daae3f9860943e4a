package seats

import (
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
)

// Ledger counts the seats of every Server by accelerator: pods that are bound or whose gate was lifted (learnt from the API server), and pods that are reserved
// or assumed (learnt from Take). After a restart the first kind is all there is, and it is recounted from the informer's first list.
//
// What the API server says wins: a pod seen bound stays seated whatever the scheduler thinks became of its binding.
type Ledger struct {
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
	counts  map[Revision]map[string]int
}

// seat is a pod's place.
type seat struct {
	pod         *v1.Pod
	node        string
	accelerator string
	revision    Revision
	bound       bool
}

// Effect of an entry on a server's pods.
type Effect struct {
	Server types.NamespacedName
	// Freed is set when a seat became free.
	Freed bool
	// Withdrew is set when a pod that waited without a seat is gone: it is the turn of others.
	Withdrew bool
	// Arrived is the pod when it is new among those that wait.
	Arrived *v1.Pod
}

func NewLedger(locate func(pod *v1.Pod, node string) string) *Ledger {
	return &Ledger{
		locate: locate, rosters: map[types.NamespacedName]*roster{}, home: map[types.UID]types.NamespacedName{}, byNode: map[string]sets.Set[types.UID]{},
	}
}

// Observe a pod as the API server has it. A pod may have left one server for another by a change of its label, hence a list.
func (l *Ledger) Observe(pod *v1.Pod) []Effect {
	l.mu.Lock()
	defer l.mu.Unlock()
	var effects []Effect
	key, ours := ServerOf(pod)
	if old, known := l.home[pod.UID]; known && (!ours || old != key) {
		effects = append(effects, l.remove(pod.UID))
	}
	switch {
	case !ours:
	case Leaving(pod):
		effects = append(effects, l.remove(pod.UID))
	case pod.Spec.NodeName != "", Let(pod):
		l.seat(key, seat{pod: pod, node: pod.Spec.NodeName, accelerator: l.locate(pod, pod.Spec.NodeName), revision: RevisionOf(pod), bound: true})
	default:
		r := l.roster(key)
		e := Effect{Server: key}
		if _, known := r.waiting[pod.UID]; !known {
			e.Arrived = pod
		}
		r.waiting[pod.UID] = pod
		l.home[pod.UID] = key
		effects = append(effects, e)
	}
	return effects
}

// Forget a pod that the API server no longer has.
func (l *Ledger) Forget(uid types.UID) Effect {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.remove(uid)
}

// Take a seat for a pod that the scheduler reserves a node for, unless the quota is used up.
func (l *Ledger) Take(key types.NamespacedName, pod *v1.Pod, node, accelerator string, quota int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.roster(key)
	if old, ok := r.seats[pod.UID]; ok {
		if old.bound {
			return true
		}
		l.unseat(r, pod.UID)
	}
	rev := RevisionOf(pod)
	if quota != Unlimited && r.count(rev)[accelerator] >= quota {
		return false
	}
	l.seat(key, seat{pod: pod, node: node, accelerator: accelerator, revision: rev})
	return true
}

// Release the seat of a pod whose reservation came to nothing, and tell whether it had one. A pod that was seen bound keeps its seat.
func (l *Ledger) Release(key types.NamespacedName, uid types.UID) bool {
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

// Seated counts the seats of a server by accelerator that count for a pod of a revision.
func (l *Ledger) Seated(key types.NamespacedName, rev Revision) map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.rosters[key]
	if !ok {
		return nil
	}
	return r.count(rev)
}

// HasSeat tells whether a pod of a server has a seat.
func (l *Ledger) HasSeat(key types.NamespacedName, uid types.UID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.rosters[key]
	if !ok {
		return false
	}
	_, seated := r.seats[uid]
	return seated
}

// Waiting pods of a server that have no seat, in turn.
func (l *Ledger) Waiting(key types.NamespacedName) []*v1.Pod {
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

// Ahead counts the waiting pods of a server that come before a pod in turn and contend with it, and tells whether the pod itself waits. Pods of a
// revision that the pod's own replaces, or that replaces it, do not contend: they have a quota of their own. Beyond limit it counts no further.
func (l *Ledger) Ahead(key types.NamespacedName, pod *v1.Pod, limit int, contends func(other *v1.Pod) bool) (ahead int, waits bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.rosters[key]
	if !ok {
		return 0, false
	}
	if _, waits = r.waiting[pod.UID]; !waits || len(r.waiting) <= limit {
		return 0, waits
	}
	rev := RevisionOf(pod)
	for uid, other := range r.waiting {
		if _, seated := r.seats[uid]; seated || uid == pod.UID || compareTurns(other, pod) > 0 || rev.supersedes(RevisionOf(other)) || !contends(other) {
			continue
		}
		if ahead++; ahead >= limit {
			break
		}
	}
	return ahead, waits
}

// ServersWaiting are the servers with pods that wait.
func (l *Ledger) ServersWaiting() []types.NamespacedName {
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

// Relocate the bound pods of a node, or of all nodes where it is empty, after the fleet changed.
func (l *Ledger) Relocate(node string) {
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

func (l *Ledger) relocateOn(node string) {
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

func (l *Ledger) roster(key types.NamespacedName) *roster {
	r, ok := l.rosters[key]
	if !ok {
		r = &roster{seats: map[types.UID]seat{}, waiting: map[types.UID]*v1.Pod{}, counts: map[Revision]map[string]int{}}
		l.rosters[key] = r
	}
	return r
}

func (l *Ledger) seat(key types.NamespacedName, s seat) {
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

func (l *Ledger) unseat(r *roster, uid types.UID) bool {
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

func (l *Ledger) remove(uid types.UID) Effect {
	key, ok := l.home[uid]
	if !ok {
		return Effect{}
	}
	r := l.rosters[key]
	_, waited := r.waiting[uid]
	e := Effect{Server: key, Freed: l.unseat(r, uid)}
	e.Withdrew = waited && !e.Freed
	delete(r.waiting, uid)
	l.tidy(key, uid)
	return e
}

// tidy drops what no longer holds anything.
func (l *Ledger) tidy(key types.NamespacedName, uid types.UID) {
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

func (r *roster) count(rev Revision) map[string]int {
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
