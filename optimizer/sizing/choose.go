package sizing

import (
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Free says which limits of the engine may be chosen.
type Free struct {
	// Batch: the max batch size, up to the given one.
	Batch bool
	// Budget: the token budget of an iteration, up to the given one.
	Budget bool
}

// Choice is how to run a replica, and what it then does.
type Choice struct {
	Limits queueing.Limits
	// Rate of requests per second that one replica completes within the targets.
	Rate       float64
	Prediction queueing.Prediction
}

// within is how close to the true peak rate a smaller batch must come.
const peakShare = 0.98

// Choose finds the limits at which one replica completes most requests within the targets: the peak over what is free, and the smallest
// batch whose rate is within 2 % of it.
func Choose(model queueing.Model, law queueing.Law, req queueing.Requests, lim queueing.Limits, t Targets, free Free) (Choice, error) {
	rate, p, err := RatePerReplica(model, law, req, lim, t)
	return Choice{lim, rate, p}, err
}
