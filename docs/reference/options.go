package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"reflect"
	"regexp"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/forecast"
	"github.com/llm-inferno/inferno/optimizer/plug"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/routing"
	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/stability"
)

func optionsPage(root string) (string, error) {
	m := newMarkdown("Options of plugs", `An implementation of a stage is chosen by name, with options, in `+"`optimizer-data.json`"+` of a system specification, or by flag: `+"`{name: damped, options: {scaleInMargin: 0.2}}`"+`.
In `+"`spec.<stage>`"+` of the Optimizer resource the name, in camel case, is a field, numbers are integers or strings, and times durations without
the unit in their names: `+"`{damped: {scaleInMargin: \"0.2\", scaleInHoldDown: 5m}}`"+`; `+"`kubectl explain optimizer.spec.stability.damped`"+` tells them. What is
left out has its default; an unknown option is an error, and so is a value that is not allowed.`)
	w := optionsWriter{root: root, m: m}
	stage(&w, "spec.solver", solver.AutoName, solver.Solvers())
	stage(&w, "spec.queueModel", "", queueing.Models())
	stage(&w, "spec.estimator", estimation.Default, estimation.Estimators())
	stage(&w, "spec.forecaster", forecast.Default, forecast.Forecasters())
	stage(&w, "spec.stability", stability.Default, stability.Stabilisers())
	laws(&w)
	stage(&w, "a scenario: `truths[].stepTime`, in seconds", "", simulation.StepTimes())
	stage(&w, "a server's `routing`, as the simulation plays it", "", routing.Balancers())
	return m.String(), w.err
}

type optionsWriter struct {
	root string
	m    *markdown
	err  error
}

// stage writes the implementations of a registry, and where they are chosen.
func stage[T any](w *optionsWriter, where, fallback string, r plug.Registry[T]) {
	if w.err != nil {
		return
	}
	where = strings.TrimSpace(where)
	if strings.HasPrefix(where, "spec.") {
		where = "`" + where + "`"
	}
	w.m.printf("\n## %s\n\nChosen in %s.\n", strings.ToUpper(r.Kind()[:1])+r.Kind()[1:], where)
	src, err := readSource(w.root, strings.TrimPrefix(reflect.TypeFor[T]().PkgPath(), module))
	if err != nil {
		w.err = err
		return
	}
	for _, name := range r.Names() {
		suffix := ""
		if name == fallback {
			suffix = " (default)"
		}
		w.m.printf("\n### %s%s\n\n%s\n", name, suffix, doc(src, r, name))
		rows := optionRows(src, r, name)
		if len(rows) == 0 {
			w.m.printf("\nNo options.\n")
			continue
		}
		w.m.table([]string{"option", "default", "allowed", "what it is"}, rows)
	}
}

// laws writes the service-time laws, which describe themselves.
func laws(w *optionsWriter) {
	if w.err != nil {
		return
	}
	w.m.printf("\n## Service-time law\n\nChosen in performance data: `law`, by name and version, with its parameters in the units\ngiven here. What is said of each is from the code, where times are in seconds.\n")
	src, err := readSource(w.root, "optimizer/queueing")
	if err != nil {
		w.err = err
		return
	}
	for _, d := range queueing.Laws() {
		law, parameters := d.Fresh()
		kind := reflect.TypeOf(law).Elem().Name()
		w.m.printf("\n### %s, version %d\n\n%s\n", d.Name, d.Version, src.typeDoc(kind))
		docs := map[string]string{}
		for _, f := range src.fields(kind) {
			docs[strings.ToLower(f.name)] = f.doc
		}
		var rows [][]string
		for _, p := range parameters {
			unit, learned := "1", "as given"
			if p.Unit == queueing.Millisecond {
				unit = "ms"
			}
			if p.With != "" {
				learned = "by the factor of " + code(p.With)
			}
			rows = append(rows, []string{code(p.Name), unit, p.Range.String(), learned, docs[strings.ToLower(p.Name)]})
		}
		w.m.table([]string{"parameter", "unit", "allowed", "learned", "what it is"}, rows)
	}
}

// doc of an implementation: what stands at its name, where that says more than that it is one, else the comment of its type. One that this build
// leaves out, or that has no defaults, is found by its name.
func doc[T any](src *source, r plug.Registry[T], name string) string {
	values := src.constants()
	for _, c := range specs[*ast.ValueSpec](src) {
		if id := c.spec.Names[0].Name; values[id] == name && c.doc != "" && !strings.Contains(c.doc, "registered name") {
			return c.doc
		}
	}
	typeName := ""
	if v, err := r.New(name, nil); err == nil {
		t := reflect.TypeOf(v)
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		typeName = t.Name()
	} else {
		typeName = byName(src, name)
	}
	return src.typeDoc(typeName)
}

// byName finds the exported type that is called like an implementation.
func byName(src *source, name string) string {
	plain := strings.ReplaceAll(name, "-", "")
	for _, t := range specs[*ast.TypeSpec](src) {
		if id := t.spec.Name; id.IsExported() && strings.EqualFold(id.Name, plain) {
			return id.Name
		}
	}
	return ""
}

// optionRows are name, default, what is allowed, and comment of every option.
func optionRows[T any](src *source, r plug.Registry[T], name string) [][]string {
	defaults := reflect.TypeOf(r.Options(name))
	var values map[string]any
	if data, err := json.Marshal(r.Options(name)); err != nil || json.Unmarshal(data, &values) != nil {
		return nil
	}
	fields := src.fields(defaults.Name())
	var names []string
	for _, f := range fields {
		names = append(names, f.name, f.json)
	}
	inJSON := wordReplacer(names)
	var rows [][]string
	for _, f := range fields {
		value := ""
		if v, ok := values[f.json]; ok && v != nil {
			value = code(fmt.Sprint(v))
		}
		rows = append(rows, []string{code(f.json), value, allowed(r, name, f.json), inJSON(f.doc)})
	}
	return rows
}

// wordReplacer replaces whole words: pairs of old and new.
func wordReplacer(pairs []string) func(string) string {
	words := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		words[pairs[i]] = pairs[i+1]
	}
	return func(text string) string {
		return word.ReplaceAllStringFunc(text, func(w string) string { return cmp.Or(words[w], w) })
	}
}

var word = regexp.MustCompile(`\w+`)

// wrong values of options, one of which every check refuses.
var wrong = []any{-1e30, 1e30, -1 << 40, "no such value"}

var (
	mustBe  = regexp.MustCompile(`must be ([^\n;]+)`)
	between = regexp.MustCompile(`is not ((?:between|in|at|above|below) [^\n;]+)`)
	want    = regexp.MustCompile(`want ([^\n;]+)`)
)

// allowed is what the implementation itself says when an option is given a wrong value; empty where it takes all that were tried.
func allowed[T any](r plug.Registry[T], name, option string) string {
	for _, v := range wrong {
		raw, err := json.Marshal(map[string]any{option: v})
		if err != nil {
			return ""
		}
		_, err = r.New(name, raw)
		if err == nil {
			continue
		}
		for line := range strings.Lines(err.Error()) {
			if !strings.Contains(line, option) {
				continue
			}
			for _, pattern := range []*regexp.Regexp{mustBe, between, want} {
				if m := pattern.FindStringSubmatch(line); m != nil {
					return strings.TrimSpace(m[1])
				}
			}
		}
	}
	return ""
}
