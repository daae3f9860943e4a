package forecast_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/forecast"
)

func TestReadSamples(t *testing.T) {
	got, err := forecast.ReadSamples(strings.NewReader("x,seconds,request_rate_per_s\na,0,1.5\nb,600,\nc,1200,NaN\nd,1800,0\n"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]forecast.Sample{{Time: 0, Rate: 1.5}, {Time: 1800, Rate: 0}}, got); d != "" {
		t.Error(d)
	}
}

func TestReadSamplesReportsEveryFault(t *testing.T) {
	const header = "seconds,request_rate_per_s\n"
	for text, want := range map[string][]string{
		"":                                     {"header"},
		"time,rate\n":                          {"header", "seconds", "request_rate_per_s"},
		header + "0,1\n0,2\n5,-1\nx,1\n9,1e99": {"line 3: seconds", "line 4: request_rate_per_s: \"-1\"", "line 5", "line 6"},
		header + "0,1,2\n":                     {"line 2", "number of fields"},
	} {
		_, err := forecast.ReadSamples(strings.NewReader(text))
		if err == nil {
			t.Errorf("%q was read", text)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q: %v, want it to say %q", text, err, w)
			}
		}
	}
}

func FuzzReadSamples(f *testing.F) {
	f.Add("seconds,request_rate_per_s\n0,1\n600,2.5\n1200,\n")
	f.Add("request_rate_per_s,seconds\n1,0\nNaN,7\n")
	f.Fuzz(func(t *testing.T, text string) {
		samples, err := forecast.ReadSamples(strings.NewReader(text))
		if err != nil && samples != nil {
			t.Error("an error and samples")
		}
		for i, s := range samples {
			if !(s.Rate >= 0) || math.IsInf(s.Rate, 0) || i > 0 && !(s.Time > samples[i-1].Time) {
				t.Errorf("sample %d of %q is %v", i, text, s)
			}
		}
	})
}
