package main

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/evaluation/advise"
	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
	"github.com/llm-inferno/inferno/optimizer/recommend"
	"github.com/llm-inferno/inferno/optimizer/workload"
)

// shownReport is a page as it is written, for test/browser to look at.
const shownReport = "../../test/data/advice/report.html"

var updateReport = flag.Bool("update-report", false, "write "+shownReport)

// hostile is a name that would run where it is not escaped.
const hostile = `"><script src=http://x.example/y>alert('1')</script><img onerror=alert(1)>`

func series(values ...float64) advise.Series {
	var s advise.Series
	for _, v := range values {
		if v < 0 {
			s = append(s, nil)
		} else {
			s = append(s, &v)
		}
	}
	return s
}

// told is advice with all that a page can show, of names that somebody made up.
func told(t *testing.T) *advise.Report {
	t.Helper()
	r := advised(t, &adviseOptions{})
	off := 0.02
	s := &r.Servers[0]
	s.Name = "chat" + hostile
	s.Serves.Model.Value, s.Serves.Model.From = hostile, hostile
	s.Serves.Unread, s.Serves.Doubts = []workload.Unread{{What: hostile, Why: hostile}}, []string{hostile}
	s.Known = 0.75
	s.Rate, s.Ready, s.Unknown = series(1, 2, -1, 4), series(3, 3, 3, 4), map[string]int{hostile: 1}
	r.Skipped = append(r.Skipped, advise.Skipped{Workload: hostile, Why: hostile})
	r.Rows = []advise.Row{
		{Policy: policy.NameInfernoFixed, CostPerHour: 300, Attainment: 0.999, Replicas: map[string]advise.Series{s.ID(): series(1, 2, 2, 2)}},
		{Policy: "as it was", Settings: hostile, CostPerHour: 900, Attainment: 1},
	}
	enough, most, dear := 2, 4, 1180.0
	r.Elsewhere = []advise.Elsewhere{{
		Server: hostile, Rate: 4, Excluded: []recommend.Excluded{{Accelerator: "L4", Why: hostile}}, Choices: []advise.Choice{{
			Configuration:       recommend.Configuration{Accelerator: "H100", TensorParallel: 1, Replicas: 3, Range: recommend.Range{P10: &enough, P90: &most}, Feasible: 0.95, CostPerHour: 885},
			CautiousCostPerHour: &dear,
		}},
	}}
	r.Saving, r.Why = &off, hostile
	f := &r.Fits[0]
	f.Model, f.From, f.ITLError, f.ITL, f.TTFT = hostile, hostile, &off, []advise.Check{{Measured: 0.02, Predicted: 0.021}}, []advise.Check{{Measured: 0.3, Predicted: 0.2}}
	return r
}

// elements of a page by name; attributes that would run, and what it would load, are errors.
func elements(t *testing.T, page string) map[string]int {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	count := map[string]int{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return count
		}
		if err != nil {
			t.Fatal(err)
		}
		start, is := token.(xml.StartElement)
		if !is {
			continue
		}
		count[start.Name.Local]++
		for _, a := range start.Attr {
			if name := strings.ToLower(a.Name.Local); strings.HasPrefix(name, "on") || name == "src" || name == "href" || name == "style" {
				t.Errorf("<%s %s=%q>", start.Name.Local, name, a.Value)
			}
		}
	}
}

// The page loads nothing and runs nothing, whatever workloads are called, and every picture has a title and says in words what it shows.
func TestReportIsOnePage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	r := told(t)
	if err := writeReport(dir, r, false); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, reportFile))
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	if *updateReport {
		if err := os.WriteFile(shownReport, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if shown, err := os.ReadFile(shownReport); err != nil || string(shown) != page {
		t.Errorf("%s is of another time (%v): go test ./cmd/inferno -run TestReportIsOnePage -update-report", shownReport, err)
	}
	count := elements(t, page)
	for _, name := range []string{"script", "img", "link", "iframe", "object", "embed", "use", "image", "a", "base", "form"} {
		if count[name] > 0 {
			t.Errorf("%d elements <%s>", count[name], name)
		}
	}
	if found := regexp.MustCompile(`(?i)url\(|@import|javascript:`).FindString(page); found != "" {
		t.Errorf("it has %s", found)
	}
	const pictures = 1 + 2 + 2 // cost; load and replicas of the server whose load is known; ITL and TTFT of a fit
	if n := strings.Count(page, `<svg role="img" aria-label="`); n != pictures || count["desc"] != pictures || count["title"] != pictures+1 || count["figcaption"] != pictures {
		t.Errorf("%d pictures, %d descriptions, %d titles, %d captions, want %d of each and the page's title", n, count["desc"], count["title"], count["figcaption"], pictures)
	}
	for _, want := range []string{
		"inferno would have cost 2.0 % less", "As it was: 3 to 4. Under inferno: 1 to 2.", "Requests per second over time: 1 to 4.", "Its load is not known.", "off by 2.0 %", "prefers-color-scheme: dark",
		"scrape their port 8000", "What was not seen: other accelerators", "<td>3 (2-4)</td><td>885</td><td>1180</td><td>95 %</td>", "prices are on-demand list prices", "no pod of it is on a node", "default-src &#39;none&#39;",
	} {
		if !strings.Contains(page, want) && !strings.Contains(page, strings.ReplaceAll(want, "&#39;", "'")) {
			t.Errorf("it does not say %q", want)
		}
	}
	if strings.Contains(page, "NaN") || strings.Contains(page, "ZgotmplZ") || strings.Contains(page, "Inf") {
		t.Errorf("it shows what is none:\n%s", page)
	}
	for _, piece := range []string{"<script", "<img"} {
		if strings.Contains(page, piece) {
			t.Errorf("names are not escaped: %s", piece)
		}
	}
	if err := writeReport(dir, r, false); err == nil || !strings.Contains(err.Error(), "--report: ") || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("written over: %v", err)
	}
	if err := writeReport(dir, r, true); err != nil {
		t.Errorf("not written over by force: %v", err)
	}
}
