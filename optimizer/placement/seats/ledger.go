package seats

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement"
)

// Ledger counts the seats of every Server by accelerator: pods that are bound or whose gate was lifted (learnt from the API server), and pods that are reserved
// or assumed (learnt from Take). After a restart the first kind is all there is, and it is recounted from the informer's first list. The pods of a group have
// one seat together.
//
// What the API server says wins: a pod seen bound stays seated whatever the scheduler thinks became of its binding.
type Ledger struct {
	// locate says which accelerator a pod on a node takes. It is called under the lock, so that no change of the fleet gets lost between
	// its answer and the entry: whoever changes the fleet calls relocate afterwards.
	locate func(pod *v1.Pod, node string) string

	mu      sync.Mutex
	rosters map[types.NamespacedName]*roster
	home    map[types.UID]home
	byNode  map[string]sets.Set[types.UID]
}

// home of a pod: its server, and the name of its group or empty.
type home struct {
	server types.NamespacedName
	group  string
}

// roster are the pods of one server.
type roster struct {
	seats   map[types.UID]seat
	waiting map[types.UID]*v1.Pod
	counts  map[Revision]Seats
	groups  map[string]*group
}

// group are the pods of one replica, and how many of them have a seat where.
type group struct {
	pods  map[types.UID]*v1.Pod
	seats map[place]int
}

// Seats of a server.
type Seats map[Seat]int

// Seat is what seats are counted by: an accelerator, and the variant of the pods.
type Seat struct{ Accelerator, Variant string }

// Of the pods of a server on an accelerator that run a variant of its model, or the model that has none.
func (s Seats) Of(server *v1alpha1.Server, accelerator, ofModel string) int {
	n := 0
	for at, k := range s {
		if at.Accelerator == accelerator && Runs(server, at.Variant) == ofModel {
			n += k
		}
	}
	return n
}

// place is a seat of pods of a revision.
type place struct {
	revision Revision
	Seat
}

// seat is a pod's place.
type seat struct {
	pod *v1.Pod
	place
	node  string
	group string
	// bound says that the API server has it so; reserved, that a scheduler has reserved a node for a pod whose gate was lifted.
	bound, reserved bool
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
		locate: locate, rosters: map[types.NamespacedName]*roster{}, home: map[types.UID]home{}, byNode: map[string]sets.Set[types.UID]{},
	}
}

// Observe a pod as the API server has it. A pod may have left one server for another by a change of its label, hence a list.
func (l *Ledger) Observe(pod *v1.Pod) []Effect {
	l.mu.Lock()
	defer l.mu.Unlock()
	var effects []Effect
	key, ours := ServerOf(pod)
	if old, known := l.home[pod.UID]; known && (!ours || old != home{key, placement.GroupOf(pod).Name}) {
		effects = append(effects, l.remove(pod.UID))
	}
	switch {
	case !ours:
	case Leaving(pod), l.leftOver(key, pod):
		effects = append(effects, l.remove(pod.UID))
	case pod.Spec.NodeName != "", Let(pod):
		at := place{RevisionOf(pod), Seat{l.locate(pod, pod.Spec.NodeName), placement.VariantOf(pod)}}
		l.seat(key, seat{pod: pod, place: at, node: pod.Spec.NodeName, bound: true, reserved: l.roster(key).seats[pod.UID].reserved})
	default:
		r := l.roster(key)
		e := Effect{Server: key}
		if _, known := r.waiting[pod.UID]; !known {
			e.Arrived = pod
		}
		r.waiting[pod.UID] = pod
		l.join(key, pod)
		effects = append(effects, e)
	}
	return append(effects, l.replaced(key, pod)...)
}

// leftOver tells whether the leader of a pod's group came after it.
func (l *Ledger) leftOver(key types.NamespacedName, pod *v1.Pod) bool {
	for _, other := range l.grouped(key, pod) {
		if placement.LeftOver(pod, other) {
			return true
		}
	}
	return false
}

// replaced are those of a pod's group that it came after as their leader: they are of the replica that was there before, whose nodes say nothing of this one's.
func (l *Ledger) replaced(key types.NamespacedName, pod *v1.Pod) (effects []Effect) {
	for uid, other := range l.grouped(key, pod) {
		if !Leaving(pod) && placement.LeftOver(other, pod) {
			effects = append(effects, l.remove(uid))
		}
	}
	return effects
}

// grouped are the pods of a pod's group.
func (l *Ledger) grouped(key types.NamespacedName, pod *v1.Pod) map[types.UID]*v1.Pod {
	if r := l.rosters[key]; r != nil {
		if g := r.groups[placement.GroupOf(pod).Name]; g != nil {
			return maps.Clone(g.pods)
		}
	}
	return nil
}

// Forget a pod that the API server no longer has.
func (l *Ledger) Forget(uid types.UID) Effect {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.remove(uid)
}

// Take a seat by an option for a pod of a server that the scheduler reserves a node for, unless the quota is used up. Without a quota there need be no server. A pod whose group has a seat takes part in that one, and gets no
// other.
func (l *Ledger) Take(key types.NamespacedName, server *v1alpha1.Server, pod *v1.Pod, node string, o Option) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.roster(key)
	if old, ok := r.seats[pod.UID]; ok {
		if old.bound {
			old.reserved = true
			r.seats[pod.UID] = old
			return true
		}
		l.unseat(r, pod.UID)
	}
	rev := RevisionOf(pod)
	switch held := r.held(placement.GroupOf(pod).Name); {
	case len(held) > 0 && !slices.Contains(held, o.Accelerator), len(held) == 0 && o.Quota != Unlimited && r.count(rev).Of(server, o.Accelerator, Runs(server, placement.VariantOf(pod))) >= o.Quota:
		l.tidy(key, pod.UID)
		return false
	}
	l.seat(key, seat{pod: pod, place: place{rev, Seat{o.Accelerator, placement.VariantOf(pod)}}, node: node})
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
	switch {
	case !ok:
		return false
	case s.bound:
		s.reserved = false
		r.seats[uid] = s
		return false
	}
	l.unseat(r, uid)
	l.tidy(key, uid)
	return true
}

// Together is what is known of the group that a pod is of; nothing where it is of none.
type Together struct {
	// Pods of it, in turn.
	Pods []*v1.Pod
	// Seated tells whether they have their seat, and Held is its accelerator.
	Seated bool
	Held   string
	// OnNodes counts those that have a node, or one reserved for them, and Nodes are these, as far as they are known, sorted.
	OnNodes int
	Nodes   []string
	// Missing says what they wait for before they can have a seat; empty where they have one, or can.
	Missing string
}

// Together with a pod of a server.
func (l *Ledger) Together(key types.NamespacedName, pod *v1.Pod) (t Together) {
	of := placement.GroupOf(pod)
	if of.Name == "" {
		return t
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, ok := l.rosters[key]; ok && r.groups[of.Name] != nil {
		for uid, p := range r.groups[of.Name].pods {
			t.Pods = append(t.Pods, p)
			if s, seated := r.seats[uid]; seated && (s.node != "" || s.reserved) {
				t.OnNodes++
				if s.node != "" {
					t.Nodes = append(t.Nodes, s.node)
				}
			}
		}
		slices.Sort(t.Nodes)
		slices.SortFunc(t.Pods, compareTurns)
		if held := r.held(of.Name); len(held) > 0 {
			t.Seated, t.Held = true, held[0]
		}
	}
	if !t.Seated {
		t.Missing = of.Missing(len(t.Pods))
	}
	return t
}

// Begun are groups, all but a pod's own, of which some have a node and others are to come, by a node of each: how many are to come.
func (l *Ledger) Begun(but *v1.Pod) map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	begun := map[string]int{}
	for _, r := range l.rosters {
		for _, g := range r.groups {
			if _, own := g.pods[but.UID]; own || len(g.seats) == 0 {
				continue
			}
			at, left := "", 0
			for uid, p := range g.pods {
				left = max(left, placement.GroupOf(p).Size)
				if node := r.seats[uid].node; node != "" && (at == "" || node < at) {
					at = node
				}
			}
			for uid := range g.pods {
				if r.seats[uid].node != "" {
					left--
				}
			}
			if at != "" && left > 0 {
				begun[at] += left
			}
		}
	}
	return begun
}

// Others are the requests of those together with a pod.
func (t Together) Others(pod *v1.Pod) []v1.ResourceList {
	var requests []v1.ResourceList
	for _, p := range t.Pods {
		if p.UID != pod.UID {
			requests = append(requests, placement.Requests(p))
		}
	}
	return requests
}

// Seated counts the seats of a server that count for a pod of a revision.
func (l *Ledger) Seated(key types.NamespacedName, rev Revision) Seats {
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

// Waiting pods of a server that have no seat, in turn, those of a group together when it is the turn of its first.
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
	turns := make(map[types.UID]*v1.Pod, len(pods))
	for _, pod := range pods {
		turns[pod.UID] = r.turn(pod)
	}
	slices.SortFunc(pods, func(a, b *v1.Pod) int {
		return cmp.Or(compareTurns(turns[a.UID], turns[b.UID]), compareTurns(a, b))
	})
	return pods
}

// Ahead counts the waiting pods of a server that come before a pod in turn and contend with it, a group as one, and tells whether the pod itself waits. Pods
// of a revision that the pod's own replaces, or that replaces it, do not contend: they have a quota of their own. Beyond limit it counts no further.
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
	rev, turn := RevisionOf(pod), r.turn(pod)
	for uid, other := range r.waiting {
		if uid == turn.UID || uid == pod.UID || !r.queues(other) || compareTurns(other, turn) > 0 || rev.supersedes(RevisionOf(other)) || !contends(other) {
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
		r := l.rosters[l.home[uid].server]
		s := r.seats[uid]
		if !s.bound {
			continue
		}
		r.add(s, -1)
		s.Accelerator = l.locate(s.pod, node)
		r.add(s, 1)
		r.seats[uid] = s
	}
}

func (l *Ledger) roster(key types.NamespacedName) *roster {
	r, ok := l.rosters[key]
	if !ok {
		r = &roster{seats: map[types.UID]seat{}, waiting: map[types.UID]*v1.Pod{}, counts: map[Revision]Seats{}, groups: map[string]*group{}}
		l.rosters[key] = r
	}
	return r
}

func (l *Ledger) seat(key types.NamespacedName, s seat) {
	r, uid := l.roster(key), s.pod.UID
	l.unseat(r, uid)
	s.group = placement.GroupOf(s.pod).Name
	l.join(key, s.pod)
	r.seats[uid] = s
	r.add(s, 1)
	if s.bound {
		delete(r.waiting, uid)
	}
	if l.byNode[s.node] == nil {
		l.byNode[s.node] = sets.New[types.UID]()
	}
	l.byNode[s.node].Insert(uid)
}

// join notes of which server and which group a pod is.
func (l *Ledger) join(key types.NamespacedName, pod *v1.Pod) {
	r, name := l.roster(key), placement.GroupOf(pod).Name
	l.home[pod.UID] = home{key, name}
	if name == "" {
		return
	}
	if r.groups[name] == nil {
		r.groups[name] = &group{pods: map[types.UID]*v1.Pod{}, seats: map[place]int{}}
	}
	r.groups[name].pods[pod.UID] = pod
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
	at, ok := l.home[uid]
	if !ok {
		return Effect{}
	}
	key, r := at.server, l.rosters[at.server]
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
		if g := r.groups[l.home[uid].group]; g != nil {
			if delete(g.pods, uid); len(g.pods) == 0 {
				delete(r.groups, l.home[uid].group)
			}
		}
		delete(l.home, uid)
	}
	if len(r.seats) == 0 && len(r.waiting) == 0 {
		delete(l.rosters, key)
	}
}

// queues tells whether a waiting pod stands for a seat that is to be given: it has none, and is the first of its group, which is whole and has none either.
func (r *roster) queues(pod *v1.Pod) bool {
	if _, seated := r.seats[pod.UID]; seated {
		return false
	}
	g := placement.GroupOf(pod)
	return g.Name == "" || len(r.held(g.Name)) == 0 && r.turn(pod) == pod && g.Missing(len(r.groups[g.Name].pods)) == ""
}

// turn of a pod is that of the first of its group.
func (r *roster) turn(pod *v1.Pod) *v1.Pod {
	if g := r.groups[placement.GroupOf(pod).Name]; g != nil {
		for _, other := range g.pods {
			if compareTurns(other, pod) < 0 {
				pod = other
			}
		}
	}
	return pod
}

// held are the accelerators on which pods of a group have their seat, sorted: more than one where nodes changed under it.
func (r *roster) held(name string) (accelerators []string) {
	if g := r.groups[name]; g != nil {
		for at := range g.seats {
			accelerators = append(accelerators, at.Accelerator)
		}
		slices.Sort(accelerators)
	}
	return accelerators
}

func (r *roster) add(s seat, n int) {
	if g := r.groups[s.group]; g != nil {
		before := g.seats[s.place]
		if g.seats[s.place] = before + n; before+n == 0 {
			delete(g.seats, s.place)
		}
		if before > 0 && before+n > 0 {
			return // one seat, whoever of the group has it
		}
	}
	c := r.counts[s.revision]
	if c == nil {
		c = Seats{}
		r.counts[s.revision] = c
	}
	c[s.Seat] += n
	if c[s.Seat] == 0 {
		delete(c, s.Seat)
	}
	if len(c) == 0 {
		delete(r.counts, s.revision)
	}
}

func (r *roster) count(rev Revision) Seats {
	total := Seats{}
	for other, counts := range r.counts {
		if rev.supersedes(other) {
			continue
		}
		for at, n := range counts {
			total[at] += n
		}
	}
	return total
}
