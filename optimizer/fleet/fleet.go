// Package fleet holds the types that the decision core speaks in: servers, their load and what was seen of them, and plans. They are in the
// core's units: seconds, requests per second, tokens, cents per hour. Resources and the JSON specification have units of their own; they are
// converted in the package specification, on the way in and on the way out, and nowhere else.
//
// Parameters of laws, policies and capacity are those of the API: they have no other units than the core.
package fleet

import (
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// Snapshot is all that a decision is made from, besides the state: what is asked for, and what was seen at one time.
type Snapshot struct {
	// Time in seconds since the Unix epoch; 0 where there is no clock.
	Time float64
	// Horizon that forecasts look ahead, in seconds; StartUp of a replica, 0 where it is not known; Window that rates were measured over.
	Horizon, StartUp, Window float64
	// StopAt ends the solver after so many units of work, as where a deadline ended it when a decision was recorded; 0 is never.
	StopAt       int64
	Accelerators []Accelerator
	Models       []Model
	Classes      []Class
	Servers      []Server
	Capacity     jsonspec.CapacityData
	Policy       jsonspec.SolverPolicy
	// Shares bound what servers take together.
	Shares []jsonspec.ShareBounds
	// Cohorts bound what several shares take together.
	Cohorts []jsonspec.Cohort
}

// Accelerator that replicas run on. To the core each variant of a model is on an accelerator of its own, with the same cards: what runs on it is learned,
// counted and planned for itself.
type Accelerator struct {
	// Name, such as H100, or H100/decode-tp8 for a variant.
	Name string
	// Base is the name without the variant.
	Base string
	// Type of its cards, which capacity is counted in, and their number, at least 1.
	Type  string
	Cards int
	// Cost in cents per hour.
	Cost float64
	// Interruptions of a replica per hour.
	Interruptions float64
	// Power curve of all its cards.
	Power jsonspec.PowerCurve
	// Given is what is said of it, for priors.
	Given jsonspec.AcceleratorProperties
}

// Model and how it performs, an entry for each accelerator that is known. An entry without a law says that nothing is known but the number of cards.
type Model struct {
	Name        string
	Performance []jsonspec.Performance
	// Roles is what was fitted to servers whose prompts and decodes run apart.
	Roles []jsonspec.RolesEntry
	// Given is what is said of it, for priors.
	Given jsonspec.ModelProperties
}

// Class of service.
type Class struct {
	Name string
	// Priority, 1 is the highest.
	Priority int
	// Targets by model.
	Targets map[string]Targets
	// Quantile of the load that servers are sized for, 0 where the class asks for none.
	Quantile float64
	// ViolationCost of a request beyond targets in cents, 0 where the class says nothing.
	ViolationCost float64
	// Precisions that servers may be served with; nil for all.
	Precisions []string
	// Fault says what is wrong with the class; nil where nothing is.
	Fault error
}

// Targets of a class for a model; 0 is no target.
type Targets struct {
	// TTFT and ITL in seconds.
	TTFT, ITL float64
	// TPS that servers must be able to sustain, in tokens per second.
	TPS float64
	// Percentile of requests for which TTFT and ITL hold; 0: for their means.
	Percentile float64
}

// Server is one model for one class.
type Server struct {
	Name, Class, Model string
	// Namespace that the server is in; empty where there are none.
	Namespace string
	// MinReplicas and MaxReplicas bound the plan; 0 is no upper bound.
	MinReplicas, MaxReplicas int
	jsonspec.ServerPolicy
	// Scopes are, by accelerator, the sets of nodes that its pods can use; absent for all nodes that carry it.
	Scopes map[string]string
	// Refused says why it may not use its class; empty where it may.
	Refused string
	// Unrun are the accelerators with a variant of the model that no workload of the server runs; none where it names no workloads.
	Unrun map[string]bool
	// Share is the name of the share that bounds it with others; empty for none.
	Share string
	// Load that was measured last; nil where none ever was.
	Load *Load
	// Fault says why the load of now is not known; nil where it is.
	Fault *Fault
	// Seen is what was observed beside the load; nil where nothing was.
	Seen *Observation
	// Plan in force; nil where there is none.
	Plan *Allocation
	// Runs is what the server runs on; nil where that is not known.
	Runs *Allocation
}

// Fault is why something cannot be, as the reason and message of a condition.
type Fault struct{ Reason, Message string }

// Load of a server.
type Load struct {
	// Arrivals that are offered, and Completions, in requests per second.
	Arrivals, Completions float64
	// InputTokens and OutputTokens per request.
	InputTokens, OutputTokens float64
}

// Observation of a server.
type Observation struct {
	// Time of it in seconds since the Unix epoch.
	Time float64
	// Running and Waiting requests per ready replica, means over the window.
	Running, Waiting Maybe
	// KVUsage is the used share of the KV cache, 0 to 1.
	KVUsage Maybe
	// Attainment is the share of requests within both targets, 0 to 1.
	Attainment Maybe
	// ArrivalCV is the coefficient of variation of the times between arrivals.
	ArrivalCV Maybe
	// GivenUp are the arrivals that were not served and are not there any more, in requests per second.
	GivenUp Maybe
	// Pods by accelerator and limits.
	Pods []Pods
	// Starts of pods of late.
	Starts []Start
	// Groups of replicas that were measured.
	Groups []Group
}

// Start of a pod that was ready at a time, in seconds since the Unix epoch, so many seconds after its creation.
type Start struct {
	Accelerator    string
	ReadyAt, Taken float64
}

// Pods of a server that are alike.
type Pods struct {
	// Accelerator they run on, empty where they wait for a node.
	Accelerator     string
	Ready, Starting int
	// Failing are those of the starting that fail again and again.
	Failing int
	Limits
}

// Limits that an engine is started with; 0 where they are not known or left to the engine.
type Limits struct {
	// MaxBatch is the largest number of requests that run at a time.
	MaxBatch int
	// MaxBatchedTokens is the token budget of an iteration.
	MaxBatchedTokens int
}

// Group is what was measured of replicas that are alike.
type Group struct {
	Accelerator string
	Limits
	Replicas int
	// Window that was measured over, and Age of the oldest of the newest samples, in seconds.
	Window, Age float64
	// Running requests per engine and their standard deviation over time, and Waiting ones.
	Running, RunningSD, Waiting Maybe
	// Admissions (first tokens), Completions and Preemptions per engine and second.
	Admissions, Completions, Preemptions Maybe
	// AdmittedTokens are the prompt tokens of a request whose first token came within the window.
	AdmittedTokens Maybe
	// InputTokens and OutputTokens per request, and their standard deviations, over a longer window.
	InputTokens, OutputTokens, InputTokensSD, OutputTokensSD Maybe
	// PrefixHitRate is the share of prompt tokens found in the prefix cache, 0 to 1.
	PrefixHitRate Maybe
	// KVTokens is the size of the KV cache of an engine.
	KVTokens Maybe
	// TTFT and ITL in seconds.
	TTFT, ITL Latency
	// Requests that had their first token within the window.
	Requests Maybe
}

// Latency that was measured, in seconds.
type Latency struct{ Mean, P90 Maybe }

// Allocation is what a server runs on, or is to.
type Allocation struct {
	// Parts by accelerator; none where there are no replicas.
	Parts []Part
	// Cost in cents per hour.
	Cost float64
	// TTFT and ITL, means in seconds, predicted or measured.
	TTFT, ITL Maybe
	// BestEffort marks fewer replicas than the targets need.
	BestEffort bool
	// Admissible is the highest rate of requests per second that is served within the targets; missing where all of the load is, or that is not known.
	Admissible Maybe
	// Held marks the plan that was in force before and stays so.
	Held bool
	// Reason for people.
	Reason string
}

// Part of an allocation.
type Part struct {
	Accelerator string
	Replicas    int
	Limits
	// Share of the requests that it is assumed to get, 0 to 1.
	Share float64
	// Ahead are replicas beyond these that the load will need by the time a node asked for now has come.
	Ahead int
}

// Replicas in all.
func (a *Allocation) Replicas() int {
	n := 0
	for _, p := range a.Parts {
		n += p.Replicas
	}
	return n
}

// Part of the allocation on an accelerator; nil where it has none.
func (a *Allocation) Part(accelerator string) *Part {
	if a == nil {
		return nil
	}
	if i := slices.IndexFunc(a.Parts, func(p Part) bool { return p.Accelerator == accelerator }); i >= 0 {
		return &a.Parts[i]
	}
	return nil
}

// Ready pods of the server.
func (o *Observation) Ready() int {
	n := 0
	for _, p := range o.Pods {
		n += p.Ready
	}
	return n
}

// NothingStarts says whether the server has pods on nodes and all of them fail.
func (o *Observation) NothingStarts() bool {
	if o == nil {
		return false
	}
	failing := 0
	for _, p := range o.Pods {
		if p.Accelerator == "" {
			continue
		}
		if p.Ready > 0 || p.Failing < p.Starting {
			return false
		}
		failing += p.Failing
	}
	return failing > 0
}

// ReadyOn an accelerator.
func (o *Observation) ReadyOn(accelerator string) int {
	n := 0
	for _, p := range o.Pods {
		if p.Accelerator == accelerator {
			n += p.Ready
		}
	}
	return n
}

// Backlog is the number of requests that wait at the replicas beyond one at each; they come on top of what arrives.
func (o *Observation) Backlog() float64 {
	if o == nil {
		return 0
	}
	return max(o.Waiting.Or(0)-1, 0) * float64(o.Ready())
}

// InForce are the replicas by accelerator that the plan in force has, or, without a plan, those that run. Pods that wait for a node are on none.
func (s *Server) InForce() map[string]int {
	by := map[string]int{}
	if a := s.Held(); a != nil {
		for _, p := range a.Parts {
			if p.Accelerator != "" {
				by[p.Accelerator] += p.Replicas
			}
		}
	}
	return by
}

// Held is the plan in force, or, without one, what runs; nil where neither is known.
func (s *Server) Held() *Allocation {
	if s.Plan != nil {
		return s.Plan
	}
	return s.Runs
}
