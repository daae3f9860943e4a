package restapi

import (
	"net/http"

	"github.com/llm-inferno/inferno/optimizer/analysis"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// QueueAnalysis answers the endpoints of llm-inferno's queue-analysis by a queueing model.
func QueueAnalysis(m queueing.Model) http.Handler {
	s := newService()
	for _, operation := range []string{analysis.OperationSolve, analysis.OperationTarget, analysis.OperationOptimize} {
		s.handle("POST /"+operation, func(r *http.Request) (any, error) {
			var q analysis.Question
			if err := object(r, &q); err != nil {
				return nil, err
			}
			return q.Answer(m, operation)
		})
	}
	return s.mux
}
