// Package sizing turns latency targets into what they demand of hardware: the highest rate one replica sustains, the batch size and token
// budget to run it with, and the number of replicas.
package sizing

import (
	"errors"
	"fmt"
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Targets are service-level objectives; 0 means none.
type Targets struct {
	// TTFT is the highest time to first token in seconds, queueing included.
	TTFT float64
	// ITL is the highest time between tokens in seconds.
	ITL float64
	// TPS is the number of generated tokens per second to sustain, over all replicas.
	TPS float64
	// Percentile, in (0, 100), of the requests that must meet TTFT and ITL; 0 where the targets hold for the mean.
	Percentile float64
}

// Validate joins every fault of the targets.
func (t Targets) Validate() error {
	var faults []error
	for _, f := range []struct {
		field string
		value float64
	}{{"ttft", t.TTFT}, {"itl", t.ITL}, {"tps", t.TPS}} {
		if !(f.value >= 0) || math.IsInf(f.value, 0) {
			faults = append(faults, fmt.Errorf("%s: %v is not allowed, must be at least 0 and finite", f.field, f.value))
		}
	}
	if !(t.Percentile >= 0 && t.Percentile < 100) {
		faults = append(faults, fmt.Errorf("percentile: %v is not allowed, must be 0 to below 100", t.Percentile))
	}
	return errors.Join(faults...)
}

// latency is a target on one latency, 0 for none, and what is predicted of it.
type latency struct {
	name              string
	target, predicted float64
}

// latencies are the targets on latencies beside the prediction at their percentile. One of ITL is over requests, each with the mean of its
// intervals.
func (t *Targets) latencies(p *queueing.Prediction) [2]latency {
	if t.Percentile == 0 {
		return [2]latency{{"TTFT", t.TTFT, p.TTFT.Mean}, {"ITL", t.ITL, p.RequestITL.Mean}}
	}
	return [2]latency{{"TTFT", t.TTFT, p.TTFT.At(t.Percentile)}, {"ITL", t.ITL, p.RequestITL.At(t.Percentile)}}
}

// Infeasible says that no rate, however low, meets a target.
type Infeasible struct {
	// Target is "TTFT" or "ITL".
	Target string
	// Percentile the target holds for, 0 for the mean.
	Percentile float64
	// Want and Best are the target and the best possible, in seconds.
	Want, Best float64
}

// Error implements error.
func (e *Infeasible) Error() string {
	what := "mean"
	if e.Percentile > 0 {
		what = fmt.Sprintf("P%g", e.Percentile)
	}
	return fmt.Sprintf("%s: target %.4g ms on the %s cannot be met, the best possible is %.4g ms", e.Target, jsonspec.Milliseconds(e.Want), what, jsonspec.Milliseconds(e.Best))
}
