package queueing

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/mathext"
)

// TestStrata compares with the exact quantiles: normal up to the usual spread, gamma beyond.
func TestStrata(t *testing.T) {
	const tokens = 1e9 // so large that the token which is no interval does not matter
	for _, cv := range []float64{1e-6, 0.1, 0.33, 0.5, 0.7, 1, 1.5} {
		got := newLengths(tokens, cv)
		for i, n := range got {
			p := (lengthBounds[i] + lengthBounds[i+1]) / 2
			want := math.Max(0, 1+cv*math.Sqrt2*math.Erfinv(2*p-1))
			if shape := 1 / (cv * cv); cv > defaultTokensCV {
				want = mathext.GammaIncRegInv(shape, p) / shape
			}
			if math.Abs(n/tokens-want) > 0.04*want+1e-6 {
				t.Errorf("CV %v, stratum %d: %v of the mean, want %v", cv, i, n/tokens, want)
			}
		}
	}
}
