package manifests

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
)

// policies of an installation.
func policies(t *testing.T, values string) []byte {
	t.Helper()
	all, err := installation{release: "inferno", namespace: Namespace, values: values, kubernetes: "v1.37.0"}.render(t)
	if err != nil {
		t.Fatal(err)
	}
	var found [][]byte
	for _, document := range bytes.Split(all, []byte("\n---\n")) {
		if bytes.Contains(document, []byte("AdmissionPolicy")) {
			found = append(found, append(document, '\n'))
		}
	}
	return Join(found...)
}

const tenants = `apiVersion: v1
kind: Namespace
metadata: {name: llm}
---
apiVersion: v1
kind: Namespace
metadata: {name: paying, labels: {tier: paid, team: a}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default, namespace: llm}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: gold}
value: 1000
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: platinum}
value: 2000
`

// selectors of namespaces, those that are none among them.
var selectors = []string{
	"{}", "{matchLabels: {tier: paid}}", "{matchLabels: {tier: paid, team: b}}", "{matchLabels: {kubernetes.io/metadata.name: llm}}",
	"{matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [llm, other]}]}", "{matchExpressions: [{key: tier, operator: NotIn, values: [paid]}]}",
	"{matchExpressions: [{key: tier, operator: Exists}]}", "{matchExpressions: [{key: tier, operator: DoesNotExist}]}",
	"{matchLabels: {team: a}, matchExpressions: [{key: tier, operator: Exists}, {key: team, operator: NotIn, values: [b]}]}",
	"{matchExpressions: [{key: tier, operator: In}]}", "{matchExpressions: [{key: tier, operator: NotIn}]}", "{matchExpressions: [{key: tier, operator: Exists, values: [paid]}]}",
	"{matchExpressions: [{key: tier, operator: DoesNotExist, values: [paid]}]}", "{matchExpressions: [{key: tier, operator: Equals, values: [paid]}]}",
}

// classes of the test: c for all, premium for some, and one for each of the selectors.
func classes() string {
	text := ""
	class := func(name, more string) {
		text += "---\napiVersion: inferno.platform.ai/v1alpha1\nkind: ServiceClass\nmetadata: {name: " + name + "}\nspec: {priority: 1" + more + "}\n"
	}
	class("c", "")
	class("premium", ", maxMinReplicas: 5, allowedNamespaces: "+selectors[1])
	for i, s := range selectors {
		class(fmt.Sprint("selected-", i), ", allowedNamespaces: "+s)
	}
	return text
}

// serving is a real API server with the definitions, the tenants and what else is given. It gives clients with the rights of a user, of an administrator where
// the name is empty.
func serving(t *testing.T, more ...[]byte) (as func(user string) client.Client) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the binaries of the control plane")
	}
	plane, err := controlplane.Start(t.Context(), controlplane.Options{Scheduler: controlplane.SchedulerOptions{Disabled: true}, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plane.Stop() })
	if err := plane.Apply(t.Context(), Join(append([][]byte{CRDs(), []byte(tenants)}, more...)...)); err != nil {
		t.Fatal(err)
	}
	return func(user string) client.Client {
		config := plane.Config()
		if user != "" {
			config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
		}
		c, err := client.New(config, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

// A real API server keeps a tenant from writing what plans rely on, says what is allowed, and lets everything else through.
func TestPolicies(t *testing.T) {
	as := serving(t, []byte(classes()), policies(t, ""))
	const tenant, scheduler = "tenant", "system:serviceaccount:" + Namespace + ":" + SchedulerAccount
	admin := as("")
	role := &rbac.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "all-of-them"}, Rules: []rbac.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"*"}}, {APIGroups: []string{"inferno.platform.ai"}, Resources: []string{"servers"}, Verbs: []string{"*"}},
	}}
	binding := &rbac.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "all-of-them"}, RoleRef: rbac.RoleRef{APIGroup: rbac.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbac.Subject{{Kind: rbac.UserKind, APIGroup: rbac.GroupName, Name: tenant}, {Kind: rbac.UserKind, APIGroup: rbac.GroupName, Name: scheduler}},
	}
	for _, o := range []client.Object{role, binding} {
		if err := admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	server := func(more string) *unstructured.Unstructured {
		o := &unstructured.Unstructured{}
		text := "apiVersion: inferno.platform.ai/v1alpha1\nkind: Server\nmetadata: {namespace: llm, generateName: s-" + more
		if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
			t.Fatal(err)
		}
		return o
	}
	pod := func(change func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "llm", GenerateName: "p-", Labels: map[string]string{"inferno.platform.ai/server": "chat"}, Annotations: map[string]string{"inferno.platform.ai/max-num-seqs": "64"}},
			Spec:       corev1.PodSpec{SchedulerName: SchedulerAccount, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		}
		if change != nil {
			change(p)
		}
		return p
	}
	// Policies come into force a moment after they are stored.
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		a := as(tenant).Create(t.Context(), server("}\nspec: {model: m, serviceClass: c, minReplicas: 500}"))
		b := as(tenant).Create(t.Context(), pod(func(p *corev1.Pod) { p.Spec.SchedulerName = "" }))
		if a != nil && b != nil {
			break
		}
		if time.Since(began) > 5*time.Minute {
			t.Fatalf("not in force: %v, %v", a, b)
		}
	}
	refused := func(name string, err error, want ...string) {
		t.Helper()
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v does not say %q", name, err, w)
			}
		}
	}
	accepted := func(name string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused("minReplicas", as(tenant).Create(t.Context(), server("}\nspec: {model: m, serviceClass: c, minReplicas: 500}")), "spec.minReplicas: 500 is not allowed, must be at most 20")
	refused("name", as(tenant).Create(t.Context(), server(", annotations: {inferno.platform.ai/name: other}}\nspec: {model: m, serviceClass: c}")), "inferno.platform.ai/name")
	accepted("name by an administrator", admin.Create(t.Context(), server(", annotations: {inferno.platform.ai/name: other}}\nspec: {model: m, serviceClass: c}")))
	accepted("a server", as(tenant).Create(t.Context(), server("}\nspec: {model: m, serviceClass: c, minReplicas: 20}")))
	of := func(namespace, class string) *unstructured.Unstructured {
		s := server("}\nspec: {model: m, serviceClass: " + class + "}")
		s.SetNamespace(namespace)
		return s
	}
	refused("class", as(tenant).Create(t.Context(), of("llm", "premium")), "spec.serviceClass: premium is not allowed in namespace llm, its spec.allowedNamespaces are those with tier=paid")
	refused("class by an expression", as(tenant).Create(t.Context(), of("paying", "selected-4")), "those with kubernetes.io/metadata.name In (llm, other)")
	accepted("class in a namespace that it is open to", as(tenant).Create(t.Context(), of("paying", "premium")))
	many := of("paying", "premium, minReplicas: 6")
	refused("minReplicas of that class", as(tenant).Create(t.Context(), many), "spec.minReplicas: 6 is not allowed, must be at most 5 (spec.maxMinReplicas of the class premium)")
	accepted("a class that is not there", as(tenant).Create(t.Context(), of("llm", "unheard-of")))
	bulk := of("llm", "c")
	accepted("another class", as(tenant).Create(t.Context(), bulk))
	if err := unstructured.SetNestedField(bulk.Object, "premium", "spec", "serviceClass"); err != nil {
		t.Fatal(err)
	}
	refused("class changed", as(tenant).Update(t.Context(), bulk), "spec.serviceClass: premium is not allowed")
	for i, text := range selectors {
		var selector metav1.LabelSelector
		if err := yaml.Unmarshal([]byte(text), &selector); err != nil {
			t.Fatal(err)
		}
		for _, namespace := range []string{"llm", "paying"} {
			var n corev1.Namespace
			if err := admin.Get(t.Context(), client.ObjectKey{Name: namespace}, &n); err != nil {
				t.Fatal(err)
			}
			want, err := metav1.LabelSelectorAsSelector(&selector)
			if open := err == nil && want.Matches(labels.Set(n.Labels)); open != (as(tenant).Create(t.Context(), of(namespace, fmt.Sprint("selected-", i))) == nil) {
				t.Errorf("%s, namespace %s: open is %v, and the API server says otherwise", text, namespace, open)
			}
		}
	}

	refused("another scheduler", as(tenant).Create(t.Context(), pod(func(p *corev1.Pod) { p.Spec.SchedulerName = "" })), "spec.schedulerName: default-scheduler is not allowed", SchedulerAccount)
	refused("forged accelerator", as(tenant).Create(t.Context(), pod(func(p *corev1.Pod) { p.Annotations["inferno.platform.ai/accelerator"] = "h100" })), "inferno.platform.ai/accelerator and inferno.platform.ai/placement are not allowed")
	accepted("a pod of nobody", as(tenant).Create(t.Context(), pod(func(p *corev1.Pod) { p.Labels, p.Spec.SchedulerName = nil, "" })))
	// What the optimizer writes to the status of a Server bounds the priority of its pods; that of other Servers does not.
	for name, most := range map[string]int64{"chat": 1000, "other": 0} {
		s := of("llm", "c")
		s.SetName(name)
		accepted("server "+name, admin.Create(t.Context(), s))
		if err := unstructured.SetNestedField(s.Object, map[string]any{"maxPodPriority": most, "readyReplicas": int64(0)}, "status"); err != nil {
			t.Fatal(err)
		}
		accepted("status of "+name, admin.Status().Update(t.Context(), s))
	}
	dear := func() error {
		return as(tenant).Create(t.Context(), pod(func(p *corev1.Pod) { p.Spec.PriorityClassName = "platinum" }))
	}
	for began := time.Now(); dear() == nil && time.Since(began) < 5*time.Minute; {
		time.Sleep(100 * time.Millisecond)
	}
	refused("a pod that is too dear", dear(), "spec.priorityClassName: platinum with value 2000 is not allowed for a pod of Server chat, must be at most 1000, that of its class c")
	for _, name := range []string{"gold", ""} {
		accepted("a pod of priority class "+name, as(tenant).Create(t.Context(), pod(func(p *corev1.Pod) { p.Spec.PriorityClassName = name })))
	}
	changed := func(user string, change func(*corev1.Pod)) error {
		p := pod(nil)
		if err := as(tenant).Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		before := p.DeepCopy()
		change(p)
		return as(user).Patch(t.Context(), p, client.MergeFrom(before))
	}
	for name, change := range map[string]func(*corev1.Pod){
		"label": func(p *corev1.Pod) { p.Labels["inferno.platform.ai/server"] = "other" }, "no label": func(p *corev1.Pod) { p.Labels = nil },
	} {
		refused(name, changed(tenant, change), "labels[inferno.platform.ai/server]")
	}
	for _, key := range []string{"inferno.platform.ai/accelerator", "inferno.platform.ai/max-num-seqs", "controller.kubernetes.io/pod-deletion-cost"} {
		write := func(p *corev1.Pod) { p.Annotations[key] = "7" }
		refused(key, changed(tenant, write), "are written by inferno alone")
		accepted(key+" by the scheduler", changed(scheduler, write))
	}
	accepted("another annotation", changed(tenant, func(p *corev1.Pod) { p.Annotations["a"] = "b" }))
	refused("image by the scheduler", changed(scheduler, func(p *corev1.Pod) { p.Spec.Containers[0].Image = "evil" }), "may change annotations of pods only")
	stranger := pod(func(p *corev1.Pod) { p.Labels, p.Spec.SchedulerName = nil, "" })
	if err := as(tenant).Create(t.Context(), stranger); err != nil {
		t.Fatal(err)
	}
	before := stranger.DeepCopy()
	stranger.Labels = map[string]string{"inferno.platform.ai/server": "chat"}
	refused("label added", as(tenant).Patch(t.Context(), stranger, client.MergeFrom(before)), "labels[inferno.platform.ai/server]")
}

// The account of the optimizer changes weights of HTTPRoutes, where routes.enabled gives it the right to them, and nothing else.
func TestPoliciesOfRoutes(t *testing.T) {
	const account = "system:serviceaccount:" + Namespace + ":" + OptimizerAccount
	const rights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: routes}
rules: [{apiGroups: [gateway.networking.k8s.io], resources: [httproutes], verbs: [get, patch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: routes}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: routes}
subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: "` + account + `"}]
`
	const route = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {namespace: llm, name: chat, labels: {team: a}}
spec:
  hostnames: [chat.example.com]
  rules:
  - matches: [{path: {type: PathPrefix, value: /v1}}]
    backendRefs: [{name: large, port: 8000}, {name: small, port: 8000, weight: 3}]
  - timeouts: {request: 60s}
`
	definition, err := os.ReadFile("../test/data/gateway-api/httproutes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	as := serving(t, []byte(rights), definition, []byte(route), build(t, "samples-gateway"), policies(t, "routes: {enabled: true}"))
	patched := func(user, patch string) error {
		o := &unstructured.Unstructured{}
		o.SetAPIVersion("gateway.networking.k8s.io/v1")
		o.SetKind("HTTPRoute")
		o.SetNamespace("llm")
		o.SetName("chat")
		return as(user).Patch(t.Context(), o, client.RawPatch(types.JSONPatchType, []byte("["+patch+"]")))
	}
	const foreign = `{"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}}`
	for began := time.Now(); patched(account, foreign) == nil; time.Sleep(100 * time.Millisecond) { // policies come into force a moment after they are stored
		if time.Since(began) > 5*time.Minute {
			t.Fatal("the policies are not in force")
		}
		if err := patched("", `{"op": "remove", "path": "/metadata/annotations"}`); err != nil {
			t.Fatal(err)
		}
	}
	for _, weights := range []string{
		`{"op": "add", "path": "/spec/rules/0/backendRefs/0/weight", "value": 700}, {"op": "replace", "path": "/spec/rules/0/backendRefs/1/weight", "value": 300}`,
		`{"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 0}`,
	} {
		if err := patched(account, weights); err != nil {
			t.Errorf("weights: %v", err)
		}
	}
	for name, patch := range map[string]string{
		"an annotation":                   foreign,
		"a label":                         `{"op": "replace", "path": "/metadata/labels/team", "value": "b"}`,
		"a host":                          `{"op": "replace", "path": "/spec/hostnames/0", "value": "evil.example.com"}`,
		"hosts are removed":               `{"op": "remove", "path": "/spec/hostnames"}`,
		"parents are added":               `{"op": "add", "path": "/spec/parentRefs", "value": [{"name": "gateway"}]}`,
		"a match":                         `{"op": "replace", "path": "/spec/rules/0/matches/0/path/value", "value": "/"}`,
		"a timeout is removed":            `{"op": "remove", "path": "/spec/rules/1/timeouts"}`,
		"a filter is added":               `{"op": "add", "path": "/spec/rules/0/filters", "value": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x"]}}]}`,
		"another backend":                 `{"op": "replace", "path": "/spec/rules/0/backendRefs/0/name", "value": "evil"}`,
		"another namespace":               `{"op": "add", "path": "/spec/rules/0/backendRefs/0/namespace", "value": "evil"}`,
		"a backend more":                  `{"op": "add", "path": "/spec/rules/0/backendRefs/-", "value": {"name": "evil", "port": 1}}`,
		"a backend less":                  `{"op": "remove", "path": "/spec/rules/0/backendRefs/1"}`,
		"a rule without backends has one": `{"op": "add", "path": "/spec/rules/1/backendRefs", "value": [{"name": "evil", "port": 1}]}`,
		"a rule more":                     `{"op": "add", "path": "/spec/rules/-", "value": {"backendRefs": [{"name": "evil", "port": 1}]}}`,
		"a rule less":                     `{"op": "remove", "path": "/spec/rules/1"}`,
	} {
		if err := patched(account, patch); !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := patched("", foreign); err != nil {
		t.Errorf("an annotation, by an administrator: %v", err)
	}
}

// Where gates are lifted, pods behind one may ask any scheduler; the optimizer's account, and whoever may update Optimizers, lift them, and it deletes no pods but
// those that it let go.
func TestPoliciesOfGates(t *testing.T) {
	const tenant, account = "tenant", "system:serviceaccount:" + Namespace + ":"
	const rights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: pods}
rules: [{apiGroups: [""], resources: [pods], verbs: ["*"]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: pods}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: pods}
subjects:
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: ` + tenant + `}
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: "` + account + SchedulerAccount + `"}
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: "` + account + OptimizerAccount + `"}
`
	as := serving(t, []byte(rights), policies(t, "gates: {enabled: true}"))
	users := map[string]client.Client{"tenant": as(tenant), "scheduler": as(account + SchedulerAccount), "optimizer": as(account + OptimizerAccount)}
	pod := func(gates ...string) *corev1.Pod {
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "llm", GenerateName: "p-", Labels: map[string]string{"inferno.platform.ai/server": "chat"}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		}
		for _, g := range gates {
			p.Spec.SchedulingGates = append(p.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: g})
		}
		return p
	}
	const gate = "inferno.platform.ai/placement"
	for began := time.Now(); users["tenant"].Create(t.Context(), pod()) == nil; time.Sleep(100 * time.Millisecond) { // policies come into force a moment after they are stored
		if time.Since(began) > 5*time.Minute {
			t.Fatal("the policies are not in force")
		}
	}
	lift := func(p *corev1.Pod) {
		p.Spec.SchedulingGates = nil
		p.Annotations = map[string]string{"inferno.platform.ai/placement": "gates", "inferno.platform.ai/accelerator": "h100"}
		p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "gpu", Operator: corev1.NodeSelectorOpExists}}}},
		}}}
	}
	changed := func(user string, change func(*corev1.Pod)) (*corev1.Pod, error) {
		p := pod(gate)
		if err := users["tenant"].Create(t.Context(), p); err != nil {
			t.Fatalf("a pod behind the gate: %v", err)
		}
		before := p.DeepCopy()
		change(p)
		return p, users[user].Patch(t.Context(), p, client.MergeFrom(before))
	}
	let, err := changed("optimizer", lift)
	if err != nil {
		t.Fatalf("the optimizer lifts a gate: %v", err)
	}
	for name, tt := range map[string]struct {
		user   string
		change func(*corev1.Pod)
		want   string
	}{
		"a tenant lifts":                  {"tenant", func(p *corev1.Pod) { p.Spec.SchedulingGates = nil }, "spec.schedulingGates: inferno.platform.ai/placement is lifted by inferno"},
		"the scheduler lifts":             {"scheduler", func(p *corev1.Pod) { p.Spec.SchedulingGates = nil }, "may change annotations of pods"},
		"the optimizer changes the image": {"optimizer", func(p *corev1.Pod) { lift(p); p.Spec.Containers[0].Image = "evil" }, "may change annotations of pods"},
		"a tenant says that it was let":   {"tenant", func(p *corev1.Pod) { p.Annotations = map[string]string{"inferno.platform.ai/placement": "gates"} }, "are written by inferno alone"},
	} {
		if _, err := changed(tt.user, tt.change); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v does not say %q", name, err, tt.want)
		}
	}
	forged := pod(gate)
	forged.Annotations = map[string]string{"inferno.platform.ai/placement": "gates"}
	if err := users["tenant"].Create(t.Context(), forged); err == nil || !strings.Contains(err.Error(), "inferno writes them") {
		t.Errorf("a pod that says it was let go: %v", err)
	}
	waiting := pod(gate)
	if err := users["tenant"].Create(t.Context(), waiting); err != nil {
		t.Fatal(err)
	}
	if err := users["optimizer"].Delete(t.Context(), waiting); err == nil || !strings.Contains(err.Error(), "may delete pods only that it let go") {
		t.Errorf("the optimizer deletes a pod that it has not let go: %v", err)
	}
	if err := users["optimizer"].Delete(t.Context(), let); err != nil {
		t.Errorf("the optimizer deletes a pod that it let go: %v", err)
	}
	if err := users["tenant"].Delete(t.Context(), waiting); err != nil {
		t.Errorf("a tenant deletes a pod: %v", err)
	}
}

// Pods of Servers that gates place get their gate at admission: the Server says so, or the Optimizer by the Server's status; one gate is enough, and others keep
// theirs.
func TestPoliciesAddGates(t *testing.T) {
	values := "gates: {enabled: true, add: true}"
	api := serving(t, policies(t, values))("")
	server := func(name, placement string) *v1alpha1.Server {
		return &v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: name}, Spec: v1alpha1.ServerSpec{Model: "m", ServiceClass: "premium", Placement: placement}}
	}
	create := func(o client.Object) error {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
		if err != nil {
			t.Fatal(err)
		}
		u := &unstructured.Unstructured{Object: content}
		if s, is := o.(*v1alpha1.Server); is {
			u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Server"))
			delete(u.Object, "status")
			if err := api.Create(t.Context(), u); err != nil || s.Status.PlacedBy == "" {
				return err
			}
			return errors.Join(unstructured.SetNestedField(u.Object, s.Status.PlacedBy, "status", "placedBy"), unstructured.SetNestedField(u.Object, int64(0), "status", "readyReplicas"), api.Status().Update(t.Context(), u))
		}
		return api.Create(t.Context(), o)
	}
	told := server("told", "")
	told.Status.PlacedBy = v1alpha1.PlaceByGates
	against := server("against", v1alpha1.PlaceByScheduler)
	against.Status.PlacedBy = v1alpha1.PlaceByGates
	for _, s := range []*v1alpha1.Server{server("says", v1alpha1.PlaceByGates), server("silent", ""), told, against} {
		if err := create(s); err != nil {
			t.Fatal(err)
		}
	}
	pod := func(server string, gates ...string) []string {
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "llm", GenerateName: "p-", Labels: map[string]string{"inferno.platform.ai/server": server}},
			Spec:       corev1.PodSpec{SchedulerName: "inferno-scheduler", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		}
		for _, g := range gates {
			p.Spec.SchedulingGates = append(p.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: g})
		}
		if err := api.Create(t.Context(), p); err != nil {
			t.Fatalf("a pod of %s: %v", server, err)
		}
		var has []string
		for _, g := range p.Spec.SchedulingGates {
			has = append(has, g.Name)
		}
		slices.Sort(has)
		return has
	}
	const gate, other = "inferno.platform.ai/placement", "example.com/quota"
	for began := time.Now(); len(pod("says")) == 0; time.Sleep(100 * time.Millisecond) { // policies come into force a moment after they are stored
		if time.Since(began) > 5*time.Minute {
			t.Fatal("the policy is not in force")
		}
	}
	for _, c := range []struct {
		server string
		gates  []string
		want   []string
	}{
		{"says", nil, []string{gate}}, {"says", []string{gate}, []string{gate}}, {"says", []string{other}, []string{other, gate}},
		{"silent", nil, nil}, {"told", nil, []string{gate}}, {"against", nil, nil}, {"nobody", nil, nil},
	} {
		if got := pod(c.server, c.gates...); !slices.Equal(got, c.want) {
			t.Errorf("a pod of %s with gates %v has %v, want %v", c.server, c.gates, got, c.want)
		}
	}
}

// The account of the optimizer writes PodTemplates and CapacityBuffers of Servers, where capacityAhead.enabled gives it the right to them, and no others.
func TestPoliciesOfRooms(t *testing.T) {
	const account = "system:serviceaccount:" + Namespace + ":" + OptimizerAccount
	const rights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: rooms}
rules:
- {apiGroups: [autoscaling.x-k8s.io], resources: [capacitybuffers], verbs: [get, list, create, patch, delete]}
- {apiGroups: [""], resources: [podtemplates], verbs: [get, list, create, patch, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: rooms}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: rooms}
subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: "` + account + `"}]
---
apiVersion: v1
kind: Namespace
metadata: {name: rooms}
---
apiVersion: inferno.platform.ai/v1alpha1
kind: Server
metadata: {namespace: rooms, name: chat}
spec: {model: m, serviceClass: c}
`
	const template = `
apiVersion: v1
kind: PodTemplate
metadata:
  namespace: rooms
  name: chat
  labels: {inferno.platform.ai/server: chat}
  ownerReferences: [{apiVersion: inferno.platform.ai/v1alpha1, kind: Server, name: chat, uid: a}]
template: {spec: {containers: [{name: engine, image: engine}]}}
`
	const buffer = `
apiVersion: autoscaling.x-k8s.io/v1beta1
kind: CapacityBuffer
metadata:
  namespace: rooms
  name: chat
  labels: {inferno.platform.ai/server: chat}
  ownerReferences: [{apiVersion: inferno.platform.ai/v1alpha1, kind: Server, name: chat, uid: a}]
spec: {replicas: 2, podTemplateRef: {name: chat}}
`
	definition, err := os.ReadFile("../test/data/cluster-autoscaler/capacitybuffers.yaml")
	if err != nil {
		t.Fatal(err)
	}
	as := serving(t, []byte(rights), definition, policies(t, "capacityAhead: {enabled: true}"))
	owner := &unstructured.Unstructured{}
	owner.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Server"))
	if err := as("").Get(t.Context(), client.ObjectKey{Namespace: "rooms", Name: "chat"}, owner); err != nil {
		t.Fatal(err)
	}
	object := func(text string) *unstructured.Unstructured {
		o := &unstructured.Unstructured{}
		text = strings.ReplaceAll(text, "uid: a}", "uid: "+string(owner.GetUID())+"}") // what has an owner that is not there is removed
		if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
			t.Fatal(err)
		}
		return o
	}
	create := func(user, text string) error {
		return as(user).Create(t.Context(), object(text), client.DryRunAll)
	}
	nobodys := strings.ReplaceAll(template, "{inferno.platform.ai/server: chat}", "{app: chat}")
	for began := time.Now(); create(account, nobodys) == nil; time.Sleep(100 * time.Millisecond) { // policies come into force a moment after they are stored
		if time.Since(began) > 5*time.Minute {
			t.Fatal("the policies are not in force")
		}
	}
	for _, text := range []string{template, buffer} {
		if err := as(account).Create(t.Context(), object(text)); err != nil {
			t.Errorf("its own: %v", err)
		}
	}
	if err := as(account).Patch(t.Context(), object(buffer), client.RawPatch(types.MergePatchType, []byte(`{"spec": {"replicas": 5}}`))); err != nil {
		t.Errorf("another number: %v", err)
	}
	for name, text := range map[string]string{
		"a template without a label":  nobodys,
		"a template without an owner": strings.ReplaceAll(template, "ownerReferences", "annotations: {a: b} #"),
		"of another owner":            strings.ReplaceAll(template, "kind: Server", "kind: Model"),
		"of another Server":           strings.ReplaceAll(buffer, "kind: Server, name: chat", "kind: Server, name: other"),
		"of another template":         strings.ReplaceAll(buffer, "podTemplateRef: {name: chat}", "podTemplateRef: {name: other}"),
		"of a workload":               strings.ReplaceAll(buffer, "podTemplateRef: {name: chat}", "scalableRef: {apiGroup: apps, kind: Deployment, name: other}"),
	} {
		if err := create(account, text); !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v", name, err)
		}
		if err := create("", strings.ReplaceAll(text, "name: chat\n", "name: new\n")); err != nil {
			t.Errorf("%s, by an administrator: %v", name, err)
		}
	}
	theirs := object(strings.ReplaceAll(nobodys, "name: chat\n", "name: theirs\n"))
	if err := as("").Create(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	if err := as(account).Patch(t.Context(), theirs, client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"labels": {"inferno.platform.ai/server": "chat"}}}`))); !apierrors.IsForbidden(err) {
		t.Errorf("another's template is made its own: %v", err)
	}
	if err := as(account).Delete(t.Context(), theirs); !apierrors.IsForbidden(err) {
		t.Errorf("another's template is removed: %v", err)
	}
	for _, text := range []string{buffer, template} {
		if err := as(account).Delete(t.Context(), object(text)); err != nil {
			t.Errorf("its own cannot be removed: %v", err)
		}
	}
}

// Pods of a workload that a Server was made of get what a pod of a Server needs, and no others. The account of the optimizer writes what it made, and tells pods
// whose they are, and changes nothing else.
func TestPoliciesOfAdoption(t *testing.T) {
	const account = "system:serviceaccount:" + Namespace + ":"
	const rights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: adoption}
rules:
- {apiGroups: [""], resources: [pods], verbs: ["*"]}
- {apiGroups: [inferno.platform.ai], resources: [servers, models, accelerators], verbs: ["*"]}
- {apiGroups: [autoscaling], resources: [horizontalpodautoscalers], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: adoption}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: adoption}
subjects:
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: "` + account + SchedulerAccount + `"}
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: "` + account + OptimizerAccount + `"}
---
apiVersion: inferno.platform.ai/v1alpha1
kind: Server
metadata: {namespace: llm, name: chat, labels: {app.kubernetes.io/managed-by: inferno}}
spec: {model: m, serviceClass: c, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: chat}}
---
apiVersion: inferno.platform.ai/v1alpha1
kind: Server
metadata: {namespace: llm, name: whole, labels: {app.kubernetes.io/managed-by: inferno}}
spec: {model: m, serviceClass: c, scaleTargetRef: {apiVersion: apps/v1, kind: StatefulSet, name: whole}}
---
apiVersion: inferno.platform.ai/v1alpha1
kind: Server
metadata: {namespace: llm, name: theirs}
spec: {model: m, serviceClass: c, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: theirs}}
`
	as := serving(t, []byte(rights), policies(t, ""))
	admin, optimizer, scheduler := as(""), as(account+OptimizerAccount), as(account+SchedulerAccount)
	pod := func(kind, owner, hash, asks string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "llm", GenerateName: "p-", Labels: map[string]string{"app": "a"}}}
		p.Spec = corev1.PodSpec{SchedulerName: asks, Containers: []corev1.Container{{Name: "c", Image: "i"}}}
		if hash != "" {
			p.Labels["pod-template-hash"] = hash
		}
		if kind != "" {
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: owner, UID: "a", Controller: new(true)}}
		}
		return p
	}
	given := func(p *corev1.Pod) string {
		if err := admin.Create(t.Context(), p, client.DryRunAll); err != nil {
			t.Fatal(err)
		}
		return p.Labels["inferno.platform.ai/server"] + " by " + p.Spec.SchedulerName
	}
	for began := time.Now(); given(pod("ReplicaSet", "chat-5d9", "5d9", "")) == " by default-scheduler"; time.Sleep(100 * time.Millisecond) { // policies come into force a moment after they are stored
		if time.Since(began) > 5*time.Minute {
			t.Fatal("the policy is not in force")
		}
	}
	for _, c := range []struct {
		pod  *corev1.Pod
		want string
	}{
		{pod("ReplicaSet", "chat-5d9", "5d9", ""), "chat by inferno-scheduler"}, {pod("StatefulSet", "whole", "", ""), "whole by inferno-scheduler"},
		{pod("ReplicaSet", "chat-5d9", "5d9", "own-scheduler"), " by own-scheduler"}, {pod("ReplicaSet", "chat-b-5d9", "5d9", ""), " by default-scheduler"},
		{pod("StatefulSet", "chat", "", ""), " by default-scheduler"}, {pod("ReplicaSet", "theirs-5d9", "5d9", ""), " by default-scheduler"}, {pod("", "", "", ""), " by default-scheduler"},
	} {
		owners := c.pod.OwnerReferences
		if got := given(c.pod); got != c.want {
			t.Errorf("a pod of %+v is %q, want %q", owners, got, c.want)
		}
	}
	object := func(text string) *unstructured.Unstructured {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
			t.Fatal(err)
		}
		return o
	}
	const label, owner = "labels: {app.kubernetes.io/managed-by: inferno}", "ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: new, uid: a, controller: true}]"
	// Policies come into force a moment after they are stored, and refuse everything until the API server has read the objects that they ask for.
	settled := func(what string, do func() error, done func(error) bool) {
		t.Helper()
		for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
			err := do()
			if early := err != nil && strings.Contains(err.Error(), "not yet synced"); !early && done(err) {
				return
			}
			if time.Since(began) > 2*time.Minute {
				t.Errorf("%s: %v", what, err)
				return
			}
		}
	}
	allowed := func(what string, do func() error) {
		t.Helper()
		settled(what, do, func(err error) bool { return err == nil })
	}
	refused := func(what string, do func() error) {
		t.Helper()
		settled(what, do, func(err error) bool { return apierrors.IsForbidden(err) || apierrors.IsInvalid(err) })
	}
	scaler := "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {namespace: llm, name: new, LABEL, OWNER}\nspec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: new}}"
	for name, text := range map[string]string{
		"Server":      "apiVersion: inferno.platform.ai/v1alpha1\nkind: Server\nmetadata: {namespace: llm, name: new, LABEL, OWNER}\nspec: {model: m, serviceClass: c}",
		"autoscaler":  scaler,
		"Model":       "apiVersion: inferno.platform.ai/v1alpha1\nkind: Model\nmetadata: {name: new, LABEL}\nspec: {}",
		"Accelerator": "apiVersion: inferno.platform.ai/v1alpha1\nkind: Accelerator\nmetadata: {name: new, LABEL}\nspec: {costPerHour: 1}",
	} {
		whole := strings.NewReplacer("LABEL", label, "OWNER", owner).Replace(text)
		create := func(text string) func() error {
			return func() error { return optimizer.Create(t.Context(), object(text), client.DryRunAll) }
		}
		allowed(name+" that it makes", create(whole))
		refused(name+" without its label", create(strings.Replace(whole, "inferno}", "Helm}", 1)))
		if other := strings.Replace(whole, "kind: Deployment, name: new, uid", "kind: Deployment, name: other, uid", 1); other != whole {
			refused(name+" of another workload", create(other))
		}
	}
	theirs := object(strings.NewReplacer("LABEL", "labels: {a: b}", "OWNER", "annotations: {a: b}").Replace(scaler))
	if err := admin.Create(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	patch := func(c client.Client, o client.Object, labels string) func() error {
		return func() error {
			return c.Patch(t.Context(), o.DeepCopyObject().(client.Object), client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"labels": {`+labels+`}}}`)), client.DryRunAll)
		}
	}
	refused("another's autoscaler is removed", func() error { return optimizer.Delete(t.Context(), theirs, client.DryRunAll) })
	refused("another's autoscaler is made its own", patch(optimizer, theirs, `"app.kubernetes.io/managed-by": "inferno"`))
	told := pod("", "", "", "")
	if err := admin.Create(t.Context(), told); err != nil {
		t.Fatal(err)
	}
	refused("the scheduler says whose a pod is", patch(scheduler, told, `"inferno.platform.ai/server": "chat"`))
	for _, value := range []string{`"chat"`, "null"} {
		allowed("the optimizer says whose a pod is, "+value, patch(optimizer, told, `"inferno.platform.ai/server": `+value))
	}
	refused("the optimizer writes another label", patch(optimizer, told, `"app": "b"`))
}
