// Package advise says of servers that run without inferno what inferno would have done: from what Prometheus remembers of them it makes their load anew, fits
// the law of each model on its accelerator, checks the fit on what it has not seen, and plays the time again.
package advise

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/workload"
)

// Workload is a set of pods with one template.
type Workload struct {
	Namespace, Name string
	// Kind is Deployment or StatefulSet.
	Kind string
	// Class that a label of it names; empty where none does.
	Class    string
	Replicas int
	Template *corev1.PodTemplateSpec
}

// Cluster is what is read of one.
type Cluster struct {
	Workloads []Workload
	Nodes     []corev1.Node
	Pods      []corev1.Pod
}

// Server is a workload that serves an LLM.
type Server struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Replicas  int    `json:"replicas"`
	// Class that its workload names; empty where it names none.
	Class string `json:"class,omitempty"`
	// Accelerator is the type that its pods run on, Cards those of a replica.
	Accelerator string             `json:"accelerator"`
	Cards       int                `json:"cards"`
	Serves      *workload.Workload `json:"serves"`

	pods *regexp.Regexp
}

// ID of a server, namespace and name.
func (s *Server) ID() string { return s.Namespace + "/" + s.Name }

// Skipped is a workload that is not advised on, and why.
type Skipped struct {
	Workload string `json:"workload"`
	Why      string `json:"why"`
}

// Find the servers of a cluster. Workloads without cards that serve no LLM are passed over; others that cannot be advised on are told with the reason.
func Find(c *Cluster) ([]Server, []Skipped) {
	var servers []Server
	var skipped []Skipped
	typeOf := nodeTypes(c.Nodes)
	for i := range c.Workloads {
		w := &c.Workloads[i]
		id := w.Namespace + "/" + w.Name
		read, err := workload.Read(w.Template)
		if err != nil {
			if holdsCards(w.Template) {
				skipped = append(skipped, Skipped{id, err.Error()})
			}
			continue
		}
		s := Server{Namespace: w.Namespace, Name: w.Name, Kind: w.Kind, Class: w.Class, Replicas: w.Replicas, Serves: read, Cards: max(1, read.Cards.Value), pods: podsOf(w)}
		if why := s.place(c.Pods, typeOf); why != "" {
			skipped = append(skipped, Skipped{id, why})
			continue
		}
		servers = append(servers, s)
	}
	slices.SortFunc(servers, func(a, b Server) int { return strings.Compare(a.ID(), b.ID()) })
	return servers, skipped
}

func holdsCards(t *corev1.PodTemplateSpec) bool {
	return slices.ContainsFunc(t.Spec.Containers, func(c corev1.Container) bool {
		for name := range c.Resources.Limits {
			if catalogue.IsCard(string(name)) {
				return true
			}
		}
		return false
	})
}

// podsOf a workload by their names, which outlive them in Prometheus: a ReplicaSet's hash and five characters, or a number.
func podsOf(w *Workload) *regexp.Regexp {
	suffix := `-[a-z0-9]{1,10}-[a-z0-9]{5}$`
	if w.Kind == "StatefulSet" {
		suffix = `-\d+$`
	}
	return regexp.MustCompile("^" + regexp.QuoteMeta(w.Name) + suffix)
}

// nodeTypes are the types of cards of nodes, by their names.
func nodeTypes(nodes []corev1.Node) map[string]string {
	found := map[string]string{}
	for i := range nodes {
		if e, known := catalogue.Carried(nodes[i].Labels); known {
			found[nodes[i].Name] = e.Type
		}
	}
	return found
}

// PricesOn are prices, and where nobody gave one that of the nodes that carry the card, whose costs in cents per hour OpenCost may have told: see
// [catalogue.OnNodes].
func PricesOn(nodes []corev1.Node, costs map[string]float64, prices catalogue.Prices) catalogue.Prices {
	carry, typeOf := map[string][]*corev1.Node{}, nodeTypes(nodes)
	for i := range nodes {
		if typ := typeOf[nodes[i].Name]; typ != "" {
			carry[typ] = append(carry[typ], &nodes[i])
		}
	}
	listed := catalogue.BuiltInPrices()
	for _, typ := range slices.Sorted(maps.Keys(carry)) {
		price, priced := prices.Find(typ)
		if ours, _ := listed.Find(typ); priced && price != ours {
			continue // somebody gave it
		}
		if p, known := catalogue.OnNodes(typ, carry[typ], costs); known {
			prices = prices.With(p)
		}
	}
	return prices
}

// place finds the accelerator that a server's pods run on; where there is not one it says why.
func (s *Server) place(pods []corev1.Pod, typeOf map[string]string) string {
	seen := map[string]int{}
	unknown := 0
	for i := range pods {
		p := &pods[i]
		if p.Namespace != s.Namespace || !s.pods.MatchString(p.Name) || p.Spec.NodeName == "" {
			continue
		}
		if typ := typeOf[p.Spec.NodeName]; typ != "" {
			seen[typ]++
		} else {
			unknown++
		}
	}
	switch {
	case len(seen) == 1 && unknown == 0:
		for typ := range seen {
			s.Accelerator = typ
		}
		return ""
	case len(seen) > 1:
		return "its pods run on several types of cards; what each showed cannot be told from names of pods that are gone"
	case unknown > 0:
		return fmt.Sprintf("%d of its pods run on nodes whose product label names no type of the catalogue (nvidia.com/gpu.product and such)", unknown)
	}
	return "no pod of it is on a node, so that its accelerator is not known"
}

// PoolsOf nodes by their type of card: as many as take pods, each with the most cards that one of them has.
func PoolsOf(nodes []corev1.Node) map[string]Pool {
	typeOf := nodeTypes(nodes)
	pools := map[string]Pool{}
	for i := range nodes {
		typ := typeOf[nodes[i].Name]
		e, known := catalogue.Lookup(typ)
		if !known || nodes[i].Spec.Unschedulable {
			continue
		}
		q := nodes[i].Status.Allocatable[corev1.ResourceName(e.ResourceName)]
		p := pools[typ]
		pools[typ] = Pool{Cards: max(p.Cards, int(q.Value())), Nodes: p.Nodes + 1}
	}
	return pools
}
