package jsonspec

import (
	"cmp"
	"strconv"
)

const (
	millisecondsPerSecond = 1000 // Exact: what milli means.
	secondsPerMinute      = 60   // Exact: a minute has so many.
	wattsPerKilowatt      = 1000 // Exact: what kilo means.
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

// PerSecond converts the boundary's requests per minute to the core's requests per second.
func PerSecond(perMinute float64) float64 { return perMinute / secondsPerMinute }

// PerMinute converts the core's requests per second to the boundary's requests per minute.
func PerMinute(perSecond float64) float64 { return perSecond * secondsPerMinute }

// Seconds converts the boundary's milliseconds to the core's seconds.
func Seconds(milliseconds float64) float64 { return milliseconds / millisecondsPerSecond }

// Milliseconds converts the core's seconds to the boundary's milliseconds.
func Milliseconds(seconds float64) float64 { return seconds * millisecondsPerSecond }

// Kilowatts converts watts.
func Kilowatts(watts float64) float64 { return watts / wattsPerKilowatt }

// Digits rounds a number that was measured or predicted to six digits: it is known no better, and is logged in every cycle.
func Digits(x float64) float64 {
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 6, 64), 64)
	return rounded
}
