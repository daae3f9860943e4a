package stability_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/stability"
)

// on is a way of so many replicas at 10 cents each.
func on(accelerator string, replicas int) stability.Way {
	cost := func(n int) float64 { return 10 * float64(n) }
	return stability.Way{ID: accelerator, Replicas: replicas, Cost: cost, Value: cost, Needed: func(float64) int { return 0 }}
}

// inForce is a plan in force by the name of its accelerator, with what ways need.
type inForce struct {
	Accelerator   string
	Replicas      int
	BestEffort    bool
	Load, StartUp float64
	Needed        func(accelerator string, factor float64) int
}

// option with what it costs and is worth.
type option struct {
	stability.Option
	Accelerator string
	Cost, Value float64
}

func shape(s stability.Stabiliser, now float64, c inForce, ways []stability.Way, m stability.Memory) ([]option, stability.Memory) {
	in := stability.Current{At: -1, Replicas: c.Replicas, BestEffort: c.BestEffort, Load: c.Load, StartUp: c.StartUp}
	ways = slices.Clone(ways)
	for i := range ways {
		if ways[i].ID == c.Accelerator {
			in.At = i
		}
		if c.Needed != nil {
			ways[i].Needed = func(factor float64) int { return c.Needed(ways[i].ID, factor) }
		}
	}
	shaped, m := s.Shape(now, in, ways, m)
	options := make([]option, len(shaped))
	for i, o := range shaped {
		w := ways[o.Of]
		options[i] = option{o, w.ID, w.Cost(o.Replicas), w.Value(o.Replicas)}
		for _, p := range o.Penalties {
			options[i].Value += p.Cents
		}
	}
	return options, m
}

// cheapest is the option a solver with capacity to spare takes.
func cheapest(options []option) option {
	best := options[0]
	for _, o := range options {
		if o.Value < best.Value {
			best = o
		}
	}
	return best
}

// follow runs a server through needs, one every period seconds, and returns the replicas of each step.
func follow(d stability.Damping, period float64, needs []int) []int {
	var got []int
	current := inForce{}
	memory := stability.Memory{}
	for i, need := range needs {
		var options []option
		options, memory = shape(d, float64(i)*period, current, []stability.Way{on("A", need)}, memory)
		best := cheapest(options)
		current = inForce{Accelerator: best.Accelerator, Replicas: best.Replicas}
		got = append(got, best.Replicas)
	}
	return got
}

func TestScalesOutAtOnceAndInAfterTheHoldDown(t *testing.T) {
	d := stability.Damping{ScaleInHoldDown: 30}
	for _, c := range []struct {
		name        string
		needs, want []int
	}{
		{"out at once", []int{1, 5, 9}, []int{1, 5, 9}},
		{"in after the hold-down", []int{5, 2, 2, 2, 2, 2}, []int{5, 5, 5, 5, 2, 2}},
		{"a dip shorter than the hold-down is not followed", []int{5, 2, 5, 2, 5, 5}, []int{5, 5, 5, 5, 5, 5}},
		{"in to the largest need of the period", []int{9, 3, 6, 3, 3, 3, 3}, []int{9, 9, 9, 9, 6, 3, 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, follow(d, 10, c.needs)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWithoutHoldDownFollowsTheNeed(t *testing.T) {
	needs := []int{5, 2, 7, 1}
	if diff := cmp.Diff(needs, follow(stability.Damping{}, 10, needs)); diff != "" {
		t.Error(diff)
	}
}

func TestChangesAcceleratorOnlyForTheMinimalGain(t *testing.T) {
	d := stability.Damping{MinimalGain: 0.2}
	for _, c := range []struct {
		other int
		want  string
	}{{9, "A"}, {8, "A"}, {7, "B"}} {
		options, _ := shape(d, 0, inForce{Accelerator: "A", Replicas: 10}, []stability.Way{on("A", 10), on("B", c.other)}, stability.Memory{})
		// Equal values go by name, as in every solver.
		if got := cheapest(options).Accelerator; got != c.want {
			t.Errorf("B costs %d %% of A: got %s, want %s", 10*c.other, got, c.want)
		}
	}
}

// After a restart nothing is remembered: the plan in force is held as if it had just been needed.
func TestRestartHoldsThePlanInForce(t *testing.T) {
	d := stability.Damping{ScaleInHoldDown: 30}
	options, memory := shape(d, 100, inForce{Accelerator: "A", Replicas: 6}, []stability.Way{on("A", 2)}, stability.Memory{})
	best := cheapest(options)
	if best.Replicas != 6 || !strings.Contains(best.Note, "2 needed, 6 held") {
		t.Errorf("got %d replicas, note %q; want 6 held", best.Replicas, best.Note)
	}
	options, _ = shape(d, 131, inForce{Accelerator: "A", Replicas: 6}, []stability.Way{on("A", 2)}, memory)
	if best := cheapest(options); best.Replicas != 2 {
		t.Errorf("after the hold-down: %d replicas, want 2", best.Replicas)
	}
}

// What is held can be taken back when capacity is needed elsewhere: the plain candidate stays an option.
func TestHeldReplicasRemainAvailable(t *testing.T) {
	options, _ := shape(stability.DefaultDamping(), 0, inForce{Accelerator: "A", Replicas: 6}, []stability.Way{on("A", 2)}, stability.Memory{})
	plain, held := options[0], options[1]
	if plain.Replicas != 2 || held.Replicas != 6 || !(held.Value < plain.Value) || held.Cost != 60 {
		t.Errorf("options %+v", options)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	d := stability.Damping{ScaleInHoldDown: 100}
	m := stability.Memory{}
	for i := range 10000 {
		need := 1 + i%7
		_, m = shape(d, float64(i), inForce{Accelerator: "A", Replicas: 7}, []stability.Way{on("A", need)}, m)
		if len(m.Needs) > 101 {
			t.Fatalf("%d needs are remembered", len(m.Needs))
		}
	}
}

func TestOptionsSayEveryFault(t *testing.T) {
	err := stability.Damping{ScaleInHoldDown: math.NaN(), MinimalGain: 2}.Validate()
	for _, want := range []string{"scaleInHoldDownSeconds: NaN", "minimalGain: 2 is not allowed"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// Every registered stabiliser keeps a way to meet the targets on every accelerator as an option, says why it counts for more or less than it
// costs, and answers the same question alike. What it plans is bounded by what is needed and what is there.
func TestConformance(t *testing.T) {
	for _, name := range stability.Stabilisers().Names() {
		s, err := stability.Stabilisers().New(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 2))
		memory := stability.Memory{}
		for i := range 3000 {
			ways := []stability.Way{on("A", r.IntN(12)), on("B", 1+r.IntN(12)), on("C", 1+r.IntN(12))}[:1+r.IntN(3)]
			c := inForce{Accelerator: []string{"", "A", "B", "gone"}[r.IntN(4)], Replicas: r.IntN(15), BestEffort: r.IntN(4) == 0, Load: r.Float64(), StartUp: 100 * r.Float64()}
			if r.IntN(2) == 0 {
				c.Needed = func(id string, factor float64) int { return int(math.Ceil(factor * float64(len(id)+c.Replicas))) }
			}
			now := 20 * float64(i)
			options, next := shape(s, now, c, ways, memory)
			again, twice := shape(s, now, c, ways, memory)
			if diff := cmp.Diff(options, again) + cmp.Diff(next, twice); diff != "" {
				t.Fatalf("%s: a second call differs: %s", name, diff)
			}
			memory = next
			for k, w := range ways {
				if !slices.ContainsFunc(options, func(o option) bool { return o.Of == k && !o.Short }) {
					t.Fatalf("%s: no option on %s: %+v", name, w.ID, options)
				}
			}
			for _, o := range options {
				w := ways[o.Of]
				largest := max(w.Replicas, c.Replicas)
				if c.Needed != nil {
					largest = max(largest, c.Needed(w.ID, 1e9))
				}
				switch {
				case o.Replicas < 0 || o.Replicas > largest:
					t.Fatalf("%s: %d replicas on %s, where %d are needed and %d there", name, o.Replicas, w.ID, w.Replicas, c.Replicas)
				case o.Replicas != w.Replicas && o.Note == "":
					t.Fatalf("%s: %d replicas instead of %d, and does not say why", name, o.Replicas, w.Replicas)
				case o.Short && o.Value <= w.Value(o.Replicas):
					t.Fatalf("%s: nothing speaks against having fewer than needed: %+v", name, o)
				}
				for _, p := range o.Penalties {
					if math.IsNaN(p.Cents) || math.IsInf(p.Cents, 0) || p.Cents == 0 || p.Reason == "" || p.Lifted == "" {
						t.Fatalf("%s: penalty %+v", name, p)
					}
				}
			}
		}
	}
}

// plant is what a stabilised server is: a load that is seen late and noisily, a rate that a replica sustains, and pods that take cycles to
// start. It returns the planned replicas of every cycle.
func plant(load func(cycle int) float64, delay, cycles int, noise func() float64) []int {
	const sustained, period = 1.0, 30.0
	d := stability.DefaultDamping()
	var planned []int
	current, memory := inForce{}, stability.Memory{}
	for cycle := range cycles {
		seen := load(max(cycle-delay, 0)) * (1 + noise())
		need := func(_ string, factor float64) int { return max(int(math.Ceil(factor*seen/sustained)), 1) }
		current.StartUp = period * float64(delay)
		if current.Accelerator != "" {
			current.Needed = need
		}
		var options []option
		options, memory = shape(d, float64(cycle)*period, current, []stability.Way{on("A", need("A", 1))}, memory)
		best := cheapest(options)
		current = inForce{Accelerator: best.Accelerator, Replicas: best.Replicas}
		planned = append(planned, best.Replicas)
	}
	return planned
}

// turns of a series: changes of direction.
func turns(series []int) int {
	n, direction := 0, 0
	for i := 1; i < len(series); i++ {
		d := 0
		switch {
		case series[i] > series[i-1]:
			d = 1
		case series[i] < series[i-1]:
			d = -1
		}
		if d == 0 {
			continue
		}
		if direction == -d {
			n++
		}
		direction = d
	}
	return n
}

// No limit cycle: a plan turns no more often than the load it follows, whatever the delay, and comes to rest where the load does.
func TestPlansTurnNoMoreOftenThanTheLoad(t *testing.T) {
	const cycles = 2880 // a day
	silent := func() float64 { return 0 }
	for name, c := range map[string]struct {
		load  func(int) float64
		turns int // of the load
		rests int // from this cycle on the load does not change
	}{
		"step":        {func(i int) float64 { return 4.97 + 5*float64(min(i/200, 1)) }, 0, 200},
		"step down":   {func(i int) float64 { return 9.97 - 5*float64(min(i/200, 1)) }, 0, 200},
		"ramp":        {func(i int) float64 { return 5 + 20*math.Min(float64(i)/500, 1) }, 0, 500},
		"sinusoid":    {func(i int) float64 { return 20 + 15*math.Sin(2*math.Pi*float64(i)/720) }, 8, cycles},
		"square wave": {func(i int) float64 { return 5 + 20*float64(i/360%2) }, 8, cycles},
		"flash crowd": {func(i int) float64 {
			if i >= 300 && i < 340 {
				return 20
			}
			return 5
		}, 1, 340},
	} {
		for delay := range 11 {
			got := plant(c.load, delay, cycles, silent)
			if n := turns(got); n > c.turns {
				t.Errorf("%s, %d cycles of delay: the plan turns %d times, the load %d", name, delay, n, c.turns)
			}
			// Delay, the longest hold-down and one cycle for each replica that goes are over by then.
			settled := c.rests + delay + 3*delay + 10 + 40
			for i := settled + 1; i < cycles; i++ {
				if got[i] != got[settled] {
					t.Errorf("%s, %d cycles of delay: the plan goes from %d to %d at cycle %d although the load rests since %d", name, delay, got[settled], got[i], i, c.rests)
					break
				}
			}
		}
	}
}

// Noise of the size that is left after averaging must not move a plan, wherever between two numbers of replicas the load is and however late it is
// seen.
func TestNoiseDoesNotMoveAPlanForLong(t *testing.T) {
	const cycles = 2880
	total := 0
	for step := range 40 {
		level := 5 + float64(step)/40
		r := rand.New(rand.NewPCG(uint64(step), 3))
		total += turns(plant(func(int) float64 { return level }, step%11, cycles, func() float64 { return 0.02 * r.NormFloat64() }))
	}
	if total > 0 {
		t.Errorf("%d turns in 40 days of constant load", total)
	}
}

func TestLimitsOfOneCycle(t *testing.T) {
	d := stability.Damping{MaxScaleIn: 0.5, MaxScaleOut: 3}
	for _, c := range []struct {
		name        string
		needs, want []int
	}{
		{"out by threefold", []int{10, 100, 100, 100}, []int{10, 30, 90, 100}},
		{"out by four at least", []int{1, 100}, []int{1, 5}},
		{"in by half", []int{20, 1, 1, 1, 1, 1, 1}, []int{20, 10, 5, 3, 2, 1, 1}},
	} {
		if diff := cmp.Diff(c.want, follow(d, 10, c.needs)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestHoldsForAsLongAsAStartCosts(t *testing.T) {
	d := stability.Damping{ScaleInHoldDown: 30, Regret: 2}
	held := func(startUp float64) int {
		current, memory := inForce{Accelerator: "A", Replicas: 5, StartUp: startUp}, stability.Memory{}
		n := 0
		for i, need := range append([]int{5}, make([]int, 100)...) {
			options, next := shape(d, float64(i)*10, current, []stability.Way{on("A", max(need, 2))}, memory)
			memory = next
			if current.Replicas = cheapest(options).Replicas; current.Replicas == 5 {
				n++
			}
		}
		return n
	}
	if a, b := held(1), held(100); a != 3 || b != 30 {
		t.Errorf("held for %d cycles of 10 s with a start of 1 s, %d with one of 100 s; want 3 and 30", a, b)
	}
}

func TestScalesInOnlyWithRoomToSpare(t *testing.T) {
	d := stability.Damping{ScaleInMargin: 0.2}
	for load, want := range map[float64]int{4.4: 5, 3.9: 5, 3.2: 4} {
		current := inForce{Accelerator: "A", Replicas: 5, Needed: func(_ string, f float64) int { return int(math.Ceil(f * load)) }}
		options, _ := shape(d, 100, current, []stability.Way{on("A", int(math.Ceil(load)))}, stability.Memory{})
		if got := cheapest(options).Replicas; got != want {
			t.Errorf("load of %v replicas, 5 there: %d planned, want %d", load, got, want)
		}
	}
}

// Two accelerators that are cheaper in turn, as the load breathes, are not taken in turn.
func TestNeighbouringPlansDoNotFlutter(t *testing.T) {
	d := stability.DefaultDamping()
	current, memory := inForce{Accelerator: "A", Replicas: 5, StartUp: 60}, stability.Memory{}
	r := rand.New(rand.NewPCG(7, 7))
	moves := 0
	for cycle := range 2880 {
		load := 4.6 + 0.3*r.NormFloat64()
		need := func(accelerator string, f float64) int {
			if accelerator == "B" {
				return max(int(math.Ceil(f*load/4.8))*4, 1) // coarse: four at a time, which nearly suffice
			}
			return max(int(math.Ceil(f*load)), 1)
		}
		current.Needed, current.Load = need, load
		options, next := shape(d, float64(cycle)*30, current, []stability.Way{on("A", need("A", 1)), on("B", need("B", 1))}, memory)
		memory = next
		best := cheapest(options)
		if best.Accelerator != current.Accelerator {
			moves++
		}
		current.Accelerator, current.Replicas = best.Accelerator, best.Replicas
	}
	if moves > 8 { // without holding, more than a hundred
		t.Errorf("%d moves in a day", moves)
	}
}

// Who gets what is left does not move to what is left elsewhere for a little less.
func TestBestEffortStays(t *testing.T) {
	d := stability.DefaultDamping()
	for _, c := range []struct {
		short bool
		want  string
	}{{false, "B"}, {true, "A"}} {
		current := inForce{Accelerator: "A", Replicas: 4, BestEffort: c.short}
		options, _ := shape(d, 0, current, []stability.Way{on("A", 10), on("B", 6)}, stability.Memory{})
		if got := cheapest(options).Accelerator; got != c.want {
			t.Errorf("best effort %v: %s, want %s", c.short, got, c.want)
		}
	}
}

func TestStaysAfterAMove(t *testing.T) {
	d := stability.Damping{ScaleInHoldDown: 100, MinimalGain: 0.1}
	current, memory := inForce{Accelerator: "A", Replicas: 10}, stability.Memory{}
	at := map[float64]string{}
	for i, other := range []int{5, 20, 20, 20, 20} { // B costs half, then twice as much
		now := 100 + 60*float64(i)
		options, next := shape(d, now, current, []stability.Way{on("A", 10), on("B", other)}, memory)
		best := cheapest(options)
		memory, current = next, inForce{Accelerator: best.Accelerator, Replicas: best.Replicas}
		at[now] = best.Accelerator
	}
	// It moved between 100 and 160 s, and stays for two hold-downs.
	if diff := cmp.Diff(map[float64]string{100: "B", 160: "B", 220: "B", 280: "B", 340: "B"}, at); diff != "" {
		t.Error(diff)
	}
}

// A server that moves to and fro must save what that costs: the more often it moved lately, the more, and it goes on when enough of that is long ago.
func TestMovesPayForThemselves(t *testing.T) {
	d := stability.DefaultDamping()
	const startUp, cycle, hour = 120., 30., 3600.
	after := func(moves float64, there int) float64 {
		current := inForce{Accelerator: "A", Replicas: 10, StartUp: startUp}
		m := stability.Memory{Accelerator: "A", Moved: 1, Moves: moves, Needs: []stability.Need{{Time: 1, Replicas: 10}}}
		for now := cycle; now < 4*hour; now += cycle {
			var options []option
			if options, m = shape(d, now, current, []stability.Way{on("A", 10), on("B", there)}, m); cheapest(options).Accelerator == "B" {
				return now
			}
		}
		return math.Inf(1)
	}
	for _, c := range []struct {
		moves float64
		there int
	}{{0, 8}, {1, 1}, {4, 8}, {4, 6}, {8, 6}} {
		saved, both := 10*float64(10-c.there), (1+d.Regret)*startUp/hour*10*float64(10+c.there) // cents per hour, and cents
		want := 720.                                                                            // two hold-downs
		for saved < both*c.moves*math.Exp(-want/hour) {
			want++
		}
		if got := after(c.moves, c.there); math.Abs(got-want) > 2*cycle {
			t.Errorf("after %v moves it goes to %d replicas in place of 10 after %v s, want %v", c.moves, c.there, got, want)
		}
	}
	m := stability.Memory{}
	for k, at := range []string{"A", "B", "A", "B"} {
		if _, m = shape(d, 1000+60*float64(k), inForce{Accelerator: at, Replicas: 10, StartUp: startUp}, []stability.Way{on("A", 10), on("B", 10)}, m); math.Abs(m.Moves-float64(k)) > 0.1 {
			t.Errorf("%v moves are remembered of %d", m.Moves, k)
		}
	}
}

// A server that moved lately stays with what it has where there is not enough for its need, unless it has hardly any of it: what is needed
// comes before, going elsewhere after.
func TestStaysWhereItMovedTo(t *testing.T) {
	d := stability.DefaultDamping()
	moved := stability.Memory{Accelerator: "A", Moved: 1000, Needs: []stability.Need{{Time: 1000, Replicas: 6}}}
	for _, c := range []struct {
		name string
		now  float64
		have int
		want bool
	}{
		{"lately", 1060, 6, true}, {"hardly any of it", 1060, 4, false}, {"long ago", 9000, 6, false}, {"enough", 1060, 10, false},
	} {
		options, _ := shape(d, c.now, inForce{Accelerator: "A", Replicas: c.have, StartUp: 120}, []stability.Way{on("A", 10), on("B", 7)}, moved)
		var stay, full, elsewhere *option
		for i := range options {
			switch o := &options[i]; {
			case o.Accelerator == "B":
				elsewhere = o
			case o.Replicas < 10:
				stay = o
			default:
				full = o
			}
		}
		if (stay != nil) != c.want {
			t.Errorf("%s: options %+v", c.name, options)
		} else if stay != nil && !(stay.Short && !full.Short && stay.Replicas == c.have && full.Value < stay.Value && stay.Value < elsewhere.Value) {
			t.Errorf("%s: staying is worth %+v, the need %+v, going %+v", c.name, *stay, *full, *elsewhere)
		}
	}
}

// A move is remembered also where the accelerator that was left meets the targets no more.
func TestMovesFromWhatIsInfeasibleAreRemembered(t *testing.T) {
	d := stability.DefaultDamping()
	_, m := shape(d, 0, inForce{Accelerator: "A", Replicas: 2}, []stability.Way{on("A", 2), on("B", 2)}, stability.Memory{})
	_, m = shape(d, 60, inForce{Accelerator: "A", Replicas: 2}, []stability.Way{on("B", 2)}, m)
	if _, m = shape(d, 120, inForce{Accelerator: "B", Replicas: 2}, []stability.Way{on("A", 2), on("B", 2)}, m); m.Moved != 120 {
		t.Errorf("memory %+v", m)
	}
}
