package main

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"
)

const (
	// columns of a terminal that every table fits.
	columns = 120
	// gap between two columns.
	gap = 2
)

// table takes lines whose cells are separated by tabs, and writes them in columns at its end. Where they would be wider than a terminal the widest are narrowed,
// and what they hold goes on in further lines, between words where it can: nothing is left out. Indentation of a line is part of its first cell.
type table struct {
	out  io.Writer
	text bytes.Buffer
	// widths of the columns as last written.
	widths []int
}

func newTable(out io.Writer) *table { return &table{out: out} }

func (t *table) Write(data []byte) (int, error) { return t.text.Write(data) }

// Flush writes what was written to the table, and empties it.
func (t *table) Flush() error {
	t.widths = nil
	return t.More()
}

// More writes further lines, in columns that are at least as wide as those before.
func (t *table) More() error {
	var rows [][]string
	for line := range strings.Lines(t.text.String()) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	t.text.Reset()
	t.measure(rows)
	var out strings.Builder
	for _, row := range rows {
		t.row(&out, row)
	}
	_, err := io.WriteString(t.out, out.String())
	return err
}

// measure how wide columns are: as what they hold, but the widest no wider than lets all fit. Words are broken only where nothing else helps.
func (t *table) measure(rows [][]string) {
	var words []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(t.widths) {
				t.widths = append(t.widths, 0)
			}
			if i >= len(words) {
				words = append(words, 1)
			}
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
			for word := range strings.FieldsSeq(cell) {
				words[i] = max(words[i], utf8.RuneCountInString(word))
			}
		}
	}
	t.narrow(words)
	t.narrow(make([]int, len(t.widths)))
}

// narrow the widest columns, down to their least, until all fit or none can be narrowed.
func (t *table) narrow(least []int) {
	for over := t.width() - columns; over > 0; over = t.width() - columns {
		widest := -1
		for i, w := range t.widths {
			if i < len(least) && w > max(least[i], 1) && (widest < 0 || w > t.widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		t.widths[widest]--
	}
}

func (t *table) width() int {
	total := gap * (len(t.widths) - 1)
	for _, w := range t.widths {
		total += w
	}
	return total
}

// row writes a row in as many lines as the longest of its cells needs.
func (t *table) row(out *strings.Builder, cells []string) {
	parts, most := make([][]string, len(cells)), 1
	for i, cell := range cells {
		parts[i] = broken(cell, t.widths[i])
		most = max(most, len(parts[i]))
	}
	for n := range most {
		var line strings.Builder
		for i, part := range parts {
			text := ""
			if n < len(part) {
				text = part[n]
			}
			line.WriteString(text + strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(text)+gap))
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// broken into lines of a width: at the last space that fits, else where it ends.
func broken(s string, width int) []string {
	var lines []string
	for rest := []rune(s); ; {
		if len(rest) <= width {
			return append(lines, string(rest))
		}
		at, from := width, width
		for i := width; i > 0; i-- {
			if rest[i] == ' ' {
				at, from = i, i+1
				break
			}
		}
		lines, rest = append(lines, string(rest[:at])), rest[from:]
	}
}
