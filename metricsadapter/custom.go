package metricsadapter

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// An object is what a custom metric is asked about: a Server, or a workload that a Server scales.
type object struct {
	namespace string
	resource  schema.GroupResource
	name      string
}

func (o object) String() string {
	return fmt.Sprintf("%s %s/%s", o.resource, o.namespace, o.name)
}

// GetMetricByName answers a metric of one Server, or of one workload that a Server scales.
func (p *Provider) GetMetricByName(_ context.Context, name types.NamespacedName, info provider.CustomMetricInfo, selector labels.Selector,
) (*custom_metrics.MetricValue, error) {
	m, f := p.metric(info.Metric)
	if f != nil {
		return nil, f
	}
	q, err := parseSelector(selector)
	if err != nil {
		return nil, &fault{OutcomeBadSelector, err.Error()}
	}
	v, f := p.valueOf(object{name.Namespace, info.GroupResource, name.Name}, m, q)
	if f != nil {
		return nil, f
	}
	return v, nil
}

// GetMetricBySelector answers a metric of the Servers of the namespace that carry the labels, or of all workloads that Servers scale. Each
// value names its object and stands alone, so an object that has none is left out; with none at all the reasons are the answer.
func (p *Provider) GetMetricBySelector(_ context.Context, namespace string, objects labels.Selector, info provider.CustomMetricInfo,
	selector labels.Selector,
) (*custom_metrics.MetricValueList, error) {
	m, f := p.metric(info.Metric)
	if f != nil {
		return nil, f
	}
	q, err := parseSelector(selector)
	if err != nil {
		return nil, &fault{OutcomeBadSelector, err.Error()}
	}
	found, f := p.objects(namespace, info.GroupResource, objects)
	if f != nil {
		return nil, f
	}
	list := &custom_metrics.MetricValueList{}
	var faults []*fault
	for _, o := range found {
		v, f := p.valueOf(o, m, q)
		if f != nil {
			faults = append(faults, f)
			continue
		}
		list.Items = append(list.Items, *v)
	}
	if len(list.Items) > 0 {
		return list, nil
	}
	if len(faults) > 0 {
		return nil, joinFaults(faults)
	}
	return nil, &fault{OutcomeNoServer, fmt.Sprintf("no server of namespace %q has or scales an object of %s that matches", namespace,
		info.GroupResource)}
}

// ListAllMetrics lists the metrics of Servers and of Deployments, the usual workload; other kinds of workload are answered all the same.
func (p *Provider) ListAllMetrics() []provider.CustomMetricInfo {
	var infos []provider.CustomMetricInfo
	for _, of := range []schema.GroupResource{{Group: "apps", Resource: "deployments"}, ServersResource} {
		for _, m := range metrics {
			infos = append(infos, provider.CustomMetricInfo{GroupResource: of, Namespaced: true, Metric: m.name})
		}
	}
	return infos
}

// objects of the resource that have metrics and match the selector, in order of name. Of workloads the labels are not known: all are meant.
func (p *Provider) objects(namespace string, of schema.GroupResource, selector labels.Selector) ([]object, *fault) {
	if of != ServersResource && selector != nil && !selector.Empty() {
		return nil, &fault{OutcomeBadSelector, fmt.Sprintf(
			"label selector %q: the labels of %s are not known here; name the object, or select %s", selector, of, ServersResource)}
	}
	var found []object
	for _, server := range byName(p.servers.List(namespace)) {
		if of == ServersResource {
			if selector == nil || selector.Matches(labels.Set(server.Labels)) {
				found = append(found, object{namespace, of, server.Name})
			}
			continue
		}
		for _, ref := range ScaleTargets(server) {
			if Workload(ref) == of {
				found = append(found, object{namespace, of, ref.Name})
			}
		}
	}
	return found, nil
}

// valueOf an object: the one value that its server has for it.
func (p *Provider) valueOf(o object, m metric, q query) (*custom_metrics.MetricValue, *fault) {
	server, reference, f := p.resolve(o, &q)
	if f != nil {
		return nil, f
	}
	values, f := q.values(m, server, p.now())
	if f != nil {
		return nil, f
	}
	if len(values) != 1 {
		return nil, &fault{OutcomeNoValue, fmt.Sprintf("%s of %s: the metric selector %q matches %d values; it must match one", m.name, o,
			q.selector, len(values))}
	}
	return &custom_metrics.MetricValue{
		DescribedObject: reference,
		Metric:          custom_metrics.MetricIdentifier{Name: m.name},
		Timestamp:       values[0].time,
		Value:           values[0].quantity,
	}, nil
}

// resolve finds the server of an object and narrows the query to the object's part of it.
func (p *Provider) resolve(o object, q *query) (*v1alpha1.Server, custom_metrics.ObjectReference, *fault) {
	if o.resource == ServersResource {
		server, found := p.servers.Get(o.namespace, o.name)
		if !found {
			return nil, custom_metrics.ObjectReference{}, &fault{OutcomeNoServer, fmt.Sprintf("no server %s/%s", o.namespace, o.name)}
		}
		return server, custom_metrics.ObjectReference{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: "Server", Namespace: o.namespace, Name: o.name, UID: server.UID,
		}, nil
	}
	owners := p.servers.ScaledBy(o.namespace, o.resource, o.name)
	switch len(owners) {
	case 0:
		return nil, custom_metrics.ObjectReference{}, &fault{OutcomeNoServer, fmt.Sprintf("no server scales %s", o)}
	case 1:
	default:
		return nil, custom_metrics.ObjectReference{}, &fault{OutcomeNoValue, fmt.Sprintf(
			"%s is the scale target of the servers %s; it must be that of one", o, serverNames(owners))}
	}
	ref, f := narrow(owners[0], o, q)
	return owners[0], custom_metrics.ObjectReference{
		APIVersion: ref.APIVersion, Kind: ref.Kind, Namespace: o.namespace, Name: o.name,
	}, f
}

// narrow restricts the query to the variant that the workload is of, where it is not the server's own scale target.
func narrow(server *v1alpha1.Server, o object, q *query) (jsonspec.ScaleTargetRef, *fault) {
	is := func(ref jsonspec.ScaleTargetRef) bool { return ref.Name == o.name && Workload(ref) == o.resource }
	if own := server.Spec.ScaleTargetRef; own != nil && is(*own) {
		return *own, nil
	}
	var of []jsonspec.Variant
	for _, variant := range server.Spec.Variants {
		if is(variant.ScaleTargetRef) {
			of = append(of, variant)
		}
	}
	switch len(of) {
	case 0:
		return jsonspec.ScaleTargetRef{}, &fault{OutcomeNoServer, fmt.Sprintf("server %s no longer scales %s", describe(server, scope{}), o)}
	case 1:
		requirements, _ := labels.Set{labelVariant: of[0].Name}.AsSelector().Requirements()
		q.selector = q.selector.Add(requirements...)
		q.level.byVariant = true
		return of[0].ScaleTargetRef, nil
	default:
		return jsonspec.ScaleTargetRef{}, &fault{OutcomeNoValue, fmt.Sprintf("%s is the scale target of the variants %s and %s of server %s; it must be that of one",
			o, of[0].Name, of[1].Name, describe(server, scope{}))}
	}
}

func serverNames(servers []*v1alpha1.Server) string {
	names := ""
	for i, server := range byName(servers) {
		if i > 0 {
			names += ", "
		}
		names += server.Name
	}
	return names
}
