package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
)

const module = "github.com/llm-inferno/inferno/"

// pkg is a package of ours as go list tells it, with paths below the module.
type pkg struct {
	Path string
	// Doc is the first sentence of its comment.
	Doc     string
	Files   []string
	Imports []string
	// Ours are the imports that are of the module.
	Ours []string
}

// list the packages of the module, sorted by path. Files of tests do not count.
func list(root string) ([]pkg, error) {
	var out, stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,GoFiles,Imports", "./...")
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, &out, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr.Bytes())
	}
	var all []pkg
	for d := json.NewDecoder(&out); ; {
		var p struct {
			ImportPath, Doc  string
			GoFiles, Imports []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		all = append(all, newPkg(p.ImportPath, p.Doc, p.GoFiles, p.Imports))
	}
	slices.SortFunc(all, func(a, b pkg) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

func newPkg(path, doc string, files, imports []string) pkg {
	p := pkg{Path: strings.TrimPrefix(path, module), Doc: doc, Files: files, Imports: imports}
	for _, i := range imports {
		if ours, ok := strings.CutPrefix(i, module); ok {
			p.Ours = append(p.Ours, ours)
		}
	}
	return p
}

// below tells whether a path is one of the folders or in one of them.
func below(path string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return path == f || strings.HasPrefix(path, f+"/") })
}
