package promql

import (
	"encoding/json"
	"flag"
	"path/filepath"
	"testing"
	"time"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

var pagesOf = flag.String("pages", "", "directory of pages of metrics (*.prom) to look at: go test ./test/promql -run Pages -v -args -pages DIR")

// What is understood of pages that servers wrote, one file each: each is played as what its server shows after five minutes, the counters
// rising from zero. A page of which no load is understood fails. Without a directory, the pages of this repository are looked at.
func TestPages(t *testing.T) {
	pattern := pages + "/*.end.prom"
	if *pagesOf != "" {
		pattern = *pagesOf + "/*.prom"
	}
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no pages match %s: %v", pattern, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			p := newPrometheus(t)
			last := readPage(t, file)
			start := last.began()
			for ago := length; ago >= 0; ago -= scrape {
				p.scrape("a", end.Add(-ago), start.between(last, 1-float64(ago)/float64(length)))
			}
			st, o := p.look(end, pod("a", time.Hour))
			if o.Fault != "" || len(o.Groups) != 1 || st.Load == nil {
				t.Fatalf("%s %s, groups %v", o.Fault, o.Detail, o.Groups)
			}
			understood, err := json.Marshal(struct {
				Load  *v1alpha1.ObservedLoad
				Group v1alpha1.ObservedGroup
			}{st.Load, o.Groups[0]})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s", understood)
		})
	}
}

// began is the page of a server that begins: its counters are zero.
func (a page) began() page {
	out := page{}
	for _, s := range a {
		if s.counter {
			s.value = 0
		}
		out.put(s)
	}
	return out
}
