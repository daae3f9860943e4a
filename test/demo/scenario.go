package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/yaml"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/localcluster/fleet"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

//go:embed cluster.yaml
var cluster []byte

//go:embed roles.yaml
var roles []byte

const namespace = "llm"

// scenario is what the demo plays.
type scenario struct {
	manifest []byte
	nodes    []controlplane.NodePool
	servers  []v1alpha1.Server
	targets  map[string]serving.Targets
	// percentiles that targets are for, by server; 0 is the mean.
	percentiles map[string]float64
	costs       map[string]float64 // cents per hour by accelerator
	fleet       fleet.Config
}

// accelerators by the product that nodes announce.
var accelerators = map[string]string{controlplane.H100.Product: "h100", controlplane.A100.Product: "a100", controlplane.L40S.Product: "l40s"}

// shares of the trace, by server.
var shares = []trace.Share{
	{Server: namespace + "/chat-premium", Weight: 0.30},
	{Server: namespace + "/chat-bulk", Weight: 0.40},
	{Server: namespace + "/agent-premium", Weight: 0.10},
	{Server: namespace + "/agent-bulk", Weight: 0.20},
}

func newScenario(o options) (*scenario, error) {
	s := &scenario{
		nodes: []controlplane.NodePool{
			{Name: "h100", Count: 1, GPU: controlplane.H100, GPUsPerNode: 4},
			{Name: "a100", Count: 3, GPU: controlplane.A100, GPUsPerNode: 4},
			{Name: "l40s", Count: 5, GPU: controlplane.L40S, GPUsPerNode: 4},
		},
		targets: map[string]serving.Targets{}, percentiles: map[string]float64{}, costs: map[string]float64{},
	}
	shares := shares
	if s.manifest = cluster; o.roles {
		s.manifest = bytes.Join([][]byte{cluster, roles}, []byte("---\n"))
		shares = append(slices.Clone(shares), trace.Share{Server: namespace + "/documents", Weight: 0.20})
	}
	if err := s.readCluster(); err != nil {
		return nil, err
	}
	t, err := trace.Open(o.trace)
	if err != nil {
		return nil, err
	}
	t.Arrivals = rampUp(t.Arrivals, o.speedUp*rampTime.Seconds())
	s.fleet.Accelerators = accelerators
	s.fleet.Truths = truths()
	s.fleet.Seed = o.seed
	s.fleet.Traffic = []fleet.Traffic{{
		Trace: t, Options: trace.Options{SpeedUp: o.speedUp, Scale: o.scale, Loop: true, Seed: o.seed}, Shares: shares,
	}}
	return s, nil
}

// rampTime is how long the demo takes from first requests to the full load of the trace: servers in service have load before anybody looks.
const rampTime = 45 * time.Second

// rampUp thins out the beginning of a trace, so that its load rises in a straight line until the given time. Which requests stay is decided
// by a low-discrepancy sequence: the same ones every time, and evenly spread.
func rampUp(arrivals []trace.Arrival, until float64) []trace.Arrival {
	golden := (math.Sqrt(5) - 1) / 2
	kept := arrivals[:0:0]
	for i, a := range arrivals {
		if _, u := math.Modf(float64(i) * golden); u < a.At/until {
			kept = append(kept, a)
		}
	}
	return kept
}

// readCluster takes servers, targets and prices from the manifest that is applied, so that they are written once.
func (s *scenario) readCluster() error {
	var r specification.Resources
	docs := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(s.manifest), 4096)
	for {
		var raw json.RawMessage
		var kind metav1.TypeMeta
		if err := docs.Decode(&raw); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("cluster.yaml: %w", err)
		}
		err := json.Unmarshal(raw, &kind)
		switch kind.Kind {
		case "Accelerator":
			err = readInto(&r.Accelerators, raw)
		case "Model":
			err = readInto(&r.Models, raw)
		case "ServiceClass":
			err = readInto(&r.ServiceClasses, raw)
		case "Server":
			err = readInto(&r.Servers, raw)
		}
		if err != nil {
			return fmt.Errorf("cluster.yaml: %s: %w", kind.Kind, err)
		}
	}
	s.servers = r.Servers
	system, index := specification.FromResources(r)
	for _, a := range system.Accelerators.Spec {
		s.costs[a.Name] = a.Cost
	}
	served, classes := map[string]string{}, map[string][]jsonspec.ModelTarget{}
	for _, m := range system.Models.Info {
		served[m.Name] = m.ServedName
	}
	for _, c := range system.ServiceClasses.Spec {
		classes[c.Name] = c.ModelTargets
	}
	for _, e := range system.Servers.Spec {
		server := &s.servers[index[e.Name]]
		for _, t := range classes[e.Class] {
			if t.Model != e.Model {
				continue
			}
			targets := serving.Targets{TTFT: jsonspec.Seconds(t.TTFT), ITL: jsonspec.Seconds(t.ITL)}
			s.targets[server.Name], s.percentiles[server.Name] = targets, t.Percentile
			s.fleet.Servers = append(s.fleet.Servers, fleet.Server{Namespace: server.Namespace, Name: server.Name, Model: served[e.Model], Targets: targets})
		}
	}
	return nil
}

// readInto reads a resource behind those of its kind.
func readInto[T any](list *[]T, data []byte) error {
	var one T
	err := json.Unmarshal(data, &one)
	*list = append(*list, one)
	return err
}

// deploy creates everything a user would.
func (s *scenario) deploy(ctx context.Context, st *stack.Stack) error {
	if err := st.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return err
	}
	if err := st.Apply(ctx, s.manifest); err != nil {
		return err
	}
	for i := range s.servers {
		if err := st.Deploy(ctx, &s.servers[i], 1); err != nil {
			return err
		}
	}
	return nil
}

// chip is a kind of accelerator as the simulated engines see it: figures of the data sheets, in bytes/s and dense bf16 FLOP/s.
type chip struct{ bandwidth, speed float64 }

var chips = map[string]chip{
	"h100": {3.35e12, 989e12},
	"a100": {2.039e12, 312e12},
	"l40s": {0.864e12, 362e12},
}

// network is a dense model as the simulated engines see it.
type network struct {
	parameters, kvBytesPerToken float64
	cacheTokens                 map[string]int // KV tokens that the memory holds beside the weights
}

var networks = map[string]network{
	// 32 layers of 8 KV heads of 128, bf16.
	"meta-llama/Llama-3.1-8B-Instruct": {8.03e9, 131072, map[string]int{"h100": 411000, "a100": 411000, "l40s": 191000}},
	// 48 layers of 8 KV heads of 128, bf16.
	"Qwen/Qwen2.5-14B-Instruct": {14.77e9, 196608, map[string]int{"h100": 206000, "a100": 206000, "l40s": 60000}},
}

// truths are how the models really behave: a roofline, which has a kink where the planner's law has none, and noise.
func truths() []fleet.Truth {
	const (
		bytesPerParameter = 2
		memoryEfficiency  = 0.8
		computeEfficiency = 0.5
		overhead          = 1e-3
		perSequence       = 20e-6
		noise             = 0.05
		networkBandwidth  = 25e9 // of caches between roles
		networkDelay      = 2e-3
		blockSize         = 16
	)
	var list []fleet.Truth
	for model, n := range networks {
		for name, c := range chips {
			for _, role := range []string{"", jsonspec.RolePrefill, jsonspec.RoleDecode} {
				list = append(list, fleet.Truth{
					Model: model, Accelerator: name, Role: role, NoiseCV: noise,
					Link:  serving.Link{Bandwidth: networkBandwidth, Delay: networkDelay, TokenBytes: n.kvBytesPerToken},
					Cache: simulation.Cache{BlockSize: blockSize, Blocks: n.cacheTokens[name] / blockSize},
					StepTime: simulation.Roofline{
						WeightBytes: bytesPerParameter * n.parameters, ActiveParameters: n.parameters, KVBytesPerToken: n.kvBytesPerToken,
						Bandwidth: c.bandwidth, Speed: c.speed, MemoryEfficiency: memoryEfficiency, ComputeEfficiency: computeEfficiency,
						Overhead: overhead, SequenceOverhead: perSequence,
					},
				})
			}
		}
	}
	return list
}
