package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// What is said to be held is held by a test that is there.
func TestEveryRowHasItsTest(t *testing.T) {
	text, err := os.ReadFile("../security.md")
	if err != nil {
		t.Fatal(err)
	}
	defined := map[string]string{} // the text of the file that each is in
	if err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(source, -1) {
			defined[string(m[1])] += string(source)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| what ") || strings.HasPrefix(line, "| row ") {
			continue
		}
		cells := strings.Split(strings.TrimSpace(line), " | ")
		tests := regexp.MustCompile("`(Test\\w+)(?:/([^`]+))?`").FindAllStringSubmatch(cells[len(cells)-1], -1)
		if rows++; len(tests) == 0 {
			t.Errorf("no test: %s", line)
		}
		for _, m := range tests {
			source, is := defined[m[1]]
			if !is || m[2] != "" && !strings.Contains(source, strconv.Quote(m[2])) {
				t.Errorf("%s is no test: %s", m[0], line)
			}
		}
	}
	if rows < 15 {
		t.Errorf("%d rows were found", rows)
	}
}
