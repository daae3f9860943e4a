package wva

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// report collects what is wrong with the input and what of it has no counterpart, each line with its object and field.
type report struct{ faults, notes []string }

// fields of a part of an object. They remember which were asked for: those that were not have no counterpart.
type fields struct {
	report *report
	object string
	path   string
	values map[string]any
	asked  map[string]bool
}

func (r *report) fields(object, path string, values map[string]any) *fields {
	return &fields{report: r, object: object, path: path, values: values, asked: map[string]bool{}}
}

// at is the path of a field.
func (f *fields) at(key string) string { return strings.Trim(f.path+"."+key, ".") }

func (f *fields) fault(key, format string, args ...any) {
	f.report.faults = append(f.report.faults, f.object+": "+f.at(key)+": "+fmt.Sprintf(format, args...))
}

func (f *fields) note(key, format string, args ...any) {
	f.report.notes = append(f.report.notes, f.object+": "+f.at(key)+": "+fmt.Sprintf(format, args...))
}

// wrong says that a value is not allowed, and what is.
func (f *fields) wrong(key string, allowed string) {
	f.fault(key, "%s is not allowed, must be %s", shown(f.values[key]), allowed)
}

// shown is a value as it is said in a fault: in a line, and not at length.
func shown(v any) string {
	s := fmt.Sprintf("%v", v)
	if text, is := v.(string); is {
		s = strconv.Quote(text)
	}
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strings.ReplaceAll(s, "\n", `\n`)
}

// get a field; nil is as good as absent.
func (f *fields) get(key string) (any, bool) {
	f.asked[key] = true
	v := f.values[key]
	return v, v != nil
}

// document of a field: a string of any length; empty where it is absent.
func (f *fields) document(key string) string {
	v, given := f.get(key)
	s, is := v.(string)
	if given && !is {
		f.wrong(key, "a string")
	}
	return s
}

// longest name that resources take.
//
// Exact: of a DNS subdomain.
const longest = 253

// text of a field; empty where it is absent.
func (f *fields) text(key string) string {
	s := f.document(key)
	if len(s) > longest {
		f.wrong(key, fmt.Sprintf("a string of at most %d bytes", longest))
	}
	return s
}

// required text.
func (f *fields) required(key string) string {
	if v, given := f.get(key); !given || v == "" {
		f.fault(key, "is missing, must be a string")
		return ""
	}
	return f.text(key)
}

// number of a field, which may be written as a string, of at least 0; not known where it is absent or wrong.
func (f *fields) number(key string) (x float64, known bool) {
	v, given := f.get(key)
	if !given {
		return 0, false
	}
	x, is := v.(float64)
	if s, text := v.(string); text {
		parsed, err := strconv.ParseFloat(s, 64)
		x, is = parsed, err == nil
	}
	if !is || !(x >= 0) || math.IsInf(x, 0) {
		f.wrong(key, "a number of at least 0")
		return 0, false
	}
	return x, true
}

// longestLatency that is taken for one.
//
// Tuned: ms; guard against a number that is a mistake: a day
const longestLatency = 86_400_000

// latency of a field in ms; 0 where it is absent.
func (f *fields) latency(key string) float64 {
	x, known := f.number(key)
	if known && x != 0 && (x < 0.001 || x > longestLatency) {
		f.wrong(key, fmt.Sprintf("0, or a number of ms from 0.001 to %d", longestLatency))
	}
	return x
}

// whole number of a field from least to most; least where it is absent or wrong.
func (f *fields) whole(key string, least, most int) int {
	v, given := f.get(key)
	if !given {
		f.fault(key, "is missing, must be a whole number from %d to %d", least, most)
		return least
	}
	x, is := v.(float64)
	if !is || x != math.Trunc(x) || x < float64(least) || x > float64(most) {
		f.wrong(key, fmt.Sprintf("a whole number from %d to %d", least, most))
		return least
	}
	return int(x)
}

// child has the fields below a field; nil where it is absent or wrong.
func (f *fields) child(key string) *fields {
	v, given := f.get(key)
	if !given {
		return nil
	}
	values, is := v.(map[string]any)
	if !is {
		f.wrong(key, "an object")
		return nil
	}
	return f.report.fields(f.object, f.at(key), values)
}

// list has the fields of each element of a field.
func (f *fields) list(key string) []*fields {
	v, given := f.get(key)
	elements, is := v.([]any)
	if given && !is {
		f.wrong(key, "a list")
	}
	var all []*fields
	for i, e := range elements {
		at := fmt.Sprintf("%s[%d]", key, i)
		values, is := e.(map[string]any)
		if !is {
			f.fault(at, "%s is not allowed, must be an object", shown(e))
			continue
		}
		all = append(all, f.report.fields(f.object, f.at(at), values))
	}
	return all
}

// rest notes the fields that were not asked for, without their values: some are secrets.
func (f *fields) rest(why string) {
	for _, key := range slices.Sorted(maps.Keys(f.values)) {
		if !f.asked[key] {
			f.note(key, "%s", why)
		}
	}
}
