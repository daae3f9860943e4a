// Package contest runs policies on a scenario and says what came of it.
package contest

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
	"github.com/llm-inferno/inferno/optimizer/simulation/cluster"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
)

// Outcome of one policy on one scenario.
type Outcome struct {
	Scenario string  `json:"scenario"`
	Policy   string  `json:"policy"`
	Settings string  `json:"settings,omitempty"`
	Requests int     `json:"requests"`
	Scored   int     `json:"scored"` // of them
	Served   float64 `json:"attainment"`
	TTFT     float64 `json:"attainmentTTFT"`
	ITL      float64 `json:"attainmentITL"`
	// Classes by name: attainment of both targets.
	Classes map[string]float64 `json:"classes"`
	// Windows in which the percentile that the targets are for met both of them, as a share.
	Windows float64 `json:"windows"`
	// Latencies over all requests of the run, s.
	Latencies map[string]Latency `json:"latencies"`
	// CostPerHour is the mean cost, cents/hour, and ToOracle its ratio to the oracle's at the same attainment; absent where none was asked for.
	CostPerHour float64  `json:"costPerHour"`
	ToOracle    *float64 `json:"toOracle,omitempty"`
	// Bound is what no schedule that serves every class as well can cost less than, cents/hour; absent where no oracle was asked for.
	Bound *float64 `json:"bound,omitempty"`
	// Counted is the mean cost after the warm-up, cents/hour.
	Counted float64 `json:"-"`
	// Hours of accelerators by name.
	Hours map[string]float64 `json:"hours"`
	// Peak is the highest number of replicas at a time.
	Peak      int `json:"peakReplicas"`
	Changes   int `json:"changes"`
	Reversals int `json:"reversals"`
	Switches  int `json:"switches"`
	// Follow is the time from the scenario's step until windows meet their targets again, s; absent without a step, −1 for never.
	Follow *float64 `json:"secondsToFollow,omitempty"`
	// Dropped requests fit no cache, TimedOut ones came too late for their clients, Unfinished ones were not served at the end, Retried
	// ones started over. Shed ones the gateway refused.
	Dropped    int `json:"dropped"`
	Shed       int `json:"shed,omitempty"`
	TimedOut   int `json:"timedOut"`
	Unfinished int `json:"unfinished"`
	Retried    int `json:"retried"`
	// TTFTOver is the time in which the TTFT percentile of a window was over its target, s; ITLOver likewise.
	TTFTOver float64 `json:"secondsTTFTOver"`
	ITLOver  float64 `json:"secondsITLOver"`

	reports map[string]serving.Report
}

// Ours says that the policy is inferno, with one budget or the other: it has no settings that are searched for.
func (o *Outcome) Ours() bool {
	return o.Policy == policy.NameInferno || o.Policy == policy.NameInfernoFixed
}

// String says in a line what was played and what came of it.
func (o *Outcome) String() string {
	return fmt.Sprintf("%s: %.2f %% at %.0f ¢/h", strings.TrimSpace(o.Policy+" "+o.Settings), 100*o.Served, o.CostPerHour)
}

// Ready replicas of a server at the end of each window, in order of time; none where the run kept no series.
func (o *Outcome) Ready(server string) []float64 {
	var ready []float64
	for _, w := range o.reports[server].Windows {
		n := 0
		for _, replicas := range w.Replicas {
			n += replicas
		}
		ready = append(ready, float64(n))
	}
	return ready
}

// tuned is what settings begin with that were searched for.
const tuned = "tuned: "

// Tuned settings were searched for on the scenario.
func (o *Outcome) Tuned() bool { return strings.HasPrefix(o.Settings, tuned) }

// Latency of one server, s.
type Latency struct {
	TTFT Quantiles `json:"ttft"`
	ITL  Quantiles `json:"itl"`
}

// Quantiles of a latency, s.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
}

// Run plays a scenario under a policy.
func Run(f *policy.Fleet, e *policy.Entry, s policy.Settings) (*Outcome, error) {
	return Watch(f, e, s, nil)
}

// Watch plays a scenario under a policy and shows every view that it decides on; nil shows none.
func Watch(f *policy.Fleet, e *policy.Entry, s policy.Settings, see func(*cluster.View)) (*Outcome, error) {
	p, err := e.New(f, s)
	if err != nil {
		return nil, err
	}
	o, err := play(f, p, see)
	if err != nil {
		return nil, err
	}
	o.Policy, o.Settings = e.Name, s.String()
	return o, nil
}

// watched is a policy that others see the views of.
type watched struct {
	cluster.Policy
	see func(*cluster.View)
}

func (w watched) Decide(v *cluster.View) (map[string]cluster.Order, error) {
	w.see(v)
	return w.Policy.Decide(v)
}

// play a policy, whose first replicas are there from the start where it says which.
func play(f *policy.Fleet, p cluster.Policy, see func(*cluster.View)) (*Outcome, error) {
	config := *f.Config
	if own, has := p.(interface {
		Initial() map[string]cluster.Order
	}); has {
		config.Servers = slices.Clone(config.Servers)
		initial := own.Initial()
		for i := range config.Servers {
			if o := initial[config.Servers[i].Name]; o.Replicas > 0 {
				config.Servers[i].Initial = o
			}
		}
	}
	if see != nil {
		p = watched{p, see}
	}
	c, err := cluster.New(config, p)
	if err != nil {
		return nil, err
	}
	if err := c.Run(f.Scenario.Duration); err != nil {
		return nil, err
	}
	return score(f, c), nil
}

// tally of what counts.
type tally struct{ ended, both, ttft, itl int }

func (t *tally) add(w *serving.Tally) {
	t.ended += w.Ended()
	t.both += w.MetBoth
	t.ttft += w.MetTTFT
	t.itl += w.MetITL
}

func share(met, ended int) float64 {
	if ended == 0 {
		return 1
	}
	return float64(met) / float64(ended)
}

// score sums up a run.
func score(f *policy.Fleet, c *cluster.Cluster) *Outcome {
	o := &Outcome{Scenario: f.Scenario.Name, Classes: map[string]float64{}, Latencies: map[string]Latency{}, reports: c.Reports()}
	var all tally
	classes := map[string]*tally{}
	good, windows := 0, 0
	for _, name := range f.Servers() {
		r := o.reports[name]
		class := f.Scenario.Class(name)
		if classes[class] == nil {
			classes[class] = new(tally)
		}
		o.Requests += r.Total.Arrivals
		o.Dropped += r.Total.Rejected
		o.Shed += r.Total.Shed
		o.TimedOut += r.Total.TimedOut
		o.Retried += r.Total.Retried
		o.Unfinished += r.Queued + r.Pending
		all.add(&r.Scored)
		classes[class].add(&r.Scored)
		o.Latencies[name] = Latency{quantiles(r.Total.TTFT), quantiles(r.Total.ITL)}
		for i := range r.Windows {
			w := &r.Windows[i]
			if !f.Scenario.Scores(w.Start) || w.Completions == 0 {
				continue
			}
			windows++
			ttft, itl := f.Scenario.Targets(name).TTFT, f.Scenario.Targets(name).ITL
			p := f.Scenario.Percentile(name)
			late, slow := w.TTFT.At(p) > ttft, w.ITL.At(p) > itl
			if !late && !slow {
				good++
			}
			if late {
				o.TTFTOver += f.Config.Times.Window
			}
			if slow {
				o.ITLOver += f.Config.Times.Window
			}
		}
	}
	// What was never served missed its targets.
	o.Scored = all.ended + o.Unfinished
	o.Served, o.TTFT, o.ITL, o.Windows = share(all.both, o.Scored), share(all.ttft, o.Scored), share(all.itl, o.Scored), share(good, windows)
	for class, t := range classes {
		o.Classes[class] = share(t.both, t.ended)
	}
	usage := c.Usage()
	o.Hours = usage.Hours
	o.CostPerHour = usage.Cost / (f.Scenario.Duration / 3600)
	o.Counted = (usage.Cost - usage.CostBefore) / ((f.Scenario.Duration - f.Scenario.WarmUp) / 3600)
	for _, s := range c.Scales() {
		o.Changes += s.Out + s.In
		o.Reversals += s.Reversals
		o.Switches += s.Switches
	}
	o.Peak = peakReplicas(o.reports)
	if f.Scenario.Step > 0 {
		follow := followed(f, o.reports)
		o.Follow = &follow
	}
	return o
}

func quantiles(s serving.Summary) Quantiles { return Quantiles{s.P50, s.P90, s.P99} }

func peakReplicas(reports map[string]serving.Report) int {
	most := 0
	by := map[float64]int{}
	for _, r := range reports {
		for _, w := range r.Windows {
			for _, n := range w.Replicas {
				by[w.Start] += n
			}
			most = max(most, by[w.Start])
		}
	}
	return most
}

// followed is the time from the step until the first of three windows in a row in which every server meets its targets with 99 % of its
// requests; −1 for never.
func followed(f *policy.Fleet, reports map[string]serving.Report) float64 {
	const row, enough = 3, 0.99
	var starts []float64
	good := map[float64]bool{}
	for _, r := range reports {
		for _, w := range r.Windows {
			if w.Start < f.Scenario.Step {
				continue
			}
			if _, seen := good[w.Start]; !seen {
				good[w.Start] = true
				starts = append(starts, w.Start)
			}
			good[w.Start] = good[w.Start] && share(w.MetBoth, w.Completions) >= enough
		}
	}
	slices.Sort(starts)
	n := 0
	for _, at := range starts {
		if n++; !good[at] {
			n = 0
		}
		if n == row {
			return math.Max(at-(row-1)*f.Config.Times.Window-f.Scenario.Step, 0)
		}
	}
	return -1
}
