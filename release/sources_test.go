package main

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// sources are the Go files of the repository and what they embed: what a build reads.
func sources(t *testing.T, root string) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	disk := os.DirFS(root)
	err := fs.WalkDir(disk, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name == "bin" || name == "out" || name == "docs" || name == "test/data" || name == "release" || strings.HasPrefix(name, ".git") {
				return fs.SkipDir
			}
			return nil
		}
		data, err := fs.ReadFile(disk, name)
		files[name] = &fstest.MapFile{Data: data, Mode: 0o644}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
