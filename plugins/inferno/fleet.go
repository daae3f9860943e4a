package inferno

import (
	"slices"
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// fleet knows which nodes carry which Accelerators.
type fleet struct {
	mu         sync.RWMutex
	classifier *catalogue.Classifier
	nodes      map[string]carrier
	// carriers are the nodes of an accelerator. A set handed out never changes; a change of the fleet drops it and makes a new one.
	carriers map[string]sets.Set[string]
	counts   map[string]int
}

// carrier is a node with the accelerators it carries.
type carrier struct {
	labels map[string]string
	names  []string
}

func newFleet() *fleet {
	return &fleet{
		classifier: catalogue.NewClassifier(nil), nodes: map[string]carrier{}, carriers: map[string]sets.Set[string]{}, counts: map[string]int{},
	}
}

// setNode learns of a node and tells whether the accelerators that it carries changed.
func (f *fleet) setNode(node *v1.Node) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := f.classifier.Names(node.Labels)
	old, known := f.nodes[node.Name]
	f.nodes[node.Name] = carrier{labels: node.Labels, names: names}
	if known && slices.Equal(old.names, names) {
		return false
	}
	f.move(old.names, names)
	return true
}

// deleteNode forgets a node.
func (f *fleet) deleteNode(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.move(f.nodes[name].names, nil)
	delete(f.nodes, name)
}

func (f *fleet) move(from, to []string) {
	for _, a := range from {
		f.counts[a]--
		delete(f.carriers, a)
	}
	for _, a := range to {
		f.counts[a]++
		delete(f.carriers, a)
	}
}

// setAccelerators learns of all Accelerator resources anew.
func (f *fleet) setAccelerators(accelerators []*v1alpha1.Accelerator) {
	classifier := catalogue.NewClassifier(accelerators)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.classifier = classifier
	f.carriers, f.counts = map[string]sets.Set[string]{}, map[string]int{}
	for name, n := range f.nodes {
		n.names = classifier.Names(n.labels)
		f.nodes[name] = n
		f.move(nil, n.names)
	}
}

// kinds of accelerators as they are now.
func (f *fleet) kinds() *catalogue.Classifier {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.classifier
}

// carried tells whether some node carries an accelerator.
func (f *fleet) carried(accelerator string) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.counts[accelerator] > 0
}

// on are the accelerators that a node carries.
func (f *fleet) on(node string) []string {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.nodes[node].names
}

// label of a node; empty where it has none.
func (f *fleet) label(node, key string) string {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.nodes[node].labels[key]
}

// carrying are the nodes that carry any of the accelerators, or false where they are more than limit. The caller must not change the set.
func (f *fleet) carrying(accelerators map[string]seats.Option, limit int) (sets.Set[string], bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	total := 0
	for a := range accelerators {
		total += f.counts[a]
	}
	if total > limit {
		return nil, false
	}
	var union sets.Set[string]
	for a := range accelerators {
		if f.counts[a] == 0 {
			continue
		}
		if union == nil {
			union = f.carriersOf(a)
		} else {
			union = union.Union(f.carriersOf(a))
		}
	}
	return union, true
}

// carriersOf an accelerator, made when first asked for.
func (f *fleet) carriersOf(accelerator string) sets.Set[string] {
	if s, ok := f.carriers[accelerator]; ok {
		return s
	}
	s := sets.New[string]()
	for name, n := range f.nodes {
		if slices.Contains(n.names, accelerator) {
			s.Insert(name)
		}
	}
	f.carriers[accelerator] = s
	return s
}

// locate is the accelerator that a pod on a node takes; empty where the node carries none that is known.
func (f *fleet) locate(pod *v1.Pod, node string) string {
	f.mu.RLock()
	defer f.mu.RUnlock()
	kind, _ := placement.Holds(f.classifier, f.nodes[node].names, pod)
	return kind.Name
}
