package observe

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// groups are the measurements of a server's pods, those together that are alike. Only pods count that were ready, and measured, for the
// whole window: the batch of one that came meanwhile would be that of its own part of the window, and its latencies those of another.
//
// A pod that computes prompts for others says nothing of outputs, and one that decodes for others nothing of prompts that it admitted.
func (r *Readings) groups(v *view, pods []*corev1.Pod, role func(variant string) string) []jsonspec.ObservedGroup {
	var groups []jsonspec.ObservedGroup
	var members [][]*PodMetrics
	for _, p := range pods {
		since, ready := readySince(p)
		m := r.Metrics[types.NamespacedName{Namespace: p.Namespace, Name: p.Name}]
		accelerator := v.accelerator(p)
		if !ready || accelerator == "" || r.Now.Sub(since) < r.Window || m == nil || !(m.values[SampleAge] <= r.StaleAfter.Seconds()) || exceeds(p, m) {
			continue
		}
		g := jsonspec.ObservedGroup{
			Accelerator: accelerator, Variant: v.variant(p), MaxBatchSize: number(p.Annotations[v1alpha1.MaxNumSeqsAnnotation]),
			MaxBatchedTokens: number(p.Annotations[v1alpha1.MaxNumBatchedTokensAnnotation]), WindowSeconds: r.Window.Seconds(),
		}
		i := slices.IndexFunc(groups, func(o jsonspec.ObservedGroup) bool { return compareGroups(o, g) == 0 })
		if i < 0 {
			groups, members = append(groups, g), append(members, nil)
			i = len(groups) - 1
		}
		members[i] = append(members[i], m)
	}
	for i := range groups {
		g := &groups[i]
		measureGroup(g, members[i])
		switch role(g.Variant) {
		case jsonspec.RolePrefill:
			g.OutputTokens, g.OutputTokensSD, g.ITL = nil, nil, nil
		case jsonspec.RoleDecode:
			g.AdmittedTokens, g.PrefixHitRate = nil, nil
		}
	}
	slices.SortFunc(groups, compareGroups)
	return groups
}

// exceeds says that an engine runs more requests at a time than its pod says that it was started for, so that the limits that a pod claims are false.
func exceeds(p *corev1.Pod, m *PodMetrics) bool {
	most := number(p.Annotations[v1alpha1.MaxNumSeqsAnnotation])
	return most > 0 && m != nil && m.value(Running) > float64(most)*m.engines()
}

// exceeding says how many ready pods of a server run more requests than they say, by what they say; empty where none does.
func (r *Readings) exceeding(pods []*corev1.Pod) string {
	count := map[int]int{}
	for _, p := range pods {
		if _, ready := readySince(p); ready && exceeds(p, r.Metrics[types.NamespacedName{Namespace: p.Namespace, Name: p.Name}]) {
			count[number(p.Annotations[v1alpha1.MaxNumSeqsAnnotation])]++
		}
	}
	var words []string
	for _, most := range slices.Sorted(maps.Keys(count)) {
		words = append(words, fmt.Sprintf("%d pods run more than the %d requests at a time of their annotation %s", count[most], most, v1alpha1.MaxNumSeqsAnnotation))
	}
	return strings.Join(words, ", ")
}

func compareGroups(a, b jsonspec.ObservedGroup) int {
	return cmp.Or(strings.Compare(a.Accelerator, b.Accelerator), strings.Compare(a.Variant, b.Variant), cmp.Compare(a.MaxBatchSize, b.MaxBatchSize), cmp.Compare(a.MaxBatchedTokens, b.MaxBatchedTokens))
}

// measureGroup fills in what was measured of the pods of a group.
func measureGroup(g *jsonspec.ObservedGroup, pods []*PodMetrics) {
	g.Replicas = len(pods)
	engines := 0.0
	for _, p := range pods {
		engines += p.engines()
		g.AgeSeconds = max(g.AgeSeconds, p.values[SampleAge])
	}
	g.Engines = int(math.Round(engines / float64(len(pods))))
	g.Running, g.RunningSD = batch(pods)
	g.Waiting = pointer(perEngine(pods, Waiting))
	g.Admissions = perMinute(perEngine(pods, Admissions))
	g.Throughput = perMinute(perEngine(pods, Completions))
	g.Preemptions = perMinute(perEngine(pods, Preemptions))
	g.AdmittedTokens = pointer(ratio(pods, PrefillTokens, Admissions))
	in, out := ratio(pods, PromptTokens, PromptRequests), ratio(pods, GenerationTokens, GenerationRequests)
	g.InputTokens, g.OutputTokens = pointer(in), pointer(out)
	g.InputTokensSD = pointer(together(pods, PromptDistribution).sd(in))
	g.OutputTokensSD = pointer(together(pods, GenerationDistribution).sd(out))
	g.PrefixHitRate = pointer(weighted(pods, PrefixHitRate, PromptTokens))
	g.KVUsage = pointer(mean(pods, KVUsage))
	if size := least(pods, KVTokens); !math.IsNaN(size) {
		g.KVTokens = &size // a count, to the last digit
	}
	g.TTFT = latencyOf(pods, TTFTSum, TTFTCount, TTFTDistribution)
	g.ITL = latencyOf(pods, ITLSum, ITLCount, ITLDistribution)
	g.Requests = pointer(total(pods, TTFTCount) * g.WindowSeconds)
}

// perEngine is the mean of a quantity over the engines of the pods that measured it.
func perEngine(pods []*PodMetrics, q Quantity) float64 {
	sum, engines := 0.0, 0.0
	for _, p := range pods {
		if v := p.value(q); !math.IsNaN(v) {
			sum += v
			engines += p.engines()
		}
	}
	return sum / engines
}

// engines in the pod, at least one.
func (p *PodMetrics) engines() float64 {
	if n := p.value(EngineCount); n > 1 {
		return n
	}
	return 1
}

// batch is the mean number of requests that ran on an engine, and its standard deviation over time. The ITL of a group is a mean over tokens,
// and so is this: of an engine that yields twice as many tokens, twice as many are in the mean.
func batch(pods []*PodMetrics) (n, sd *float64) {
	sum, variance, weight := 0.0, 0.0, 0.0
	for _, p := range pods {
		r, v, w, e := p.value(Running), p.value(RunningVariance), p.value(ITLCount), p.engines()
		if math.IsNaN(r) {
			continue
		}
		if math.IsNaN(w) {
			w = r
		}
		sum += w * r / e
		variance += w * v / e
		weight += w
	}
	if !(weight > 0) {
		return pointer(mean(pods, Running)), nil
	}
	return pointer(sum / weight), pointer(math.Sqrt(variance / weight))
}

// weighted mean of a quantity over the pods that measured it.
func weighted(pods []*PodMetrics, q, by Quantity) float64 {
	sum, weight := 0.0, 0.0
	for _, p := range pods {
		if v, w := p.value(q), p.value(by); !math.IsNaN(v) && w > 0 {
			sum += v * w
			weight += w
		}
	}
	return sum / weight
}

// least of a quantity over the pods that measured it; NaN where none did.
func least(pods []*PodMetrics, q Quantity) float64 {
	least := math.NaN()
	for _, p := range pods {
		if v := p.value(q); !math.IsNaN(v) && !(v >= least) {
			least = v
		}
	}
	return least
}

func together(pods []*PodMetrics, d Distribution) histogram {
	all := make([]histogram, len(pods))
	for i, p := range pods {
		all[i] = p.histograms[d].Histogram()
	}
	return merged(all)
}

func latencyOf(pods []*PodMetrics, sum, count Quantity, d Distribution) *jsonspec.ObservedLatency {
	mean := ratio(pods, sum, count)
	if math.IsNaN(mean) {
		return nil
	}
	h := together(pods, d)
	return &jsonspec.ObservedLatency{
		Mean: jsonspec.Milliseconds(mean), P90: pointer(jsonspec.Milliseconds(h.quantile(0.90))), P99: pointer(jsonspec.Milliseconds(h.quantile(0.99))),
	}
}

func perMinute(rate float64) *float64 {
	if math.IsNaN(rate) {
		return nil
	}
	return pointer(jsonspec.PerMinute(rate))
}
