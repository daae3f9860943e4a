package control

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/sizing"
	"github.com/llm-inferno/inferno/optimizer/stability"
)

// Probing is a probe that is acted on, or was: a server's plan has more replicas than it needs, so that fewer requests run on each than where
// its pair was seen so far, or so that one runs on an accelerator on which its model never did.
type Probing struct {
	Server      string `json:"server"`
	Model       string `json:"model"`
	Accelerator string `json:"accelerator"`
	Namespace   string `json:"namespace,omitempty"`
	// Replicas that the plan has at least; of a trial those on its accelerator.
	Replicas int `json:"replicas"`
	// Trial of an accelerator on which the model never ran; nil where it did.
	Trial *Trial `json:"trial,omitempty"`
	// Since and Until in seconds since the Unix epoch. Until then it lasts; it is remembered until the next may begin.
	Since float64 `json:"since"`
	Until float64 `json:"until"`
}

const (
	// probeEvery is the least time between two probes of a pair, in seconds, where none is given.
	//
	// Tuned: s; option probingCooldownSeconds; at half: no difference in what TestProbingShowsWhatOnePointDoesNot sees in 40 minutes, at most twice
	// the probes later; at twice: no difference there, half the probes later
	probeEvery = 3600
	// probeWindows that a probe lasts, from when its replicas are ready: the first shows a batch that still changes.
	//
	// Tuned: windows; measured by TestProbingShowsWhatOnePointDoesNot, where ITL is known to 16.6 % before and to 3.0 % after; at half: 3.4 % after;
	// at twice: 2.8 % after, for twice the replica minutes
	probeWindows = 4
	// pessimism is the probability that ITL at the probe is no longer than where its targets are checked.
	//
	// Tuned: probability; guard against probes that miss the targets: half and twice the distance from 1 make no difference
	pessimism = 0.95
	// relevance is how many times as much as it gets a replica may at most be taken to sustain, for that to matter.
	//
	// Tuned: 1; measured by TestProbingShowsWhatOnePointDoesNot; at half: its probe is not made; at twice: no difference
	relevance = 3
)

// prober offers probes as options, before anything is solved: each with more replicas than needed, worth a little less than without, so that
// it is taken where cards are to spare and where it takes nothing from anybody.
type prober struct {
	policy *policy
	stage  *sizing.Stage
	snap   *fleet.Snapshot
	// remembered probes: those that last, and those after which a pair rests.
	remembered []Probing
	// offered are pairs that a probe was offered for in this cycle: one server at a time.
	offered map[Pair]bool
	// suggested trials, by server.
	suggested map[string]jsonspec.Probe
}

func newProber(p *policy, stage *sizing.Stage, snap *fleet.Snapshot, before []Probing) *prober {
	r := &prober{policy: p, stage: stage, snap: snap, offered: map[Pair]bool{}, suggested: map[string]jsonspec.Probe{}}
	if r.acts() {
		for _, b := range before {
			if snap.Time < max(b.Until, b.Since+p.probeEvery) {
				r.remembered = append(r.remembered, b)
			}
		}
	}
	return r
}

// acts says whether probes are acted on.
func (r *prober) acts() bool { return r.policy.Probing == jsonspec.ProbingAct && r.snap.Time > 0 }

// offer a trial to a server, or a probe of the pair that it runs on: the options of it that are there, and one more.
func (r *prober) offer(s *sizing.Server, z *sizing.Sizing, options []option) []option {
	if !r.policy.probing || s.Held() == nil {
		return options
	}
	if o := r.trial(s, z, options); o != nil {
		return append(options, *o)
	}
	at := fullest(options, s.Held().Parts[0].Accelerator)
	if at < 0 || !r.acts() || len(s.Held().Parts) != 1 {
		return options
	}
	one := options[at].candidate.Parts[0].Sized
	probe, ok := r.lasting(s, one)
	if !ok {
		probe, ok = r.begin(s, one, options[at].replicas(), options[at].candidate.Demand)
	}
	if !ok || !r.fits(&probe, s, one, options[at].candidate) {
		return options
	}
	r.offered[Pair{probe.Model, probe.Accelerator, probe.Namespace}] = true
	return append(options, r.option(probe, s, &options[at]))
}

// fullest is the index of the option with most replicas on one accelerator that can be probed; -1 where there is none.
func fullest(options []option, accelerator string) int {
	best := -1
	for i := range options {
		o := &options[i]
		if o.candidate.ID() == accelerator && probed(o) != nil && (best < 0 || o.replicas() > options[best].replicas()) {
			best = i
		}
	}
	return best
}

// probed is the pair of an option that could be probed; nil where it was not sized, or is split or does not serve in full.
func probed(o *option) *sizing.Sized {
	if len(o.parts) != 1 || o.short || o.candidate.Fault != nil || o.replicas() == 0 || !(o.parts[0].Rate > 0) {
		return nil
	}
	return o.parts[0].Sized
}

// lasting probe of a server on an accelerator.
func (r *prober) lasting(s *sizing.Server, one *sizing.Sized) (Probing, bool) {
	for _, b := range r.remembered {
		if b.Server == s.Name && b.Accelerator == one.Accelerator.Name && r.snap.Time < b.Until {
			return b, true
		}
	}
	return Probing{}, false
}

// begin a probe, under a load in requests per second, with the fewest more replicas than so many that are worth it, at most as many again. A replica
// that could carry many times as much is not near what its plan counts on, and what is known of that does not matter yet.
func (r *prober) begin(s *sizing.Server, one *sizing.Sized, replicas int, load float64) (Probing, bool) {
	pair := Pair{one.Model, one.Accelerator.Name, s.Namespace}
	at, known := point(s, one, one.Rate)
	if r.rests(pair) || !known || one.Unreliable || load/float64(replicas) < one.Rate/relevance {
		return Probing{}, false
	}
	if _, worth := estimation.SuggestProbe(one.Performance, at, float64(one.Limits.MaxBatch)); !worth {
		return Probing{}, false
	}
	for extra := 1; extra <= replicas; extra++ {
		there, known := point(s, one, load/float64(replicas+extra))
		if !known {
			continue
		}
		if _, worth := estimation.WorthProbing(one.Performance, at, there.Running); worth {
			return Probing{
				Server: s.Name, Model: pair.Model, Accelerator: pair.Accelerator, Namespace: pair.Namespace, Replicas: replicas + extra,
				Since: r.snap.Time, Until: r.snap.Time + one.StartUp + probeWindows*r.snap.Window,
			}, true
		}
	}
	return Probing{}, false
}

// rests says that a pair is being probed, or was a short while ago.
func (r *prober) rests(pair Pair) bool {
	return r.offered[pair] || slices.ContainsFunc(r.remembered, func(b Probing) bool { return Pair{b.Model, b.Accelerator, b.Namespace} == pair })
}

// fits says whether a server may have the replicas of a probe: fewer are needed, they are within its bounds, the targets are met by the pessimistic
// view, and nothing has to be bought for them.
func (r *prober) fits(b *Probing, s *sizing.Server, one *sizing.Sized, c *sizing.Candidate) bool {
	if c.Replicas() >= b.Replicas || s.MaxReplicas > 0 && b.Replicas > s.MaxReplicas {
		return false
	}
	if slices.ContainsFunc(r.snap.Capacity.Elastic, func(e jsonspec.ElasticCapacity) bool { return e.Type == one.Accelerator.Type }) {
		return false
	}
	return r.stage.Safe(one, s, c.Demand/float64(b.Replicas), pessimism)
}

// option with the replicas of a probe, worth a little less than another of the same candidate.
func (r *prober) option(b Probing, s *sizing.Server, other *option) option {
	o := r.policy.option(s, other.candidate, max(b.Replicas, other.replicas()), s.InForce())
	extra := o.replicas() - o.candidate.Replicas()
	o.probe, o.note = &b, fmt.Sprintf("%d of them to probe %s with fewer requests on each", extra, o.candidate.ID())
	o.penalties = append(o.penalties, stability.Prefer(other.value(), o.value(), fmt.Sprintf("%d are for a probe and do not count", extra), "the end of the probe"))
	return o
}

// point at which a replica runs that gets so many requests per second.
func point(s *sizing.Server, one *sizing.Sized, rate float64) (estimation.Point, bool) {
	there, known := one.Means(rate)
	return estimation.Point{Running: there.InService, InputTokens: s.Demand.InputTokens, OutputTokens: s.Demand.OutputTokens}, known
}

// settle says what came of the choices: which probes are suggested, which are acted on, and what to remember. chosen are the options of the
// servers, nil where one has none or is not served in full.
func (r *prober) settle(servers []*sizing.Server, chosen []*option) ([]jsonspec.Probe, []Probing) {
	if !r.policy.probing {
		return nil, nil
	}
	after := slices.Clone(r.remembered)
	var list []jsonspec.Probe
	acted := map[string]bool{}
	for i, s := range servers {
		o := chosen[i]
		if o == nil {
			continue
		}
		if b := o.probe; b != nil {
			acted[s.Name] = true
			if !slices.ContainsFunc(after, func(a Probing) bool {
				return a.Server == b.Server && a.Accelerator == b.Accelerator && a.Since == b.Since
			}) {
				after = append(after, *b)
			}
			if b.Trial != nil {
				list = append(list, b.Trial.suggestion(b))
				continue
			}
		}
		if one := probed(o); one != nil {
			suggestion, worth := suggest(s, one)
			if b := o.probe; b != nil {
				suggestion.Replicas, suggestion.Until, worth = b.Replicas, b.Until, true
			}
			if worth {
				list = append(list, suggestion)
			}
		}
		if trial, ok := r.suggested[s.Name]; ok {
			list = append(list, trial)
		}
	}
	for i := range after {
		if b := &after[i]; r.snap.Time < b.Until && !acted[b.Server] {
			b.Until = r.snap.Time // it rests from here on
		}
	}
	slices.SortFunc(after, func(a, b Probing) int {
		return cmp.Or(strings.Compare(a.Model, b.Model), strings.Compare(a.Accelerator, b.Accelerator), strings.Compare(a.Server, b.Server))
	})
	return list, after
}

// suggest a probe of what the plan counts on: ITL at the highest rate that a replica is taken to sustain.
func suggest(s *sizing.Server, one *sizing.Sized) (jsonspec.Probe, bool) {
	at, known := point(s, one, one.Rate)
	suggestion := jsonspec.Probe{Server: s.Name, Model: s.Model, Accelerator: one.Accelerator.Name, PlannedRunning: at.Running}
	if !known {
		return suggestion, false
	}
	if p, ok := estimation.SuggestProbe(one.Performance, at, float64(one.Limits.MaxBatch)); ok {
		suggestion.Running, suggestion.SDBefore, suggestion.SDAfter = p.Running, p.Before, p.After
		return suggestion, true
	}
	if sd, err := estimation.Uncertainty(one.Performance, at); err == nil {
		suggestion.SDBefore, suggestion.SDAfter = sd, sd
	}
	return suggestion, false
}
