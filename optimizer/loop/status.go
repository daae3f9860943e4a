package loop

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
	"github.com/llm-inferno/inferno/optimizer/realise"
)

// planned is what a cycle decided for one server.
type planned struct {
	// plan with surges, nil where the server gets none.
	plan    *v1alpha1.DesiredState
	verdict fleet.Verdict
	// leaving are the pods that serve on nodes which take no others.
	leaving    int
	dryRun     bool
	staleAfter metav1.Duration
	now        metav1.Time
	// explanation of this plan, or the last one.
	explanation *v1alpha1.ServerExplanation
}

// notOurs are conditions of Servers that others write: the adapter, and who made the Server of a labelled workload.
var notOurs = []string{v1alpha1.ConditionGatesLifted, v1alpha1.ConditionAdopted, v1alpha1.ConditionAssumed}

// serverStatus is the next status of a server: what was observed, the plan, and conditions. It is a pure function.
func serverStatus(s *v1alpha1.Server, observed v1alpha1.ServerStatus, observation *jsonspec.Observation, p planned) v1alpha1.ServerStatus {
	next := observed
	next.ObservedGeneration = s.Generation
	next.Conditions = slices.DeleteFunc(slices.Clone(s.Status.Conditions), func(c metav1.Condition) bool { return slices.Contains(notOurs, c.Type) })
	next.Desired, next.Explanation = s.Status.Desired, p.explanation
	if !p.dryRun {
		next.Desired = desired(s.Status.Desired, p)
	}
	set := func(c metav1.Condition) {
		c.ObservedGeneration = s.Generation
		c.LastTransitionTime = p.now
		meta.SetStatusCondition(&next.Conditions, c)
	}
	set(observedCondition(next.Load, observation))
	set(plannedCondition(p))
	set(realisedCondition(next.Desired, observed.Current))
	set(readyCondition(next.Conditions))
	return next
}

// readyCondition sums up a server: planned as its targets need, realised as planned, and observed. Otherwise it is what the first of these that is not True says.
func readyCondition(conditions []metav1.Condition) metav1.Condition {
	for _, kind := range []string{v1alpha1.ConditionPlanned, v1alpha1.ConditionRealised, v1alpha1.ConditionObserved} {
		if c := meta.FindStatusCondition(conditions, kind); c != nil && c.Status != metav1.ConditionTrue {
			return metav1.Condition{Type: v1alpha1.ConditionReady, Status: c.Status, Reason: c.Reason, Message: c.Message}
		}
	}
	return metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonRealised, Message: "its plan meets the targets, and ready pods are where it says"}
}

// desired is the next plan of a server. It keeps the time of the decision where nothing that is followed changed.
func desired(last *v1alpha1.DesiredState, p planned) *v1alpha1.DesiredState {
	next := realise.Next(last, p.plan, p.verdict.Reason == v1alpha1.ReasonNoCapacity, p.leaving, p.verdict.Message)
	if next == last {
		return last
	}
	next.StaleAfterSeconds = int64(p.staleAfter.Seconds())
	next.DecidedAt, next.ConfirmedAt = p.now, p.now
	if last != nil && sameDecision(last, next) {
		next.DecidedAt = last.DecidedAt
	}
	return next
}

// sameDecision says whether two plans ask the same of adapter and plugin.
func sameDecision(a, b *v1alpha1.DesiredState) bool {
	return a.Replicas == b.Replicas && equality.Semantic.DeepEqual(asked(a.Parts), asked(b.Parts))
}

// asked are parts without what they say of load.
func asked(parts []jsonspec.AllocationPart) []jsonspec.AllocationPart {
	out := slices.Clone(parts)
	for i := range out {
		out[i].Share, out[i].Ahead = 0, 0
	}
	return out
}

// shown is the number of objects that a condition names.
//
// Tuned: objects; guard against a condition that is too long to read
const shown = 10

// first so many of a list that may be long, as one line.
func first(shown int, list []string) string {
	if more := len(list) - shown; more > 0 {
		list = append(slices.Clone(list[:shown]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(list, "; ")
}

// written is the condition of the Optimizer that says what could not be written.
func written(refused []string) metav1.Condition {
	return sound(v1alpha1.ConditionWritten, v1alpha1.ReasonAllWritten, "all that was decided is written",
		v1alpha1.ReasonRefused, listed(fmt.Sprintf("%d writes failed, all others are done: ", len(refused)), refused))
}

// sound is a condition that is True for a reason, with words for it, or, where something is wrong, False for another.
func sound(kind, reason, message, otherwise, wrong string) metav1.Condition {
	if wrong != "" {
		return metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: otherwise, Message: wrong}
	}
	return metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: reason, Message: message}
}

// listed is what is wrong, after words for it; empty where nothing is.
func listed(words string, wrong []string) string {
	if len(wrong) == 0 {
		return ""
	}
	return words + first(shown, wrong)
}

// podsWritten says of a Server which of its pods could not be written to.
func podsWritten(faults []string) metav1.Condition {
	return sound(v1alpha1.ConditionWritten, v1alpha1.ReasonAllWritten, "its pods are told which of them go first",
		v1alpha1.ReasonRefused, listed("a scale-in may remove the wrong pods, for these are not told whether they go first: ", faults))
}

// inOrder says that a scale-in removes other pods than it should.
func inOrder(wrong []string) metav1.Condition {
	return sound(v1alpha1.ConditionScaleInOrder, v1alpha1.ReasonLeastLost, "a scale-in removes the pods that have the least to lose",
		v1alpha1.ReasonHighestFirst, listed("its workload removes the highest number first, whatever a pod has in hand; a Deployment would remove the right ones: ", wrong))
}

// accepted says what a Server, or the template of its pods, asks for that its class does not allow.
func accepted(faults []string) metav1.Condition {
	return sound(v1alpha1.ConditionAccepted, v1alpha1.ReasonAccepted, "its service class allows what it asks for, and its model has it", v1alpha1.ReasonNotAllowed, strings.Join(faults, "; "))
}

// podsStart says of a Server which of its pods will not become ready.
func podsStart(failing string) metav1.Condition {
	if failing != "" {
		failing = "pods do not start: " + failing + "; plans do without an accelerator where none does, if another will do"
	}
	return sound(v1alpha1.ConditionPodsStart, v1alpha1.ReasonPodsStart, "none of its pods fails", v1alpha1.ReasonPodsFail, failing)
}

// limitsHold says whether the limits that pods claim are those that their engines keep.
func limitsHold(exceeding string) metav1.Condition {
	if exceeding != "" {
		exceeding += ": the engines were not started with the limits of the plan, and nothing is learned from them"
	}
	return sound(v1alpha1.ConditionLimitsHold, v1alpha1.ReasonLimitsHold, "no engine is seen to run more than its limits", v1alpha1.ReasonLimitsExceeded, exceeding)
}

// podsAdmitted says of a Server what of its pods is refused.
func podsAdmitted(refused []string) metav1.Condition {
	return sound(v1alpha1.ConditionPodsAdmitted, v1alpha1.ReasonPodsAdmitted, "the LimitRanges of its namespace allow its pods",
		v1alpha1.ReasonPodsRefused, listed("pods of it are refused, and no more are planned where all are: ", refused))
}

// placedBy says how the pods of a Server get their seats.
func placedBy(o *v1alpha1.Optimizer, s *v1alpha1.Server) string {
	return cmp.Or(s.Spec.Placement, o.Spec.Placement, v1alpha1.PlaceByScheduler)
}

// gated says of a Server which of its pods are out of the plan's hands although gates are to place them.
func gated(by string, lifted bool, pods []*corev1.Pod) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionGated, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonGated, Message: "its pods have the seats of its plan"}
	if by != v1alpha1.PlaceByGates {
		c.Message = "its pods need no gates"
		return c
	}
	if !lifted {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonGatesOff, "nothing lifts gates: the optimizer runs without --gates (gates.enabled of the chart)"
		return c
	}
	var without []string
	for _, p := range pods {
		if !seats.Leaving(p) && !seats.Gated(p) && p.Annotations[v1alpha1.PlacementAnnotation] == "" {
			without = append(without, p.Name)
		}
	}
	if len(without) > 0 {
		slices.Sort(without)
		c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonUngated
		c.Message = fmt.Sprintf("%d pods came without the gate %s, or it was lifted without a seat, and may be anywhere: put it into their template, or install the chart with gates.add: %s",
			len(without), v1alpha1.PlacementGate, first(shown, without))
	}
	return c
}

// setOnceFalse sets a condition of a Server that is only there once it was False.
func setOnceFalse(st *v1alpha1.ServerStatus, c metav1.Condition, generation int64, now metav1.Time) {
	if c.Status == metav1.ConditionTrue && meta.FindStatusCondition(st.Conditions, c.Type) == nil {
		return
	}
	c.ObservedGeneration, c.LastTransitionTime = generation, now
	meta.SetStatusCondition(&st.Conditions, c)
}

// podsCounted is the condition of the Optimizer that says which pods no plan counts.
func podsCounted(list []observe.Uncounted) metav1.Condition {
	words, cards := make([]string, 0, len(list)), 0
	for _, u := range list {
		cards += u.Cards
		words = append(words, u.String())
	}
	return sound(v1alpha1.ConditionPodsCounted, v1alpha1.ReasonAllCounted, "every bound pod of a Server is one of its replicas",
		v1alpha1.ReasonUncountedPods, listed(fmt.Sprintf("%d cards are held by pods that no plan counts, and are not there for others: ", cards), words))
}

// devicesCounted is the condition of the Optimizer that says which devices of drivers count for less than they are published for.
func devicesCounted(fewer []string) metav1.Condition {
	return sound(v1alpha1.ConditionDevicesCounted, v1alpha1.ReasonAllCounted, "every device that a driver publishes counts for what it is",
		v1alpha1.ReasonFewerDevices, listed("fewer devices count than drivers publish: ", fewer))
}

// sharesKept is the condition of the Optimizer that says what is wrong with its shares.
func sharesKept(faults []string) metav1.Condition {
	return sound(v1alpha1.ConditionSharesKept, v1alpha1.ReasonSharesKept, "every share is as it is asked for", v1alpha1.ReasonInvalidShares, listed("", faults))
}

// elasticCounted is the condition of the Optimizer that says which pools plans may count on, and what of those that are read they may not.
func elasticCounted(pools []jsonspec.ElasticCapacity, faults []string) metav1.Condition {
	names := make([]string, len(pools))
	for i, e := range pools {
		names[i] = e.Name
	}
	all := "no NodePool allows an instance type that is known and carries an accelerator: name them in spec.karpenter.instanceTypes"
	if len(names) > 0 {
		all = listed("plans may count on nodes of ", names)
	}
	return sound(v1alpha1.ConditionElasticCounted, v1alpha1.ReasonElasticCounted, all, v1alpha1.ReasonElasticUnread, listed("", faults))
}

func observedCondition(load *v1alpha1.ObservedLoad, o *jsonspec.Observation) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionObserved, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonObserved}
	if o != nil && o.Fault != "" {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, o.Fault, o.Detail
		return c
	}
	// The numbers are in status.load; a message that changes with them would make every cycle a change of the condition.
	c.Message = "load and latencies are measured"
	if load != nil && load.AvgOutTokens == 0 {
		c.Message = "load is measured; no request has finished yet"
	}
	return c
}

func plannedCondition(p planned) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionPlanned, Status: metav1.ConditionFalse, Reason: p.verdict.Reason, Message: p.verdict.Message}
	if p.verdict.Planned {
		c.Status = metav1.ConditionTrue
	}
	if p.dryRun {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonDryRun, "dry run, not written: "+p.verdict.Message
	}
	return c
}

func realisedCondition(d *v1alpha1.DesiredState, current []jsonspec.ObservedPart) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionRealised, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonRealising}
	if d == nil {
		c.Message = "there is no plan yet"
		return c
	}
	want, have := realise.PlanBy(d.Parts), realise.ReadyBy(current)
	var differ []string
	all := maps.Clone(have)
	maps.Copy(all, want)
	for _, a := range slices.Sorted(maps.Keys(all)) {
		if want[a] != have[a] {
			differ = append(differ, fmt.Sprintf("%s: %d of %d ready", a, have[a], want[a]))
		}
	}
	for _, p := range d.Parts {
		old := 0
		for _, o := range current {
			if o.Accelerator == p.Accelerator && realise.Differs(o, p) {
				old += o.Ready
			}
		}
		if old > 0 {
			differ = append(differ, fmt.Sprintf("%s: %d of %d run with other limits than planned", p.Accelerator, old, have[p.Accelerator]))
		}
	}
	if len(differ) > 0 {
		c.Message = strings.Join(differ, ", ")
		return c
	}
	c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonRealised, "ready pods are where the plan says"
	return c
}
