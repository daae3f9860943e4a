package observe

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// limits are the LimitRanges of a namespace, sorted by name.
type limits []*corev1.LimitRange

// limitsOf namespaces.
func limitsOf(ranges []corev1.LimitRange) map[string]limits {
	by := map[string]limits{}
	for i := range ranges {
		by[ranges[i].Namespace] = append(by[ranges[i].Namespace], &ranges[i])
	}
	for _, l := range by {
		slices.SortFunc(l, func(a, b *corev1.LimitRange) int { return strings.Compare(a.Name, b.Name) })
	}
	return by
}

// admitted is a pod as the API server would make it now of what its author wrote, and what it would refuse of it, as its plugin LimitRanger does:
// k8s.io/kubernetes/plugin/pkg/admission/limitranger, of which this is a version that names the fields.
func (l limits) admitted(spec *corev1.PodSpec, annotations map[string]string) (pod *corev1.PodSpec, refused []string) {
	pod = spec.DeepCopy()
	all := containersOf(pod)
	for _, c := range all {
		c.unset(annotations[limitRangerAnnotation])
	}
	for _, c := range all {
		c.fill(c.Resources.Limits, nil)
		limits, requests := l.defaults()
		c.fill(requests, limits)
	}
	defaultPodRequests(pod)
	return pod, l.refusals(pod, all)
}

// limitRangerAnnotation says which values of a pod the API server has filled in.
const limitRangerAnnotation = "kubernetes.io/limit-ranger"

// container of a pod, with the path of its field.
type container struct {
	*corev1.Container
	field, kind string
}

func containersOf(pod *corev1.PodSpec) []container {
	var all []container
	add := func(list []corev1.Container, field, kind string) {
		for i := range list {
			all = append(all, container{&list[i], fmt.Sprintf("%s[%s]", field, cmp.Or(list[i].Name, fmt.Sprint(i))), kind})
		}
	}
	add(pod.Containers, "containers", "container")
	add(pod.InitContainers, "initContainers", "init container")
	return all
}

// unset what the API server has filled in by the LimitRanges of then, which the annotation says: "LimitRanger plugin set: cpu, memory request for
// container engine; cpu limit for init container fetch".
func (c container) unset(annotation string) {
	_, words, _ := strings.Cut(annotation, ": ")
	for phrase := range strings.SplitSeq(words, "; ") {
		if names, is := strings.CutSuffix(phrase, fmt.Sprintf(" request for %s %s", c.kind, c.Name)); is {
			drop(c.Resources.Requests, names)
		}
		if names, is := strings.CutSuffix(phrase, fmt.Sprintf(" limit for %s %s", c.kind, c.Name)); is {
			drop(c.Resources.Limits, names)
		}
	}
}

func drop(list corev1.ResourceList, names string) {
	for name := range strings.SplitSeq(names, ", ") {
		delete(list, corev1.ResourceName(name))
	}
}

// fill in requests and limits that are not set.
func (c container) fill(requests, limits corev1.ResourceList) {
	r := &c.Resources
	for _, f := range []struct {
		to   *corev1.ResourceList
		from corev1.ResourceList
	}{{&r.Limits, limits}, {&r.Requests, requests}} {
		for name, n := range f.from {
			if _, set := (*f.to)[name]; !set {
				if *f.to == nil {
					*f.to = corev1.ResourceList{}
				}
				(*f.to)[name] = n.DeepCopy()
			}
		}
	}
}

// defaultPodRequests fills in what is requested of a pod as a whole, where limits of it say so and no container does.
func defaultPodRequests(pod *corev1.PodSpec) {
	if pod.Resources == nil {
		return
	}
	of := resourcehelper.AggregateContainerRequests(&corev1.Pod{Spec: *pod}, resourcehelper.PodResourcesOptions{})
	for name, n := range pod.Resources.Limits {
		_, asked := of[name]
		if _, set := pod.Resources.Requests[name]; !set && !asked {
			if pod.Resources.Requests == nil {
				pod.Resources.Requests = corev1.ResourceList{}
			}
			pod.Resources.Requests[name] = n.DeepCopy()
		}
	}
}

// defaults of a container. Where several LimitRanges have one for a resource, the API server takes either: the largest counts.
func (l limits) defaults() (limits, requests corev1.ResourceList) {
	limits, requests = corev1.ResourceList{}, corev1.ResourceList{}
	most := func(sum, list corev1.ResourceList) {
		for name, n := range list {
			if has, set := sum[name]; !set || has.Cmp(n) < 0 {
				sum[name] = n
			}
		}
	}
	for _, r := range l {
		theirs := [2]corev1.ResourceList{{}, {}} // of one object the last item counts
		for i := range r.Spec.Limits {
			if item := &r.Spec.Limits[i]; item.Type == corev1.LimitTypeContainer {
				maps.Copy(theirs[0], item.Default)
				maps.Copy(theirs[1], item.DefaultRequest)
			}
		}
		most(limits, theirs[0])
		most(requests, theirs[1])
	}
	return limits, requests
}

// refusals of a pod: what LimitRanges do not allow, sorted by these and their fields.
func (l limits) refusals(pod *corev1.PodSpec, all []container) (refused []string) {
	whole := &corev1.Pod{Spec: *pod}
	options := resourcehelper.PodResourcesOptions{ExcludeOverhead: true}
	for _, r := range l {
		for i := range r.Spec.Limits {
			b := bound{fmt.Sprintf("LimitRange %s/%s: spec.limits[%d]", r.Namespace, r.Name, i), &r.Spec.Limits[i]}
			switch b.Type {
			case corev1.LimitTypeContainer:
				for _, c := range all {
					refused = append(refused, b.refuses(c.field, c.Resources.Requests, c.Resources.Limits)...)
				}
			case corev1.LimitTypePod:
				refused = append(refused, b.refuses("the pod", resourcehelper.PodRequests(whole, options), resourcehelper.PodLimits(whole, options))...)
			}
		}
	}
	return refused
}

// bound is one item of a LimitRange.
type bound struct {
	where string
	*corev1.LimitRangeItem
}

// refuses says what of some requests and limits is out of bounds.
func (b bound) refuses(whose string, requests, limits corev1.ResourceList) (refused []string) {
	say := func(field, allows string, n resource.Quantity, what string, name corev1.ResourceName, is string) {
		refused = append(refused, fmt.Sprintf("%s.%s[%s] allows %s %s for a %s, but %s[%s] of %s is %s", b.where, field, name, allows, n.String(), b.Type, what, name, whose, is))
	}
	lists := map[string]corev1.ResourceList{"requests": requests, "limits": limits}
	for _, c := range []struct {
		field, allows, required string
		bounds                  corev1.ResourceList
		sign                    int
	}{{"min", "at least", "requests", b.Min, -1}, {"max", "at most", "limits", b.Max, 1}} {
		for _, name := range slices.Sorted(maps.Keys(c.bounds)) {
			for _, what := range []string{"requests", "limits"} {
				switch n, set := lists[what][name]; {
				case !set && what == c.required:
					say(c.field, c.allows, c.bounds[name], what, name, "not set")
				case set && c.sign*n.Cmp(c.bounds[name]) > 0:
					say(c.field, c.allows, c.bounds[name], what, name, n.String())
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.MaxLimitRequestRatio)) {
		most, request, limit := b.MaxLimitRequestRatio[name], requests[name], limits[name]
		ratio := limit.AsApproximateFloat64() / request.AsApproximateFloat64()
		if request.IsZero() || limit.IsZero() || ratio > most.AsApproximateFloat64() {
			say("maxLimitRequestRatio", "at most", most, "limits over requests", name, fmt.Sprintf("%s over %s", limit.String(), request.String()))
		}
	}
	return refused
}
