package advise

import (
	"math"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// ran is a server of one card that was studied for an hour, with a law that was learned to so much of a logarithm, and one whose load nobody knows.
func ran(t *testing.T, known float64) (*Studied, *Question) {
	t.Helper()
	busy, idle := vllm("busy", "Deployment"), vllm("idle", "Deployment")
	for _, w := range []*Workload{&busy, &idle} {
		c := &w.Template.Spec.Containers[0]
		c.Args, c.Resources = []string{"--model=meta-llama/Llama-3.1-8B-Instruct", "--tensor-parallel-size=2"}, *c.Resources.DeepCopy()
	}
	servers, skipped := Find(&Cluster{
		Nodes: []corev1.Node{node("a", "NVIDIA-A100-SXM4-80GB")}, Pods: []corev1.Pod{pod("busy-7f-aaaaa", "a"), pod("idle-7f-aaaaa", "a")}, Workloads: []Workload{busy, idle},
	})
	if len(servers) != 2 {
		t.Fatalf("found %v, skipped %v", servers, skipped)
	}
	q := &Question{
		Servers: servers, Window: time.Minute, Targets: sizing.Targets{TTFT: 1, ITL: 0.05, Percentile: 90}, Prices: catalogue.BuiltInPrices(), Knowledge: fitting.BuiltIn(),
	}
	s := &Studied{Histories: []History{{Server: &servers[0]}, {Server: &servers[1]}}}
	for i := range 60 {
		at := time.Unix(int64(60*i), 0)
		q.Past = append(q.Past, observe.MetricsAt{Time: at})
		s.Histories[0].Moments = append(s.Histories[0].Moments, Moment{Time: at, Rate: float64(10 + i), CV: 1, InputTokens: 600, OutputTokens: 200, Ready: 2})
		s.Histories[1].Moments = append(s.Histories[1].Moments, Moment{Time: at, Rate: math.NaN(), CV: math.NaN()})
	}
	typ := servers[0].Accelerator
	given := jsonspec.Performance{Acc: typ, AccCount: 2, Match: servers[0].Serves.Match()}
	assumed, err := q.Knowledge.Assume(servers[0].Serves.Name(), jsonspec.ModelProperties{}, typ, jsonspec.AcceleratorProperties{Type: typ}, given)
	if err != nil {
		t.Fatal(err)
	}
	for i := range assumed.Law.Covariance {
		assumed.Law.Covariance[i][i] = min(assumed.Law.Covariance[i][i], known*known)
	}
	s.Fits = []Fit{{Model: ModelName(&servers[0]), Accelerator: typ, Cards: 2, Performance: assumed.Performance}}
	return s, q
}

// What is said of other accelerators is by server whose load is known, for the highest rate; what it runs on comes first, and is known better the better its
// law was learned; caution never makes anything cheaper; a card that holds no replica is told with the reason.
func TestElsewhere(t *testing.T) {
	width := func(c Choice) float64 {
		if c.Range.P10 == nil || c.Range.P90 == nil {
			return math.Inf(1)
		}
		return float64(*c.Range.P90-*c.Range.P10) / float64(c.Replicas)
	}
	var widths []float64
	for _, known := range []float64{0.02, 10} {
		s, q := ran(t, known)
		all, err := s.Elsewhere(q, s.Describe(q), []string{"H100", "L40S", "L4"})
		if err != nil || len(all) != 1 || all[0].Server != "llm/busy" || all[0].Rate != 69 {
			t.Fatalf("%+v, %v", all, err)
		}
		choices := all[0].Choices
		if len(choices)+len(all[0].Excluded) != 4 || !choices[0].Runs || choices[0].Accelerator != q.Servers[0].Accelerator || choices[0].TensorParallel != 2 {
			t.Fatalf("%+v, not %+v", choices, all[0].Excluded)
		}
		for _, c := range choices {
			t.Logf("known to %g: %d (%v) of %d × %s", known, c.Replicas, width(c), c.TensorParallel, c.Accelerator)
			if c.CautiousCostPerHour != nil && *c.CautiousCostPerHour < c.CostPerHour {
				t.Errorf("with caution %+v costs less", c)
			}
		}
		if !slices.IsSortedFunc(choices[1:], Choice.compare) {
			t.Errorf("%+v are not by their cost", choices[1:])
		}
		widths = append(widths, width(choices[0]))
	}
	if !(widths[0] < widths[1]) {
		t.Errorf("replicas of what runs are known to %v where its law was learned, to %v where it was not", widths[0], widths[1])
	}
}
