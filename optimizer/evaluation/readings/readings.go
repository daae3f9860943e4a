// Package readings says what an API server and a Prometheus would tell of a simulated cluster, in the form in which package observe reads it of a
// real one.
package readings

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/demand"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/simulation/cluster"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

const (
	namespace = "simulation"
	// poolLabel of a node that came because pods found no room.
	poolLabel = "pool"
	// staleWindows is the age of samples, in windows, at which they no longer count, as in the loop.
	staleWindows = 3
)

// epoch is a midnight, so that days of the simulation are days.
var epoch = time.Unix(1_700_006_400, 0).UTC()

func at(seconds float64) time.Time { return epoch.Add(duration(seconds)) }

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// Source is read of again and again.
type Source struct {
	// Resources of the cluster. The statuses of the servers are the reader's to write.
	Resources specification.Resources
	window    float64 // s
	// servers are the names of the Servers by those that they have in the simulation.
	servers map[string]string
	// labels and resources of nodes by their type of card.
	labels    map[string]map[string]string
	resources map[string]corev1.ResourceName
	seen      observe.Sightings
}

// New is a source that has what a system asks for as resources. Capacity is that of the nodes, and of the pools from which more may come. A system that no
// resources can say is an error.
func New(s *jsonspec.System, pools []cluster.Pool, window float64) (*Source, error) {
	resources, err := specification.ToResources(s, namespace)
	if err != nil {
		return nil, err
	}
	source := &Source{
		Resources: resources, window: window, servers: map[string]string{},
		labels: map[string]map[string]string{}, resources: map[string]corev1.ResourceName{},
	}
	for i := range s.Servers.Spec {
		source.servers[s.Servers.Spec[i].Name] = source.Resources.Servers[i].Name
		source.Resources.Servers[i].Spec.Variants = variants(s, s.Servers.Spec[i].Model)
	}
	for i := range source.Resources.Accelerators {
		// Products are told apart by the type, whatever the catalogue says they share.
		a := &source.Resources.Accelerators[i]
		kind := catalogue.Describe(a)
		a.Spec.ProductNames = []string{kind.Type}
		source.labels[kind.Type] = map[string]string{catalogue.ProductLabels(kind.ResourceName)[0]: kind.Type}
		source.resources[kind.Type] = corev1.ResourceName(kind.ResourceName)
	}
	source.Resources.Optimizer.Spec.Elastic = nil
	for i, p := range pools {
		if p.Elastic > 0 {
			source.Resources.Optimizer.Spec.Elastic = append(source.Resources.Optimizer.Spec.Elastic, v1alpha1.ElasticCapacity{
				Name: poolName(p.Type, i), Type: p.Type, Cards: p.Cards, Limit: p.Elastic, NodeSelector: with(p.Domains, poolLabel, poolName(p.Type, i)),
				Delay: &metav1.Duration{Duration: time.Duration(p.Delay * float64(time.Second))},
			})
		}
	}
	return source, nil
}

// variants of a server as whoever has a workload for each variant and role of its model lists them.
func variants(s *jsonspec.System, model string) (list []jsonspec.Variant) {
	for i := range s.Models.Spec {
		m := &s.Models.Spec[i]
		if m.Name != model || m.Way() == "" {
			continue
		}
		at := slices.IndexFunc(list, func(v jsonspec.Variant) bool { return v.Name == m.Way() })
		if at < 0 {
			at, list = len(list), append(list, jsonspec.Variant{Name: m.Way(), ModelVariant: m.Way()})
		}
		list[at].Accelerators = append(list[at].Accelerators, m.Acc)
	}
	return list
}

// with one label more.
func with(labels map[string]string, key, value string) map[string]string {
	all := map[string]string{key: value}
	maps.Copy(all, labels)
	return all
}

func poolName(cardType string, i int) string { return fmt.Sprintf("%s-%d", cardType, i) }

// Read what is there.
func (s *Source) Read(v *cluster.View) *observe.Readings {
	r := &observe.Readings{
		Now: at(v.Now), Window: duration(s.window), StaleAfter: duration(staleWindows * s.window), Resources: s.Resources, Metrics: observe.Metrics{},
		Arrivals: map[types.NamespacedName]observe.Counted{},
	}
	types := map[string]string{}
	for i := range v.Nodes {
		r.Nodes = append(r.Nodes, s.node(&v.Nodes[i]))
		types[v.Nodes[i].Name] = v.Nodes[i].Type
	}
	for i := range v.Servers {
		server := &v.Servers[i]
		if rate, known := server.Came.Rate(cluster.GatewayRequests, v.Now, s.window); known {
			r.Arrivals[key(s.servers[server.Name])] = observe.Counted{Rate: rate, Known: true}
		}
		for j := range server.Pods {
			p := &server.Pods[j]
			r.Pods = append(r.Pods, s.pods(server.Name, p, s.resources[types[p.Node]])...)
			s.measure(r, v.Now, p)
		}
		for j := range server.Departed {
			p := &server.Departed[j]
			if p.Node != "" {
				pods := s.pods(server.Name, p, s.resources[types[p.Node]])
				for k := range pods {
					pods[k].DeletionTimestamp = &metav1.Time{Time: r.Now}
				}
				r.Pods = append(r.Pods, pods...)
			}
			s.measure(r, v.Now, p)
		}
	}
	r.Departed = s.seen.Departed(r)
	return r
}

func (s *Source) node(n *cluster.NodeView) corev1.Node {
	node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: maps.Clone(s.labels[n.Type])}}
	maps.Copy(node.Labels, n.Domains)
	if n.Elastic {
		node.Labels[poolLabel] = poolName(n.Type, n.Pool)
	}
	node.Status.Allocatable = cards(s.resources[n.Type], n.Cards)
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	return node
}

func cards(name corev1.ResourceName, n int) corev1.ResourceList {
	return corev1.ResourceList{name: *resource.NewQuantity(int64(n), resource.DecimalSI)}
}

// pods of a replica, its leader first, as a LeaderWorkerSet's are named.
func (s *Source) pods(server string, p *cluster.PodView, resource corev1.ResourceName) []corev1.Pod {
	list := []corev1.Pod{s.pod(server, p, resource, p.Node)}
	for i, node := range p.Workers {
		worker := s.pod(server, p, resource, node)
		worker.Name = fmt.Sprintf("%s-%d", p.Name, i+1)
		list = append(list, worker)
	}
	for i := range list {
		if pod := &list[i]; len(list) > 1 {
			pod.Labels[v1alpha1.GroupLabel], pod.Annotations[v1alpha1.GroupSizeAnnotation] = p.Name, strconv.Itoa(len(list))
		}
	}
	return list
}

// pod of a replica on a node, as the scheduler plugin leaves it.
func (s *Source) pod(server string, p *cluster.PodView, resource corev1.ResourceName, node string) corev1.Pod {
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: p.Name, Labels: map[string]string{v1alpha1.ServerLabel: s.servers[server]}, CreationTimestamp: metav1.NewTime(at(p.CreatedAt)),
		},
		Spec:   corev1.PodSpec{NodeName: node},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	if variant := cmp.Or(p.Variant, p.Role); variant != "" {
		pod.Labels[v1alpha1.VariantLabel] = variant
	}
	if node != "" {
		pod.Annotations = map[string]string{
			v1alpha1.AcceleratorAnnotation: p.Accelerator, v1alpha1.MaxNumSeqsAnnotation: strconv.Itoa(p.Limits.MaxNumSeqs),
			v1alpha1.MaxNumBatchedTokensAnnotation: strconv.Itoa(p.Limits.MaxNumBatchedTokens),
		}
		pod.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: cards(resource, p.Cards/(1+len(p.Workers)))}}}
	}
	if p.Ready {
		pod.Status.Phase = corev1.PodRunning
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(at(p.ReadyAt))}}
	}
	return pod
}

func (s *Source) measure(r *observe.Readings, now float64, p *cluster.PodView) {
	if m := Metrics(p.Series, now, s.window); m != nil {
		r.Metrics[key(p.Name)] = m
	}
}

func key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// Metrics of a pod as Prometheus answers the queries of package observe about vLLM, over a window that ends at a time, in seconds; nil without a
// sample.
func Metrics(s cluster.Series, now, window float64) *observe.PodMetrics {
	if len(s) == 0 {
		return nil
	}
	m := observe.NewPodMetrics()
	set := func(q observe.Quantity) func(float64, bool) {
		return func(v float64, known bool) {
			if known {
				m.Set(q, v)
			}
		}
	}
	long := demand.LengthWindows * window
	for q, of := range map[observe.Quantity]cluster.Quantity{
		observe.Completions: cluster.Completions, observe.Answered: cluster.Answered, observe.Admissions: cluster.TTFTCount, observe.Preemptions: cluster.Preemptions, observe.PrefillTokens: cluster.PrefillTokens,
		observe.TTFTSum: cluster.TTFTSum, observe.TTFTCount: cluster.TTFTCount, observe.ITLSum: cluster.ITLSum, observe.ITLCount: cluster.ITLCount,
	} {
		set(q)(s.Rate(of, now, window))
	}
	for q, of := range map[observe.Quantity]cluster.Quantity{
		observe.PromptTokens: cluster.PromptTokens, observe.PromptRequests: cluster.Completions,
		observe.GenerationTokens: cluster.GenerationTokens, observe.GenerationRequests: cluster.Completions,
	} {
		set(q)(s.Rate(of, now, long))
	}
	for q, of := range map[observe.Quantity]cluster.Quantity{observe.Running: cluster.Running, observe.Waiting: cluster.Waiting, observe.KVUsage: cluster.KVUsage} {
		set(q)(s.Mean(of, now, window))
	}
	set(observe.RunningVariance)(s.Variance(cluster.Running, now, window))
	set(observe.RunningNow)(s.At(cluster.Running, now))
	set(observe.RunningThen)(s.At(cluster.Running, now-window))
	set(observe.WaitingNow)(s.At(cluster.Waiting, now))
	set(observe.WaitingThen)(s.At(cluster.Waiting, now-window))
	s.Arrived(now, window, long+window, m.SetArrived)
	set(observe.KVTokens)(s.At(cluster.KVTokens, now))
	set(observe.SampleAge)(s.Age(now))
	if _, there := s.Age(now); there {
		m.Set(observe.EngineCount, 1)
	}
	hits, _ := s.Rate(cluster.PrefixHits, now, window)
	if queries, known := s.Rate(cluster.PrefixQueries, now, window); known {
		m.Set(observe.PrefixHitRate, hits/queries)
	}
	for d, of := range map[observe.Distribution]cluster.Histogram{
		observe.TTFTDistribution: cluster.TTFT, observe.ITLDistribution: cluster.ITL, observe.RequestITLDistribution: cluster.RequestITL,
	} {
		distribute(m, d, s, of, now, window)
	}
	distribute(m, observe.PromptDistribution, s, cluster.Prompts, now, long)
	distribute(m, observe.GenerationDistribution, s, cluster.Generations, now, long)
	return m
}

func distribute(m *observe.PodMetrics, d observe.Distribution, s cluster.Series, h cluster.Histogram, now, window float64) {
	bounds, buckets := h.Buckets()
	for i, q := range buckets {
		if rate, known := s.Rate(q, now, window); known && !math.IsNaN(rate) {
			m.SetBucket(d, bounds[i], rate)
		}
	}
}
