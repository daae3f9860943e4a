package catalogue

import (
	"cmp"
	"maps"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Kind is what placement needs to know of one Accelerator resource, with the defaults of the catalogue filled in.
type Kind struct {
	// Name of the Accelerator resource.
	Name string
	// Alias is the name the accelerator has in the JSON specification; equal to Name unless Kubernetes does not allow that name.
	Alias string
	// Type of the cards: what capacity is counted in.
	Type string
	// Multiplicity is the number of cards that make up one accelerator, at least 1.
	Multiplicity int
	// ResourceName under which nodes advertise the cards.
	ResourceName string
	// ProductNames are the values of the product labels of nodes that carry the cards.
	ProductNames []string
	// NodeSelector are labels that nodes must have besides.
	NodeSelector map[string]string
}

// Describe fills in what the spec of an Accelerator leaves out. A type the catalogue does not know is taken for a product name, its
// resource for nvidia.com/gpu.
func Describe(a *v1alpha1.Accelerator) Kind {
	k := Kind{
		Name:         a.Name,
		Alias:        cmp.Or(a.Annotations[v1alpha1.NameAnnotation], a.Name),
		Multiplicity: max(a.Spec.Cards, 1),
		ResourceName: a.Spec.ResourceName,
		ProductNames: slices.Clone(a.Spec.ProductNames),
		NodeSelector: a.Spec.NodeSelector,
	}
	k.Type = cmp.Or(a.Spec.Type, k.Alias)
	known, _ := Lookup(k.Type)
	k.ResourceName = cmp.Or(k.ResourceName, known.ResourceName, NVIDIAResource)
	if len(k.ProductNames) == 0 {
		k.ProductNames = known.ProductNames
	}
	if len(k.ProductNames) == 0 {
		k.ProductNames = []string{k.Type}
	}
	return k
}

// Classifier answers which of a set of Accelerator resources a node carries. It never changes; a change of the resources makes a new one.
type Classifier struct {
	kinds map[string]Kind
	names map[string]string
	// labels that product names stand in, by key.
	labels []productLabel
	// selective says that some kind has a node selector.
	selective bool
}

// productLabel knows the names of the accelerators, sorted, behind each value of one label.
type productLabel struct {
	key     string
	carried map[string][]string
}

// ClassifierOf prepares the answers for a list of resources.
func ClassifierOf(accelerators []v1alpha1.Accelerator) *Classifier {
	list := make([]*v1alpha1.Accelerator, len(accelerators))
	for i := range accelerators {
		list[i] = &accelerators[i]
	}
	return NewClassifier(list)
}

// NewClassifier prepares the answers for the given resources.
func NewClassifier(accelerators []*v1alpha1.Accelerator) *Classifier {
	c := &Classifier{kinds: map[string]Kind{}, names: map[string]string{}}
	byKey := map[string]map[string][]string{}
	for _, a := range accelerators {
		k := Describe(a)
		c.kinds[k.Name] = k
		c.selective = c.selective || len(k.NodeSelector) > 0
		for _, key := range ProductLabels(k.ResourceName) {
			if byKey[key] == nil {
				byKey[key] = map[string][]string{}
			}
			for _, product := range k.ProductNames {
				byKey[key][product] = append(byKey[key][product], k.Name)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		for product, names := range byKey[key] {
			slices.Sort(names)
			byKey[key][product] = slices.Compact(names)
		}
		c.labels = append(c.labels, productLabel{key, byKey[key]})
	}
	for _, name := range slices.Sorted(maps.Keys(c.kinds)) {
		if alias := c.kinds[name].Alias; c.names[alias] == "" {
			c.names[alias] = name
		}
	}
	// The name of a resource wins over an alias that another resource happens to have.
	for name := range c.kinds {
		c.names[name] = name
	}
	return c
}

// Names are the names of the Accelerator resources that a node with these labels carries, sorted; empty where it carries none. The caller
// must not change the answer.
func (c *Classifier) Names(nodeLabels map[string]string) []string {
	var names []string
	merged := false
	for i := range c.labels {
		value, ok := nodeLabels[c.labels[i].key]
		if !ok {
			continue
		}
		found := c.labels[i].carried[value]
		switch {
		case len(found) == 0:
		case names == nil:
			names = found
		default:
			names, merged = slices.Concat(names, found), true
		}
	}
	if merged {
		slices.Sort(names)
		names = slices.Compact(names)
	}
	if c.selective {
		names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !c.selects(name, nodeLabels) })
	}
	return names
}

// selects says whether the node selector of a kind matches labels of a node.
func (c *Classifier) selects(name string, nodeLabels map[string]string) bool {
	for key, value := range c.kinds[name].NodeSelector {
		if got, has := nodeLabels[key]; !has || got != value {
			return false
		}
	}
	return true
}

// Kind of the Accelerator with a name, be it the resource's own or the one it has in the JSON specification.
func (c *Classifier) Kind(name string) (Kind, bool) {
	k, ok := c.kinds[c.names[name]]
	return k, ok
}

// Kinds of all Accelerators in the order of their names.
func (c *Classifier) Kinds() []Kind {
	list := make([]Kind, 0, len(c.kinds))
	for _, name := range slices.Sorted(maps.Keys(c.kinds)) {
		list = append(list, c.kinds[name])
	}
	return list
}
