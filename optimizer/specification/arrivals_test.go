package specification_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// All that is wrong with a counter is said at once, by an error that can be told from one of Prometheus.
func TestCheckArrivals(t *testing.T) {
	many := map[string]jsonspec.LabelValue{}
	for i := range 17 {
		many[fmt.Sprintf("l%d", i)] = ""
	}
	for _, c := range []struct {
		counter jsonspec.ArrivalCounter
		want    []string
	}{
		{jsonspec.ArrivalCounter{Counter: "envoy_cluster_upstream_rq_total", Labels: map[string]jsonspec.LabelValue{"envoy_cluster_name": `}"\\`}}, nil},
		{jsonspec.ArrivalCounter{}, []string{`a.counter: "" is not allowed`, "a.labels: is missing"}},
		{jsonspec.ArrivalCounter{Counter: "a b", Labels: many}, []string{`a.counter: "a b"`, "a.labels: 17 labels are not allowed, must be at most 16"}},
		{jsonspec.ArrivalCounter{Counter: "a", Labels: map[string]jsonspec.LabelValue{"__tenant_id__": "x", "namespace": "llm"}}, []string{"a.labels[__tenant_id__]", "a.labels[namespace]"}},
	} {
		err := specification.CheckArrivals("a", &c.counter)
		var invalid *specification.InvalidError
		if len(c.want) == 0 && err == nil {
			continue
		}
		if !errors.As(err, &invalid) {
			t.Fatalf("%+v: %v", c.counter, err)
		}
		if lines := strings.Split(err.Error(), "\n"); len(lines) != len(c.want) {
			t.Errorf("%+v: %d faults, want %d: %v", c.counter, len(lines), len(c.want), err)
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
	}
}

// A gateway that is shared tells namespaces apart, or is refused.
func TestCheckGateways(t *testing.T) {
	good := v1alpha1.GatewayCounter{Counter: "rq_total", Namespace: "istio-system", Label: "envoy_cluster_name", Value: `outbound\|[0-9]+\|\|[^.]+\.$(namespace)\..*`}
	bad := v1alpha1.GatewayCounter{Counter: "rq-total", Label: "__name__", Value: "(.*"}
	if err := specification.CheckPrometheus("p", &v1alpha1.PrometheusSource{Gateways: []v1alpha1.GatewayCounter{good}}); err != nil {
		t.Error(err)
	}
	err := specification.CheckPrometheus("p", &v1alpha1.PrometheusSource{Gateways: []v1alpha1.GatewayCounter{good, bad}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`p.gateways[1].counter: "rq-total"`, "p.gateways[1].namespace: is missing", "p.gateways[1].label", "must contain $(namespace)", "must be a regular expression",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if got := specification.OfNamespace(v1alpha1.GatewayCounter{}, "a-b"); got != "a-b" {
		t.Errorf("without a value %q", got)
	}
}
