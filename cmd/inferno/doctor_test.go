package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/llm-inferno/inferno/cmd/inferno/doctor"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
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
	cluster := &doctor.Cluster{
		Now: time.Unix(100, 0), Servers: make([]v1alpha1.Server, 3),
		Leases: []doctor.Lease{{Name: "inferno-scheduler", Deployment: "inferno-system/inferno-scheduler", Holder: "pod-a", Renewed: time.Unix(97, 0), Duration: 15 * time.Second}},
	}
	const lease = "lease inferno-scheduler of deployment/inferno-system/inferno-scheduler: held by pod-a, renewed 3s ago\n"
	var out bytes.Buffer
	if err := writeFindings(&out, "table", cluster, findings); err != nil || !strings.Contains(out.String(), "fault     hpa/llm/chat  p        r") || !strings.HasPrefix(out.String(), lease) {
		t.Errorf("%v: %s", err, out.String())
	}
	for _, list := range [][]doctor.Finding{findings, nil} {
		out.Reset()
		var got struct {
			Servers  int
			Leases   []doctor.Lease
			Findings []doctor.Finding
		}
		if err := writeFindings(&out, "json", cluster, list); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Servers != 3 || len(got.Leases) != 1 || got.Leases[0].Holder != "pod-a" || got.Findings == nil || len(got.Findings) != len(list) {
			t.Errorf("%v: %s", err, out.String())
		}
	}
	out.Reset()
	if err := writeFindings(&out, "table", cluster, nil); err != nil || out.String() != lease+"nothing keeps the plans of 3 servers from being followed\n" {
		t.Errorf("%v: %s", err, out.String())
	}
}
