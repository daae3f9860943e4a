package simulation

import (
	"errors"
	"fmt"
)

// Table is the law of an engine as it was measured: the time of an iteration of so many decodes, and of one that computes so many prompt tokens,
// each a straight line between the measured points and beyond the last two.
//
//	T = decode(decodes) + prefill(prompt tokens) − prefill(0) + PerContext·(context − Context·decodes)
//
// A benchmark with closed-loop clients gives the first (mean time per output token over the number of clients) at the context that its requests
// have, and its TTFT at one client over the prompt length the second.
type Table struct {
	// Decode times in seconds by the number of sequences, from 1 on, ascending.
	Decode []Point `json:"decode"`
	// Prefill times in seconds by prompt tokens, ascending.
	Prefill []Point `json:"prefill"`
	// Context is the number of KV tokens per sequence at which decodes were measured, and PerContext what one more costs, s.
	Context    float64 `json:"context,omitempty"`
	PerContext float64 `json:"perContext,omitempty"`
}

// Point of a measured line.
type Point struct {
	At      float64 `json:"at"`
	Seconds float64 `json:"seconds"`
}

// Seconds implements StepTime.
func (t Table) Seconds(b Batch) float64 {
	seconds := 0.0
	if b.Decodes > 0 {
		seconds = interpolate(t.Decode, float64(b.Decodes)) + t.PerContext*(float64(b.DecodeContext)-t.Context*float64(b.Decodes))
	}
	if b.PrefillTokens > 0 {
		own := interpolate(t.Prefill, float64(b.PrefillTokens))
		if b.Decodes > 0 { // the weights are read once
			own -= interpolate(t.Prefill, 0)
		}
		seconds += max(own, 0)
	}
	return max(seconds, t.Decode[0].Seconds/10)
}

func interpolate(points []Point, x float64) float64 {
	i := 1
	for i < len(points)-1 && points[i].At < x {
		i++
	}
	a, b := points[i-1], points[i]
	return max(a.Seconds+(x-a.At)/(b.At-a.At)*(b.Seconds-a.Seconds), 0)
}

// Validate implements StepTime.
func (t Table) Validate() error {
	faults := []error{notNegative("context", t.Context), notNegative("perContext", t.PerContext)}
	for _, line := range []struct {
		name   string
		points []Point
	}{{"decode", t.Decode}, {"prefill", t.Prefill}} {
		if len(line.points) < 2 {
			faults = append(faults, fmt.Errorf("%s: %d points, want at least 2", line.name, len(line.points)))
		}
		for i, p := range line.points {
			faults = append(faults, positive(fmt.Sprintf("%s[%d].at", line.name, i), p.At), positive(fmt.Sprintf("%s[%d].seconds", line.name, i), p.Seconds))
			if i > 0 && !(p.At > line.points[i-1].At && p.Seconds >= line.points[i-1].Seconds) {
				faults = append(faults, fmt.Errorf("%s[%d]: %v s at %v, want an ascending place and a time of at least the one before", line.name, i, p.Seconds, p.At))
			}
		}
	}
	return errors.Join(faults...)
}
