package restapi

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// maxEntries of a list that is kept.
//
// Tuned: entries; guard against a client that adds until the memory is full
const maxEntries = 100_000

// kind of things that a system has a list of, told apart by a key.
type kind[T any] struct {
	noun string
	of   func(*jsonspec.System) *[]T
	key  func(*T) string
}

var (
	accelerators = kind[jsonspec.AcceleratorEntry]{"accelerator",
		func(s *jsonspec.System) *[]jsonspec.AcceleratorEntry { return &s.Accelerators.Spec },
		func(e *jsonspec.AcceleratorEntry) string { return e.Name }}
	capacities = kind[jsonspec.AcceleratorCount]{"capacity for",
		func(s *jsonspec.System) *[]jsonspec.AcceleratorCount { return &s.Capacity.Count },
		func(e *jsonspec.AcceleratorCount) string { return e.Type }}
	classes = kind[jsonspec.ServiceClassEntry]{"service class",
		func(s *jsonspec.System) *[]jsonspec.ServiceClassEntry { return &s.ServiceClasses.Spec },
		func(e *jsonspec.ServiceClassEntry) string { return e.Name }}
	servers = kind[jsonspec.ServerEntry]{"server",
		func(s *jsonspec.System) *[]jsonspec.ServerEntry { return &s.Servers.Spec },
		func(e *jsonspec.ServerEntry) string { return e.Name }}
	performances = kind[jsonspec.PerformanceEntry]{"performance of",
		func(s *jsonspec.System) *[]jsonspec.PerformanceEntry { return &s.Models.Spec },
		func(e *jsonspec.PerformanceEntry) string { return pairKey(e.Name, e.Acc) }}
)

// pairKey of a model on an accelerator, for people too.
func pairKey(model, accelerator string) string { return fmt.Sprintf("%q on %q", model, accelerator) }

// all of a kind, which is never null.
func (k kind[T]) all(s *jsonspec.System) []T { return append([]T{}, *k.of(s)...) }

// index of a thing; the error says that it is not there.
func (k kind[T]) index(s *jsonspec.System, key string) (int, error) {
	have := *k.of(s)
	for i := range have {
		if k.key(&have[i]) == key {
			return i, nil
		}
	}
	return -1, notFound("%s %s not found", k.noun, key)
}

func (k kind[T]) get(s *jsonspec.System, key string) (any, error) {
	i, err := k.index(s, key)
	if err != nil {
		return nil, err
	}
	return (*k.of(s))[i], nil
}

// put things, each in the place of the one that has its key. They are checked first, and all or none are put.
func (k kind[T]) put(s *jsonspec.System, list ...T) error {
	var alone jsonspec.System
	*k.of(&alone) = list
	alone.Optimizer.Spec.Unlimited = true
	withoutBlanks(&alone)
	if _, err := specification.Validate(&alone); err != nil {
		return err
	}
	have := k.all(s)
	at := make(map[string]int, len(have))
	for i := range have {
		at[k.key(&have[i])] = i
	}
	for _, e := range list {
		if i, there := at[k.key(&e)]; there {
			have[i] = e
		} else {
			have = append(have, e)
		}
	}
	if len(have) > maxEntries {
		return fmt.Errorf("%s: more than %d entries are not kept", k.noun, maxEntries)
	}
	*k.of(s) = have
	return nil
}

func (k kind[T]) remove(s *jsonspec.System, key string) (any, error) {
	i, err := k.index(s, key)
	if err != nil {
		return nil, err
	}
	have := *k.of(s)
	gone := have[i]
	*k.of(s) = slices.Delete(slices.Clone(have), i, i+1)
	return gone, nil
}

// one answers a path that ends in a name.
func (o *optimizer) one(path, value string, do func(*jsonspec.System, string) (any, error)) {
	o.handle("GET /"+path+"/{"+value+"}", func(r *http.Request) (any, error) { return do(&o.system, r.PathValue(value)) })
}

// add answers a body that is one thing.
func add[T any](o *optimizer, path string, k kind[T]) {
	o.handle("POST /"+path, func(r *http.Request) (any, error) {
		var e T
		if err := object(r, &e); err != nil {
			return nil, err
		}
		return e, k.put(&o.system, e)
	})
}

// set answers a body that holds a list of things. Those that are there and not in it stay, as in llm-inferno.
func set[D, T any](o *optimizer, path string, k kind[T], of func(*D) []T) {
	o.handle("POST /"+path, func(r *http.Request) (any, error) {
		var d D
		if err := object(r, &d); err != nil {
			return nil, err
		}
		return d, k.put(&o.system, of(&d)...)
	})
}

// resources are the endpoints that read and change the system that is kept.
func (o *optimizer) resources() {
	s := &o.system
	all := func(path string, what func() any) {
		o.handle("GET /"+path, func(*http.Request) (any, error) { return what(), nil })
	}

	set(o, "setAccelerators", accelerators, func(d *jsonspec.AcceleratorData) []jsonspec.AcceleratorEntry { return d.Spec })
	all("getAccelerators", func() any { return accelerators.all(s) })
	o.one("getAccelerator", "name", accelerators.get)
	add(o, "addAccelerator", accelerators)
	o.one("removeAccelerator", "name", accelerators.remove)

	set(o, "setCapacities", capacities, func(d *jsonspec.CapacityData) []jsonspec.AcceleratorCount { return d.Count })
	all("getCapacities", func() any { return jsonspec.CapacityData{Count: capacities.all(s)} })
	o.one("getCapacity", "type", capacities.get)
	add(o, "setCapacity", capacities)
	o.one("removeCapacity", "type", capacities.remove)

	set(o, "setServers", servers, func(d *jsonspec.ServerData) []jsonspec.ServerEntry { return d.Spec })
	all("getServers", func() any { return jsonspec.ServerData{Spec: servers.all(s)} })
	o.one("getServer", "name", servers.get)
	add(o, "addServer", servers)
	o.one("removeServer", "name", servers.remove)

	set(o, "setServiceClasses", classes, func(d *jsonspec.ServiceClassData) []jsonspec.ServiceClassEntry { return d.Spec })
	all("getServiceClasses", func() any { return jsonspec.ServiceClassData{Spec: classes.all(s)} })
	o.one("getServiceClass", "name", classes.get)
	o.handle("GET /addServiceClass/{name}/{priority}", o.addClass)
	o.one("removeServiceClass", "name", classes.remove)
	o.handle("POST /addServiceClassModelTargets", o.addTargets)
	o.handle("GET /getServiceClassModelTarget/{name}/{model}", func(r *http.Request) (any, error) { return o.target(r, false) })
	o.handle("GET /removeServiceClassModelTarget/{name}/{model}", func(r *http.Request) (any, error) { return o.target(r, true) })

	set(o, "setModels", performances, func(d *jsonspec.ModelData) []jsonspec.PerformanceEntry { return d.Spec })
	all("getModels", func() any { return modelNames(s) })
	o.one("getModel", "name", getModel)
	o.one("addModel", "name", addModel)
	o.one("removeModel", "name", removeModel)
	o.handle("POST /addModelAcceleratorPerf", o.addPerformance)
	pair := func(r *http.Request) string { return pairKey(r.PathValue("name"), r.PathValue("acc")) }
	o.handle("GET /getModelAcceleratorPerf/{name}/{acc}", func(r *http.Request) (any, error) { return performances.get(s, pair(r)) })
	o.handle("GET /removeModelAcceleratorPerf/{name}/{acc}", func(r *http.Request) (any, error) { return performances.remove(s, pair(r)) })
}

func (o *optimizer) addClass(r *http.Request) (any, error) {
	priority, err := strconv.Atoi(r.PathValue("priority"))
	if err != nil {
		return nil, fmt.Errorf("priority: %q is not allowed, must be a whole number from 1 to 100", r.PathValue("priority"))
	}
	e := jsonspec.ServiceClassEntry{Name: r.PathValue("name")}
	e.Priority, e.ModelTargets = priority, []jsonspec.ModelTarget{}
	return e, classes.put(&o.system, e)
}

// addTargets to a class, each in the place of that of its model.
func (o *optimizer) addTargets(r *http.Request) (any, error) {
	var e jsonspec.ServiceClassEntry
	if err := object(r, &e); err != nil {
		return nil, err
	}
	i, err := classes.index(&o.system, e.Name)
	if err != nil {
		return nil, err
	}
	c := o.system.ServiceClasses.Spec[i]
	if e.Priority != c.Priority {
		return nil, fmt.Errorf("priority: %d is not allowed, service class %s has %d", e.Priority, c.Name, c.Priority)
	}
	targets := slices.Clone(c.ModelTargets)
	targets = slices.DeleteFunc(targets, func(t jsonspec.ModelTarget) bool {
		return slices.ContainsFunc(e.ModelTargets, func(n jsonspec.ModelTarget) bool { return n.Model == t.Model })
	})
	c.ModelTargets = append(targets, e.ModelTargets...)
	return c, classes.put(&o.system, c)
}

// target of a model in a class; it may be removed.
func (o *optimizer) target(r *http.Request, remove bool) (any, error) {
	i, err := classes.index(&o.system, r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	c, model := &o.system.ServiceClasses.Spec[i], r.PathValue("model")
	j := slices.IndexFunc(c.ModelTargets, func(t jsonspec.ModelTarget) bool { return t.Model == model })
	if j < 0 {
		return nil, notFound("model %s not found in service class %s", model, c.Name)
	}
	t := c.ModelTargets[j]
	if remove {
		c.ModelTargets = slices.Delete(slices.Clone(c.ModelTargets), j, j+1)
	}
	return t, nil
}

// modelNames are those with performance and those that were added without, sorted.
func modelNames(s *jsonspec.System) []string {
	names := []string{}
	for _, m := range s.Models.Spec {
		names = append(names, m.Name)
	}
	for _, m := range s.Models.Info {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// getModel is the performance of a model on all accelerators.
func getModel(s *jsonspec.System, name string) (any, error) {
	if !slices.Contains(modelNames(s), name) {
		return nil, notFound("model %s not found", name)
	}
	d := jsonspec.ModelData{Spec: []jsonspec.PerformanceEntry{}}
	for _, m := range s.Models.Spec {
		if m.Name == name {
			d.Spec = append(d.Spec, m)
		}
	}
	return d, nil
}

// addModel without performance, in the place of one that is there.
func addModel(s *jsonspec.System, name string) (any, error) {
	if _, err := removeModel(s, name); err != nil && len(modelNames(s)) >= maxEntries {
		return nil, fmt.Errorf("models: more than %d are not kept", maxEntries)
	}
	s.Models.Info = append(slices.Clone(s.Models.Info), jsonspec.ModelInfo{Name: name})
	return name, nil
}

func removeModel(s *jsonspec.System, name string) (any, error) {
	if !slices.Contains(modelNames(s), name) {
		return nil, notFound("model %s not found", name)
	}
	s.Models.Spec = slices.DeleteFunc(performances.all(s), func(m jsonspec.PerformanceEntry) bool { return m.Name == name })
	s.Models.Info = slices.DeleteFunc(slices.Clone(s.Models.Info), func(m jsonspec.ModelInfo) bool { return m.Name == name })
	return name, nil
}

func (o *optimizer) addPerformance(r *http.Request) (any, error) {
	var e jsonspec.PerformanceEntry
	if err := object(r, &e); err != nil {
		return nil, err
	}
	if !slices.Contains(modelNames(&o.system), e.Name) {
		return nil, notFound("model %s not found", e.Name)
	}
	return e, performances.put(&o.system, e)
}
