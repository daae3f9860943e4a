package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
	"github.com/llm-inferno/inferno/optimizer/loop"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// namespace that the Servers of the recorded cycle are in.
const namespace = "simulation"

// lastRecord of the recorded cycles.
func lastRecord(t *testing.T) *loop.Record {
	t.Helper()
	data, err := os.ReadFile(logOf(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	r := new(loop.Record)
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), r); err != nil {
		t.Fatal(err)
	}
	return r
}

// cluster is a real API server that has what the last cycle had, as the loop writes it.
func cluster(t *testing.T) (*controlplane.Plane, client.Client, *loop.Record) {
	t.Helper()
	plane, err := controlplane.Start(t.Context(), controlplane.Options{Scheduler: controlplane.SchedulerOptions{Disabled: true}, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plane.Stop() })
	c, _, err := stack.Clients(plane.Config())
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(plane.Apply(t.Context(), manifests.CRDs()), c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	if err == nil {
		err = plane.AddNodes(t.Context(), controlplane.NodePool{Name: "h100", Count: 2, GPU: controlplane.H100, GPUsPerNode: 8}, controlplane.NodePool{Name: "l40s", Count: 3, GPU: controlplane.L40S, GPUsPerNode: 4})
	}
	if err != nil {
		t.Fatal(err)
	}
	r := lastRecord(t)
	resources, err := specification.ToResources(&r.System, namespace)
	if err != nil {
		t.Fatal(err)
	}
	resources.Optimizer.Spec.Interval = metav1.Duration{Duration: 30 * time.Second}
	var faults []error
	for i := range resources.Accelerators {
		resources.Accelerators[i].Spec.ProductNames = nil // those of the catalogue, which the nodes have
		faults = append(faults, c.Create(t.Context(), &resources.Accelerators[i]))
	}
	for i := range resources.Models {
		faults = append(faults, c.Create(t.Context(), &resources.Models[i]))
	}
	for i := range resources.ServiceClasses {
		faults = append(faults, c.Create(t.Context(), &resources.ServiceClasses[i]))
	}
	for i := range resources.Servers {
		faults = append(faults, createServer(t.Context(), c, &resources.Servers[i], r))
	}
	faults = append(faults, c.Create(t.Context(), resources.Optimizer))
	if err := errors.Join(faults...); err != nil {
		t.Fatal(err)
	}
	writeCycle(t, c, "first", r)
	return plane, c, r
}

// createServer with the status that the recorded cycle gives it.
func createServer(ctx context.Context, c client.Client, s *v1alpha1.Server, r *loop.Record) error {
	if err := c.Create(ctx, s); err != nil {
		return err
	}
	for i := range r.System.Servers.Spec {
		if e := &r.System.Servers.Spec[i]; e.Name == specification.Name(s) {
			a := r.Plan.Allocations[e.Name]
			now := metav1.Now()
			s.Status.Desired = specification.Desired(&a)
			s.Status.Desired.DecidedAt, s.Status.Desired.ConfirmedAt = now, now
			s.Status.Load = &v1alpha1.ObservedLoad{Load: *e.CurrentAlloc.Load, ObservedAt: now}
			s.Status.Measured = &v1alpha1.Latencies{TTFT: &e.CurrentAlloc.TTFTAverage, ITL: &e.CurrentAlloc.ITLAverage}
			s.Status.Current = e.Observation.Parts
		}
	}
	for _, k := range []string{v1alpha1.ConditionObserved, v1alpha1.ConditionPlanned, v1alpha1.ConditionRealised} {
		meta.SetStatusCondition(&s.Status.Conditions, metav1.Condition{Type: k, Status: metav1.ConditionTrue, Reason: k, Message: "as recorded"})
	}
	return c.Status().Update(ctx, s)
}

// writeCycle into the Optimizer's status.
func writeCycle(t *testing.T, c client.Client, id string, r *loop.Record) {
	t.Helper()
	var list v1alpha1.OptimizerList
	if err := c.List(t.Context(), &list); err != nil || len(list.Items) != 1 {
		t.Fatalf("%d Optimizers: %v", len(list.Items), err)
	}
	o := &list.Items[0]
	o.Status.LastCycle = &v1alpha1.CycleReport{ID: id, Time: metav1.Now(), Servers: len(r.System.Servers.Spec), TotalCost: r.Plan.TotalCost, Solver: r.Plan.Solver.Name}
	if err := c.Status().Update(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// All pages over a live cluster. What changes comes by itself; a Prometheus that stopped is said of each server that it leaves unknown, and the rest is
// shown; whoever may see little is told what is missing and sees that.
func TestLiveCluster(t *testing.T) {
	plane, c, r := cluster(t)
	base := serve(t, "--kubeconfig", plane.AdminKubeconfig())
	b := open(t, base, 1280, 900)
	b.goTo("#/fleet")
	b.says("cluster", "first", "chat-premium", "/ 16 cards")
	walk(b, "chat-premium")

	var s v1alpha1.Server
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "chat-premium"}, &s); err != nil {
		t.Fatal(err)
	}
	meta.SetStatusCondition(&s.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionObserved, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonPrometheusUnreachable, Message: "connection refused"})
	if err := c.Status().Update(t.Context(), &s); err != nil {
		t.Fatal(err)
	}
	writeCycle(t, c, "second", r)
	b.goTo("#/fleet")
	b.until("one server is not observed", `[...document.querySelectorAll(".virtual tbody tr")].some((r) => r.innerText.includes("not observed") && r.innerText.includes("chat-premium"))`)
	b.says("second", "agent-bulk")
	b.goTo("#/server/chat-premium")
	b.says("prometheusunreachable", "connection refused", "ways to serve it")
	b.usable("a server that is not observed")

	t.Run("without rights", func(t *testing.T) {
		path, err := plane.Kubeconfig("nobody")
		if err != nil {
			t.Fatal(err)
		}
		b := open(t, serve(t, "--kubeconfig", path), 1280, 900)
		b.goTo("#/fleet")
		b.says("not all could be read", "servers cannot be listed", "nodes cannot be listed", "no server")
		b.usable("a cluster without rights")
	})
	t.Run("with the rights of a tenant", func(t *testing.T) {
		role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "see", Namespace: namespace}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"servers"}, Verbs: []string{"list"}}}}
		binding := &rbacv1.RoleBinding{ObjectMeta: role.ObjectMeta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "see"}, Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "tenant"}}}
		path, err := plane.Kubeconfig("tenant")
		if err = errors.Join(err, c.Create(t.Context(), role), c.Create(t.Context(), binding)); err != nil {
			t.Fatal(err)
		}
		b := open(t, serve(t, "--kubeconfig", path, "--namespace", namespace), 1280, 900)
		b.goTo("#/fleet")
		b.says("accelerators cannot be listed", "agent-bulk", "chat-premium")
		b.goTo("#/server/agent-bulk")
		b.says("agent-bulk", "load and forecast")
	})
}

// The optimizer's own page, over its own cycles: it asks who looks, and shows the Servers that a real API server lets the owner of the token list.
func TestOptimizersConsole(t *testing.T) {
	plane, c, _ := cluster(t)
	elsewhere := &v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Name: "someone-elses", Namespace: "elsewhere"}}
	var one v1alpha1.Server
	err := errors.Join(
		c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "elsewhere"}}),
		c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "chat-premium"}, &one),
		plane.Apply(t.Context(), manifests.RBAC()),
	)
	elsewhere.Spec = one.Spec
	if err := errors.Join(err, c.Create(t.Context(), elsewhere)); err != nil {
		t.Fatal(err)
	}
	base := optimizersConsole(t, plane)

	b := open(t, base, 1280, 900)
	b.expect("401") // is how the page learns that it has to ask
	b.run(chromedp.Navigate(b.base))
	b.says("who asks?", "a bearer token of the cluster is needed")
	b.usable("the question who asks")
	look := func(token string) {
		b.run(chromedp.SetValue("#token", token), chromedp.Click("form button"))
	}
	look("made up")
	b.says("the API server does not know the token")

	look(tokenOf(t, c, "sees-all", &rbacv1.ClusterRoleBinding{}))
	b.until("the optimizer has decided, and the fleet is shown", `document.body.innerText.includes("someone-elses")`)
	b.says("chat-premium", "not observed", "/ 16 cards")
	b.goTo("#/server/elsewhere%2Fsomeone-elses")
	b.says("ways to serve it", "its decisions")
	b.goTo("#/ask")
	b.says("move a slider")

	tenant := open(t, base, 390, 844)
	tenant.expect("401")
	tenant.run(chromedp.Navigate(b.base))
	tenant.says("who asks?")
	b = tenant
	look(tokenOf(t, c, "tenant", &rbacv1.RoleBinding{}))
	b.says("chat-premium")
	if eval[bool](b, `document.body.innerText.includes("someone-elses")`) {
		t.Error("a tenant sees the Server of another")
	}
	for _, page := range []string{"#/ask", "#/timeline"} {
		if eval[bool](b, `document.querySelector('nav a[href^="`+page+`"]') !== null`) {
			t.Errorf("a tenant is offered %s, which is of the whole fleet", page)
		}
	}
	b.usable("what a tenant sees")
}

// optimizersConsole is where an optimizer with the rights of its account serves its page.
func optimizersConsole(t *testing.T, plane *controlplane.Plane) string {
	t.Helper()
	kubeconfig, err := plane.ServiceAccountKubeconfig(manifests.Namespace, manifests.OptimizerAccount)
	if err != nil {
		t.Fatal(err)
	}
	var ports [3]int
	for i := range ports {
		if ports[i], err = plane.FreePort(); err != nil {
			t.Fatal(err)
		}
	}
	err = plane.Run(t.Context(), &controlplane.Process{
		Name: optimizer, Path: filepath.Join(programs, optimizer), Env: manifests.Environment(optimizer),
		Args: []string{
			"--kubeconfig=" + kubeconfig, "--prometheus-url=http://127.0.0.1:1", "--metrics-bind-address=127.0.0.1:" + fmt.Sprint(ports[0]),
			"--health-bind-address=127.0.0.1:" + fmt.Sprint(ports[1]), "--console-bind-address=127.0.0.1:" + fmt.Sprint(ports[2]),
		},
		Ready: controlplane.HTTPReady(fmt.Sprintf("http://127.0.0.1:%d/readyz", ports[1]), nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	return "http://127.0.0.1:" + fmt.Sprint(ports[2])
}

// tokenOf a service account that may list Servers wherever the binding holds: in one namespace, or in all.
func tokenOf(t *testing.T, c client.Client, name string, binding client.Object) string {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"servers"}, Verbs: []string{"list"}}}}
	subjects := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}
	switch b := binding.(type) {
	case *rbacv1.ClusterRoleBinding:
		b.Name, b.Subjects, b.RoleRef = name, subjects, ref
	case *rbacv1.RoleBinding:
		b.Name, b.Namespace, b.Subjects, b.RoleRef = name, namespace, subjects, ref
	}
	request := new(authenticationv1.TokenRequest)
	err := errors.Join(c.Create(t.Context(), account), c.Create(t.Context(), role), c.Create(t.Context(), binding), c.SubResource("token").Create(t.Context(), account, request))
	if err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}
