package forecast

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestOrderedEqualsSorting(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var o ordered
	var all []stamped
	for at := range 500 {
		for range r.IntN(3) {
			v := stamped{at, math.Round(10 * r.NormFloat64())}
			all = append(all, v)
			o.add(v.at, v.value)
		}
		before := at - r.IntN(60)
		o.forget(before)
		all = slices.DeleteFunc(all, func(s stamped) bool { return s.at < before })
		var want []float64
		for _, s := range all {
			want = append(want, s.value)
		}
		slices.Sort(want)
		if !slices.Equal(o.sorted, want) {
			t.Fatalf("at %d: %v, want %v", at, o.sorted, want)
		}
	}
}

func TestQuantileIsConformalRank(t *testing.T) {
	var o ordered
	for i := range 9 {
		o.add(i, float64(i+1))
	}
	for q, want := range map[float64]float64{0: 1, 0.1: 1, 0.5: 5, 0.75: 8, 0.9: 9, 0.99: 9, 1: 9} {
		if got := o.quantile(q); got != want {
			t.Errorf("quantile %v of 1 … 9 is %v, want %v", q, got, want)
		}
	}
}

func TestSumsOverStretches(t *testing.T) {
	var s sums
	for i, v := range []float64{1, math.NaN(), 4, 8} {
		s.set(i, 100)
		s.set(i, v)
	}
	for _, c := range []struct {
		from, to   int
		sum, count float64
	}{{0, 4, 13, 3}, {1, 2, 0, 0}, {2, 9, 12, 2}, {-5, 1, 1, 1}, {3, 3, 0, 0}, {7, 9, 0, 0}} {
		if sum, count := s.over(c.from, c.to); sum != c.sum || count != c.count {
			t.Errorf("over %d to %d: %v of %v, want %v of %v", c.from, c.to, sum, count, c.sum, c.count)
		}
	}
}

func TestPinballIsLeastAtTheQuantile(t *testing.T) {
	values := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	least, at := math.Inf(1), 0.0
	for f := 0.5; f <= 11; f += 0.5 {
		sum := 0.0
		for _, v := range values {
			sum += pinball(v, f, 0.75)
		}
		if sum < least {
			least, at = sum, f
		}
	}
	if at != 8 {
		t.Errorf("least at %v, want 8", at)
	}
}

func TestMedianOfThree(t *testing.T) {
	for _, x := range [][]float64{{1, 2, 3}, {3, 1, 2}, {2, 3, 1}, {3, 2, 1}, {2, 2, 9}, {1, 2, 2}} {
		if got := median3(x); got != 2 {
			t.Errorf("median of %v is %v", x, got)
		}
	}
}
