package main

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

const module = "github.com/llm-inferno/inferno/"

// source is a package as it is written, without its tests. Files of all build tags are read.
type source struct {
	dir   string
	set   *token.FileSet
	files []*ast.File
}

// readSource of a folder of the repository.
func readSource(root, dir string) (*source, error) {
	s := &source{dir: dir, set: token.NewFileSet()}
	entries, err := os.ReadDir(filepath.Join(root, dir))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(s.set, filepath.Join(root, dir, e.Name()), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		s.files = append(s.files, f)
	}
	return s, nil
}

// sourceFolders are the folders below dir that hold a package, dir itself included, in order. Test data is none.
func sourceFolders(root, dir string) ([]string, error) {
	var folders []string
	err := filepath.WalkDir(filepath.Join(root, dir), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		if e.Name() == "testdata" {
			return fs.SkipDir
		}
		if found, _ := filepath.Glob(filepath.Join(path, "*.go")); len(found) > 0 {
			relative, err := filepath.Rel(root, path)
			folders = append(folders, filepath.ToSlash(relative))
			return err
		}
		return nil
	})
	return folders, err
}

// spec is a declaration with the comment that stands at it.
type spec[T ast.Spec] struct {
	spec T
	doc  string
}

// specs of a kind, in the order of the files.
func specs[T ast.Spec](s *source) []spec[T] {
	var all []spec[T]
	for _, f := range s.files {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, each := range g.Specs {
				if v, ok := each.(T); ok {
					all = append(all, spec[T]{v, docOf(g, each)})
				}
			}
		}
	}
	return all
}

// docOf a declaration: its own comment, beside or above it, or where it stands alone that of its group.
func docOf(g *ast.GenDecl, s ast.Spec) string {
	var own, beside *ast.CommentGroup
	switch v := s.(type) {
	case *ast.TypeSpec:
		own, beside = v.Doc, v.Comment
	case *ast.ValueSpec:
		own, beside = v.Doc, v.Comment
	}
	if own == nil && !g.Lparen.IsValid() {
		own = g.Doc
	}
	return strings.TrimSpace(own.Text() + "\n" + beside.Text())
}

// typeDoc is the comment of a type; empty where there is none.
func (s *source) typeDoc(name string) string {
	for _, t := range specs[*ast.TypeSpec](s) {
		if t.spec.Name.Name == name {
			return t.doc
		}
	}
	return ""
}

// field of a struct, by the name that it has in JSON.
type field struct{ json, name, doc string }

// fields of a struct, those of embedded ones of the same package included, as encoding/json takes them.
func (s *source) fields(name string) []field {
	for _, t := range specs[*ast.TypeSpec](s) {
		if st, ok := t.spec.Type.(*ast.StructType); ok && t.spec.Name.Name == name {
			return s.fieldsOf(st)
		}
	}
	return nil
}

func (s *source) fieldsOf(st *ast.StructType) []field {
	var all []field
	last := ""
	for _, f := range st.Fields.List {
		if len(f.Names) == 0 {
			if embedded, ok := f.Type.(*ast.Ident); ok {
				all = append(all, s.fields(embedded.Name)...)
			}
			continue
		}
		doc := strings.TrimSpace(f.Doc.Text() + "\n" + f.Comment.Text())
		if doc == "" && last != "" {
			doc = last // one comment for several fields
		}
		last = doc
		for _, n := range f.Names {
			if json := jsonName(f, n.Name); n.IsExported() && json != "-" {
				all = append(all, field{json, n.Name, doc})
			}
		}
	}
	return all
}

func jsonName(f *ast.Field, name string) string {
	if f.Tag == nil {
		return name
	}
	tag, _ := strconv.Unquote(f.Tag.Value)
	if m := jsonTag.FindStringSubmatch(tag); m != nil && m[1] != "" {
		return m[1]
	}
	return name
}

var jsonTag = regexp.MustCompile(`json:"([^,"]*)`)

// constants by name, as far as they can be told without types: literals, and sums of those.
func (s *source) constants() map[string]string {
	values := map[string]string{}
	for _, c := range specs[*ast.ValueSpec](s) {
		for i, n := range c.spec.Names {
			if i >= len(c.spec.Values) {
				continue
			}
			if v, err := text(c.spec.Values[i], func(e ast.Expr) (string, bool) {
				id, ok := e.(*ast.Ident)
				if !ok {
					return "", false
				}
				v, ok := values[id.Name]
				return v, ok
			}); err == nil {
				values[n.Name] = v
			}
		}
	}
	return values
}

// text of an expression of strings: literals, sums, and what look knows.
func text(e ast.Expr, look func(ast.Expr) (string, bool)) (string, error) {
	switch v := e.(type) {
	case *ast.BasicLit:
		if v.Kind == token.STRING {
			return constant.StringVal(constant.MakeFromLiteral(v.Value, v.Kind, 0)), nil
		}
	case *ast.BinaryExpr:
		a, errA := text(v.X, look)
		b, errB := text(v.Y, look)
		if errA == nil && errB == nil && v.Op == token.ADD {
			return a + b, nil
		}
	}
	if s, ok := look(e); ok {
		return s, nil
	}
	return "", fmt.Errorf("%T is no text that is known", e)
}
