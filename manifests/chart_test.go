package manifests

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	schedulerscheme "k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

const (
	kedaHolds = `
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.external.metrics.k8s.io}
spec: {service: {namespace: keda, name: keda-metrics-apiserver}}
`
	weHold = `
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.external.metrics.k8s.io}
spec: {service: {namespace: inferno-system, name: inferno-adapter}}
`
	kubectlDefined = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: servers.inferno.platform.ai}
`
	weDefined = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: servers.inferno.platform.ai
  annotations: {meta.helm.sh/release-name: inferno, meta.helm.sh/release-namespace: inferno-system}
`
	ownOptimizer = `
apiVersion: inferno.platform.ai/v1alpha1
kind: Optimizer
metadata: {name: ours}
`
	othersOptimizer = `
apiVersion: inferno.platform.ai/v1alpha1
kind: Optimizer
metadata:
  name: default
  annotations: {inferno.platform.ai/release-name: first, inferno.platform.ai/release-namespace: a}
`
)

// What somebody else has in the cluster is left to them, and the notes say so; where that cannot be, the installation says what to set.
func TestWhatOthersHold(t *testing.T) {
	apis := func(o []runtime.Object) int { return len(of[*apiregistration.APIService](o)) }
	definitions := func(o []runtime.Object) int { return len(of[*apiextensions.CustomResourceDefinition](o)) }
	optimizers := func(o []runtime.Object) int { return len(of[*v1alpha1.Optimizer](o)) }
	for _, c := range []struct {
		name, existing, values string
		count                  func([]runtime.Object) int
		want                   int
		note, fault            string
	}{
		{"nobody holds the API", "", "", apis, 1, "Next:", ""},
		{"KEDA holds it", kedaHolds, "", apis, 0, "LEFT OUT: external.metrics.k8s.io belongs to keda/keda-metrics-apiserver", ""},
		{"KEDA holds it, custom metrics too", kedaHolds, "metrics: {custom: auto}", apis, 2, "LEFT OUT", ""},
		{"KEDA holds it and it is demanded", kedaHolds, "metrics: {external: true}", nil, 0, "", "metrics.external: true, but the APIService v1beta1.external.metrics.k8s.io is led to keda/keda-metrics-apiserver"},
		{"an upgrade", weHold + "---" + weDefined, "", apis, 1, "", ""},
		{"not wanted", "", "metrics: {external: false}", apis, 0, "", ""},
		{"own certificate without its authority", "", "certificates: {provider: own}", apis, 0, "LEFT OUT: without certificates.caBundle", ""},
		{"no definitions", "", "", definitions, 6, "", ""},
		{"definitions by kubectl", kubectlDefined, "", definitions, 0, "LEFT OUT: the definitions were installed by kubectl", ""},
		{"definitions of this release", weDefined, "", definitions, 6, "", ""},
		{"no Optimizer", "", "", optimizers, 1, "", ""},
		{"an Optimizer by hand", ownOptimizer, "", optimizers, 0, "", ""},
		{"another release plans", othersOptimizer, "", nil, 0, "", "the Optimizer default is of release a/first, whose optimizer plans for the whole cluster: set optimizer.enabled to false"},
		{"another release plans and this does not", othersOptimizer, "optimizer: {enabled: false}", optimizers, 0, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := installation{existing: c.existing, values: c.values}
			out, err := i.render(t)
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) {
					t.Fatalf("error %v, want %q", err, c.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if n := c.count(decode(t, out)); n != c.want {
				t.Errorf("%d, want %d", n, c.want)
			}
			i.notes = true
			if notes := string(i.mustRender(t)); !strings.Contains(notes, c.note) || c.note == "" && strings.Contains(notes, "LEFT OUT") {
				t.Errorf("notes, want %q:\n%s", c.note, notes)
			}
		})
	}
}

// An upgrade keeps the certificate that Helm made: both replicas and the API server would have to change theirs in the same moment.
func TestUpgradesKeepTheCertificate(t *testing.T) {
	secretOf := func(i installation) (*core.Secret, *apiregistration.APIService, []byte) {
		stream := i.mustRender(t)
		objects := decode(t, stream)
		return of[*core.Secret](objects)[0], of[*apiregistration.APIService](objects)[0], stream
	}
	first, service, _ := secretOf(installation{})
	if string(service.Spec.CABundle) != string(first.Data["ca.crt"]) || len(first.Data["tls.key"]) == 0 {
		t.Error("the APIService trusts another authority than the certificate's")
	}
	existing := "apiVersion: v1\nkind: Secret\nmetadata: {name: inferno-adapter-tls, namespace: inferno-system}\ndata:\n"
	for key, value := range first.Data {
		existing += "  " + key + ": " + base64.StdEncoding.EncodeToString(value) + "\n"
	}
	for values, same := range map[string]bool{"": true, "certificates: {renew: true}": false} {
		second, _, _ := secretOf(installation{existing: existing, values: values})
		if got := string(second.Data["tls.crt"]) == string(first.Data["tls.crt"]); got != same {
			t.Errorf("values %q: kept %v, want %v", values, got, same)
		}
	}
}

// Uninstalling leaves the definitions, and with them what was learned, unless told otherwise.
func TestDefinitionsAreKept(t *testing.T) {
	for values, want := range map[string]string{"": "keep", "crds: {keep: false}": ""} {
		definitions := of[*apiextensions.CustomResourceDefinition](decode(t, installation{values: values}.mustRender(t)))
		for _, d := range definitions {
			if got := d.Annotations["helm.sh/resource-policy"]; got != want {
				t.Errorf("values %q: %s has the policy %q, want %q", values, d.Name, got, want)
			}
		}
		if len(definitions) == 0 {
			t.Errorf("values %q: no definitions", values)
		}
	}
}

// Two releases have no object in common but the definitions, of which the second leaves those of the first alone.
func TestReleasesDoNotCollide(t *testing.T) {
	all := builds(t)
	first := map[string]bool{}
	for _, object := range all["chart by default"] {
		first[identify(object)] = true
	}
	shared := []string{ // of whoever comes first, see above
		"APIService /v1beta1.external.metrics.k8s.io", "Optimizer /default", "ServiceClass /premium", "ServiceClass /standard", "ServiceClass /bulk",
	}
	for _, object := range all["chart under other names"] {
		if id := identify(object); first[id] && !slices.Contains(shared, id) {
			t.Errorf("both releases have %s", id)
		}
	}
	selectors := map[string]string{}
	for _, name := range []string{"chart by default", "chart under other names"} {
		for _, d := range of[*apps.Deployment](all[name]) {
			if other, taken := selectors[d.Spec.Selector.String()]; taken {
				t.Errorf("%s and %s select the same pods", other, d.Name)
			}
			selectors[d.Spec.Selector.String()] = d.Name
		}
	}
}

// kube-scheduler 1.37 waits for an API that older API servers lack, unless a gate is off that 1.37 has on.
func TestSchedulerSuitsTheCluster(t *testing.T) {
	for version, off := range map[string]bool{"v1.34.0": true, "v1.36.3": true, "v1.36.1-gke.100": true, "v1.37.0": false, "v1.37.2-eks-abc": false} {
		for _, d := range of[*apps.Deployment](decode(t, installation{kubernetes: version}.mustRender(t))) {
			if c := d.Spec.Template.Spec.Containers[0]; c.Name == "scheduler" && slices.Contains(c.Args, "--feature-gates=DRADeviceTaintRules=false") != off {
				t.Errorf("%s: arguments %v", version, c.Args)
			}
		}
	}
	if _, err := (installation{kubernetes: "v1.33.5"}).render(t); err == nil || !strings.Contains(err.Error(), "requires kubeVersion: >=1.34") {
		t.Errorf("on 1.33: %v", err)
	}
}

// The optimizer is a Deployment of its own: a crash of the loop takes nothing with it.
func TestOptimizerStandsAlone(t *testing.T) {
	for name, objects := range builds(t) {
		for _, d := range of[*apps.Deployment](objects) {
			if d.Labels["app.kubernetes.io/part-of"] == "inferno" && len(d.Spec.Template.Spec.Containers) != 1 {
				t.Errorf("%s: %s has %d containers", name, d.Name, len(d.Spec.Template.Spec.Containers))
			}
		}
	}
}

// A budget for one replica would stop every drain.
func TestBudgetsLetNodesDrain(t *testing.T) {
	all := builds(t)
	if n := len(of[*policy.PodDisruptionBudget](all["chart with one of each"])); n != 0 {
		t.Errorf("%d budgets for single replicas", n)
	}
	if n := len(of[*policy.PodDisruptionBudget](all["chart by default"])); n != 3 {
		t.Errorf("%d budgets, want 3", n)
	}
}

// A configuration of the scheduler in values takes the place of the chart's, and another one takes other pods.
func TestSchedulerConfiguration(t *testing.T) {
	sums := map[string]bool{}
	for _, values := range []string{"", "scheduler: {fallback: AnyFeasible}", "scheduler: {profile: mine}", "scheduler: {config: \"apiVersion: kubescheduler.config.k8s.io/v1\\nkind: KubeSchedulerConfiguration\\n\"}"} {
		objects := decode(t, installation{values: values}.mustRender(t))
		config := of[*core.ConfigMap](objects)[0].Data["config.yaml"]
		if _, _, err := schedulerscheme.Codecs.UniversalDecoder().Decode([]byte(config), nil, nil); err != nil {
			t.Errorf("values %q: %v in\n%s", values, err, config)
		}
		for _, d := range of[*apps.Deployment](objects) {
			if sum := d.Spec.Template.Annotations["checksum/config"]; sum != "" {
				sums[sum] = true
			}
		}
	}
	if len(sums) != 4 {
		t.Errorf("%d checksums of 4 configurations: %v", len(sums), slices.Collect(maps.Keys(sums)))
	}
}

// Values that are right one by one, and contradict each other, are said with what to set, all at once.
func TestContradictions(t *testing.T) {
	for values, want := range map[string][]string{
		"prometheus: {caSecret: a, caConfigMap: b, bearerTokenSecret: a, serviceAccountToken: true}": {
			"prometheus.caSecret and prometheus.caConfigMap are both set: set one", "prometheus.bearerTokenSecret and prometheus.serviceAccountToken are both set: set one",
		},
		"{optimizer: {enabled: false}, gates: {enabled: true}, console: {enabled: true}}": {
			"gates.enabled is true, but optimizer.enabled is false", "console.enabled is true, but optimizer.enabled, which serves the page, is false",
		},
		"{adapter: {enabled: false}, keda: {enabled: true}, metrics: {external: true, custom: true}}": {
			"keda.enabled is true, but adapter.enabled is false", "metrics.external is true, but adapter.enabled is false", "set metrics.custom to auto or false",
		},
		"gates: {add: true}": {"gates.add is true, but gates.enabled is false"},
		"{adapter: {enabled: false}, optimizer: {enabled: false}}": nil, // a release of the scheduler alone
		"{gates: {enabled: true}, scheduler: {enabled: false}}":    nil,
	} {
		_, err := installation{values: values}.render(t)
		if want == nil {
			if err != nil {
				t.Errorf("%s: %v", values, err)
			}
			continue
		}
		for _, words := range append(want, "values contradict each other: ") {
			if err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %v, want %q", values, err, words)
			}
		}
	}
}

// What is wrong with values is said with their names, all at once.
func TestBadValues(t *testing.T) {
	bad := `
optimiser: {}
image: {pullPolicy: Sometimes}
prometheus: {url: "prometheus:9090", port: 0}
certificates: {provider: vault, days: 0}
metrics: {external: maybe}
scheduler: {replicas: -1, fallback: Perhaps, extraArgs: [v=2]}
priorityClass: {value: 2000000000}
adapter: {resources: {limits: {memory: lots}}}
`
	_, err := installation{values: bad}.render(t)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"optimiser", "/image/pullPolicy", "/prometheus/url", "/prometheus/port", "/certificates/provider", "/certificates/days", "/metrics/external",
		"/scheduler/replicas", "/scheduler/fallback", "/scheduler/extraArgs/0", "/priorityClass/value", "/adapter/resources/limits/memory",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing about %s in\n%v", want, err)
		}
	}
}

// The console is of the optimizer's pod alone: no port and no Service lead to it, and it is there only where it is asked for.
func TestConsoleIsOfItsPodAlone(t *testing.T) {
	const flag = "--console-bind-address=localhost:7411"
	if strings.Contains(string(installation{}.mustRender(t)), "console-bind-address") {
		t.Error("there is a console that nobody asked for")
	}
	if out := string(installation{values: "console: {enabled: true}"}.mustRender(t)); strings.Count(out, "7411") != 1 || !strings.Contains(out, flag) {
		t.Errorf("7411 is in it %d times, %s: %v", strings.Count(out, "7411"), flag, strings.Contains(out, flag))
	}
}
