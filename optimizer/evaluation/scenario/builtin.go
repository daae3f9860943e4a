package scenario

import (
	"embed"
	"path"
	"strings"
)

// builtin are scenarios that need no file of a trace, so that they can be played wherever the program is.
//
//go:embed builtin/*.yaml
var builtin embed.FS

// BuiltIn are the names of the scenarios that [Open] knows without a file.
func BuiltIn() []string {
	entries, err := builtin.ReadDir("builtin")
	if err != nil {
		panic(err) // they are compiled in
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".yaml")
	}
	return names
}

// openBuiltIn is the built-in scenario of that name; false where there is none.
func openBuiltIn(name string) (*Scenario, bool, error) {
	data, err := builtin.ReadFile(path.Join("builtin", name+".yaml"))
	if err != nil {
		return nil, false, nil
	}
	s, err := Decode(data, name, "")
	return s, true, err
}
