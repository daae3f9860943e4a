// Command reference writes the references in this folder from the code: what resources, plugs, metrics, commands and tuned constants there are.
// make generate runs it, so that make verify fails where a page is older than the code. It lies beside what it writes, as the generator of the
// dashboard does.
//
// A page more is an entry in pages: a file, and a function from the root of the repository to Markdown.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// page of the reference.
type page struct {
	file  string
	write func(root string) (string, error)
}

var pages = []page{
	{"api.md", apiPage},
	{"options.md", optionsPage},
	{"metrics.md", metricsPage},
	{"cli.md", cliPage},
	{"constants.md", constantsPage},
}

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

// run writes all pages; the error joins the faults of all.
func run(root string) error {
	var faults []error
	for _, p := range pages {
		text, err := p.write(root)
		if err == nil {
			err = os.WriteFile(filepath.Join(root, "docs", "reference", p.file), []byte(text), 0o644)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", p.file, err))
		}
	}
	return errors.Join(faults...)
}

const generated = "<!-- Written by docs/reference; make generate writes it anew. -->\n\n"

// markdown is a page under construction.
type markdown struct{ strings.Builder }

func newMarkdown(title, about string) *markdown {
	m := new(markdown)
	m.WriteString(generated)
	m.printf("# %s\n\n%s\n", title, about)
	return m
}

func (m *markdown) printf(format string, args ...any) { fmt.Fprintf(m, format, args...) }

// table with a header; cells are made safe for Markdown.
func (m *markdown) table(header []string, rows [][]string) {
	m.printf("\n| %s |\n|%s\n", strings.Join(header, " | "), strings.Repeat("---|", len(header)))
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, c := range row {
			cells[i] = cell(c)
		}
		m.printf("| %s |\n", strings.Join(cells, " | "))
	}
}

// cell of a table: one line, and no bar that would end it.
func cell(text string) string {
	return cmp.Or(strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`), "–")
}

// code is text as code; empty stays empty.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}
