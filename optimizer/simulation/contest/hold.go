package contest

import (
	"github.com/llm-inferno/inferno/optimizer/simulation/policy"
)

// Hold a contest: each policy with its defaults.
func Hold(f *policy.Fleet, entries []*policy.Entry) ([]*Outcome, error) {
	var outcomes []*Outcome
	for _, e := range entries {
		outcome, err := Run(f, e, nil)
		if err != nil {
			return nil, err
		}
		outcomes = append(outcomes, outcome)
	}
	return outcomes, nil
}
