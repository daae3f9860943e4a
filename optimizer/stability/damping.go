package stability

import (
	"errors"
	"fmt"
	"math"

	"github.com/llm-inferno/inferno/optimizer/forecast"
)

// Damping scales out at once, scales in when what is saved outlives what may be regretted, and changes the accelerator only for a minimal gain.
type Damping struct {
	// ScaleInHoldDown is how long a need is remembered at least, in seconds.
	ScaleInHoldDown float64 `json:"scaleInHoldDownSeconds"`
	// Regret is what is lost while a replica is missed, in prices of that replica: it decides how long one is held that may be needed again.
	Regret float64 `json:"regret"`
	// ScaleInMargin is the share by which the load may rise after scaling in without scaling out again.
	ScaleInMargin float64 `json:"scaleInMargin"`
	// MaxScaleIn is the largest share of the replicas that goes in one cycle, one may always; 0 is no bound.
	MaxScaleIn float64 `json:"maxScaleIn"`
	// MaxScaleOut is the largest multiple of the replicas that one cycle plans, four more may always be; 0 is no bound.
	MaxScaleOut float64 `json:"maxScaleOut"`
	// MinimalGain is the share of the present cost that another accelerator must save before it is taken.
	MinimalGain float64 `json:"minimalGain"`
}

// scaleOutAlways is what may be added in one cycle however few replicas there are.
//
// Tuned: replicas; derived from what HorizontalPodAutoscaler adds by default, four pods or as many again in 15 s; at half: no difference over the
// scenarios; at twice: no difference
const scaleOutAlways = 4

// DefaultDamping holds for five minutes, as the HorizontalPodAutoscaler does by default, or for as long as starting a replica anew costs; scales
// in where a tenth more load would still fit; halves and quadruples at most; and asks for a gain of a tenth, as llm-inferno's penalty for
// changing accelerator does.
func DefaultDamping() Damping {
	return Damping{ScaleInHoldDown: 300, Regret: 2, ScaleInMargin: 0.1, MaxScaleIn: 0.5, MaxScaleOut: 4, MinimalGain: 0.1}
}

// Validate joins every fault of the options.
func (d Damping) Validate() error {
	var faults []error
	for _, o := range []struct {
		name              string
		value, low, above float64
	}{
		{"scaleInHoldDownSeconds", d.ScaleInHoldDown, 0, 86400}, {"regret", d.Regret, 0, 1000}, {"scaleInMargin", d.ScaleInMargin, 0, 10},
		{"maxScaleIn", d.MaxScaleIn, 0, 1}, {"maxScaleOut", d.MaxScaleOut, 0, 1000}, {"minimalGain", d.MinimalGain, 0, 1},
	} {
		if !(o.value >= o.low && o.value <= o.above) {
			faults = append(faults, fmt.Errorf("%s: %v is not allowed, must be from %v to %v", o.name, o.value, o.low, o.above))
		}
	}
	return errors.Join(faults...)
}

// holdDown is how long a replica is held that is not needed, in seconds. To hold it for t costs t times its price; to let it go, and need it
// again, costs a start (during which it is paid and does not serve) and the regret of missing it meanwhile. Holding for as long as both cost the
// same is never worse than twice the best decision in hindsight (the ski-rental bound; Karlin, Manasse, Rudolph and Sleator, Algorithmica 3,
// 1988).
func (d Damping) holdDown(startUp float64) float64 {
	return max(d.ScaleInHoldDown, (1+d.Regret)*startUp)
}

// Shape penalises ways on other accelerators than the present ones by the minimal gain, limits how much the present way adds in a cycle, and adds
// an option that holds the replicas of the hold-down period. The replicas that are held do not count against their option, which is worth a
// little less than the one without: the solver takes it unless its capacity is needed to serve another server, which then comes first.
func (d Damping) Shape(now float64, current Current, ways []Way, m Memory) ([]Option, Memory) {
	options := asTheyAre(ways)
	holdDown := d.holdDown(current.StartUp)
	loads := m.rememberLoad(now, current.Load, dwellHolds*holdDown)
	if current.At < 0 {
		return options, Memory{Loads: loads, Accelerator: m.Accelerator, Moved: m.Moved, Moves: m.Moves}
	}
	at := current.At
	present := &ways[at]
	m = m.remember(now, present.ID, current.Replicas, d.need(current, present), holdDown)
	m.Loads = loads
	for i := range options {
		if i != at {
			d.room(&options[i], current, &ways[i], m)
			d.elsewhere(&options[i], now, current, &ways[i], present, m)
		}
	}
	if present.Replicas == 0 {
		return options, m
	}
	if current.Replicas < present.Replicas && float64(current.Replicas) >= enough*float64(present.Replicas) && d.dwells(now, current, m) {
		options = append(options, Option{
			Of: at, Replicas: current.Replicas, Short: true,
			Note: fmt.Sprintf("%d needed, %d kept: stays for a while on %s, to which it moved", present.Replicas, current.Replicas, present.ID),
			Penalties: []Penalty{{present.Cost(present.Replicas),
				fmt.Sprintf("has %d of %d replicas that are needed", current.Replicas, present.Replicas), "capacity for those that are missing"}},
		})
	}
	if most := d.most(current.Replicas); most > 0 && present.Replicas > most {
		options[at].Replicas = most
		options[at].Note = fmt.Sprintf("%d needed, %d planned: at most %g times as many in a cycle", present.Replicas, most, d.MaxScaleOut)
		return options, m
	}
	// What was not running cannot be held: needs above the present plan were never met, and scaling in starts from what is there.
	held := min(m.largest(), max(current.Replicas, present.Replicas))
	note, lifted := fmt.Sprintf("scaling in waits for %g s of lower need", holdDown), fmt.Sprintf("lower need for %g s", holdDown)
	if least := d.least(current.Replicas); least > held {
		held = least
		note, lifted = fmt.Sprintf("at most %g %% go in a cycle", 100*d.MaxScaleIn), "the next cycle"
	}
	if held > present.Replicas {
		options = append(options, Option{
			Of: at, Replicas: held, Note: fmt.Sprintf("%d needed, %d held: %s", present.Replicas, held, note),
			Penalties: []Penalty{Prefer(present.Value(present.Replicas), present.Value(held), fmt.Sprintf("%d are held and do not count", held-present.Replicas), lifted)},
		})
	}
	return options, m
}

// preference is the share of its value that an option with more replicas than needed is valued less than the one without: enough to be chosen, for
// solvers take values for equal that differ by rounding alone, and too little to cost anybody a card.
//
// Tuned: share; guard against ties, which rounding would decide: half and twice of it make no difference
const preference = 1e-3

// Prefer is the penalty, below zero, that makes an option worth a little less than another, whatever it counts for without: it is taken instead of
// that where its cards are to spare.
func Prefer(other, without float64, reason, lifted string) Penalty {
	return Penalty{(1-preference)*other - without, reason, lifted}
}

// dwellHolds is how many hold-down periods a server stays on an accelerator that it moved to: two that save a little against each other, as load
// and prices breathe, must not be taken in turn.
//
// Tuned: hold-down periods; measured by the scenario short; at half: no difference in attainment, 4 % less cost of short; at twice: 99.8 % of short
// at 2 % more cost
const dwellHolds = 2

// enough is the share of its need with which a server stays where it moved to lately, though there is not enough for the rest of it: what is
// needed of few requests doubles and halves within minutes, and who goes after every estimate is always on the move.
//
// Tuned: share; measured by the scenarios short and lost-nodes; at half: 98.9 % of short at 30 % less cost, and 99.9 % of lost-nodes, after 99.7,
// at 9 % less; at twice: no difference
const enough = 0.5

// dwells tells whether a server moved lately.
func (d Damping) dwells(now float64, current Current, m Memory) bool {
	return m.Moved > 0 && now-m.Moved < dwellHolds*d.holdDown(current.StartUp)
}

// room makes an option on other accelerators than the present ones one for a little more load, and for what there was lately, or the server would have to come
// back with the next breath of it.
func (d Damping) room(o *Option, current Current, way *Way, m Memory) {
	factor := 1 + d.ScaleInMargin
	if len(m.Loads) > 0 && current.Load > 0 {
		factor = max(factor, m.Loads[0].Rate/current.Load)
	}
	if n := way.Needed(factor); n > o.Replicas && o.Replicas > 0 {
		o.Note = fmt.Sprintf("%d needed, %d for %.3g times the load", o.Replicas, n, factor)
		o.Replicas = n
	}
}

// elsewhere penalises an option on other accelerators than the present ones: it must save the minimal gain, or what going and coming back cost an hour as often
// as the server moved lately, if that is more; soon after a move, everything.
func (d Damping) elsewhere(o *Option, now float64, current Current, way, present *Way, m Memory) {
	here := present.Cost(present.Replicas)
	p := Penalty{d.MinimalGain * here, fmt.Sprintf("must save %g %% against %s", 100*d.MinimalGain, present.ID), "a larger saving"}
	often := m.often(now)
	if moving := often * (1 + d.Regret) * current.StartUp / lately * (here + way.Cost(o.Replicas)); moving > p.Cents {
		p = Penalty{moving, fmt.Sprintf("moved %.2g times lately: must save what moves cost", often), "a larger saving"}
	}
	if d.dwells(now, current, m) {
		wait := dwellHolds * d.holdDown(current.StartUp)
		p = Penalty{max(d.MinimalGain, 1) * here, fmt.Sprintf("stays for %g s on %s, to which it moved", wait, present.ID), fmt.Sprintf("%g s", wait-(now-m.Moved))}
	} else if current.BestEffort {
		p = Penalty{max(d.MinimalGain, 1) * here, fmt.Sprintf("stays with what is left of %s unless it is served in full elsewhere", present.ID), "capacity on " + present.ID}
	}
	if p.Cents != 0 {
		o.Penalties = append(o.Penalties, p)
	}
}

// need that is remembered: what is needed for the load, or, where fewer replicas than there are would do, for a little more load, so that the
// number does not fall only to rise again with the next breath of the load.
func (d Damping) need(current Current, present *Way) int {
	if present.Replicas >= current.Replicas {
		return present.Replicas
	}
	return max(present.Replicas, min(present.Needed(1+d.ScaleInMargin), current.Replicas))
}

// most replicas that a cycle plans; 0 is no bound.
func (d Damping) most(current int) int {
	if d.MaxScaleOut == 0 || current == 0 {
		return 0
	}
	return max(int(math.Ceil(d.MaxScaleOut*float64(current))), current+scaleOutAlways)
}

// least replicas that a cycle leaves of those there are.
func (d Damping) least(current int) int {
	if d.MaxScaleIn == 0 {
		return 0
	}
	return current - max(int(d.MaxScaleIn*float64(current)), 1)
}

// lately is the time in which moves are counted, those before it for less and less: what happens so often in an hour, what is paid by the hour must pay for.
//
// Exact: s; prices are an hour's
const lately = 3600

// often is how many times the server moved lately, those of longer ago counting for less and less.
func (m Memory) often(now float64) float64 {
	return m.Moves * math.Exp(-max(0, now-m.Moved)/lately)
}

// remember adds the need of now and forgets what lies further back than the hold-down. A memory of another accelerator, or none (after a
// restart), begins with the plan in force: it was needed once, though nobody remembers when.
func (m Memory) remember(now float64, on string, inForce, replicas int, holdDown float64) Memory {
	old := m.Needs
	if m.Accelerator != on || len(old) == 0 {
		old = []Need{{Time: now, Replicas: inForce}}
	}
	next := Memory{Accelerator: on, Moved: m.Moved, Moves: m.Moves}
	if m.Accelerator != "" && m.Accelerator != on {
		next.Moved, next.Moves = now, m.often(now)+1
	}
	for _, n := range old {
		if n.Time > now-holdDown || (n.Time == now && holdDown > 0) {
			next.Needs = append(next.Needs, n)
		}
	}
	// A need that a later one exceeds can never again be the largest.
	for k := len(next.Needs); k > 0 && next.Needs[k-1].Replicas <= replicas; k-- {
		next.Needs = next.Needs[:k-1]
	}
	next.Needs = append(next.Needs, Need{Time: now, Replicas: replicas})
	return next
}

// rememberLoad adds a load to those of the last so many seconds; one that a later one exceeds can never again be the largest.
func (m Memory) rememberLoad(now, load, span float64) forecast.Samples {
	var next forecast.Samples
	for _, l := range m.Loads {
		if l.Time > now-span && l.Rate > load {
			next = append(next, l)
		}
	}
	if load > 0 {
		next = append(next, forecast.Sample{Time: now, Rate: load}.Rounded())
	}
	return next
}

// largest of the remembered needs.
func (m Memory) largest() int {
	most := 0
	for _, n := range m.Needs {
		most = max(most, n.Replicas)
	}
	return most
}
