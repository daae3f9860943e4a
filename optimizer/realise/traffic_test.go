package realise

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// binding of three variants, the second for two accelerators; D is nobody's, and X of two, so the first one's.
var binding = &jsonspec.ServerBinding{Variants: []jsonspec.Variant{
	{Name: "a", Accelerators: []string{"A", "X"}}, {Name: "b", Accelerators: []string{"B1", "B2", "X"}}, {Name: "c", Accelerators: []string{"C"}},
}}

func split(accelerator string, replicas int, share float64) jsonspec.AllocationPart {
	return jsonspec.AllocationPart{Accelerator: accelerator, Replicas: replicas, Share: share}
}

func TestTraffic(t *testing.T) {
	type (
		parts = []jsonspec.AllocationPart
		pods  = []jsonspec.ObservedPart
	)
	fast := parts{split("A", 2, 0.75), split("C", 2, 0.25)}
	for name, tt := range map[string]struct {
		plan    parts
		current pods
		want    []float64
	}{
		"realised":                             {fast, pods{on("A", 2, 0), on("C", 2, 0)}, []float64{0.75, 0, 0.25}},
		"by requests, not by replicas":         {parts{split("A", 1, 0.8), split("C", 4, 0.2)}, pods{on("A", 1, 0), on("C", 4, 0)}, []float64{0.8, 0, 0.2}},
		"two types of a variant":               {parts{split("B1", 1, 0.5), split("B2", 1, 0.25), split("C", 1, 0.25)}, pods{on("B1", 1, 0), on("B2", 1, 0), on("C", 1, 0)}, []float64{0, 0.75, 0.25}},
		"one part states no share":             {parts{split("C", 3, 0)}, pods{on("C", 3, 0)}, []float64{0, 0, 1}},
		"no part states a share":               {parts{split("A", 1, 0), split("C", 3, 0)}, pods{on("A", 1, 0), on("C", 3, 0)}, []float64{0.25, 0, 0.75}},
		"of two variants' type":                {parts{split("X", 1, 0.5), split("B1", 1, 0.5)}, pods{on("X", 1, 0), on("B1", 1, 0)}, []float64{0.5, 0.5, 0}},
		"moving, none ready":                   {parts{split("C", 2, 0), {Accelerator: "A", Surge: 4}}, pods{on("A", 4, 0)}, []float64{1, 0, 0}},
		"moving, half ready":                   {parts{split("C", 2, 0), {Accelerator: "A", Surge: 4}}, pods{on("A", 4, 0), on("C", 1, 0)}, []float64{0.5, 0, 0.5}},
		"moving, all ready":                    {parts{split("C", 2, 0), {Accelerator: "A", Surge: 4}}, pods{on("A", 4, 0), on("C", 2, 0)}, []float64{0, 0, 1}},
		"moving, load rises, one of each":      {parts{split("C", 4, 0), {Accelerator: "A", Surge: 1}}, pods{on("A", 1, 0), on("C", 1, 0)}, []float64{0.5, 0, 0.5}},
		"a variant fails":                      {fast, pods{on("C", 2, 0)}, []float64{0, 0, 1}},
		"half of a variant fails":              {fast, pods{on("A", 1, 0), on("C", 2, 0)}, []float64{0.6, 0, 0.4}},
		"renewed, with one beyond its number":  {fast, pods{on("A", 3, 0), on("C", 2, 0)}, []float64{0.75, 0, 0.25}},
		"one beyond where another is missing":  {fast, pods{on("A", 3, 0), on("C", 1, 0)}, []float64{0.875, 0, 0.125}},
		"nothing is ready":                     {fast, pods{{Accelerator: "A", Starting: 2}}, nil},
		"nothing is planned, the last ones go": {nil, pods{on("A", 1, 0), on("C", 3, 0)}, []float64{0.25, 0, 0.75}},
		"nothing is planned or there":          {nil, nil, nil},
		"what is nobody's":                     {parts{split("D", 1, 0.5), split("C", 1, 0.5)}, pods{on("D", 1, 0), on("C", 1, 0)}, []float64{0, 0, 1}},
	} {
		if diff := cmp.Diff(tt.want, Traffic(binding, tt.plan, tt.current), cmpopts.EquateApprox(0, 1e-9)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Whatever is planned and ready: shares add up to 1, nobody without a ready replica gets any, and who is planned and ready gets some. A replica more
// that becomes ready of those planned never takes requests from its variant. Weights are as near as whole numbers can be, and steady.
func TestTrafficAlways(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	types := []string{"A", "B1", "B2", "C"}
	for range 20_000 {
		var plan []jsonspec.AllocationPart
		var current []jsonspec.ObservedPart
		ready, planned := make([]int, 3), make([]int, 3)
		of := map[string]int{"A": 0, "B1": 1, "B2": 1, "C": 2}
		for _, a := range types {
			if n := random.IntN(5); n > 0 {
				plan = append(plan, split(a, n, float64(n)*(0.2+random.Float64())))
				planned[of[a]] += n
			}
			if n := random.IntN(5); n > 0 {
				current = append(current, on(a, n, 0))
				ready[of[a]] += n
			}
		}
		shares := Traffic(binding, plan, current)
		if (shares == nil) != (len(current) == 0) {
			t.Fatalf("of %v, ready %v: %v", plan, current, shares)
		}
		if shares == nil {
			continue
		}
		if math.Abs(total(shares)-1) > 1e-9 {
			t.Fatalf("of %v, ready %v: %v do not add up to 1", plan, current, shares)
		}
		for i, s := range shares {
			if !(s >= 0) || s > 0 && ready[i] == 0 {
				t.Fatalf("of %v, ready %v: %v", plan, current, shares)
			}
		}
		for _, sum := range []int{Thousandths, 12_345, 1_000_000} {
			weights := Weights(shares, sum)
			got := 0
			for i, w := range weights {
				got += w
				if math.Abs(float64(w)-shares[i]*float64(sum)) > 1+1e-6 || shares[i] == 0 && w != 0 {
					t.Fatalf("weights %v of %v", weights, shares)
				}
			}
			if got != sum || Noticeable(weights, Weights(shares, Thousandths)) && sum == Thousandths {
				t.Fatalf("weights %v of %v", weights, shares)
			}
		}
		for _, p := range plan {
			if n := ReadyBy(current)[p.Accelerator]; n < p.Replicas {
				more := append(append([]jsonspec.ObservedPart{}, current...), on(p.Accelerator, 1, 0))
				if i := of[p.Accelerator]; Traffic(binding, plan, more)[i] < shares[i]-1e-9 {
					t.Fatalf("of %v, ready %v: one more on %s has %v after %v", plan, current, p.Accelerator, Traffic(binding, plan, more), shares)
				}
			}
		}
	}
}

func TestNoticeable(t *testing.T) {
	for _, tt := range []struct {
		have, want []int
		is         bool
	}{
		{[]int{500, 500}, []int{510, 490}, false},
		{[]int{500, 500}, []int{540, 460}, true},
		{[]int{1, 1}, []int{500, 500}, false}, // as a user wrote it
		{[]int{1, 1}, []int{600, 400}, true},
		{[]int{1000, 0}, []int{999, 1}, true}, // some instead of none
		{[]int{999, 1}, []int{1000, 0}, true},
		{[]int{980, 20}, []int{990, 10}, true}, // half of it
		{[]int{980, 20}, []int{979, 21}, false},
		{[]int{0, 0}, []int{500, 500}, true},
		{[]int{600_000, 400_000}, []int{600, 400}, false},
	} {
		if got := Noticeable(tt.have, tt.want); got != tt.is {
			t.Errorf("%v → %v is noticeable: %v", tt.have, tt.want, got)
		}
	}
}
