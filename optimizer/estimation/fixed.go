package estimation

import (
	"errors"
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Fixed trusts what was given and learns nothing; what another estimator learned is kept for it. It still says how well what was given
// predicts, and remembers whether it can be relied on.
type Fixed struct{}

// Estimate implements [Estimator].
func (Fixed) Estimate(given jsonspec.Performance, learned *v1alpha1.PairMemory, seen []Observation) (Estimate, error) {
	e := Estimate{Performance: given, Learned: learned}
	memory := &v1alpha1.PairMemory{Acc: given.Acc, Estimator: EstimatorFixed}
	if learned != nil {
		memory = learned.DeepCopy()
	}
	law, err := queueing.NewLaw(given)
	if err != nil && !errors.Is(err, queueing.ErrNoParameters) {
		return e, err
	}
	o := DefaultOptions()
	for i := range seen {
		j := unjudged("nothing is learned by the estimator " + EstimatorFixed)
		if r, err := seen[i].read(&o, nil); err != nil {
			j.Reason = oneLine(err)
		} else if law != nil {
			j.PredictedITL, j.PredictedTTFT = r.latencies(law)
			j.InnovationITL, j.InnovationTTFT = r.logITL-math.Log(j.PredictedITL), r.logTTFT-math.Log(j.PredictedTTFT)
			assess(memory, j.InnovationITL)
			e.Learned = memory
		}
		e.Judgements = append(e.Judgements, j)
	}
	return e, nil
}
