package trace

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Share is the part of a load that one server gets.
type Share struct {
	Server string  `json:"server"`
	Weight float64 `json:"weight"` // relative to the other shares, at least 0
}

// Splitter deals the requests of one trace out to several servers, each by an
// independent draw with the weights as odds.
type Splitter struct {
	shares []Share // by name, so that their order in a configuration does not matter
	total  float64
	random *rand.Rand
}

// NewSplitter checks the shares; the error lists everything wrong with them.
func NewSplitter(shares []Share, seed uint64) (*Splitter, error) {
	const stream = 0x73706c6974 // keeps these draws apart from others of the same seed
	s := &Splitter{
		shares: slices.SortedFunc(slices.Values(shares), func(a, b Share) int { return cmp.Compare(a.Server, b.Server) }),
		random: rand.New(rand.NewPCG(seed, stream)),
	}
	var faults []error
	for i, share := range s.shares {
		if !(share.Weight >= 0 && !math.IsInf(share.Weight, 1)) {
			faults = append(faults, fmt.Errorf("share of %q: weight %v, want a finite number of at least 0", share.Server, share.Weight))
		}
		if i > 0 && share.Server == s.shares[i-1].Server {
			faults = append(faults, fmt.Errorf("share of %q: given twice", share.Server))
		}
		s.total += share.Weight
	}
	if len(faults) == 0 && !(s.total > 0) {
		faults = append(faults, errors.New("shares: want at least one with a weight above 0"))
	}
	return s, errors.Join(faults...)
}

// Pick names the server of the next request.
func (s *Splitter) Pick() string {
	draw := s.random.Float64() * s.total
	for _, share := range s.shares {
		if draw < share.Weight {
			return share.Server
		}
		draw -= share.Weight
	}
	// Rounding may leave a crumb: it belongs to the last one that takes any.
	for i := len(s.shares) - 1; ; i-- {
		if s.shares[i].Weight > 0 {
			return s.shares[i].Server
		}
	}
}
