package inferno

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"

	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// Reasons of the events on pods. Stable: alerts and scripts may match them.
const (
	// ReasonPlacedWithoutPlan: the pod was placed without a plan for its Server.
	ReasonPlacedWithoutPlan = "PlacedWithoutPlan"
	// ReasonPlacedBeyondPlan: the pod was placed where the plan has no quota for it, because it had waited too long.
	ReasonPlacedBeyondPlan = "PlacedBeyondPlan"
)

const (
	actionBinding    = "Binding"
	actionScheduling = "Scheduling"
)

// report a placement that the plan does not account for.
func report(recorder events.EventRecorder, pod *v1.Pod, p seating) {
	reason := ReasonPlacedWithoutPlan
	switch p.outcome {
	case seats.OutcomePlanned:
		return
	case seats.OutcomeFallback:
		reason = ReasonPlacedBeyondPlan
	case seats.OutcomeUnplanned:
	}
	on := p.label
	if on == "" {
		on = "a node of no known accelerator"
	}
	recorder.Eventf(pod, nil, v1.EventTypeWarning, reason, actionBinding, "Placed on %s: %s", on, p.reason)
}
