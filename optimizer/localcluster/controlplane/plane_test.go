package controlplane

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// startPlane starts a plane for a test, or skips the test in short mode. It does not outlive the test.
func startPlane(t *testing.T, o Options) (*Plane, kubernetes.Interface) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the binaries of the control plane, which take minutes to build the first time")
	}
	o.Progress = t.Output()
	plane, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Error(err)
		}
	})
	client, err := kubernetes.NewForConfig(plane.Config())
	if err != nil {
		t.Fatal(err)
	}
	return plane, client
}

// deployment returns a Deployment of pods that take one GPU each.
func deployment(name string, replicas int32, gpu corev1.ResourceName) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "engine", Image: "engine",
					Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{gpu: resource.MustParse("1")}},
				}}},
			},
		},
	}
}

func readyReplicas(t *testing.T, client kubernetes.Interface, name string) int32 {
	d, err := client.AppsV1().Deployments(metav1.NamespaceDefault).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Log(err) // the API server may be restarting
		return -1
	}
	return d.Status.ReadyReplicas
}

func scale(t *testing.T, client kubernetes.Interface, name string, replicas int) {
	t.Helper()
	patch := fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas)
	_, err := client.AppsV1().Deployments(metav1.NamespaceDefault).
		Patch(t.Context(), name, "application/merge-patch+json", []byte(patch), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPlane runs what leaves a plane as it was on the same one, as each start takes seconds.
func TestPlane(t *testing.T) {
	plane, client := startPlane(t, Options{Prometheus: &PrometheusOptions{}})
	for _, test := range []struct {
		name string
		run  func(*testing.T, *Plane, kubernetes.Interface)
	}{
		{"DeploymentRunsOnSimulatedGPUs", testDeploymentRunsOnSimulatedGPUs},
		{"PodTakesItsTimeToStart", testPodTakesItsTimeToStart},
		{"PodTakesItsTimeToGo", testPodTakesItsTimeToGo},
		{"UsersHaveTheRightsOfTheirRoles", testUsersHaveTheRightsOfTheirRoles},
		{"KubectlWorksWithTheKubeconfig", testKubectlWorksWithTheKubeconfig},
		{"ApplyOrdersAndReportsAllFaults", testApplyOrdersAndReportsAllFaults},
		{"Kustomize", testKustomize},
		{"PrometheusScrapesTargets", testPrometheusScrapesTargets},
		{"AggregatorReachesAServerOnThisMachine", testAggregatorReachesAServerOnThisMachine},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, plane, client) })
	}
}

func testDeploymentRunsOnSimulatedGPUs(t *testing.T, plane *Plane, client kubernetes.Interface) {
	err := plane.AddNodes(t.Context(),
		NodePool{Name: "h100", Count: 2, GPU: H100, GPUsPerNode: 2},
		NodePool{Name: "mi300x", Count: 1, GPU: MI300X, GPUsPerNode: 1})
	if err != nil {
		t.Fatal(err)
	}
	deployments := client.AppsV1().Deployments(metav1.NamespaceDefault)
	if _, err := deployments.Create(t.Context(), deployment("chat", 3, NVIDIAResource), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "3 pods are Ready", func() bool { return readyReplicas(t, client, "chat") == 3 })
	scale(t, client, "chat", 6)
	eventually(t, "4 of 6 pods are Ready, as there are 4 GPUs", func() bool { return readyReplicas(t, client, "chat") == 4 })

	pods, err := client.CoreV1().Pods(metav1.NamespaceDefault).List(t.Context(), metav1.ListOptions{LabelSelector: "app=chat"})
	if err != nil {
		t.Fatal(err)
	}
	perNode := map[string]int{}
	for _, pod := range pods.Items {
		perNode[pod.Spec.NodeName]++
		if pod.Spec.NodeName != "" && pod.Status.PodIP == "" {
			t.Errorf("pod %s has no address", pod.Name)
		}
	}
	if perNode["h100-0"] != 2 || perNode["h100-1"] != 2 || perNode[""] != 2 || perNode["mi300x-0"] != 0 {
		t.Errorf("pods per node are %v, want 2 on each h100 node and 2 pending", perNode)
	}
	scale(t, client, "chat", 0)
	eventually(t, "the pods are gone", func() bool {
		pods, err := client.CoreV1().Pods(metav1.NamespaceDefault).List(t.Context(), metav1.ListOptions{LabelSelector: "app=chat"})
		return err == nil && len(pods.Items) == 0
	})
}

func testPodTakesItsTimeToStart(t *testing.T, plane *Plane, client kubernetes.Interface) {
	if err := plane.AddNodes(t.Context(), NodePool{Name: "starting", Count: 1, GPU: MI300X, GPUsPerNode: 2}); err != nil {
		t.Fatal(err)
	}
	deployments := client.AppsV1().Deployments(metav1.NamespaceDefault)
	slow, quick := deployment("slow", 1, AMDResource), deployment("quick", 1, AMDResource)
	slow.Spec.Template.Annotations = map[string]string{StartupSecondsAnnotation: "3600"}
	quick.Spec.Template.Annotations = map[string]string{StartupSecondsAnnotation: "2"}
	for _, d := range []*appsv1.Deployment{slow, quick} {
		if _, err := deployments.Create(t.Context(), d, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the quick pod is Ready", func() bool { return readyReplicas(t, client, "quick") == 1 })
	pods, err := client.CoreV1().Pods(metav1.NamespaceDefault).List(t.Context(), metav1.ListOptions{LabelSelector: "app=quick"})
	if err != nil || len(pods.Items) != 1 {
		t.Fatalf("pods %v, error %v, want one", pods, err)
	}
	pod := pods.Items[0]
	for _, c := range pod.Status.Conditions {
		if took := c.LastTransitionTime.Sub(pod.Status.StartTime.Time); c.Type == corev1.PodReady && took < 2*time.Second {
			t.Errorf("Ready %v after the start, want 2 s or more", took)
		}
	}
	eventually(t, "the slow pod runs", func() bool {
		pods, err := client.CoreV1().Pods(metav1.NamespaceDefault).List(t.Context(), metav1.ListOptions{LabelSelector: "app=slow"})
		return err == nil && len(pods.Items) == 1 && pods.Items[0].Status.Phase == corev1.PodRunning
	})
	if got := readyReplicas(t, client, "slow"); got != 0 {
		t.Errorf("%d replicas are Ready before their start-up time is over", got)
	}
}

func testPodTakesItsTimeToGo(t *testing.T, plane *Plane, client kubernetes.Interface) {
	if err := plane.AddNodes(t.Context(), NodePool{Name: "going", Count: 1, GPU: L4, GPUsPerNode: 3}); err != nil {
		t.Fatal(err)
	}
	pods := client.CoreV1().Pods(metav1.NamespaceDefault)
	// How long a pod asks for, what its grace period allows, and how long it is there.
	times := map[string]struct{ wish, grace, want int64 }{"goes-at-once": {0, 3600, 0}, "goes-in-time": {2, 3600, 2}, "goes-early": {3600, 2, 2}}
	for name, c := range times {
		template := deployment(name, 1, NVIDIAResource).Spec.Template
		template.Spec.TerminationGracePeriodSeconds = &c.grace
		pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
		pod.Name, pod.Annotations = name, map[string]string{ShutdownSecondsAnnotation: strconv.FormatInt(c.wish, 10)}
		if _, err := pods.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range times {
		eventually(t, name+" runs", func() bool {
			pod, err := pods.Get(t.Context(), name, metav1.GetOptions{})
			return err == nil && pod.Status.Phase == corev1.PodRunning
		})
		deleted := time.Now()
		if err := pods.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, name+" is gone", func() bool {
			_, err := pods.Get(t.Context(), name, metav1.GetOptions{})
			return apierrors.IsNotFound(err)
		})
		// Times in the metadata have whole seconds.
		if took := time.Since(deleted); took < time.Duration(c.want-1)*time.Second {
			t.Errorf("%s was gone after %v, want no less than %d s", name, took, c.want-1)
		}
	}
}

func testUsersHaveTheRightsOfTheirRoles(t *testing.T, plane *Plane, _ kubernetes.Interface) {
	err := plane.Apply(t.Context(), []byte(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reads-config, namespace: llm}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reads-config, namespace: llm}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reads-config}
subjects: [{kind: ServiceAccount, name: optimizer, namespace: llm}]
---
apiVersion: v1
kind: Namespace
metadata: {name: llm}
`))
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := plane.ServiceAccountKubeconfig("llm", "optimizer")
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().ConfigMaps("llm").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("what the role allows: %v", err)
	}
	if _, err := client.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("another namespace: error %v, want forbidden", err)
	}
}

func testKubectlWorksWithTheKubeconfig(t *testing.T, plane *Plane, _ kubernetes.Interface) {
	kubectl, err := plane.Kubectl(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), kubectl, "--kubeconfig", plane.AdminKubeconfig(), "version", "-o", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var versions struct {
		ClientVersion, ServerVersion struct{ GitVersion string }
	}
	if err := json.Unmarshal(out, &versions); err != nil {
		t.Fatal(err)
	}
	if v := versions.ServerVersion.GitVersion; v == "" || v != versions.ClientVersion.GitVersion {
		t.Errorf("client and server versions are %+v, want the same", versions)
	}
}

const widgetCRD = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
`

func testApplyOrdersAndReportsAllFaults(t *testing.T, plane *Plane, _ kubernetes.Interface) {
	// The widget comes before its definition and its namespace.
	files := fstest.MapFS{
		"a/widget.yaml":           {Data: []byte("apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: shop}\nspec: {size: 1}\n")},
		"b/crd.yaml":              {Data: []byte(widgetCRD)},
		"b/kustomization.yaml":    {Data: []byte("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [crd.yaml]\n")},
		"c/namespace.json":        {Data: []byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}`)},
		"c/README.md":             {Data: []byte("not a manifest: [")},
		"d/default-namespace.yml": {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n")},
	}
	for range 2 { // applying again changes nothing
		if err := plane.ApplyFS(t.Context(), files); err != nil {
			t.Fatal(err)
		}
	}
	err := plane.Apply(t.Context(), []byte(`
{apiVersion: example.com/v1, kind: Widget, metadata: {name: bad, namespace: shop}, spec: {size: large}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: homeless, namespace: nowhere}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: fine, namespace: shop}}
`))
	if err == nil || !strings.Contains(err.Error(), "shop/bad") || !strings.Contains(err.Error(), "nowhere/homeless") {
		t.Errorf("error %v, want one that names both refused objects", err)
	}
	kubectl, err := plane.Kubectl(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	get := exec.CommandContext(t.Context(), kubectl, "--kubeconfig", plane.AdminKubeconfig(),
		"get", "-n", "shop", "widget/w", "configmap/fine", "-o", "name")
	if out, err := get.CombinedOutput(); err != nil {
		t.Errorf("what was not refused is not there: %v\n%s", err, out)
	}
}

func testKustomize(t *testing.T, plane *Plane, client kubernetes.Interface) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"kustomization.yaml": "resources: [config.yaml]\nnamePrefix: my-\n",
		"config.yaml":        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	manifests, err := plane.Kustomize(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := plane.Apply(t.Context(), manifests); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().ConfigMaps("default").Get(t.Context(), "my-c", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := plane.Kustomize(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "kustomization") {
		t.Errorf("a folder without kustomization: error %v, want one that says so", err)
	}
}

func testPrometheusScrapesTargets(t *testing.T, plane *Plane, _ kubernetes.Interface) {
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "answer 42")
	}))
	defer target.Close()
	targets := fmt.Sprintf(`[{"targets":[%q],"labels":{"pod":"chat-0"}}]`, strings.TrimPrefix(target.URL, "http://"))
	if err := os.WriteFile(filepath.Join(plane.TargetsDir(), "fleet.json"), []byte(targets), 0o600); err != nil {
		t.Fatal(err)
	}
	query := plane.PrometheusURL() + "/api/v1/query?query=" + url.QueryEscape(`answer{pod="chat-0"}`)
	eventually(t, "the target was scraped", func() bool {
		resp, err := http.Get(query)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var answer struct {
			Data struct{ Result []struct{ Value [2]any } }
		}
		err = json.NewDecoder(resp.Body).Decode(&answer)
		return err == nil && len(answer.Data.Result) == 1 && answer.Data.Result[0].Value[1] == "42"
	})
}

// testAggregatorReachesAServerOnThisMachine registers an API that a server of this process serves, in the way that the
// metrics adapter is registered.
func testAggregatorReachesAServerOnThisMachine(t *testing.T, plane *Plane, client kubernetes.Interface) {
	pair, err := plane.ServingCert("adapter.default.svc")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 || r.TLS.PeerCertificates[0].Subject.CommonName != "front-proxy-client" {
			http.Error(w, "only the aggregator may ask", http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"greeting.example.com/v1","resources":[],
			"user":%q}`, r.Header.Get("X-Remote-User"))
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	err = plane.Apply(t.Context(), fmt.Appendf(nil, `
{apiVersion: v1, kind: Service, metadata: {name: adapter}, spec: {type: ExternalName, externalName: localhost}}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.greeting.example.com}
spec:
  group: greeting.example.com
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 100
  caBundle: %s
  service: {namespace: default, name: adapter, port: %s}
`, base64.StdEncoding.EncodeToString(plane.CA()), port))
	if err != nil {
		t.Fatal(err)
	}
	var page []byte
	eventually(t, "the API server passes requests on", func() bool {
		page, err = client.CoreV1().RESTClient().Get().AbsPath("/apis/greeting.example.com/v1").DoRaw(t.Context())
		return err == nil
	})
	if !strings.Contains(string(page), `"user":"admin"`) {
		t.Errorf("the server was not told who asks: %s", page)
	}
}

func TestEveryProcessRecoversFromKill(t *testing.T) {
	plane, client := startPlane(t, Options{Prometheus: &PrometheusOptions{}})
	if err := plane.AddNodes(t.Context(), NodePool{Name: "l4", Count: 1, GPU: L4, GPUsPerNode: 8}); err != nil {
		t.Fatal(err)
	}
	deployments := client.AppsV1().Deployments(metav1.NamespaceDefault)
	if _, err := deployments.Create(t.Context(), deployment("chat", 1, NVIDIAResource), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pod is Ready", func() bool { return readyReplicas(t, client, "chat") == 1 })
	names := []Binary{APIServer, Etcd, ControllerManager, Scheduler, Kwok, Prometheus}
	for _, name := range names {
		pid := plane.Process(string(name)).PID()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatalf("kill %s, process %d: %v", name, pid, err)
		}
	}
	for _, name := range names {
		eventually(t, string(name)+" is back", func() bool { return plane.Process(string(name)).Restarts() > 0 })
	}
	eventually(t, "the API server answers", func() bool {
		return HTTPReady(plane.URL()+"/readyz", plane.ca.pool())(t.Context()) == nil
	})
	eventually(t, "Prometheus answers", func() bool { return HTTPReady(plane.PrometheusURL()+"/-/ready", nil)(t.Context()) == nil })
	scale(t, client, "chat", 3)
	eventually(t, "3 pods are Ready", func() bool { return readyReplicas(t, client, "chat") == 3 })
}

func TestStopLeavesNothing(t *testing.T) {
	plane, _ := startPlane(t, Options{})
	var pids []int
	for _, process := range plane.processes {
		pids = append(pids, process.PID())
	}
	if err := plane.Stop(); err != nil {
		t.Fatal(err)
	}
	if len(pids) != 5 {
		t.Errorf("the plane had processes %v, want 5", pids)
	}
	for _, pid := range pids {
		if isRunning(pid) {
			t.Errorf("process %d runs after Stop", pid)
		}
	}
	if _, err := os.Stat(plane.Dir()); !os.IsNotExist(err) {
		t.Errorf("instance directory after Stop: %v", err)
	}
	if err := plane.Run(t.Context(), &Process{Name: "late", Path: "/bin/true"}); err == nil {
		t.Error("a process was started on a stopped plane")
	}
}

// TestNothingOutlivesItsParent runs a plane in a process that is then killed.
func TestNothingOutlivesItsParent(t *testing.T) {
	if os.Getenv("CONTROLPLANE_PARENT") != "" {
		plane, _ := startPlane(t, Options{})
		for _, process := range plane.processes {
			fmt.Printf("child %d\n", process.PID())
		}
		fmt.Println("dir", plane.Dir())
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNothingOutlivesItsParent$")
	cmd.Env = append(os.Environ(), "CONTROLPLANE_PARENT=1")
	out, err := cmd.Output()
	if cmd.ProcessState == nil || cmd.ProcessState.Success() {
		t.Fatalf("the parent was not killed: %v\n%s", err, out)
	}
	children, dir := 0, ""
	for line := range strings.Lines(string(out)) {
		var pid int
		if n, _ := fmt.Sscanf(line, "child %d", &pid); n == 1 {
			children++
			eventually(t, line+" has died with its parent", func() bool { return !isRunning(pid) })
		}
		if rest, ok := strings.CutPrefix(line, "dir "); ok {
			dir = strings.TrimSpace(rest)
		}
	}
	if children != 5 {
		t.Errorf("%d children were reported, want 5:\n%s", children, out)
	}
	removeAbandoned()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the abandoned instance directory %q: %v", dir, err)
	}
}

func TestTwoPlanesAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("starts two control planes")
	}
	planes := make([]*Plane, 2)
	clients := make([]kubernetes.Interface, 2)
	t.Run("start", func(t *testing.T) {
		starts := make([]func(context.Context) error, 2)
		for i := range planes {
			starts[i] = func(ctx context.Context) (err error) {
				planes[i], err = Start(ctx, Options{})
				return err
			}
		}
		if err := all(t.Context(), starts); err != nil {
			t.Error(err)
		}
	})
	for i, plane := range planes {
		if plane == nil {
			t.Fatal("not all planes started")
		}
		defer plane.Stop()
		var err error
		if clients[i], err = kubernetes.NewForConfig(plane.Config()); err != nil {
			t.Fatal(err)
		}
	}
	if err := planes[0].AddNodes(t.Context(), NodePool{Name: "only-here", Count: 1, GPU: L4, GPUsPerNode: 1}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{1, 0} {
		nodes, err := clients[i].CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		if err != nil || len(nodes.Items) != want {
			t.Errorf("plane %d has nodes %v (error %v), want %d", i, nodes, err, want)
		}
	}
}

func TestStartFailsWithTheReasonAndLeavesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	t.Setenv("TMPDIR", t.TempDir())
	_, err := Start(t.Context(), Options{ExtraArgs: map[Binary][]string{ControllerManager: {"--no-such-flag"}}})
	if err == nil || !strings.Contains(err.Error(), "kube-controller-manager") || !strings.Contains(err.Error(), "no-such-flag") {
		t.Errorf("error %v, want one that names the component and quotes its log", err)
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "*"+instancePrefix+"*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (error %v)", left, err)
	}
}

func TestSchedulerStartedLater(t *testing.T) {
	plane, client := startPlane(t, Options{Scheduler: SchedulerOptions{Disabled: true}, PodStartup: time.Second})
	if err := plane.AddNodes(t.Context(), NodePool{Name: "cpu", Count: 1}); err != nil {
		t.Fatal(err)
	}
	d := deployment("web", 1, corev1.ResourceCPU)
	d.Spec.Template.Spec.SchedulerName = "inferno"
	if _, err := client.AppsV1().Deployments(metav1.NamespaceDefault).Create(t.Context(), d, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := plane.StartScheduler(t.Context(), SchedulerOptions{Config: []byte("profiles: [{schedulerName: inferno}]")}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its profile has bound the pod", func() bool { return readyReplicas(t, client, "web") == 1 })
	if err := plane.StartScheduler(t.Context(), SchedulerOptions{}); err == nil {
		t.Error("a second scheduler was started")
	}
}
