package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// metricSources are the programs with the folders that their metrics are declared in.
var metricSources = []struct {
	title, about string
	dirs         []string
}{
	{"inferno-optimizer", "Served on `--metrics-bind-address`, beside those of controller-runtime.", []string{"optimizer/loop", "optimizer/gates"}},
	{"inferno-adapter", "Served on `/metrics` of the secure port, beside those of the API server library.", []string{"metricsadapter"}},
	{"inferno-scheduler", "Served on `/metrics` of the secure port, beside those of kube-scheduler.", []string{"plugins/inferno"}},
}

func metricsPage(root string) (string, error) {
	m := newMarkdown("Metrics", "Every metric that inferno's programs declare. What to watch and which alerts come with it: [operations](../operations.md).")
	for _, s := range metricSources {
		var folders []string
		for _, dir := range s.dirs {
			below, err := sourceFolders(root, dir)
			if err != nil {
				return "", err
			}
			folders = append(folders, below...)
		}
		var found []metric
		for _, dir := range folders {
			src, err := readSource(root, dir)
			if err != nil {
				return "", err
			}
			of, err := metricsOf(root, src)
			if err != nil {
				return "", fmt.Errorf("%s: %w", dir, err)
			}
			found = append(found, of...)
		}
		slices.SortFunc(found, func(a, b metric) int { return strings.Compare(a.name, b.name) })
		m.printf("\n## %s\n\n%s\n", s.title, s.about)
		var rows [][]string
		for _, f := range found {
			rows = append(rows, []string{code(f.name), f.kind, code(strings.Join(f.labels, ", ")), f.help})
		}
		m.table([]string{"metric", "type", "labels", "what it is"}, rows)
	}
	err := m.served(root)
	return m.String(), err
}

// served writes what the adapter answers autoscalers with, the constants of package metricsadapter that name metrics.
func (m *markdown) served(root string) error {
	src, err := readSource(root, "metricsadapter")
	if err != nil {
		return err
	}
	m.printf("\n## For autoscalers\n\nWhat inferno-adapter serves through `external.metrics.k8s.io`, `custom.metrics.k8s.io` and KEDA.\n")
	var rows [][]string
	values := src.constants()
	for _, c := range specs[*ast.ValueSpec](src) {
		if name := values[c.spec.Names[0].Name]; strings.HasPrefix(name, "inferno_") {
			rows = append(rows, []string{code(name), strings.TrimPrefix(c.doc, c.spec.Names[0].Name+" is ")})
		}
	}
	m.table([]string{"metric", "what it is"}, rows)
	return nil
}

// metric as it is declared.
type metric struct {
	name, kind, help string
	labels           []string
}

// metricsOf a package are the calls that make a metric. A name, help or label that cannot be told is an error with its place.
func metricsOf(root string, s *source) ([]metric, error) {
	r := &resolver{root: root, own: s.constants(), locals: map[string]ast.Expr{}}
	var found []metric
	var err error
	for _, f := range s.files {
		r.imports = importsOf(f)
		ast.Inspect(f, func(n ast.Node) bool {
			switch v := n.(type) {
			case *ast.AssignStmt:
				r.remember(v)
			case *ast.CallExpr:
				m, ok, e := r.metric(v)
				if e != nil && err == nil {
					err = fmt.Errorf("%s: %w", s.set.Position(v.Pos()), e)
				}
				if ok {
					found = append(found, m)
				}
			}
			return err == nil
		})
	}
	return found, err
}

// resolver tells what expressions are: constants of the package and of others of ours, and local variables.
type resolver struct {
	root    string
	own     map[string]string
	imports map[string]string
	locals  map[string]ast.Expr
}

func importsOf(f *ast.File) map[string]string {
	paths := map[string]string{}
	for _, i := range f.Imports {
		path, _ := strconv.Unquote(i.Path.Value)
		name := path[strings.LastIndexByte(path, '/')+1:]
		if i.Name != nil {
			name = i.Name.Name
		}
		paths[name] = path
	}
	return paths
}

func (r *resolver) remember(a *ast.AssignStmt) {
	for i, left := range a.Lhs {
		if id, ok := left.(*ast.Ident); ok && a.Tok == token.DEFINE && i < len(a.Rhs) {
			r.locals[id.Name] = a.Rhs[i]
		}
	}
}

// metric that a call makes: a constructor with options and perhaps labels, or NewDesc.
func (r *resolver) metric(call *ast.CallExpr) (m metric, ok bool, err error) {
	if f, is := call.Fun.(*ast.SelectorExpr); is && f.Sel.Name == "NewDesc" && len(call.Args) >= 3 {
		m.kind = "gauge"
		if m.name, err = r.text(call.Args[0]); err == nil {
			m.help, err = r.text(call.Args[1])
		}
		if err == nil {
			m.labels, err = r.list(call.Args[2])
		}
		return m, err == nil, err
	}
	if len(call.Args) == 0 {
		return m, false, nil
	}
	options := optionsOf(call.Args[0])
	if options == nil {
		return m, false, nil
	}
	m.kind = strings.ToLower(strings.TrimSuffix(options.Type.(*ast.SelectorExpr).Sel.Name, "Opts"))
	var parts []string
	for _, name := range []string{"Namespace", "Subsystem", "Name"} {
		if e := valueOf(options, name); e != nil {
			part, err := r.text(e)
			if err != nil {
				return m, false, err
			}
			parts = append(parts, part)
		}
	}
	m.name = strings.Join(parts, "_")
	if m.help, err = r.text(valueOf(options, "Help")); err != nil {
		return m, false, err
	}
	if len(call.Args) > 1 {
		m.labels, err = r.list(call.Args[1])
	}
	return m, err == nil, err
}

// optionsOf a metric: a literal such as prometheus.GaugeOpts; nil where it is none.
func optionsOf(e ast.Expr) *ast.CompositeLit {
	if u, ok := e.(*ast.UnaryExpr); ok {
		e = u.X
	}
	literal, ok := e.(*ast.CompositeLit)
	if !ok {
		return nil
	}
	if t, ok := literal.Type.(*ast.SelectorExpr); ok && slices.Contains([]string{"CounterOpts", "GaugeOpts", "HistogramOpts", "SummaryOpts"}, t.Sel.Name) {
		return literal
	}
	return nil
}

func valueOf(literal *ast.CompositeLit, key string) ast.Expr {
	for _, e := range literal.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if id, ok := kv.Key.(*ast.Ident); ok && id.Name == key {
				return kv.Value
			}
		}
	}
	return nil
}

func (r *resolver) text(e ast.Expr) (string, error) { return text(e, r.look) }

// look up a constant, of the package or of another of ours.
func (r *resolver) look(e ast.Expr) (string, bool) {
	switch v := e.(type) {
	case *ast.Ident:
		s, ok := r.own[v.Name]
		return s, ok
	case *ast.SelectorExpr:
		id, ok := v.X.(*ast.Ident)
		if !ok || !strings.HasPrefix(r.imports[id.Name], module) {
			return "", false
		}
		other, err := readSource(r.root, strings.TrimPrefix(r.imports[id.Name], module))
		if err != nil {
			return "", false
		}
		s, ok := other.constants()[v.Sel.Name]
		return s, ok
	}
	return "", false
}

// list of texts: a literal, a local variable that holds one, or append to one.
func (r *resolver) list(e ast.Expr) ([]string, error) {
	switch v := e.(type) {
	case *ast.CompositeLit:
		return r.texts(v.Elts)
	case *ast.Ident:
		if v.Name == "nil" {
			return nil, nil
		}
		if value, ok := r.locals[v.Name]; ok {
			return r.list(value)
		}
	case *ast.CallExpr:
		if f, ok := v.Fun.(*ast.Ident); ok && f.Name == "append" {
			first, err := r.list(v.Args[0])
			if err != nil {
				return nil, err
			}
			more, err := r.texts(v.Args[1:])
			return slices.Concat(first, more), err
		}
	}
	return nil, fmt.Errorf("%T is no list of labels that is known", e)
}

func (r *resolver) texts(all []ast.Expr) ([]string, error) {
	out := make([]string, len(all))
	for i, e := range all {
		var err error
		if out[i], err = r.text(e); err != nil {
			return nil, err
		}
	}
	return out, nil
}
