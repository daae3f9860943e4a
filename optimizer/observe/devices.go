package observe

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/catalogue"
)

// device is a card, or a MIG device, as a driver of dynamic resource allocation publishes it.
type device struct{ driver, pool, name string }

// devices are what drivers publish of the cards of a cluster, by node.
type devices struct {
	// products of the devices of a node, written as the labels of nodes are.
	products map[string]map[device]string
	// foreign are the devices that claims hold for pods that no plan counts, or for nobody yet.
	foreign map[device]bool
	// heldBy is the number of devices that claims hold for a pod.
	heldBy map[types.UID]int
}

// attributes by which drivers name a product, and the MIG profile of a device that is one.
const (
	productAttribute = "productName"
	profileAttribute = "profile"
)

// readDevices of slices. Devices that are not on one node, or say no product, are left out.
func readDevices(c *Cluster) devices {
	d := devices{products: map[string]map[device]string{}, foreign: map[device]bool{}, heldBy: map[types.UID]int{}}
	for i := range c.Slices {
		s := &c.Slices[i].Spec
		if s.NodeName == nil {
			continue
		}
		for j := range s.Devices {
			product := productOf(s.Driver, &s.Devices[j])
			if product == "" {
				continue
			}
			if d.products[*s.NodeName] == nil {
				d.products[*s.NodeName] = map[device]string{}
			}
			d.products[*s.NodeName][device{s.Driver, s.Pool.Name, s.Devices[j].Name}] = product
		}
	}
	return d
}

// hold the devices that claims hold; those of pods that plans count are there for plans to give.
func (d *devices) hold(c *Cluster, counted map[*corev1.Pod]bool) {
	ours := map[types.UID]bool{}
	for p := range counted {
		ours[p.UID] = true
	}
	for i := range c.Claims {
		status := &c.Claims[i].Status
		if status.Allocation == nil {
			continue
		}
		var holder types.UID
		if len(status.ReservedFor) > 0 {
			holder = status.ReservedFor[0].UID
		}
		for _, r := range status.Allocation.Devices.Results {
			d.heldBy[holder]++
			if holder == "" || !ours[holder] {
				d.foreign[device{r.Driver, r.Pool, r.Device}] = true
			}
		}
	}
}

// productOf a device as a label of a node would have it: "NVIDIA H100 80GB HBM3" as NVIDIA-H100-80GB-HBM3, with the MIG profile behind.
func productOf(driver string, d *resourcev1.Device) string {
	attribute := func(name string) string {
		for _, key := range []resourcev1.QualifiedName{resourcev1.QualifiedName(name), resourcev1.QualifiedName(driver + "/" + name)} {
			if a, ok := d.Attributes[key]; ok && a.StringValue != nil {
				return *a.StringValue
			}
		}
		return ""
	}
	product := strings.ReplaceAll(attribute(productAttribute), " ", "-")
	if profile := attribute(profileAttribute); product != "" && profile != "" {
		product += "-MIG-" + profile
	}
	return product
}

// of counts the devices of a kind on a node, and those of them that are not held by others.
func (d devices) of(node string, kind catalogue.Kind) (capacity, available int) {
	for device, product := range d.products[node] {
		for _, name := range kind.ProductNames {
			if name != product {
				continue
			}
			capacity++
			if !d.foreign[device] {
				available++
			}
			break
		}
	}
	return capacity, available
}

// labels of a node with those that its devices' products stand for, where no labeller wrote any.
func (v *view) labels(name string, labels map[string]string) map[string]string {
	products := v.devices.products[name]
	if len(products) == 0 {
		return labels
	}
	all := map[string]string{}
	for key, value := range labels {
		all[key] = value
	}
	for _, kind := range v.classifier.Kinds() {
		if n, _ := v.devices.of(name, kind); n == 0 {
			continue
		}
		key := catalogue.ProductLabels(kind.ResourceName)[0]
		if _, there := all[key]; !there {
			all[key] = v.present(name, kind)
		}
	}
	return all
}

// present is the first product name of a kind that some device of a node has.
func (v *view) present(node string, kind catalogue.Kind) string {
	for _, name := range kind.ProductNames {
		for _, product := range v.devices.products[node] {
			if product == name {
				return name
			}
		}
	}
	return ""
}
