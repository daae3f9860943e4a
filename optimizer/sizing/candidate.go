package sizing

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Pair is a model on an accelerator, ready to be sized.
type Pair struct {
	Model       string
	Accelerator *fleet.Accelerator
	Performance jsonspec.Performance
	Law         queueing.Law
	// Assumed says what the law rests on where none was given; empty where one was. Then the pair is sized with some confidence, whatever is asked for.
	Assumed string
	// Observed says that something was learned of it.
	Observed bool
	// StartUp of a replica in seconds; 0 where it is not known.
	StartUp float64
	// Unreliable is whether predictions of the law keep failing.
	Unreliable bool
	// Fault says why the pair cannot be sized; nil where it can.
	Fault error
}

// PairOn an accelerator; nil where there is none.
func PairOn(pairs []*Pair, accelerator string) *Pair {
	for _, p := range pairs {
		if p.Accelerator.Name == accelerator {
			return p
		}
	}
	return nil
}

// Cards that a replica takes.
func (p *Pair) Cards() int { return p.Performance.Accelerators() * p.Accelerator.Cards }

// Pods of so many replicas, and the cards that each takes.
func (p *Pair) Pods(replicas int) (pods, cards int) {
	each := p.Performance.Pods()
	return replicas * each, p.Cards() / each
}

// Cost of a replica in cents per hour.
func (p *Pair) Cost() float64 { return float64(p.Performance.Accelerators()) * p.Accelerator.Cost }

// Sized is a pair sized for the demand of a server.
type Sized struct {
	*Pair
	Limits queueing.Limits
	// Rate is the highest rate that a replica sustains within the targets, in requests per second; 0 where that was not asked.
	Rate float64
	// Trim is the logarithm of a factor that is in the rate, from measured attainment.
	Trim float64

	replica queueing.Replica // predicts latencies; nil where there is no load to predict for, and of roles, which are predicted together
	most    float64          // rate that a replica of a role sustains whatever the latency
	roles   *roles           // that it is one of; nil where its replicas do all that is to be done
	demand  float64          // total rate to share among the replicas
	drain   int              // least number of replicas that serve in time what waits
	late    int              // of them should have been ready and are not: they are not counted on
	even    bool             // bursts were left out, which no number of replicas stands
}

// Part of a candidate: replicas of one pair.
type Part struct {
	*Sized
	Replicas int
	// Share of the requests that it gets, 0 to 1.
	Share float64
}

// Candidate is one way to serve a server: on one accelerator, or split over several. Without parts nothing is to be served.
type Candidate struct {
	Parts []Part
	// Demand in requests per second that the parts share.
	Demand float64
	// Fault says why it does not meet the targets; nil where it does.
	Fault error
	// Capped says that it stays below the need because of the server's largest number of replicas, and that is its fault.
	Capped bool
	// Renewing are the replicas among them that it has only until all have its limits.
	Renewing int
	// Guarded is the floor by saturation where it lies above the need that is predicted, 0 where it does not.
	Guarded int
}

// Apart says that it computes prompts and decodes on replicas of their own: its parts are the two roles, and keep their ratio.
func (c *Candidate) Apart() bool { return len(c.Parts) == 2 && c.Parts[0].roles != nil }

// counts are the replicas of the parts.
func (c *Candidate) counts() []int {
	list := make([]int, len(c.Parts))
	for i := range c.Parts {
		list[i] = c.Parts[i].Replicas
	}
	return list
}

// ID names the accelerators, such as A100 or A100+L4; empty without replicas.
func (c *Candidate) ID() string {
	return join(c.Parts, func(p *Part) string { return p.Accelerator.Name })
}

// Types of the cards, likewise.
func (c *Candidate) Types() string {
	return join(c.Parts, func(p *Part) string { return p.Accelerator.Type })
}

func join(parts []Part, name func(*Part) string) string {
	names := make([]string, len(parts))
	for i := range parts {
		names[i] = name(&parts[i])
	}
	return strings.Join(names, "+")
}

// Split says that it runs on several accelerators.
func (c *Candidate) Split() bool { return len(c.Parts) > 1 }

// Replicas in all.
func (c *Candidate) Replicas() int { return Count(c.Parts) }

// Count the replicas of parts.
func Count(parts []Part) int {
	n := 0
	for _, p := range parts {
		n += p.Replicas
	}
	return n
}

// Cost of parts in cents per hour.
func Cost(parts []Part) float64 {
	sum := 0.0
	for _, p := range parts {
		sum += float64(p.Replicas) * p.Cost()
	}
	return sum
}

// Describe parts for people, such as "3 × A100 + 2 × L4".
func Describe(parts []Part) string {
	words := make([]string, len(parts))
	for i, p := range parts {
		words[i] = fmt.Sprintf("%d × %s", p.Replicas, p.Accelerator.Name)
	}
	return strings.Join(words, " + ")
}

// Needed replicas for so many times the load within bounds, of which the upper is none where it is 0; 0 where that is not known, as of splits.
func (c *Candidate) Needed(factor float64, least, most int) int {
	n := 0
	switch {
	case c.Apart():
		for _, k := range c.Grown(factor, least) {
			n += k
		}
	case c.rated():
		n = c.Parts[0].needed(factor, least)
	default:
		return 0
	}
	if most > 0 {
		n = min(n, most)
	}
	return n
}

// Grown are the replicas of each part for so many times the load. What a split sustains grows with its parts, whatever the routing.
func (c *Candidate) Grown(factor float64, least int) []int {
	switch {
	case c.rated():
		return []int{c.Parts[0].needed(factor, least)}
	case c.Apart():
		return c.grownRoles(factor, least)
	case c.Split():
		return scaled(c.counts(), factor)
	}
	return c.counts()
}

// rated says whether it is known what a replica sustains, as it is not of splits.
func (c *Candidate) rated() bool { return len(c.Parts) == 1 && c.Parts[0].Rate > 0 }

// needed replicas for so many times the load: those that did not come are not counted on.
func (s *Sized) needed(factor float64, least int) int {
	n := max(Replicas(factor*s.demand, s.Rate, least), s.drain)
	return n + min(s.late, n)
}

// trimmed is a rate with the trim.
func (s *Sized) trimmed(rate float64) float64 { return rate * math.Exp(s.Trim) }

// Utilisation of a replica that gets so many requests per second, as a share of what it can sustain whatever the latency; 0 without load.
func (s *Sized) Utilisation(rate float64) float64 {
	most := s.most
	if s.replica != nil {
		most = s.replica.MaxRate()
	}
	if !(most > 0) {
		return 0
	}
	return rate / most
}

// Predict what a replica does that gets so many requests per second; false where there is nothing to predict.
func (s *Sized) Predict(rate float64) (queueing.Prediction, bool) {
	if s.replica == nil || rate == 0 {
		return queueing.Prediction{}, false
	}
	p, err := s.replica.Open(rate)
	return p, err == nil
}

// Means are what [Sized.Predict] says, of latencies the means alone, which is several times faster.
func (s *Sized) Means(rate float64) (queueing.Prediction, bool) {
	if s.replica == nil || rate == 0 {
		return queueing.Prediction{}, false
	}
	p, err := means(s.replica, rate)
	return p, err == nil
}

// Latencies are the mean TTFT and ITL in seconds, over all requests, of parts that share the demand; missing where there is nothing to predict.
func (c *Candidate) Latencies(parts []Part) (ttft, itl fleet.Maybe) {
	if c.Apart() {
		return c.Parts[0].roles.latencies(parts, c.Demand)
	}
	var t, l, known float64
	for _, p := range parts {
		if p.Replicas == 0 {
			continue
		}
		if q, ok := p.Means(p.Share * c.Demand / float64(p.Replicas)); ok {
			t, l, known = t+p.Share*q.TTFT.Mean, l+p.Share*q.ITL.Mean, known+p.Share
		}
	}
	if known == 0 {
		return ttft, itl
	}
	return fleet.Known(t), fleet.Known(l)
}

// Resize the candidate to so many replicas. Of a split, what is added goes to the parts with fewer replicas than are in force, then to those
// that cost least, and what is taken comes from those with most beyond them; each keeps one. Of roles there may be fewer than that, so that they keep
// their ratio.
func (c *Candidate) Resize(replicas int, inForce map[string]int, routing string) []Part {
	parts := slices.Clone(c.Parts)
	switch {
	case len(parts) == 1:
		parts[0].Replicas = replicas
		return parts
	case c.Apart():
		return c.resizeRoles(replicas, inForce)
	}
	for n := Count(parts); n < replicas; n++ {
		parts[shortest(parts, inForce)].Replicas++
	}
	for n := Count(parts); n > max(replicas, len(parts)); n-- {
		parts[longest(parts, inForce)].Replicas--
	}
	if Count(parts) != c.Replicas() {
		share(parts, routing)
	}
	return parts
}

// shortest is the first part with fewer replicas than are in force, else the one whose replicas cost least.
func shortest(parts []Part, inForce map[string]int) int {
	least := 0
	for i, p := range parts {
		if p.Replicas < inForce[p.Accelerator.Name] {
			return i
		}
		if p.Cost() < parts[least].Cost() {
			least = i
		}
	}
	return least
}

// longest is the part with more than one replica that has most more than are in force.
func longest(parts []Part, inForce map[string]int) int {
	most := -1
	more := func(i int) int { return parts[i].Replicas - inForce[parts[i].Accelerator.Name] }
	for i, p := range parts {
		if p.Replicas > 1 && (most < 0 || more(i) > more(most)) {
			most = i
		}
	}
	return most
}

// share sets what part of the load each part gets under a routing: as many requests for every replica, or as many as it carries.
func share(parts []Part, routing string) {
	weight := func(p *Part) float64 {
		if routing == jsonspec.RoutingRoundRobin {
			return float64(p.Replicas)
		}
		return float64(p.Replicas) * p.Rate
	}
	sum := 0.0
	for i := range parts {
		sum += weight(&parts[i])
	}
	for i := range parts {
		parts[i].Share = weight(&parts[i]) / sum
	}
}

// Distance is the number of replicas in which a candidate differs from what is in force; math.MaxInt on other accelerators.
func (c *Candidate) Distance(inForce map[string]int) int {
	if len(c.Parts) != len(inForce) {
		return math.MaxInt
	}
	n := 0
	for _, p := range c.Parts {
		have, runs := inForce[p.Accelerator.Name]
		if !runs {
			return math.MaxInt
		}
		n += max(have-p.Replicas, p.Replicas-have)
	}
	return n
}

// compare candidates by cost, then by accelerators.
func compare(a, b *Candidate) int {
	return cmp.Or(cmp.Compare(Cost(a.Parts), Cost(b.Parts)), strings.Compare(a.ID(), b.ID()))
}
