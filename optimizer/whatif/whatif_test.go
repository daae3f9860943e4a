package whatif_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/whatif"
)

func TestParse(t *testing.T) {
	type change struct {
		kind, name string
		op         byte
		amount     float64
	}
	for text, want := range map[string]change{
		"capacity.H100=+8":         {"capacity", "H100", '+', 8},
		"capacity.A100@zone.a=-16": {"capacity", "A100@zone.a", '-', 16},
		"load.ns/web=*1.5":         {"load", "ns/web", '*', 1.5},
		"load.a=b=3":               {"load", "a=b", '=', 3},
		"price.2xAIU2=1e2":         {"price", "2xAIU2", '=', 100},
		"slo-ttft.Free=0":          {"slo-ttft", "Free", '=', 0},
	} {
		w, err := whatif.Parse(text)
		if got := (change{w.Kind, w.Name, w.Op, w.Amount}); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "has no =", "capacity": "has no =", "=": "names nothing", "capacity=3": "names nothing", "load.=3": "names nothing",
		"loads.x=3": "must be one of capacity, load, price, slo-ttft, slo-itl", "load.x=": "is not a change", "load.x=+": "is not a change",
		"load.x=+-3": "is not a change", "load.x=inf": "is not a change", "load.x=NaN": "is not a change", "load.x=0x1p3": "is not a change",
		"load.x=1_0": "is not a change", "load.x=1e999": "is not a change", "capacity.x=+1.5": "must be a whole number",
	} {
		if _, err := whatif.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v does not say %q", text, err, want)
		}
	}
}

// Whatever is given is refused or gives an amount that is a number, and never changes the system that was asked about, nor makes one that has
// numbers out of range.
func FuzzWhatIf(f *testing.F) {
	for _, text := range []string{"capacity.A=+8", "load.s=*1.5", "price.a=-3", "slo-ttft.c=7", "capacity.N=-3", "capacity.N=9e6", "slo-itl.c=*0", "capacity.A=*1e300", "=", "load.=", "a.b=c"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := &jsonspec.System{}
		s.Accelerators.Spec = []jsonspec.AcceleratorEntry{{Name: "a", AcceleratorSpec: jsonspec.AcceleratorSpec{AcceleratorProperties: jsonspec.AcceleratorProperties{Type: "A", Cost: 5}}}}
		s.ServiceClasses.Spec = []jsonspec.ServiceClassEntry{{Name: "c", ServiceClassSpec: jsonspec.ServiceClassSpec{ModelTargets: []jsonspec.ModelTarget{{Model: "m", ITL: 3}}}}}
		s.Servers.Spec = []jsonspec.ServerEntry{{Name: "s", CurrentAlloc: &jsonspec.Allocation{Load: &jsonspec.Load{ArrivalRate: 6}}}}
		s.Accelerators.Spec = append(s.Accelerators.Spec, jsonspec.AcceleratorEntry{Name: "N"})
		s.Capacity.Count = []jsonspec.AcceleratorCount{{Type: "A", Count: 4}}
		s.Capacity.Nodes = []jsonspec.NodeCapacity{{Name: "x", Type: "N", Free: 8}, {Name: "y", Type: "N"}}
		before := s.DeepCopy()
		changed, said, err := whatif.Ask(s, []string{text})
		if diff := cmp.Diff(before, s); diff != "" {
			t.Fatal(diff)
		}
		if err != nil {
			return
		}
		target := changed.ServiceClasses.Spec[0].ModelTargets[0]
		for _, x := range []float64{changed.Accelerators.Spec[0].Cost, target.ITL, target.TTFT, changed.Servers.Spec[0].CurrentAlloc.Load.ArrivalRate, float64(changed.Capacity.Count[0].Count),
			float64(changed.Capacity.Nodes[0].Free), float64(changed.Capacity.Nodes[1].Free)} {
			if !(x >= 0) || math.IsInf(x, 0) {
				t.Errorf("%q makes %v", text, x)
			}
		}
		if len(said) != 1 || said[0] == "" {
			t.Errorf("%q: said %q", text, said)
		}
	})
}

// What is refused changes nothing, so that the next fault is told of the system as it is.
func TestFaultsDoNotPileUp(t *testing.T) {
	s := &jsonspec.System{}
	s.Accelerators.Spec = []jsonspec.AcceleratorEntry{{Name: "A"}}
	s.Accelerators.Spec[0].Cost = 40
	s.Capacity.Count = []jsonspec.AcceleratorCount{{Type: "A", Count: 8}}
	_, _, err := whatif.Ask(s, []string{"capacity.A=-10", "capacity.A=-9", "price.A=-50", "price.A=-41"})
	for _, want := range []string{"would be -2,", "would be -1,", "would be -10,", "would be -1,"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said in %v", want, err)
		}
	}
}

// Of a type with nodes whole nodes are added, and cards taken from the last.
func TestNodes(t *testing.T) {
	s := &jsonspec.System{}
	s.Accelerators.Spec = []jsonspec.AcceleratorEntry{{Name: "A"}, {Name: "B"}}
	s.Capacity.Nodes = []jsonspec.NodeCapacity{{Name: "y", Type: "A", Free: 4}, {Name: "x", Type: "A", Free: 8}, {Name: "what-if-A-0", Type: "B", Free: 1}}
	for text, want := range map[string][]jsonspec.NodeCapacity{
		"capacity.A=+12":  append(slices.Clone(s.Capacity.Nodes), jsonspec.NodeCapacity{Name: "what-if-A-1", Type: "A", Free: 8}, jsonspec.NodeCapacity{Name: "what-if-A-2", Type: "A", Free: 4}),
		"capacity.A=-5":   {{Name: "y", Type: "A"}, {Name: "x", Type: "A", Free: 7}, s.Capacity.Nodes[2]},
		"capacity.A=*0.5": {{Name: "y", Type: "A"}, {Name: "x", Type: "A", Free: 6}, s.Capacity.Nodes[2]},
		"capacity.A=12":   s.Capacity.Nodes,
	} {
		changed, _, err := whatif.Ask(s, []string{text})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, changed.Capacity.Nodes); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestTooManyNodes(t *testing.T) {
	s := &jsonspec.System{}
	s.Accelerators.Spec = []jsonspec.AcceleratorEntry{{Name: "A"}}
	s.Capacity.Nodes = []jsonspec.NodeCapacity{{Name: "x", Type: "A", Free: 1}}
	if _, _, err := whatif.Ask(s, []string{"capacity.A=+1000000"}); err == nil || !strings.Contains(err.Error(), "more than 100000 nodes") {
		t.Errorf("error %v", err)
	}
}

// One kind of each: what is said, and what is changed in the copy and nowhere else.
func TestAsk(t *testing.T) {
	s := &jsonspec.System{}
	s.Accelerators.Spec = []jsonspec.AcceleratorEntry{{Name: "A"}}
	s.Accelerators.Spec[0].Cost = 40
	s.Servers.Spec = []jsonspec.ServerEntry{{Name: "s", CurrentAlloc: &jsonspec.Allocation{Load: &jsonspec.Load{ArrivalRate: 60}}}, {Name: "new"}}
	s.ServiceClasses.Spec = []jsonspec.ServiceClassEntry{{Name: "c", ServiceClassSpec: jsonspec.ServiceClassSpec{
		ModelTargets: []jsonspec.ModelTarget{{Model: "m", TTFT: 500, ITL: 20}, {Model: "n", ITL: 30}},
	}}}
	before := s.DeepCopy()
	changed, said, err := whatif.Ask(s, []string{"capacity.A=+3", "load.s=*2", "price.A=-4", "slo-ttft.c=*2", "slo-itl.c=25"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"capacity.A: 0 → 3", "load.s: 60 → 120", "price.A: 40 → 36", "slo-ttft.c: m 500 → 1000", "slo-itl.c: m 20 → 25, n 30 → 25"}
	if d := cmp.Diff(want, said); d != "" {
		t.Error(d)
	}
	if got := changed.Servers.Spec[0].CurrentAlloc.Load.ArrivalRate; got != 120 {
		t.Errorf("load %v", got)
	}
	if got := changed.ServiceClasses.Spec[0].ModelTargets; got[0].TTFT != 1000 || got[0].ITL != 25 || got[1].TTFT != 0 {
		t.Errorf("targets %+v", got)
	}
	if d := cmp.Diff(before, s); d != "" {
		t.Errorf("the system that was asked about has changed: %s", d)
	}
	if _, _, err := whatif.Ask(s, []string{"load.new=3", "load.nobody=3"}); err == nil || !strings.Contains(err.Error(), "not known") || !strings.Contains(err.Error(), "known are new, s") {
		t.Errorf("error %v", err)
	}
}
