package specification

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// duration is how the JSON specification names an option that is a duration in resources, and what it counts it in.
type duration struct {
	option string
	unit   time.Duration
}

// durations by their names in resources.
var durations = map[string]duration{
	"memory":          {"memoryHours", time.Hour},
	"scaleInHoldDown": {"scaleInHoldDownSeconds", time.Second},
	"timeout":         {"timeout", time.Second},
	"window":          {"window", time.Second},
}

// PlugName is the registered name of a member of a choice: sliding-window of slidingWindow.
func PlugName(member string) string {
	var b strings.Builder
	for _, r := range member {
		if unicode.IsUpper(r) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// OptionName is the name in the JSON specification of an option.
func OptionName(field string) string {
	if d, ok := durations[field]; ok {
		return d.option
	}
	return field
}

// plugs writes choices of the JSON specification as those of an Optimizer. Those that no Optimizer can have are faults.
func plugs(p *jsonspec.Plugs) (v1alpha1.Plugs, []error) {
	var (
		out    v1alpha1.Plugs
		faults []error
	)
	from, to := reflect.ValueOf(p).Elem(), reflect.ValueOf(&out).Elem()
	for i := range from.NumField() {
		plug := from.Field(i).Interface().(*jsonspec.Plug)
		if plug == nil {
			continue
		}
		choice := reflect.New(to.Field(i).Type().Elem())
		if err := choose(plug, choice.Elem()); err != nil {
			faults = append(faults, fmt.Errorf("optimizer.%s.%w", jsonName(from.Type().Field(i)), err))
			continue
		}
		to.Field(i).Set(choice)
	}
	return out, faults
}

// choose sets the member of a choice that is called like the plug, and its options.
func choose(plug *jsonspec.Plug, choice reflect.Value) error {
	var names []string
	for i := range choice.NumField() {
		name := PlugName(jsonName(choice.Type().Field(i)))
		if name != plug.Name {
			names = append(names, name)
			continue
		}
		member := reflect.New(choice.Field(i).Type().Elem())
		choice.Field(i).Set(member)
		if plug.Options == nil {
			return nil
		}
		return setOptions(plug.Options.Raw, member.Elem())
	}
	return fmt.Errorf("name: %q is not allowed, must be one of %s", plug.Name, strings.Join(names, ", "))
}

func setOptions(raw []byte, member reflect.Value) error {
	options := map[string]json.Number{}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&options); err != nil {
		return fmt.Errorf("options: %w", err)
	}
	for _, f := range optionFields(member) {
		n, given := options[OptionName(f.name)]
		if !given {
			continue
		}
		delete(options, OptionName(f.name))
		x, err := n.Float64()
		if err != nil {
			return fmt.Errorf("options.%s: %q is not a number", OptionName(f.name), n)
		}
		switch v := f.value.Addr().Interface().(type) {
		case **v1alpha1.Decimal:
			*v = &v1alpha1.Decimal{Text: n.String()}
		case **int32:
			whole := int32(x)
			if float64(whole) != x {
				return fmt.Errorf("options.%s: %s is not allowed, must be a whole number", OptionName(f.name), n)
			}
			*v = &whole
		case **metav1.Duration:
			if d := x * float64(durations[f.name].unit); math.Abs(d) < math.MaxInt64 {
				*v = &metav1.Duration{Duration: time.Duration(d)}
			} else {
				return fmt.Errorf("options.%s: %s is not allowed, must be a duration of at most 292 years", OptionName(f.name), n)
			}
		}
	}
	for name := range options {
		return fmt.Errorf("options: %q is not an option of it", name)
	}
	return nil
}

// fromPlugs writes the choices of an Optimizer as those of the JSON specification.
func fromPlugs(p *v1alpha1.Plugs) jsonspec.Plugs {
	var out jsonspec.Plugs
	from, to := reflect.ValueOf(p).Elem(), reflect.ValueOf(&out).Elem()
	for i := range from.NumField() {
		if !from.Field(i).IsNil() {
			to.Field(i).Set(reflect.ValueOf(chosen(from.Field(i).Elem())))
		}
	}
	return out
}

// chosen is the member of a choice; without any, which the schema refuses, its name is empty, which no stage knows.
func chosen(choice reflect.Value) *jsonspec.Plug {
	plug := new(jsonspec.Plug)
	for i := range choice.NumField() {
		member := choice.Field(i)
		if member.IsNil() {
			continue
		}
		plug.Name = PlugName(jsonName(choice.Type().Field(i)))
		options := map[string]any{}
		for _, f := range optionFields(member.Elem()) {
			if f.value.IsNil() {
				continue
			}
			switch v := f.value.Interface().(type) {
			case *v1alpha1.Decimal:
				options[OptionName(f.name)] = json.Number(v.Text)
			case *int32:
				options[OptionName(f.name)] = *v
			case *metav1.Duration:
				options[OptionName(f.name)] = float64(v.Duration) / float64(durations[f.name].unit)
			}
		}
		if len(options) == 0 {
			continue
		}
		raw, err := json.Marshal(options)
		if err != nil { // a Decimal that no schema has seen
			raw = []byte(`{"options": "of a Decimal that is no number"}`)
		}
		plug.Options = &runtime.RawExtension{Raw: raw}
	}
	return plug
}

// optionField is an option of an implementation.
type optionField struct {
	name  string
	value reflect.Value
}

// optionFields of a member, those of embedded structs among them.
func optionFields(member reflect.Value) []optionField {
	var out []optionField
	for i := range member.NumField() {
		if f := member.Type().Field(i); f.Anonymous {
			out = append(out, optionFields(member.Field(i))...)
		} else {
			out = append(out, optionField{jsonName(f), member.Field(i)})
		}
	}
	return out
}
