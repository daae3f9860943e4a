package advise

import (
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/estimation"
)

// A fit is checked on what tells of the law: a time in which requests waited or were preempted has the latencies of a queue, and is counted apart. What only
// surprises counts, however far off it is.
func TestQueuesDoNotCheckALaw(t *testing.T) {
	estimator, err := estimation.Estimators().New(estimation.Default, nil)
	if err != nil {
		t.Fatal(err)
	}
	given := jsonspec.Performance{Acc: "H100", AccCount: 1, MaxBatchSize: 256, DecodeParms: &jsonspec.DecodeParms{Alpha: 10, Beta: 0.1}, PrefillParms: &jsonspec.PrefillParms{Gamma: 20, Delta: 0.001}}
	const learned, checked = 40, 9
	var seen []estimation.Observation
	for i := range learned + checked {
		o := estimation.Unmeasured("a")
		running := 5 + float64(i%7)
		o.Time, o.Window, o.Replicas, o.Settled, o.Running, o.Waiting, o.Requests = float64(120*i), 120, 1, true, running, 0, 100
		o.ArrivalRate, o.Throughput, o.Admissions, o.Preemptions, o.InputTokens, o.OutputTokens = 1, 1, 1, 0, 500, 200
		o.ITL, o.TTFT = (10+0.1*running)*1e-3, (20+0.001*500*running)*1e-3
		switch i - learned {
		case 0, 1:
			o.Waiting, o.TTFT = 5, 60
		case 2, 3, 4, 5:
			o.Preemptions, o.ITL, o.TTFT = 0.5, 3*o.ITL, 60
		case 6:
			o.ITL *= 3
		}
		seen = append(seen, o)
	}
	f := Fit{Performance: given}
	if err := f.learn(estimator, seen, seen[learned-1].Time); err != nil {
		t.Fatal(err)
	}
	if f.Observations != learned || f.Checked != checked || f.ITLChecked != checked-4 || f.TTFTChecked != checked-6 {
		t.Errorf("%d learned, %d checked, ITL %d, TTFT %d of them", f.Observations, f.Checked, f.ITLChecked, f.TTFTChecked)
	}
	if f.ITLError == nil || f.TTFTError == nil || *f.ITLError > 0.01 || *f.TTFTError > 0.01 {
		t.Fatalf("off by %v and %v", f.ITLError, f.TTFTError)
	}
	most := 0.0
	for _, c := range f.ITL {
		most = max(most, math.Abs(c.Predicted/c.Measured-1))
	}
	if most < 0.5 {
		t.Errorf("an ITL of three times what is predicted is left out: the most is %.0f %% off", 100*most)
	}
}
