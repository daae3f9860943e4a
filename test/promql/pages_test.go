package promql

import (
	"encoding/json"
	"flag"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

var pagesOf = flag.String("pages", "", "directory of pages of metrics (*.prom) to look at: go test ./test/promql -run Pages -v -args -pages DIR")

// What is understood of pages that servers wrote, one file each. A page of which no load is understood fails. Without a directory, the pages of
// this repository are looked at.
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
			text, err := json.Marshal(understand(t, file))
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s", text)
		})
	}
}

// understood of a page: numbers by what they are.
type understood struct {
	Load  *v1alpha1.ObservedLoad
	Group jsonspec.ObservedGroup
}

// understand plays a page as what its server shows after five minutes, the counters rising from zero.
func understand(t *testing.T, file string) understood {
	t.Helper()
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
	return understood{st.Load, o.Groups[0]}
}

// Pages that servers wrote yield what can be read off them by hand: counts in five minutes, sums over counts, sizes, and nothing where the
// server shows nothing.
func TestRecordedPages(t *testing.T) {
	const perMinute = 1. / 5
	for file, want := range map[string]map[string]any{
		"vllm-0.4.3": {
			"arrivals": 1 * perMinute, "in": 5. / 1, "out": 7. / 1, "running": 0., "waiting": 0., "ttft": 313.26723, "itl": 190.16314 / 6,
			"kv": 16. * 7281, "usage": 0., "hits": nil,
		},
		"vllm-0.7": {
			// The record ends before the latencies.
			"arrivals": 4 * perMinute, "in": nil, "out": nil, "running": 0., "waiting": 0., "ttft": nil, "itl": nil,
			"kv": 16. * 81767, "usage": 0., "hits": nil, // a rate of -1: no lookups yet
		},
		"sglang-0.4": {
			"arrivals": 11228 * perMinute, "in": 8.128902e+06 / 11228, "out": 7.557572e+06 / 11228, "running": 162., "waiting": 2826.,
			"ttft": 2.3518979474117756e+09 / 11008, "itl": 866964579.1549598 / 7.400757e+06, "kv": nil, "usage": 0.28, "hits": 0.007507552643049313,
		},
		"triton-23.11": { // base metrics were not counted before 23.12
			"arrivals": 0., "in": nil, "out": nil, "running": 1., "waiting": 1., "ttft": nil, "itl": nil, "kv": 64. * 6239, "usage": 0.4875, "hits": nil,
		},
	} {
		t.Run(file, func(t *testing.T) {
			u := understand(t, pages+"/recorded/"+file+".prom")
			got := map[string]any{
				"arrivals": u.Load.ArrivalRate, "in": value(u.Group.InputTokens), "out": value(u.Group.OutputTokens),
				"running": value(u.Group.Running), "waiting": value(u.Group.Waiting), "ttft": mean(u.Group.TTFT), "itl": mean(u.Group.ITL),
				"kv": value(u.Group.KVTokens), "usage": value(u.Group.KVUsage), "hits": value(u.Group.PrefixHitRate),
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-6, 0)); diff != "" {
				t.Error(diff)
			}
		})
	}
	files, err := filepath.Glob(pages + "/recorded/*.prom")
	if err != nil || len(files) != 4 {
		t.Errorf("%d recorded pages, four are looked at: %v", len(files), err)
	}
}

func value(x *float64) any {
	if x == nil {
		return nil
	}
	return *x
}

func mean(l *jsonspec.ObservedLatency) any {
	if l == nil {
		return nil
	}
	return l.Mean
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
