package main

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"
)

// notes of a release: its section of the changelog, without its heading.
func notes(changelog []byte, version string) ([]byte, error) {
	var out []byte
	inside := false
	for lines := bufio.NewScanner(bytes.NewReader(changelog)); lines.Scan(); {
		line := lines.Text()
		if heading, is := strings.CutPrefix(line, "## "); is {
			name, _, _ := strings.Cut(heading, " ")
			inside = name == version
			continue
		}
		if inside {
			out = append(append(out, line...), '\n')
		}
	}
	if out = bytes.TrimSpace(out); len(out) == 0 {
		return nil, fmt.Errorf("CHANGELOG.md has no section ## %s, or nothing in it", version)
	}
	return append(out, '\n'), nil
}

// archived is an archive of the command line for one platform.
type archived struct {
	name, sha256 string
	on           platform
}

// krew is the manifest by which kubectl's plugin manager installs the command line.
func krew(version string, archives []archived) ([]byte, error) {
	var platforms []map[string]any
	for _, a := range archives {
		executable := "inferno"
		if a.on.os == "windows" {
			executable += ".exe"
		}
		platforms = append(platforms, map[string]any{
			"selector": map[string]any{"matchLabels": map[string]string{"os": a.on.os, "arch": a.on.arch}},
			"uri":      source + "/releases/download/" + version + "/" + a.name, "sha256": a.sha256, "bin": executable,
			"files": []map[string]string{{"from": executable, "to": "."}, {"from": "LICENSE", "to": "."}, {"from": "THIRD-PARTY-LICENSES", "to": "."}},
		})
	}
	return yaml.Marshal(map[string]any{
		"apiVersion": "krew.googlecontainertools.github.com/v1alpha2", "kind": "Plugin", "metadata": map[string]string{"name": "inferno"},
		"spec": map[string]any{
			"version": version, "homepage": source, "shortDescription": "Plan accelerators, replicas and batch sizes of LLM servers",
			"description": "Explains and tries plans of inferno, and names what in a cluster keeps them from being followed.", "platforms": platforms,
		},
	})
}
