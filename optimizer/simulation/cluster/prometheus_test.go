package cluster

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// counter is a series of one counter at the given times.
func counter(times, values []float64) Series {
	var s Series
	for i := range times {
		x := Sample{At: times[i], Value: make([]float64, valueCount)}
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

// What has arrived is counted at the ends of half windows, whatever of it runs, waits or is done, and not where one holds more scrapes than the next.
func TestArrived(t *testing.T) {
	var s Series
	for i := range 41 {
		x := Sample{At: float64(15 * i), Value: make([]float64, valueCount)}
		n := float64(10 * i)
		x.Value[Completions], x.Value[Running], x.Value[Waiting] = 0.7*n, 0.2*n, 0.1*n
		s = append(s, x)
	}
	counted := func(s Series) map[int]float64 {
		of := map[int]float64{}
		s.Arrived(610, 60, 300, func(step int, n float64) { of[step] = math.Round(n) })
		return of
	}
	want := map[int]float64{}
	for step := 11; step <= 20; step++ {
		want[step-20] = 20 * float64(step)
	}
	if diff := cmp.Diff(want, counted(s)); diff != "" {
		t.Error(diff)
	}
	if got := counted(append(append(Series{}, s[:38]...), s[39:]...)); len(got) != 8 { // the steps at 570 and 600 s have three scrapes in their window
		t.Errorf("with a scrape that is missing %v", got)
	}
	if got := counted(nil); len(got) != 0 {
		t.Errorf("of nothing %v", got)
	}
}
