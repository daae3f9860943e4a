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
