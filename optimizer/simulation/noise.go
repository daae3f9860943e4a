package simulation

import (
	"math"
	"math/rand/v2"
)

// noise draws factors from a log-normal distribution with mean 1 and the given
// coefficient of variation: exp(σz − σ²/2) with σ² = ln(1 + CV²).
type noise struct {
	sigma  float64
	source *rand.Rand
}

func newNoise(cv float64, seed uint64) noise {
	const stream = 0x696e6665726e6f // keeps this stream apart from others of the same seed
	return noise{
		sigma:  math.Sqrt(math.Log1p(cv * cv)),
		source: rand.New(rand.NewPCG(seed, stream)),
	}
}

func (n *noise) factor() float64 {
	if n.sigma == 0 {
		return 1
	}
	return math.Exp(n.sigma * (n.source.NormFloat64() - n.sigma/2))
}
