package queueing

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/mathext"
)

// TestStrataAreThoseOfGammaLengths compares with the exact quantiles.
func TestStrataAreThoseOfGammaLengths(t *testing.T) {
	const tokens = 1e9 // so large that the token which is no interval does not matter
	for _, cv := range []float64{1e-6, 0.1, 0.33, 0.5, 0.7, 1, 1.5} {
		got := newLengths(tokens, cv)
		for i, n := range got {
			want := 1.0
			if shape := 1 / (cv * cv); cv > 1e-3 {
				want = mathext.GammaIncRegInv(shape, (lengthBounds[i]+lengthBounds[i+1])/2) / shape
			}
			if math.Abs(n/tokens-want) > 0.04*want+1e-6 {
				t.Errorf("CV %v, stratum %d: %v of the mean, want %v", cv, i, n/tokens, want)
			}
		}
	}
}
