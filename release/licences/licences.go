// Package licences collects the terms of all that a Go program is linked from: of the modules that the compiler wrote into it, and of the standard library.
package licences

import (
	"bytes"
	"cmp"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// Part of a program: a module, or the standard library.
type Part struct {
	Path, Version string
	// Licence is an SPDX expression.
	Licence string
	// Texts are what must go with copies of the program: licences and notices, without those that say the same.
	Texts []string
}

// Where the sources are.
type Where struct {
	// Modules is the cache of modules, GOMODCACHE, and Go the root of the standard library, GOROOT.
	Modules, Go string
}

// Of the program in a file. A part whose terms are not known, or do not allow what a release does, is an error; all such are named.
func Of(file string, where Where) ([]Part, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, err
	}
	parts, faults := make([]Part, 0, len(info.Deps)+1), []error{}
	add := func(path, version, dir string) {
		p, err := read(path, version, dir)
		parts, faults = append(parts, p), append(faults, err)
	}
	add("stdlib", strings.TrimPrefix(info.GoVersion, "go"), where.Go)
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		path, errPath := module.EscapePath(m.Path)
		version, errVersion := module.EscapeVersion(m.Version)
		if err := errors.Join(errPath, errVersion); err != nil {
			faults = append(faults, err)
			continue
		}
		add(m.Path, m.Version, filepath.Join(where.Modules, path+"@"+version))
	}
	return parts, errors.Join(faults...)
}

var (
	terms   = regexp.MustCompile(`(?i)^(un)?licen[cs]es?($|[.-])|^copying|^copyright|^ftl\.txt$`)
	notices = regexp.MustCompile(`(?i)^(notice|patents)($|\.)`)
	// others are folders of what a module has of others, or of its own, with terms.
	others = regexp.MustCompile(`^(third_party|THIRD_PARTY|licenses$)`)
)

func read(path, version, dir string) (Part, error) {
	p := Part{Path: path, Version: version}
	var found []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, _ := filepath.Rel(dir, name)
		top, _, _ := strings.Cut(inside, string(filepath.Separator))
		if d.IsDir() {
			if inside != "." && !others.MatchString(top) {
				return fs.SkipDir
			}
			return nil
		}
		is := terms.MatchString(d.Name())
		if !is && !notices.MatchString(d.Name()) {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if is {
			found = append(found, known(text)...)
		}
		p.Texts = append(p.Texts, strings.TrimSpace(string(text)))
		return nil
	})
	if err != nil {
		return p, fmt.Errorf("%s %s: %w", path, version, err)
	}
	slices.Sort(found)
	slices.Sort(p.Texts)
	p.Texts, p.Licence = slices.Compact(p.Texts), strings.Join(slices.Compact(found), " AND ")
	switch {
	case p.Licence == "":
		return p, fmt.Errorf("%s %s: its terms are not known: read them in %s, and see whether a release may have it", path, version, dir)
	case strings.Contains(p.Licence, refused):
		return p, fmt.Errorf("%s %s is under %s, which a release of programs that are linked from it does not keep", path, version, p.Licence)
	}
	return p, nil
}

// refused is how licences are named that ask for more than that their texts go with copies.
const refused = "GPL"

// signs of licences, of which all must be in a text.
var signs = []struct {
	licence string
	all     []string
}{
	{"Apache-2.0", []string{"Apache License", "Version 2.0"}},
	{"MPL-2.0", []string{"Mozilla Public License", "Version 2.0"}},
	{"GPL-or-LGPL", []string{"GNU", "General Public License", "Free Software Foundation"}},
	{"MIT", []string{"Permission is hereby granted, free of charge, to any person obtaining a copy"}},
	{"BSD-3-Clause", []string{"Redistribution and use in source and binary forms", "endorse or promote products"}},
	{"BSD-2-Clause", []string{"Redistribution and use in source and binary forms"}},
	{"CC-BY-4.0", []string{"Creative Commons Attribution 4.0 International"}},
	{"FTL", []string{"The FreeType", "License"}}, // FreeType's other choice, the GPL, is not taken
	{"ISC", []string{"Permission to use, copy, modify, and", "distribute this software for any purpose with or without fee"}},
}

var spaces = regexp.MustCompile(`[\s*/#>]+`)

// known licences in a text.
func known(text []byte) (list []string) {
	words := bytes.ToLower(spaces.ReplaceAll(text, []byte(" ")))
	for _, s := range signs {
		has := !slices.ContainsFunc(s.all, func(sign string) bool { return !bytes.Contains(words, []byte(strings.ToLower(sign))) })
		if has && !(s.licence == "BSD-2-Clause" && slices.Contains(list, "BSD-3-Clause")) {
			list = append(list, s.licence)
		}
	}
	return list
}

// File has the texts that must go with copies of a program: each once, after all whose it is.
func File(parts []Part) []byte {
	whose := map[string][]string{}
	for _, p := range parts {
		for _, text := range p.Texts {
			whose[text] = append(whose[text], p.Path+" "+p.Version)
		}
	}
	var texts []string
	for text := range whose {
		texts = append(texts, text)
	}
	slices.SortFunc(texts, func(a, b string) int { return cmp.Or(strings.Compare(whose[a][0], whose[b][0]), strings.Compare(a, b)) })
	var out bytes.Buffer
	for _, text := range texts {
		fmt.Fprintf(&out, "%s\n%s\n\n%s\n\n", strings.Repeat("=", 80), strings.Join(whose[text], "\n"), text)
	}
	return out.Bytes()
}
