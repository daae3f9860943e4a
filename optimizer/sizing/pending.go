package sizing

import (
	"cmp"

	"github.com/llm-inferno/inferno/optimizer/fleet"
)

// Pending are replicas of a server that start on an accelerator, or, where none is named, that wait for a node.
type Pending struct {
	// Starting replicas, those of them that fail again and again, and those ready beside them.
	Starting int `json:"starting"`
	Failing  int `json:"failing,omitempty"`
	Ready    int `json:"ready"`
	// Since when none of them has become ready, seconds since the Unix epoch.
	Since float64 `json:"since"`
}

const (
	// pendingStartUps is how many start-up times a replica may take before it is no longer counted on.
	//
	// Tuned: start-up times; measured by TestPending and the scenario lost-nodes; at half: no difference over the scenarios, and what starts a little
	// late is planned for anew; at twice: no difference over the scenarios, and what never starts is waited for longer
	pendingStartUps = 3
	// pendingDeadline is the same where the start-up time is not known, in seconds.
	//
	// Tuned: s; derived from pendingStartUps and the five minutes that a large model takes to load; at half: no difference over the scenarios, which
	// give their start-up times; at twice: no difference
	pendingDeadline = 900
)

// pendingOf updates what is pending by an observation. The clock of an accelerator starts again whenever a replica on it becomes ready.
func pendingOf(o *fleet.Observation, before map[string]Pending, now float64) map[string]Pending {
	if o == nil {
		return before
	}
	var after map[string]Pending
	for _, pods := range o.Pods {
		if after == nil {
			after = map[string]Pending{}
		}
		p := after[pods.Accelerator]
		p.Starting += pods.Starting
		p.Failing += pods.Failing
		p.Ready += pods.Ready
		after[pods.Accelerator] = p
	}
	for a, p := range after {
		if p.Starting == 0 {
			delete(after, a)
			continue
		}
		p.Since = now
		if old, known := before[a]; known && p.Ready <= old.Ready {
			p.Since = old.Since
		}
		after[a] = p
	}
	return after
}

// late are the replicas by accelerator that have been starting for too long. They hold what they hold, but the plan goes on without them. Those that
// fail are not among them: others in their place would fail, too.
func (st *Stage) late(s *Server, pending map[string]Pending, now float64) map[string]int {
	late := map[string]int{}
	for a, p := range pending {
		// Without a node a replica holds nothing that others could serve on.
		if a != "" && now-p.Since > cmp.Or(pendingStartUps*s.startUp(a), pendingDeadline) {
			late[a] = p.Starting - p.Failing
		}
	}
	return late
}

// startUp on an accelerator, in seconds; 0 where it is not known.
func (s *Server) startUp(accelerator string) float64 {
	if p := PairOn(s.Pairs, accelerator); p != nil {
		return p.StartUp
	}
	return 0
}

// Waited is for how many seconds replicas of a server have waited for a node, 0 where none does.
func (m *Memory) Waited(now float64) float64 {
	if p, waits := m.Pending[""]; waits {
		return now - p.Since
	}
	return 0
}
