package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// apiPage lists every field of every custom resource, as their definitions have them.
func apiPage(root string) (string, error) {
	m := newMarkdown("Custom resources", `Group `+"`inferno.platform.ai`, version `v1alpha1`"+`. A field is required where it says so. The same comes from
`+"`kubectl explain`"+`. A number is an integer, or a string such as
"0.95"; a duration is a string such as "30ms" or "1h30m". The llm-inferno JSON specification has names and units of its own, and inferno converts.`)
	files, err := filepath.Glob(filepath.Join(root, "manifests", "chart", "files", "crds", "inferno.platform.ai_*.yaml"))
	if err == nil && len(files) == 0 {
		err = errors.New("no definitions of custom resources in manifests/chart/files/crds")
	}
	if err != nil {
		return "", err
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		var crd apiextensions.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(data, &crd); err != nil {
			return "", fmt.Errorf("%s: %w", f, err)
		}
		m.resource(&crd)
	}
	return m.String(), nil
}

func (m *markdown) resource(crd *apiextensions.CustomResourceDefinition) {
	names := crd.Spec.Names
	for _, v := range crd.Spec.Versions {
		schema := v.Schema.OpenAPIV3Schema
		short := ""
		if len(names.ShortNames) > 0 {
			short = ", short " + code(strings.Join(names.ShortNames, ", "))
		}
		m.printf("\n## %s\n\n%s\n\n`%s`%s; scope %s.\n", names.Kind, schema.Description, names.Plural, short, crd.Spec.Scope)
		for _, part := range []string{"spec", "status"} {
			s, ok := schema.Properties[part]
			if !ok {
				continue
			}
			var rows [][]string
			collect(part, &s, &rows)
			m.printf("\n### %s %s\n\n%s\n%s", names.Kind, part, s.Description, rules(&s))
			m.table([]string{"field", "type", "default", "allowed", "what it is"}, rows)
		}
	}
}

// collect a row for every field below a schema, depth first, by name.
func collect(path string, s *apiextensions.JSONSchemaProps, rows *[][]string) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		f := s.Properties[name]
		at := path + "." + name
		what := f.Description
		if slices.Contains(s.Required, name) {
			what = "Required. " + what
		}
		value := ""
		if f.Default != nil {
			value = code(string(f.Default.Raw))
		}
		*rows = append(*rows, []string{code(at), typeName(&f), value, constraints(&f), what})
		if known(at) {
			continue
		}
		inner, suffix := element(&f)
		collect(at+suffix, inner, rows)
	}
}

// known are native types, which Kubernetes documents.
func known(path string) bool { return strings.HasSuffix(path, "status.conditions") }

// element that a list or a map is made of, however deep; the schema itself where it is neither.
func element(s *apiextensions.JSONSchemaProps) (*apiextensions.JSONSchemaProps, string) {
	switch {
	case s.Items != nil && s.Items.Schema != nil:
		inner, suffix := element(s.Items.Schema)
		return inner, "[]" + suffix
	case s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil:
		inner, suffix := element(s.AdditionalProperties.Schema)
		return inner, "{}" + suffix
	}
	return s, ""
}

func typeName(s *apiextensions.JSONSchemaProps) string {
	switch {
	case s.Items != nil && s.Items.Schema != nil:
		return "list of " + typeName(s.Items.Schema)
	case s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil:
		return "map of " + typeName(s.AdditionalProperties.Schema)
	case s.XIntOrString && len(s.AnyOf) > 0:
		return "quantity"
	case s.XIntOrString:
		return "number"
	case s.Type == "":
		return "any"
	case s.Format == "date-time":
		return "time"
	}
	return s.Type
}

// constraints of a field in words; patterns and rules as they are.
func constraints(s *apiextensions.JSONSchemaProps) string {
	var all []string
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if s.Minimum != nil {
		say("%s %v", map[bool]string{false: "at least", true: "above"}[s.ExclusiveMinimum], *s.Minimum)
	}
	if s.Maximum != nil {
		say("%s %v", map[bool]string{false: "at most", true: "below"}[s.ExclusiveMaximum], *s.Maximum)
	}
	if len(s.Enum) > 0 {
		words := make([]string, len(s.Enum))
		for i, e := range s.Enum {
			words[i] = unquoted(e.Raw)
		}
		say("%s", strings.Join(words, ", "))
	}
	for _, n := range []struct {
		what  string
		count *int64
	}{{"at least %d characters", s.MinLength}, {"at most %d characters", s.MaxLength}, {"at least %d items", s.MinItems}, {"at most %d items", s.MaxItems},
		{"at most %d entries", s.MaxProperties}} {
		if n.count != nil && !s.XIntOrString {
			say(n.what, *n.count)
		}
	}
	if s.Pattern != "" && !s.XIntOrString { // The type tells it.
		say("pattern %s", code(s.Pattern))
	}
	return strings.Join(append(all, strings.TrimSpace(rules(s))), " ")
}

// rules that hold for a value as a whole.
func rules(s *apiextensions.JSONSchemaProps) string {
	var b strings.Builder
	for _, r := range s.XValidations {
		if r.Message != "" {
			fmt.Fprintf(&b, "\nRule: %s.\n", strings.TrimSuffix(r.Message, "."))
		} else {
			fmt.Fprintf(&b, "\nRule: %s.\n", code(r.Rule))
		}
	}
	return b.String()
}

// unquoted is a JSON string as text, anything else as it is.
func unquoted(raw []byte) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return string(raw)
	}
	if s == "" {
		return "empty"
	}
	return s
}
