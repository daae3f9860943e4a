package control

import (
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// Curve is what one replica on an accelerator is predicted to do over the rate that it gets, as its server was sized.
type Curve struct {
	Accelerator string
	// Highest rate at which the replica meets the targets, 0 where that was not asked, and Saturation, which it can sustain whatever the latency;
	// in requests per second.
	Highest, Saturation float64
	// Demand that the server is sized for, in requests per second.
	Demand float64
	// Targets of the server, in seconds.
	Targets sizing.Targets
	// Points by rate; none where there is no load to predict for.
	Points []CurvePoint
}

// CurvePoint is a prediction for a rate in requests per second.
type CurvePoint struct {
	Rate float64
	// TTFT and ITL in seconds: means, and the values at the percentile of the targets, missing where they are for the mean.
	TTFT, ITL, TTFTHeld, ITLHeld fleet.Maybe
}

// nearSaturation is the share of the saturated rate at which a curve ends.
//
// Tuned: share; guard against latencies that grow without bounds
const nearSaturation = 0.98

// Curves of a server by accelerator, each of so many points; none of a server that is not known or was not sized.
func (d *Decision) Curves(server string, points int) []Curve {
	i, known := d.basis.index[server]
	if !known {
		return nil
	}
	w := &d.basis.servers[i]
	var all []Curve
	for _, c := range w.sizing.Candidates {
		if len(c.Parts) == 1 {
			curve := curveOf(c.Parts[0].Sized, w.targets, points)
			curve.Demand = c.Demand
			all = append(all, curve)
		}
	}
	return all
}

func curveOf(s *sizing.Sized, t sizing.Targets, points int) Curve {
	c := Curve{Accelerator: s.Accelerator.Name, Highest: s.Rate, Targets: t}
	if used := s.Utilisation(1); used > 0 {
		c.Saturation = 1 / used
	}
	for k := range points {
		rate := nearSaturation * c.Saturation * float64(k+1) / float64(points)
		q, ok := s.Predict(rate)
		if !ok {
			continue
		}
		p := CurvePoint{Rate: rate, TTFT: fleet.Measured(q.TTFT.Mean), ITL: fleet.Measured(q.ITL.Mean)}
		if t.Percentile > 0 {
			p.TTFTHeld, p.ITLHeld = fleet.Measured(q.TTFT.At(t.Percentile)), fleet.Measured(q.RequestITL.At(t.Percentile))
		}
		c.Points = append(c.Points, p)
	}
	return c
}
