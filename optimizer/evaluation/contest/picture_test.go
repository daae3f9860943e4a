package contest

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gonum.org/v1/plot/plotter"

	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
)

func TestLogTicks(t *testing.T) {
	for _, c := range []struct {
		least, most float64
		want        []string
	}{
		{0.15, 12, []string{"0.2", "0.5", "1", "2", "5", "10"}},
		{0.008, 90, []string{"0.01", "0.1", "1", "10"}},
		{2500, 4500, []string{"3000", "4000"}},
	} {
		var labels []string
		ticks := logTicks(c.least, c.most)
		for _, tick := range ticks {
			if tick.Value < c.least || tick.Value > c.most {
				t.Errorf("tick at %v outside of %v to %v", tick.Value, c.least, c.most)
			}
			if tick.Label != "" {
				labels = append(labels, tick.Label)
			}
		}
		if d := cmp.Diff(c.want, labels); d != "" || len(ticks) == 0 {
			t.Errorf("%v to %v: %s", c.least, c.most, d)
		}
	}
}

// Long runs are drawn as means over windows: areas stay what they were.
func TestTogether(t *testing.T) {
	f := short(t)
	window := f.Config.Times.Window
	const windows = 3 * bins
	f.Scenario.Duration = windows * window
	accelerator := f.Config.Accelerators[0].Name
	reports := map[string]serving.Report{}
	var arrivals, price float64
	for _, name := range f.Servers() {
		var r serving.Report
		for i := range windows {
			w := serving.Window{Start: float64(i) * window, Replicas: map[string]int{accelerator: i % 7}}
			w.Arrivals, w.Completions, w.MetBoth = i, 10, 9
			arrivals += float64(i)
			price += float64(i%7) * f.ReplicaPrice(name, accelerator)
			r.Windows = append(r.Windows, w)
		}
		reports[name] = r
	}
	all := together(f, &Outcome{reports: reports})
	if len(all.rate) != bins || len(all.cost) != bins || len(all.missed) != bins {
		t.Fatalf("%d, %d and %d points, want %d", len(all.rate), len(all.cost), len(all.missed), bins)
	}
	for i := range bins {
		arrivals -= all.rate[i].Y * 3 * window
		price -= all.cost[i].Y * 3
		if math.Abs(all.missed[i].Y-10) > 1e-9 {
			t.Errorf("bin %d misses %v %%, want 10", i, all.missed[i].Y)
		}
	}
	if math.Abs(arrivals) > 1e-3 || math.Abs(price) > 1e-3 {
		t.Errorf("%v arrivals and %v ¢/h·windows are lost", arrivals, price)
	}
}

// The frontier leaves out what another schedule beats, and goes from few misses to many.
func TestFrontier(t *testing.T) {
	schedule := func(served, cost float64) *Outcome { return &Outcome{Served: served, CostPerHour: cost} }
	got := frontier([]*Outcome{schedule(0.9, 100), schedule(0.99, 300), schedule(0.95, 350), schedule(1, 400), schedule(0.99, 320)})
	want := plotter.XYs{{X: fewestMisses, Y: 400}, {X: 1, Y: 300}, {X: 10, Y: 100}}
	if d := cmp.Diff(want, got, cmpopts.EquateApprox(1e-9, 0)); d != "" {
		t.Error(d)
	}
}
