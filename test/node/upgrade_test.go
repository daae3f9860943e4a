package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
)

// previous is the chart of the release before, where there is one: its package is kept from the first release on. Until then the present chart under
// another version stands for it, which upgrades every pod all the same.
const previous = "testdata/previous.tgz"

func architecture() string { return runtime.GOARCH }

// watched is what was seen while something went on.
type watched struct {
	longest time.Duration // without an answer of the metrics API
	fewest  int           // replicas ready
	answers int
	last    error
}

// watch the metrics API and the replicas of the workload until what it returns is called.
func (s *system) watch() (stop func() watched) {
	ctx, cancel := context.WithCancel(s.t.Context())
	w := watched{fewest: 1 << 30}
	var wait sync.WaitGroup
	wait.Go(func() {
		answered := time.Now()
		for ctx.Err() == nil {
			if _, err := s.desired(ctx); err == nil {
				w.answers++
				answered = time.Now()
			} else if ctx.Err() == nil {
				w.last = err
			}
			w.longest = max(w.longest, time.Since(answered))
			var d appsv1.Deployment
			if err := s.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "chat"}, &d); err == nil {
				w.fewest = min(w.fewest, int(d.Status.ReadyReplicas))
			}
			select {
			case <-ctx.Done():
			case <-time.After(250 * time.Millisecond):
			}
		}
	})
	return func() watched { cancel(); wait.Wait(); return w }
}

// learned is what was learned of the model: the parameters, and from how much.
func (s *system) learned() []v1alpha1.PairMemory {
	s.t.Helper()
	var list v1alpha1.EstimateList
	if err := s.Client.List(s.t.Context(), &list); err != nil {
		s.t.Fatal(err)
	}
	var all []v1alpha1.PairMemory
	for i := range list.Items {
		all = append(all, list.Items[i].Learned)
	}
	return all
}

// upgraded to another release and back again under load: no replica that is needed is lost, autoscalers are told all the time, what was learned and
// the user's Optimizer stay, and every pod is replaced.
func (s *system) upgraded() {
	defer s.load(7)()
	s.settled(2, cards)
	s.eventually("something is learned", func(context.Context) error {
		if len(s.learned()) == 0 {
			return fmt.Errorf("nothing is")
		}
		return nil
	})
	other := previous
	if _, err := os.Stat(previous); err != nil {
		other = s.repacked("0.1.99")
	}
	upgrade := func(chart string) func() {
		return func() {
			s.helm("upgrade", stack.Release, chart, "--namespace="+manifests.Namespace, "--reset-then-reuse-values", "--wait", "--timeout=10m")
		}
	}
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"to the other release", upgrade(other)},
		{"to this release", upgrade(chart)},
		{"back", func() {
			s.helm("rollback", stack.Release, "--namespace="+manifests.Namespace, "--wait", "--timeout=10m")
		}},
	} {
		var need v1alpha1.Server
		if err := s.Client.Get(s.t.Context(), client.ObjectKey{Namespace: namespace, Name: "chat"}, &need); err != nil {
			s.t.Fatal(err)
		}
		pods := names(s.pods(manifests.Namespace, nil))
		stop := s.watch()
		began := time.Now()
		step.do()
		s.allReady()
		took := time.Since(began)
		w := stop()
		s.t.Logf("%s: %s, longest gap of the metrics %s, at least %d replicas ready of %d planned before", step.name, took.Round(time.Second), w.longest.Round(time.Millisecond), w.fewest, need.Status.Desired.Replicas)
		if w.longest > gap || w.answers == 0 {
			s.t.Errorf("%s: autoscalers were not answered for %s (%v)", step.name, w.longest, w.last)
		}
		if w.fewest < 2 {
			s.t.Errorf("%s: %d replicas were left of those that the load needs, 2", step.name, w.fewest)
		}
		for _, name := range names(s.pods(manifests.Namespace, nil)) {
			if slices.Contains(pods, name) {
				s.t.Errorf("%s: %s is of the release before", step.name, name)
			}
		}
		if len(s.learned()) == 0 {
			s.t.Errorf("%s: what was learned is lost", step.name)
		}
		var o v1alpha1.Optimizer
		if err := s.Client.Get(s.t.Context(), client.ObjectKey{Name: "default"}, &o); err != nil || o.Spec.Interval.Duration != 2*time.Second {
			s.t.Errorf("%s: the user's Optimizer is %+v (%v)", step.name, o.Spec, err)
		}
	}
}

// names of the pods that are there to stay.
func names(pods []corev1.Pod) []string {
	var list []string
	for _, p := range pods {
		if p.DeletionTimestamp == nil {
			list = append(list, p.Name)
		}
	}
	slices.Sort(list)
	return list
}

// repacked is the present chart under another version.
func (s *system) repacked(version string) string {
	dir := s.t.TempDir()
	s.helm("package", sources, "--version="+version, "--app-version=v"+version, "--destination="+dir)
	return filepath.Join(dir, "inferno-"+version+".tgz")
}

// uninstalled: workloads run on as many replicas as they had, Servers, Models and what was learned stay, the API is free for another, and nothing else
// of the release is left.
func (s *system) uninstalled() {
	ctx := s.t.Context()
	var before appsv1.Deployment
	key := client.ObjectKey{Namespace: namespace, Name: "chat"}
	if err := s.Client.Get(ctx, key, &before); err != nil {
		s.t.Fatal(err)
	}
	learned := s.learned()
	out := s.helm("uninstall", stack.Release, "--namespace="+manifests.Namespace, "--wait", "--timeout=10m")
	s.t.Logf("helm uninstall says: %s", strings.TrimSpace(out))
	s.eventually("inferno's pods are gone", func(context.Context) error {
		if n := len(s.pods(manifests.Namespace, nil)); n > 0 {
			return fmt.Errorf("%d are not", n)
		}
		return nil
	})
	if _, err := s.desired(ctx); !apierrors.IsNotFound(err) {
		s.t.Errorf("external.metrics.k8s.io is not free: %v", err)
	}
	// An autoscaler that is told nothing keeps the number: it looks every second.
	time.Sleep(5 * time.Second)
	var after appsv1.Deployment
	if err := s.Client.Get(ctx, key, &after); err != nil {
		s.t.Fatal(err)
	}
	if *after.Spec.Replicas != *before.Spec.Replicas || after.Status.ReadyReplicas != *before.Spec.Replicas {
		s.t.Errorf("the workload had %d replicas, and has %d, %d ready", *before.Spec.Replicas, *after.Spec.Replicas, after.Status.ReadyReplicas)
	}
	// It may have learned more until it ended.
	if now := s.learned(); len(now) != len(learned) || now[0].Acc != learned[0].Acc || now[0].Observations < learned[0].Observations {
		s.t.Errorf("learned was %+v, left is %+v", learned, now)
	}
	// docs/upgrade.md says the same.
	want := []string{"Optimizer/default"}
	for _, kind := range []string{"accelerators", "models", "estimates", "optimizers", "serviceclasses", "servers"} {
		want = append(want, "CustomResourceDefinition/"+kind+".inferno.platform.ai")
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, s.left()); diff != "" {
		s.t.Errorf("of the release is left (-want +got):\n%s", diff)
	}
}

// left are the objects of the release that are there, of all kinds that can have any.
func (s *system) left() []string {
	s.t.Helper()
	kinds := strings.Fields(string(s.kubectl(nil, "api-resources", "--verbs=list,delete", "--output=name")))
	list := strings.Fields(string(s.kubectl(nil, "get", strings.Join(kinds, ","), "--all-namespaces", "--selector=app.kubernetes.io/part-of=inferno",
		"--ignore-not-found", `--output=jsonpath={range .items[*]}{.kind}/{.metadata.name}{"\n"}{end}`)))
	slices.Sort(list)
	return slices.Compact(list)
}

func (s *system) kubectl(input []byte, args ...string) []byte {
	s.t.Helper()
	kubectl, err := s.Kubectl(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.CommandContext(s.t.Context(), kubectl, append(args, "--kubeconfig="+s.AdminKubeconfig())...)
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("kubectl %v: %v: %s", args, err, stderr.Bytes())
	}
	return out
}

// restored from a backup as docs/upgrade.md tells to make one: what was learned is there again after everything was deleted, the optimizer goes on from
// it.
func (s *system) restored() {
	var backup unstructured.UnstructuredList
	if err := json.Unmarshal(s.kubectl(nil, "get", "accelerators,models,serviceclasses,servers,optimizers,estimates", "--all-namespaces", "--output=json"), &backup); err != nil {
		s.t.Fatal(err)
	}
	for i := range backup.Items {
		for _, field := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"} {
			unstructured.RemoveNestedField(backup.Items[i].Object, "metadata", field)
		}
	}
	data, err := json.Marshal(&backup)
	if err != nil {
		s.t.Fatal(err)
	}
	learned := s.learned()
	s.kubectl(nil, "delete", "crd", "--selector=app.kubernetes.io/part-of=inferno", "--wait")
	s.helm("install", stack.Release, chart, "--namespace="+manifests.Namespace, "--set=image.tag="+s.tag, "--set=optimizer.replicas=0", "--wait", "--timeout=10m")
	s.kubectl(data, "apply", "--server-side", "--force-conflicts", "--filename=-")
	s.helm("upgrade", stack.Release, chart, "--namespace="+manifests.Namespace, "--reset-then-reuse-values", "--set=optimizer.replicas=2", "--wait", "--timeout=10m")
	defer s.load(4)()
	s.eventually("it goes on learning", func(context.Context) error {
		now := s.learned()
		if len(now) != len(learned) || now[0].Observations <= learned[0].Observations {
			return fmt.Errorf("learned was %+v, is %+v", learned, now)
		}
		return nil
	})
	s.settled(1, cards)
}

// keepState shows how pods are, and the ends of inferno's logs.
func (s *system) keepState() {
	ctx := context.Background()
	for _, ns := range []string{manifests.Namespace, namespace} {
		var pods corev1.PodList
		if err := s.Client.List(ctx, &pods, client.InNamespace(ns)); err != nil {
			s.t.Log(err)
			continue
		}
		for _, p := range pods.Items {
			s.t.Logf("%s/%s on %q: %s %+v %+v", p.Namespace, p.Name, p.Spec.NodeName, p.Status.Phase, p.Status.Conditions, p.Status.ContainerStatuses)
			data, err := s.Kube.CoreV1().Pods(ns).GetLogs(p.Name, &corev1.PodLogOptions{TailLines: new(int64(8))}).Do(ctx).Raw()
			lines := []string{}
			for line := range strings.Lines(string(data)) {
				lines = append(lines, line[:min(len(line), 500)])
			}
			s.t.Logf("%v\n%s", err, strings.Join(lines, "\n"))
		}
	}
	var events corev1.EventList
	if err := s.Client.List(ctx, &events); err == nil {
		for _, e := range events.Items[max(0, len(events.Items)-40):] {
			s.t.Logf("%s %s/%s %s: %s", e.LastTimestamp.Format(time.TimeOnly), e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Message)
		}
	}
}

// machine is what a node may leave on its machine: links, mounts, tables, groups, files and settings.
func machine(t *testing.T) map[string][]string {
	t.Helper()
	list := func(patterns ...string) []string {
		var all []string
		for _, p := range patterns {
			found, err := filepath.Glob(p)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, found...)
		}
		return all
	}
	all := map[string][]string{
		"links": list("/sys/class/net/*"), "groups": list("/sys/fs/cgroup/*", "/sys/fs/cgroup/*/inferno-node*", "/sys/fs/cgroup/*/kubepods*"),
		"files": list("/var/lib/*", "/run/*", "/opt/*", "/etc/cni*", "/var/log/*", "/run/containerd/*", "/run/netns/*", "/var/lib/kubelet/*", "/var/lib/cni/*"),
	}
	for _, name := range []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet"} {
		data, err := os.ReadFile("/proc/sys/" + name)
		if err != nil {
			t.Fatal(err)
		}
		all["settings"] = append(all["settings"], name+" = "+strings.TrimSpace(string(data)))
	}
	tables, err := exec.Command("nft", "list", "tables").Output()
	if err != nil {
		t.Fatal(err)
	}
	all["tables"] = strings.Split(string(tables), "\n")
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		all["mounts"] = append(all["mounts"], strings.Fields(line)[4])
	}
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range lines {
		if data, err := os.ReadFile(file); err == nil && strings.Contains(string(data), "inferno-node") {
			all["processes"] = append(all["processes"], strings.ReplaceAll(string(data), "\x00", " "))
		}
	}
	return all
}

// sameMachine: a node leaves nothing behind.
func sameMachine(t *testing.T, before, after map[string][]string) {
	t.Helper()
	for kind := range after {
		for _, what := range after[kind] {
			if !slices.Contains(before[kind], what) {
				t.Errorf("left behind: %s %s", kind, what)
			}
		}
	}
}
