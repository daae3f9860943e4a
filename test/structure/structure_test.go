package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The house as it stands breaks no rule, and its table is current.
func TestHouse(t *testing.T) {
	if err := run("../..", false); err != nil {
		t.Error(err)
	}
}

// house of packages by path, with what each imports.
func house(imports map[string][]string) []pkg {
	var all []pkg
	for path, i := range imports {
		all = append(all, newPkg(module+path, "Package x knows a thing.", nil, i))
	}
	slices.SortFunc(all, func(a, b pkg) int { return strings.Compare(a.Path, b.Path) })
	return all
}

func said(t *testing.T, faults []error, wants ...string) {
	t.Helper()
	text := ""
	if err := errors.Join(faults...); err != nil {
		text = err.Error()
	}
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not said in %q", want, text)
		}
	}
	if len(faults) != len(wants) {
		t.Errorf("%d faults, want %d: %s", len(faults), len(wants), text)
	}
}

func TestCoreImports(t *testing.T) {
	said(t, coreImports(house(map[string][]string{
		"optimizer/sizing":  {"k8s.io/client-go/rest", "log/slog", module + "optimizer/loop"},
		"optimizer/new":     {"net/http", "net/url"},
		"optimizer/loop":    {"k8s.io/client-go/rest", module + "optimizer/sizing"},
		"optimizer/looping": {"math"},
	})), "optimizer/new: imports net/http, a client", "optimizer/sizing: imports k8s.io/client-go/rest, a client", "imports log/slog, a logger", "imports optimizer/loop, which reaches outside")
}

func TestShippedImports(t *testing.T) {
	said(t, shippedImports(house(map[string][]string{
		"cmd/inferno": {module + "test/demo"}, "test/demo": {module + "test/other"}, "manifests": {"embed"}, "optimizer/tested": {module + "optimizer/testing"},
	})), "cmd/inferno: imports test/demo, which does not ship")
}

// sample is a package of one file in a folder.
func sample(t *testing.T, text string) (string, pkg) {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "sample"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "sample", "a.go"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return root, pkg{Path: "sample", Files: []string{"a.go"}}
}

func TestConversions(t *testing.T) {
	root, p := sample(t, `package sample

const (
	day    = 24 * 60 * 60
	milli  = 1e-3
	second = 1 / milli
)

func f(x float64) float64 {
	const perMinute = 1.0 / 60
	x *= 1000
	y := x * perMinute
	y += milli * x
	y += 60 / x // sixty a second, no conversion
	y += x / second
	y += x * day * 600
	y += perMinute / x
	return y / 60.0
}
`)
	said(t, conversions(root, p), "a.go:11", "a.go:12", "a.go:13", "a.go:15", "a.go:17", "a.go:18")
}

func TestClocks(t *testing.T) {
	root, p := sample(t, `package sample

import "time"

func f() time.Duration {
	time.Sleep(time.Second)
	return time.Since(time.Now())
}
`)
	said(t, clocks(root, p), "time.Sleep", "time.Since", "time.Now")
}

func TestTable(t *testing.T) {
	text, err := withTable("before\n"+begin+"a stale line\n"+end+"\nafter\n", house(map[string][]string{
		"optimizer/a": {module + "optimizer/b", "fmt"}, "optimizer/b": nil, "plugins/x": {module + "optimizer/a", module + "plugins/y"}, "plugins/y": nil,
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before\n" + begin + "| folder", "| `optimizer/a` | knows a thing | b |\n", "| `optimizer/b` | knows a thing | – |\n", "| `plugins` | the scheduler plugin and its versioned arguments | a |\n" + end + "\nafter\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "stale") {
		t.Errorf("the old table stays:\n%s", text)
	}
	if _, err := withTable("no marks", nil); err == nil {
		t.Error("a document without marks has a table")
	}
}
