package loop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// routed is a Server of two variants, large on h100 and small on a100, whose weights are in a route.
func routed(name string) *v1alpha1.Server {
	variant := func(name, accelerator string) jsonspec.Variant {
		return jsonspec.Variant{
			Name: name, Accelerators: []string{accelerator}, ScaleTargetRef: jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: name},
			BackendRef: &jsonspec.BackendRef{Kind: jsonspec.KindService, Name: name},
		}
	}
	return &v1alpha1.Server{
		ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: name},
		Spec: v1alpha1.ServerSpec{Model: "m", ServiceClass: "c", ServerBinding: jsonspec.ServerBinding{
			Variants: []jsonspec.Variant{variant("large", "h100"), variant("small", "a100")}, RouteRef: &jsonspec.RouteRef{Name: "chat"},
		}},
	}
}

// routeOf a text.
func routeOf(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

// theRoute has all that a route may have beside weights: filters, matches, timeouts, backends of others, a rule for one backend alone.
const theRoute = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  namespace: llm
  name: chat
  labels: {team: search}
  annotations: {note: "1"}
spec:
  parentRefs: [{name: gateway, namespace: infra, sectionName: https}]
  hostnames: [chat.example.com]
  rules:
  - name: completions
    matches: [{path: {type: PathPrefix, value: /v1}, headers: [{name: x-tier, value: paid}]}]
    filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: b}]}}]
    timeouts: {request: 60s}
    backendRefs:
    - {name: small, port: 8000, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x-c]}}]}
    - {name: large, port: 8000, weight: 3}
  - name: canary
    backendRefs:
    - {name: large, port: 8000, weight: 500}
    - {name: next, port: 8000, weight: 100}
    - {name: small, port: 8000, weight: 1500}
  - name: small-alone
    backendRefs: [{name: small, port: 8000}]
`

func decoded(t *testing.T, text string) *httpRoute {
	t.Helper()
	var r httpRoute
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(routeOf(t, text).Object, &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

// What is wrong with a route is said, all of it at once; what is for others is none of that.
func TestRoutesThatDoNotFit(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(string) string
		want   []string
	}{
		"fits": {func(s string) string { return s }, nil},
		"an InferencePool of that name": {func(s string) string {
			return strings.ReplaceAll(s, "{name: large,", "{group: inference.networking.k8s.io, kind: InferencePool, name: large,")
		}, []string{
			"none of its rules splits requests over two or more backends of the variants",
		}},
		"of another namespace": {func(s string) string {
			return strings.ReplaceAll(s, "{name: large,", "{namespace: other, name: large,")
		}, []string{
			"none of its rules splits requests over two or more backends of the variants",
		}},
		"of this namespace": {func(s string) string { return strings.ReplaceAll(s, "{name: large,", "{namespace: llm, name: large,") }, nil},
		"others beside weights that are too small": {func(s string) string { return strings.ReplaceAll(s, "weight: 1500", "weight: 3") }, []string{
			"spec.rules[1] also has the backends next: let the weights of the server's add up to 1000 or more, not 503, so that the sum can stay",
		}},
		"twice": {func(s string) string { return strings.ReplaceAll(s, "name: next", "name: large") }, []string{
			"spec.rules[1] has the backend Service large of variant large 2 times",
		}},
	} {
		if _, faults := splitsOf(decoded(t, tt.change(theRoute)), routed("chat")); !slices.Equal(faults, tt.want) {
			t.Errorf("%s: %s", name, cmp.Diff(tt.want, faults))
		}
	}
	third := routed("chat")
	third.Spec.Variants = append(third.Spec.Variants, jsonspec.Variant{Name: "third", BackendRef: &jsonspec.BackendRef{Name: "third"}})
	_, faults := splitsOf(decoded(t, strings.ReplaceAll(theRoute, "weight: 1500", "weight: 3")), third)
	if diff := cmp.Diff([]string{
		"spec.rules[0] has no backend Service third of variant third", "spec.rules[1] has no backend Service third of variant third",
	}, faults); diff != "" {
		t.Error(diff)
	}
}

// weights of the backends in the rules of a route, by name.
func weightsIn(t *testing.T, u *unstructured.Unstructured) string {
	t.Helper()
	var r httpRoute
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &r); err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, rule := range r.Spec.Rules {
		for i := range rule.BackendRefs {
			words = append(words, fmt.Sprintf("%s %d", rule.BackendRefs[i].Name, rule.BackendRefs[i].weight()))
		}
	}
	return strings.Join(words, ", ")
}

// withoutWeights is all of a route but weights and what the API server itself counts.
func withoutWeights(t *testing.T, u *unstructured.Unstructured) string {
	t.Helper()
	o := u.DeepCopy()
	for _, field := range []string{"managedFields", "resourceVersion", "generation"} {
		unstructured.RemoveNestedField(o.Object, "metadata", field)
	}
	rules, _, _ := unstructured.NestedSlice(o.Object, "spec", "rules")
	for _, rule := range rules {
		for _, b := range rule.(map[string]any)["backendRefs"].([]any) {
			delete(b.(map[string]any), "weight")
		}
	}
	if err := unstructured.SetNestedSlice(o.Object, rules, "spec", "rules"); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(o.Object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Weights follow plan and readiness in a route on a real API server, which keeps all else of it, byte for byte, and what is in the way is said.
func TestTrafficFollowsThePlan(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the binaries of the control plane")
	}
	s, plane := realStage(t)
	ctx := t.Context()
	api := s.client.(client.WithWatch)
	server := routed("split")
	// next is the status of the server as the loop has it before it writes it: a plan by shares of large and small, and ready pods.
	next := func(large, small float64, ready ...int) *v1alpha1.ServerStatus {
		return &v1alpha1.ServerStatus{
			Desired: &v1alpha1.DesiredState{Parts: []jsonspec.AllocationPart{{Accelerator: "h100", Replicas: 2, Share: large}, {Accelerator: "a100", Replicas: 2, Share: small}}},
			Current: []jsonspec.ObservedPart{on("h100", ready[0], 0), on("a100", ready[1], 0)},
		}
	}
	weigh := func(next *v1alpha1.ServerStatus, others ...v1alpha1.Server) string {
		t.Helper()
		c := &cycle{Reconciler: s.Reconciler, optimizer: &v1alpha1.Optimizer{}, report: v1alpha1.CycleReport{Time: now}}
		c.route(ctx, server, next, append(others, *server))
		server.Status = *next
		said := meta.FindStatusCondition(next.Conditions, v1alpha1.ConditionTrafficWeights)
		if said == nil {
			return ""
		}
		return fmt.Sprintf("%s %s: %s", said.Status, said.Reason, said.Message)
	}
	says := func(got, want string) {
		t.Helper()
		if !strings.HasPrefix(got, want) {
			t.Errorf("the condition is %q, want %q", got, want)
		}
	}
	get := func() *unstructured.Unstructured {
		t.Helper()
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(httpRouteKind)
		if err := api.Get(ctx, client.ObjectKey{Namespace: "llm", Name: "chat"}, u); err != nil {
			t.Fatal(err)
		}
		return u
	}
	weighs := func(want string) {
		t.Helper()
		if got := weightsIn(t, get()); got != want {
			t.Errorf("the weights are %s, want %s", got, want)
		}
	}

	says(weigh(next(0.8, 0.2, 2, 2)), "False RouteNotFound: the API server knows no HTTPRoutes")
	crd, err := os.ReadFile("../../test/data/gateway-api/httproutes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := plane.Apply(ctx, crd); err != nil {
		t.Fatal(err)
	}
	s.eventually("the route's kind is known", func() bool { return !strings.Contains(weigh(next(0.8, 0.2, 2, 2)), "knows no") })
	says(weigh(next(0.8, 0.2, 2, 2)), "False RouteNotFound: spec.routeRef: there is no HTTPRoute chat in namespace llm, and those of other namespaces are not written")
	if err := plane.Apply(ctx, []byte(theRoute)); err != nil {
		t.Fatal(err)
	}
	before := withoutWeights(t, get())

	// By what the plan gives in requests, not in replicas. The sum stays beside a backend of somebody else; a rule for one backend stays.
	says(weigh(next(0.8, 0.2, 2, 2)), "True WeightsInPlace")
	weighs("small 200, large 800, large 1600, next 100, small 400, small 1")
	if got := withoutWeights(t, get()); got != before {
		t.Errorf("something else changed: %s", cmp.Diff(before, got))
	}
	if diff := cmp.Diff([]v1alpha1.VariantWeight{{Variant: "large", Weight: 800}, {Variant: "small", Weight: 200}}, server.Status.Weights); diff != "" {
		t.Error(diff)
	}

	// What is hardly noticeable is not written, a step is.
	version := get().GetResourceVersion()
	says(weigh(next(0.81, 0.19, 2, 2)), "True WeightsInPlace")
	if get().GetResourceVersion() != version {
		t.Error("the route was written for a hundredth")
	}
	says(weigh(next(0.5, 0.5, 2, 2)), "True WeightsInPlace")
	weighs("small 500, large 500, large 1000, next 100, small 1000, small 1")
	// Who is not ready gets nothing; where nobody is, all stays.
	says(weigh(next(0.5, 0.5, 2, 0)), "True WeightsInPlace")
	weighs("small 0, large 1000, large 2000, next 100, small 0, small 1")
	says(weigh(next(0.5, 0.5, 0, 0)), "False WeightsHeld: no variant has a ready replica")
	says(weigh(&v1alpha1.ServerStatus{Current: []jsonspec.ObservedPart{on("h100", 1, 0)}}), "False WeightsHeld: there is no plan yet")
	weighs("small 0, large 1000, large 2000, next 100, small 0, small 1")
	if got := withoutWeights(t, get()); got != before {
		t.Errorf("something else changed: %s", cmp.Diff(before, got))
	}

	// Somebody else writes weights: they are written again, once for each time, and who did it is told.
	theirs := get()
	rules, _, _ := unstructured.NestedSlice(theirs.Object, "spec", "rules")
	rules[0].(map[string]any)["backendRefs"].([]any)[0].(map[string]any)["weight"] = int64(7)
	if err := unstructured.SetNestedSlice(theirs.Object, rules, "spec", "rules"); err != nil {
		t.Fatal(err)
	}
	if err := api.Update(ctx, theirs, client.FieldOwner("argocd")); err != nil {
		t.Fatal(err)
	}
	says(weigh(next(0.5, 0.5, 2, 0)), "False WeightsChanged: argocd changed the weights of HTTPRoute chat, which are written again")
	weighs("small 0, large 1000, large 2000, next 100, small 0, small 1")
	says(weigh(next(0.5, 0.5, 2, 0)), "True WeightsInPlace")

	// Between reading and writing somebody changes the route: it is read again, and theirs stays.
	real, meanwhile, patches := s.Client, 0, 0
	s.Client = interceptor.NewClient(api, interceptor.Funcs{Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
		if patches++; patches <= meanwhile {
			theirs := get()
			theirs.SetAnnotations(map[string]string{"note": fmt.Sprintf("theirs %d", patches)})
			if err := c.Update(ctx, theirs); err != nil {
				return err
			}
		}
		err := c.Patch(ctx, o, p, opts...)
		if patches <= meanwhile && !apierrors.IsConflict(err) {
			t.Errorf("a route that changed meanwhile was written: %v", err)
		}
		return err
	}})
	meanwhile = 2
	says(weigh(next(0.5, 0.5, 2, 2)), "True WeightsInPlace")
	weighs("small 500, large 500, large 1000, next 100, small 1000, small 1")
	if note := get().GetAnnotations()["note"]; note != "theirs 2" || patches != 3 {
		t.Errorf("after %d patches the note is %q", patches, note)
	}
	patches, meanwhile = 0, 99
	says(weigh(next(0.9, 0.1, 2, 2)), "False Refused: HTTPRoute llm/chat stays as it is")
	weighs("small 500, large 500, large 1000, next 100, small 1000, small 1")
	s.Client = real

	// Another Server has the same rule; nobody writes.
	says(weigh(next(0.9, 0.1, 2, 2), *routed("rival")), "False RouteShared: HTTPRoute chat has rules that the Servers rival")
	elsewhere := routed("rival")
	elsewhere.Namespace = "other"
	says(weigh(next(0.5, 0.5, 2, 2), *elsewhere), "True WeightsInPlace")
	// A part of the plan has no backend, and a backend is not there: both are said.
	lost := next(0.5, 0.5, 2, 2)
	lost.Desired.Parts = append(lost.Desired.Parts, jsonspec.AllocationPart{Accelerator: "l4", Replicas: 1})
	server.Spec.Variants[1].BackendRef.Name = "tiny"
	says(weigh(lost), "False RouteInvalid: HTTPRoute chat: none of its rules splits requests over two or more backends of the variants; l4 of the plan is of no variant")

	// Without spec.routeRef there is nothing of it.
	server.Spec.RouteRef = nil
	version = get().GetResourceVersion()
	if got := weigh(next(0.1, 0.9, 2, 2)); got != "" || server.Status.Weights != nil || get().GetResourceVersion() != version {
		t.Errorf("without spec.routeRef: %q, %v", got, server.Status.Weights)
	}

	// Server-side apply could not: who applies one weight applies the whole list of rules.
	apply := routeOf(t, `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {namespace: llm, name: chat}
spec: {rules: [{name: completions, backendRefs: [{name: large, port: 8000, weight: 9}]}]}
`)
	if err := api.Apply(ctx, client.ApplyConfigurationFromUnstructured(apply), client.FieldOwner("x"), client.ForceOwnership, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	if got := weightsIn(t, apply); got != "large 9" {
		t.Errorf("applied by server-side apply, the weights are %s", got)
	}
}

// A Server that names no route has nothing read or written of any, nor a condition; one that does is told where there are no routes.
func TestRoutesAreNobodysBusinessByDefault(t *testing.T) {
	s := newStage(t)
	asked := 0
	run := func() {
		t.Helper()
		if err := s.cycle(s.Reconciler); err != nil {
			t.Fatal(err)
		}
	}
	s.Direct = interceptor.NewClient(s.client.(client.WithWatch), interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		if o.GetObjectKind().GroupVersionKind() == httpRouteKind {
			asked++
		}
		return c.Get(ctx, key, o, opts...)
	}})
	run()
	if c := meta.FindStatusCondition(s.server().Status.Conditions, v1alpha1.ConditionTrafficWeights); asked > 0 || c != nil {
		t.Errorf("without spec.routeRef routes were read %d times, and the condition is %v", asked, c)
	}
	server := s.server()
	server.Spec.ServerBinding = routed("chat").Spec.ServerBinding
	if err := s.client.Update(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	run()
	if c := meta.FindStatusCondition(s.server().Status.Conditions, v1alpha1.ConditionTrafficWeights); asked == 0 || c == nil || c.Reason != v1alpha1.ReasonRouteNotFound {
		t.Errorf("with spec.routeRef routes were read %d times, and the condition is %v", asked, c)
	}
	dry := &v1alpha1.Optimizer{}
	if err := s.client.Get(t.Context(), client.ObjectKey{Name: "default"}, dry); err != nil {
		t.Fatal(err)
	}
	dry.Spec.Mode = v1alpha1.ModeDryRun
	if err := errors.Join(s.client.Update(t.Context(), dry), s.client.Create(t.Context(), routeOf(t, theRoute))); err != nil {
		t.Fatal(err)
	}
	run()
	if c := meta.FindStatusCondition(s.server().Status.Conditions, v1alpha1.ConditionTrafficWeights); c == nil || c.Reason != v1alpha1.ReasonDryRun {
		t.Errorf("in a dry run the condition is %v", c)
	}
}

// The whole loop on a real API server: what is ready gets the requests. What a Server must not ask for is refused, all at once.
func TestTheLoopWeighsRoutes(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the binaries of the control plane")
	}
	s, plane := realStage(t)
	ctx := t.Context()
	crd, err := os.ReadFile("../../test/data/gateway-api/httproutes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := plane.Apply(ctx, manifests.Join(crd, []byte(theRoute))); err != nil {
		t.Fatal(err)
	}
	change := func(how func(*v1alpha1.ServerSpec)) error {
		server := s.server()
		how(&server.Spec)
		return s.client.Update(ctx, server)
	}
	err = change(func(spec *v1alpha1.ServerSpec) {
		spec.ServerBinding = routed("chat").Spec.ServerBinding
		spec.Variants[1].BackendRef.Group = "example.com"
		spec.Variants = append(spec.Variants, jsonspec.Variant{Name: "none", Accelerators: []string{"l4"}, ScaleTargetRef: spec.Variants[0].ScaleTargetRef})
	})
	for _, want := range []string{"the group of a Service must be empty", "routeRef needs a backendRef of each variant"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("refused with %v, want %q", err, want)
		}
	}
	err = change(func(spec *v1alpha1.ServerSpec) {
		spec.ServerBinding = routed("chat").Spec.ServerBinding
		spec.Variants[1].BackendRef.Name = "large"
	})
	if err == nil || !strings.Contains(err.Error(), "each backendRef must be of one variant") {
		t.Errorf("refused with %v", err)
	}
	if err := change(func(spec *v1alpha1.ServerSpec) { spec.RouteRef = &jsonspec.RouteRef{Name: "chat"} }); err == nil || !strings.Contains(err.Error(), "routeRef needs two variants or more") {
		t.Errorf("refused with %v", err)
	}
	if err := change(func(spec *v1alpha1.ServerSpec) { spec.ServerBinding = routed("chat").Spec.ServerBinding }); err != nil {
		t.Fatal(err)
	}
	s.eventually("the ready variant gets all", func() bool {
		c := meta.FindStatusCondition(s.server().Status.Conditions, v1alpha1.ConditionTrafficWeights)
		return c != nil && c.Status == metav1.ConditionTrue
	})
	if diff := cmp.Diff([]v1alpha1.VariantWeight{{Variant: "large", Weight: 1000}, {Variant: "small", Weight: 0}}, s.server().Status.Weights); diff != "" {
		t.Error(diff)
	}
}
