package solver

import (
	"fmt"
	"math"
)

// Change is what it costs to go from what a server has to a candidate.
type Change struct {
	// StartupSeconds until a new replica serves. While it starts it costs, and what it replaces keeps running.
	StartupSeconds float64
	// Start is the price of starting a replica beside that, in cents: image pulls, lost warm caches.
	Start float64
	// Switch is the price of moving to another accelerator, in cents.
	Switch float64
	// HorizonSeconds within which a change has to pay back.
	HorizonSeconds float64
}

// Validate finds what is not a number of at least 0, or a horizon that is not above 0.
func (x Change) Validate() error {
	for _, f := range []struct {
		name  string
		value float64
	}{{"startupSeconds", x.StartupSeconds}, {"start", x.Start}, {"switch", x.Switch}} {
		if math.IsNaN(f.value) || math.IsInf(f.value, 0) || f.value < 0 {
			return fmt.Errorf("%s: %v is not a number of at least 0", f.name, f.value)
		}
	}
	if math.IsNaN(x.HorizonSeconds) || x.HorizonSeconds <= 0 {
		return fmt.Errorf("horizonSeconds: %v is not above 0", x.HorizonSeconds)
	}
	return nil
}

// Price of the change in cents per hour, from so many replicas on an accelerator to a part of the given cost, to be added to that:
//
//	(n·(Start + cost per replica·StartupSeconds/3600) + Switch if the accelerator changes) · 3600 / HorizonSeconds,
//
// where n replicas are new: those beyond what the server has, or all of them on another accelerator. It is 0 for what the server has, so a
// plan moves only where the cost falls by more than the change spread over the horizon.
func (x Change) Price(accelerator string, replicas int, to Part, cost float64) float64 {
	n := to.Replicas
	moves := replicas > 0 && to.Replicas > 0 && accelerator != to.Accelerator
	if accelerator == to.Accelerator {
		n = max(0, n-replicas)
	}
	if n == 0 {
		return 0
	}
	perReplica := cost / float64(to.Replicas)
	once := float64(n) * (x.Start + perReplica*x.StartupSeconds/3600)
	if moves {
		once += x.Switch
	}
	return once * 3600 / x.HorizonSeconds
}
