package specification

import (
	"math"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Resources leave out what is absent, where the JSON specification has zeros; so zero is absent here. A duration is whole nanoseconds.

func decimal(x *float64) *v1alpha1.Decimal {
	if x == nil {
		return nil
	}
	d := v1alpha1.DecimalOf(*x)
	return &d
}

func positive(x float64) *v1alpha1.Decimal {
	if x == 0 {
		return nil
	}
	return decimal(&x)
}

func float(d *v1alpha1.Decimal) *float64 {
	if d == nil {
		return nil
	}
	x := d.Float()
	return &x
}

func orZero(d *v1alpha1.Decimal) float64 {
	if d == nil {
		return 0
	}
	return d.Float()
}

func ofSeconds(s float64) *metav1.Duration {
	if s == 0 {
		return nil
	}
	return &metav1.Duration{Duration: time.Duration(math.Round(s * float64(time.Second)))}
}

// InSeconds is a duration in seconds, 0 where it is absent.
func InSeconds(d *metav1.Duration) float64 {
	if d == nil {
		return 0
	}
	return d.Seconds()
}

func ofMilliseconds(ms float64) *metav1.Duration { return ofSeconds(jsonspec.Seconds(ms)) }

// inMilliseconds divides whole nanoseconds once, so that a number of milliseconds comes back as it was.
func inMilliseconds(d *metav1.Duration) float64 {
	if d == nil {
		return 0
	}
	return float64(d.Nanoseconds()) / float64(time.Millisecond)
}

// bytesPerGigabyte is what the JSON specification means by GB.
const bytesPerGigabyte = 1e9 // Exact: what giga means.

func gigabytes(gb float64) *resource.Quantity {
	if gb == 0 {
		return nil
	}
	return resource.NewQuantity(int64(math.Round(gb*bytesPerGigabyte)), resource.DecimalSI)
}

func inGigabytes(q *resource.Quantity) float64 {
	if q == nil {
		return 0
	}
	return q.AsApproximateFloat64() / bytesPerGigabyte
}
