// Package plug is how implementations of a stage are chosen: a registry from name to constructor, with options that are decoded strictly
// over their defaults.
package plug

import (
	encoding "encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/json"
)

// Entry is one implementation of a stage.
type Entry[T any] struct {
	Name string
	// Options are the defaults of its options, a struct.
	Options any
	// New builds the implementation from its options as JSON, which may be empty.
	New func(options []byte) (T, error)
}

// Option is a typed set of options that can say what is wrong with it. Validate joins every fault; each names the field, the value and
// what is allowed.
type Option interface {
	Validate() error
}

// NoOptions is for implementations that have none.
type NoOptions struct{}

// Validate finds nothing wrong.
func (NoOptions) Validate() error { return nil }

// Of makes an entry: options start as defaults, are overwritten by what the JSON says, validated, and handed to build.
func Of[T any, O Option](name string, defaults func() O, build func(O) (T, error)) Entry[T] {
	return Entry[T]{Name: name, Options: defaults(), New: func(raw []byte) (T, error) {
		var none T
		o := defaults()
		if len(raw) > 0 {
			unknown, err := json.UnmarshalStrict(raw, &o)
			if err == nil {
				err = o.Validate()
			}
			if err := errors.Join(append(unknown, InWords(err))...); err != nil {
				return none, fmt.Errorf("options of %q: %w", name, err)
			}
		} else if err := o.Validate(); err != nil {
			return none, fmt.Errorf("options of %q: %w", name, err)
		}
		return build(o)
	}}
}

// InWords says of an error of decoding JSON what stands where something else is expected; other errors stay as they are.
func InWords(err error) error {
	var wrong *encoding.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	expected := "a number"
	switch wrong.Type.Kind() {
	case reflect.String:
		expected = "a string"
	case reflect.Bool:
		expected = "true or false"
	case reflect.Struct, reflect.Map:
		expected = "an object"
	case reflect.Slice:
		expected = "a list"
	}
	return fmt.Errorf("%s: %s stands where %s is expected", wrong.Field, wrong.Value, expected)
}

// Registry holds the implementations of one stage. It does not change after it was made.
type Registry[T any] struct {
	kind    string
	entries map[string]Entry[T]
}

// NewRegistry makes the registry of a stage; kind is what people call the stage ("solver"). A name given twice is a programming error and
// panics.
func NewRegistry[T any](kind string, entries ...Entry[T]) Registry[T] {
	r := Registry[T]{kind: kind, entries: make(map[string]Entry[T], len(entries))}
	for _, e := range entries {
		if _, twice := r.entries[e.Name]; twice {
			panic(fmt.Sprintf("plug: %s %q is registered twice", kind, e.Name))
		}
		r.entries[e.Name] = e
	}
	return r
}

// New builds the implementation of that name. An unknown name is an error that lists the known ones.
func (r Registry[T]) New(name string, options []byte) (T, error) {
	e, ok := r.entries[name]
	if !ok {
		var none T
		return none, fmt.Errorf("%s: unknown name %q, allowed are %s", r.kind, name, strings.Join(r.Names(), ", "))
	}
	t, err := e.New(options)
	if err != nil {
		var none T
		return none, fmt.Errorf("%s: %w", r.kind, err)
	}
	return t, nil
}

// Options are the defaults of the options of an implementation, a struct; nil where the name is unknown.
func (r Registry[T]) Options(name string) any { return r.entries[name].Options }

// Kind is what people call the stage.
func (r Registry[T]) Kind() string { return r.kind }

// Names are the registered names, sorted.
func (r Registry[T]) Names() []string {
	names := make([]string, 0, len(r.entries))
	for n := range r.entries {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
