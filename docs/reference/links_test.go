package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// eachPage calls for every page of the repository.
func eachPage(t *testing.T, visit func(path, text string)) {
	t.Helper()
	if err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "out") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			text, err := os.ReadFile(path)
			visit(path, string(text))
			return err
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// What a page leads to is there.
func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)
	code := regexp.MustCompile("`[^`\n]*`") // such as a pattern, which may look like a link
	n := 0
	eachPage(t, func(path, text string) {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			n++
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s leads to %s, which is not there", path, m[1])
			}
		}
	})
	if n < 20 {
		t.Errorf("%d links were found", n)
	}
}

// A value that a page says to set is one of the chart's.
func TestPagesNameValuesOfTheChart(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, "manifests/chart/values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := yaml.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	// After --set, or in code by a name that begins as one of the chart's does.
	var parts []string
	for part := range schema["properties"].(map[string]any) {
		parts = append(parts, part)
	}
	named := regexp.MustCompile("--set(?:-string)? ([A-Za-z][A-Za-z.]+)=|`((?:" + strings.Join(parts, "|") + ")\\.[A-Za-z.]+)(?:[=:][^`]*)?`")
	n := 0
	eachPage(t, func(path, text string) {
		if filepath.Dir(path) != filepath.Join(root, "docs") && filepath.Base(path) != "README.md" {
			return
		}
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			value := m[1] + m[2]
			if strings.HasSuffix(value, ".yaml") { // a file
				continue
			}
			n++
			at := schema
			for _, key := range strings.Split(value, ".") {
				properties, _ := at["properties"].(map[string]any)
				next, found := properties[key].(map[string]any)
				if !found {
					if _, open := at["additionalProperties"].(map[string]any); !open && at["properties"] != nil {
						t.Errorf("%s names the value %s, which the chart does not have", path, value)
					}
					break
				}
				at = next
			}
		}
	})
	if n < 20 {
		t.Errorf("%d values were found", n)
	}
}
