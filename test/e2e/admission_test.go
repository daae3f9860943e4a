package e2e

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// badResources are refused by the API server with messages that name the field and what is allowed, all faults at once.
func badResources(s *system) {
	for name, c := range map[string]struct {
		manifest string
		want     []string
	}{
		"accelerator": {`
apiVersion: inferno.platform.ai/v1alpha1
kind: Accelerator
metadata: {name: bad}
spec: {costPerHour: -1, cards: -2, power: {idle: many, full: 700, middleUtilization: 7}, memory: lots}`,
			[]string{"spec.costPerHour", "costPerHour must be at least 0", "spec.cards", "greater than or equal to 1", "spec.power.idle", "middleUtilization must be from 0 to 1", "spec.memory"}},
		"model": {`
apiVersion: inferno.platform.ai/v1alpha1
kind: Model
metadata: {name: bad}
spec:
  performance:
    - {accelerator: h100, work: {alpha: 1, beta: "much", gamma: -1}, law: {name: ""}}`,
			[]string{"gamma must be at least 0", "work.beta", "law.name", "different laws; give one"}},
		"service class": {`
apiVersion: inferno.platform.ai/v1alpha1
kind: ServiceClass
metadata: {name: bad}
spec: {priority: 101, targets: [{model: m, itl: -5ms, percentile: "100"}, {model: m}]}`,
			[]string{"spec.priority", "itl must be above 0s", "percentile must be above 0 and below 100", "Duplicate value"}},
		"service class quantile": {`
apiVersion: inferno.platform.ai/v1alpha1
kind: ServiceClass
metadata: {name: bad}
spec: {priority: 1, forecastQuantile: 1, violationCost: 0}`,
			[]string{"forecastQuantile must be above 0 and below 1", "violationCost must be above 0", "follows from violationCost; give one"}},
		"server": {`
apiVersion: inferno.platform.ai/v1alpha1
kind: Server
metadata: {name: bad, namespace: llm}
spec: {model: m, serviceClass: c, routing: Random, minReplicas: 5, maxReplicas: 2}`,
			[]string{"spec.routing", `"LeastRequest"`}},
		"server arrivals": {`
apiVersion: inferno.platform.ai/v1alpha1
kind: Server
metadata: {name: bad, namespace: llm}
spec: {model: m, serviceClass: c, arrivals: {counter: "a}b", labels: {}}}`,
			[]string{"spec.arrivals.counter", "spec.arrivals.labels"}},
		"labels of server arrivals": {`
apiVersion: inferno.platform.ai/v1alpha1
kind: Server
metadata: {name: bad, namespace: llm}
spec: {model: m, serviceClass: c, arrivals: {counter: a, labels: {__name__: x, b-c: d}}}`,
			[]string{"names of labels have letters, digits and _", "the label namespace and names that begin with __ are reserved"}},
		"server bounds": {`
apiVersion: inferno.platform.ai/v1alpha1
kind: Server
metadata: {name: bad, namespace: llm}
spec: {model: m, serviceClass: c, minReplicas: 5, maxReplicas: 2}`,
			[]string{"maxReplicas must be at least minReplicas"}},
		"optimizer": {`
apiVersion: inferno.platform.ai/v1alpha1
kind: Optimizer
metadata: {name: bad}
spec: {interval: 10ms, prometheus: {url: "ftp://x"}, saturationPolicy: Fair}`,
			[]string{"spec.prometheus.url", "spec.saturationPolicy", `"PriorityRoundRobin"`}},
		"optimizer gateways": {`
apiVersion: inferno.platform.ai/v1alpha1
kind: Optimizer
metadata: {name: bad}
spec: {prometheus: {gateways: [{counter: a-b, namespace: "", label: "c-d", value: ".*"}]}}`,
			[]string{"gateways[0].counter", "gateways[0].namespace", "gateways[0].label", "must contain $(namespace)"}},
		"optimizer interval": {`
apiVersion: inferno.platform.ai/v1alpha1
kind: Optimizer
metadata: {name: bad}
spec: {interval: 10ms, forecastQuantile: "1.5", maxDelay: 0s, objective: WeightedSum, energyShare: 1, change: {horizon: soon}}`,
			[]string{"interval must be at least 1s", "forecastQuantile must be above 0 and below 1", "maxDelay must be above 0s",
				"unservedCost must be above 0", "centsPerKWh must be above 0", "spec.change.horizon"}},
	} {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(c.manifest), &o.Object); err != nil {
			s.t.Fatal(err)
		}
		err := s.Client.Create(s.t.Context(), o)
		if err == nil {
			s.t.Errorf("%s: accepted", name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				s.t.Errorf("%s: %q does not say %q", name, err, want)
			}
		}
	}
}
