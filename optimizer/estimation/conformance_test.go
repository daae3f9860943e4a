package estimation_test

import "github.com/llm-inferno/inferno/optimizer/estimation"

// learners are the registered estimators that learn.
var learners = []string{estimation.EstimatorEKF, estimation.EstimatorSlidingWindow}
