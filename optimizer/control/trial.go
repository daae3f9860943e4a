package control

import (
	"cmp"
	"fmt"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/sizing"
	"github.com/llm-inferno/inferno/optimizer/stability"
)

// Trial is what is expected of running one replica on an accelerator on which its model never ran.
type Trial struct {
	// Saving in cents per hour, and the Cost of the trial in cents.
	Saving float64 `json:"saving"`
	Cost   float64 `json:"cost"`
	// SD is the standard deviation of log ITL there before it.
	SD float64 `json:"sd"`
	// Running requests for which it is.
	Running float64 `json:"running"`
}

// suggestion is a trial as it is reported.
func (t *Trial) suggestion(b *Probing) jsonspec.Probe {
	return jsonspec.Probe{
		Server: b.Server, Model: b.Model, Accelerator: b.Accelerator, PlannedRunning: t.Running, Running: t.Running, SDBefore: t.SD, SDAfter: t.SD,
		Replicas: b.Replicas, Until: b.Until, ExpectedSaving: t.Saving, Cost: t.Cost,
	}
}

// outcomes of a trial that are equally likely, each as the quantile of ITL in its middle.
//
// Exact: the middles of five equal parts
var outcomes = [...]float64{0.1, 0.3, 0.5, 0.7, 0.9}

// trial is the option of a server with one replica more, on an accelerator on which its model never ran, where what is expected to be saved there pays
// for it, or one that lasts; nil where there is none. Without a trial a prior that is wide, and so planned with caution, keeps what it is about from
// ever being seen.
func (r *prober) trial(s *sizing.Server, z *sizing.Sizing, options []option) *option {
	held := s.Held().Parts
	most := largest(held).Accelerator
	at := fullest(options, most)
	if at < 0 {
		return nil
	}
	base := &options[at]
	var best Probing
	var with *sizing.Sized
	for _, c := range z.Candidates {
		if len(c.Parts) != 1 || c.ID() == most {
			continue
		}
		one := c.Parts[0].Sized
		b, lasts := r.lasting(s, one)
		if lasts = lasts && b.Trial != nil; !lasts {
			var pays bool
			if b, pays = r.pays(s, one, options); !pays || len(held) > 1 || with != nil && b.Trial.net(r) <= best.Trial.net(r) {
				continue
			}
		}
		if slow := r.likely(s, one, pessimism); slow != nil {
			best, with = b, slow
		}
		if lasts {
			break
		}
	}
	if with == nil {
		return nil
	}
	c := sizing.Beside(base.parts[0], with, s.Routing)
	if s.MaxReplicas > 0 && c.Replicas() > s.MaxReplicas || sizing.RateOn(c, with) > with.Rate {
		return nil
	}
	if !r.acts() {
		best.Replicas, best.Until = 0, 0
		r.suggested[s.Name] = best.Trial.suggestion(&best)
		return nil
	}
	r.offered[Pair{best.Model, best.Accelerator, best.Namespace}] = true
	o := r.policy.option(s, c, c.Replicas(), s.InForce())
	o.probe, o.note = &best, fmt.Sprintf("1 of them to try %s, which is expected to save %.2f cents/h", best.Accelerator, best.Trial.Saving)
	o.penalties = append(o.penalties, stability.Prefer(base.value(), o.value(), "1 is for a trial and does not count", "the end of the trial"))
	return &o
}

// net is what a trial is expected to save before the next could be made, in cents.
func (t *Trial) net(r *prober) float64 { return t.Saving*r.policy.probeEvery/secondsPerHour - t.Cost }

// Exact: an hour has so many seconds.
const secondsPerHour = 3600

// likely is a pair sized alone at a quantile of its ITL; nil where it meets no targets.
func (r *prober) likely(s *sizing.Server, one *sizing.Sized, quantile float64) *sizing.Sized {
	c := r.stage.Likely(one, s, quantile)
	if c.Fault != nil {
		return nil
	}
	return c.Parts[0].Sized
}

// pays says whether a trial of a pair pays within the time before the next: what it is expected to save, over all outcomes, against the cheapest that
// the server has without it is more than the replica costs that is run for it.
func (r *prober) pays(s *sizing.Server, given *sizing.Sized, options []option) (Probing, bool) {
	pair := Pair{given.Model, given.Accelerator.Name, s.Namespace}
	if given.Observed || given.Unreliable || r.rests(pair) {
		return Probing{}, false
	}
	one := r.likely(s, given, 0.5)
	if one == nil {
		return Probing{}, false
	}
	at, known := point(s, one, one.Rate)
	if !known {
		return Probing{}, false
	}
	sd, err := estimation.Uncertainty(one.Performance, at)
	if err != nil || !estimation.Unsure(sd) {
		return Probing{}, false
	}
	now := options[0].value()
	for i := range options {
		if !options[i].short {
			now = min(now, options[i].value())
		}
	}
	saving := 0.0
	for _, quantile := range outcomes {
		c := r.stage.Likely(one, s, quantile)
		if c.Fault != nil {
			break // what is slower meets the targets less
		}
		o := r.policy.option(s, c, c.Replicas(), s.InForce())
		less := now - o.value()
		if less <= 0 {
			break
		}
		saving += less / float64(len(outcomes))
	}
	seconds := cmp.Or(one.StartUp, r.snap.StartUp) + probeWindows*r.snap.Window
	cost := one.Cost() * seconds / secondsPerHour
	for _, e := range r.snap.Capacity.Elastic { // a whole node is bought
		if e.Type == one.Accelerator.Type {
			cost = max(cost, (e.Price+float64(e.Cards)*one.Accelerator.Cost/float64(max(1, one.Accelerator.Cards)))*(seconds+e.DelaySeconds)/secondsPerHour)
		}
	}
	if c := r.policy.Change; c != nil {
		cost += c.Start
	}
	b := Probing{
		Server: s.Name, Model: pair.Model, Accelerator: pair.Accelerator, Namespace: pair.Namespace, Replicas: 1, Since: r.snap.Time, Until: r.snap.Time + seconds,
		Trial: &Trial{Saving: saving, Cost: cost, SD: sd, Running: at.Running},
	}
	return b, b.Trial.net(r) > 0
}
