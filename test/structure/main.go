// Command structure checks that the house is built as it is drawn, and writes the drawing: the table of packages in docs/architecture.md.
//
//	go run ./test/structure          says what breaks a rule; make verify runs it
//	go run ./test/structure -write   writes the table; make generate runs it
//
// The rules are in rules.go. It lies in test/ because it looks at everything and nothing that ships may look at it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

const document = "docs/architecture.md"

func main() {
	write := flag.Bool("write", false, "write the table of packages in "+document+" instead of checking")
	flag.Parse()
	if err := run(".", *write); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(root string, write bool) error {
	house, err := list(root)
	if err != nil {
		return err
	}
	file := filepath.Join(root, document)
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	current, err := withTable(string(text), house)
	if err != nil {
		return fmt.Errorf("%s: %w", document, err)
	}
	if write {
		return os.WriteFile(file, []byte(current), 0o644)
	}
	var faults []error
	if current != string(text) {
		faults = append(faults, fmt.Errorf("%s: the table of packages is not what the code imports: run make generate", document))
	}
	return errors.Join(append(faults, check(root, house)...)...)
}
