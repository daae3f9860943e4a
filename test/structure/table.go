package main

import (
	"fmt"
	"slices"
	"strings"
)

// Marks that the table stands between.
const (
	begin = "<!-- packages: begin (make generate writes this) -->\n"
	end   = "<!-- packages: end -->"
)

// rooms of several packages that have one line: what is in them is of no interest to the others.
var rooms = map[string]string{
	"cmd/inferno":               "the command line and kubectl plugin",
	"cmd/inferno-adapter":       "the metrics adapter's program",
	"cmd/inferno-optimizer":     "the loop's program",
	"cmd/inferno-scheduler":     "kube-scheduler with the plugin",
	"docs/contributing":         "how to add an implementation, with tests that follow the steps",
	"manifests":                 "CRDs, RBAC, Deployments, APIServices, samples",
	"metricsadapter":            "external and custom metrics over the plan",
	"optimizer/solver/internal": "linear programs of choices, branch and bound",
	"test/e2e":                  "tests of the whole on a local control plane",
	"test/node":                 "tests of an installation on a real node, this machine",
	"plugins":                   "the scheduler plugin and its versioned arguments",
}

// withTable is the document with the table as the packages are.
func withTable(document string, house []pkg) (string, error) {
	head, rest, ok := strings.Cut(document, begin)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", fmt.Errorf("the marks %q and %q are missing", strings.TrimSpace(begin), end)
	}
	return head + begin + table(house) + end + tail, nil
}

// table of rooms and packages: what each knows, and what of ours it imports.
func table(house []pkg) string {
	knows, imports := map[string]string{}, map[string]map[string]bool{}
	var order []string
	for _, p := range house {
		r := roomOf(p.Path)
		if imports[r] == nil {
			order = append(order, r)
			imports[r] = map[string]bool{}
			knows[r] = synopsis(p)
		}
		for _, o := range p.Ours {
			if other := roomOf(o); other != r {
				imports[r][other] = true
			}
		}
	}
	var b strings.Builder
	b.WriteString("| folder | knows | imports of ours |\n|---|---|---|\n")
	for _, r := range order {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r, strings.ReplaceAll(knows[r], "|", `\|`), names(imports[r]))
	}
	return b.String()
}

// roomOf a package is the folder whose line it is in.
func roomOf(path string) string {
	for r := range rooms {
		if below(path, r) {
			return r
		}
	}
	return path
}

// synopsis of a package: the first sentence of its comment without the beginning that Go asks for.
func synopsis(p pkg) string {
	if text, ok := rooms[roomOf(p.Path)]; ok {
		return text
	}
	text := strings.TrimSuffix(p.Doc, ".")
	for _, prefix := range []string{"Package ", "Command "} {
		if rest, ok := strings.CutPrefix(text, prefix); ok {
			_, text, _ = strings.Cut(rest, " ")
		}
	}
	return text
}

// names of rooms, short: those of the optimizer without the folder they are all in.
func names(of map[string]bool) string {
	var all []string
	for r := range of {
		all = append(all, strings.TrimPrefix(r, "optimizer/"))
	}
	slices.Sort(all)
	if len(all) == 0 {
		return "–"
	}
	return strings.Join(all, ", ")
}
