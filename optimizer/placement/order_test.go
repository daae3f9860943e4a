package placement

import "testing"

func TestHarm(t *testing.T) {
	for _, tt := range []struct{ free, request, capacity, want int64 }{
		{8, 1, 8, 2 + 4 + 8}, // breaks into a whole node
		{7, 1, 8, 0},         // three pairs and a four remain
		{6, 1, 8, 2},
		{5, 1, 8, 0},
		{4, 1, 8, 2 + 4},
		{3, 1, 8, 0},
		{2, 1, 8, 2},
		{1, 1, 8, 0},
		{8, 4, 8, 8},
		{4, 4, 8, 0},
		{8, 2, 8, 4 + 8},
		{6, 2, 8, 0},
		{8, 8, 8, 0},
		{4, 1, 4, 2 + 4}, // no slot of eight on a node of four
		{1, 1, 1, 0},
		{0, 0, 0, 0},
		{8, 0, 8, 0},
		{0, 1, 8, 0}, // does not fit; Filter says so
	} {
		if got := HarmOf(tt.free, tt.request, tt.capacity); got.Lost != tt.want || got.Left != tt.free-tt.request {
			t.Errorf("HarmOf(free %d, request %d, capacity %d) = %+v, want %d slots lost", tt.free, tt.request, tt.capacity, got, tt.want)
		}
	}
}
