package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// Whatever a table holds, it fits a terminal and leaves nothing out.
func TestTableFits(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var out bytes.Buffer
		w := newTable(&out)
		n := 1 + r.IntN(12)
		letters := map[rune]int{}
		for range 1 + r.IntN(8) {
			cells := make([]string, n)
			for i := range cells {
				for range r.IntN(90) {
					cells[i] += string([]rune("abcdé-/. ")[r.IntN(9)])
				}
				cells[i] = "x" + strings.TrimSpace(cells[i])
				for _, c := range cells[i] {
					letters[c]++
				}
			}
			fmt.Fprintln(w, strings.Join(cells, "\t"))
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if k := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); k > columns {
				t.Fatalf("%d columns:\n%s", k, &out)
			}
		}
		for _, c := range out.String() {
			letters[c]--
		}
		for c, left := range letters {
			if c != ' ' && c != '\n' && left != 0 {
				t.Fatalf("%d of %q are left out:\n%s", left, c, &out)
			}
		}
	}
}

// A table that is narrow enough is as narrow as what it holds, with two spaces between columns and none at the end of lines.
func TestNarrowTable(t *testing.T) {
	var out bytes.Buffer
	w := newTable(&out)
	fmt.Fprint(w, "NAME\tCOST ¢/h\tWHY\na\t1\tit is\nlonger\t\t\n")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if want := "NAME    COST ¢/h  WHY\na       1         it is\nlonger\n"; out.String() != want {
		t.Errorf("%q, want %q", &out, want)
	}
}

// Lines that come later keep the columns, so that what is watched stays in line.
func TestMoreLines(t *testing.T) {
	var out bytes.Buffer
	w := newTable(&out)
	fmt.Fprint(w, "NAME\tREADY\nlonger\t1\n")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, "a\t2\n")
	if err := w.More(); err != nil {
		t.Fatal(err)
	}
	if want := "NAME    READY\nlonger  1\na       2\n"; out.String() != want {
		t.Errorf("%q, want %q", &out, want)
	}
}
