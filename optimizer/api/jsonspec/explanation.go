package jsonspec

// Explanation says why a server got what it got.
type Explanation struct {
	Server string `json:"server"`
	// Summary in one line.
	Summary string `json:"summary"`
	// Binding are the types of cards whose scarcity shapes the plan, the dearest first.
	Binding []string `json:"binding,omitempty"`
	// Candidates of the server: those that meet its targets in the order of their worth under scarcity (value + scarcity), then the others
	// by name.
	Candidates []ExplainedCandidate `json:"candidates"`
}

// ExplainedCandidate is one way to serve a server, and why it was taken or not.
type ExplainedCandidate struct {
	Accelerator string `json:"accelerator"`
	Replicas    int    `json:"replicas"`
	// RunsOn says it for people, such as "3 × A100 + 2 × L4".
	RunsOn string `json:"runsOn"`
	// Cards it takes, by type.
	Cards map[string]int `json:"cards,omitempty"`
	// Feasible is true where it meets the targets.
	Feasible bool `json:"feasible"`
	Chosen   bool `json:"chosen,omitempty"`
	// Cost in cents per hour.
	Cost float64 `json:"cost"`
	// Penalties are what counts for the solver beside the cost.
	Penalties []Penalty `json:"penalties,omitempty"`
	// Value is what the solver minimises, in cents per hour: the cost and the penalties.
	Value float64 `json:"value"`
	// Scarcity is what the cards are worth to other servers, in cents per hour.
	Scarcity float64 `json:"scarcity"`
	// Why it was taken or not.
	Why string `json:"why"`
	// Lacks are the cards by type that would have to be added to the capacity, on nodes that hold whole replicas, to serve the server with it
	// beside what others have; absent where it fits.
	Lacks map[string]int `json:"lacks,omitempty"`
	// Share names the bound of the server's share that forbids it, whatever capacity there is; absent where none does.
	Share string `json:"share,omitempty"`
}

// Penalty is what counts for or against a way to serve a server beside its cost.
type Penalty struct {
	// Cents per hour; below zero where it speaks for it.
	Cents  float64 `json:"cents"`
	Reason string  `json:"reason"`
	// Lifted says what would lift it.
	Lifted string `json:"lifted"`
}

// PlanDifference is what changes in a plan when its question changes.
type PlanDifference struct {
	// Changes of the question, each as "what: before → after".
	Changes []string `json:"changes"`
	// TotalCost of the other plan, in cents per hour.
	TotalCost float64 `json:"totalCost"`
	// CostChange is how much more it costs, in cents per hour.
	CostChange float64 `json:"costChange"`
	// Served are the servers that get what their targets need only in the other plan, sorted by name.
	Served []string `json:"served"`
	// Lost are the servers that no longer do, sorted by name.
	Lost []string `json:"lost"`
	// Changed allocations, sorted by server.
	Changed []AllocationChange `json:"changed"`
	// Solver that found the other plan.
	Solver SolverReport `json:"solver"`
}

// AllocationChange is what two plans give to one server; nil is nothing.
type AllocationChange struct {
	Server string      `json:"server"`
	Before *Allocation `json:"before,omitempty"`
	After  *Allocation `json:"after,omitempty"`
}
