package specification

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// part is one of the files a system may be split into.
type part struct {
	file     string
	required bool
	into     func(*jsonspec.System) any
}

// parts are the separate files of a system, in the order llm-inferno lists them.
var parts = []part{
	{"accelerator-data", true, func(s *jsonspec.System) any { return &s.Accelerators }},
	{"model-data", true, func(s *jsonspec.System) any { return &s.Models }},
	{"serviceclass-data", true, func(s *jsonspec.System) any { return &s.ServiceClasses }},
	{"server-data", true, func(s *jsonspec.System) any { return &s.Servers }},
	{"capacity-data", false, func(s *jsonspec.System) any { return &s.Capacity }},
	{"optimizer-data", false, func(s *jsonspec.System) any { return &s.Optimizer }},
}

var extensions = []string{".json", ".yaml", ".yml"}

// Load reads a system: a file that holds all of it, or a directory of separate files (accelerator-data.json and so on; YAML as well).
// Files of a directory that no system has are left alone. The error joins the faults of all files, and those that Validate finds in what
// could be read of them.
func Load(path string) (*jsonspec.System, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var f jsonspec.SystemFile
		if err := Decode(filepath.Base(path), data, &f); err != nil {
			return nil, withOthers(&f.System, err)
		}
		return &f.System, nil
	}
	return LoadFS(os.DirFS(path))
}

// LoadFS reads a system from separate files at the root of a file system.
func LoadFS(fsys fs.FS) (*jsonspec.System, error) {
	s := new(jsonspec.System)
	var faults []error
	for _, p := range parts {
		name, data, err := readPart(fsys, p)
		switch {
		case err != nil:
			faults = append(faults, err)
		case name != "":
			if err := Decode(name, data, p.into(s)); err != nil {
				faults = append(faults, err)
			}
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, withOthers(s, err)
	}
	return s, nil
}

// entryPath is the path of an entry of a list, or of the optimizer's options, in a file of its own or of a whole system.
var entryPath = regexp.MustCompile(`(?i)^(?:system\.)?(?:[a-z]+Data\.)?((?:accelerators|models|serviceClasses|servers|count|nodes|elastic)\[\d+\]|optimizer)`)

// withOthers joins to the faults of decoding those that Validate finds in the rest: entries that could not be read whole are left out, so that
// nobody is told of a value that stands nowhere.
func withOthers(s *jsonspec.System, decoding error) error {
	unread := map[string]bool{}
	for _, f := range faultsOf(decoding) {
		if m := entryPath.FindStringSubmatch(f.Path); m != nil {
			unread[strings.ToLower(m[1])] = true
		}
	}
	_, err := validate(s, unread)
	return errors.Join(decoding, err)
}

// faultsOf an error: those that it joins.
func faultsOf(err error) []*Fault {
	if f, ok := err.(*Fault); ok {
		return []*Fault{f}
	}
	var all []*Fault
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			all = append(all, faultsOf(e)...)
		}
	}
	return all
}

// readPart finds the file of a part whatever its extension. A part that may be absent yields no name.
func readPart(fsys fs.FS, p part) (string, []byte, error) {
	var found []string
	for _, ext := range extensions {
		if _, err := fs.Stat(fsys, p.file+ext); err == nil {
			found = append(found, p.file+ext)
		}
	}
	switch {
	case len(found) > 1:
		return "", nil, fmt.Errorf("%s is given twice: %s", p.file, strings.Join(found, ", "))
	case len(found) == 0 && p.required:
		return "", nil, fmt.Errorf("%s.json is missing; the directory of a system holds %s", p.file, strings.Join(partNames(), ", "))
	case len(found) == 0:
		return "", nil, nil
	}
	data, err := fs.ReadFile(fsys, found[0])
	return found[0], data, err
}

func partNames() []string {
	var names []string
	for _, p := range parts {
		names = append(names, p.file+".json")
	}
	return names
}

// Encode writes a system as one JSON document.
func Encode(s *jsonspec.System) ([]byte, error) {
	return json.MarshalIndent(jsonspec.SystemFile{System: *s}, "", "  ")
}

// Sort puts every list of a system into the order of its names, so that equal systems are equal byte for byte.
func Sort(s *jsonspec.System) {
	slices.SortStableFunc(s.Accelerators.Spec, func(a, b jsonspec.AcceleratorEntry) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(s.Models.Spec, func(a, b jsonspec.PerformanceEntry) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.Acc, b.Acc)
	})
	slices.SortStableFunc(s.ServiceClasses.Spec, func(a, b jsonspec.ServiceClassEntry) int { return strings.Compare(a.Name, b.Name) })
	for i := range s.ServiceClasses.Spec {
		slices.SortStableFunc(s.ServiceClasses.Spec[i].ModelTargets, func(a, b jsonspec.ModelTarget) int { return strings.Compare(a.Model, b.Model) })
	}
	slices.SortStableFunc(s.Servers.Spec, func(a, b jsonspec.ServerEntry) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(s.Capacity.Nodes, func(a, b jsonspec.NodeCapacity) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Type, b.Type))
	})
	slices.SortStableFunc(s.Capacity.Elastic, func(a, b jsonspec.ElasticCapacity) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(s.Capacity.Count, func(a, b jsonspec.AcceleratorCount) int { return strings.Compare(a.Type, b.Type) })
}
