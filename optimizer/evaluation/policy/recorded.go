package policy

import "github.com/llm-inferno/inferno/optimizer/simulation/cluster"

// NameRecorded is the policy of what was done.
const NameRecorded = "as it was"

// Recorded is a policy that does what was done: so many replicas of each server were ready at a time, in seconds from the start. They are ordered as much
// earlier as a pod takes to start.
func Recorded(ready func(server string, at float64) int) *Entry {
	return &Entry{NameRecorded, "as many replicas as there were", nil, func(f *Fleet, _ Settings) (cluster.Policy, error) {
		return &recorded{f, ready}, nil
	}}
}

type recorded struct {
	fleet *Fleet
	ready func(server string, at float64) int
}

func (p *recorded) Interval() float64 { return p.fleet.Config.Times.Sync }
func (p *recorded) Lag() float64      { return 0 }

func (p *recorded) Decide(v *cluster.View) (map[string]cluster.Order, error) {
	orders := map[string]cluster.Order{}
	for _, name := range p.fleet.Servers() {
		orders[name] = p.fleet.order(name, p.ready(name, v.Now+p.fleet.Config.Times.StartUp))
	}
	return orders, nil
}
