package jsonspec

import (
	"cmp"
	"strconv"
)

const (
	millisecondsPerSecond = 1000 // Exact: what milli means.
	secondsPerMinute      = 60   // Exact: a minute has so many.
	secondsPerHour        = 3600 // Exact: an hour has so many.
	wattsPerKilowatt      = 1000 // Exact: what kilo means.
	bytesPerGigabyte      = 1e9  // Exact: what giga means.
)

// MaxArrivalRate in requests per minute is more than any server gets; a larger one is a fault of who says so.
//
// Tuned: requests/min; guard against a number that is a mistake
const MaxArrivalRate = 6e10

// CardType is the type that capacity of the accelerator is counted in: that of the specification, else the accelerator's name.
func (p *AcceleratorProperties) CardType(name string) string { return cmp.Or(p.Type, name) }

// Cards is the number of cards of its type that one accelerator is made of, at least 1.
func (p *AcceleratorProperties) Cards() int { return max(p.Multiplicity, 1) }

// Accelerators is the number of accelerators that one replica takes, at least 1.
func (p *Performance) Accelerators() int { return max(p.AccCount, 1) }

// Pods of a replica.
func (p *Performance) Pods() int { return max(p.PodsPerReplica, 1) }

// Domain is the key of the node label of which the pods of a replica need one value; empty where they do not.
func (p *Performance) Domain() string {
	if p.Pods() == 1 {
		return ""
	}
	return p.TopologyKey
}

// Way that the entry runs the model on its accelerator: its variant, or its role; empty for the only one.
func (p *Performance) Way() string { return cmp.Or(p.Variant, p.Role) }

// On says what the entry runs the model on, as a part of a plan does.
func (p *Performance) On() string { return on(p.Acc, p.Way()) }

// On says what a part runs on for people, such as H100 or H100/decode-tp8.
func (p *AllocationPart) On() string { return on(p.Accelerator, cmp.Or(p.Variant, p.Role)) }

// Now is the number of replicas that there are to be of a part for the time being.
func (p *AllocationPart) Now() int { return p.Replicas + p.Surge }

// On says what an allocation on one accelerator runs on for people.
func (a *Allocation) On() string { return on(a.Accelerator, a.Variant) }

// On says what pods run on, as that of the part of a plan that they are of.
func (p *ObservedPart) On() string { return on(p.Accelerator, p.Variant) }

func on(accelerator, variant string) string {
	if variant == "" || accelerator == "" {
		return accelerator
	}
	return accelerator + "/" + variant
}

// Bytes converts the boundary's GB to the core's bytes.
func Bytes(gigabytes float64) float64 { return gigabytes * bytesPerGigabyte }

// Gigabytes is the reverse of Bytes.
func Gigabytes(bytes float64) float64 { return bytes / bytesPerGigabyte }

// PerSecond converts the boundary's requests per minute to the core's requests per second.
func PerSecond(perMinute float64) float64 { return perMinute / secondsPerMinute }

// PerMinute converts the core's requests per second to the boundary's requests per minute.
func PerMinute(perSecond float64) float64 { return perSecond * secondsPerMinute }

// Seconds converts the boundary's milliseconds to the core's seconds.
func Seconds(milliseconds float64) float64 { return milliseconds / millisecondsPerSecond }

// Milliseconds converts the core's seconds to the boundary's milliseconds.
func Milliseconds(seconds float64) float64 { return seconds * millisecondsPerSecond }

// Hours converts seconds.
func Hours(seconds float64) float64 { return seconds / secondsPerHour }

// KilowattHours converts joules.
func KilowattHours(joules float64) float64 { return Hours(Kilowatts(joules)) }

// Kilowatts converts watts.
func Kilowatts(watts float64) float64 { return watts / wattsPerKilowatt }

// Digits rounds a number that was measured or predicted to six digits: it is known no better, and is logged in every cycle.
func Digits(x float64) float64 {
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 6, 64), 64)
	return rounded
}
