// Package catalogue knows the accelerators people have: under which product names, label keys and resource name each type appears on
// Kubernetes nodes. It also answers which Accelerator resources a node carries. Both the scheduler plugin and the observer of the cluster
// ask here, so that what is planned, what is placed and what is counted are the same.
package catalogue

import (
	"cmp"
	"slices"
	"strings"
)

// Resource names under which device plugins advertise cards.
const (
	NVIDIAResource = "nvidia.com/gpu"
	AMDResource    = "amd.com/gpu"
	// migPrefix begins the resource name of a MIG profile under the mixed strategy of the NVIDIA device plugin, as in nvidia.com/mig-1g.10gb.
	migPrefix = "nvidia.com/mig-"
	// migInfix stands between product and MIG profile in a product name, as in NVIDIA-H100-80GB-HBM3-MIG-1g.10gb.
	migInfix = "-MIG-"
)

// Entry is what the catalogue knows of one type of card.
type Entry struct {
	// Type of the cards, such as H100.
	Type string
	// ProductNames are the values of the product labels of nodes with such cards.
	ProductNames []string
	// ResourceName under which the device plugin advertises the cards.
	ResourceName string
}

// Lookup finds a type, whatever its case. A type written BASE-MIG-PROFILE, such as A100-80GB-MIG-1g.10gb, is a MIG profile of the cards of
// type BASE.
func Lookup(typ string) (Entry, bool) {
	base, profile, isMIG := strings.Cut(typ, migInfix)
	i := slices.IndexFunc(entries, func(e Entry) bool { return strings.EqualFold(e.Type, base) })
	if i < 0 {
		return Entry{}, false
	}
	e := entries[i]
	e.ProductNames = slices.Clone(e.ProductNames)
	if isMIG {
		if e.ResourceName != NVIDIAResource || profile == "" {
			return Entry{}, false
		}
		e.Type, e.ResourceName = typ, migPrefix+profile
		for i := range e.ProductNames {
			e.ProductNames[i] += migInfix + profile
		}
	}
	return e, true
}

// Types are all entries in the order of their types.
func Types() []Entry {
	list := make([]Entry, 0, len(entries))
	for _, e := range entries {
		e.ProductNames = slices.Clone(e.ProductNames)
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Type, b.Type) })
	return list
}

// Carried is the type of cards of a node with these labels, by the product that they name. Of types that share a product, such as A100 and A100-80GB, it is
// that of the shortest name.
func Carried(nodeLabels map[string]string) (found Entry, known bool) {
	for _, e := range entries {
		for _, label := range ProductLabels(e.ResourceName) {
			product := nodeLabels[label]
			if product != "" && slices.Contains(e.ProductNames, product) && (!known || cmp.Or(len(e.Type)-len(found.Type), strings.Compare(e.Type, found.Type)) < 0) {
				found, known = e, true
			}
		}
	}
	found.ProductNames = slices.Clone(found.ProductNames)
	return found, known
}

// otherCards are resources of cards whose types are not in the catalogue: of Intel's and Google's device plugins.
var otherCards = []string{"habana.ai/gaudi", "gpu.intel.com/i915", "gpu.intel.com/xe", "google.com/tpu"}

// IsCard says that a resource name stands for cards, or slices of them, whatever their type.
func IsCard(resourceName string) bool {
	return resourceName == NVIDIAResource || resourceName == AMDResource || strings.HasPrefix(resourceName, migPrefix) || slices.Contains(otherCards, resourceName)
}

// ProductLabels are the label keys under which nodes tell the product of the cards that a resource name stands for.
func ProductLabels(resourceName string) []string {
	switch {
	case resourceName == NVIDIAResource:
		return []string{"nvidia.com/gpu.product", "cloud.google.com/gke-accelerator"}
	case resourceName == AMDResource:
		return []string{"amd.com/gpu.product-name", "beta.amd.com/gpu.product-name"}
	default:
		return []string{resourceName + ".product", resourceName + ".product-name"}
	}
}
