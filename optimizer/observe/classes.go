package observe

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/deviceclass/extendedresourcecache"

	"github.com/llm-inferno/inferno/optimizer/catalogue"
)

// deviceClasses are those by whose devices the scheduler serves requests for an extended resource, found as it finds them.
type deviceClasses struct {
	byResource *extendedresourcecache.ExtendedResourceCache
	compiled   map[string]*deviceClass
}

// deviceClass is what selects devices; nil selects all.
type deviceClass struct {
	name      string
	selectors []cel.CompilationResult
	// selected remembers the answers, and fault what is wrong with the selectors: then no device is.
	selected map[device]bool
	fault    string
}

func newDeviceClasses(classes []resourcev1.DeviceClass) *deviceClasses {
	c := &deviceClasses{extendedresourcecache.NewExtendedResourceCache(logr.Discard()), map[string]*deviceClass{}}
	for i := range classes {
		c.byResource.OnAdd(&classes[i], true)
	}
	return c
}

// of a resource; nil where no class stands for it.
func (c *deviceClasses) of(name corev1.ResourceName) *deviceClass {
	found := c.byResource.GetDeviceClass(name)
	if found == nil {
		return nil
	}
	class := c.compiled[found.Name]
	if class == nil {
		class = compile(found)
		c.compiled[found.Name] = class
	}
	return class
}

func compile(of *resourcev1.DeviceClass) *deviceClass {
	class := &deviceClass{name: of.Name, selected: map[device]bool{}}
	for i, s := range of.Spec.Selectors {
		if s.CEL == nil {
			class.fault = fmt.Sprintf("DeviceClass %s: spec.selectors[%d] is no CEL expression, which is all that is known", of.Name, i)
			continue
		}
		r := cel.GetCompiler(cel.Features{EnableConsumableCapacity: true, EnableListTypeAttributes: true}).CompileCELExpression(s.CEL.Expression, cel.Options{DisableCostEstimation: true})
		if r.Error != nil {
			class.fault = fmt.Sprintf("DeviceClass %s: spec.selectors[%d].cel.expression: %v", of.Name, i, r.Error)
		}
		class.selectors = append(class.selectors, r)
	}
	return class
}

// selects a device. One of which an expression cannot tell is none.
func (c *deviceClass) selects(p *published) bool {
	if c == nil || c.fault != "" {
		return c == nil
	}
	yes, asked := c.selected[p.device]
	if asked {
		return yes
	}
	yes = true
	for _, s := range c.selectors {
		matches, _, err := s.DeviceMatches(context.Background(), cel.Device{
			Driver: p.driver, AllowMultipleAllocations: p.of.AllowMultipleAllocations, Attributes: p.of.Attributes, Capacity: p.of.Capacity,
		})
		yes = yes && matches && err == nil
	}
	c.selected[p.device] = yes
	return yes
}

// lacks says why a node does not have what pods of a template ask for under the names of cards, or by claims: "" where it has, or where they ask for nothing
// of the sort; and to how many of its cards it bounds them, negative for all.
func (v *view) lacks(t *template, node *corev1.Node, kind catalogue.Kind) (why string, most int) {
	name := corev1.ResourceName(kind.ResourceName)
	asked, plugged := t.requests[name], node.Status.Allocatable[name]
	switch {
	case asked.IsZero() && len(t.spec.ResourceClaims) > 0:
		if n, _ := v.devices.of(node.Name, kind, nil); n == 0 {
			return "no devices for claims", -1
		}
		return "", -1
	case asked.IsZero() || !plugged.IsZero():
		return "", -1
	}
	class := v.classes.of(name)
	if class == nil {
		return fmt.Sprintf("neither a device plugin nor a DeviceClass for %s", name), -1
	}
	if class.fault != "" {
		v.devices.fewer[class.fault] = 1
	}
	n, _ := v.devices.of(node.Name, kind, class)
	if n < int(asked.Value()) {
		return fmt.Sprintf("too few devices of DeviceClass %s", class.name), -1
	}
	return "", n
}
