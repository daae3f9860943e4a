package cluster

import (
	"math"
	"testing"
)

// counter is a series of one counter at the given times.
func counter(times, values []float64) Series {
	var s Series
	for i := range times {
		x := Sample{At: times[i]}
		x.Value[Completions] = values[i]
		s = append(s, x)
	}
	return s
}

// Expected values are those of Prometheus for the same samples, by its extrapolation: to the window's ends where the first and last sample are
// near them, half a step otherwise, and never below a counter of zero.
func TestRateIsPrometheus(t *testing.T) {
	for _, c := range []struct {
		name          string
		times, values []float64
		want          float64
	}{
		{"steady, samples at both ends", []float64{45, 60, 75, 90, 100}, []float64{100, 115, 130, 145, 155}, 1},
		{"extended to both ends", []float64{50, 65, 80, 95}, []float64{100, 115, 130, 145}, 60.0 / 60},
		{"a counter that was zero just before", []float64{70, 85, 100}, []float64{5, 20, 35}, (30 + 5) / 60.0},
		{"young series: half a step", []float64{70, 85, 100}, []float64{500, 515, 530}, 37.5 / 60},
		{"no increase", []float64{70, 85, 100}, []float64{5, 5, 5}, 0},
	} {
		got, ok := counter(c.times, c.values).Rate(Completions, 100, 60)
		if !ok || math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: %v (%v), want %v", c.name, got, ok, c.want)
		}
	}
	if _, ok := counter([]float64{99}, []float64{1}).Rate(Completions, 100, 60); ok {
		t.Error("a rate of one sample")
	}
	if _, ok := counter([]float64{10, 20}, []float64{1, 2}).At(Completions, 400); ok {
		t.Error("a sample of six minutes ago is no present value")
	}
}
