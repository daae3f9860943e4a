package simulation

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// testRoofline is Llama-3.1-8B in bf16 on an H100: 8.03 billion parameters, 32
// layers, 8 KV heads and 32 heads of 128.
func testRoofline() Roofline {
	return Roofline{
		WeightBytes: 16.06e9, ActiveParameters: 8.03e9,
		KVBytesPerToken: 2 * 32 * 8 * 128 * 2, AttentionFLOP: 4 * 32 * 32 * 128,
		Bandwidth: 3.35e12, Speed: 989e12, MemoryEfficiency: 0.8, ComputeEfficiency: 0.5,
		Overhead: 1e-3, SequenceOverhead: 1e-5,
	}
}

func TestRooflineHasAKink(t *testing.T) {
	law := testRoofline()
	memory := law.WeightBytes / (law.Bandwidth * law.MemoryEfficiency)
	if got, want := law.Seconds(Batch{Decodes: 1}), law.Overhead+law.SequenceOverhead+memory; math.Abs(got-want) > 1e-15 {
		t.Errorf("one decode takes %v s, want %v s: the weights", got, want)
	}
	slope := func(tokens int) float64 {
		at := func(n int) float64 { return law.Seconds(Batch{Prefills: 1, PrefillTokens: n}) }
		return at(tokens+1) - at(tokens)
	}
	perToken := 2 * law.ActiveParameters / (law.Speed * law.ComputeEfficiency)
	if below := slope(64); below != 0 {
		t.Errorf("a token more costs %v s while memory limits, want 0", below)
	}
	if above := slope(4096); math.Abs(above/perToken-1) > 1e-6 {
		t.Errorf("a token more costs %v s while arithmetic limits, want %v s", above, perToken)
	}
}

func TestRooflineReadsOnlyChosenExperts(t *testing.T) {
	law := testRoofline()
	law.WeightBytes, law.ExpertBytes, law.ExpertShare = 2e9, 58e9, 8.0/128
	bytes := func(tokens int) float64 {
		return (law.Seconds(Batch{Decodes: tokens}) - law.Overhead - law.SequenceOverhead*float64(tokens)) *
			law.Bandwidth * law.MemoryEfficiency
	}
	if got, want := bytes(1), 2e9+58e9*8/128; math.Abs(got/want-1) > 1e-9 {
		t.Errorf("one token reads %v bytes, want %v", got, want)
	}
	if got, want := bytes(100), 2e9+58e9*(1-math.Pow(1-8.0/128, 100)); math.Abs(got/want-1) > 1e-9 {
		t.Errorf("a hundred tokens read %v bytes, want %v", got, want)
	}
}

func TestStepTimesNeverFallWithWork(t *testing.T) {
	moe := testRoofline()
	moe.ExpertBytes, moe.ExpertShare = 5e10, 0.05
	for name, law := range map[string]StepTime{
		"linear": Linear{Base: 0.01, PerToken: 1e-5, PerContext: 1e-8}, "roofline": testRoofline(), "experts": moe,
	} {
		for decodes := 0; decodes < 256; decodes += 15 {
			for prompt := 0; prompt < 4096; prompt += 273 {
				b := Batch{Decodes: decodes, DecodeContext: 500 * decodes, Prefills: 1, PrefillTokens: prompt, PrefillContext: prompt}
				more := []Batch{b, b, b, b}
				more[0].Decodes++
				more[1].DecodeContext += 1000
				more[2].PrefillTokens++
				more[3].PrefillPairs += 1e6
				for _, m := range more {
					if before, after := law.Seconds(b), law.Seconds(m); after < before {
						t.Fatalf("%s: %v s for %+v but %v s for %+v", name, before, b, after, m)
					}
				}
			}
		}
	}
}

func TestStepTimesByName(t *testing.T) {
	got, err := StepTimes().New("linear", []byte(`{"base":0.008,"perToken":1e-5}`))
	if diff := cmp.Diff(StepTime(Linear{Base: 0.008, PerToken: 1e-5}), got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, test := range []struct{ name, parameters, want string }{
		{"quadratic", "{}", "linear, roofline"},
		{"linear", `{"base":1,"bass":2}`, "bass"},
		{"linear", `{"base":1,"base":2}`, "base"},
		{"linear", "{}", "base: 0, want a finite number above 0"},
		{"roofline", `{"speed":-1}`, "speed: -1"},
	} {
		if _, err := StepTimes().New(test.name, []byte(test.parameters)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %q: error %v, want one that says %q", test.name, test.parameters, err, test.want)
		}
	}
}

func FuzzStepTimes(f *testing.F) {
	f.Add("linear", []byte(`{"base":1}`))
	f.Add("roofline", []byte(`{"weightBytes":1e9,"speed":1e15}`))
	f.Fuzz(func(t *testing.T, name string, parameters []byte) {
		law, err := StepTimes().New(name, parameters)
		if err == nil && !(law.Seconds(Batch{Decodes: 1, DecodeContext: 1}) > 0) {
			t.Errorf("%+v accepted, but an iteration takes no time", law)
		}
	})
}

func TestNoiseHasMeanOneAndItsSpread(t *testing.T) {
	n := newNoise(0.2, 1)
	const draws = 200_000
	var sum, squares float64
	for range draws {
		x := n.factor()
		sum += x
		squares += x * x
	}
	mean := sum / draws
	cv := math.Sqrt(squares/draws-mean*mean) / mean
	// Four standard errors of the mean; the spread of a log-normal needs more.
	if math.Abs(mean-1) > 4*0.2/math.Sqrt(draws) || math.Abs(cv-0.2) > 0.004 {
		t.Errorf("mean %v, coefficient of variation %v; want 1 and 0.2", mean, cv)
	}
}
