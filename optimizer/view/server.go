package view

import (
	"fmt"
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/forecast"
)

// Server is one server of a cycle, with its reasons.
type Server struct {
	ID   string `json:"id"`
	Time int64  `json:"time"`
	Row
	Bounds string `json:"bounds"`
	// Observed beside the load; absent where nothing was.
	Observed *jsonspec.Observation `json:"observed,omitempty"`
	// Explanation of the decision; absent with the reason in Unexplained.
	Explanation *jsonspec.Explanation `json:"explanation,omitempty"`
	Unexplained string                `json:"unexplained,omitempty"`
	// SizedFor is the load that it is planned for, in requests per minute; absent where that is not known.
	SizedFor *float64 `json:"sizedFor,omitempty"`
	// Curves of one replica by accelerator.
	Curves []Curve `json:"curves"`
	// Forecast of the load from the time of the cycle on.
	Forecast []Ahead  `json:"forecast"`
	Unread   []string `json:"unread,omitempty"`
}

// Curve is what one replica is predicted to do over the rate.
type Curve struct {
	Accelerator string `json:"accelerator"`
	// Rate of a replica under the plan, absent where the plan has none there; the Highest within targets, and Saturation, in requests per minute.
	Rate       *float64 `json:"rate,omitempty"`
	Highest    *float64 `json:"highest,omitempty"`
	Saturation float64  `json:"saturation"`
	Points     []Point  `json:"points"`
}

// Point of a curve: latencies in ms at a rate in requests per minute, means and at the percentile of the targets.
type Point struct {
	Rate     float64  `json:"rate"`
	TTFT     *float64 `json:"ttft"`
	ITL      *float64 `json:"itl"`
	TTFTHeld *float64 `json:"ttftHeld,omitempty"`
	ITLHeld  *float64 `json:"itlHeld,omitempty"`
}

// Ahead is a forecast for a time in ms since the Unix epoch: the middle and a band of quantiles, in requests per minute.
type Ahead struct {
	Time int64   `json:"time"`
	Low  float64 `json:"low"`
	Mid  float64 `json:"mid"`
	High float64 `json:"high"`
}

const (
	// curvePoints of a curve.
	// Tuned: points; guard against a picture that takes longer to compute than to look at
	curvePoints = 48
	// The band of a forecast lies between these quantiles.
	// Exact: what forecasters give where nobody asks for another, and its mirror.
	lowQuantile, highQuantile = 0.1, 0.9
	// farthest that the picture of a forecast looks, in horizons of the cycle.
	// Tuned: horizons; guard against a picture that is all forecast
	farthest = 8
)

// NewServer looks at one server, which had the loads before. The decision is the cycle's, decided again by the stages; nil where that failed, with the reason.
func NewServer(c *Cycle, name string, before []forecast.Sample, st *control.Stages, d *control.Decision, failed error) (*Server, error) {
	var e *jsonspec.ServerEntry
	for i := range c.Snapshot.System.Servers.Spec {
		if c.Snapshot.System.Servers.Spec[i].Name == name {
			e = &c.Snapshot.System.Servers.Spec[i]
		}
	}
	if e == nil {
		return nil, fmt.Errorf("server %q is not in cycle %s", name, c.ID)
	}
	s := systemOf(&c.Snapshot.System)
	out := &Server{ID: c.ID, Time: c.Milliseconds(), Row: c.row(s, e), Bounds: bounds(e), Observed: e.Observation, Curves: []Curve{}, Forecast: []Ahead{}, Unread: c.Unread}
	if d == nil {
		out.Unexplained = fmt.Sprintf("the cycle could not be decided again: %v", failed)
		return out, nil
	}
	var err error
	if out.Explanation, err = d.Explain(name); err != nil {
		out.Unexplained = err.Error()
	}
	out.curves(d, name)
	out.Forecast = ahead(c, st, d.State.Servers[name].Demand.Forecast, before)
	return out, nil
}

// bounds of the replicas for people.
func bounds(e *jsonspec.ServerEntry) string {
	if e.MaxNumReplicas == 0 {
		return fmt.Sprintf("at least %d", e.MinNumReplicas)
	}
	return fmt.Sprintf("%d to %d", e.MinNumReplicas, e.MaxNumReplicas)
}

func (s *Server) curves(d *control.Decision, name string) {
	rates := map[string]float64{}
	if s.Load != nil {
		for _, p := range s.Parts {
			share := p.Share
			if len(s.Parts) == 1 {
				share = 1
			}
			if p.Replicas > 0 {
				rates[p.Accelerator] = share * s.Load.ArrivalRate / float64(p.Replicas)
			}
		}
	}
	ms := func(m fleet.Maybe) *float64 {
		x, known := m.Get()
		if !known {
			return nil
		}
		x = jsonspec.Digits(jsonspec.Milliseconds(x))
		return &x
	}
	for _, c := range d.Curves(name, curvePoints) {
		s.SizedFor = some(jsonspec.Digits(jsonspec.PerMinute(c.Demand)))
		if len(c.Points) == 0 {
			continue
		}
		out := Curve{Accelerator: c.Accelerator, Saturation: jsonspec.Digits(jsonspec.PerMinute(c.Saturation)), Highest: some(jsonspec.Digits(jsonspec.PerMinute(c.Highest))), Points: []Point{}}
		if rate, known := rates[c.Accelerator]; known {
			out.Rate = &rate
		}
		for _, p := range c.Points {
			out.Points = append(out.Points, Point{jsonspec.Digits(jsonspec.PerMinute(p.Rate)), ms(p.TTFT), ms(p.ITL), ms(p.TTFTHeld), ms(p.ITLHeld)})
		}
		s.Curves = append(s.Curves, out)
	}
}

// ahead of a cycle, from what the forecaster remembers. One that was asked for no quantile remembers no more than the last rate: what it would say of
// quantiles is then learned from the loads before. Nothing where nothing is known.
func ahead(c *Cycle, st *control.Stages, m forecast.Memory, before []forecast.Sample) []Ahead {
	list := []Ahead{}
	horizon, now := c.Snapshot.HorizonSeconds, jsonspec.Seconds(float64(c.Milliseconds()))
	if horizon == 0 || now == 0 {
		return list
	}
	if p := st.Forecaster.For(horizon, highQuantile); math.IsNaN(p.Forecast(m, now).Upper) {
		m = forecast.Memory{}
		for _, s := range before {
			m = p.Observe(m, s)
		}
	}
	for k := 1; k <= farthest; k++ {
		seconds := float64(k) * horizon
		low, high := st.Forecaster.For(seconds, lowQuantile).Forecast(m, now), st.Forecaster.For(seconds, highQuantile).Forecast(m, now)
		if math.IsNaN(low.Mean) || math.IsNaN(low.Upper) || math.IsNaN(high.Upper) {
			return list
		}
		perMinute := func(x float64) float64 { return jsonspec.Digits(jsonspec.PerMinute(x)) }
		list = append(list, Ahead{Time: c.Milliseconds() + int64(jsonspec.Milliseconds(seconds)), Low: perMinute(low.Upper), Mid: perMinute(low.Mean), High: perMinute(high.Upper)})
	}
	return list
}
