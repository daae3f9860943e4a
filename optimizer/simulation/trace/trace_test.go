package trace

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const data = "../../../test/data/traces/"

func open(t testing.TB, name string) *Trace {
	t.Helper()
	trace, err := Open(data + name)
	if err != nil {
		t.Fatal(err)
	}
	return trace
}

// take replays up to count arrivals.
func take(t testing.TB, trace *Trace, o Options, count int) []Arrival {
	t.Helper()
	source, err := trace.Replay(o)
	if err != nil {
		t.Fatal(err)
	}
	var all []Arrival
	for len(all) < count {
		a, ok := source.Next()
		if !ok {
			break
		}
		if n := len(all); a.At < 0 || n > 0 && a.At < all[n-1].At || a.InputTokens < 1 || a.OutputTokens < 1 {
			t.Fatalf("arrival %d is %+v after %+v", n, a, all[max(n-1, 0):])
		}
		all = append(all, a)
	}
	return all
}

func TestReadRecordedTraces(t *testing.T) {
	azure := open(t, "azure-2023-conversation.csv.gz")
	if n := len(azure.Arrivals); n != 19366 || len(azure.Windows) != 0 || azure.Arrivals[n-1].At != 3501.722 {
		t.Errorf("%d requests, the last at %v s; want 19366, 3501.722", n, azure.Arrivals[n-1].At)
	}
	if diff := cmp.Diff(Arrival{4.315, 396, 109}, azure.Arrivals[1]); diff != "" {
		t.Errorf("second request (-want +got):\n%s", diff)
	}
	day := open(t, "servegen-deepseek-r1-1d.csv")
	if diff := cmp.Diff(Window{600, 1200, 18.4033, 844, 1391.6, 1.86}, day.Windows[1]); diff != "" {
		t.Errorf("second window (-want +got):\n%s", diff)
	}
	if last := day.Windows[len(day.Windows)-1]; last.End-last.Start != 600 {
		t.Errorf("the last window lasts %v s, want 600 like the one before", last.End-last.Start)
	}
}

func TestReadFaults(t *testing.T) {
	const r, w = "seconds,input_tokens,output_tokens\n", "seconds,request_rate_per_s,input_tokens_mean,output_tokens_mean,interarrival_cv\n"
	for _, test := range []struct {
		name, content string
		wants         []string
	}{
		{"nothing", "", []string{`f.csv:1: "", want a header`}},
		{"header alone", r, []string{`want at least one request`}},
		{"header alone", w, []string{`want at least one window`}},
		{"foreign header", "time,tokens\n1,2\n", []string{`f.csv:1: "time,tokens", want the header seconds,input_tokens,output_tokens or seconds,request_rate`}},
		{"every field", r + "x,0,1.5\n", []string{
			`f.csv:2: seconds: "x", want a number at least 0`,
			`f.csv:2: input_tokens: "0", want a whole number from 1`,
			`f.csv:2: output_tokens: "1.5", want a whole number`}},
		{"every line", r + "1,1,1\n-1,1,1\n2,1\n2,,1\n", []string{`f.csv:3: seconds: "-1", want a number at least 1`, `f.csv:4: "2,1", want 3 fields`, `f.csv:5: input_tokens: ""`}},
		{"order", r + "5,1,1\n4,1,1\n", []string{`f.csv:3: seconds: "4", want a number at least 5`}},
		{"not a number", r + "NaN,1,1\nInf,1,1\n", []string{`f.csv:2: seconds: "NaN"`, `f.csv:3: seconds: "Inf"`}},
		{"windows", w + "0,-1,0,x,2000\n", []string{`request_rate_per_s: "-1"`, `input_tokens_mean: "0", want a number above 0`, `output_tokens_mean: "x"`, `interarrival_cv: "2000", want a number at least 0 and at most 1000`}},
		{"window twice", w + "0,1,1,1,1\n0,1,1,1,1\n", []string{`f.csv:3: seconds: "0", want a number above 0`}},
		{"quotes", r + "1,\"1,1\n", []string{`f.csv: parse error on line 2`}},
		{"many", r + strings.Repeat("x,1,1\n", 1000), []string{`f.csv:2:`, `f.csv:21:`, `more than`}},
	} {
		trace, err := Read(strings.NewReader(test.content), "f.csv")
		if err == nil || trace != nil {
			t.Errorf("%s: read as %+v", test.name, trace)
			continue
		}
		for _, want := range test.wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error does not say %q:\n%v", test.name, want, err)
			}
		}
		if n := strings.Count(err.Error(), "\n"); n > maxFaults {
			t.Errorf("%s: %d lines of faults, want at most %d", test.name, n+1, maxFaults+1)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("seconds,input_tokens,output_tokens\n0.5,10,20\n1,3,4\n")
	f.Add("seconds,request_rate_per_s,input_tokens_mean,output_tokens_mean,interarrival_cv\r\n0,1.5,10,20,2\r\n600,0,1,1,0\r\n")
	f.Fuzz(func(t *testing.T, content string) {
		trace, err := Read(strings.NewReader(content), "fuzz.csv")
		if err != nil {
			return
		}
		take(t, trace, Options{}, 200)
		take(t, trace, Options{Loop: true, Scale: 1.5, SpeedUp: 3, Seed: 1}, 200)
	})
}

func TestReplayOptions(t *testing.T) {
	recorded := &Trace{Arrivals: []Arrival{{0, 1, 1}, {4, 2, 2}, {6, 3, 3}}} // mean gap 3 s
	at := func(all []Arrival) string {
		var text []string
		for _, a := range all {
			text = append(text, fmt.Sprintf("%g:%d", a.At, a.InputTokens))
		}
		return strings.Join(text, " ")
	}
	for _, test := range []struct {
		name    string
		options Options
		count   int
		want    string
	}{
		{"as recorded", Options{}, 9, "0:1 4:2 6:3"},
		{"twice as fast", Options{SpeedUp: 2}, 9, "0:1 2:2 3:3"},
		{"from a later start", Options{Start: 3}, 9, "1:2 3:3"},
		{"again and again", Options{Loop: true}, 7, "0:1 4:2 6:3 9:1 13:2 15:3 18:1"},
		{"from a start in the last gap", Options{Loop: true, Start: 7}, 2, "2:1 6:2"},
		{"doubled", Options{Scale: 2}, 9, "0:1 2:1 4:2 5:2 6:3 7.5:3"},
		{"all of it", Options{Scale: 2, SpeedUp: 2, Start: 4, Loop: true}, 5, "0:2 0.5:2 1:3 1.75:3 2.5:1"},
	} {
		if got := at(take(t, recorded, test.options, test.count)); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	thinned := take(t, open(t, "azure-2023-conversation.csv.gz"), Options{Scale: 0.3, Seed: 5}, math.MaxInt)
	if want := 0.3 * 19366; math.Abs(float64(len(thinned))-want) > 4*math.Sqrt(want*0.7) {
		t.Errorf("thinned to 0.3: %d requests, want about %v", len(thinned), want)
	}
}

func TestReplayRefuses(t *testing.T) {
	recorded := &Trace{Arrivals: []Arrival{{0, 1, 1}, {4, 2, 2}}}
	_, err := recorded.Replay(Options{SpeedUp: -1, Scale: math.NaN(), TokenCV: 1e9, Start: 8})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"speedUp: -1", "scale: NaN", "tokenCV: 1e+09", "start: 8 s"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q:\n%v", want, err)
		}
	}
	if _, err := new(Trace).Replay(Options{}); err == nil {
		t.Error("an empty trace is accepted")
	}
	silent := &Trace{Windows: []Window{{0, 10, 0, 1, 1, 1}}}
	if got := take(t, silent, Options{Loop: true}, 5); len(got) != 0 {
		t.Errorf("a trace without load yields %v", got)
	}
}

// The process that fills a rate-level trace has its rate in every window and its
// coefficient of variation.
func TestFilledTraceHasRateAndBurstiness(t *testing.T) {
	for _, cv := range []float64{0, 0.5, 1, 2.5} {
		const count = 100_000
		all := take(t, Constant(7, 900, 300, cv), Options{Seed: 3, TokenCV: 0.5}, count)
		var sum, squares, input, inputSquares, output float64
		last := 0.0
		for _, a := range all {
			gap := a.At - last
			last = a.At
			sum, squares = sum+gap, squares+gap*gap
			input, inputSquares = input+float64(a.InputTokens), inputSquares+float64(a.InputTokens)*float64(a.InputTokens)
			output += float64(a.OutputTokens)
		}
		mean := sum / count
		spread := math.Sqrt(max(0, squares/count-mean*mean)) / mean
		if math.Abs(mean*7-1) > 4*cv/math.Sqrt(count)+1e-9 || math.Abs(spread-cv) > 0.05*cv+1e-5 {
			t.Errorf("rate %v with coefficient of variation %v; want 7, %v", 1/mean, spread, cv)
		}
		tokens := input / count
		tokenCV := math.Sqrt(inputSquares/count-tokens*tokens) / tokens
		if math.Abs(tokens/900-1) > 0.01 || math.Abs(output/count/300-1) > 0.01 || math.Abs(tokenCV-0.5) > 0.01 {
			t.Errorf("%v and %v tokens with coefficient of variation %v; want 900, 300, 0.5", tokens, output/count, tokenCV)
		}
	}

	day := open(t, "servegen-deepseek-r1-1d.csv")
	counts := make([]float64, len(day.Windows))
	for _, a := range take(t, day, Options{Seed: 1, SpeedUp: 4, Scale: 2}, math.MaxInt) {
		counts[int(a.At*4/600)]++
	}
	for i, w := range day.Windows {
		// Two requests for each of the trace in 600 s; the variance of the count of a
		// renewal process is CV² times its mean.
		want := 2 * 600 * w.Rate
		if math.Abs(counts[i]-want) > 5*w.CV*math.Sqrt(want) {
			t.Errorf("window %d has %v requests, want about %v", i, counts[i], want)
		}
	}
}

func TestSameSeedSameArrivals(t *testing.T) {
	for _, name := range []string{"azure-2023-conversation.csv.gz", "servegen-deepseek-r1-1d.csv"} {
		trace := open(t, name)
		o := Options{Seed: 11, Scale: 0.4, Loop: true, SpeedUp: 2}
		first := take(t, trace, o, 5000)
		if diff := cmp.Diff(first, take(t, trace, o, 5000)); diff != "" {
			t.Errorf("%s: two replays differ:\n%s", name, diff)
		}
		o.Seed++
		if cmp.Equal(first, take(t, trace, o, 5000)) {
			t.Errorf("%s: another seed changes nothing", name)
		}
	}
}

func TestSplitter(t *testing.T) {
	shares := []Share{{"b", 3}, {"a", 1}, {"none", 0}}
	s, err := NewSplitter(shares, 1)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewSplitter([]Share{shares[2], shares[1], shares[0]}, 1)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for range 40_000 {
		server := s.Pick()
		if again := other.Pick(); again != server {
			t.Fatalf("%s and %s: the order of the shares matters", server, again)
		}
		counts[server]++
	}
	if math.Abs(float64(counts["a"])-10_000) > 4*math.Sqrt(40_000*0.25*0.75) || counts["none"] != 0 || counts["a"]+counts["b"] != 40_000 {
		t.Errorf("%v, want about a quarter for a, the rest for b", counts)
	}
	_, err = NewSplitter([]Share{{"a", -1}, {"a", math.Inf(1)}}, 1)
	if err == nil || !strings.Contains(err.Error(), `share of "a": weight -1`) || !strings.Contains(err.Error(), "given twice") {
		t.Errorf("error %v, want the weights and the double name", err)
	}
	if _, err := NewSplitter(nil, 1); err == nil {
		t.Error("no shares are accepted")
	}
}

// Counted arrivals are as many in each window as its rate says, in order of time and within it, whatever the chance; fractions are not lost.
func TestCounted(t *testing.T) {
	for _, cv := range []float64{0, 0.5, 1, 4} {
		windows := &Trace{Windows: []Window{{0, 120, 2, 500, 100, cv}, {120, 240, 0, 500, 100, cv}, {240, 300, 0.125, 500, 100, cv}, {300, 360, 0.125, 500, 100, cv}}}
		counted, err := windows.Counted(Options{Seed: 3, TokenCV: 0.5, OutputCV: 2})
		if err != nil {
			t.Fatal(err)
		}
		n, last := make([]int, len(windows.Windows)), 0.0
		for _, a := range counted.Arrivals {
			if a.At < last || a.InputTokens < 1 || a.OutputTokens < 1 {
				t.Fatalf("CV %v: %+v after %v s", cv, a, last)
			}
			last = a.At
			for i, w := range windows.Windows {
				if a.At >= w.Start && a.At <= w.End {
					n[i]++
					break
				}
			}
		}
		if want := []int{240, 0, 7, 8}; !slices.Equal(n, want) {
			t.Errorf("CV %v: %v arrivals, want %v", cv, n, want)
		}
	}
	if _, err := Constant(1, 1, 1, 1).Counted(Options{OutputCV: -1}); err == nil || !strings.Contains(err.Error(), "outputCV") || !strings.Contains(err.Error(), "windows that end") {
		t.Errorf("%v, want both faults", err)
	}
}
