package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
)

// Market is what the pretended cloud of a Karpenter sells.
type Market []Machine

// Machine is an instance type.
type Machine struct {
	Name string
	GPU  controlplane.GPU
	// Cards of a node.
	Cards int
	// Price of a node on demand, and as spot, in dollars per hour.
	OnDemand, Spot float64
}

// CloudMarket is what "inferno up --with karpenter" sells: three GPU types, each on demand and as spot, alone and eight to a node, at prices like those of large clouds.
var CloudMarket = Market{
	{Name: "h100x1", GPU: controlplane.H100, Cards: 1, OnDemand: 4, Spot: 2}, {Name: "h100x8", GPU: controlplane.H100, Cards: 8, OnDemand: 32, Spot: 16},
	{Name: "a100x1", GPU: controlplane.A100, Cards: 1, OnDemand: 2.5, Spot: 1.2}, {Name: "a100x8", GPU: controlplane.A100, Cards: 8, OnDemand: 20, Spot: 9.6},
	{Name: "l40sx1", GPU: controlplane.L40S, Cards: 1, OnDemand: 1.1, Spot: 0.6}, {Name: "l40sx8", GPU: controlplane.L40S, Cards: 8, OnDemand: 8.8, Spot: 4.8},
}

// zone of all machines.
const zone = "local-a"

// instanceTypes are the market as Karpenter's provider kwok reads it.
func (m Market) instanceTypes() ([]byte, error) {
	type requirement struct {
		Key      string   `json:"key"`
		Operator string   `json:"operator"`
		Values   []string `json:"values"`
	}
	type offering struct {
		Price        float64
		Available    bool
		Requirements []requirement
	}
	type instanceType struct {
		Name             string            `json:"name"`
		Offerings        []offering        `json:"offerings"`
		Architecture     string            `json:"architecture"`
		OperatingSystems []string          `json:"operatingSystems"`
		Resources        map[string]string `json:"resources"`
	}
	in := func(key, value string) requirement { return requirement{key, "In", []string{value}} }
	list := make([]instanceType, len(m))
	for i, x := range m {
		list[i] = instanceType{Name: x.Name, Architecture: "amd64", OperatingSystems: []string{"linux"}, Resources: map[string]string{
			"cpu": fmt.Sprint(16 * x.Cards), "memory": fmt.Sprintf("%dGi", 128*x.Cards), "ephemeral-storage": "1Ti", "pods": "110",
			string(controlplane.NVIDIAResource): fmt.Sprint(x.Cards),
		}}
		for kind, price := range map[string]float64{OnDemand: x.OnDemand, Spot: x.Spot} {
			list[i].Offerings = append(list[i].Offerings, offering{price, true, []requirement{
				in("karpenter.sh/capacity-type", kind), in("topology.kubernetes.io/zone", zone), in("nvidia.com/gpu.product", x.GPU.Product),
			}})
		}
	}
	return json.Marshal(list)
}

// nodePools of a market: one for each machine and capacity type. Of those that fit, Karpenter takes the heavier, which are the smaller ones: it would else put
// what waits together on the largest. Empty nodes go at once; spot nodes have two minutes, as clouds give them.
var nodePools = template.Must(template.New("").Parse(`
apiVersion: karpenter.kwok.sh/v1alpha1
kind: KWOKNodeClass
metadata: {name: default}
{{- range $m := . }}{{ range $capacityType := $m.CapacityTypes }}
---
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: {{ $m.NodePool $capacityType }}}
spec:
  weight: {{ $m.Weight }}
  limits: {nvidia.com/gpu: 64}
  disruption: {consolidationPolicy: WhenEmptyOrUnderutilized, consolidateAfter: 0s, budgets: [{nodes: "100%"}]}
  template:
    spec:
      nodeClassRef: {group: karpenter.kwok.sh, kind: KWOKNodeClass, name: default}
      expireAfter: Never
      {{- if eq $capacityType "spot" }}
      terminationGracePeriod: 120s
      {{- end }}
      requirements:
      - {key: karpenter.sh/capacity-type, operator: In, values: [{{ $capacityType }}]}
      - {key: node.kubernetes.io/instance-type, operator: In, values: [{{ $m.Name }}]}
{{- end }}{{ end }}
`))

// The ways in which machines are had.
const (
	OnDemand = "on-demand"
	Spot     = "spot"
)

// CapacityTypes in which a machine is had.
func (x Machine) CapacityTypes() []string { return []string{OnDemand, Spot} }

// NodePool of machines that are had in one way, by its name.
func (x Machine) NodePool(capacityType string) string { return x.Name + "-" + capacityType }

// Weight of its NodePools.
func (x Machine) Weight() int { return max(100-x.Cards, 1) }

// NodePools for all that the market sells, as YAML.
func (m Market) NodePools() ([]byte, error) {
	var out bytes.Buffer
	err := nodePools.Execute(&out, m)
	return out.Bytes(), err
}

// karpenterRights are those that the chart gives the optimizer with gates.enabled and karpenter.enabled.
const karpenterRights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: inferno-optimizer-karpenter}
rules:
- {apiGroups: [karpenter.sh], resources: [nodepools], verbs: [list]}
- {apiGroups: [""], resources: [pods], verbs: [delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: inferno-optimizer-karpenter}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: inferno-optimizer-karpenter}
subjects: [{kind: ServiceAccount, name: %[1]s, namespace: %[2]s}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: inferno-optimizer-karpenter, namespace: default}
rules:
- {apiGroups: [""], resources: [events], verbs: [list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: inferno-optimizer-karpenter, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: inferno-optimizer-karpenter}
subjects: [{kind: ServiceAccount, name: %[1]s, namespace: %[2]s}]
`

// startKarpenter runs Karpenter, with NodePools for all that the market sells.
func (s *Stack) startKarpenter(ctx context.Context, m Market) error {
	paths, err := controlplane.Binaries(ctx, "", s.Options.Progress, controlplane.Karpenter)
	if err != nil {
		return err
	}
	path := paths[controlplane.Karpenter]
	crds, err := exec.CommandContext(ctx, path, "crds").Output()
	if err != nil {
		return fmt.Errorf("%s crds: %w", controlplane.Karpenter, err)
	}
	types, err := m.instanceTypes()
	if err != nil {
		return err
	}
	pools, err := m.NodePools()
	if err != nil {
		return err
	}
	file := filepath.Join(s.Dir(), "instance-types.json")
	if err := errors.Join(os.WriteFile(file, types, 0o644), s.Lack()); err != nil {
		return err
	}
	rights := fmt.Appendf(nil, karpenterRights, manifests.OptimizerAccount, manifests.Namespace)
	if err := s.Apply(ctx, manifests.Join(crds, rights, pools)); err != nil {
		return fmt.Errorf("installing Karpenter's resources: %w", err)
	}
	kubeconfig, err := s.Kubeconfig("karpenter", "system:masters") // it would be a provider's, with the rights that its chart gives it
	if err != nil {
		return err
	}
	metrics, errMetrics := s.FreePort()
	health, errHealth := s.FreePort()
	if err := errors.Join(errMetrics, errHealth); err != nil {
		return err
	}
	return s.Run(ctx, &controlplane.Process{
		Name: string(controlplane.Karpenter), Path: path,
		Env: []string{
			"KUBECONFIG=" + kubeconfig, "DISABLE_LEADER_ELECTION=true", fmt.Sprintf("METRICS_PORT=%d", metrics), fmt.Sprintf("HEALTH_PROBE_PORT=%d", health),
			"INSTANCE_TYPES_FILE_PATH=" + file, "LACKING_FILE_PATH=" + s.lackingFile(),
		},
		Ready: controlplane.HTTPReady(fmt.Sprintf("http://127.0.0.1:%d/readyz", health), nil),
	})
}

func (s *Stack) lackingFile() string { return filepath.Join(s.Dir(), "lacking") }

// Lack lets the pretended cloud have no capacity for these machines, named TYPE or TYPE/CAPACITYTYPE, from now on, and for all others as much as is wanted.
func (s *Stack) Lack(machines ...string) error {
	return replaceFile(s.lackingFile(), []byte(strings.Join(machines, "\n")))
}
