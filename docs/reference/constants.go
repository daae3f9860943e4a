package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/printer"
	"go/token"
	"slices"
	"strings"
)

// tunedFolders are where the numbers are that stand between a measured rate and a replica count.
var tunedFolders = []string{"optimizer"}

// constantsPage lists the constants whose comment has a line
//
//	// Tuned: UNIT; SOURCE; at half: EFFECT; at twice: EFFECT
//
// where SOURCE begins with "derived from", "measured by" or "option". UNIT may be "1" for a number without one. The comment before that line
// says what the constant does. The line may go on over several lines, to the end of the comment.
func constantsPage(root string) (string, error) {
	m := newMarkdown("Tuned constants", `Numbers that decisions depend on and that no law of nature gives: each
with its unit, where it is from, and what happens over the scenarios at half and at twice its value. Of forecasts that is the pinball loss of the
0.9 quantile on the production trace, as a share of that of persistence times the quantile of its own ratios: 0.70 at 10 minutes, 0.70 at half an
hour and 0.67 at two hours.`)
	var faults []error
	for _, top := range tunedFolders {
		folders, err := sourceFolders(root, top)
		if err != nil {
			return "", err
		}
		for _, dir := range folders {
			src, err := readSource(root, dir)
			if err != nil {
				return "", err
			}
			tuned, err := tunedIn(src)
			faults = append(faults, err)
			if len(tuned) > 0 {
				m.printf("\n## %s\n", dir)
				m.table([]string{"constant", "value", "unit", "what it does", "source", "at half", "at twice"}, rowsOf(tuned))
			}
		}
	}
	return m.String(), errors.Join(faults...)
}

// tuned is a constant with what its comment says of it.
type tuned struct{ name, value, unit, does, source, half, twice string }

func rowsOf(all []tuned) [][]string {
	var rows [][]string
	for _, t := range all {
		rows = append(rows, []string{code(t.name), code(t.value), t.unit, t.does, t.source, t.half, t.twice})
	}
	return rows
}

const tunedMark = "Tuned:"

// tunedIn are the constants and variables of a package that are marked; the error joins the faults of all marks, each with its place.
func tunedIn(s *source) ([]tuned, error) {
	var all []tuned
	var faults []error
	for _, c := range specs[*ast.ValueSpec](s) {
		does, mark, ok := strings.Cut(c.doc, tunedMark)
		if !ok {
			continue
		}
		t, err := parseTuned(mark)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", s.set.Position(c.spec.Pos()), err))
			continue
		}
		t.does = strings.TrimSpace(does)
		for i, n := range c.spec.Names {
			t.name, t.value = n.Name, ""
			if i < len(c.spec.Values) {
				t.value = expression(s.set, c.spec.Values[i])
			}
			all = append(all, t)
		}
	}
	return all, errors.Join(faults...)
}

// sources that a constant can have.
var sources = []string{"derived from ", "measured by ", "option "}

// parseTuned reads what follows the mark; the error joins all that is missing or wrong.
func parseTuned(mark string) (tuned, error) {
	var t tuned
	var faults []error
	parts := strings.Split(strings.Join(strings.Fields(mark), " "), ";")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	if t.unit = parts[0]; t.unit == "" {
		faults = append(faults, fmt.Errorf("%s the unit is missing; 1 where there is none", tunedMark))
	}
	for _, p := range parts[1:] {
		half, isHalf := strings.CutPrefix(p, "at half:")
		twice, isTwice := strings.CutPrefix(p, "at twice:")
		switch {
		case isHalf:
			t.half = strings.TrimSpace(half)
		case isTwice:
			t.twice = strings.TrimSuffix(strings.TrimSpace(twice), ".")
		case t.source == "" && slices.ContainsFunc(sources, func(s string) bool { return strings.HasPrefix(p, s) }):
			t.source = p
		default:
			faults = append(faults, fmt.Errorf("%s %q is not allowed, must be a source (derived from, measured by, option), at half or at twice", tunedMark, p))
		}
	}
	for _, f := range []struct{ what, value string }{{"a source", t.source}, {"at half", t.half}, {"at twice", t.twice}} {
		if f.value == "" {
			faults = append(faults, fmt.Errorf("%s %s is missing", tunedMark, f.what))
		}
	}
	return t, errors.Join(faults...)
}

// expression as it is written.
func expression(set *token.FileSet, e ast.Expr) string {
	var b strings.Builder
	if err := printer.Fprint(&b, set, e); err != nil {
		return ""
	}
	return b.String()
}
