package cluster

import "github.com/llm-inferno/inferno/optimizer/simulation"

// View is what can be known of a cluster at a time.
type View struct {
	Now     float64
	Servers []ServerView
	Nodes   []NodeView
}

// ServerView is one server.
type ServerView struct {
	Name     string
	Replicas int // ordered
	Pods     []PodView
	Departed []PodView // gone or going
	Queued   int       // at the gateway, because there is no replica
	Came     Series    // requests that came to the gateway, as [GatewayRequests]; nil where it does not count
}

// PodView is a replica: a pod, or several.
type PodView struct {
	Name        string
	Node        string   // empty while it waits for one, and when it is gone; that of the leader of several pods
	Workers     []string // nodes of the further pods
	Accelerator string   // empty while it waits for a node
	Variant     string   // of the model there, where it has several, as is the role
	Role        string
	Cards       int // of all its pods, which have them between them evenly
	Limits      simulation.Limits
	Ready       bool
	ReadyAt     float64 // since when, or when it will be
	CreatedAt   float64
	Series      Series
}

// NodeView is a node that takes pods.
type NodeView struct {
	Name  string
	Type  string
	Cards int
	// Pool is its number, and Elastic says that the node came because pods found no room.
	Pool    int
	Elastic bool
	// Domains are the values of its labels, by which domains of nodes are told apart.
	Domains map[string]string
}

func (c *Cluster) view() *View {
	v := &View{Now: c.now}
	for _, n := range c.nodes {
		if n.state == present {
			v.Nodes = append(v.Nodes, NodeView{n.name, n.kind, n.cards, n.pool, n.elastic, n.domains})
		}
	}
	for _, s := range c.servers {
		sv := ServerView{Name: s.Name, Replicas: s.order.Replicas, Queued: s.serving.Queued(), Came: s.came}
		for _, p := range s.pods {
			if p.state == draining {
				sv.Departed = append(sv.Departed, c.podView(p))
			} else {
				sv.Pods = append(sv.Pods, c.podView(p))
			}
		}
		for _, p := range s.gone {
			sv.Departed = append(sv.Departed, c.podView(p))
		}
		v.Servers = append(v.Servers, sv)
	}
	return v
}

func (c *Cluster) podView(p *pod) PodView {
	v := PodView{Name: p.name, Limits: p.limits, Ready: p.state == ready, ReadyAt: p.readyAt, CreatedAt: p.createdAt, Series: p.series}
	if p.truth != nil {
		v.Accelerator, v.Variant, v.Role = p.truth.Accelerator, p.truth.Variant, p.truth.Role
		v.Cards = p.truth.Count * c.accelerator(p.truth.Accelerator).Cards
	}
	for i, n := range p.nodes {
		if i == 0 {
			v.Node = n.name
			continue
		}
		v.Workers = append(v.Workers, n.name)
	}
	return v
}
