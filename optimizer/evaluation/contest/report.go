package contest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
)

// WriteReport draws a contest into a folder and writes the series behind the pictures, as CSV.
func WriteReport(folder string, f *policy.Fleet, r *Result) error {
	faults := []error{DrawCost(folder, f.Scenario.Name, r), DrawSeries(filepath.Join(folder, f.Scenario.Name+"-series.svg"), f, r.Outcomes)}
	for _, o := range r.Outcomes {
		if o.reports != nil {
			faults = append(faults, writeSeries(filepath.Join(folder, fmt.Sprintf("%s-%s.csv", f.Scenario.Name, label(o))), o))
		}
	}
	return errors.Join(faults...)
}

// Words lists numbers by name, each times a factor.
func Words(by map[string]float64, factor float64, format string) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(by)) {
		words = append(words, name+" "+fmt.Sprintf(format, factor*by[name]))
	}
	return strings.Join(words, ", ")
}

// label of an outcome, usable in a file name.
func label(o *Outcome) string {
	if o.Tuned() {
		return o.Policy + "-tuned"
	}
	return o.Policy
}

func writeSeries(file string, o *Outcome) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(serving.WriteCSV(out, o.reports), out.Close())
}
