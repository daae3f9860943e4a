package observe

import (
	"context"
	"fmt"
	"strings"
	"time"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Route is traffic at a gateway: to a model, by the name that servers show it under, in a namespace.
type Route struct{ Namespace, Model string }

// Gateways are the rates at which requests came to gateways, in requests per second.
type Gateways map[Route]float64

// gatewayCounters count the requests that come to the endpoint picker of the Gateway API inference extension, before any of them waits or is
// turned away. Source: pkg/epp/metrics of sigs.k8s.io/gateway-api-inference-extension; the second name is that of versions before 1.0. An
// endpoint picker runs in the namespace of its pool and of the pool's servers.
var gatewayCounters = []string{"inference_objective_request_total", "inference_model_request_total"}

// ReadGateways asks Prometheus what comes to gateways. Where there is none the answer is empty.
func ReadGateways(ctx context.Context, q Querier, now time.Time, window time.Duration) (Gateways, error) {
	parts := make([]string, len(gatewayCounters))
	for i, name := range gatewayCounters {
		parts[i] = fmt.Sprintf("sum by (namespace, model_name, target_model_name) (rate(%s[%s]))", name, model.Duration(window))
	}
	vector, err := ask[model.Vector](ctx, q, strings.Join(parts, " or "), now)
	if err != nil {
		return nil, err
	}
	g := Gateways{}
	for _, s := range vector {
		name := s.Metric["target_model_name"] // what the request was rewritten to, for traffic splits and adapters
		if name == "" {
			name = s.Metric["model_name"]
		}
		if rate := float64(s.Value); rate >= 0 {
			g[Route{string(s.Metric["namespace"]), string(name)}] += rate
		}
	}
	return g, nil
}

// ask for a value of one kind.
func ask[T model.Value](ctx context.Context, q Querier, expression string, now time.Time, options ...promv1.Option) (answer T, err error) {
	value, _, err := q.Query(ctx, expression, now, options...)
	if err != nil {
		return answer, fmt.Errorf("query %q: %w", expression, err)
	}
	answer, ok := value.(T)
	if !ok {
		return answer, fmt.Errorf("query %q: answered with a %s, not a %s", expression, value.Type(), answer.Type())
	}
	return answer, nil
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
	if rate, ok = r.Gateways[route]; !ok {
		return 0, false
	}
	for i := range r.Resources.Servers {
		other := &r.Resources.Servers[i]
		if other.Name != s.Name && (Route{other.Namespace, r.servedName(other)}) == route {
			return 0, false
		}
	}
	return rate, true
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
