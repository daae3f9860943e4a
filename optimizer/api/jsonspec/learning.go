package jsonspec

// Judgement is what an estimator made of one observation. Latencies are means in ms; predictions are from before it was learned from. What is
// absent is not known.
type Judgement struct {
	Model       string `json:"model"`
	Accelerator string `json:"accelerator"`
	// Source is the server, and the limits of the replicas that were measured.
	Source string `json:"source"`
	// Running requests per engine.
	Running       *float64 `json:"running,omitempty"`
	ITL           *float64 `json:"itl,omitempty"`
	PredictedITL  *float64 `json:"predictedITL,omitempty"`
	TTFT          *float64 `json:"ttft,omitempty"`
	PredictedTTFT *float64 `json:"predictedTTFT,omitempty"`
	// Accepted is true where at least one latency was learned from.
	Accepted bool `json:"accepted"`
	// Reason says why the observation, or one of its latencies, was not learned from.
	Reason string `json:"reason,omitempty"`
}

// Probe is a suggestion: so many requests running on one replica for one window, by its max batch size or its share of the load, would make
// the ITL that a plan counts on better known. Where it is acted on, the plan has more replicas than it needs for a while.
type Probe struct {
	Server      string `json:"server"`
	Model       string `json:"model"`
	Accelerator string `json:"accelerator"`
	// PlannedRunning requests per replica, whose ITL matters: those at the highest rate that the plan counts on; and those to probe with.
	PlannedRunning float64 `json:"plannedRunning"`
	Running        float64 `json:"running"`
	// SDBefore and SDAfter are the standard deviations of the logarithm of the planned ITL: 0.1 is 10 %.
	SDBefore float64 `json:"sdBefore"`
	SDAfter  float64 `json:"sdAfter"`
	// Replicas that the plan has for the probe, 0 where it is only suggested, and until when, in seconds since the Unix epoch.
	Replicas int     `json:"replicas,omitempty"`
	Until    float64 `json:"until,omitempty"`
	// ExpectedSaving in cents per hour, and what it costs to find out in cents, where the probe is a trial of an accelerator on which the model never
	// ran; else 0.
	ExpectedSaving float64 `json:"expectedSaving,omitempty"`
	Cost           float64 `json:"cost,omitempty"`
}
