package estimation_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/estimation/recording"
)

// Real runs, from parameters 1.5 to 2 times wrong: the mean error of ITL one step ahead after the first five cycles, with the number of
// running requests as measured, and without it, when the batch follows from arrivals.
func TestRealRuns(t *testing.T) {
	files, err := filepath.Glob("../../test/data/experiments/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no runs: %v", err)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		records, err := recording.Read(file, f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name    string
			running bool
			most    float64
		}{{"batch measured", true, 0.04}, {"arrivals only", false, 0.10}} {
			p := newPupil(t, estimation.EstimatorEKF, law{16, 0.084, 2.9e-5}.performance())
			sum, n := 0.0, 0.0
			for i, r := range records {
				o := r.Observation
				if !c.running {
					o.Running = math.NaN()
				}
				j := p.sees(o)
				if e := math.Abs(math.Expm1(-j.InnovationITL)); i >= 5 && !math.IsNaN(e) {
					sum += e
					n++
				}
			}
			t.Logf("%s, %s: %.1f %%", filepath.Base(file), c.name, 100*sum/n)
			if sum/n > c.most || n < 10 {
				t.Errorf("%s, %s: ITL is off by %.1f %% over %v cycles, must be at most %.0f %%", filepath.Base(file), c.name, 100*sum/n, n, 100*c.most)
			}
		}
	}
}
