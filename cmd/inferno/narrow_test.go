package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// narrow fails where a line is wider than a terminal of 120 columns, unless it is one word that cannot be broken.
func narrow(t *testing.T, text string) {
	t.Helper()
	for _, line := range strings.Split(text, "\n") {
		if n := utf8.RuneCountInString(line); n > 120 && strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
