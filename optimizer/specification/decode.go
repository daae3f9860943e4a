// Package specification reads and writes the llm-inferno JSON system specification, checks it, and converts it to and from custom resources.
package specification

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// maxFaults is how many faults of one document are reported; more help nobody.
// Tuned: faults; guard against a document that is none of ours and wrong in every line
const maxFaults = 50

// maxDepth of nested values in a document; no specification comes near it.
// Tuned: levels; guard against a document that nests until the stack is full
const maxDepth = 64

// Fault of a document: what is wrong, and where.
type Fault struct {
	// Document by name, and the line of it, counted from 1.
	Document string
	Line     int
	// Path of the value, such as servers[3].model; empty for the document itself.
	Path    string
	Message string
}

func (f *Fault) Error() string {
	if f.Path == "" {
		return fmt.Sprintf("%s:%d: %s", f.Document, f.Line, f.Message)
	}
	return fmt.Sprintf("%s:%d: %s: %s", f.Document, f.Line, f.Path, f.Message)
}

// required are fields without which a value says nothing: nothing there is not the same as zero.
var required = map[reflect.Type][]string{
	reflect.TypeFor[jsonspec.AcceleratorEntry](): {"cost"},
	reflect.TypeFor[jsonspec.AcceleratorCount](): {"count"},
	reflect.TypeFor[jsonspec.NodeCapacity]():     {"free"},
	reflect.TypeFor[jsonspec.PerfParms]():        {"alpha", "beta", "gamma"},
	reflect.TypeFor[jsonspec.DecodeParms]():      {"alpha", "beta"},
	reflect.TypeFor[jsonspec.PrefillParms]():     {"gamma", "delta"},
	reflect.TypeFor[jsonspec.Load]():             {"arrivalRate", "avgInTokens", "avgOutTokens"},
}

// Decode decodes one JSON or YAML document strictly into out, a pointer to a struct. Field names match whatever their case, as in
// llm-inferno. Unknown fields, fields given twice, numbers that are missing and values of the wrong type are faults; the error joins all of
// them, each a *Fault with its path and, for JSON, its line. What can be read is in out nevertheless.
func Decode(name string, data []byte, out any) error { return decode(name, data, out, false) }

// DecodeKnown is Decode for what another program writes: fields that are not known are passed over.
func DecodeKnown(name string, data []byte, out any) error { return decode(name, data, out, true) }

func decode(name string, data []byte, out any, passOver bool) error {
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] != '{' {
		converted, err := yaml.YAMLToJSONStrict(data)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		data = converted
	}
	c := checker{name: name, data: data, dec: json.NewDecoder(bytes.NewReader(data)), passOver: passOver}
	c.dec.UseNumber()
	c.value(reflect.TypeOf(out).Elem(), "", 0)
	if c.syntax == nil {
		if _, err := c.dec.Token(); err == nil {
			c.fault("", "something follows the end of the document")
		}
	}
	err := json.Unmarshal(data, out)
	if faults := errors.Join(c.faults...); faults != nil {
		return faults
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// checker walks the tokens of a document beside the type they should fit and collects what does not.
type checker struct {
	name   string
	data   []byte
	dec    *json.Decoder
	faults []error
	syntax error
	// passOver fields that are not known.
	passOver bool
}

func (c *checker) fault(path, format string, args ...any) {
	if len(c.faults) == maxFaults {
		c.faults = append(c.faults, fmt.Errorf("%s: further faults are not listed", c.name))
	}
	if len(c.faults) > maxFaults {
		return
	}
	line := 1 + bytes.Count(c.data[:min(int(c.dec.InputOffset()), len(c.data))], []byte{'\n'})
	c.faults = append(c.faults, &Fault{c.name, line, path, fmt.Sprintf(format, args...)})
}

// token reads the next token; after a syntax error, which is reported once, there is none.
func (c *checker) token() (json.Token, bool) {
	if c.syntax != nil {
		return nil, false
	}
	t, err := c.dec.Token()
	if err != nil {
		c.syntax = err
		c.fault("", "not valid JSON: %v", err)
		return nil, false
	}
	return t, true
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// value checks the next value against a type; a nil type takes anything.
func (c *checker) value(t reflect.Type, path string, depth int) {
	if depth > maxDepth {
		if c.syntax == nil {
			c.syntax = errors.New("too deep")
			c.fault(path, "values are nested deeper than %d levels", maxDepth)
		}
		return
	}
	nullable := t == nil
	for t != nil && t.Kind() == reflect.Pointer {
		t, nullable = t.Elem(), true
	}
	if t != nil && (reflect.PointerTo(t).Implements(jsonUnmarshaler) || reflect.PointerTo(t).Implements(textUnmarshaler)) {
		c.own(t, path, depth)
		return
	}
	tok, ok := c.token()
	if !ok {
		return
	}
	switch tok := tok.(type) {
	case json.Delim:
		if tok == '{' {
			c.object(t, path, depth)
		} else {
			c.array(t, path, depth)
		}
	case nil:
		// Go writes absent lists as null: it says no more than leaving them out.
		if !nullable && t.Kind() != reflect.Slice && t.Kind() != reflect.Map {
			c.fault(path, "null stands where %s is expected; leave the field out instead", article(t))
		}
	default:
		if t != nil {
			c.scalar(tok, t, path)
		}
	}
}

// own leaves the value to the type's own decoder.
func (c *checker) own(t reflect.Type, path string, depth int) {
	start := c.dec.InputOffset()
	c.value(nil, path, depth)
	if c.syntax != nil {
		return
	}
	raw := bytes.TrimLeft(c.data[start:c.dec.InputOffset()], " \t\r\n:,")
	if err := json.Unmarshal(raw, reflect.New(t).Interface()); err != nil {
		c.fault(path, "%v", err)
	}
}

func (c *checker) object(t reflect.Type, path string, depth int) {
	var fields map[string]reflect.Type
	var elem reflect.Type
	switch {
	case t == nil:
	case t.Kind() == reflect.Struct:
		fields = jsonFields(t)
	case t.Kind() == reflect.Map:
		elem = t.Elem()
	default:
		c.fault(path, "an object stands where %s is expected", article(t))
		t = nil
	}
	seen := map[string]string{}
	for c.dec.More() {
		tok, ok := c.token()
		if !ok {
			return
		}
		key := tok.(string)
		at := join(path, key)
		folded := key
		if fields != nil {
			folded = strings.ToLower(key)
		}
		if first, twice := seen[folded]; twice {
			c.fault(at, "field is given twice (first as %q)", first)
		}
		seen[folded] = key
		switch {
		case fields != nil:
			ft, known := fields[folded]
			if !known && !c.passOver {
				c.fault(at, "unknown field, allowed are %s", strings.Join(fieldNames(t), ", "))
			}
			c.value(ft, at, depth+1)
		default:
			c.value(elem, at, depth+1)
		}
		if c.syntax != nil {
			return
		}
	}
	c.token()
	if fields == nil {
		return
	}
	for _, field := range required[t] {
		if _, given := seen[strings.ToLower(field)]; !given && c.syntax == nil {
			c.fault(join(path, field), "is missing")
		}
	}
}

func (c *checker) array(t reflect.Type, path string, depth int) {
	var elem reflect.Type
	switch {
	case t == nil:
	case t.Kind() == reflect.Slice:
		elem = t.Elem()
	default:
		c.fault(path, "a list stands where %s is expected", article(t))
	}
	for i := 0; c.dec.More(); i++ {
		c.value(elem, fmt.Sprintf("%s[%d]", path, i), depth+1)
		if c.syntax != nil {
			return
		}
	}
	c.token()
}

func (c *checker) scalar(tok json.Token, t reflect.Type, path string) {
	raw, _ := json.Marshal(tok)
	if err := json.Unmarshal(raw, reflect.New(t).Interface()); err != nil {
		c.fault(path, "%s stands where %s is expected", shortened(raw), article(t))
	}
}

// shortened keeps a value recognisable without repeating all of it.
func shortened(raw []byte) []byte {
	const most = 60
	if len(raw) <= most {
		return raw
	}
	return append(bytes.ToValidUTF8(slices.Clone(raw[:most]), nil), "…"...)
}

func article(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		return "a list"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	default:
		return "a " + t.Kind().String()
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// jsonFields maps the lower-case JSON names of a struct's fields, embedded ones included, to their types.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		if name := jsonName(f); name != "" {
			fields[strings.ToLower(name)] = f.Type
		}
	}
	return fields
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if name := jsonName(f); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "-" || !f.IsExported() || (f.Anonymous && name == "") {
		return ""
	}
	return name
}
