package cluster

import (
	"cmp"
	"maps"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/placement"
)

// presence of a node.
type presence int

const (
	present presence = iota
	absent           // of an elastic pool, not asked for
	coming
	failed
)

type node struct {
	name  string
	kind  string
	cards int
	delay float64
	// pool is its number, elastic whether it is not there from the start.
	pool    int
	elastic bool
	domains map[string]string
	state   presence
	at      float64 // when a coming one is there
}

// free cards of a node.
func (c *Cluster) free(n *node) int {
	left := n.cards
	for _, s := range c.servers {
		for _, p := range s.pods {
			for _, of := range p.nodes {
				if of == n {
					left -= c.cards(p.truth)
				}
			}
		}
	}
	return left
}

// cards of each pod of a replica.
func (c *Cluster) cards(t *Truth) int {
	return t.Count * c.accelerator(t.Accelerator).Cards / max(t.Pods, 1)
}

// schedule binds the replicas that wait to nodes of accelerators whose quota has room, accelerators and nodes in the order of the scheduler plugin. Of several
// pods all find room at once, or none is bound. Where none has room, an elastic node is asked for.
func (c *Cluster) schedule(s *server) {
	full := map[string]bool{}
	for _, p := range s.pods {
		if p.state != unscheduled || full[p.workload] {
			continue
		}
		wanted := s.lacking(p.workload)
		bound := false
		for _, on := range wanted {
			truth := c.truth(s.Model, on)
			if truth == nil {
				continue
			}
			if nodes := c.rooms(truth); nodes != nil {
				must(c.bind(s, p, nodes, truth))
				bound = true
				break
			}
		}
		if !bound {
			if len(wanted) > 0 {
				c.provision(s.Model, wanted[0])
			}
			full[p.workload] = true // pods of a workload are alike: where one finds no room none does
		}
	}
	c.arrive()
}

// lacking is what has fewer bound pods of a workload than its quota, in the order in which the scheduler plugin fills it.
func (s *server) lacking(of string) []string {
	quota := map[string]int{}
	for i := range s.order.Parts {
		if p := &s.order.Parts[i]; workload(p) == of {
			quota[p.On()] += p.Now()
		}
	}
	lack := maps.Clone(quota)
	for _, p := range s.pods {
		if p.bound() {
			lack[p.truth.On()]--
		}
	}
	var names []string
	for on, n := range lack {
		if n > 0 {
			names = append(names, on)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(placement.LeastFulfilled(lack[a], quota[a], lack[b], quota[b]), cmp.Compare(a, b))
	})
	return names
}

func (c *Cluster) truth(model, on string) *Truth {
	for i := range c.config.Truths {
		if t := &c.config.Truths[i]; t.Model == model && t.On() == on {
			return t
		}
	}
	return nil
}

// rooms are nodes for the pods of a replica, that of the leader first, in the domain that the scheduler plugin would choose where they need one; nil where not all find
// one.
func (c *Cluster) rooms(t *Truth) []*node {
	if t.Domain == "" {
		return c.roomsAmong(t, func(*node) bool { return true })
	}
	places, kind := map[string]int{}, c.accelerator(t.Accelerator).Type
	for _, n := range c.nodes {
		if n.kind == kind && n.state == present && n.domains[t.Domain] != "" {
			places[n.domains[t.Domain]] += c.free(n) / c.cards(t)
		}
	}
	names := placement.Domains(places, t.Pods)
	if len(names) == 0 {
		return nil
	}
	return c.roomsAmong(t, func(n *node) bool { return n.domains[t.Domain] == names[0] })
}

// roomsAmong nodes.
func (c *Cluster) roomsAmong(t *Truth, in func(*node) bool) []*node {
	var nodes []*node
	for range max(t.Pods, 1) {
		n := c.room(c.accelerator(t.Accelerator).Type, c.cards(t), nodes, in)
		if n == nil {
			return nil
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// room is the present node of a type, among some, that the scheduler plugin would choose for so many cards, where as many are promised on others; nil where there is
// none.
func (c *Cluster) room(kind string, cards int, promised []*node, in func(*node) bool) *node {
	var best *node
	var lowest placement.Harm
	for _, n := range c.nodes {
		if n.kind != kind || n.state != present || !in(n) {
			continue
		}
		free := c.free(n)
		for _, p := range promised {
			if p == n {
				free -= cards
			}
		}
		if free >= cards {
			if harm := placement.HarmOf(int64(free), int64(cards), int64(n.cards)); best == nil || harm.Compare(lowest) < 0 {
				best, lowest = n, harm
			}
		}
	}
	return best
}

// provision asks for one node of the type that something runs on where none is coming.
func (c *Cluster) provision(model, on string) {
	t := c.truth(model, on)
	if t == nil {
		return
	}
	kind := c.accelerator(t.Accelerator).Type
	for _, n := range c.nodes {
		if n.kind == kind && n.state == coming {
			return
		}
	}
	for _, n := range c.nodes {
		if n.kind == kind && n.state == absent && (t.Domain == "" || n.domains[t.Domain] != "") {
			n.state, n.at = coming, c.now+n.delay
			return
		}
	}
}

func (c *Cluster) arrive() {
	for _, n := range c.nodes {
		if n.state == coming && c.now >= n.at {
			n.state = present
		}
	}
}

// fail takes nodes away, with the replicas that have a pod on them, and brings them back. A replica of several pods starts again as a whole, as those of a
// LeaderWorkerSet do (restart policy RecreateGroupOnPodRestart, its default).
func (c *Cluster) fail() {
	for i := range c.config.Faults {
		f := &c.config.Faults[i]
		switch {
		case f.At > c.now-tick && f.At <= c.now:
			c.lose(f)
		case f.Until > 0 && f.Until > c.now-tick && f.Until <= c.now:
			for _, n := range c.nodes {
				if n.kind == f.Type && n.state == failed {
					n.state = present
				}
			}
		}
	}
}

func (c *Cluster) lose(f *Fault) {
	left, skip := f.Nodes, f.Skip
	for i := len(c.nodes) - 1; i >= 0 && left > 0; i-- {
		n := c.nodes[i]
		if n.kind != f.Type || n.state != present {
			continue
		}
		if skip--; skip >= 0 {
			continue
		}
		n.state = failed
		left--
		for _, s := range c.servers {
			for _, p := range slices.Clone(s.pods) {
				if slices.Contains(p.nodes, n) {
					c.remove(s, p)
				}
			}
			c.replicate(s)
		}
	}
}
