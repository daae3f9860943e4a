package main

import "testing"

// TestSizedRatesAreThoseMeasured sizes for what was measured. At low load latencies hardly depend on the rate, so that an error of 1 % in an
// ITL moves the answer by tens of percent: those runs are logged but not judged. Where arrivals are bursty a run of 1,500 requests has its own
// luck: the rate at which its P90 of TTFT would be the expected one scatters by a tenth (CV 2, load 0.8), so that the median of eight runs is
// judged by one and a half times what holds elsewhere.
func TestSizedRatesAreThoseMeasured(t *testing.T) {
	all, err := sheets("../data")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		for _, cv := range s.cvs() {
			byLoad, err := s.capacities(cv)
			if err != nil {
				t.Fatal(err)
			}
			for load, errs := range byLoad {
				t.Logf("%s, CV %v, load %v: %d runs, median error %.3f", s.name, cv, load, len(errs), median(errs))
				most := 0.08
				if cv > 1 {
					most = 0.12
				}
				if m := median(errs); load >= 0.7 && m > most {
					t.Errorf("%s, CV %v, load %v: sized rates are off by %.1f %% (median), want at most %.0f %%", s.name, cv, load, 100*m, 100*most)
				}
			}
		}
	}
}
