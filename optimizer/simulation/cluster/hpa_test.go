package cluster

import "testing"

func TestHPARecommends(t *testing.T) {
	h := DefaultHPA()
	for _, c := range []struct {
		name     string
		values   []float64
		target   float64
		replicas int
		unready  int
		want     int
	}{
		{"at the target", []float64{10, 10}, 10, 2, 0, 2},
		{"within the tolerance", []float64{10.9, 10.9}, 10, 2, 0, 2},
		{"above", []float64{15, 15}, 10, 2, 0, 3},
		{"below", []float64{2, 3}, 10, 2, 0, 1},
		{"pods that start count as idle", []float64{20, 20}, 10, 4, 2, 4},
		{"but more load than they will take is more", []float64{60, 60}, 10, 4, 2, 12},
		{"nothing measured changes nothing", nil, 10, 3, 3, 3},
	} {
		if got := h.Average(c.values, c.target, c.replicas, c.unready); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	if got := h.Total(35, 10, 3); got != 4 {
		t.Errorf("35 at 10 each: %d, want 4", got)
	}
	if got := h.Total(32, 10, 3); got != 3 {
		t.Errorf("32 at 10 each, 3 there: %d, want 3, within the tolerance", got)
	}
}

func TestHPAStabilisesAndLimits(t *testing.T) {
	h := DefaultHPA()
	if got := h.Sync(0, 10, 100); got != 20 {
		t.Fatalf("from 10 to %d at once, want 20: 100 %% in 15 s", got)
	}
	if got := h.Sync(5, 20, 100); got != 20 {
		t.Errorf("within the period to %d, want 20", got)
	}
	if got := h.Sync(15, 20, 100); got != 40 {
		t.Errorf("in the next period to %d, want 40", got)
	}
	h = DefaultHPA()
	h.Sync(0, 10, 10)
	if got := h.Sync(299, 10, 2); got != 10 {
		t.Errorf("down to %d within five minutes of a need of 10", got)
	}
	if got := h.Sync(301, 10, 2); got != 2 {
		t.Errorf("down to %d after it, want 2", got)
	}
	h = HPA{UpPods: 4, UpPercent: 100, DownPercent: 100, Period: 15, UpStabilisation: 60}
	if got := h.Sync(0, 1, 1); got != 1 {
		t.Fatal(got)
	}
	if got := h.Sync(30, 1, 5); got != 1 {
		t.Errorf("up to %d within the window of a recommendation of 1", got)
	}
	if got := h.Sync(75, 1, 5); got != 5 {
		t.Errorf("up to %d after it, want 5", got)
	}
}
