package manifests

import (
	"bytes"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
)

// policies of an installation.
func policies(t *testing.T, values string) []byte {
	t.Helper()
	all, err := installation{release: "inferno", namespace: Namespace, values: values}.render(t)
	if err != nil {
		t.Fatal(err)
	}
	var found [][]byte
	for _, document := range bytes.Split(all, []byte("\n---\n")) {
		if bytes.Contains(document, []byte("kind: ValidatingAdmissionPolicy")) {
			found = append(found, append(document, '\n'))
		}
	}
	return Join(found...)
}

// A real API server keeps a tenant from writing what plans rely on, says what is allowed, and lets everything else through.
func TestPolicies(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the binaries of the control plane")
	}
	plane, err := controlplane.Start(t.Context(), controlplane.Options{Scheduler: controlplane.SchedulerOptions{Disabled: true}, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plane.Stop() })
	namespace := "apiVersion: v1\nkind: Namespace\nmetadata: {name: llm}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: paying, labels: {classes.inferno.platform.ai/premium: \"true\"}}\n"
	account := "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default, namespace: llm}\n"
	if err := plane.Apply(t.Context(), Join(CRDs(), []byte(namespace), []byte(account), policies(t, "policies: {restrictedClasses: [premium]}"))); err != nil {
		t.Fatal(err)
	}
	as := func(user string) client.Client {
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
	class := func(namespace string) error {
		s := server("}\nspec: {model: m, serviceClass: premium}")
		s.SetNamespace(namespace)
		return as(tenant).Create(t.Context(), s)
	}
	refused("class", class("llm"), `spec.serviceClass: premium is not allowed in this namespace, which must have the label classes.inferno.platform.ai/premium: "true"`)
	accepted("class in a namespace that it is open to", class("paying"))
	bulk := server("}\nspec: {model: m, serviceClass: c}")
	accepted("another class", as(tenant).Create(t.Context(), bulk))
	if err := unstructured.SetNestedField(bulk.Object, "premium", "spec", "serviceClass"); err != nil {
		t.Fatal(err)
	}
	refused("class changed", as(tenant).Update(t.Context(), bulk), "spec.serviceClass: premium is not allowed")

	refused("another scheduler", as(tenant).Create(t.Context(), pod(func(p *corev1.Pod) { p.Spec.SchedulerName = "" })), "spec.schedulerName: default-scheduler is not allowed", SchedulerAccount)
	refused("forged accelerator", as(tenant).Create(t.Context(), pod(func(p *corev1.Pod) { p.Annotations["inferno.platform.ai/accelerator"] = "h100" })), "inferno.platform.ai/accelerator]: is not allowed")
	accepted("a pod of nobody", as(tenant).Create(t.Context(), pod(func(p *corev1.Pod) { p.Labels, p.Spec.SchedulerName = nil, "" })))
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
