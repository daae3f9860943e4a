package chance_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/chance"
)

func TestChanceIsRarelyExceeded(t *testing.T) {
	r, n := rand.New(rand.NewPCG(1, 2)), 0
	const draws = 100000
	for range draws {
		if chance.Exceeded(5*r.NormFloat64(), 5) {
			n++
		}
	}
	if share := float64(n) / draws; math.Abs(share-0.0027) > 0.001 {
		t.Errorf("chance is exceeded in %v of cases, want 0.0027", share)
	}
}

func TestExceeded(t *testing.T) {
	for _, c := range []struct {
		difference, standardError float64
		want                      bool
	}{{3.1, 1, true}, {-3.1, 1, true}, {2.9, 1, false}, {1e-9, 0, true}, {0, 0, false}, {math.NaN(), 1, false}, {5, math.NaN(), false}} {
		if got := chance.Exceeded(c.difference, c.standardError); got != c.want {
			t.Errorf("%v with a standard error of %v: %v", c.difference, c.standardError, got)
		}
	}
}

// Means of few draws of what has a long tail are rarely taken for more than chance, and a mean that is another is found.
func TestMeanExceeded(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name string
		cv   float64
		draw func() float64
	}{
		{"exponential", 1, r.ExpFloat64},
		{"lognormal", 1, func() float64 { return math.Exp(math.Sqrt(math.Ln2)*r.NormFloat64() - math.Ln2/2) }},
		{"hardly any spread", 0.1, func() float64 { return 1 + 0.1*r.NormFloat64() }},
	} {
		for _, n := range []int{1, 3, 10, 100} {
			const tries = 20000
			wrong, found := 0, 0
			for range tries {
				mean := 0.0
				for range n {
					mean += c.draw() / float64(n)
				}
				if chance.MeanExceeded(mean, 1, c.cv, float64(n)) {
					wrong++
				}
				if chance.MeanExceeded(3*mean, 1, c.cv, float64(n)) {
					found++
				}
			}
			if share := float64(wrong) / tries; share > 0.012 {
				t.Errorf("%s: the mean of %d is taken for another in %.2f %% of cases", c.name, n, 100*share)
			}
			if share := float64(found) / tries; n >= 100 && share < 0.99 {
				t.Errorf("%s: three times the mean of %d is found in %.1f %% of cases", c.name, n, 100*share)
			}
		}
	}
	for _, bad := range [][4]float64{{math.NaN(), 1, 1, 5}, {1, 0, 1, 5}, {1, 1, 1, 0}, {1, 1, 1, math.Inf(1)}, {-1, 1, 1, 5}} {
		if chance.MeanExceeded(bad[0], bad[1], bad[2], bad[3]) {
			t.Errorf("%v exceeds chance", bad)
		}
	}
	if !chance.MeanExceeded(20, 1, math.NaN(), 1) || chance.MeanExceeded(4, 1, math.NaN(), 1) {
		t.Error("without a deviation a draw is to be taken for one of an exponential distribution")
	}
}
