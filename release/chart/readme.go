package chart

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// Readme of the chart: how it is installed, and a table of all values, from the comments in values.yaml.
func Readme(dir string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(dir, "values.yaml"))
	if err != nil {
		return nil, err
	}
	values, err := Describe(data)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString(readmeHead)
	for _, v := range values {
		fmt.Fprintf(&out, "| `%s` | `%s` | %s |\n", v.Path, strings.ReplaceAll(v.Default, "|", `\|`), strings.ReplaceAll(v.Comment, "|", `\|`))
	}
	return out.Bytes(), nil
}

const readmeHead = `<!-- Written by make generate from values.yaml. -->
# inferno, the chart

` + "```console" + `
$ helm install inferno oci://ghcr.io/llm-inferno/charts/inferno --namespace inferno-system --create-namespace \
    --set prometheus.url=http://prometheus-operated.monitoring.svc:9090
` + "```" + `

What to do next the installation says itself. [docs/install.md](../../docs/install.md) has what differs on the clouds and without Internet,
[docs/upgrade.md](../../docs/upgrade.md) upgrades, rollbacks and what is left when it is uninstalled.

| value | default | meaning |
|---|---|---|
`

// Value of a chart.
type Value struct {
	// Path of it, with points; Default in JSON; Comment above it.
	Path, Default, Comment string
}

// Describe the values of a file: those with a comment of their own. What has a comment is described as a whole, unless parts of it have one each.
func Describe(data []byte) ([]Value, error) {
	var tree map[string]any
	if err := yaml.Unmarshal(data, &tree); err != nil {
		return nil, err
	}
	var (
		values  []Value
		path    []string
		indents []int
		comment string
	)
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		line := lines.Text()
		text := strings.TrimSpace(line)
		indent := len(line) - len(strings.TrimLeft(line, " "))
		switch {
		case text == "":
			comment = ""
		case strings.HasPrefix(text, "#"):
			comment = strings.TrimSpace(comment + " " + strings.TrimSpace(text[1:]))
		default:
			for len(indents) > 0 && indents[len(indents)-1] >= indent {
				path, indents = path[:len(path)-1], indents[:len(indents)-1]
			}
			key, _, found := strings.Cut(text, ":")
			if !found {
				continue
			}
			path, indents = append(path, key), append(indents, indent)
			if comment == "" {
				continue
			}
			standard, err := json.Marshal(at(tree, path))
			if err != nil {
				return nil, err
			}
			values = append(values, Value{strings.Join(path, "."), string(standard), comment})
			comment = ""
		}
	}
	return values, nil
}

// at a path of a tree.
func at(tree any, path []string) any {
	for _, key := range path {
		branch, is := tree.(map[string]any)
		if !is {
			return nil
		}
		tree = branch[key]
	}
	return tree
}
