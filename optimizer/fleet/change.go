package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// secondsPerHour that prices are per.
// Exact: an hour has so many seconds.
const secondsPerHour = 3600

// ValidateChange joins every fault of the prices of change.
func ValidateChange(c *jsonspec.ChangePolicy) error {
	var faults []error
	for _, f := range []struct {
		name  string
		value float64
	}{{"startupSeconds", c.StartupSeconds}, {"start", c.Start}, {"switch", c.Switch}} {
		if !(f.value >= 0) || math.IsInf(f.value, 0) {
			faults = append(faults, fmt.Errorf("%s: %v is not allowed, must be a number of at least 0", f.name, f.value))
		}
	}
	if !(c.HorizonSeconds > 0) {
		faults = append(faults, fmt.Errorf("horizonSeconds: %v is not allowed, must be above 0", c.HorizonSeconds))
	}
	return errors.Join(faults...)
}

// StartPrice is what starting replicas costs that cost so many cents per hour each, in cents per hour over the time in which it has to pay back:
//
//	replicas · (start + cost·startup/3600) · 3600/horizon
//
// 0 where change has no price.
func StartPrice(c *jsonspec.ChangePolicy, replicas int, cost float64) float64 {
	if c == nil || replicas <= 0 {
		return 0
	}
	return float64(replicas) * (c.Start + cost*c.StartupSeconds/secondsPerHour) * secondsPerHour / c.HorizonSeconds
}

// InterruptionPrice is what it costs that replicas on an accelerator are interrupted, in cents per hour. Each interruption costs a start, and what comes to
// the replica while it starts, at so many requests per second and so many cents for each that is late:
//
//	replicas · interruptions · (start + cost·startup/3600 + rate·startup·violation)
//
// with the start-up time in seconds, that of the price of change where none was seen, and the price of a start where change has one.
func InterruptionPrice(c *jsonspec.ChangePolicy, replicas int, interruptions, cost, startUp, rate, violation float64) float64 {
	start := 0.0
	if c != nil {
		start, startUp = c.Start, cmp.Or(startUp, c.StartupSeconds)
	}
	return float64(replicas) * interruptions * (start + startUp*(cost/secondsPerHour+rate*violation))
}

// SwitchPrice is what moving a server to another accelerator costs beside that, in cents per hour. 0 where change has no price.
func SwitchPrice(c *jsonspec.ChangePolicy) float64 {
	if c == nil {
		return 0
	}
	return c.Switch * secondsPerHour / c.HorizonSeconds
}
