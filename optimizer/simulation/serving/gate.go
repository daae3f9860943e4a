package serving

// gate is a bucket of tokens: each request takes one, and is refused where there is none. It is filled at a rate, up to a depth. The zero value is open.
type gate struct {
	bounded     bool
	rate, depth float64 // tokens per second, tokens
	tokens      float64
	at          float64 // when they were counted, s
}

// bound the gate from a time on. What is in the bucket stays, as far as it fits; one that was open begins full.
func (g *gate) bound(at, rate, depth float64) {
	g.fill(at)
	if !g.bounded {
		g.tokens = depth
	}
	g.bounded, g.rate, g.depth, g.at = true, rate, depth, at
	g.tokens = min(g.tokens, depth)
}

func (g *gate) open() { g.bounded = false }

func (g *gate) fill(at float64) {
	g.tokens, g.at = min(g.tokens+(at-g.at)*g.rate, g.depth), at
}

// admit a request; false where it is refused.
func (g *gate) admit(at float64) bool {
	if !g.bounded {
		return true
	}
	if g.fill(at); g.tokens < 1 {
		return false
	}
	g.tokens--
	return true
}
