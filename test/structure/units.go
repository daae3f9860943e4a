package main

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
)

// unitFree are the packages that must not convert units.
var unitFree = []string{
	"optimizer/adoption", "optimizer/analysis", "optimizer/catalogue", "optimizer/control", "optimizer/demand", "optimizer/estimation/conformance",
	"optimizer/estimation/recording", "optimizer/evaluation/readings", "optimizer/evaluation/scenario", "optimizer/fleet",
	"optimizer/forecast", "optimizer/gates", "optimizer/llminferno", "optimizer/loop", "optimizer/observe", "optimizer/placement", "optimizer/placement/seats", "optimizer/plug",
	"optimizer/queueing/conformance", "optimizer/realise", "optimizer/simulation", "optimizer/simulation/routing",
	"optimizer/simulation/serving", "optimizer/simulation/trace", "optimizer/sizing", "optimizer/solver/conformance",
	"optimizer/solver/instances", "optimizer/solver/internal/branch", "optimizer/solver/internal/choicelp", "optimizer/stability", "optimizer/whatif",
}

// factors of conversions: seconds a minute, milliseconds a second, and what divides by them.
var factors = []constant.Value{
	number(token.INT, "60"), number(token.INT, "1000"), number(token.FLOAT, "1e-3"),
	constant.BinaryOp(number(token.FLOAT, "1.0"), token.QUO, number(token.FLOAT, "60.0")),
}

func number(kind token.Token, text string) constant.Value {
	return constant.ToFloat(constant.MakeFromLiteral(text, kind, 0))
}

// parsed is a file of a package.
func parsed(root string, p pkg, visit func(set *token.FileSet, f *ast.File)) []error {
	var faults []error
	set := token.NewFileSet()
	for _, name := range p.Files {
		f, err := parser.ParseFile(set, filepath.Join(root, p.Path, name), nil, parser.SkipObjectResolution)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		visit(set, f)
	}
	return faults
}

// conversions: products and quotients of a value that is not constant and a factor of a conversion, written out or by a name that the package
// gives it. A constant product, such as the seconds of a day, converts nothing.
func conversions(root string, p pkg) []error {
	var faults []error
	named := map[string]constant.Value{}
	faults = append(faults, parsed(root, p, func(_ *token.FileSet, f *ast.File) { nameFactors(f, named) })...)
	return append(faults, parsed(root, p, func(set *token.FileSet, f *ast.File) {
		say := func(n ast.Node, what string) {
			faults = append(faults, fmt.Errorf("%v: %s by %s converts units; only %v do", set.Position(n.Pos()), p.Path, what, boundaries))
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch v := n.(type) {
			case *ast.BinaryExpr:
				x, y := value(v.X, named), value(v.Y, named)
				scales := v.Op == token.MUL || v.Op == token.QUO
				if scales && (x == nil) != (y == nil) && (isFactor(y) || isFactor(x) && (v.Op == token.MUL || isShare(x))) {
					say(v, v.Op.String())
				}
			case *ast.AssignStmt:
				if (v.Tok == token.MUL_ASSIGN || v.Tok == token.QUO_ASSIGN) && isFactor(value(v.Rhs[0], named)) {
					say(v, v.Tok.String())
				}
			}
			return true
		})
	})...)
}

// nameFactors remembers the constants of a file that are numbers, local ones included.
func nameFactors(f *ast.File, named map[string]constant.Value) {
	ast.Inspect(f, func(n ast.Node) bool {
		d, ok := n.(*ast.GenDecl)
		if !ok || d.Tok != token.CONST {
			return true
		}
		for _, s := range d.Specs {
			v := s.(*ast.ValueSpec)
			for i, name := range v.Names {
				if i >= len(v.Values) {
					continue
				}
				if c := value(v.Values[i], named); c != nil {
					named[name.Name] = c
				}
			}
		}
		return true
	})
}

// value of a constant expression of numbers; nil where it is none.
func value(e ast.Expr, named map[string]constant.Value) constant.Value {
	switch v := e.(type) {
	case *ast.BasicLit:
		if v.Kind == token.INT || v.Kind == token.FLOAT {
			return number(v.Kind, v.Value)
		}
	case *ast.Ident:
		return named[v.Name]
	case *ast.ParenExpr:
		return value(v.X, named)
	case *ast.BinaryExpr:
		x, y := value(v.X, named), value(v.Y, named)
		arithmetic := slices.Contains([]token.Token{token.ADD, token.SUB, token.MUL, token.QUO}, v.Op)
		if x == nil || y == nil || !arithmetic || v.Op == token.QUO && constant.Sign(y) == 0 {
			return nil
		}
		return constant.BinaryOp(x, v.Op, y)
	}
	return nil
}

func isFactor(v constant.Value) bool {
	return v != nil && slices.ContainsFunc(factors, func(f constant.Value) bool { return constant.Compare(v, token.EQL, f) })
}

// isShare tells a factor that divides, such as minutes a second: what stands above a line is then converted all the same.
func isShare(v constant.Value) bool { return constant.Compare(v, token.LSS, number(token.INT, "1")) }

// clockReaders are the functions of package time that look at the clock or wait for it.
var clockReaders = []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}

// clocks: the core does not know what time it is.
func clocks(root string, p pkg) []error {
	var faults []error
	return append(faults, parsed(root, p, func(set *token.FileSet, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if id, ok := s.X.(*ast.Ident); ok && id.Name == "time" && slices.Contains(clockReaders, s.Sel.Name) {
				faults = append(faults, fmt.Errorf("%v: %s reads the clock with time.%s; the decision core may not", set.Position(n.Pos()), p.Path, s.Sel.Name))
			}
			return true
		})
	})...)
}
