package queueing

import (
	"errors"
	"fmt"
	"math"
)

// Validate joins every fault of the requests.
func (r Requests) Validate() error {
	return errors.Join(
		within("inputTokens", r.InputTokens, 0, maxTokens, "0 to 1e9"),
		within("outputTokens", r.OutputTokens, math.SmallestNonzeroFloat64, maxTokens, "above 0, to 1e9"),
		orUnknown("inputTokensSD", r.InputTokensSD, 0, maxTokens, "0 to 1e9, or NaN"),
		orUnknown("outputTokensSD", r.OutputTokensSD, 0, maxTokens, "0 to 1e9, or NaN"),
		orUnknown("arrivalCV", r.ArrivalCV, 0, maxCV, "0 to 100, or NaN"),
		within("prefixHitRate", r.PrefixHitRate, 0, 1, "0 to 1"),
	)
}

// Validate joins every fault of the limits.
func (l Limits) Validate() error {
	return errors.Join(
		count("maxBatch", l.MaxBatch, 1, maxBatch),
		count("maxQueue", l.MaxQueue, 0, maxTokens),
		count("maxBatchedTokens", l.MaxBatchedTokens, 1, maxTokens),
		count("kvTokens", l.KVTokens, 0, math.MaxInt),
	)
}

// Bounds of what is taken for a description of an engine and its traffic, and not for a mistake.
const (
	// maxTokens of a request. Tuned: tokens; guard against a number that is a mistake
	maxTokens = 1e9
	// maxBatch of an engine. Tuned: requests; guard against a number that is a mistake
	maxBatch = 1 << 16
	// maxCV of lengths and of times between arrivals. Tuned: 1; guard against a number that is a mistake
	maxCV = 100
)

// validRate says what is wrong with an arrival rate.
func validRate(rate float64) error {
	return within("rate", rate, math.SmallestNonzeroFloat64, math.MaxFloat64, "above 0 and finite")
}

func within(field string, v, low, high float64, allowed string) error {
	if v >= low && v <= high {
		return nil
	}
	return fmt.Errorf("%s: %v is not allowed, must be %s", field, v, allowed)
}

func orUnknown(field string, v, low, high float64, allowed string) error {
	if math.IsNaN(v) {
		return nil
	}
	return within(field, v, low, high, allowed)
}

func count(field string, v, low, high int) error {
	if v >= low && v <= high {
		return nil
	}
	return fmt.Errorf("%s: %d is not allowed, must be %d to %d", field, v, low, high)
}
