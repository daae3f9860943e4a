package seats

import (
	"strconv"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Annotations of a pod that takes the option. What the plan leaves to the engine (0) is not written, so that a default in the pod template
// stays.
func (o *Option) Annotations() map[string]string {
	a := map[string]string{v1alpha1.AcceleratorAnnotation: o.Label}
	if o.Part == nil {
		return a
	}
	if o.Part.MaxBatchSize > 0 {
		a[v1alpha1.MaxNumSeqsAnnotation] = strconv.Itoa(o.Part.MaxBatchSize)
	}
	if o.Part.MaxBatchedTokens > 0 {
		a[v1alpha1.MaxNumBatchedTokensAnnotation] = strconv.Itoa(o.Part.MaxBatchedTokens)
	}
	return a
}
