package cluster

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
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

// The dispersion of arrivals is that of their numbers in half windows, whatever of them runs, waits or is done; one that rises steadily adds little.
func TestDispersion(t *testing.T) {
	series := func(arrived func(step int) float64) Series {
		var s Series
		for i := range 41 {
			x := Sample{At: float64(15 * i), Value: make([]float64, valueCount)}
			n := arrived(i)
			x.Value[Completions], x.Value[Running], x.Value[Waiting] = math.Floor(0.7*n), math.Ceil(0.3*n)-1, n-math.Floor(0.7*n)-math.Ceil(0.3*n)+1
			s = append(s, x)
		}
		return s
	}
	random := rand.New(rand.NewPCG(1, 2))
	total, batch := 0.0, 0.0
	sums := [4]float64{}
	const trials = 400
	for range trials {
		total, batch = 0, 0
		poisson := func(mean float64) float64 { return distuv.Poisson{Lambda: mean, Src: random}.Rand() }
		for i, s := range []Series{
			series(func(int) float64 { total += poisson(30); return total }),
			series(func(int) float64 { batch += 5 * poisson(6); return batch }), // in fives
			series(func(i int) float64 { return float64(30 * i) }),
			series(func(i int) float64 { return float64(30*i + i*i/10) }),
		} {
			x, ok := s.Dispersion(600, 60, 240)
			if !ok {
				t.Fatal("not known")
			}
			sums[i] += x / trials
		}
	}
	if !(math.Abs(sums[0]-1) < 0.08 && math.Abs(sums[1]-5) < 0.4 && sums[2] == 0 && sums[3] < 0.1) {
		t.Errorf("%.3f of Poisson arrivals, %.3f in fives, %.3f at equal distances, %.3f rising", sums[0], sums[1], sums[2], sums[3])
	}
	s := series(func(i int) float64 { return float64(i) })
	for name, s := range map[string]Series{"nothing": nil, "young": s[38:], "a scrape is missing": append(append(Series{}, s[:38]...), s[39:]...)} {
		if x, ok := s.Dispersion(600, 60, 240); ok {
			t.Errorf("%s: %v", name, x)
		}
	}
}
