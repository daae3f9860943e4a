package licences

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// here is where the sources are that this test is built from.
func here(t *testing.T) Where {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMODCACHE", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return Where{Modules: lines[0], Go: lines[1]}
}

// A program has the terms of all its parts, those of a text that several have once.
func TestTermsOfAProgram(t *testing.T) {
	program := filepath.Join(t.TempDir(), "release")
	if out, err := exec.Command("go", "build", "-o", program, "..").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	parts, err := Of(program, here(t))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"stdlib": "BSD-3-Clause", "golang.org/x/mod": "BSD-3-Clause", "github.com/google/go-containerregistry": "Apache-2.0"}
	for _, p := range parts {
		if p.Licence == "" || len(p.Texts) == 0 || p.Version == "" {
			t.Errorf("%s %q: %q, %d texts", p.Path, p.Version, p.Licence, len(p.Texts))
		}
		if id, asked := want[p.Path]; asked && p.Licence != id {
			t.Errorf("%s: %s, want %s", p.Path, p.Licence, id)
		}
		delete(want, p.Path)
	}
	if len(want) > 0 {
		t.Errorf("nothing of %v", want)
	}
	file := string(File(parts))
	if !strings.Contains(file, "Redistributions in binary form must reproduce") || !strings.Contains(file, "golang.org/x/mod ") {
		t.Errorf("%.500s", file)
	}
	texts := map[string]bool{}
	for _, p := range parts {
		for _, text := range p.Texts {
			texts[text] = true
			if !strings.Contains(file, "\n\n"+text+"\n\n") {
				t.Errorf("a text of %s is missing", p.Path)
			}
		}
	}
	if n := strings.Count(file, strings.Repeat("=", 80)+"\n"); n < len(texts) || n > len(texts)+10 { // texts may have such lines, too
		t.Errorf("%d texts in the file, want %d", n, len(texts))
	}
}

// What is not known, and what asks for more, is refused by name.
func TestTermsThatAreRefused(t *testing.T) {
	write := func(files map[string]string) string {
		dir := t.TempDir()
		for name, text := range files {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	const mit, gnu = "Permission is hereby granted, free of charge,\n// to any person obtaining a copy", "GNU Lesser General Public License, Free Software Foundation"
	for name, c := range map[string]struct {
		files       map[string]string
		want, fault string
	}{
		"none":                 {map[string]string{"README": mit}, "", "terms are not known"},
		"unknown":              {map[string]string{"LICENSE": "do as you like"}, "", "terms are not known"},
		"one":                  {map[string]string{"LICENSE.md": mit}, "MIT", ""},
		"with what others had": {map[string]string{"LICENSE": mit, "third_party/x/COPYING": "Apache License\nVersion 2.0", "vendor/y/LICENSE": gnu}, "Apache-2.0 AND MIT", ""},
		"a choice": {
			map[string]string{"LICENSE": "your choice: The FreeType License, or the GNU General Public License", "licenses/ftl.txt": "The FreeType Project LICENSE", "licenses/gpl.txt": gnu}, "FTL", "",
		},
		"that ask for more": {map[string]string{"LICENSE": gnu}, "GPL-or-LGPL", "under GPL-or-LGPL"},
		"that ask for more of others": {
			map[string]string{"LICENSE": mit, "third_party/x/LICENSE": gnu}, "GPL-or-LGPL AND MIT", "under GPL-or-LGPL AND MIT",
		},
	} {
		p, err := read("example.com/m", "v1.0.0", write(c.files))
		if p.Licence != c.want || (err == nil) != (c.fault == "") || err != nil && (!strings.Contains(err.Error(), c.fault) || !strings.Contains(err.Error(), "example.com/m v1.0.0")) {
			t.Errorf("%s: %q, %v", name, p.Licence, err)
		}
	}
	if _, err := Of(os.Args[0]+".none", Where{}); err == nil {
		t.Error("no file is no error")
	}
}

func TestNotices(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"LICENSE": "Apache License Version 2.0", "NOTICE": "made by us", "PATENTS": "granted", "NOTICES_OF_BUGS": "no"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, err := read("m", "v1", dir)
	if want := []string{"Apache License Version 2.0", "granted", "made by us"}; err != nil || !slices.Equal(p.Texts, want) {
		t.Errorf("%q, %v, want %q", p.Texts, err, want)
	}
}
