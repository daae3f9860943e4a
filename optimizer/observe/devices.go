package observe

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/structured"

	"github.com/llm-inferno/inferno/optimizer/catalogue"
)

// device is a card, or a part of one, as a driver of dynamic resource allocation publishes it.
type device struct{ driver, pool, name string }

// published is a device with the node that it counts on. Others can be on other nodes too, but a device is one.
type published struct {
	device
	product, node string
	of            *resourcev1.Device
}

// card is a set of counters that devices share: as a rule a card that can be given out whole, or cut in several ways.
type card struct{ driver, pool, name string }

// role of a card is what it counts as: devices of one product on one node.
type role struct{ node, product string }

// counters of cards.
type counters map[card]map[string]resource.Quantity

// devices are what drivers publish of the cards of a cluster.
type devices struct {
	// all that are published, and those that count by node, in the order in which the scheduler tries them.
	all []published
	on  map[string][]*published
	// has is what cards have, and taken what claims hold of it for others, or as what the card does not count as.
	has, taken counters
	roles      map[card]role
	// holder of a device is the pod that a claim holds it for, empty for none; heldOn is that pod's node, and productOf what it holds.
	holder    map[device]types.UID
	heldOn    map[device]string
	productOf map[types.UID]string
	// foreign are the devices that claims hold for pods that no plan counts, or for nobody yet.
	foreign map[device]bool
	// heldBy is the number of devices that claims hold for a pod.
	heldBy map[types.UID]int
	// fewer says why devices do not count, or not everywhere, and how many.
	fewer map[string]int
}

// attributes by which drivers name a product, and the MIG profile of a device that is one.
const (
	productAttribute = "productName"
	profileAttribute = "profile"
)

// readDevices of slices: those that say a product which an accelerator has. What cannot be told for sure counts for less, and is said.
func readDevices(c *Cluster, kinds []catalogue.Kind) *devices {
	d := &devices{
		on: map[string][]*published{}, has: counters{}, taken: counters{}, roles: map[card]role{}, holder: map[device]types.UID{}, heldOn: map[device]string{}, productOf: map[types.UID]string{}, foreign: map[device]bool{}, heldBy: map[types.UID]int{},
		fewer: map[string]int{},
	}
	d.readClaims(c)
	known := map[string]bool{}
	for _, kind := range kinds {
		for _, name := range kind.ProductNames {
			known[name] = true
		}
	}
	for _, s := range newest(c.Slices) {
		for _, set := range s.SharedCounters {
			d.has.add(card{s.Driver, s.Pool.Name, set.Name}, set.Counters, 1)
		}
		for i := range s.Devices {
			of := &s.Devices[i]
			p := published{device: device{s.Driver, s.Pool.Name, of.Name}, product: productOf(s.Driver, of), of: of}
			if known[p.product] {
				p.node = d.nodeFor(c, s, &p)
				if holder := d.holder[p.device]; holder != "" {
					d.productOf[holder] = p.product
				}
			}
			d.all = append(d.all, p)
		}
	}
	d.giveRoles()
	for i := range d.all {
		if p := &d.all[i]; p.node != "" && d.counts(p) {
			d.on[p.node] = append(d.on[p.node], p)
		}
	}
	return d
}

// newest generation of every pool, sorted by the names of slices. What a driver has replaced is gone.
func newest(all []resourcev1.ResourceSlice) []*resourcev1.ResourceSliceSpec {
	type pool struct{ driver, name string }
	generations := map[pool]int64{}
	order := make([]*resourcev1.ResourceSlice, len(all))
	for i := range all {
		s := &all[i].Spec
		order[i] = &all[i]
		key := pool{s.Driver, s.Pool.Name}
		generations[key] = max(generations[key], s.Pool.Generation)
	}
	slices.SortStableFunc(order, func(a, b *resourcev1.ResourceSlice) int { return strings.Compare(a.Name, b.Name) })
	var list []*resourcev1.ResourceSliceSpec
	for _, s := range order {
		if s.Spec.Pool.Generation == generations[pool{s.Spec.Driver, s.Spec.Pool.Name}] {
			list = append(list, &s.Spec)
		}
	}
	return list
}

// readClaims for who holds devices, and where.
func (d *devices) readClaims(c *Cluster) {
	nodes := map[types.UID]string{}
	for i := range c.Pods {
		nodes[c.Pods[i].UID] = c.Pods[i].Spec.NodeName
	}
	for i := range c.Claims {
		holder, results := allocated(&c.Claims[i])
		for _, one := range results {
			d.holder[one], d.heldOn[one] = holder, nodes[holder]
		}
	}
}

// allocated devices of a claim, and the pod that they are for. Who only looks at a device holds none.
func allocated(c *resourcev1.ResourceClaim) (holder types.UID, list []device) {
	if c.Status.Allocation == nil {
		return "", nil
	}
	if len(c.Status.ReservedFor) > 0 {
		holder = c.Status.ReservedFor[0].UID
	}
	for _, r := range c.Status.Allocation.Devices.Results {
		if r.AdminAccess == nil || !*r.AdminAccess {
			list = append(list, device{r.Driver, r.Pool, r.Device})
		}
	}
	return holder, list
}

// nodeFor a device: the one that it is held on, else the first of those that can have it; empty for none. A device that several nodes can have counts on
// one of them alone, and one that is tainted on none, for which claims tolerate that is not known.
func (d *devices) nodeFor(c *Cluster, s *resourcev1.ResourceSliceSpec, p *published) string {
	held := d.heldOn[p.device]
	name, all, selector := s.NodeName, s.AllNodes, s.NodeSelector
	if value(s.PerDeviceNodeSelection) {
		name, all, selector = p.of.NodeName, p.of.AllNodes, p.of.NodeSelector
	}
	tainted := func(t resourcev1.DeviceTaint) bool { return t.Effect != resourcev1.DeviceTaintEffectNone }
	if slices.ContainsFunc(p.of.Taints, tainted) && held == "" {
		d.fewer[fmt.Sprintf("pool %s of %s: devices are tainted, and count on no node", p.pool, p.driver)]++
		return ""
	}
	if value(name) != "" {
		return *name
	}
	var nodes []string
	for i := range c.Nodes {
		n := &c.Nodes[i]
		if ok, err := structured.NodeMatches(structured.Features{}, n, "", value(all), selector); ok && err == nil && usable(n) {
			nodes = append(nodes, n.Name)
		}
	}
	switch {
	case held != "":
		return held
	case len(nodes) == 0:
		return ""
	case len(nodes) > 1:
		d.fewer[fmt.Sprintf("pool %s of %s: devices of %d nodes count on %s alone", p.pool, p.driver, len(nodes), slices.Min(nodes))]++
	}
	return slices.Min(nodes)
}

// value of what may be absent: zero there.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// giveRoles to the cards that are published in several ways: that of the devices which most claims hold, else that of the device which takes most of it.
func (d *devices) giveRoles() {
	type claim struct {
		held int
		size float64
	}
	claims := map[card]map[role]claim{}
	order := map[card][]role{}
	for i := range d.all {
		p := &d.all[i]
		for _, use := range p.of.ConsumesCounters {
			c, r := card{p.driver, p.pool, use.CounterSet}, role{p.node, p.product}
			if p.node == "" {
				continue
			}
			if claims[c] == nil {
				claims[c] = map[role]claim{}
			}
			before, seen := claims[c][r]
			if !seen {
				order[c] = append(order[c], r)
			}
			if _, held := d.holder[p.device]; held {
				before.held++
			}
			before.size = max(before.size, d.has.share(c, use.Counters))
			claims[c][r] = before
		}
	}
	for c, roles := range order {
		d.roles[c] = slices.MinFunc(roles, func(a, b role) int {
			x, y := claims[c][a], claims[c][b]
			return cmp.Or(cmp.Compare(y.held, x.held), cmp.Compare(y.size, x.size), slices.Index(roles, a)-slices.Index(roles, b))
		})
		if len(roles) > 1 {
			d.fewer[fmt.Sprintf("pool %s of %s: cards are published in several ways, and count as %s on %s alone", c.pool, c.driver, d.roles[c].product, d.roles[c].node)]++
		}
	}
}

// counts says whether a device is of what its cards count as.
func (d *devices) counts(p *published) bool {
	return !slices.ContainsFunc(p.of.ConsumesCounters, func(use resourcev1.DeviceCounterConsumption) bool {
		return d.roles[card{p.driver, p.pool, use.CounterSet}] != role{p.node, p.product}
	})
}

// add to the counters of a card, or take away.
func (cs counters) add(c card, list map[string]resourcev1.Counter, sign int) {
	if cs[c] == nil {
		cs[c] = map[string]resource.Quantity{}
	}
	for name, n := range list {
		sum := cs[c][name].DeepCopy()
		if sign > 0 {
			sum.Add(n.Value)
		} else {
			sum.Sub(n.Value)
		}
		cs[c][name] = sum
	}
}

// share of a card that is the largest of some of its counters, 0 to 1.
func (cs counters) share(c card, list map[string]resourcev1.Counter) float64 {
	most := 0.0
	for name, n := range list {
		all := cs[c][name]
		if !all.IsZero() {
			most = max(most, n.Value.AsApproximateFloat64()/all.AsApproximateFloat64())
		}
	}
	return most
}

// hold the devices that claims hold; those of pods that plans count are there for plans to give.
func (d *devices) hold(c *Cluster, counted map[*corev1.Pod]bool) {
	ours := map[types.UID]bool{}
	for p := range counted {
		ours[p.UID] = true
	}
	for i := range c.Claims {
		holder, results := allocated(&c.Claims[i])
		d.heldBy[holder] += len(results)
		for _, one := range results {
			if holder == "" || !ours[holder] {
				d.foreign[one] = true
			}
		}
	}
	for i := range d.all {
		p := &d.all[i]
		if _, held := d.holder[p.device]; d.foreign[p.device] || held && !d.counts(p) {
			for _, use := range p.of.ConsumesCounters {
				d.taken.add(card{p.driver, p.pool, use.CounterSet}, use.Counters, 1)
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

// of counts the devices of a kind on a node that can be had at once, and those of them that can be had beside what others hold; of those that a class
// selects, where one is given.
func (d *devices) of(node string, kind catalogue.Kind, class *deviceClass) (capacity, available int) {
	var list []*published
	for _, p := range d.on[node] {
		if slices.Contains(kind.ProductNames, p.product) && class.selects(p) {
			list = append(list, p)
		}
	}
	// What is held stays where it is, the rest goes one after the other where it fits, as the scheduler goes.
	slices.SortStableFunc(list, func(a, b *published) int { return d.first(a) - d.first(b) })
	capacity = d.fit(list, nil)
	list = slices.DeleteFunc(list, func(p *published) bool { return d.foreign[p.device] })
	return capacity, min(d.fit(list, d.taken), capacity)
}

func (d *devices) first(p *published) int {
	if _, held := d.holder[p.device]; held {
		return 0
	}
	return 1
}

// fit counts the devices that find what they consume in the counters of their cards, one after the other, beside what is taken.
func (d *devices) fit(list []*published, taken counters) (n int) {
	left := counters{}
	for _, p := range list {
		fits := true
		for _, use := range p.of.ConsumesCounters {
			c := card{p.driver, p.pool, use.CounterSet}
			if left[c] == nil {
				left[c] = maps.Clone(d.has[c])
				for name, n := range taken[c] {
					left.add(c, map[string]resourcev1.Counter{name: {Value: n}}, -1)
				}
			}
			for name, n := range use.Counters {
				has := left[c][name]
				fits = fits && has.Cmp(n.Value) >= 0
			}
		}
		if !fits {
			continue
		}
		n++
		for _, use := range p.of.ConsumesCounters {
			left.add(card{p.driver, p.pool, use.CounterSet}, use.Counters, -1)
		}
	}
	return n
}

// words for the devices that count for less than they are published for, sorted.
func (d *devices) words() (list []string) {
	for _, why := range slices.Sorted(maps.Keys(d.fewer)) {
		list = append(list, fmt.Sprintf("%s (%d)", why, d.fewer[why]))
	}
	return list
}

// labels of a node with those that its devices' products stand for, where no labeller wrote any.
func (v *view) labels(node *corev1.Node) map[string]string {
	if len(v.devices.on[node.Name]) == 0 {
		return node.Labels
	}
	all := map[string]string{}
	maps.Copy(all, node.Labels)
	for _, kind := range v.classifier.Kinds() {
		product := v.present(node.Name, kind)
		key := catalogue.ProductLabels(kind.ResourceName)[0]
		if _, there := all[key]; !there && product != "" {
			all[key] = product
		}
	}
	return all
}

// carried are the names of the accelerators that a node carries, sorted: those that its labels tell, and those of its devices, which may be of several
// products where a label has one.
func (v *view) carried(node *corev1.Node) []string {
	if names, known := v.kinds[node.Name]; known {
		return names
	}
	labels := v.labels(node)
	names := slices.Clone(v.classifier.Names(labels))
	for _, kind := range v.classifier.Kinds() {
		if product := v.present(node.Name, kind); product != "" {
			theirs := maps.Clone(labels)
			theirs[catalogue.ProductLabels(kind.ResourceName)[0]] = product
			names = append(names, v.classifier.Names(theirs)...)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	v.kinds[node.Name] = names
	return names
}

// present is the first product name of a kind that some device of a node has; empty where none has one.
func (v *view) present(node string, kind catalogue.Kind) string {
	for _, name := range kind.ProductNames {
		if slices.ContainsFunc(v.devices.on[node], func(p *published) bool { return p.product == name }) {
			return name
		}
	}
	return ""
}
