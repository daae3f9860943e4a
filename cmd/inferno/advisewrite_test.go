package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/evaluation/advise"
	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

// found is a cluster of three workloads that serve, the first two of them one model on one and on two cards, and one whose accelerator is not known.
func found() *advise.Cluster {
	two := serving("vllm/vllm-openai:v0.11.0", "--model=Qwen/Qwen3-8B", "--tensor-parallel-size=2")
	two.Spec.Containers[0].Resources.Limits["nvidia.com/gpu"] = resource.MustParse("2")
	one := serving("vllm/vllm-openai:v0.11.0", "--model=Qwen/Qwen3-8B", "--max-num-seqs=64", "--max-num-batched-tokens=4096")
	c := &advise.Cluster{Nodes: []corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"nvidia.com/gpu.product": "NVIDIA-L40S"}}}}}
	for _, w := range []advise.Workload{
		{Namespace: "a", Name: "chat", Kind: "Deployment", Replicas: 2, Template: &one}, {Namespace: "b", Name: "chat", Kind: "StatefulSet", Replicas: 1, Template: &two},
		{Namespace: "b", Name: "code", Kind: "Deployment", Replicas: 1, Template: &one}, {Namespace: "b", Name: "idle", Kind: "Deployment", Template: &one},
	} {
		c.Workloads = append(c.Workloads, w)
		suffix := map[string]string{"Deployment": "-7f-aaaaa", "StatefulSet": "-0"}[w.Kind]
		if w.Replicas > 0 {
			c.Pods = append(c.Pods, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: w.Name + suffix}, Spec: corev1.PodSpec{NodeName: "n"}})
		}
	}
	return c
}

// advised on what was found, by a Prometheus that knows nothing.
func advised(t *testing.T, o *adviseOptions) *advise.Report {
	t.Helper()
	o.span, o.window, o.startUp, o.ttft, o.itl, o.percentile = time.Hour, 2*time.Minute, time.Minute, time.Second, 50*time.Millisecond, 90
	nothing := observe.Whole(func(context.Context, string, time.Time) (model.Value, []string, error) {
		return model.Matrix{}, nil, nil
	})
	report, err := o.advise(context.Background(), found(), nothing, catalogue.BuiltInPrices(), time.Unix(1_700_000_000, 0), new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// What is written fits the schemas that are installed, refers to what is written with it, and, as a component of what a team has, changes of its workloads nothing
// but the label, the annotations and the scheduler.
func TestAdviseWritesManifests(t *testing.T) {
	dir := t.TempDir()
	o := &adviseOptions{write: filepath.Join(dir, "inferno")}
	report := advised(t, o)
	var said bytes.Buffer
	if err := o.writeAdvised(report, catalogue.BuiltInPrices(), &said); err != nil {
		t.Fatal(err)
	}
	if want := "kubectl patch statefulset chat -n b --patch-file " + filepath.Join(o.write, "b/chat-patch.yaml"); !strings.Contains(said.String(), want) {
		t.Errorf("it does not say %q:\n%s", want, &said)
	}
	before := map[string]*appsv1.Deployment{}
	var own [][]byte
	for _, w := range found().Workloads { // a StatefulSet has these fields of a Deployment, too
		n := int32(3)
		d := &appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: w.Kind}, ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: w.Name}}
		d.Spec.Replicas, d.Spec.Template = &n, *w.Template
		d.Spec.Template.Labels = map[string]string{"app": "theirs"}
		before[w.Kind+" "+w.Namespace+"/"+w.Name] = d
		text, err := yaml.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		own = append(own, text)
	}
	for name, text := range map[string]string{"theirs.yaml": string(bytes.Join(own, []byte("---\n"))), "kustomization.yaml": "resources: [theirs.yaml]\ncomponents: [inferno]\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	schemas, kinds := definitions(t), map[string]int{}
	there, wanted := map[string]bool{}, []string{"ServiceClass/advised", "Accelerator/l40s"}
	for _, r := range built.Resources() {
		text := []byte(r.MustYaml())
		var content map[string]any
		if err := yaml.UnmarshalStrict(text, &content); err != nil {
			t.Fatal(err)
		}
		fits(t, schemas, content)
		kinds[r.GetKind()]++
		there[r.GetKind()+"/"+r.GetName()] = true
		id := r.GetNamespace() + "/" + r.GetName()
		switch r.GetKind() {
		case "Server":
			var s v1alpha1.Server
			if err := yaml.UnmarshalStrict(text, &s); err != nil {
				t.Fatal(err)
			}
			wanted = append(wanted, "Model/"+s.Spec.Model, "ServiceClass/"+s.Spec.ServiceClass, s.Spec.ScaleTargetRef.Kind+"/"+s.Spec.ScaleTargetRef.Name)
			if limits := [2]int{s.Spec.MaxBatchSize, s.Spec.MaxBatchedTokens}; (id == "a/chat") && limits != [2]int{64, 4096} || id == "b/chat" && limits != [2]int{} {
				t.Errorf("%s has limits of the engine %v", id, limits)
			}
		case "HorizontalPodAutoscaler":
			var h autoscalingv2.HorizontalPodAutoscaler
			if err := yaml.UnmarshalStrict(text, &h); err != nil {
				t.Fatal(err)
			}
			if to := h.Spec.ScaleTargetRef; before[to.Kind+" "+r.GetNamespace()+"/"+to.Name] == nil || h.Spec.Metrics[0].External.Metric.Selector.MatchLabels["server"] != r.GetName() {
				t.Errorf("%s scales %+v by %+v", id, to, h.Spec.Metrics)
			}
		case "Deployment", "StatefulSet":
			unchanged(t, text, before[r.GetKind()+" "+id], id != "b/idle")
		}
	}
	for _, want := range wanted {
		if !there[want] {
			t.Errorf("%s is referred to, and not there", want)
		}
	}
	if want := map[string]int{"Accelerator": 1, "Model": 2, "ServiceClass": 1, "Server": 3, "HorizontalPodAutoscaler": 3, "Deployment": 3, "StatefulSet": 1}; !reflect.DeepEqual(kinds, want) {
		t.Errorf("kinds are %v, want %v", kinds, want)
	}
}

// unchanged says what of a workload is other than it was, beyond what makes its pods those of a Server where they are.
func unchanged(t *testing.T, text []byte, before *appsv1.Deployment, adopted bool) {
	t.Helper()
	var after appsv1.Deployment
	if err := yaml.UnmarshalStrict(text, &after); err != nil {
		t.Fatal(err)
	}
	pods := &after.Spec.Template
	if is := pods.Labels[v1alpha1.ServerLabel] == after.Name && pods.Spec.SchedulerName == "inferno-scheduler"; is != adopted {
		t.Errorf("%s: pods are a Server's: %t, want %t", after.Name, is, adopted)
	}
	delete(pods.Labels, v1alpha1.ServerLabel)
	pods.Annotations, pods.Spec.SchedulerName = nil, ""
	theirs, err := yaml.Marshal(before)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := yaml.Marshal(&after)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(theirs, ours) {
		t.Errorf("the workload is changed:\n%s\nwas\n%s", ours, theirs)
	}
}

// Nothing is written over without being told to, and then nothing at all is written; workloads that cannot be written are named with the reason.
func TestAdviseWritesNothingOver(t *testing.T) {
	o := &adviseOptions{write: t.TempDir(), workloads: []string{"b/code"}}
	report := advised(t, o)
	there := filepath.Join(o.write, "cluster.yaml")
	if err := os.WriteFile(there, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	write := func() error { return o.writeAdvised(report, catalogue.BuiltInPrices(), new(bytes.Buffer)) }
	if err := write(); err == nil || !strings.Contains(err.Error(), there+" is there already") {
		t.Errorf("written over: %v", err)
	}
	if files, err := os.ReadDir(o.write); err != nil || len(files) != 1 {
		t.Errorf("%v beside what was there already (%v)", files, err)
	}
	o.force = true
	if err := write(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(there); err != nil || strings.Contains(string(text), "theirs") {
		t.Errorf("not written over by force: %s (%v)", text, err)
	}
	if _, err := os.Stat(filepath.Join(o.write, "a")); err == nil {
		t.Error("a/chat is written, which was not named")
	}
	o.workloads = []string{"b/idle", "b/absent"}
	err := write()
	for _, want := range []string{"--workload: b/idle: no pod of it is on a node", "--workload: b/absent: there is no such"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want that it says %q", err, want)
		}
	}
	_, err = runAlone(t, newAdviseCommand(), "--prometheus-url", "http://x", "--force", "--workload", "a/b")
	for _, want := range []string{"--workload: is for --write", "--force: is for --write and --report"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want that it says %q", err, want)
		}
	}
}

// Servers have the targets of the class that their label names, and Models the law that was learned; of a class without targets it is said.
func TestAdviseWritesClassesAndLaws(t *testing.T) {
	c := found()
	for i, class := range []string{"premium", "bulk", "unknown"} {
		c.Workloads[i].Class = class
	}
	o := &adviseOptions{write: t.TempDir(), ttft: time.Second, itl: 50 * time.Millisecond, percentile: 90, classes: []string{"premium=500ms,20ms,99", "bulk=5s,100ms"}}
	servers, _ := advise.Find(c)
	report := &advise.Report{Fits: []advise.Fit{{
		Model: advise.ModelName(&servers[0]), Accelerator: "L40S", Observations: 5,
		Performance: jsonspec.Performance{Acc: "L40S", AccCount: 1, Law: &jsonspec.LawParms{Name: "roofline", Version: 1, Parameters: map[string]float64{"overhead": 2, "weights": 23, "compute": 0.08, "kv": 0.0002}}},
	}}}
	for i := range servers {
		report.Servers = append(report.Servers, advise.ServerReport{Server: &servers[i]})
	}
	if err := o.writeAdvised(report, catalogue.BuiltInPrices(), new(bytes.Buffer)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(o.write, "cluster.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	schemas, classes, laws := definitions(t), map[string]v1alpha1.ServiceClass{}, 0
	for document := range strings.SplitSeq(string(text), "---\n") {
		var content map[string]any
		if err := yaml.UnmarshalStrict([]byte(document), &content); err != nil {
			t.Fatal(err)
		}
		fits(t, schemas, content)
		switch content["kind"] {
		case "ServiceClass":
			var class v1alpha1.ServiceClass
			if err := yaml.UnmarshalStrict([]byte(document), &class); err != nil {
				t.Fatal(err)
			}
			classes[class.Name] = class
		case "Model":
			laws += strings.Count(document, "weights: 23\n")
		}
	}
	if laws != 1 {
		t.Errorf("%d Models have the law that was learned, want one:\n%s", laws, text)
	}
	if len(classes) != 3 || classes["premium"].Spec.Priority <= classes["bulk"].Spec.Priority || classes["bulk"].Spec.Priority <= classes["advised"].Spec.Priority {
		t.Errorf("the classes are %+v", classes)
	}
	if said := strangers(servers, []advise.Class{{Name: "premium"}, {Name: "bulk"}}); len(said) != 1 || !strings.Contains(said[0], "b/code is of the class unknown") {
		t.Errorf("it says %q", said)
	}
	_, err = runAlone(t, newAdviseCommand(), "--prometheus-url", "http://x", "--class", "A=1s,1s", "--class", "b=1s", "--class", "c=1,2s,100", "--class", "d=1s,1s", "--class", "d=1s,1s")
	for _, want := range []string{`"A=1s,1s"`, `"b=1s" is not allowed, must be NAME=TTFT,ITL`, "missing unit in duration", "percentile above 0 and below 100", "there already"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want that it says %q", err, want)
		}
	}
}

// What is printed fits 120 columns, whatever workloads are called.
func TestAdviseFitsTheTerminal(t *testing.T) {
	o := new(adviseOptions)
	report := advised(t, o)
	for i := range report.Servers {
		report.Servers[i].Name, report.Servers[i].Serves.Model.Value = strings.Repeat("long-name-", 25), "publisher/"+strings.Repeat("model-", 30)
	}
	for i := range report.Fits {
		report.Fits[i].Model = strings.Repeat("model", 40)
	}
	report.Rows = []advise.Row{{Policy: policy.NameInfernoFixed}, {Policy: policy.NameKEDA, Settings: "tuned: running=16 window=300 " + strings.Repeat("x=1 ", 30)}}
	var out bytes.Buffer
	if err := printAdvice(&out, report, o); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > columns && !strings.HasPrefix(strings.TrimSpace(line), "b/long-name") && !strings.HasPrefix(strings.TrimSpace(line), "a/long-name") { // a name in a sentence is not broken
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
