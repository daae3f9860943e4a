package queueing

// Bound is the model "fluid-bound", for screening: requests arrive and leave as a fluid, so that nobody waits for a place or behind
// others, and the batch is the one at which as many leave as arrive,
//
//	n = rate · stay · T(n).
//
// It takes about ten evaluations of the law, prepares nothing, and knows means only. Its latencies are below those of
// [ContinuousBatching] where T is convex, as it is unless experts are still being touched, so that a rate sized with it is an upper bound
// on what a replica sustains within latency targets, and a replica that misses a target here misses it for good.
type Bound struct{}

// ModelBound is the registered name of [Bound].
const ModelBound = "fluid-bound"

// SeesBudget implements [Model].
func (Bound) SeesBudget() bool { return false }

// Replica implements [Model].
func (m Bound) Replica(law Law, requests Requests, limits Limits) (Replica, error) {
	return m.Reuse(nil, law, requests, limits)
}

// Reuse implements [Reuser].
func (Bound) Reuse(old Replica, law Law, requests Requests, limits Limits) (Replica, error) {
	b, ok := old.(bound)
	if !ok {
		b = bound{new(continuous)}
	}
	if err := b.prepare(law, requests, limits); err != nil {
		return nil, err
	}
	return b, nil
}

type bound struct{ *continuous }

// Open implements [Replica].
func (b bound) Open(rate float64) (Prediction, error) {
	if err := validRate(rate); err != nil {
		return Prediction{}, err
	}
	n, at, t := b.level(rate)
	whole := b.law.IterationTime(b.batch(n, at.room))
	last := b.law.IterationTime(b.batch(n, max(0, b.input-(at.parts-1)*at.room)))
	ttft := b.delay + (at.parts-1)*whole + last
	throughput := min(rate, b.rate)
	return Prediction{
		Rate: rate, Throughput: throughput, MaxRate: b.MaxRate(), InService: n, Prefill: ttft,
		TTFT: meanOnly(ttft), ITL: meanOnly(t), RequestITL: meanOnly(t), Response: ttft + b.intervals()*t,
	}, nil
}

// Means implements [Means].
func (b bound) Means(rate float64) (Prediction, error) { return b.Open(rate) }

// level is the batch at which as many requests leave as arrive, and the mean time of an iteration over it: the root of
// rate · stay · T(n) − n, by regula falsi with the Illinois rule; relative error 1e-6.
func (b bound) level(rate float64) (n float64, at node, t float64) {
	const tolerance, most = 1e-6, 40
	excess := func(x float64) float64 {
		at = b.node(x)
		t = b.balanced(&at)
		return rate*b.stay*t - x
	}
	high, fhigh := b.full, excess(b.full)
	if fhigh >= 0 {
		return high, at, t
	}
	low, flow := 0.0, excess(0)
	side := 0
	for i := 0; i < most && high-low > tolerance*high; i++ {
		n = (low*fhigh - high*flow) / (fhigh - flow)
		f := excess(n)
		if f > -tolerance*n && f < tolerance*n {
			break
		}
		if f > 0 {
			if side > 0 {
				fhigh /= 2
			}
			low, flow, side = n, f, 1
		} else {
			if side < 0 {
				flow /= 2
			}
			high, fhigh, side = n, f, -1
		}
	}
	return n, at, t
}
