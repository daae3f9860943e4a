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
	state   presence
	at      float64 // when a coming one is there
}

// free cards of a node.
func (c *Cluster) free(n *node) int {
	left := n.cards
	for _, s := range c.servers {
		for _, p := range s.pods {
			if p.node == n {
				left -= p.count * c.accelerator(p.accelerator).Cards
			}
		}
	}
	return left
}

// schedule binds the pods that wait to nodes of accelerators whose quota has room, accelerators and
// nodes in the order of the scheduler plugin. Where none has, an elastic node is asked for.
func (c *Cluster) schedule(s *server) {
	for _, p := range s.pods {
		if p.state != unscheduled {
			continue
		}
		wanted := s.lacking()
		bound := false
		for _, t := range wanted {
			truth := c.truth(s.Model, t)
			if truth == nil {
				continue
			}
			if n := c.room(c.accelerator(t).Type, truth.Count*c.accelerator(t).Cards); n != nil {
				must(c.bind(s, p, n, truth))
				bound = true
				break
			}
		}
		if !bound {
			if len(wanted) > 0 {
				c.provision(wanted[0])
			}
			break // pods of a server are alike: where one finds no room none does
		}
	}
	c.arrive()
}

// lacking are the accelerators that have fewer bound pods than their quota, in the order in which the scheduler plugin fills them.
func (s *server) lacking() []string {
	quota := s.order.quotas()
	lack := maps.Clone(quota)
	for _, p := range s.pods {
		if p.bound() {
			lack[p.accelerator]--
		}
	}
	var names []string
	for a, n := range lack {
		if n > 0 {
			names = append(names, a)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(placement.LeastFulfilled(lack[a], quota[a], lack[b], quota[b]), cmp.Compare(a, b))
	})
	return names
}

func (c *Cluster) truth(model, accelerator string) *Truth {
	for i := range c.config.Truths {
		if t := &c.config.Truths[i]; t.Model == model && t.Accelerator == accelerator {
			return t
		}
	}
	return nil
}

// room is the present node of a type that the scheduler plugin would choose for so many cards; nil where there is none.
func (c *Cluster) room(kind string, cards int) *node {
	var best *node
	var lowest placement.Harm
	for _, n := range c.nodes {
		if n.kind != kind || n.state != present {
			continue
		}
		if free := c.free(n); free >= cards {
			if harm := placement.HarmOf(int64(free), int64(cards), int64(n.cards)); best == nil || harm.Compare(lowest) < 0 {
				best, lowest = n, harm
			}
		}
	}
	return best
}

// provision asks for one node of an accelerator's type where none is coming.
func (c *Cluster) provision(accelerator string) {
	kind := c.accelerator(accelerator).Type
	for _, n := range c.nodes {
		if n.kind == kind && n.state == coming {
			return
		}
	}
	for _, n := range c.nodes {
		if n.kind == kind && n.state == absent {
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

// fail takes nodes away, with the pods on them, and brings them back.
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
	left := f.Nodes
	for i := len(c.nodes) - 1; i >= 0 && left > 0; i-- {
		n := c.nodes[i]
		if n.kind != f.Type || n.state != present {
			continue
		}
		n.state = failed
		left--
		for _, s := range c.servers {
			for _, p := range slices.Clone(s.pods) {
				if p.node == n {
					c.remove(s, p)
				}
			}
			c.replicate(s)
		}
	}
}
