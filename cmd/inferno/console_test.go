package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestConsoleRefusesBadFlags(t *testing.T) {
	for _, test := range []struct {
		args, want []string
	}{
		{[]string{"--log=a", "--scenario=ramp", "--speed-up=0"}, []string{"--log, --scenario: both are given", "--speed-up: 0 is not allowed"}},
		{[]string{"--log=none.jsonl"}, []string{"--log: ", "none.jsonl"}},
		{[]string{"--log=."}, []string{"is a directory, must be a decision log"}},
		{[]string{"--scenario=none"}, []string{"--scenario: ", "none"}},
		{[]string{"--scenario=ramp", "--listen=0.0.0.0:7411"}, []string{`--listen: "0.0.0.0:7411" is not allowed`}},
		{[]string{"--scenario=ramp", "--listen=7411"}, []string{`--listen: "7411" is not allowed, must be HOST:PORT`}},
	} {
		var errOut bytes.Buffer
		root := newRootCommand()
		root.SetErr(&errOut)
		if status := run(t.Context(), root, append([]string{"console"}, test.args...)); status != exitBadInput {
			t.Errorf("%v: exit status %d", test.args, status)
		}
		for _, want := range test.want {
			if !strings.Contains(errOut.String(), want) {
				t.Errorf("%v: nothing about %q in %s", test.args, want, errOut.String())
			}
		}
	}
}
