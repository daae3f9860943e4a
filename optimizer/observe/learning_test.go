package observe

import (
	"math"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// chip is an accelerator of the virtual fleet: bytes/s, FLOP/s and the price.
type chip struct {
	name             string
	bandwidth, speed float64
	cost             float64
}

var chips = []chip{{"h100", 3.35e12, 989e12, 400}, {"a100", 2.039e12, 312e12, 220}, {"l40s", 0.864e12, 362e12, 110}}

// newVirtualFleet has two models on three accelerators, four servers whose load swings between calm and overload, and engines with noise that
// follow a roofline, which the planner's law does not. The parameters given are those of physics, off by a factor up to the given one.
func newVirtualFleet(t *testing.T, estimator string, seed uint64, off float64) *virtualFleet {
	networks := map[string]struct {
		parameters, kv float64
		tokens         map[string]int
	}{
		"8b":  {8.03e9, 131072, map[string]int{"h100": 411000, "a100": 411000, "l40s": 191000}},
		"14b": {14.77e9, 196608, map[string]int{"h100": 206000, "a100": 206000, "l40s": 60000}},
	}
	f := &virtualFleet{t: t, startUp: 30, window: 30, departed: map[types.NamespacedName]virtualGone{}}
	f.truth = func(model, accelerator string) simulation.Config {
		n := networks[model]
		for _, c := range chips {
			if c.name == accelerator {
				return simulation.Config{
					NoiseCV: 0.05, Cache: simulation.Cache{BlockSize: 16, Blocks: n.tokens[accelerator] / 16},
					StepTime: simulation.Roofline{
						WeightBytes: 2 * n.parameters, ActiveParameters: n.parameters, KVBytesPerToken: n.kv, Bandwidth: c.bandwidth, Speed: c.speed,
						MemoryEfficiency: 0.8, ComputeEfficiency: 0.5, Overhead: 1e-3, SequenceOverhead: 20e-6,
					},
				}
			}
		}
		t.Fatalf("no %s", accelerator)
		return simulation.Config{}
	}
	for _, c := range chips {
		a := accelerator(c.name, c.name, 1, c.cost)
		f.resources.Accelerators = append(f.resources.Accelerators, a)
		f.nodes = append(f.nodes, corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: "node-" + c.name, Labels: map[string]string{"nvidia.com/gpu.product": c.name}},
		})
	}
	rng := rand.New(rand.NewPCG(seed, 99))
	wrong := func() float64 { return math.Pow(off, 2*rng.Float64()-1) }
	for _, m := range []string{"8b", "14b"} {
		n := networks[m]
		spec := v1alpha1.ModelSpec{}
		for _, c := range chips {
			spec.PerfData = append(spec.PerfData, v1alpha1.Performance{
				Acc: c.name, MaxBatchSize: 96, AtTokens: 256,
				PerfParms: &v1alpha1.PerfParms{
					Alpha: wrong() * 1e3 * (1e-3 + 2*n.parameters/(0.8*c.bandwidth)), Beta: wrong() * 1e3 * 2 * n.parameters / (0.5 * c.speed), Gamma: wrong() * 1e3 * n.kv / (0.8 * c.bandwidth),
				},
			})
		}
		f.resources.Models = append(f.resources.Models, v1alpha1.Model{ObjectMeta: metav1.ObjectMeta{Name: m}, Spec: spec})
	}
	f.resources.ServiceClasses = []v1alpha1.ServiceClass{
		{ObjectMeta: metav1.ObjectMeta{Name: "premium"}, Spec: v1alpha1.ServiceClassSpec{Priority: 1, ModelTargets: []v1alpha1.ModelTarget{{Model: "8b", ITL: 30, TTFT: 1000}, {Model: "14b", ITL: 45, TTFT: 1500}}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "bulk"}, Spec: v1alpha1.ServiceClassSpec{Priority: 2, ModelTargets: []v1alpha1.ModelTarget{{Model: "8b", ITL: 100, TTFT: 4000}, {Model: "14b", ITL: 120, TTFT: 5000}}}},
	}
	most := 20
	for i, c := range []struct {
		name, model, class string
		rate               float64
		targets            serving.Targets
	}{
		{"chat-premium", "8b", "premium", 12, serving.Targets{TTFT: 1, ITL: 0.030}}, {"chat-bulk", "8b", "bulk", 16, serving.Targets{TTFT: 4, ITL: 0.100}},
		{"agent-premium", "14b", "premium", 4, serving.Targets{TTFT: 1.5, ITL: 0.045}}, {"agent-bulk", "14b", "bulk", 8, serving.Targets{TTFT: 5, ITL: 0.120}},
	} {
		f.resources.Servers = append(f.resources.Servers, v1alpha1.Server{
			ObjectMeta: metav1.ObjectMeta{Name: c.name, Namespace: "llm"},
			Spec:       v1alpha1.ServerSpec{MaxReplicas: &most, Model: c.model, ServiceClass: c.class, ServerPolicy: v1alpha1.ServerPolicy{Routing: v1alpha1.RoutingLeastRequest, MaxBatchedTokens: 1024}},
		})
		phase := float64(i)
		load := func(at float64) float64 { return c.rate * (1 + 0.8*math.Sin(at/150+phase)) }
		lengths := func(r *rand.Rand) (int, int) {
			return 1 + int(1100*math.Exp(0.8*r.NormFloat64()-0.32)), 2 + int(210*math.Exp(0.7*r.NormFloat64()-0.245))
		}
		f.servers = append(f.servers, newVirtualServer(t, c.targets, seed*10+uint64(i), load, lengths))
	}
	for i := range f.servers {
		f.servers[i].resource = &f.resources.Servers[i]
	}
	o := &v1alpha1.Optimizer{Spec: v1alpha1.OptimizerSpec{}}
	o.Spec.Unlimited = true
	o.Spec.Estimator = &v1alpha1.Plug{Name: estimator}
	f.resources.Optimizer = o
	system, _ := specification.FromResources(specification.Resources{Optimizer: o})
	stages, err := control.NewStages(&system.Optimizer.Spec)
	if err != nil {
		t.Fatal(err)
	}
	f.stages = stages
	return f
}

// The error of ITL one step ahead, of what was given and of what was learned, by pair.
type foresight struct{ given, learned, n float64 }

// watch plays a fleet for so many cycles and compares what was given with what was learned, from the 6th observation of a pair on.
func watch(t *testing.T, f *virtualFleet, cycles int) map[control.Pair]*foresight {
	estimator := func(name string) estimation.Estimator {
		e, err := estimation.Estimators().New(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	given, learned := estimator(estimation.EstimatorFixed), estimator(estimation.EstimatorEKF)
	seen, sums := map[control.Pair]int{}, map[control.Pair]*foresight{}
	for range cycles {
		f.play(15)
		before := f.state.Learned
		for p, list := range control.Observations(f.cycle()) {
			judge := func(e estimation.Estimator, memory *v1alpha1.PairStatus) []estimation.Judgement {
				out, err := e.Estimate(f.given(p), memory, list)
				if err != nil {
					t.Fatal(err)
				}
				return out.Judgements
			}
			a, b := judge(given, nil), judge(learned, before[p.Model][p.Accelerator])
			for i := range list {
				if math.IsNaN(a[i].InnovationITL) || math.IsNaN(b[i].InnovationITL) {
					continue
				}
				if seen[p]++; seen[p] <= 5 {
					continue
				}
				if sums[p] == nil {
					sums[p] = &foresight{}
				}
				sums[p].given += math.Abs(math.Expm1(-a[i].InnovationITL))
				sums[p].learned += math.Abs(math.Expm1(-b[i].InnovationITL))
				sums[p].n++
			}
		}
	}
	return sums
}

// In a fleet that is scaled and moved while its load swings between calm and overload, predictions from what was learned are better than from
// what was given, on every pair, whether that was given by physics or is wrong by up to 2.
func TestLearningImprovesPredictions(t *testing.T) {
	for _, off := range []float64{1, 2} {
		for seed := range uint64(2) {
			f := newVirtualFleet(t, estimation.EstimatorEKF, seed, off)
			given, learned, n := 0.0, 0.0, 0.0
			for p, s := range watch(t, f, 70) {
				if s.n < 10 {
					continue
				}
				given, learned, n = given+s.given, learned+s.learned, n+s.n
				if s.learned/s.n > 0.08 || s.learned > s.given {
					t.Errorf("parameters off by %v, seed %d, %v: off by %.1f %% one step ahead, %.1f %% without learning", off, seed, p, 100*s.learned/s.n, 100*s.given/s.n)
				}
			}
			t.Logf("parameters off by %v, seed %d: ITL one step ahead off by %.1f %%, without learning %.1f %% (%v observations)", off, seed, 100*learned/n, 100*given/n, n)
			if learned/n > 0.04 || learned > given/3 {
				t.Errorf("parameters off by %v, seed %d: off by %.1f %%, %.1f %% without learning", off, seed, 100*learned/n, 100*given/n)
			}
		}
	}
}

// Under twice the load that a server can serve, while its queue grows without end, the load that is observed is that which is offered; what
// completes is half of it.
func TestOfferedLoadUnderOverload(t *testing.T) {
	for seed := range uint64(2) {
		f := newVirtualFleet(t, estimation.EstimatorFixed, seed, 1)
		f.window = 60
		s := f.servers[0]
		f.servers = f.servers[:1]
		f.addPod(s, "h100", 64, 1024)
		f.addPod(s, "h100", 64, 1024)
		const offered = 61.0 // requests/s; the two replicas complete half of it
		s.load = func(float64) float64 { return offered }
		f.play(90) // start-up, and requests of all lengths at work
		completed, observed, n := 0.0, 0.0, 0.0
		arrived := s.served.Report().Total.Arrivals
		begin := f.now
		for range 10 {
			f.play(60)
			l := f.observe().Statuses["llm/chat-premium"].Load
			completed += v1alpha1.PerSecond(l.Throughput)
			observed += v1alpha1.PerSecond(l.ArrivalRate)
			n++
		}
		true := float64(s.served.Report().Total.Arrivals-arrived) / (f.now - begin)
		if off := observed/n/true - 1; math.Abs(off) > 0.03 {
			t.Errorf("seed %d: %.2f requests/s are observed, %.2f came: off by %.1f %%", seed, observed/n, true, 100*off)
		}
		if completed/n > 0.55*true {
			t.Errorf("seed %d: %.2f of %.2f requests/s complete; that is no overload", seed, completed/n, true)
		}
		t.Logf("seed %d: %.2f requests/s came, %.2f were observed, %.2f completed", seed, true, observed/n, completed/n)
	}
}

// Plans made with what was learned, from parameters wrong by up to 2, and with some caution, cost less than those made with what was given, and
// serve as well.
func TestLearningPays(t *testing.T) {
	play := func(estimator string, confidence float64) (cost, met float64) {
		f := newVirtualFleet(t, estimator, 0, 2)
		f.resources.Optimizer.Spec.Confidence = confidence
		for range 140 {
			f.play(15)
			f.cycle()
			cost += f.cost() * 15 / 3600
		}
		good, all := 0, 0
		for _, s := range f.servers {
			r := s.served.Report().Total
			good, all = good+r.MetBoth, all+r.Completions
		}
		return cost, float64(good) / float64(all)
	}
	given, servedAsGiven := play(estimation.EstimatorFixed, 0.5)
	learned, served := play(estimation.EstimatorEKF, 0.8)
	t.Logf("as given: %.0f cents, %.1f %% of the requests meet both targets; learned: %.0f cents, %.1f %%", given, 100*servedAsGiven, learned, 100*served)
	if learned > 0.9*given || served < servedAsGiven-0.02 {
		t.Error("learning does not pay")
	}
}
