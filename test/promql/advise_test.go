package promql

import (
	"cmp"
	"context"
	"math"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/evaluation/advise"
	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/cluster"
	"github.com/llm-inferno/inferno/optimizer/simulation/routing"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// hours are replicas by the hour, and every series of every pod that there was.
type hours struct {
	replicas []int
	series   map[string]cluster.Series
}

func (*hours) Interval() float64 { return 30 }
func (*hours) Lag() float64      { return 0 }

func (h *hours) Decide(v *cluster.View) (map[string]cluster.Order, error) {
	for i := range v.Servers {
		for _, p := range append(v.Servers[i].Pods, v.Servers[i].Departed...) {
			for _, s := range p.Series { // which are those of lately
				if all := h.series[p.Name]; len(all) == 0 || s.At > all[len(all)-1].At {
					h.series[p.Name] = append(all, s)
				}
			}
		}
	}
	n := h.replicas[min(int(v.Now/3600), len(h.replicas)-1)]
	return map[string]cluster.Order{"chat": {Replicas: n, Parts: []jsonspec.AllocationPart{{Accelerator: "H100", Replicas: n}}}}, nil
}

// truth is Llama-3.1-8B in bf16 on an H100, as an engine that reaches 80 % of its bandwidth and half of its FLOP/s would have it.
var truth = simulation.Roofline{
	WeightBytes: 16.06e9, ActiveParameters: 8.03e9, KVBytesPerToken: 2 * 32 * 8 * 128 * 2, AttentionFLOP: 4 * 32 * 32 * 128,
	Bandwidth: 3.35e12, Speed: 989e12, MemoryEfficiency: 0.8, ComputeEfficiency: 0.5, Overhead: 2e-3, SequenceOverhead: 2e-5,
}

// loads by the hour, in requests per second.
var loads = []float64{4, 8, 14, 20, 12, 6}

// lived is a Prometheus that scraped hours of a server that nobody planned, and the cluster as it is afterwards.
func lived(t *testing.T) (*prometheus, *advise.Cluster) {
	t.Helper()
	h := &hours{replicas: []int{3, 3, 4, 4, 4, 3}, series: map[string]cluster.Series{}}
	load := &trace.Trace{}
	for i, rate := range loads {
		load.Windows = append(load.Windows, trace.Window{Start: float64(i) * 3600, End: float64(i+1) * 3600, Rate: rate, InputMean: 600, OutputMean: 200, CV: 1})
	}
	c, err := cluster.New(cluster.Config{
		Accelerators: []cluster.Accelerator{{Name: "H100", Type: "H100", Cards: 1, Price: 295}},
		Pools:        []cluster.Pool{{Type: "H100", Cards: 8, Nodes: 1}},
		Truths:       []cluster.Truth{{Model: "m", Accelerator: "H100", Count: 1, StepTime: truth, NoiseCV: 0.05, Cache: simulation.Cache{BlockSize: 16, Blocks: 25000}, RequestOverhead: 0.01}},
		Servers: []cluster.Server{{
			Name: "chat", Model: "m", Targets: serving.Targets{TTFT: 0.5, ITL: 0.02}, Balancer: routing.LeastRequests, Limits: simulation.Limits{MaxNumSeqs: 256, MaxNumBatchedTokens: 8192},
			Traffic: []cluster.Traffic{{Trace: load}},
			Initial: cluster.Order{Replicas: 3, Parts: []jsonspec.AllocationPart{{Accelerator: "H100", Replicas: 3}}},
		}},
		Times: cluster.Times{Scrape: 15, Sync: 15, StartUp: 60, Drain: 30, Window: 60}, Seed: 7,
	}, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(float64(len(loads))*3600 + 1); err != nil {
		t.Fatal(err)
	}
	p := newPrometheus(t)
	found := &advise.Cluster{Nodes: []corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}}}}}
	type scraped struct {
		pod string
		cluster.Sample
	}
	var all []scraped
	for name, series := range h.series {
		for _, s := range series {
			all = append(all, scraped{name, s})
		}
		found.Pods = append(found.Pods, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: name}, Spec: corev1.PodSpec{NodeName: "n"}})
	}
	slices.SortFunc(all, func(a, b scraped) int { return cmp.Compare(a.At, b.At) }) // a database takes no sample much older than its newest
	before := map[string]page{}
	for _, s := range all {
		if s.Value == nil {
			p.vanish(s.pod, at(s.At), before[s.pod])
			continue
		}
		before[s.pod] = pageOf(s.Sample)
		p.scrape(s.pod, at(s.At), before[s.pod])
	}
	found.Workloads = []advise.Workload{{Namespace: "llm", Name: "chat", Kind: "StatefulSet", Replicas: 3, Template: &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "vllm", Image: "vllm/vllm-openai:v0.11.0", Args: []string{"--model=meta-llama/Llama-3.1-8B-Instruct", "--max-num-seqs=256", "--max-num-batched-tokens=8192"},
		Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("1")}},
	}}}}}}
	return p, found
}

// What advise reads of hours that it was not there for: the load within a few percent, and laws that predict what they were not learned from. It never sees
// the truth.
func TestAdviseReadsThePast(t *testing.T) {
	q := studied(t)
	past, window := q.Past, q.Window
	s, err := advise.Study(q)
	if err != nil {
		t.Fatal(err)
	}
	arrived, offered, known := 0.0, 0.0, 0
	for _, m := range s.Histories[0].Moments {
		if math.IsNaN(m.Rate) {
			continue
		}
		known++
		arrived += m.Rate
		offered += loads[min(int(m.Time.Add(-window/2).Sub(at(0)).Hours()), len(loads)-1)]
		if m.Ready < 3 || m.Ready > 4 {
			t.Errorf("%s: %d ready replicas", m.Time, m.Ready)
		}
	}
	if known < len(past)*9/10 || math.Abs(arrived/offered-1) > 0.03 {
		t.Errorf("the load of %d of %d moments is known, and %.3f of what came (unknown: %v)", known, len(past), arrived/offered, s.Histories[0].Unknown)
	}
	f := s.Fits[0]
	if f.ITLError == nil || f.TTFTError == nil || f.Checked < 10 {
		t.Fatalf("the fit is not checked: %+v", f)
	}
	t.Logf("ITL is %.1f %% off in the median, TTFT %.1f %%, of %d observations after %d", 100**f.ITLError, 100**f.TTFTError, f.Checked, f.Observations)
	if *f.ITLError > 0.06 || *f.TTFTError > 0.15 {
		t.Errorf("ITL is %.1f %% off in the median, TTFT %.1f %%, want at most 6 and 15", 100**f.ITLError, 100**f.TTFTError)
	}
}

// What was done, played again, costs what it did and serves what it did; what inferno would have done is promised only where it serves as much for less.
func TestAdvisePlaysThePastAgain(t *testing.T) {
	q := studied(t)
	s, err := advise.Study(q)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Replay(q, advise.Options{StartUp: 60, Span: 2400, TuneSpan: 600})
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]advise.Row{}
	for _, row := range r.Rows {
		t.Logf("%s %s: %.2f %% for %.0f ¢/h", row.Policy, row.Settings, 100*row.Attainment, row.CostPerHour)
		rows[row.Policy] = row
	}
	was, ours := rows[policy.NameRecorded], rows[policy.NameInfernoFixed]
	if math.Abs(was.CostPerHour/r.Was.CostPerHour-1) > 0.03 {
		t.Errorf("what was done cost %.0f ¢/h, played again %.0f", r.Was.CostPerHour, was.CostPerHour)
	}
	if r.Was.Attainment != nil && math.Abs(was.Attainment-*r.Was.Attainment) > 0.03 {
		t.Errorf("what was done served %.2f %%, played again %.2f", 100**r.Was.Attainment, 100*was.Attainment)
	}
	for _, row := range []advise.Row{was, ours} { // replicas over time are there to be shown, and agree with what they cost: 295 ¢/h each
		mean, known := 0.0, 0.0
		for _, n := range row.Replicas["llm/chat"] {
			if n != nil {
				mean, known = mean+*n, known+1
			}
		}
		if mean /= known; !(math.Abs(mean*295/row.CostPerHour-1) < 0.1) {
			t.Errorf("%s has %.2f replicas in the mean of %.0f parts of the time, and costs %.0f ¢/h", row.Policy, mean, known, row.CostPerHour)
		}
	}
	if r.Saving != nil {
		t.Logf("a saving of %.1f %%", 100**r.Saving)
	}
	if ours.CostPerHour >= was.CostPerHour { // three replicas for what one serves
		t.Errorf("inferno costs %.0f ¢/h, what was done %.0f", ours.CostPerHour, was.CostPerHour)
	}
	if promised := r.Saving != nil; promised != (ours.CostPerHour < was.CostPerHour && ours.Attainment >= min(was.Attainment, 0.9)) {
		t.Errorf("a saving is promised: %t, of %+v against %+v", promised, ours, was)
	}
}

// studied is the question that comes of hours that were lived.
func studied(t *testing.T) *advise.Question {
	t.Helper()
	p, found := lived(t)
	servers, skipped := advise.Find(found)
	if len(servers) != 1 || len(skipped) != 0 {
		t.Fatalf("found %v, skipped %v", servers, skipped)
	}
	const window = 2 * time.Minute
	past, err := observe.ReadMetricsOver(context.Background(), p.source(nil), at(0), at(float64(len(loads))*3600), window, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &advise.Question{
		Servers: servers, Past: past, Window: window, Targets: sizing.Targets{TTFT: 0.5, ITL: 0.02, Percentile: 90}, Prices: catalogue.BuiltInPrices(), Knowledge: fitting.BuiltIn(),
	}
}
