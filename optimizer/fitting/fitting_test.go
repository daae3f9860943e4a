package fitting

import (
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

func TestReadPointsNamesEveryFault(t *testing.T) {
	for _, c := range []struct {
		name, text string
		errs       []string
	}{
		{"missing columns", "model\nx\n", []string{"accelerator", "input_tokens", "itl_ms", "concurrency"}},
		{"column twice", "model,model\nx,y\n", []string{`"model"`}},
		{"bad values in two lines", "model,accelerator,input_tokens,output_tokens,concurrency,ttft_ms,itl_ms\na,h100,x,10,1,1,1\na,h100,1,10,1,1,-1\n",
			[]string{`line 2: input_tokens: "x"`, `line 3: itl_ms: "-1"`}},
		{"neither closed nor open", "model,accelerator,input_tokens,output_tokens,concurrency,ttft_ms,itl_ms\na,h100,1,10,,1,1\n", []string{"line 2", "request_rate"}},
		{"degrees", "model,accelerator,tensor_parallel,expert_parallel,input_tokens,output_tokens,concurrency,ttft_ms,itl_ms\na,h100,two,-1,1,10,1,1,1\na,h100,2.0,,1,10,1,1,1\na,h100,2.5,NaN,1,10,1,1,1\n",
			[]string{`line 2: tensor_parallel: "two" is not a whole number`, `line 2: expert_parallel: "-1"`, `line 4: tensor_parallel: "2.5"`, `line 4: expert_parallel: "NaN"`}},
		{"missing values, all of them", "model,accelerator,input_tokens,output_tokens,concurrency,ttft_ms,itl_ms\na,h100,,,1,,\n",
			[]string{"line 2: input_tokens: is missing", `line 2: output_tokens: "" is not above 0`, `line 2: ttft_ms: ""`, `line 2: itl_ms: ""`}},
		{"empty", "", []string{"header"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ReadPoints(strings.NewReader(c.text), true)
			for _, part := range c.errs {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("error %v does not say %s", err, part)
				}
			}
		})
	}
}

func TestFindAccelerator(t *testing.T) {
	all := BuiltInAccelerators()
	for name, want := range map[string]string{
		"h100_sxm": "h100_sxm", "H100": "h100_sxm", "A100-80": "a100_sxm", "NVIDIA-H100-80GB-HBM3": "h100_sxm", "L40S": "l40s", "L4": "l4",
		"GB200": "gb200", "h100_pcie": "h100_pcie", "2xA100": "", "MI300X": "mi300x", "NVIDIA-A10G": "a10", "Tesla-T4": "t4", "quantum": "",
	} {
		got, ok := all.Find(name)
		if ok != (want != "") || got.Name != want {
			t.Errorf("%s: found %q, want %q", name, got.Name, want)
		}
	}
}

func TestFindArchitecture(t *testing.T) {
	all := BuiltInArchitectures()
	for _, c := range []struct {
		name   string
		layers int
		guess  bool
	}{
		{"meta-llama/Llama-3.1-8B-Instruct", 32, false}, {"llama-3.1-8b-instruct", 32, false}, {"nvidia/Qwen3-32B-NVFP4", 64, false},
		{"acme/unheard-of-8b", 0, true}, {"acme/nameless", 0, true},
	} {
		a, guess := all.Find(c.name)
		if guess != c.guess || c.layers != 0 && a.NumHiddenLayers != c.layers {
			t.Errorf("%s: %d layers, guessed %v", c.name, a.NumHiddenLayers, guess)
		}
	}
}

// TestFootprints compares derived sizes with published ones: parameters of the model cards.
func TestFootprints(t *testing.T) {
	all := BuiltInArchitectures()
	for _, c := range []struct {
		model         string
		total, active float64 // billions; the embedding is read by row and counts once, as the head
	}{
		{"meta-llama/Llama-3.1-8B-Instruct", 8.03, 7.5}, {"meta-llama/Llama-3.1-70B-Instruct", 70.6, 69.5},
		{"deepseek-ai/DeepSeek-R1", 671, 37}, {"Qwen/Qwen3-235B-A22B-FP8", 235, 22}, {"mistralai/Mixtral-8x7B-Instruct-v0.1", 46.7, 12.9},
	} {
		a, _ := all.Find(c.model)
		f := measure(a)
		if got := (f.always + f.experts) / 1e9; math.Abs(got/c.total-1) > 0.07 {
			t.Errorf("%s: %.1f billion parameters, published %.1f", c.model, got, c.total)
		}
		if got := f.active / 1e9; math.Abs(got/c.active-1) > 0.07 {
			t.Errorf("%s: %.1f billion active parameters, published %.1f", c.model, got, c.active)
		}
	}
	for _, billions := range []float64{0.5, 3, 8, 70, 400} {
		f := measure(dense(billions))
		if got := (f.always + f.experts) / 1e9; math.Abs(got/billions-1) > 0.5 {
			t.Errorf("a dense model of %v billion has %.2f", billions, got)
		}
	}
}

func TestParallelism(t *testing.T) {
	for _, c := range []struct {
		tensor, data, expert int
		want                 Parallelism
	}{
		{0, 0, 0, Parallelism{Tensor: 1, Data: 1}}, {8, 0, 1, Parallelism{Tensor: 8, Data: 1}}, {64, 1, 8, Parallelism{Tensor: 8, Data: 1}}, {1, 64, 8, Parallelism{Tensor: 1, Data: 8}},
		{16, 1, 4, Parallelism{Tensor: 4, Data: 1}}, {4, 4, 16, Parallelism{Tensor: 4, Data: 1}}, {8, 1, 8, Parallelism{Tensor: 8, Data: 1}}, {1, 8, 8, Parallelism{Tensor: 1, Data: 8}}, {4, 0, 2, Parallelism{Tensor: 4, Data: 1}},
	} {
		if got := parallelism(c.tensor, c.data, c.expert); got != c.want {
			t.Errorf("%d, %d, %d: %+v, want %+v", c.tensor, c.data, c.expert, got, c.want)
		}
	}
}

// synthetic points of a known law, with an outlier.
func synthetic(t *testing.T, k Knowledge, g Group, shift theta) (queueing.Roofline, []Point) {
	t.Helper()
	s, err := k.setting(g)
	if err != nil {
		t.Fatal(err)
	}
	mean, _ := k.Experience.prior(s.kind, s.vague)
	for i := range mean {
		mean[i] += shift[i]
	}
	law := s.law(mean)
	r := rand.New(rand.NewPCG(5, 6))
	var points []Point
	for _, in := range []float64{256, 1024, 4096} {
		for _, out := range []float64{128, 1024} {
			for _, clients := range []float64{1, 4, 16, 64} {
				p := Point{
					Group: g, Line: len(points) + 2, Clients: clients,
					Requests: queueing.Requests{InputTokens: in, OutputTokens: out, InputTokensSD: math.NaN(), OutputTokensSD: math.NaN(), ArrivalCV: math.NaN()},
					Limits:   queueing.Limits{MaxBatch: unlimited, MaxBatchedTokens: 8192},
				}
				p.ITL, p.TTFT = predicted(law, p)
				p.ITL *= 1 + 0.01*r.NormFloat64()
				p.TTFT *= 1 + 0.03*r.NormFloat64()
				points = append(points, p)
			}
		}
	}
	points[7].TTFT *= 20
	return law, points
}

func TestFitFindsTheLawAndTheOutlier(t *testing.T) {
	k := BuiltIn()
	want, points := synthetic(t, k, Group{"model": "Qwen/Qwen3-32B", "accelerator": "h100_sxm", "tensor_parallel": "2", "engine": "vllm"},
		theta{overhead: 0.2, compute: 0.3, kv: -0.2, sequence: 0.4, delay: 0.3, prefill: 0.5})
	fits, err := k.FitAll(&Points{Rows: points}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := fits[0].Law.(queueing.Roofline)
	for _, b := range []queueing.Batch{
		{Decodes: 1, DecodeContext: 1000}, {Decodes: 64, DecodeContext: 64e3}, {Decodes: 32, DecodeContext: 1e4, PrefillTokens: 4000, Prefills: 1, PrefillPairs: 8e6},
		{Decodes: 128, DecodeContext: 5e5}, // beyond the data
	} {
		if g, w := got.IterationTime(b), want.IterationTime(b); math.Abs(g/w-1) > 0.05 {
			t.Errorf("iteration over %+v takes %v, want %v", b, g, w)
		}
	}
	for i, r := range fits[0].Residuals {
		if r.Outlier != (i == 7) {
			t.Errorf("point %d: outlier %v, %+v", i, r.Outlier, r)
		}
	}
	if !strings.Contains(strings.Join(fits[0].Unseen, " "), "spread") {
		t.Errorf("a dense model has no experts to see, but not identified are %v only", fits[0].Unseen)
	}
}

func TestFitOnUnknownCardSaysSo(t *testing.T) {
	k := BuiltIn()
	want, points := synthetic(t, k, Group{"model": "Qwen/Qwen3-32B", "accelerator": "h200_sxm"}, theta{})
	for i := range points {
		points[i].Group = Group{"model": "Qwen/Qwen3-32B", "accelerator": "abacus"}
	}
	fits, err := k.FitAll(&Points{Rows: points}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := queueing.Batch{Decodes: 16, DecodeContext: 32e3}
	if g, w := fits[0].Law.IterationTime(b), want.IterationTime(b); !fits[0].Guessed || math.Abs(g/w-1) > 0.05 {
		t.Errorf("guessed %v; an iteration takes %v, want %v", fits[0].Guessed, g, w)
	}
}

func TestFitsOfReferenceLaws(t *testing.T) {
	k := BuiltIn()
	group := Group{"model": "Qwen/Qwen3-32B", "accelerator": "h100_sxm"}
	_, points := synthetic(t, k, group, theta{})
	law := queueing.Work{Alpha: 0.012, Beta: 4e-5, Gamma: 1e-7}
	for i := range points {
		points[i].ITL, points[i].TTFT = predicted(law, points[i])
	}
	fits, err := k.FitAll(&Points{Rows: points}, Options{Law: queueing.LawWork})
	if err != nil {
		t.Fatal(err)
	}
	near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a/b-1) < 0.02 })
	if diff := cmp.Diff(queueing.Law(law), fits[0].Law, near); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFitWithoutDataIsThePrior(t *testing.T) {
	k := BuiltIn()
	g := Group{"model": "Qwen/Qwen3-32B", "accelerator": "h100_sxm"}
	prior, err := k.Prior(g)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPredictor(queueing.ContinuousBatching{}, k, jsonspec.ModelData{})
	if err != nil {
		t.Fatal(err)
	}
	_, points := synthetic(t, k, g, theta{})
	q, err := p.Predict(points[0])
	if err != nil {
		t.Fatal(err)
	}
	if itl, _ := predicted(prior, points[0]); itl != q.ITL.Mean {
		t.Errorf("predicted %v without a fit, the prior says %v", q.ITL.Mean, itl)
	}
	if _, err := k.Prior(Group{"model": "x", "accelerator": "abacus"}); err == nil || !strings.Contains(err.Error(), "abacus") {
		t.Errorf("an unknown accelerator is not named: %v", err)
	}
}

func TestFittedModelDataPredictTheSame(t *testing.T) {
	k := BuiltIn()
	_, points := synthetic(t, k, Group{"model": "Qwen/Qwen3-32B", "accelerator": "h100_sxm"}, theta{kv: 0.3})
	fits, err := k.FitAll(&Points{Rows: points}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPredictor(queueing.ContinuousBatching{}, k, jsonspec.ModelData{Spec: []jsonspec.PerformanceEntry{fits[0].Performance()}})
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range points {
		q, err := p.Predict(at)
		if err != nil {
			t.Fatal(err)
		}
		itl, ttft := predicted(fits[0].Law, at)
		ci, ct := fits[0].Calibration.correct(at)
		if math.Abs(q.ITL.Mean/(itl*ci)-1) > 1e-9 || math.Abs(q.TTFT.Mean/(ttft*ct)-1) > 1e-9 {
			t.Errorf("predicted %v and %v, fitted %v and %v", q.ITL.Mean, q.TTFT.Mean, itl*ci, ttft*ct)
		}
	}
}

// TestLeastSquaresOnKnownProblem is Rosenbrock's function, whose minimum is at (1, 1).
func TestLeastSquaresOnKnownProblem(t *testing.T) {
	x := []float64{-1.2, 1}
	leastSquares(x, 2, func(x, r []float64) { r[0], r[1] = 10*(x[1]-x[0]*x[0]), 1-x[0] })
	if math.Abs(x[0]-1) > 1e-4 || math.Abs(x[1]-1) > 1e-4 {
		t.Errorf("minimum at %v, want (1, 1)", x)
	}
}

func TestMeasuredDataAreReadable(t *testing.T) {
	for _, name := range []string{"measured/silicon.csv", "simulated/open-loop.csv", "simulated/token-budget.csv"} {
		if p := pointsOf(t, name); len(p.Rows) == 0 {
			t.Errorf("%s: no rows", name)
		}
	}
}

// pointsOf a file of the project's data.
func pointsOf(t *testing.T, name string) *Points {
	t.Helper()
	f, err := os.Open("../../test/data/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	p, err := ReadPoints(f, true)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return p
}

func FuzzReadPoints(f *testing.F) {
	f.Add("model,accelerator,input_tokens,output_tokens,concurrency,ttft_ms,itl_ms\na,h100,1,10,4,1,1\n")
	f.Add("model,accelerator,input_tokens,output_tokens,request_rate,interarrival_cv,ttft_ms,itl_ms\na,\"h\n100\",1e9,10,4,,1,1\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ReadPoints(strings.NewReader(text), true)
		if err != nil {
			return
		}
		for _, row := range p.Rows {
			if !(row.ITL > 0 && row.TTFT > 0 && row.Requests.OutputTokens > 0) || (row.Clients > 0) == (row.Rate > 0) {
				t.Errorf("accepted %+v", row)
			}
		}
	})
}

func FuzzReadArchitectures(f *testing.F) {
	f.Add(`{"a": {"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2}}`)
	f.Fuzz(func(t *testing.T, text string) {
		all, err := ReadArchitectures(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, a := range all {
			measure(a)
		}
	})
}

func FuzzLoadCalibration(f *testing.F) {
	f.Add("calibration.0.itl", 1.0)
	f.Add("calibration.99999999999.itl", 1.0)
	f.Fuzz(func(t *testing.T, name string, v float64) {
		c, err := loadCalibration(map[string]float64{name: v})
		if err == nil && len(c.anchors) > 1 {
			t.Errorf("%q made %d points", name, len(c.anchors))
		}
	})
}
