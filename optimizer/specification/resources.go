package specification

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/fleet"
)

// Resources are the custom resources that say the same as a system, capacity excepted: a cluster's capacity is that of its nodes.
type Resources struct {
	Accelerators []v1alpha1.Accelerator
	Models       []v1alpha1.Model
	// Estimates are what was learned of models.
	Estimates      []v1alpha1.Estimate
	ServiceClasses []v1alpha1.ServiceClass
	Servers        []v1alpha1.Server
	Optimizer      *v1alpha1.Optimizer
	// Namespaces are the labels of namespaces, by name.
	Namespaces map[string]map[string]string
	// Shares that were read from elsewhere than the Optimizer.
	Shares []v1alpha1.Share
	// Cohorts that were read from elsewhere.
	Cohorts []jsonspec.Cohort
}

// ToResources writes a system as custom resources, its servers in the given namespace where they name none. A name that Kubernetes does not allow is replaced
// by one that it does and kept in the annotation inferno.platform.ai/name. [FromResources] undoes it. Plugs that no Optimizer can name are an error, which joins all
// of them; the rest is written nevertheless.
func ToResources(s *jsonspec.System, namespace string) (Resources, error) {
	var r Resources
	for _, a := range s.Accelerators.Spec {
		r.Accelerators = append(r.Accelerators, v1alpha1.Accelerator{TypeMeta: v1alpha1.TypeMeta("Accelerator"), ObjectMeta: objectMeta(a.Name, ""), Spec: acceleratorSpec(&a.AcceleratorSpec)})
	}
	r.Models = models(&s.Models)
	for _, c := range s.ServiceClasses.Spec {
		r.ServiceClasses = append(r.ServiceClasses, v1alpha1.ServiceClass{TypeMeta: v1alpha1.TypeMeta("ServiceClass"), ObjectMeta: objectMeta(c.Name, ""), Spec: classSpec(&c.ServiceClassSpec, r.Models)})
	}
	for _, e := range s.Servers.Spec {
		o := server(e, cmp.Or(e.Namespace, namespace))
		o.Spec.Model, o.Spec.ServiceClass = reference(e.Model, r.Models), reference(e.Class, r.ServiceClasses)
		r.Servers = append(r.Servers, o)
	}
	o := s.Optimizer.Spec
	if o.MILPSolver && o.Solver == nil {
		o.Solver = &jsonspec.Plug{Name: "milp"}
	}
	choices, faults := plugs(&o.Plugs)
	r.Optimizer = &v1alpha1.Optimizer{TypeMeta: v1alpha1.TypeMeta("Optimizer"), ObjectMeta: objectMeta("default", ""), Spec: v1alpha1.OptimizerSpec{
		PlanPolicy: policy(&o.SolverPolicy), Plugs: choices, Elastic: elastic(s.Capacity.Elastic), Cohorts: o.Cohorts,
	}}
	for i := range o.Shares {
		r.Optimizer.Spec.Shares = append(r.Optimizer.Spec.Shares, share(&o.Shares[i]))
	}
	return r, errors.Join(faults...)
}

// FromResources writes custom resources as a system, sorted by name. A server is named namespace/name, unless it carries the annotation
// inferno.platform.ai/name and no other server carries the same; the second result maps the names to indices into r.Servers.
func FromResources(r Resources) (*jsonspec.System, map[string]int) {
	s := new(jsonspec.System)
	for i := range r.Accelerators {
		a := &r.Accelerators[i]
		s.Accelerators.Spec = append(s.Accelerators.Spec, jsonspec.AcceleratorEntry{Name: Name(a), AcceleratorSpec: fromAcceleratorSpec(&a.Spec)})
	}
	modelNames := map[string]string{}
	for i := range r.Models {
		m := &r.Models[i]
		modelNames[m.Name] = Name(m)
		fromModel(m, &s.Models)
	}
	classNames := map[string]string{}
	for i := range r.ServiceClasses {
		c := &r.ServiceClasses[i]
		classNames[c.Name] = Name(c)
		s.ServiceClasses.Spec = append(s.ServiceClasses.Spec, jsonspec.ServiceClassEntry{
			Name: Name(c), ServiceClassSpec: fromClassSpec(&c.Spec, r.servedTo(c.Name), modelNames),
		})
	}
	index, shares := map[string]int{}, r.shares()
	for i, name := range serverNames(r.Servers) {
		index[name] = i
		e := entry(&r.Servers[i], name)
		e.Model, e.Class = resolve(modelNames, e.Model), resolve(classNames, e.Class)
		e.Share = r.shareOf(r.Servers[i].Namespace, shares)
		s.Servers.Spec = append(s.Servers.Spec, e)
	}
	if o := r.Optimizer; o != nil {
		s.Optimizer.Spec = jsonspec.OptimizerEntry{SolverPolicy: fromPolicy(&o.Spec.PlanPolicy), Plugs: fromPlugs(&o.Spec.Plugs)}
		s.Capacity.Elastic = fromElastic(o.Spec.Elastic)
	}
	s.Optimizer.Spec.Cohorts = r.cohorts()
	for i := range shares {
		s.Optimizer.Spec.Shares = append(s.Optimizer.Spec.Shares, fromShare(&shares[i]))
	}
	Sort(s)
	return s, index
}

// named is a resource of type T by its pointer.
type named[T any] interface {
	*T
	metav1.Object
}

// reference is how a server names another resource: by the name that resource has in Kubernetes. A name that no resource has stays as it
// is, so that a person finds it again.
func reference[T any, P named[T]](name string, list []T) string {
	for i := range list {
		if P(&list[i]).GetName() == ResourceName(name) {
			return ResourceName(name)
		}
	}
	return name
}

func objectMeta(name, namespace string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Name: ResourceName(name), Namespace: namespace}
	if m.Name != name {
		m.Annotations = map[string]string{v1alpha1.NameAnnotation: name}
	}
	return m
}

// ResourceName turns any name into one that Kubernetes allows. A name it allows already stays as it is; others get a suffix that keeps
// names apart that would otherwise become equal.
func ResourceName(name string) string {
	if len(validation.IsDNS1123Label(name)) == 0 {
		return name
	}
	mapped := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		default:
			return '-'
		}
	}, name)
	sum := sha256.Sum256([]byte(name))
	const longest = validation.DNS1123LabelMaxLength - 9
	mapped = strings.Trim(mapped[:min(len(mapped), longest)], "-")
	return strings.TrimPrefix(mapped+"-"+hex.EncodeToString(sum[:4]), "-")
}

// Name is the name of a resource in the specification.
func Name(o metav1.Object) string {
	if name, ok := o.GetAnnotations()[v1alpha1.NameAnnotation]; ok && ResourceName(name) == o.GetName() {
		return name
	}
	return o.GetName()
}

func resolve(names map[string]string, resource string) string {
	return cmp.Or(names[resource], resource)
}

// serverNames are the names of servers in the specification, unique, in the order of the servers.
func serverNames(servers []v1alpha1.Server) []string {
	count := map[string]int{}
	for i := range servers {
		count[servers[i].Annotations[v1alpha1.NameAnnotation]]++
	}
	names := make([]string, len(servers))
	for i := range servers {
		s := &servers[i]
		names[i] = s.Namespace + "/" + s.Name
		if a := s.Annotations[v1alpha1.NameAnnotation]; a != "" && count[a] == 1 && !strings.Contains(a, "/") {
			names[i] = a
		}
	}
	return names
}

func server(e jsonspec.ServerEntry, namespace string) v1alpha1.Server {
	s := v1alpha1.Server{TypeMeta: v1alpha1.TypeMeta("Server"), ObjectMeta: objectMeta(e.Name, namespace)}
	if s.Annotations == nil {
		s.Annotations = map[string]string{v1alpha1.NameAnnotation: e.Name}
	}
	s.Spec = v1alpha1.ServerSpec{
		MinReplicas: &e.MinNumReplicas, AcceleratorChange: either(e.KeepAccelerator, v1alpha1.AcceleratorChangeForbidden), MaxBatchSize: e.MaxBatchSize,
		MaxBatchedTokens: e.MaxBatchedTokens, MaxQueueSize: e.MaxQueueSize, Routing: e.Routing, ServerBinding: e.ServerBinding,
	}
	if e.MaxNumReplicas > 0 {
		s.Spec.MaxReplicas = &e.MaxNumReplicas
	}
	if a := e.CurrentAlloc; a != nil {
		s.Status.Current = observedParts(a)
		for _, p := range s.Status.Current {
			s.Status.ReadyReplicas += p.Ready
		}
		s.Status.CostPerHour = a.Cost
		s.Status.Measured = latencies(a)
		if a.Load != nil {
			s.Status.Load = &v1alpha1.ObservedLoad{Load: *a.Load}
			if e.Observation != nil {
				s.Status.Load.ObservedAt = e.Observation.Time
			}
		}
	}
	if e.DesiredAlloc != nil {
		s.Status.Desired = Desired(e.DesiredAlloc)
	}
	return s
}

func observedParts(a *jsonspec.Allocation) []jsonspec.ObservedPart {
	if len(a.Parts) == 0 {
		if a.Accelerator == "" && a.NumReplicas == 0 && a.MaxBatch == 0 {
			return nil
		}
		return []jsonspec.ObservedPart{{Accelerator: a.Accelerator, Variant: a.Variant, Ready: a.NumReplicas, MaxBatchSize: a.MaxBatch, MaxBatchedTokens: a.MaxBatchedTokens}}
	}
	parts := make([]jsonspec.ObservedPart, 0, len(a.Parts))
	for _, p := range a.Parts {
		parts = append(parts, jsonspec.ObservedPart{Accelerator: p.Accelerator, Variant: p.Variant, Ready: p.Replicas, MaxBatchSize: p.MaxBatchSize, MaxBatchedTokens: p.MaxBatchedTokens})
	}
	return parts
}

func latencies(a *jsonspec.Allocation) *v1alpha1.Latencies {
	if a.ITLAverage == 0 && a.TTFTAverage == 0 {
		return nil
	}
	// In the specification 0 is not known.
	given := func(ms float64) *float64 {
		if ms == 0 {
			return nil
		}
		return &ms
	}
	return &v1alpha1.Latencies{TTFT: given(a.TTFTAverage), ITL: given(a.ITLAverage)}
}

// Desired writes an allocation as the plan of a Server, without its times.
func Desired(a *jsonspec.Allocation) *v1alpha1.DesiredState {
	d := &v1alpha1.DesiredState{
		Replicas: a.NumReplicas, Parts: a.Parts, CostPerHour: a.Cost, Predicted: latencies(a), Load: a.Load, BestEffort: a.BestEffort, AdmissibleRate: a.AdmissibleRate, Reason: a.Reason,
	}
	if len(d.Parts) == 0 && a.Accelerator != "" {
		d.Parts = []jsonspec.AllocationPart{{Accelerator: a.Accelerator, Variant: a.Variant, TopologyKey: a.TopologyKey, Replicas: a.NumReplicas, MaxBatchSize: a.MaxBatch, MaxBatchedTokens: a.MaxBatchedTokens, Ahead: a.Ahead}}
	}
	return d
}

// entry writes a Server as an entry of the specification; model and class are still names of resources.
func entry(s *v1alpha1.Server, name string) jsonspec.ServerEntry {
	e := jsonspec.ServerEntry{
		Name: name, Namespace: s.Namespace, Class: s.Spec.ServiceClass, Model: s.Spec.Model, MinNumReplicas: 1,
		ServerPolicy: jsonspec.ServerPolicy{
			KeepAccelerator: s.Spec.AcceleratorChange == v1alpha1.AcceleratorChangeForbidden, MaxBatchSize: s.Spec.MaxBatchSize,
			MaxBatchedTokens: s.Spec.MaxBatchedTokens, MaxQueueSize: s.Spec.MaxQueueSize, Routing: s.Spec.Routing,
		},
		ServerBinding: s.Spec.ServerBinding,
	}
	if s.Spec.MinReplicas != nil {
		e.MinNumReplicas = *s.Spec.MinReplicas
	}
	if s.Spec.MaxReplicas != nil {
		e.MaxNumReplicas = *s.Spec.MaxReplicas
	}
	e.CurrentAlloc = Current(&s.Status)
	if d := s.Status.Desired; d != nil {
		e.DesiredAlloc = FromDesired(d)
	}
	return e
}

// Current is what a Server runs on now as an allocation; nil where its status says nothing.
func Current(st *v1alpha1.ServerStatus) *jsonspec.Allocation {
	if st.Load == nil && len(st.Current) == 0 && st.Measured == nil && st.CostPerHour == 0 {
		return nil
	}
	a := &jsonspec.Allocation{Cost: st.CostPerHour}
	if st.Load != nil {
		l := st.Load.Load
		a.Load = &l
	}
	if st.Measured != nil {
		a.ITLAverage, a.TTFTAverage = fleet.At(st.Measured.ITL).Or(0), fleet.At(st.Measured.TTFT).Or(0)
	}
	parts := make([]jsonspec.AllocationPart, 0, len(st.Current))
	for _, p := range st.Current {
		parts = append(parts, jsonspec.AllocationPart{Accelerator: p.Accelerator, Variant: p.Variant, Replicas: p.Ready, MaxBatchSize: p.MaxBatchSize, MaxBatchedTokens: p.MaxBatchedTokens})
	}
	setParts(a, parts)
	return a
}

// FromDesired writes the plan of a Server as an allocation. How many replicas are asked for the time being is another matter: more where others are
// to stay until these are ready, fewer where pods make way for a more important server's.
func FromDesired(d *v1alpha1.DesiredState) *jsonspec.Allocation {
	a := &jsonspec.Allocation{Cost: d.CostPerHour, BestEffort: d.BestEffort, AdmissibleRate: d.AdmissibleRate, Reason: d.Reason, Load: d.Load}
	if d.Predicted != nil {
		a.ITLAverage, a.TTFTAverage = fleet.At(d.Predicted.ITL).Or(0), fleet.At(d.Predicted.TTFT).Or(0)
	}
	setParts(a, withoutSurge(d.Parts))
	if len(d.Parts) == 0 {
		a.NumReplicas = d.Replicas - d.Surge
	}
	return a
}

// withoutSurge is what a plan is about: where its replicas shall run, not how they get there.
func withoutSurge(parts []jsonspec.AllocationPart) []jsonspec.AllocationPart {
	var out []jsonspec.AllocationPart
	for _, p := range parts {
		if p.Replicas > 0 || p.Surge == 0 {
			p.Surge = 0
			out = append(out, p)
		}
	}
	return out
}

// setParts fills in where an allocation runs: one part becomes its accelerator, several stay parts.
func setParts(a *jsonspec.Allocation, parts []jsonspec.AllocationPart) {
	a.NumReplicas = 0
	for _, p := range parts {
		a.NumReplicas += p.Replicas
	}
	switch {
	case len(parts) == 1 && parts[0].Share == 0:
		a.Accelerator, a.Variant, a.MaxBatch, a.MaxBatchedTokens = parts[0].Accelerator, parts[0].Variant, parts[0].MaxBatchSize, parts[0].MaxBatchedTokens
		a.TopologyKey, a.Ahead = parts[0].TopologyKey, parts[0].Ahead
	case len(parts) > 0:
		largest := slices.MaxFunc(parts, func(x, y jsonspec.AllocationPart) int { return cmp.Compare(x.Replicas, y.Replicas) })
		a.Accelerator, a.MaxBatch, a.MaxBatchedTokens = largest.Accelerator, largest.MaxBatchSize, largest.MaxBatchedTokens
		a.Parts = parts
	}
}
