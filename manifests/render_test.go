package manifests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/yaml"
)

// helm is the program of the module release that renders the chart with Helm's packages: a module of its own, so that inferno does not depend on
// Helm.
var helm = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "inferno-release-")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "release")
	cmd := exec.Command("go", "build", "-o", file, ".")
	cmd.Dir = "../release"
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building release: %w\n%s", err, out)
	}
	return file, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if file, err := helm(); err == nil {
		_ = os.RemoveAll(filepath.Dir(file))
	}
	os.Exit(status)
}

// installation is a use of the chart.
type installation struct {
	release, namespace, kubernetes string
	values                         string // YAML
	existing                       string // objects of the cluster
	notes                          bool
}

// render what the installation would create; the error is what Helm would say.
func (i installation) render(t *testing.T) ([]byte, error) {
	t.Helper()
	program, err := helm()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"template", "-chart=chart"}
	for flag, value := range map[string]string{"release": i.release, "namespace": i.namespace, "kube-version": i.kubernetes} {
		if value != "" {
			args = append(args, "-"+flag+"="+value)
		}
	}
	for flag, content := range map[string]string{"values": i.values, "existing": i.existing} {
		if content == "" {
			continue
		}
		file := filepath.Join(t.TempDir(), flag+".yaml")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-"+flag+"="+file)
	}
	if i.notes {
		args = append(args, "-notes")
	}
	var out, faults bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdout, cmd.Stderr = &out, &faults
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, faults.Bytes())
	}
	return out.Bytes(), nil
}

func (i installation) mustRender(t *testing.T) []byte {
	t.Helper()
	out, err := i.render(t)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// installations of the chart whose objects every test of rendered objects looks at.
var installations = map[string]installation{
	"chart by default": {},
	"chart with everything": {values: `
createNamespace: true
certificates: {provider: cert-manager}
metrics: {external: "true", custom: "true"}
keda: {enabled: true}
routes: {enabled: true}
capacityAhead: {enabled: true}
serviceMonitors: {enabled: true, labels: {release: prometheus}, interval: 15s}
alerts: {enabled: true, labels: {release: prometheus}}
dashboard: {enabled: true}
prometheus: {url: "https://thanos.monitoring.svc:9091", port: 9091, caSecret: prometheus-ca, bearerTokenSecret: prometheus-token, credentialsSecret: prometheus-access}
image: {registry: registry.example.com/inferno, pullSecrets: [registry]}
commonLabels: {team: platform}
networkPolicies: {extraEgress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}
optimizer:
  extraArgs: [--prometheus-timeout=20s]
  podAnnotations: {a: b}
  podLabels: {c: d}
  nodeSelector: {pool: system}
  tolerations: [{key: CriticalAddonsOnly, operator: Exists}]
  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: x, operator: Exists}]}]}}}
  serviceAccount: {create: true, name: planner, annotations: {eks.amazonaws.com/role-arn: x}}
scheduler:
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule}]
`},
	"chart under other names": {release: "second", namespace: "elsewhere", kubernetes: "v1.35.2", values: `
certificates: {provider: own, secretName: mine, caBundle: "-----BEGIN CERTIFICATE-----\n"}
prometheus: {serviceAccountToken: true, caConfigMap: openshift-service-ca.crt, caKey: service-ca.crt}
podSecurity: {user: 0}
priorityClass: {create: false, name: system-cluster-critical}
crds: {install: false}
networkPolicies: {enabled: false}
`},
	"chart with one of each":    {values: "{optimizer: {replicas: 1}, adapter: {replicas: 1}, scheduler: {replicas: 1}}"},
	"chart without a scheduler": {values: "scheduler: {enabled: false}"},
}

// The overlays, and the chart's README, are what the chart gives.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	for _, overlay := range []string{"default", "own-certificate"} {
		values, err := Files.ReadFile("overlays/" + overlay + "/values.yaml")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, name := range []string{"inferno.yaml", "external-metrics.yaml", "adoption.yaml", "optimizer.yaml"} {
			data, err := Files.ReadFile("overlays/" + overlay + "/" + name)
			if err != nil && name != "external-metrics.yaml" {
				t.Fatal(err)
			}
			_, data, _ = bytes.Cut(data, []byte("\n")) // the line that says where it comes from
			got = append(got, strings.Split(string(data), "---\n")...)
		}
		got = slices.DeleteFunc(got, func(document string) bool { return document == "" })
		want := slices.DeleteFunc(strings.Split(string(installation{kubernetes: "v1.37.0", values: string(values)}.mustRender(t)), "---\n"), func(document string) bool { return document == "" })
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("overlays/%s is not what the chart gives: run make generate", overlay)
		}
	}
}

// The functions of this package say the same as the chart.
func TestMetricsAPIsAreTheChartsOnes(t *testing.T) {
	chart := map[string]any{}
	for _, object := range documents(t, installations["chart with everything"].mustRender(t)) {
		if object["kind"] == "APIService" {
			spec := object["spec"].(map[string]any)
			chart[object["metadata"].(map[string]any)["name"].(string)] = spec
		}
	}
	for _, kind := range []string{"external", "custom"} {
		stream, err := MetricsAPI(kind, ServiceReference{AdapterService, Namespace, 443}, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range documents(t, stream) {
			name := object["metadata"].(map[string]any)["name"].(string)
			spec := object["spec"].(map[string]any)
			delete(spec, "caBundle") // of the chart it is cert-manager's
			if got, want := fmt.Sprint(spec), fmt.Sprint(chart[name]); got != want {
				t.Errorf("%s: %s, the chart has %s", name, got, want)
			}
			delete(chart, name)
		}
	}
	if len(chart) > 0 {
		t.Errorf("only the chart has %v", chart)
	}
	if _, err := MetricsAPI("resource", ServiceReference{}, nil); err == nil {
		t.Error("an API that the adapter does not serve is accepted")
	}
}

// documents of a stream.
func documents(t *testing.T, stream []byte) []map[string]any {
	t.Helper()
	var objects []map[string]any
	for _, document := range bytes.Split(stream, []byte("\n---\n")) {
		var object map[string]any
		if err := yaml.Unmarshal(bytes.TrimPrefix(document, []byte("---\n")), &object); err != nil {
			t.Fatal(err)
		}
		if object != nil {
			objects = append(objects, object)
		}
	}
	return objects
}

// What kubectl applies takes no API of metrics from whoever has it: the registration is a file of its own, of the same adapter and with the same certificate.
func TestOverlaysTakeNobodysMetrics(t *testing.T) {
	for _, overlay := range []string{"default", "own-certificate"} {
		if services := of[*apiregistration.APIService](decode(t, build(t, "overlays/"+overlay))); len(services) != 0 {
			t.Errorf("overlays/%s registers %d APIs", overlay, len(services))
		}
	}
	data, err := Files.ReadFile("overlays/default/external-metrics.yaml")
	if err != nil {
		t.Fatal(err)
	}
	objects := decode(t, data)
	services := of[*apiregistration.APIService](objects)
	if len(objects) != 1 || len(services) != 1 {
		t.Fatalf("external-metrics.yaml has %d objects, %d of them APIServices", len(objects), len(services))
	}
	s := services[0]
	if s.Name != "v1beta1.external.metrics.k8s.io" || s.Spec.Service.Name != AdapterService || s.Spec.Service.Namespace != Namespace || s.Annotations["cert-manager.io/inject-ca-from"] != Namespace+"/"+AdapterService {
		t.Errorf("it is %+v", s)
	}
}
