package chart

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const dir = "../../manifests/chart"

func TestLint(t *testing.T) {
	if err := Lint(dir, nil); err != nil {
		t.Error(err)
	}
}

func schemaOf(t *testing.T) map[string]any {
	t.Helper()
	data, err := os.ReadFile(dir + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s map[string]any
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// Every value of the schema has a default and a comment, and every default is in the schema.
func TestValuesAreDescribed(t *testing.T) {
	data, err := os.ReadFile(dir + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	values, err := Describe(data)
	if err != nil {
		t.Fatal(err)
	}
	var described []string
	for _, v := range values {
		described = append(described, v.Path)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	for path := range leaves(schemaOf(t)["properties"].(map[string]any), "") {
		if path == "global" { // Helm's own
			continue
		}
		whole := func(d string) bool { return path == d || strings.HasPrefix(path, d+".") }
		if !slices.ContainsFunc(described, whole) {
			t.Errorf("%s has no comment in values.yaml", path)
		}
		if parent := strings.Split(path, "."); at(tree, parent) == nil {
			t.Errorf("%s has no default in values.yaml", path)
		}
	}
}

// leaves of a schema by path.
func leaves(properties map[string]any, prefix string) map[string]map[string]any {
	found := map[string]map[string]any{}
	for name, s := range properties {
		property := s.(map[string]any)
		if inner, is := property["properties"].(map[string]any); is {
			for path, leaf := range leaves(inner, prefix+name+".") {
				found[path] = leaf
			}
			continue
		}
		found[prefix+name] = property
	}
	return found
}

// Whatever the schema allows is rendered to objects, or refused by a message of the templates' own that names a value.
func TestValuesDrawnFromTheSchema(t *testing.T) {
	s := schemaOf(t)
	definitions := s["$defs"].(map[string]any)
	rendered := 0
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 1))
		values := map[string]any{}
		all := leaves(s["properties"].(map[string]any), "")
		for _, path := range slices.Sorted(maps.Keys(all)) { // in one order, so that a seed draws the same each time
			if random.IntN(4) > 0 {
				continue
			}
			if value, drawn := draw(random, all[path], definitions); drawn {
				put(values, strings.Split(path, "."), value)
			}
		}
		out, err := Render(dir, Options{Release: "inferno", Namespace: "inferno-system", Kubernetes: "v1.37.0", Values: values})
		if err != nil {
			if strings.Contains(err.Error(), "values contradict each other: ") {
				continue
			}
			data, _ := yaml.Marshal(values)
			t.Fatalf("seed %d: %v with\n%s", seed, err, data)
		}
		rendered++
		for i, document := range strings.Split(string(out.Objects), "\n---\n") {
			var object struct{ APIVersion, Kind string }
			if err := yaml.UnmarshalStrict([]byte(strings.TrimPrefix(document, "---\n")), &map[string]any{}); err != nil {
				t.Fatalf("seed %d: %v in\n%s", seed, err, document)
			}
			if err := yaml.Unmarshal([]byte(strings.TrimPrefix(document, "---\n")), &object); err != nil || object.Kind == "" || object.APIVersion == "" {
				t.Fatalf("seed %d: document %d has no kind:\n%s", seed, i, document)
			}
		}
	}
	if rendered < 30 { // half of them
		t.Errorf("only %d of the draws were rendered", rendered)
	}
}

func put(tree map[string]any, path []string, value any) {
	for _, key := range path[:len(path)-1] {
		if tree[key] == nil {
			tree[key] = map[string]any{}
		}
		tree = tree[key].(map[string]any)
	}
	tree[path[len(path)-1]] = value
}

// draw a value that the schema allows; drawn is false for objects that only Kubernetes' own schemas describe.
func draw(random *rand.Rand, s, definitions map[string]any) (value any, drawn bool) {
	if choices, is := s["enum"].([]any); is {
		return choices[random.IntN(len(choices))], true
	}
	if ref, is := s["$ref"].(string); is {
		return map[string]any{"limits": map[string]any{"memory": fmt.Sprintf("%dMi", 64+random.IntN(1000))}}, ref == "#/$defs/resources" && definitions["resources"] != nil
	}
	kind := s["type"]
	if kinds, several := kind.([]any); several {
		kind = kinds[random.IntN(len(kinds))]
	}
	switch kind {
	case "boolean":
		return random.IntN(2) == 0, true
	case "integer":
		low, high := number(s, "minimum", 0), number(s, "maximum", 100)
		return low + int(random.Uint64N(uint64(high-low+1))), true
	case "array":
		items, _ := s["items"].(map[string]any)
		if items["type"] == "integer" {
			return []any{number(items, "minimum", 0)}, true
		}
		return nil, false
	case "object":
		inner, plain := s["additionalProperties"].(map[string]any)
		return map[string]any{"example.com/key": "value"}, plain && inner["type"] != "object"
	}
	return text(random, s), true
}

// text by the patterns that the schema has.
func text(random *rand.Rand, s map[string]any) string {
	pattern, _ := s["pattern"].(string)
	switch {
	case strings.HasPrefix(pattern, "^https?"):
		return "https://prometheus.example.com:9090/path"
	case strings.Contains(pattern, "sha256"):
		return "sha256:" + strings.Repeat("0a", 32)
	case strings.Contains(pattern, "BEGIN CERTIFICATE"):
		return "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
	case strings.Contains(pattern, "ms|s|m|h"):
		return "15s"
	case strings.Contains(pattern, "%"):
		return "50%"
	}
	return []string{"a", "some-name", "x1.y2"}[random.IntN(3)]
}

func number(s map[string]any, key string, otherwise int) int {
	if n, is := s[key].(float64); is {
		return int(n)
	}
	return otherwise
}

func TestDescribe(t *testing.T) {
	got, err := Describe([]byte("# One\n# line more.\na: 1\n\n# not of b\n\nb:\n  # Inner.\n  c: {d: 2}\n  e: 3\n# Whole.\nf:\n  g: [4]\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Value{{"a", "1", "One line more."}, {"b.c", `{"d":2}`, "Inner."}, {"f", `{"g":[4]}`, "Whole."}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
