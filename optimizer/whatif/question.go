package whatif

import "github.com/llm-inferno/inferno/optimizer/api/jsonspec"

// Question is what a decision is asked for again with: other implementations of stages, by name, and changes of the system.
type Question struct {
	Solver     string   `json:"solver,omitempty"`
	QueueModel string   `json:"queueModel,omitempty"`
	Forecaster string   `json:"forecaster,omitempty"`
	Stability  string   `json:"stability,omitempty"`
	Changes    []string `json:"changes,omitempty"`
}

// Empty tells that nothing is asked that was not decided.
func (q *Question) Empty() bool {
	return q.Solver == "" && q.QueueModel == "" && q.Forecaster == "" && q.Stability == "" && len(q.Changes) == 0
}

// Apply makes a copy of the system that asks the question, and says each change. The error joins the faults of all changes; that a name is of no
// implementation is a fault of the stages that are made of it.
func (q *Question) Apply(s *jsonspec.System) (*jsonspec.System, []string, error) {
	changed, said, err := Ask(s, q.Changes)
	if err != nil {
		return nil, nil, err
	}
	p := &changed.Optimizer.Spec.Plugs
	for _, c := range []struct {
		name string
		plug **jsonspec.Plug
	}{{q.Solver, &p.Solver}, {q.QueueModel, &p.QueueModel}, {q.Forecaster, &p.Forecaster}, {q.Stability, &p.Stability}} {
		if c.name != "" {
			*c.plug = &jsonspec.Plug{Name: c.name}
			said = append(said, c.name)
		}
	}
	return changed, said, nil
}
