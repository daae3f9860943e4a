// Package contributing holds the pages that say how to add an implementation, and tests that follow their steps.
package contributing_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	block  = regexp.MustCompile("(?s)```(?:go|yaml)\n(.*?)```")
	folder = regexp.MustCompile("`((?:optimizer|test|docs|cmd|manifests)/[A-Za-z0-9_./-]+)`")
)

// The code on the pages is that of the tests beside them, and the files that they name are there.
func TestPages(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil || len(pages) < 7 {
		t.Fatalf("pages %v, %v", pages, err)
	}
	tests := ""
	files, _ := filepath.Glob("*_test.go")
	for _, f := range files {
		tests += read(t, f)
	}
	for _, page := range append(pages, "../../CONTRIBUTING.md") {
		text := read(t, page)
		for _, m := range block.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(tests, m[1]) {
				t.Errorf("%s: no test has this code:\n%s", page, m[1])
			}
		}
		for _, m := range folder.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("..", "..", m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
