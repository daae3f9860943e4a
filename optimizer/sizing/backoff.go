package sizing

import (
	"fmt"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/fleet"
)

// BackOff is for how long a server does without an accelerator on which its pods fail.
type BackOff struct {
	// Until when, seconds since the Unix epoch.
	Until float64 `json:"until"`
	// Times that its pods were tried there and failed.
	Times int `json:"times"`
}

const (
	// firstBackOff is how long an accelerator is done without at first; each further time is twice as long.
	//
	// Tuned: s; derived from the kubelet, which waits for five minutes at most between two starts of a container: so long nothing new can be known; at
	// half: a pod that was started twice is given up; at twice: a fault that was mended is found out ten minutes later
	firstBackOff = 600
	// longestBackOff is the longest that an accelerator is done without.
	//
	// Tuned: s; guard against an accelerator that is done without for good after its fault was mended
	longestBackOff = 6 * 3600
)

// backOffs updates on which accelerators pods of a server fail. One where any of its pods is ready is as it should be.
func backOffs(o *fleet.Observation, before map[string]BackOff, now float64) map[string]BackOff {
	if o == nil {
		return before
	}
	after := map[string]BackOff{}
	for a, b := range before {
		if o.ReadyOn(a) == 0 {
			after[a] = b
		}
	}
	for _, p := range o.Pods {
		b := after[p.Accelerator]
		if p.Failing == 0 || p.Accelerator == "" || o.ReadyOn(p.Accelerator) > 0 || now < b.Until {
			continue
		}
		b.Until = now + math.Min(firstBackOff*math.Pow(2, float64(b.Times)), longestBackOff)
		b.Times++
		after[p.Accelerator] = b
	}
	if len(after) == 0 {
		return nil
	}
	return after
}

// withoutFailing leaves out ways on accelerators that are backed off from, where there are others; where there are none it is all the same.
func withoutFailing(feasible []*Candidate, off map[string]BackOff, now float64) []*Candidate {
	fails := func(c *Candidate) bool {
		return slices.ContainsFunc(c.Parts, func(p Part) bool { return now < off[p.Accelerator.Name].Until })
	}
	others := slices.DeleteFunc(slices.Clone(feasible), fails)
	if len(others) == 0 {
		return feasible
	}
	for _, c := range feasible {
		if fails(c) {
			b := off[c.Parts[0].Accelerator.Name]
			c.Fault = fmt.Errorf("pods do not start on it: not tried again for %.0f s, after %d times", b.Until-now, b.Times)
		}
	}
	return others
}
