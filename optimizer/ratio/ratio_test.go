package ratio_test

import (
	"slices"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/ratio"
)

// With fewer replicas no role grows, none has a replica that the others do not need, and each more that there may be takes nothing from any.
func TestWithin(t *testing.T) {
	for p := 1; p <= 9; p++ {
		for d := 1; d <= 13; d++ {
			before := []int{0, 0}
			for most := range p + d + 3 {
				got := ratio.Within([]int{p, d}, most)
				switch {
				case got[0]+got[1] > most || got[0] > p || got[1] > d:
					t.Fatalf("%d of %d + %d: %v", most, p, d, got)
				case got[0] < before[0] || got[1] < before[1]:
					t.Fatalf("%d of %d + %d: %v after %v", most, p, d, got, before)
				case (got[0] == 0) != (got[1] == 0):
					t.Fatalf("%d of %d + %d: %v serves nobody", most, p, d, got)
				case got[0] > 0 && ((got[0]-1)*d >= got[1]*p || (got[1]-1)*p >= got[0]*d):
					t.Fatalf("%d of %d + %d: of %v one is more than the other needs", most, p, d, got)
				}
				before = got
			}
			if !slices.Equal(before, []int{p, d}) {
				t.Fatalf("all of %d + %d are %v", p, d, before)
			}
		}
	}
	if got := ratio.Within([]int{10, 1}, 3); !slices.Equal(got, []int{2, 1}) {
		t.Errorf("3 of 10 + 1 are %v", got)
	}
}

// What grows beyond its need grows in its ratio, from wherever it is.
func TestGrow(t *testing.T) {
	for _, tt := range []struct {
		needed, have []int
		all          int
		want         []int
	}{
		{[]int{2, 4}, []int{2, 4}, 9, []int{3, 6}},
		{[]int{2, 4}, []int{2, 6}, 9, []int{3, 6}},
		{[]int{2, 4}, []int{2, 4}, 3, []int{2, 4}},
		{[]int{1, 0}, []int{1, 0}, 3, []int{3, 0}},
		{[]int{0, 0}, []int{0, 0}, 3, []int{0, 0}},
	} {
		if got := ratio.Grow(tt.needed, tt.have, tt.all); !slices.Equal(got, tt.want) {
			t.Errorf("%v of %v to %d: %v, want %v", tt.have, tt.needed, tt.all, got, tt.want)
		}
	}
}
