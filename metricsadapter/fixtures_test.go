package metricsadapter

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// confirmed is when the plans of the fixtures were last confirmed, and now is a moment later.
var (
	confirmed = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	now       = confirmed.Add(10 * time.Second)
)

// fakeServers holds Servers in a slice.
type fakeServers struct {
	servers  []*v1alpha1.Server
	unsynced bool
}

func (f *fakeServers) HasSynced() bool { return !f.unsynced }

func (f *fakeServers) Get(namespace, name string) (*v1alpha1.Server, bool) {
	for _, server := range f.List(namespace) {
		if server.Name == name {
			return server, true
		}
	}
	return nil, false
}

func (f *fakeServers) List(namespace string) []*v1alpha1.Server {
	var found []*v1alpha1.Server
	for _, server := range f.servers {
		if server.Namespace == namespace {
			found = append(found, server)
		}
	}
	return found
}

func (f *fakeServers) ScaledBy(namespace string, workload schema.GroupResource, name string) []*v1alpha1.Server {
	var found []*v1alpha1.Server
	for _, server := range f.List(namespace) {
		for _, ref := range ScaleTargets(server) {
			if Workload(ref) == workload && ref.Name == name {
				found = append(found, server)
				break
			}
		}
	}
	return found
}

func deployment(name string) jsonspec.ScaleTargetRef {
	return jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: name}
}

// server whose Deployment has its name, planned on the parts.
func server(namespace, name string, parts ...jsonspec.AllocationPart) *v1alpha1.Server {
	target := deployment(name)
	total := 0
	for _, part := range parts {
		total += part.Replicas
	}
	return &v1alpha1.Server{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "uid-of-it", Labels: map[string]string{"team": namespace}},
		Spec:       v1alpha1.ServerSpec{ServerBinding: jsonspec.ServerBinding{ScaleTargetRef: &target}},
		Status: v1alpha1.ServerStatus{
			ReadyReplicas: 3,
			Current:       []jsonspec.ObservedPart{{Accelerator: "H100", Ready: 2}, {Accelerator: "A100", Ready: 1, Starting: 4}},
			Desired: &v1alpha1.DesiredState{
				DecidedAt:         metav1.NewTime(confirmed.Add(-time.Hour)),
				ConfirmedAt:       metav1.NewTime(confirmed),
				StaleAfterSeconds: 60,
				Replicas:          total,
				Parts:             parts,
				Predicted:         &v1alpha1.Latencies{TTFT: new(312.4567), ITL: new(18.25)},
			},
		},
	}
}

func part(accelerator string, replicas, batch, tokens int) jsonspec.AllocationPart {
	return jsonspec.AllocationPart{Accelerator: accelerator, Replicas: replicas, MaxBatchSize: batch, MaxBatchedTokens: tokens}
}

// split is a server over two accelerators; variants one whose accelerators have Deployments of their own, one of them planned empty.
func split() *v1alpha1.Server {
	return server("llm", "split", part("H100", 3, 96, 1024), part("A100", 2, 48, 2048))
}

func variants() *v1alpha1.Server {
	s := server("llm", "variants", part("H100", 3, 96, 1024), part("A100", 2, 48, 2048), part("H200", 1, 128, 0))
	s.Spec.ScaleTargetRef = nil
	s.Spec.Variants = []jsonspec.Variant{
		{Name: "hopper", Accelerators: []string{"H100", "H200"}, ScaleTargetRef: deployment("variants-hopper")},
		{Name: "ampere", Accelerators: []string{"A100", "H200"}, ScaleTargetRef: deployment("variants-ampere")},
		{Name: "ada", Accelerators: []string{"L40S"}, ScaleTargetRef: deployment("variants-ada")},
	}
	return s
}

// with returns the server after the change.
func with(s *v1alpha1.Server, change func(*v1alpha1.Server)) *v1alpha1.Server {
	change(s)
	return s
}

// fleet of namespaces: llm, where all is well, sick, where nothing is, and mixed.
func fleet() *fakeServers {
	return &fakeServers{servers: []*v1alpha1.Server{
		variants(),
		split(),
		server("llm", "chat", part("H100", 5, 96, 1024)),
		with(server("llm", "idle"), func(s *v1alpha1.Server) { s.Status.ReadyReplicas = 0 }),
		with(server("other", "chat", part("H100", 7, 96, 1024)), func(s *v1alpha1.Server) { s.Status.ReadyReplicas = 0 }),
		with(server("mixed", "bad"), func(s *v1alpha1.Server) { s.Status.Desired = nil }),
		server("mixed", "good", part("H100", 2, 0, 0)),
		with(server("sick", "stale", part("H100", 5, 96, 1024)), func(s *v1alpha1.Server) { s.Status.Desired.StaleAfterSeconds = 9 }),
		with(server("sick", "planless"), func(s *v1alpha1.Server) {
			s.Status.Desired = nil
			s.Status.Conditions = []metav1.Condition{{
				Type: v1alpha1.ConditionPlanned, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonUnknownModel, Message: "no Model x",
			}}
		}),
	}}
}
