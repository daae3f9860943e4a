package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/cmd/inferno/doctor"
)

func TestDoctorRefusesBadFlags(t *testing.T) {
	var errOut bytes.Buffer
	root := newRootCommand()
	root.SetErr(&errOut)
	if status := run(t.Context(), root, []string{"doctor", "-o", "xml", "--prometheus-url=ftp://x", "--window=0s", "--timeout=-1s"}); status != exitBadInput {
		t.Errorf("exit status %d", status)
	}
	for _, want := range []string{`--output: "xml"`, `--prometheus-url: "ftp://x"`, "--window: 0s", "--timeout: -1s"} {
		if !strings.Contains(errOut.String(), want) {
			t.Errorf("nothing about %s in %s", want, errOut.String())
		}
	}
}

func TestFindingsAreWritten(t *testing.T) {
	findings := []doctor.Finding{{Severity: doctor.Fault, Object: "hpa/llm/chat", Problem: "p", Remedy: "r"}}
	var out bytes.Buffer
	if err := writeFindings(&out, "table", 3, findings); err != nil || !strings.Contains(out.String(), "fault     hpa/llm/chat  p        r") {
		t.Errorf("%v: %s", err, out.String())
	}
	for _, list := range [][]doctor.Finding{findings, nil} {
		out.Reset()
		var got struct {
			Servers  int
			Findings []doctor.Finding
		}
		if err := writeFindings(&out, "json", 3, list); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Servers != 3 || got.Findings == nil || len(got.Findings) != len(list) {
			t.Errorf("%v: %s", err, out.String())
		}
	}
	out.Reset()
	if err := writeFindings(&out, "table", 3, nil); err != nil || !strings.HasPrefix(out.String(), "nothing keeps the plans of 3 servers") {
		t.Errorf("%v: %s", err, out.String())
	}
}
