// Package keda answers KEDA, as an external scaler, from the plans that Servers carry: for clusters in which KEDA holds
// external.metrics.k8s.io, or people write ScaledObjects. The answers are those of package metricsadapter.
package keda

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/llm-inferno/inferno/metricsadapter"
	"github.com/llm-inferno/inferno/metricsadapter/keda/externalscaler"
)

// Keys of a trigger's metadata that say whose plan is followed.
const (
	serverKey  = "server"
	variantKey = "variant"
)

// ownKeys of KEDA, which it passes on with the others.
var ownKeys = []string{"scalerAddress", "enableTLS", "unsafeSsl", "caCert", "tlsCertFile", "tlsClientCert", "tlsClientKey"}

// Scaler answers KEDA. It asks a provider of external metrics, always within the namespace of the ScaledObject.
type Scaler struct {
	externalscaler.UnimplementedExternalScalerServer
	provider provider.ExternalMetricsProvider
	// every is how often an open stream looks whether its answer changed.
	every time.Duration
}

// New returns a scaler. Streams look every so often whether their answer changed.
func New(p provider.ExternalMetricsProvider, every time.Duration) *Scaler {
	return &Scaler{provider: p, every: every}
}

// Register the scaler with a gRPC server.
func (s *Scaler) Register(g grpc.ServiceRegistrar) { externalscaler.RegisterExternalScalerServer(g, s) }

// IsActive says whether the plan has any replica. Without a plan to follow it fails, on which KEDA leaves the workload as it is.
func (s *Scaler) IsActive(ctx context.Context, ref *externalscaler.ScaledObjectRef) (*externalscaler.IsActiveResponse, error) {
	n, err := s.replicas(ctx, ref)
	if err != nil {
		return nil, err
	}
	return &externalscaler.IsActiveResponse{Result: n > 0}, nil
}

// StreamIsActive says so at once and whenever it changes. While there is no plan to follow it says nothing.
func (s *Scaler) StreamIsActive(ref *externalscaler.ScaledObjectRef, stream grpc.ServerStreamingServer[externalscaler.IsActiveResponse]) error {
	if _, err := selectorOf(ref); err != nil {
		return err
	}
	ticks := time.NewTicker(s.every)
	defer ticks.Stop()
	said, active := false, false
	for {
		if n, err := s.replicas(stream.Context(), ref); err == nil && (!said || active != (n > 0)) {
			said, active = true, n > 0
			if err := stream.Send(&externalscaler.IsActiveResponse{Result: active}); err != nil {
				return err
			}
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-ticks.C:
		}
	}
}

// GetMetricSpec names the one metric there is: the planned replicas, one for each replica.
func (s *Scaler) GetMetricSpec(_ context.Context, ref *externalscaler.ScaledObjectRef) (*externalscaler.GetMetricSpecResponse, error) {
	if _, err := selectorOf(ref); err != nil {
		return nil, err
	}
	return &externalscaler.GetMetricSpecResponse{MetricSpecs: []*externalscaler.MetricSpec{
		{MetricName: metricsadapter.DesiredReplicas, TargetSize: 1, TargetSizeFloat: 1},
	}}, nil
}

// GetMetrics reads the planned replicas.
func (s *Scaler) GetMetrics(ctx context.Context, request *externalscaler.GetMetricsRequest) (*externalscaler.GetMetricsResponse, error) {
	if name := request.GetMetricName(); name != metricsadapter.DesiredReplicas {
		return nil, status.Errorf(codes.InvalidArgument, "metricName: %q is not allowed, must be %s", name, metricsadapter.DesiredReplicas)
	}
	n, err := s.replicas(ctx, request.GetScaledObjectRef())
	if err != nil {
		return nil, err
	}
	return &externalscaler.GetMetricsResponse{MetricValues: []*externalscaler.MetricValue{
		{MetricName: metricsadapter.DesiredReplicas, MetricValue: n, MetricValueFloat: float64(n)},
	}}, nil
}

// replicas that the plan gives the workload of a trigger.
func (s *Scaler) replicas(ctx context.Context, ref *externalscaler.ScaledObjectRef) (int64, error) {
	selector, err := selectorOf(ref)
	if err != nil {
		return 0, err
	}
	list, err := s.provider.GetExternalMetric(ctx, ref.GetNamespace(), selector, provider.ExternalMetricInfo{Metric: metricsadapter.DesiredReplicas})
	if err != nil {
		return 0, status.Error(codeOf(err), err.Error())
	}
	if len(list.Items) != 1 {
		return 0, status.Errorf(codes.Internal, "%d values, want one", len(list.Items))
	}
	return list.Items[0].Value.Value(), nil
}

// selectorOf reads the metadata of a trigger. The error joins its faults. What is misspelt is refused: a variant that is not taken for one
// would be scaled to the whole server's replicas.
func selectorOf(ref *externalscaler.ScaledObjectRef) (labels.Selector, error) {
	metadata := ref.GetScalerMetadata()
	var faults []error
	if ref.GetNamespace() == "" {
		faults = append(faults, errors.New("namespace: is missing"))
	}
	set := labels.Set{}
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		switch {
		case key == serverKey || key == variantKey:
			set[key] = metadata[key]
		case !slices.Contains(ownKeys, key):
			faults = append(faults, fmt.Errorf("metadata: %q is not allowed, must be %s or %s", key, serverKey, variantKey))
		}
	}
	if set[serverKey] == "" {
		faults = append(faults, fmt.Errorf("metadata: %s is missing", serverKey))
	}
	if v, has := set[variantKey]; has && v == "" {
		faults = append(faults, fmt.Errorf("metadata: %s is empty", variantKey))
	}
	selector, err := set.AsValidatedSelector()
	if err != nil {
		faults = append(faults, err)
	}
	if len(faults) > 0 {
		return nil, status.Error(codes.InvalidArgument, strings.ReplaceAll(errors.Join(faults...).Error(), "\n", "; "))
	}
	return selector, nil
}

// codeOf an error of the provider. Waiting helps against Unavailable, and against no other.
func codeOf(err error) codes.Code {
	switch metricsadapter.OutcomeOf(err) {
	case metricsadapter.OutcomeNotSynced, metricsadapter.OutcomeNoPlan, metricsadapter.OutcomeStalePlan:
		return codes.Unavailable
	case metricsadapter.OutcomeNoServer, metricsadapter.OutcomeUnknownMetric:
		return codes.NotFound
	case metricsadapter.OutcomeBadSelector:
		return codes.InvalidArgument
	case metricsadapter.OutcomeNoValue:
		return codes.FailedPrecondition
	default:
		return codes.Internal
	}
}
