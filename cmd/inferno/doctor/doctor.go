// Package doctor names what in a cluster would keep plans from being followed: in autoscalers, pod templates, APIServices, rights, the
// Optimizer, and what Prometheus has of the pods. It reads, and changes nothing.
//
// [Read] collects the state of the cluster; what is wrong with it is for pure functions to say, one file for each subject.
package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Severity of a finding.
type Severity string

// Severities.
const (
	// Fault keeps a plan from being followed.
	Fault Severity = "fault"
	// Warning lets a plan be followed late, in part, or not in every situation.
	Warning Severity = "warning"
	// Unseen is what could not be looked at with the rights of whoever asks.
	Unseen Severity = "unseen"
)

// Finding is one thing that is not as it should be.
type Finding struct {
	Severity Severity `json:"severity"`
	// Object that it is about, as kind/name or kind/namespace/name.
	Object string `json:"object"`
	// Problem that was found, with the field and its value.
	Problem string `json:"problem"`
	// Remedy is what to do about it.
	Remedy string `json:"remedy"`
}

// Options say what plans depend on beside the cluster.
type Options struct {
	// SchedulerNames are the profiles that run inferno's plugin.
	SchedulerNames []string
}

// Examine the state of a cluster. Findings come faults first, then by object.
func Examine(c *Cluster, o Options) []Finding {
	var r report
	if len(c.Missing) > 0 {
		r.fault("cluster", fmt.Sprintf("the definitions of %s are not installed", strings.Join(c.Missing, ", ")), "install the chart with crds.install, or apply manifests/chart/files/crds")
		return r
	}
	r.unseen(c)
	r.leases(c)
	if c.saw("Optimizer") {
		r.optimizer(c)
	}
	if c.saw("Accelerator") {
		r.fleet(c)
	}
	if c.saw(kindAPIService) {
		r.apiServices(c)
	}
	r.rights(c)
	for i := range c.Servers {
		s := &c.Servers[i]
		r.server(c, s)
		for _, t := range targetsOf(s) {
			r.workload(c, t, o)
		}
	}
	r.sharedTargets(c)
	r.samples(c)
	r.copies(c)
	slices.SortStableFunc(r, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), strings.Compare(a.Object, b.Object))
	})
	return r
}

// unseen tells what was not looked at.
func (r *report) unseen(c *Cluster) {
	for _, kind := range slices.Sorted(maps.Keys(c.Unseen)) {
		*r = append(*r, Finding{Unseen, kind, "it was not looked at: " + c.Unseen[kind].Error(), "have somebody look who may, or ask for the right"})
	}
}

// saw says whether a kind was looked at.
func (c *Cluster) saw(kind string) bool { return c.Unseen[kind] == nil }

// Faults counts the findings that keep plans from being followed.
func Faults(findings []Finding) int {
	n := 0
	for _, f := range findings {
		if f.Severity == Fault {
			n++
		}
	}
	return n
}

// report collects findings.
type report []Finding

func (r *report) fault(object, problem, remedy string) {
	*r = append(*r, Finding{Fault, object, problem, remedy})
}

func (r *report) warn(object, problem, remedy string) {
	*r = append(*r, Finding{Warning, object, problem, remedy})
}
