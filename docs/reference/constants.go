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

// tunedFolders are where the numbers are that stand between a measured rate and a replica count. Each of them has its mark: one without is a fault.
var tunedFolders = []string{"optimizer"}

// untunedFolders are those below them that only play or show what is decided.
var untunedFolders = []string{"optimizer/evaluation", "optimizer/localcluster"}

// constantsPage lists the constants whose comment has a line
//
//	// Tuned: UNIT; SOURCE; at half: EFFECT; at twice: EFFECT
//
// where SOURCE begins with "derived from", "measured by" or "option", or with "guard against", which needs no effects: what it keeps out is no
// load. UNIT may be "1" for a number without one. The comment before that line says what the constant does. The line may go on over several
// lines, to the end of the comment. A number that is as it is, such as the seconds of an hour, is not tuned; its comment has a line
//
//	// Exact: REASON
func constantsPage(root string) (string, error) {
	m := newMarkdown("Tuned constants", `Numbers that decisions depend on and that no law of nature gives: each
with its unit, where it is from, and what happens over the scenarios at half and at twice its value. Of forecasts that is the pinball loss of the
0.9 quantile on the production trace, as a share of that of persistence times the quantile of its own ratios: 0.70 at 10 minutes, 0.70 at half an
hour and 0.67 at two hours.

Of other numbers it is the share of requests that are served as promised, and the cost, in the scenarios ramp, short and flash-crowd: 99.4 % at
1582 ¢/h, 99.6 % at 848 ¢/h and 99.6 % at 1168 ¢/h. "No difference" means the same figures. A cost is the outcome of one course of events: which
accelerator a server happens to settle on moves it by up to a sixth, whatever was changed, so that only what is larger says something of a number.

Of solving it is what is served, its value, the gap and the work that is counted, over eight fleets of instances.Fleet from 50 to 5000 servers, the
last of them twice, the second time with its prices known. Where a search ends by its work, as for 600 servers, some more or fewer are served
whatever is changed.

Numbers that stand within a function are tolerances, steps and bounds of numerical methods, at which results no longer change.

A guard keeps out what is no load, or what an overflow or a mistake would make of one. Nothing that is one comes near it.`)
	var faults []error
	for _, top := range tunedFolders {
		folders, err := sourceFolders(root, top)
		if err != nil {
			return "", err
		}
		for _, dir := range folders {
			if slices.ContainsFunc(untunedFolders, func(f string) bool { return strings.HasPrefix(dir+"/", f+"/") }) {
				continue
			}
			src, err := readSource(root, dir)
			if err != nil {
				return "", err
			}
			tuned, err := tunedIn(src)
			faults = append(faults, err, unmarked(src))
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

const (
	tunedMark = "Tuned:"
	exactMark = "Exact:"
)

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

// unmarked joins a fault for each number of a package that has neither mark.
func unmarked(s *source) error {
	var faults []error
	for _, c := range specs[*ast.ValueSpec](s) {
		if slices.ContainsFunc(c.spec.Values, isNumber) && !strings.Contains(c.doc, tunedMark) && !strings.Contains(c.doc, exactMark) {
			faults = append(faults, fmt.Errorf("%s: %s has no source, must have a comment with %s or %s",
				s.set.Position(c.spec.Pos()), c.spec.Names[0].Name, tunedMark, exactMark))
		}
	}
	return errors.Join(faults...)
}

// isNumber tells whether an expression is a number that is written out, be it of a unit: 3, -1 << 4, 30 * time.Second. len(list) - 1 is none.
func isNumber(e ast.Expr) bool {
	switch v := e.(type) {
	case *ast.BasicLit:
		return v.Kind == token.INT || v.Kind == token.FLOAT
	case *ast.ParenExpr:
		return isNumber(v.X)
	case *ast.UnaryExpr:
		return isNumber(v.X)
	case *ast.BinaryExpr:
		_, called := v.X.(*ast.CallExpr)
		return !called && (isNumber(v.X) || isNumber(v.Y))
	}
	return false
}

// sources that a constant can have.
var sources = []string{"derived from ", "measured by ", "option ", guard}

const guard = "guard against "

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
			t.source = strings.TrimSuffix(p, ".")
		default:
			faults = append(faults, fmt.Errorf("%s %q is not allowed, must be a source (derived from, measured by, option, guard against), at half or at twice", tunedMark, p))
		}
	}
	guards := strings.HasPrefix(t.source, guard)
	for _, f := range []struct{ what, value string }{{"a source", t.source}, {"at half", t.half}, {"at twice", t.twice}} {
		if f.value == "" && !guards {
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
