package observe

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Route is traffic at a gateway: to a model, by the name that servers show it under, in a namespace.
type Route struct{ Namespace, Model string }

// Traffic is what comes to a gateway.
type Traffic struct {
	// Rate at which requests come, in requests per second, whether they are let through, held or refused.
	Rate float64
	// Held are the requests that wait at the gateway for room.
	Held float64
}

// Gateways are what comes to gateways.
type Gateways map[Route]Traffic

// Names at gateways, of which one counts where several are shown: the endpoint picker's of llm-d, the one that it had for a while, that of the Gateway API
// inference extension, and that before its 1.0 (pkg/epp/metrics of github.com/llm-d/llm-d-router and of sigs.k8s.io/gateway-api-inference-extension). An
// endpoint picker runs in the namespace of its pool and of the pool's servers, and counts a request when it was let through: those that its flow control
// holds and refuses are counted apart. Dynamo's front end (dynamo_frontend, from 1.2) counts them when they come.
var (
	gatewayRequests = []string{
		"llm_d_epp_request_total", "llm_d_router_epp_request_total", "inference_objective_request_total", "inference_model_request_total",
	}
	gatewayHeld = []string{
		"llm_d_epp_flow_control_queue_size", "llm_d_router_epp_flow_control_queue_size", "inference_extension_flow_control_queue_size",
	}
	gatewayRefused = []string{`llm_d_epp_flow_control_requests_total{outcome!="Dispatched"}`}
	dynamoRequests = "dynamo_frontend_requests_started_total"
)

// atGateways is what is measured of series at gateways, by route, each series once, however often it is scraped.
func atGateways(selectors []string, measure string) string {
	parts := make([]string, len(selectors))
	for i, selector := range selectors {
		parts[i] = fmt.Sprintf("sum by (namespace, model_name, target_model_name) (max by (namespace, pod, model_name, target_model_name, priority, fairness_id, outcome) (%s))",
			fmt.Sprintf(measure, of(selector)))
	}
	return strings.Join(parts, " or ")
}

// ReadGateways asks Prometheus what comes to gateways. Where there is none the answer is empty.
func ReadGateways(ctx context.Context, s *Source, now time.Time, window time.Duration) (Gateways, error) {
	const counted, level, before = "rate(%s[$window])", "%s", "%s offset $window"
	dynamo := `label_replace(sum by (namespace, model) (max by (namespace, pod, model, endpoint, request_type) (rate(` + of(dynamoRequests) + `[$window]))), "model_name", "$1", "model", "(.*)")`
	g := Gateways{}
	for _, question := range []struct {
		promql string
		add    func(t *Traffic, v float64)
	}{
		{atGateways(gatewayRequests, counted) + " or " + dynamo, func(t *Traffic, v float64) { t.Rate += v }},
		{atGateways(gatewayRefused, counted), func(t *Traffic, v float64) { t.Rate += v }},
		{atGateways(gatewayHeld, level), func(t *Traffic, v float64) { t.Held, t.Rate = t.Held+v, t.Rate+v/window.Seconds() }},
		{atGateways(gatewayHeld, before), func(t *Traffic, v float64) { t.Rate -= v / window.Seconds() }},
	} {
		if err := ask(ctx, s, model.ValVector, s.selecting(windows(window).Replace(question.promql)), now, func(sample Series) {
			name := sample.Metric["target_model_name"] // what the request was rewritten to, for traffic splits and adapters
			if name == "" {
				name = sample.Metric["model_name"]
			}
			route := Route{string(sample.Metric["namespace"]), string(name)}
			if v := float64(sample.Values[0].Value); v >= 0 {
				t := g[route]
				question.add(&t, v)
				g[route] = t
			}
		}); err != nil {
			return nil, err
		}
	}
	for route, t := range g {
		t.Rate = max(t.Rate, 0)
		g[route] = t
	}
	return g, nil
}

// bypass is the share of what the engines see that may be missing at the gateway before it is taken for one that other traffic bypasses.
//
// Tuned: share; measured by TestGateway; at half: a window whose ends differ by a few requests is taken for traffic that bypasses; at twice: no
// difference, and a fifth of the load may go unseen
const bypass = 0.1

// offered is the load of a server: what came to the gateway, where one counts for this server alone and what the engines see does not exceed
// it by more than noise; otherwise what the engines see.
func (r *Readings) offered(s *v1alpha1.Server, engines float64) float64 {
	rate, ok := r.atGateway(s)
	if !ok || engines > (1+bypass)*rate {
		return engines
	}
	return rate
}

// atGateway is the rate at the gateway of a server: by the counter that it names, or else by the model; ok is false where no gateway counts, or
// it counts for several servers together.
func (r *Readings) atGateway(s *v1alpha1.Server) (rate float64, ok bool) {
	if counted := r.Arrivals[types.NamespacedName{Namespace: s.Namespace, Name: s.Name}]; counted.Known {
		return counted.Rate, true
	}
	route := Route{s.Namespace, r.servedName(s)}
	traffic, ok := r.Gateways[route]
	if !ok {
		return 0, false
	}
	for i := range r.Resources.Servers {
		other := &r.Resources.Servers[i]
		if other.Name != s.Name && (Route{other.Namespace, r.servedName(other)}) == route {
			return 0, false
		}
	}
	return traffic.Rate, true
}

// servedName is the name under which a server's model shows itself.
func (r *Readings) servedName(s *v1alpha1.Server) string {
	for i := range r.Resources.Models {
		if m := &r.Resources.Models[i]; m.Name == s.Spec.Model && m.Spec.ServedName != "" {
			return m.Spec.ServedName
		}
	}
	return s.Spec.Model
}
