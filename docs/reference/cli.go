package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

// programs in the order of the page.
var programs = []string{"inferno", "inferno-optimizer", "inferno-adapter", "inferno-scheduler"}

// cliPage asks every program for its help, and that of its commands, and of theirs.
func cliPage(root string) (string, error) {
	m := newMarkdown("Commands", "What `--help` says of each program and each of its commands.")
	for _, program := range programs {
		m.printf("\n## %s\n", program)
		if err := m.command(root, program, nil); err != nil {
			return "", err
		}
	}
	return m.String(), nil
}

// command writes the help of a command and of those below it.
func (m *markdown) command(root, program string, path []string) error {
	help, err := helpOf(root, program, path)
	if err != nil {
		return err
	}
	if len(path) > 0 {
		m.printf("\n### %s %s\n", program, strings.Join(path, " "))
	}
	m.printf("\n```\n%s\n```\n", help)
	for _, name := range commandsIn(help) {
		if err := m.command(root, program, append(path[:len(path):len(path)], name)); err != nil {
			return err
		}
	}
	return nil
}

func helpOf(root, program string, path []string) (string, error) {
	var stderr bytes.Buffer
	cmd := exec.Command("go", append(append([]string{"run", "./cmd/" + program}, path...), "--help")...)
	cmd.Dir, cmd.Stderr = root, &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, stderr.Bytes())
	}
	return tidy(string(out)), nil
}

var trailing = regexp.MustCompile(`(?m)[ \t]+$`)

// tidy removes spaces at the ends of lines, and lines at the end.
func tidy(help string) string { return strings.TrimSpace(trailing.ReplaceAllString(help, "")) }

// commandsIn a help text are those that it lists, but for those that every program of the library has.
func commandsIn(help string) []string {
	_, list, ok := strings.Cut(help, "Available Commands:\n")
	if !ok {
		return nil
	}
	var names []string
	for line := range strings.Lines(list) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "" {
			break
		}
		if name != "help" && name != "completion" {
			names = append(names, name)
		}
	}
	return names
}
