package specification_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

const systems = "../../test/data/systems"

func load(t *testing.T, name string) *jsonspec.System {
	t.Helper()
	s, err := specification.Load(filepath.Join(systems, name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLoad(t *testing.T) {
	for name, want := range map[string][5]int{"small": {6, 30, 3, 15, 4}, "large": {21, 189, 4, 27, 9}} {
		s := load(t, name)
		got := [5]int{len(s.Accelerators.Spec), len(s.Models.Spec), len(s.ServiceClasses.Spec), len(s.Servers.Spec), len(s.Capacity.Count)}
		if got != want {
			t.Errorf("%s: %v accelerators, performances, classes, servers and types; want %v", name, got, want)
		}
		if warnings, err := specification.Validate(s); err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v, %v", name, warnings, err)
		}
		if l := s.Servers.Spec[0].CurrentAlloc.Load; l == nil || l.AvgInTokens != 128 || l.AvgOutTokens != 1024 {
			t.Errorf("%s: load of the first server is %+v: names that differ in case were not read", name, l)
		}
	}
}

func TestDirectoryAndFileSayTheSame(t *testing.T) {
	s := load(t, "small")
	data, err := specification.Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "system.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := specification.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, again); diff != "" {
		t.Error(diff)
	}
}

func TestOlderParametersAndYAML(t *testing.T) {
	const doc = `
models:
- name: m
  acc: A
  decodeParms: {alpha: 6.9, beta: 0.04}
  prefillParms: {gamma: 20, delta: 0.1}
`
	var d jsonspec.ModelData
	if err := specification.Decode("model-data.yaml", []byte(doc), &d); err != nil {
		t.Fatal(err)
	}
	want := jsonspec.Performance{Acc: "A", DecodeParms: &jsonspec.DecodeParms{Alpha: 6.9, Beta: 0.04}, PrefillParms: &jsonspec.PrefillParms{Gamma: 20, Delta: 0.1}}
	if diff := cmp.Diff(want, d.Spec[0].Performance); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeNamesEveryFault(t *testing.T) {
	for _, c := range []struct {
		name, doc string
		want      []string
	}{
		{"unknown fields", "{\"accelerators\":[{\"name\":\"A\",\"cost\":1,\n\"colour\":\"red\"}], \"extra\": 1}",
			[]string{`x:2: accelerators[0].colour: unknown field, allowed are cost,`, "x:2: extra: unknown field"}},
		{"duplicates, whatever their case", `{"accelerators":[{"name":"A","Name":"B","cost":1}]}`, []string{"accelerators[0].Name: field is given twice"}},
		{"wrong types, all of them", `{"accelerators":[{"name":7,"cost":"much","multiplicity":1.5,"power":[]}]}`,
			[]string{"[0].name: 7 stands where a string", `[0].cost: "much" stands where a number`, "[0].multiplicity: 1.5 stands where a whole number", "[0].power: a list stands where an object"}},
		{"null", `{"accelerators":[{"name":"A","cost":null}]}`, []string{"cost: null stands where a number"}},
		{"not JSON", `{"accelerators":[}`, []string{"x:1: not valid JSON"}},
		{"cut off", `{"accelerators":[`, []string{"not valid JSON"}},
		{"empty", ``, []string{"not valid JSON"}},
		{"something behind", `{"accelerators":[]} {}`, []string{"something follows"}},
		{"deeply nested", `{"accelerators":` + strings.Repeat("[", 1000), []string{"nested deeper than 64"}},
		{"too large a number", `{"accelerators":[{"name":"A","cost":1e999}]}`, []string{"cost: 1e999 stands where a number"}},
		{"YAML duplicates", "accelerators:\n- name: A\n  name: B\n", []string{"already set"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d jsonspec.AcceleratorData
			err := specification.Decode("x", []byte(c.doc), &d)
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error does not say %q:\n%v", w, err)
				}
			}
		})
	}
}

func TestDirectoryFaults(t *testing.T) {
	_, err := specification.LoadFS(fstest.MapFS{
		"accelerator-data.json": {Data: []byte(`{"accelerators":[{"nam":"A"}]}`)},
		"model-data.json":       {Data: []byte(`{}`)}, "model-data.yaml": {Data: []byte(`{}`)},
		"serviceclass-data.json": {Data: []byte(`{}`)},
	})
	for _, want := range []string{"accelerators[0].nam: unknown", "model-data is given twice: model-data.json, model-data.yaml", "server-data.json is missing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q:\n%v", want, err)
		}
	}
}

// Faults of reading hide no faults of values, and an entry that could not be read is told its reading faults only.
func TestLoadNamesFaultsOfReadingAndOfValuesTogether(t *testing.T) {
	accelerators := `{"accelerators":[{"name":"A","cost":-1},{"name":"B"},{"name":"C","cost":1,"colour":"red"},{"name":"A","cost":1}]}`
	models := `{"models":[{"name":"m","acc":"A","perfParms":{"alpha":1,"gamma":2}},{"name":"m","acc":"C"},{"name":"m","acc":"C"}]}`
	classes := `{"serviceClasses":[{"name":"gold","priority":0},{"name":"lead","priority":"first"}]}`
	servers := `{"servers":[{"name":"s","class":"gold","model":"m","currentAlloc":{"load":{"arrivalRate":1e20,"avgInTokens":1,"avgOutTokens":1}}},
		{"name":"r","class":"gold","model":"m","minNumReplicas":-1,"currentAlloc":{"load":{}}}]}`
	capacity := `{"count":[{"type":"A"},{"type":"A","count":-1},{"type":"C","count":1}]}`
	optimizer := `{"optimizer":{"unlimited":1,"saturationPolicy":"Fair"}}`
	want := []string{
		"accelerators[A].cost: -1 is not allowed", "accelerators[1].cost: is missing", "accelerators[2].colour: unknown field", `accelerators[3].name: "A" is given twice`,
		"models[0].perfParms.beta: is missing", "models[m on C]: is given twice", "serviceClasses[gold].priority: 0 is not allowed", `serviceClasses[1].priority: "first" stands where a whole number`,
		"servers[s].currentAlloc.load.arrivalRate: 1e+20 is not allowed, must be from 0 to 6e+10", "servers[1].currentAlloc.load.arrivalRate: is missing",
		"servers[1].currentAlloc.load.avgInTokens: is missing", "servers[1].currentAlloc.load.avgOutTokens: is missing",
		"count[0].count: is missing", "capacity.count[1].count: -1 is not allowed", "optimizer.unlimited: 1 stands where true or false",
	}
	folder, file := t.TempDir(), filepath.Join(t.TempDir(), "system.json")
	for name, text := range map[string]string{"accelerator": accelerators, "model": models, "serviceclass": classes, "server": servers, "capacity": capacity, "optimizer": optimizer} {
		if err := os.WriteFile(filepath.Join(folder, name+"-data.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	whole := `{"system":{"acceleratorData":` + accelerators + `,"modelData":` + models + `,"serviceClassData":` + classes + `,"serverData":` + servers +
		`,"capacityData":` + capacity + `,"optimizerData":` + optimizer + `}}`
	if err := os.WriteFile(file, []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{folder, file} {
		_, err := specification.Load(path)
		if err == nil {
			t.Fatalf("%s: no error", path)
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: error does not say %q", path, w)
			}
		}
		if got := strings.Count(err.Error(), "\n") + 1; got != len(want) {
			t.Errorf("%s: %d faults, want %d:\n%v", path, got, len(want), err)
		}
	}
}

// A group that no domain holds is told with what the largest holds; pools that bring nodes of a domain may.
func TestValidateNamesDomainsThatAreTooSmall(t *testing.T) {
	of := func(change func(s *jsonspec.System)) string {
		s := &jsonspec.System{}
		s.Accelerators.Spec = []jsonspec.AcceleratorEntry{{Name: "H200"}}
		s.Models.Spec = []jsonspec.PerformanceEntry{{Name: "big", Performance: jsonspec.Performance{Acc: "H200", AccCount: 48, PodsPerReplica: 6, TopologyKey: "rack"}}}
		for n := range 6 {
			s.Capacity.Nodes = append(s.Capacity.Nodes, jsonspec.NodeCapacity{Name: fmt.Sprint(n), Type: "H200", Free: 8, Domains: map[string]string{"rack": fmt.Sprint(n / 4)}})
		}
		change(s)
		warnings, err := specification.Validate(s)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(warnings, "\n")
	}
	small := `models[big on H200].topologyKey: the 6 pods of a replica, each with 8 cards, fit into no domain by "rack": the largest of 2 holds 4; the entry is not used`
	if got := of(func(*jsonspec.System) {}); !strings.Contains(got, small) {
		t.Errorf("warnings do not say %q:\n%s", small, got)
	}
	unbound := `models[big on H200].topologyKey: "rack" binds nothing: no nodes of type "H200" are given`
	if got := of(func(s *jsonspec.System) { s.Capacity.Nodes = nil }); !strings.Contains(got, unbound) {
		t.Errorf("warnings do not say %q:\n%s", unbound, got)
	}
	for name, change := range map[string]func(s *jsonspec.System){
		"four pods": func(s *jsonspec.System) { s.Models.Spec[0].AccCount, s.Models.Spec[0].PodsPerReplica = 32, 4 },
		"a pool": func(s *jsonspec.System) {
			s.Capacity.Elastic = []jsonspec.ElasticCapacity{{Name: "more", Type: "H200", Cards: 8, Limit: 2, NodeSelector: map[string]string{"rack": "1"}}}
		},
	} {
		if got := of(change); strings.Contains(got, "topologyKey") {
			t.Errorf("%s: warnings of domains: %s", name, got)
		}
	}
}

// What is said of variants, roles and replicas of several pods is checked all at once, and each fault says what is possible.
func TestValidateNamesFaultsOfRoles(t *testing.T) {
	entry := func(variant, role string, change func(*jsonspec.Performance)) jsonspec.PerformanceEntry {
		p := jsonspec.PerformanceEntry{Name: "big", Performance: jsonspec.Performance{Acc: "H200", Variant: variant, Role: role, AccCount: 12}}
		change(&p.Performance)
		return p
	}
	nothing := func(*jsonspec.Performance) {}
	s := &jsonspec.System{}
	s.Accelerators.Spec = []jsonspec.AcceleratorEntry{{Name: "H200"}}
	s.Models.Info = []jsonspec.ModelInfo{{Name: "big", ModelProperties: jsonspec.ModelProperties{Architecture: &jsonspec.Architecture{NumAttentionHeads: 12, NRoutedExperts: 8, NumHiddenLayers: 4}}}}
	s.Models.Spec = []jsonspec.PerformanceEntry{
		entry("", "prefill", nothing), entry("prefill", "", nothing), entry("TP 4", "", nothing), entry("a", "encode", nothing),
		entry("b", "", func(p *jsonspec.Performance) { p.PodsPerReplica = 5 }),
		entry("f", "", func(p *jsonspec.Performance) { p.TopologyKey = "rack" }),
		entry("g", "", func(p *jsonspec.Performance) { p.PodsPerReplica, p.TopologyKey = 2, "a rack" }),
		entry("c", "", func(p *jsonspec.Performance) { p.Ranks, p.Transfer = 2, &jsonspec.Transfer{Bandwidth: 1} }),
		entry("d", "prefill", func(p *jsonspec.Performance) { p.Transfer = &jsonspec.Transfer{Delay: -1, BytesPerToken: math.NaN()} }),
		entry("e", "", func(p *jsonspec.Performance) {
			p.Match = map[string]string{"tensor_parallel": "5", "expert_parallel": "3", "pipeline_parallel": "6"}
		}),
		{Name: "apart", Performance: jsonspec.Performance{Acc: "H200", Role: "prefill"}}, {Name: "apart", Performance: jsonspec.Performance{Acc: "H200", Role: "decode"}},
	}
	s.ServiceClasses.Spec = []jsonspec.ServiceClassEntry{{Name: "gold", ServiceClassSpec: jsonspec.ServiceClassSpec{Priority: 1, Precisions: []string{"fp8", "fp8", ""}}}}
	s.Servers.Spec = []jsonspec.ServerEntry{{Name: "chat", Class: "gold", Model: "apart", MaxNumReplicas: 1}}
	_, err := specification.Validate(s)
	for _, want := range []string{
		"models[big on H200 as prefill]: is given twice; entries of a model on one accelerator differ by variant or role",
		`models[big on H200 as TP 4].variant: "TP 4" is not allowed, must be of lower-case letters`,
		`models[big on H200 as a].role: "encode" is not allowed, must be one of prefill, decode`,
		"models[big on H200 as b].podsPerReplica: 5 pods cannot have 12 accelerators between them evenly; possible are 1, 2, 3, 4, 6, 12",
		`models[big on H200 as f].topologyKey: "rack" is not allowed where a replica is one pod; podsPerReplica must be above 1`,
		`models[big on H200 as g].topologyKey: "a rack" is no key of a node label`,
		"models[big on H200 as c].ranks: 2 is not allowed without a role", "models[big on H200 as c].transfer: is not allowed without a role",
		"models[big on H200 as d].transfer.bandwidth: 0 is not allowed", "models[big on H200 as d].transfer.delay: -1", "models[big on H200 as d].transfer.bytesPerToken: NaN",
		"models[big on H200 as e].match.tensor_parallel: 5 does not divide the 12 attention heads of the model; possible are 1, 2, 3, 4, 6, 12",
		"models[big on H200 as e].match.pipeline_parallel: 6 stages are more than the 4 layers of the model",
		"models[big on H200 as e].match.expert_parallel: 3 does not divide the 8 experts of the model; possible are 1, 2, 4, 8",
		"models[big]: has entries with the role prefill and none with the role decode, without which they serve nobody",
		`serviceClasses[gold].precisions[1]: "fp8" is empty or given twice`, `serviceClasses[gold].precisions[2]: "" is empty or given twice`,
		"servers[chat].maxNumReplicas: 1 is not allowed: model apart has performance data for a prefill and a decode role alone, which are at least 2 replicas",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q:\n%v", want, err)
		}
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	s := load(t, "small")
	s.Accelerators.Spec[0].Cost = math.NaN()
	s.Accelerators.Spec[1].Name = s.Accelerators.Spec[2].Name
	s.Accelerators.Spec[3].Power.MidUtil = 1.5
	s.Models.Spec[0].PerfParms.Beta = -1
	s.Models.Spec[1].DecodeParms = &jsonspec.DecodeParms{}
	s.Models.Spec[2].Acc = "abacus"
	s.ServiceClasses.Spec[0].Priority = 0
	s.ServiceClasses.Spec[1].ModelTargets[0].Percentile = 100
	s.Servers.Spec[0].MinNumReplicas, s.Servers.Spec[0].MaxNumReplicas = 3, 2
	s.Servers.Spec[1].CurrentAlloc.Load.ArrivalRate = math.Inf(1)
	s.Servers.Spec[2].Routing = "Random"
	s.Servers.Spec[3].Arrivals = &jsonspec.ArrivalCounter{Counter: "a}b"}
	s.Servers.Spec[4].Arrivals = &jsonspec.ArrivalCounter{Counter: "a", Labels: map[string]jsonspec.LabelValue{
		"b-c": "d", "__name__": "apiserver_request_total", "namespace": "other", "long": jsonspec.LabelValue(strings.Repeat("x", 1025)),
	}}
	s.Capacity.Count[0].Count = -4
	s.Capacity.Count[1].Type = "H1OO"
	s.Capacity.Nodes = []jsonspec.NodeCapacity{{Name: "a", Type: "A100", Free: 1}, {Name: "a", Type: "A100", Free: -1}, {Name: "a", Type: "B100"}, {}}
	s.Capacity.Elastic = []jsonspec.ElasticCapacity{{Name: "p", Type: "A100", Limit: 20_000, Price: math.NaN(), DelaySeconds: 90}, {Name: "p", Cards: 1}}
	s.Optimizer.Spec.MaxDelaySeconds = 60
	s.Optimizer.Spec.EnergyShare = 0.5
	s.Accelerators.Spec[5].Power = jsonspec.PowerCurve{}
	s.Optimizer.Spec.Change = &jsonspec.ChangePolicy{Switch: -1}
	s.Optimizer.Spec.SaturationPolicy = "Fair"
	s.Optimizer.Spec.UseCplex = true
	s.Optimizer.Spec.Objective, s.Optimizer.Spec.Counting, s.Optimizer.Spec.PriorityFactor = jsonspec.ObjectiveWeightedSum, "Tokens", -1
	s.Capacity.Elastic[0].DeadlineSeconds = -5
	one, negative := 1.0, -0.5
	s.Optimizer.Spec.ForecastQuantile = &one
	s.ServiceClasses.Spec[0].ForecastQuantile, s.ServiceClasses.Spec[0].ViolationCost = &negative, &negative
	warnings, err := specification.Validate(s)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"accelerators[L4].cost: NaN is not allowed, must be a finite number of at least 0", `accelerators[2].name: "AIU2" is given twice`,
		"power.midUtil: 1.5 is not allowed, must be from 0 to 1", "perfParms.beta: -1 is not allowed", "decodeParms and prefillParms are given together",
		"give one of them", "serviceClasses[Premium].priority: 0 is not allowed, must be from 1 to 100", "slo-percentile: 100 is not allowed",
		"servers[Premium-llama_13b].maxNumReplicas: 2 is below minNumReplicas 3", "load.arrivalRate: +Inf is not allowed",
		`arrivals.counter: "a}b" is not allowed, must be the name of a metric`, "arrivals.labels: is missing", `arrivals.labels[b-c]: "b-c" is not allowed, must be the name of a label`,
		`arrivals.labels[__name__]: "__name__" is not allowed: names that begin with __ are reserved`, "arrivals.labels[namespace]: is not allowed: it is always the server's namespace",
		"arrivals.labels[long]: 1025 bytes are not allowed, must be at most 1024",
		`routing: "Random" is not allowed, must be one of RoundRobin, LeastRequest, Weighted`, "capacity.count[0].count: -4 is not allowed",
		`optimizer.saturationPolicy: "Fair" is not allowed, must be one of None, PriorityExhaustive, PriorityRoundRobin, RoundRobin`, "optimizer.useCplex: true is not allowed",
		`capacity.nodes[a]: is given twice with type "A100"`, "capacity.nodes[a].free: -1 is not allowed", "capacity.nodes[3].name: is missing", "capacity.nodes[3].type: is missing",
		"capacity.elastic[p].cards: 0 is not allowed, must be from 1 to 10000", "capacity.elastic[p].limit: 20000 is not allowed", "capacity.elastic[p].price: NaN",
		"optimizer.centsPerKWh: 0 is not allowed where energyShare is 0.5", "optimizer.change.switch: -1 is not allowed", "optimizer.change.horizonSeconds: 0 is not allowed",
		"optimizer.unservedCost: 0 is not allowed where the objective is WeightedSum", `optimizer.counting: "Tokens" is not allowed, must be one of Servers, Load`,
		"optimizer.priorityFactor: -1 is not allowed", "capacity.elastic[p].deadlineSeconds: -5 is not allowed",
		"optimizer.forecastQuantile: 1 is not allowed, must be above 0 and below 1", "serviceClasses[Premium].forecastQuantile: -0.5 is not allowed",
		"serviceClasses[Premium].violationCost: -0.5 is not allowed, must be a finite number above 0", "serviceClasses[Premium]: forecastQuantile follows from violationCost",
		`capacity.elastic[1].name: "p" is given twice`, "capacity.elastic[p].type: is missing",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q", want)
		}
	}
	all := strings.Join(warnings, "\n")
	for _, want := range []string{`"abacus" is not an accelerator`, `"H1OO" is the type of no accelerator`, `capacity.nodes[a].type: "B100" is the type of no accelerator`,
		"accelerators[4xA100].power: is missing", "capacity.elastic[p].delaySeconds: 90 is above optimizer.maxDelaySeconds 60"} {
		if !strings.Contains(all, want) {
			t.Errorf("warnings do not say %q: %s", want, all)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

// A system without capacity is planned as it is, with nothing to give, and told so.
func TestMissingCapacityIsWarnedOf(t *testing.T) {
	s := load(t, "small")
	s.Capacity = jsonspec.CapacityData{}
	for unlimited, want := range map[bool]int{false: 1, true: 0} {
		s.Optimizer.Spec.Unlimited = unlimited
		warnings, err := specification.Validate(s)
		if err != nil || len(warnings) != want {
			t.Errorf("unlimited %t: %v, %v", unlimited, warnings, err)
		}
	}
}

// There and back again loses nothing that a system can say, for the sample systems with every optional field filled in somewhere.
func TestConversionIsLossless(t *testing.T) {
	for _, name := range []string{"small", "large"} {
		s := load(t, name)
		decorate(s)
		specification.Sort(s)
		back, _ := specification.FromResources(toResources(t, s, "llm"))
		back.Capacity = s.Capacity // a cluster's capacity is that of its nodes, not of a resource
		if diff := cmp.Diff(s, back, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		again := toResources(t, back, "llm")
		if diff := cmp.Diff(toResources(t, s, "llm"), again, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: resources differ:\n%s", name, diff)
		}
	}
}

func toResources(t *testing.T, s *jsonspec.System, namespace string) specification.Resources {
	t.Helper()
	r, err := specification.ToResources(s, namespace)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What no Optimizer can name is said, all of it.
func TestPlugsThatNoOptimizerHas(t *testing.T) {
	options := func(text string) *runtime.RawExtension { return &runtime.RawExtension{Raw: []byte(text)} }
	s := load(t, "small")
	s.Optimizer.Spec.Plugs = jsonspec.Plugs{
		QueueModel: &jsonspec.Plug{Name: "no-such"}, Estimator: &jsonspec.Plug{Name: "sliding-window", Options: options(`{"keep": 2.5}`)},
		Forecaster: &jsonspec.Plug{Name: "holt", Options: options(`{"widow": 60}`)}, Solver: &jsonspec.Plug{Name: "milp", Options: options(`[]`)},
		Stability: &jsonspec.Plug{Name: "damped", Options: options(`{"scaleInHoldDownSeconds": 1e300}`)},
	}
	_, err := specification.ToResources(s, "llm")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`optimizer.queueModel.name: "no-such" is not allowed, must be one of continuous-batching, fluid-bound, mm1k-state-dependent`,
		"optimizer.estimator.options.keep: 2.5 is not allowed, must be a whole number", `optimizer.forecaster.options: "widow" is not an option of it`,
		"optimizer.solver.options", "optimizer.stability.options.scaleInHoldDownSeconds: 1e300 is not allowed, must be a duration of at most 292 years",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q: %v", want, err)
		}
	}
}

func decorate(s *jsonspec.System) {
	s.Accelerators.Spec[0].ProductNames = []string{"NVIDIA-L4"}
	s.Models.Spec[0].PerfParms, s.Models.Spec[0].Law = nil, &jsonspec.LawParms{
		Name: "x", Version: 2, Parameters: map[string]float64{"a": 1, "b": 4.89e-5}, Order: []string{"a", "b"}, Covariance: [][]float64{{0.1, -0.02}, {-0.02, 0.3}},
	}
	s.Models.Spec[0].KVTokens = 1000
	for i, role := range []string{jsonspec.RolePrefill, jsonspec.RoleDecode} {
		p := s.Models.Spec[0]
		p.Role, p.AccCount, p.PodsPerReplica, p.TopologyKey, p.Ranks = role, 4, 2, "nvidia.com/gpu.clique", 2
		p.Transfer = &jsonspec.Transfer{Bandwidth: 50, Delay: 1.5, BytesPerToken: 70_000}
		if i == 1 {
			p.Variant, p.TokensPerIteration = "decode-tp2", 1.8
		}
		s.Models.Spec = append(s.Models.Spec, p)
	}
	s.Models.Info = []jsonspec.ModelInfo{
		{Name: s.Models.Spec[0].Name, ModelProperties: jsonspec.ModelProperties{ServedName: "served"}},
		{Name: "zz/Never Measured", ModelProperties: jsonspec.ModelProperties{Architecture: &jsonspec.Architecture{NumHiddenLayers: 2}}},
	}
	sv := s.Servers.Spec
	for i := range sv {
		sv[i].Namespace = "llm"
	}
	sv[0].MinNumReplicas, sv[0].MaxNumReplicas, sv[0].Routing, sv[0].KeepAccelerator = 2, 9, jsonspec.RoutingWeighted, true
	sv[0].ScaleTargetRef = &jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: "d"}
	sv[0].Arrivals = &jsonspec.ArrivalCounter{Counter: "envoy_cluster_upstream_rq_total", Labels: map[string]jsonspec.LabelValue{"envoy_cluster_name": "chat"}}
	sv[1].Variants = []jsonspec.Variant{{Name: "big", Accelerators: []string{"A100"}}, {Name: "decodes", ModelVariant: "decode-tp2", Accelerators: []string{"L4"}}}
	sv[6].DesiredAlloc = &jsonspec.Allocation{
		Accelerator: "L4", NumReplicas: 3, Parts: []jsonspec.AllocationPart{
			{Accelerator: "L4", Variant: "prefill", Role: jsonspec.RolePrefill, Replicas: 1, Share: 1}, {Accelerator: "L4", Variant: "decode-tp2", Role: jsonspec.RoleDecode, Replicas: 2, Share: 1},
		},
	}
	sv[6].CurrentAlloc = &jsonspec.Allocation{Accelerator: "L4", Variant: "prefill", NumReplicas: 1, Load: sv[6].CurrentAlloc.Load}
	sv[2].CurrentAlloc = &jsonspec.Allocation{Accelerator: "A100", NumReplicas: 3, MaxBatch: 8, MaxBatchedTokens: 512, Cost: 120, ITLAverage: 10, TTFTAverage: 99, Load: sv[2].CurrentAlloc.Load}
	sv[3].CurrentAlloc = nil
	sv[4].DesiredAlloc = &jsonspec.Allocation{
		Accelerator: "A100", NumReplicas: 5, MaxBatch: 8, Cost: 7, BestEffort: true, Reason: "because",
		Parts: []jsonspec.AllocationPart{{Accelerator: "A100", Replicas: 3, MaxBatchSize: 8, Share: 0.6}, {Accelerator: "L4", Replicas: 2, Share: 0.4}},
	}
	sv[5].Model, sv[5].Class = "No Such Model", "No/Class"
	s.Optimizer.Spec.Plugs = jsonspec.Plugs{
		Solver: &jsonspec.Plug{Name: "greedy"}, QueueModel: &jsonspec.Plug{Name: "mm1k-state-dependent"},
		Estimator:  &jsonspec.Plug{Name: "sliding-window", Options: &runtime.RawExtension{Raw: []byte(`{"gate":4.89e-5,"keep":3,"memoryHours":1.5}`)}},
		Forecaster: &jsonspec.Plug{Name: "holt-winters", Options: &runtime.RawExtension{Raw: []byte(`{"window":600}`)}},
		Stability:  &jsonspec.Plug{Name: "damped", Options: &runtime.RawExtension{Raw: []byte(`{"minimalGain":0,"scaleInHoldDownSeconds":0.5}`)}},
	}
	s.Optimizer.Spec.Change = &jsonspec.ChangePolicy{StartupSeconds: 60, Start: 1, Switch: 2, HorizonSeconds: 1800}
	s.Optimizer.Spec.EnergyShare, s.Optimizer.Spec.CentsPerKWh = 0.3, 15
	half, most, cents := 0.5, 0.95, 0.2
	s.Optimizer.Spec.ForecastQuantile = &half
	s.ServiceClasses.Spec[0].ForecastQuantile, s.ServiceClasses.Spec[1].ViolationCost = &most, &cents
}

func TestResourceName(t *testing.T) {
	for _, name := range []string{"chat", "Premium-llama_13b", "premium-llama_13b", "meta-llama/Llama-3.1-8B", "ü", "-", strings.Repeat("x", 300), "a.b"} {
		got := specification.ResourceName(name)
		if errs := validation.IsDNS1123Label(got); len(errs) > 0 {
			t.Errorf("%q becomes %q: %v", name, got, errs)
		}
	}
	if specification.ResourceName("chat") != "chat" {
		t.Error("an allowed name changed")
	}
	if specification.ResourceName("A_b") == specification.ResourceName("a_b") {
		t.Error("different names became equal")
	}
}

// Servers of equal annotated names in two namespaces stay apart.
func TestServerNamesAreUnique(t *testing.T) {
	s := load(t, "small")
	a, b := toResources(t, s, "a"), toResources(t, s, "b")
	a.Servers = append(a.Servers, b.Servers...)
	back, index := specification.FromResources(a)
	if len(back.Servers.Spec) != 30 || len(index) != 30 {
		t.Errorf("%d servers with %d names, want 30 of each", len(back.Servers.Spec), len(index))
	}
	for name, i := range index {
		if want := a.Servers[i].Namespace + "/" + a.Servers[i].Name; name != want {
			t.Errorf("%q stands for %q", name, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"accelerator-data.json", "model-data.json", "serviceclass-data.json", "server-data.json", "capacity-data.json", "optimizer-data.json"} {
		data, err := os.ReadFile(filepath.Join(systems, "small", seed))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:min(len(data), 2000)])
	}
	f.Add([]byte(`{"system":{"serverData":{"servers":[{"observation":{"time":"2026-01-01T00:00:00Z"}}]}}}`))
	f.Add([]byte(`{"system":{"optimizerData":{"optimizer":{"solver":{"name":"x","options":{"a":[1,{"b":null}]}}}}}}`))
	f.Add([]byte("system:\n  capacityData: {count: [{type: A, count: 3}]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var d jsonspec.SystemFile
		if specification.Decode("fuzz", data, &d) != nil {
			return
		}
		specification.Validate(&d.System)
		specification.Sort(&d.System)
		encoded, err := specification.Encode(&d.System)
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		var again jsonspec.SystemFile
		if err := specification.Decode("again", encoded, &again); err != nil {
			t.Fatalf("what was encoded cannot be decoded: %v\n%s", err, encoded)
		}
	})
}

// What is asked for while a plan is realised, more or less than it, is not the plan.
func TestAPlanIsReadWithoutItsRealisation(t *testing.T) {
	plan := jsonspec.Allocation{Accelerator: "A", NumReplicas: 4, MaxBatch: 8}
	for name, change := range map[string]func(*v1alpha1.DesiredState){
		"as planned": func(*v1alpha1.DesiredState) {},
		"others stay until these are ready": func(d *v1alpha1.DesiredState) {
			d.Replicas, d.Surge, d.Parts = 6, 2, append(d.Parts, jsonspec.AllocationPart{Accelerator: "B", Surge: 2})
		},
		"pods make way": func(d *v1alpha1.DesiredState) { d.Replicas = 0 },
	} {
		d := specification.Desired(&plan)
		change(d)
		if diff := cmp.Diff(&plan, specification.FromDesired(d)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if got := specification.FromDesired(&v1alpha1.DesiredState{Replicas: 3, Surge: 1}); got.NumReplicas != 2 {
		t.Errorf("a plan that names no accelerator has %d replicas, want 2", got.NumReplicas)
	}
}
