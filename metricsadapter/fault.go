package metricsadapter

import (
	"errors"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Outcome of a question, for those who count answers. The set is closed.
type Outcome string

// Outcomes.
const (
	OutcomeValue         Outcome = "value"
	OutcomeNotSynced     Outcome = "not_synced"
	OutcomeUnknownMetric Outcome = "unknown_metric"
	OutcomeBadSelector   Outcome = "bad_selector"
	OutcomeNoServer      Outcome = "no_server"
	OutcomeNoPlan        Outcome = "no_plan"
	OutcomeStalePlan     Outcome = "stale_plan"
	OutcomeNoValue       Outcome = "no_value"
	OutcomeError         Outcome = "error"
)

// Outcomes that an answer of this package can have.
var Outcomes = []Outcome{
	OutcomeValue, OutcomeNotSynced, OutcomeUnknownMetric, OutcomeBadSelector, OutcomeNoServer, OutcomeNoPlan, OutcomeStalePlan, OutcomeNoValue,
	OutcomeError,
}

// status codes of the outcomes that are errors. Waiting helps against a 503, and against no other.
var status = map[Outcome]struct {
	code   int32
	reason metav1.StatusReason
}{
	OutcomeNotSynced:     {http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable},
	OutcomeUnknownMetric: {http.StatusNotFound, metav1.StatusReasonNotFound},
	OutcomeBadSelector:   {http.StatusBadRequest, metav1.StatusReasonBadRequest},
	OutcomeNoServer:      {http.StatusNotFound, metav1.StatusReasonNotFound},
	OutcomeNoPlan:        {http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable},
	OutcomeStalePlan:     {http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable},
	OutcomeNoValue:       {http.StatusNotFound, metav1.StatusReasonNotFound},
}

// A fault is an answer that holds no value; it reaches the client as an API status.
type fault struct {
	outcome Outcome
	message string
}

func (f *fault) Error() string { return f.message }

// Status makes a fault an API status error.
func (f *fault) Status() metav1.Status {
	s := status[f.outcome]
	return metav1.Status{Status: metav1.StatusFailure, Code: s.code, Reason: s.reason, Message: f.message}
}

var _ apierrors.APIStatus = (*fault)(nil)

// OutcomeOf classifies the error of an answer.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return OutcomeValue
	}
	if f := (*fault)(nil); errors.As(err, &f) {
		return f.outcome
	}
	return OutcomeError
}

// mostFaults is the number of faults that one message spells out.
const mostFaults = 10

// joinFaults makes one fault of several: the outcome of the first, the messages of all as far as a person reads them.
func joinFaults(faults []*fault) *fault {
	messages := make([]string, 0, mostFaults+1)
	for i, f := range faults {
		if i == mostFaults {
			messages = append(messages, "…")
			break
		}
		messages = append(messages, f.message)
	}
	return &fault{outcome: faults[0].outcome, message: strings.Join(messages, "; ")}
}
