package fleet

import "github.com/llm-inferno/inferno/optimizer/api/jsonspec"

// Plan is what all servers get.
type Plan struct {
	// Allocations by server.
	Allocations map[string]Allocation
	// TotalCost of allocations and purchases in cents per hour.
	TotalCost float64
	// Unserved servers and why, sorted by name.
	Unserved []jsonspec.Unserved
	// Placement of the replicas on the nodes that are known.
	Placement []jsonspec.NodePlacement
	// Bought is the elastic capacity that the plan counts on, TakenBack what earlier plans counted on in vain; sorted by pool.
	Bought    []jsonspec.Purchase
	TakenBack []jsonspec.TakenBack
	// Shares are what the plan gives each share.
	Shares []jsonspec.ShareStatus
	Solver jsonspec.SolverReport
}

// Candidate is one way to serve a server as it was sized.
type Candidate struct {
	Server string
	// ID names its accelerators, such as A100 or A100+L4; Types those of their cards.
	ID, Types string
	Priority  int
	// Parts needed to meet the targets. Their limits stand for all replicas.
	Parts []Part
	// Cards in all.
	Cards int
	// Cost in cents per hour, and Value, which is what the solver minimises: cost and penalties.
	Cost, Value float64
	// TTFT and ITL predicted, means in seconds.
	TTFT, ITL Maybe
	// Rate in requests per second that a replica sustains within the targets; 0 where that was not asked.
	Rate float64
	// Trim is the factor on that rate which measured attainment asks for.
	Trim float64
	// Fault says why it does not meet the targets; nil where it does.
	Fault error
}

// Judgement is what an estimator made of an observation. Times in seconds.
type Judgement struct {
	Model, Accelerator, Source                      string
	Running, ITL, PredictedITL, TTFT, PredictedTTFT Maybe
	Accepted                                        bool
	Reason                                          string
}

// Verdict says how a decision about one server came out, as the reason and message of its condition Planned.
type Verdict struct {
	// Planned is true where the allocation meets the targets.
	Planned bool `json:"planned"`
	// Reason is one of the condition reasons of v1alpha1.
	Reason string `json:"reason"`
	// Message for a person.
	Message string `json:"message"`
}

// Decision is what comes of a snapshot, beside the state.
type Decision struct {
	Plan Plan
	// Candidates that were considered, by server, then accelerators.
	Candidates []Candidate
	// Verdicts by server.
	Verdicts map[string]Verdict
	// Judgements of what was observed, by model, then accelerator.
	Judgements []Judgement
	// Assumptions about pairs of which no performance was given, by model, then accelerator.
	Assumptions []Assumption
	// Probes that are suggested or acted on, by server.
	Probes []jsonspec.Probe
}

// Assumption is how a pair is planned of which no performance was given.
type Assumption struct {
	Model       string `json:"model"`
	Accelerator string `json:"accelerator"`
	// From says what its law rests on, and Fault why it has none; one of them is empty.
	From  string `json:"from,omitempty"`
	Fault string `json:"fault,omitempty"`
}
