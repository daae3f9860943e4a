package metricsadapter

import (
	"errors"
	"fmt"
	"math"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Names of the metrics.
const (
	// DesiredReplicas is the planned number of replicas.
	DesiredReplicas = "inferno_desired_replicas"
	// DesiredRatio is the planned number of replicas divided by the number that is ready, rounded down to a thousandth so that the product
	// of both, rounded up as the autoscaler does, is the plan. With none ready it is the planned number itself, which is what the
	// autoscaler takes a ratio for when it scales from zero.
	DesiredRatio = "inferno_desired_ratio"
	// MaxBatchSize is the planned max batch size of a replica in requests; of several parts the smallest, which every replica admits.
	MaxBatchSize = "inferno_max_batch_size"
	// MaxBatchedTokens is the planned token budget per iteration of a replica; of several parts the smallest.
	MaxBatchedTokens = "inferno_max_batched_tokens"
	// PredictedTTFT is the mean time to first token, in seconds, that the plan predicts for the whole server.
	PredictedTTFT = "inferno_predicted_ttft_seconds"
	// PredictedITL is the mean inter-token latency, in seconds, that the plan predicts for the whole server.
	PredictedITL = "inferno_predicted_itl_seconds"
)

// A metric computes its value for a part of a server that has a plan. An error says why the plan holds no such number.
type metric struct {
	name  string
	value func(server *v1alpha1.Server, s scope) (resource.Quantity, error)
}

// metrics in the order in which they are listed.
var metrics = []metric{
	{DesiredRatio, desiredRatio},
	{DesiredReplicas, desiredReplicas},
	{MaxBatchSize, limit("max batch size", func(part jsonspec.AllocationPart) int { return part.MaxBatchSize })},
	{MaxBatchedTokens, limit("token budget", func(part jsonspec.AllocationPart) int { return part.MaxBatchedTokens })},
	{PredictedITL, predicted(func(l *v1alpha1.Latencies) *float64 { return l.ITL })},
	{PredictedTTFT, predicted(func(l *v1alpha1.Latencies) *float64 { return l.TTFT })},
}

// findMetric returns the metric of that name.
func findMetric(name string) (metric, bool) {
	for _, m := range metrics {
		if m.name == name {
			return m, true
		}
	}
	return metric{}, false
}

// plannedReplicas of the scope.
func plannedReplicas(server *v1alpha1.Server, s scope) (int64, error) {
	plan := server.Status.Desired
	if s == (scope{}) {
		return checkReplicas("planned replicas", int64(plan.Replicas))
	}
	if len(plan.Parts) == 0 && plan.Replicas != 0 {
		return 0, fmt.Errorf("the plan of %d replicas is not split by accelerator", plan.Replicas)
	}
	var planned int64
	for _, part := range plan.Parts {
		if !s.covers(server, part.Accelerator, part.Variant) {
			continue
		}
		for _, n := range []int{part.Replicas, part.Surge, part.Now()} {
			if _, err := checkReplicas("planned replicas on "+part.On(), int64(n)); err != nil {
				return 0, err
			}
		}
		planned += int64(part.Now())
	}
	return checkReplicas("planned replicas", planned)
}

// checkReplicas refuses what no workload can have.
func checkReplicas(what string, replicas int64) (int64, error) {
	if replicas < 0 || replicas > math.MaxInt32 {
		return 0, fmt.Errorf("%s: %d; must be from 0 to %d", what, replicas, math.MaxInt32)
	}
	return replicas, nil
}

func desiredReplicas(server *v1alpha1.Server, s scope) (resource.Quantity, error) {
	planned, err := plannedReplicas(server, s)
	return *resource.NewQuantity(planned, resource.DecimalSI), err
}

func desiredRatio(server *v1alpha1.Server, s scope) (resource.Quantity, error) {
	planned, err := plannedReplicas(server, s)
	if err != nil {
		return resource.Quantity{}, err
	}
	ready := max(1, readyReplicas(server, s))
	return *resource.NewMilliQuantity(planned*1000/int64(ready), resource.DecimalSI), nil
}

// readyReplicas of the scope, as last observed.
func readyReplicas(server *v1alpha1.Server, s scope) int {
	if s == (scope{}) {
		return server.Status.ReadyReplicas
	}
	ready := 0
	for _, part := range server.Status.Current {
		if s.covers(server, part.Accelerator, part.Variant) {
			ready += part.Ready
		}
	}
	return ready
}

// limit is a metric of what engines are started with: the smallest over the parts of the scope that set it.
func limit(what string, of func(jsonspec.AllocationPart) int) func(*v1alpha1.Server, scope) (resource.Quantity, error) {
	return func(server *v1alpha1.Server, s scope) (resource.Quantity, error) {
		smallest := 0
		for _, part := range server.Status.Desired.Parts {
			set := of(part)
			if set < 0 {
				return resource.Quantity{}, fmt.Errorf("planned %s on %s: %d; must be at least 0", what, part.On(), set)
			}
			if set > 0 && s.covers(server, part.Accelerator, part.Variant) && (smallest == 0 || set < smallest) {
				smallest = set
			}
		}
		if smallest == 0 {
			return resource.Quantity{}, fmt.Errorf("the plan leaves the %s to the engine's default", what)
		}
		return *resource.NewQuantity(int64(smallest), resource.DecimalSI), nil
	}
}

// largestLatency in ms that is still a latency (three years), so that its microseconds fit an int64 with room to spare.
const largestLatency = 1e11

// predicted is a metric of a predicted latency, given in ms by the plan and in seconds, to a microsecond, by the metric.
func predicted(of func(*v1alpha1.Latencies) *float64) func(*v1alpha1.Server, scope) (resource.Quantity, error) {
	return func(server *v1alpha1.Server, s scope) (resource.Quantity, error) {
		if s != (scope{}) {
			return resource.Quantity{}, errors.New("latencies are predicted for the server as a whole; select by server alone")
		}
		latencies := server.Status.Desired.Predicted
		if latencies == nil || of(latencies) == nil {
			return resource.Quantity{}, errors.New("the plan predicts no such latency")
		}
		ms := *of(latencies)
		if !(ms >= 0 && ms <= largestLatency) {
			return resource.Quantity{}, fmt.Errorf("predicted latency: %v ms; must be from 0 to %v", ms, float64(largestLatency))
		}
		seconds := resource.NewScaledQuantity(int64(math.Round(ms*1000)), resource.Micro)
		return *seconds, nil
	}
}
