package loop

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/fleet"
)

// learnedCondition says what is known of a model on each accelerator: since when, how well it predicts one step ahead, what was last
// rejected and why, and what would make it better known.
func learnedCondition(learned map[string]*v1alpha1.PairMemory, probes []jsonspec.Probe) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionLearned, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonLearned}
	var words []string
	known := false
	for _, a := range slices.Sorted(maps.Keys(learned)) {
		p := learned[a]
		known = known || p.Observations > 0
		words = append(words, a+": "+pairWords(p))
		switch {
		case p.Unreliable:
			c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonPredictionsFail
		case p.Notice != "" && p.Observations == 0 && c.Status == metav1.ConditionTrue:
			c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonLearningRestarted
		}
	}
	if !known && c.Status == metav1.ConditionTrue {
		c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonNothingLearned
		words = append(words, "plans use the performance that was given")
	}
	for _, p := range probes {
		if p.Replicas > 0 && c.Status == metav1.ConditionTrue {
			c.Reason = v1alpha1.ReasonProbing
		}
		if p.ExpectedSaving > 0 {
			words = append(words, trialWords(&p))
			continue
		}
		if p.Replicas > 0 {
			words = append(words, fmt.Sprintf("probing: %d replicas of %s on %s until %s, so that the ITL of %.0f running, known to %.0f %%, is known better",
				p.Replicas, p.Server, p.Accelerator, time.Unix(int64(p.Until), 0).UTC().Format("15:04:05"), p.PlannedRunning, 100*p.SDBefore))
			continue
		}
		words = append(words, fmt.Sprintf("suggestion: let %.0f run on a replica of %s on %s, then the ITL of %.0f that the plan counts on is known to %.0f %% instead of %.0f %%",
			p.Running, p.Server, p.Accelerator, p.PlannedRunning, 100*p.SDAfter, 100*p.SDBefore))
	}
	c.Message = strings.Join(words, "; ")
	return c
}

// trialWords say what a trial is for.
func trialWords(p *jsonspec.Probe) string {
	expected := fmt.Sprintf("on which the model never ran, is expected to save %.2f cents/h, for %.2f cents; ITL there is known to %.0f %%", p.ExpectedSaving, p.Cost, 100*p.SDBefore)
	if p.Replicas == 0 {
		return fmt.Sprintf("suggestion: to try a replica of %s on %s, %s", p.Server, p.Accelerator, expected)
	}
	return fmt.Sprintf("probing until %s: to try a replica of %s on %s, %s", time.Unix(int64(p.Until), 0).UTC().Format("15:04:05"), p.Server, p.Accelerator, expected)
}

// assumptionsOf a model.
func assumptionsOf(model string, all []fleet.Assumption) []fleet.Assumption {
	var own []fleet.Assumption
	for _, a := range all {
		if a.Model == model {
			own = append(own, a)
		}
	}
	return own
}

// shownAssumptions is how many of them a condition tells.
//
// Tuned: assumptions; guard against a condition that is too long to read
const shownAssumptions = 5

// assumedWords say how a model is planned where no performance was given of it.
func assumedWords(list []fleet.Assumption) (metav1.ConditionStatus, string, string) {
	status, reason := metav1.ConditionFalse, "NoPerformanceData"
	var words []string
	for _, a := range list {
		if a.Fault == "" {
			status, reason = metav1.ConditionTrue, "Assumed"
			words = append(words, fmt.Sprintf("%s: %s", a.Accelerator, a.From))
		} else {
			words = append(words, fmt.Sprintf("%s: not usable, %s", a.Accelerator, a.Fault))
		}
	}
	return status, reason, "no performance was given, plans are made from physics, with caution until it is learned: " + first(shownAssumptions, words)
}

// pairWords are what is known of a pair.
func pairWords(p *v1alpha1.PairMemory) string {
	words := []string{fmt.Sprintf("%d observations", p.Observations)}
	if p.LearnedSince != nil {
		words = append(words, fmt.Sprintf("since %s, one step ahead off by %.1f %% in ITL and %.0f %% in TTFT", p.LearnedSince.UTC().Format("2006-01-02 15:04"), 100*p.ITLError, 100*p.TTFTError))
	}
	if p.Unreliable {
		words = append(words, "predictions keep failing, plans keep to a floor by saturation until they hold again")
	}
	if p.Rejected > 0 {
		words = append(words, fmt.Sprintf("%d rejected, the last because %s", p.Rejected, p.LastRejection))
	}
	if p.Notice != "" {
		words = append(words, p.Notice)
	}
	return strings.Join(words, ", ")
}

// modelEvents are the events that the step from one status of a model to the next deserves: predictions that begin to fail or hold again, and
// learning that begins anew.
func modelEvents(before, after *v1alpha1.ModelStatus) []event {
	old, now := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionLearned), meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionLearned)
	if now == nil || (old != nil && old.Reason == now.Reason) {
		return nil
	}
	switch {
	case now.Reason == v1alpha1.ReasonPredictionsFail || now.Reason == v1alpha1.ReasonLearningRestarted:
		return []event{{corev1.EventTypeWarning, now.Reason, "Learn", now.Message}}
	case now.Reason == v1alpha1.ReasonProbing:
		return []event{{corev1.EventTypeNormal, now.Reason, "Learn", now.Message}}
	case old != nil && old.Reason == v1alpha1.ReasonProbing:
		return []event{{corev1.EventTypeNormal, now.Reason, "Learn", "the probe has ended: " + now.Message}}
	case old != nil && old.Reason == v1alpha1.ReasonPredictionsFail:
		return []event{{corev1.EventTypeNormal, now.Reason, "Learn", "predictions hold again"}}
	}
	return nil
}
