package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/estimation/recording"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// longestCycle bounds a line of a decision log: a cycle of a large fleet.
const longestCycle = 256 << 20

// readObservations reads observations from a file of them, or from the decision log of inferno's own loop, whose lines hold a system.
func readObservations(name string, in io.Reader) ([]recording.Record, error) {
	r := bufio.NewReader(in)
	if !isDecisionLog(r) {
		return recording.Read(name, r)
	}
	var records []recording.Record
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, longestCycle)
	var faults []error
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var snap specification.Snapshot
		if err := json.Unmarshal(lines.Bytes(), &snap); err != nil {
			faults = append(faults, fmt.Errorf("%s:%d: %w", name, n, err))
			continue
		}
		records = append(records, observationsOf(&snap, n)...)
	}
	if err := lines.Err(); err != nil {
		faults = append(faults, fmt.Errorf("%s: %w", name, err))
	}
	if len(records) == 0 && len(faults) == 0 {
		faults = append(faults, fmt.Errorf("%s: holds no observation of replicas that were there for a whole window", name))
	}
	return records, errors.Join(faults...)
}

// isDecisionLog looks at the beginning of the first line without taking it: the loop writes the id of the cycle first.
func isDecisionLog(r *bufio.Reader) bool {
	const enough = 4096
	head, _ := r.Peek(enough) // a shorter file is read in whole
	line, _, _ := strings.Cut(strings.TrimSpace(string(head)), "\n")
	return strings.HasPrefix(line, `{"id":`) && strings.Contains(line, `"system":`)
}

// observationsOf a cycle, by model and accelerator, then in the order of the servers.
func observationsOf(snap *specification.Snapshot, line int) []recording.Record {
	seen := control.Observations(snap.Core())
	pairs := slices.SortedFunc(maps.Keys(seen), func(a, b control.Pair) int {
		return cmp.Or(strings.Compare(a.Model, b.Model), strings.Compare(a.Accelerator, b.Accelerator))
	})
	var records []recording.Record
	for _, p := range pairs {
		for _, o := range seen[p] {
			records = append(records, recording.Record{Line: line, Model: p.Model, Accelerator: p.Accelerator, Observation: o})
		}
	}
	return records
}
