package loop

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/realise"
)

// httpRoute is as much of an HTTPRoute as is read.
type httpRoute struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Rules []struct {
			BackendRefs []routeBackend `json:"backendRefs"`
		} `json:"rules"`
	} `json:"spec"`
}

// routeBackend is one of the backends that a rule splits its requests over.
type routeBackend struct {
	jsonspec.BackendRef `json:",inline"`
	Namespace           string `json:"namespace"`
	// Weight is 1 where none is given.
	Weight *int `json:"weight"`
}

var httpRouteKind = schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"}

func (b *routeBackend) weight() int {
	if b.Weight == nil {
		return 1
	}
	return *b.Weight
}

// is says whether the backend is the one that a variant names.
func (b *routeBackend) is(ref *jsonspec.BackendRef, namespace string) bool {
	return ref != nil && b.Group == ref.Group && cmp.Or(b.Kind, jsonspec.KindService) == cmp.Or(ref.Kind, jsonspec.KindService) && b.Name == ref.Name &&
		cmp.Or(b.Namespace, namespace) == namespace
}

// split is a rule of a route that splits requests over the variants of a server.
type split struct {
	rule int
	// backends in the order of the variants, by where they stand in the rule, and their weights.
	backends, weights []int
	// others are the backends of nobody known, and stay as they are.
	others []string
}

// splitsOf are the rules of a route in which two or more of a server's backends stand, and what is wrong with them.
func splitsOf(r *httpRoute, s *v1alpha1.Server) (splits []split, faults []string) {
	for i := range r.Spec.Rules {
		x := split{rule: i, backends: make([]int, len(s.Spec.Variants)), weights: make([]int, len(s.Spec.Variants))}
		list := r.Spec.Rules[i].BackendRefs
		ours := map[int]bool{}
		var missing, twice []string
		for k := range s.Spec.Variants {
			v := &s.Spec.Variants[k]
			switch at := indices(list, func(b routeBackend) bool { return b.is(v.BackendRef, s.Namespace) }); len(at) {
			case 0:
				missing = append(missing, fmt.Sprintf("spec.rules[%d] has no backend %s of variant %s", i, nameOf(v.BackendRef), v.Name))
			case 1:
				x.backends[k], x.weights[k], ours[at[0]] = at[0], list[at[0]].weight(), true
			default:
				ours[at[0]] = true
				twice = append(twice, fmt.Sprintf("spec.rules[%d] has the backend %s of variant %s %d times", i, nameOf(v.BackendRef), v.Name, len(at)))
			}
		}
		if len(ours) < 2 {
			continue // it sends what it matches to one of them on purpose, or to none
		}
		for k := range list {
			if !ours[k] {
				x.others = append(x.others, list[k].Name)
			}
		}
		if sum := sumOf(x.weights); len(x.others) > 0 && len(missing)+len(twice) == 0 && sum < realise.Thousandths {
			faults = append(faults, fmt.Sprintf("spec.rules[%d] also has the backends %s: let the weights of the server's add up to %d or more, not %d, so that the sum can stay", i,
				strings.Join(x.others, ", "), realise.Thousandths, sum))
		}
		faults = append(faults, append(missing, twice...)...)
		splits = append(splits, x)
	}
	if len(splits) == 0 {
		faults = append(faults, "none of its rules splits requests over two or more backends of the variants")
	}
	return splits, faults
}

// indices of all that are so.
func indices[T any](list []T, so func(T) bool) (at []int) {
	for i := range list {
		if so(list[i]) {
			at = append(at, i)
		}
	}
	return at
}

func sumOf(list []int) (sum int) {
	for _, n := range list {
		sum += n
	}
	return sum
}

func nameOf(ref *jsonspec.BackendRef) string {
	if ref == nil {
		return "(it names none)"
	}
	return cmp.Or(ref.Kind, jsonspec.KindService) + " " + ref.Name
}

// rivals are the other Servers whose backends stand in a rule that is split for a server, by a route that they name too.
func rivals(r *httpRoute, s *v1alpha1.Server, splits []split, servers []v1alpha1.Server) (names []string) {
	for i := range servers {
		o := &servers[i]
		if o.Namespace != s.Namespace || o.Name == s.Name || o.Spec.RouteRef == nil || o.Spec.RouteRef.Name != r.Name {
			continue
		}
		theirs, _ := splitsOf(r, o)
		if slices.ContainsFunc(theirs, func(x split) bool { return slices.ContainsFunc(splits, func(y split) bool { return x.rule == y.rule }) }) {
			names = append(names, o.Name)
		}
	}
	return names
}

// operation of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// weighing is what is to become of a route.
type weighing struct {
	patch []operation
	// inForce are the weights of the variants once the patch is applied.
	inForce []v1alpha1.VariantWeight
	// changed says that somebody changed the weights that were in force.
	changed bool
}

// weigh finds the weights that give the variants of a server their shares in the splits of a route. Lists of an HTTPRoute are atomic to server-side apply,
// so that who applies a weight applies all rules: a JSON patch changes nothing but weights, and tests that all that it is about is as it was read.
func weigh(r *httpRoute, s *v1alpha1.Server, splits []split, shares []float64) weighing {
	next := realise.Weights(shares, realise.Thousandths)
	last, known := weightsOf(s)
	w, asLast := weighing{inForce: s.Status.Weights}, known
	for i := range splits {
		x := &splits[i]
		changed, differs := known && realise.Noticeable(x.weights, last), realise.Noticeable(x.weights, next)
		w.changed, asLast = w.changed || changed && differs, asLast && !changed && !differs
		if differs {
			sum := realise.Thousandths
			if len(x.others) > 0 {
				sum = sumOf(x.weights)
			}
			w.patch = append(w.patch, x.write(r, realise.Weights(shares, sum))...)
		}
	}
	if len(w.patch) > 0 {
		w.patch = append([]operation{{"test", "/metadata/uid", r.UID}, {"replace", "/metadata/resourceVersion", r.ResourceVersion}}, w.patch...)
	}
	if !asLast {
		w.inForce = nil
		for k, n := range next {
			w.inForce = append(w.inForce, v1alpha1.VariantWeight{Variant: s.Spec.Variants[k].Name, Weight: n})
		}
	}
	return w
}

// write weights, to backends that are as they were read.
func (x *split) write(r *httpRoute, weights []int) (patch []operation) {
	for k, at := range x.backends {
		b := &r.Spec.Rules[x.rule].BackendRefs[at]
		path := fmt.Sprintf("/spec/rules/%d/backendRefs/%d/", x.rule, at)
		patch = append(patch, operation{"test", path + "name", b.Name})
		if b.Kind != "" {
			patch = append(patch, operation{"test", path + "kind", b.Kind})
		}
		if b.Weight != nil {
			patch = append(patch, operation{"test", path + "weight", *b.Weight})
		}
		if weights[k] != b.weight() {
			patch = append(patch, operation{"add", path + "weight", weights[k]})
		}
	}
	return patch
}

// weightsOf the variants that the status of a server has; false where it has none, or of other variants.
func weightsOf(s *v1alpha1.Server) ([]int, bool) {
	weights := make([]int, len(s.Spec.Variants))
	for k := range s.Spec.Variants {
		i := slices.IndexFunc(s.Status.Weights, func(w v1alpha1.VariantWeight) bool { return w.Variant == s.Spec.Variants[k].Name })
		if i < 0 {
			return nil, false
		}
		weights[k] = s.Status.Weights[i].Weight
	}
	return weights, true
}

// writersOf the rules of a route beside us, by its managed fields.
func writersOf(r *httpRoute) string {
	var names []string
	for _, m := range r.ManagedFields {
		if m.Manager != FieldOwner && m.FieldsV1 != nil && strings.Contains(m.FieldsV1.GetRawString(), `"f:rules"`) {
			names = append(names, m.Manager)
		}
	}
	slices.Sort(names)
	return cmp.Or(strings.Join(slices.Compact(names), ", "), "somebody")
}

// tries to write a route that others write meanwhile, before it waits for the next cycle. Two Servers may have rules of one route.
//
// Tuned: tries; guard against a route that is written without end
const tries = 3

// route has the route of a server split its requests as the plan does, and says so in its next status.
func (c *cycle) route(ctx context.Context, s *v1alpha1.Server, next *v1alpha1.ServerStatus, servers []v1alpha1.Server) {
	next.Weights = nil
	if s.Spec.RouteRef == nil {
		meta.RemoveStatusCondition(&next.Conditions, v1alpha1.ConditionTrafficWeights)
		return
	}
	next.Weights = s.Status.Weights
	var condition metav1.Condition
	var err error
	for try := range tries {
		if condition, err = c.weighOnce(ctx, s, next, servers); !apierrors.IsConflict(err) && !apierrors.IsInvalid(err) || try == tries-1 {
			break
		}
	}
	if err != nil {
		name := "HTTPRoute " + s.Namespace + "/" + s.Spec.RouteRef.Name
		_ = c.refuse(name, err)
		condition = metav1.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonRefused, Message: fmt.Sprintf("%s stays as it is: %v", name, err)}
		if apierrors.IsForbidden(err) {
			condition.Message += "; routes.enabled of the chart gives the right to it"
		}
	}
	condition.Type, condition.ObservedGeneration, condition.LastTransitionTime = v1alpha1.ConditionTrafficWeights, s.Generation, c.report.Time
	meta.SetStatusCondition(&next.Conditions, condition)
}

// weighOnce reads the route and writes its weights where that is worth it. An error is the API server's.
func (c *cycle) weighOnce(ctx context.Context, s *v1alpha1.Server, next *v1alpha1.ServerStatus, servers []v1alpha1.Server) (metav1.Condition, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	not := func(reason, format string, args ...any) (metav1.Condition, error) {
		return metav1.Condition{Status: metav1.ConditionFalse, Reason: reason, Message: fmt.Sprintf(format, args...) + "; weights stay as they are"}, nil
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(httpRouteKind)
	err := c.direct().Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: s.Spec.RouteRef.Name}, u)
	switch {
	case meta.IsNoMatchError(err):
		return not(v1alpha1.ReasonRouteNotFound, "the API server knows no HTTPRoutes: the Gateway API is not installed")
	case apierrors.IsNotFound(err):
		return not(v1alpha1.ReasonRouteNotFound, "spec.routeRef: there is no HTTPRoute %s in namespace %s, and those of other namespaces are not written", s.Spec.RouteRef.Name, s.Namespace)
	case err != nil:
		return metav1.Condition{}, err
	}
	var r httpRoute
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &r); err != nil {
		return metav1.Condition{}, err
	}
	splits, faults := splitsOf(&r, s)
	var parts []jsonspec.AllocationPart
	if next.Desired != nil {
		parts = next.Desired.Parts
	}
	for _, p := range parts {
		if p.Role != "" {
			return not(v1alpha1.ReasonWeightsHeld, "prompts and decodes run apart, on %s: which replicas requests go to first is not for weights to say", p.On())
		}
		if p.Replicas > 0 && s.Spec.VariantOf(p.Accelerator, p.Variant) == "" {
			faults = append(faults, fmt.Sprintf("%s of the plan is of no variant, and has no backend", p.On()))
		}
	}
	if len(faults) > 0 {
		return not(v1alpha1.ReasonRouteInvalid, "HTTPRoute %s: %s", r.Name, strings.Join(faults, "; "))
	}
	if others := rivals(&r, s, splits, servers); len(others) > 0 {
		return not(v1alpha1.ReasonRouteShared, "HTTPRoute %s has rules that the Servers %s ask to be split for them too", r.Name, strings.Join(others, ", "))
	}
	shares := realise.Traffic(&s.Spec.ServerBinding, parts, next.Current)
	switch {
	case next.Desired == nil:
		return not(v1alpha1.ReasonWeightsHeld, "there is no plan yet")
	case shares == nil:
		return not(v1alpha1.ReasonWeightsHeld, "no variant has a ready replica")
	case c.dryRun():
		return not(v1alpha1.ReasonDryRun, "dry run")
	}
	w := weigh(&r, s, splits, shares)
	if len(w.patch) > 0 {
		text, err := json.Marshal(w.patch)
		if err != nil {
			return metav1.Condition{}, err
		}
		if err := c.Client.Patch(ctx, u, client.RawPatch(types.JSONPatchType, text), client.FieldOwner(FieldOwner)); err != nil {
			return metav1.Condition{}, err
		}
	}
	next.Weights = w.inForce
	if w.changed {
		return metav1.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonWeightsChanged, Message: fmt.Sprintf(
			"%s changed the weights of HTTPRoute %s, which are written again: leave them out of what applies the route, or remove spec.routeRef", writersOf(&r), r.Name)}, nil
	}
	return metav1.Condition{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonWeightsInPlace, Message: "the route splits requests as the plan does, as far as its replicas are ready"}, nil
}
