package main

import "testing"

func TestHeapLimit(t *testing.T) {
	for _, c := range []struct{ limit, program, want int64 }{{240, 60, 180}, {100, 60, 50}, {100, 200, 50}, {100, 0, 100}} {
		if got := heapLimit(c.limit, c.program); got != c.want {
			t.Errorf("of %d with a program of %d: %d, want %d", c.limit, c.program, got, c.want)
		}
	}
}
