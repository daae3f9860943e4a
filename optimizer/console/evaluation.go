package console

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Outcome of a policy on a scenario, as evaluations write it down.
type Outcome struct {
	Scenario string `json:"scenario"`
	Policy   string `json:"policy"`
	Settings string `json:"settings,omitempty"`
	// Attainment of both targets, and of each, 0 to 1.
	Both float64 `json:"attainment"`
	TTFT float64 `json:"attainmentTTFT"`
	ITL  float64 `json:"attainmentITL"`
	// Cost in cents per hour, and its ratio to the cheapest schedule that was found in hindsight.
	Cost      float64  `json:"costPerHour"`
	ToOracle  *float64 `json:"toOracle,omitempty"`
	Peak      int      `json:"peakReplicas"`
	Changes   int      `json:"changes"`
	Reversals int      `json:"reversals"`
	Dropped   int      `json:"dropped"`
	TimedOut  int      `json:"timedOut"`
}

// Played is a scenario under all policies.
type Played struct {
	Name     string    `json:"name"`
	Outcomes []Outcome `json:"outcomes"`
	// Pictures by name, to be had below /picture/.
	Pictures []string `json:"pictures"`
}

func (s *server) evaluation(*request) (any, error) {
	if s.Evaluation == nil {
		return nil, notFound{fmt.Errorf("this console has no evaluation: inferno console has")}
	}
	return readEvaluation(s.Evaluation)
}

func readEvaluation(from fs.FS) ([]Played, error) {
	data, err := fs.ReadFile(from, "results.json")
	if err != nil {
		return nil, err
	}
	var results map[string]struct{ Outcomes []Outcome }
	if err := json.Unmarshal(data, &results); err != nil {
		return nil, fmt.Errorf("results.json: %w", err)
	}
	list := []Played{}
	for name, r := range results {
		p := Played{Name: name, Outcomes: r.Outcomes, Pictures: []string{}}
		for _, picture := range []string{name + "-series.svg", name + "-cost.svg"} {
			if _, err := fs.Stat(from, picture); err == nil {
				p.Pictures = append(p.Pictures, picture)
			}
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b Played) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// pictures are the SVG of a folder and nothing else of it.
type pictures struct{ fs.FS }

func (p pictures) Open(name string) (fs.File, error) {
	if !strings.HasSuffix(name, ".svg") {
		return nil, fs.ErrNotExist
	}
	return p.FS.Open(name)
}
