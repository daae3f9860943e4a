package observe

import (
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// transferOf caches from replicas that compute prompts to those that decode, as measured, beside what the model's entries say of those that run; nil where nothing was
// measured. The ranks of a replica fetch their parts of a cache at the same time, so that one takes as long as all: what a request moves over that is the bandwidth of
// a replica.
func transferOf(system *jsonspec.System, model string, running []jsonspec.ObservedPart, l *load) *v1alpha1.MeasuredTransfer {
	if !(l.transfer > 0) {
		return nil
	}
	t := &v1alpha1.MeasuredTransfer{Time: jsonspec.Digits(jsonspec.Milliseconds(l.transfer))}
	if l.transferred > 0 {
		t.Bytes, t.Bandwidth = jsonspec.Digits(l.transferred), jsonspec.Digits(jsonspec.Gigabytes(l.transferred/l.transfer))
	}
	var ends []*jsonspec.Transfer
	for i := range system.Models.Spec {
		m := &system.Models.Spec[i]
		for _, p := range running {
			if m.Name == model && m.Role != "" && p.Ready > 0 && p.Accelerator == m.Acc && p.Variant == m.Way() {
				ends = append(ends, m.Transfer)
			}
		}
	}
	if link := jsonspec.LinkOf(ends...); link != nil && link.Bandwidth > 0 && !math.IsNaN(l.in) {
		t.Expected = pointer(jsonspec.Digits(link.Delay + jsonspec.Milliseconds(link.BytesPerToken*l.in/jsonspec.Bytes(link.Bandwidth))))
	}
	return t
}
