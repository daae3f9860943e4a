package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
)

// killRounds is few for every day; fifty take about twenty minutes.
var killRounds = flag.Int("kill-rounds", 2, "rounds of killing the scheduler, the adapter, the optimizer and the API server in the midst of a migration")

// What inferno withstands: strangers, fleets that grow when they are asked to, and the death of any of its parts while pods move.
func TestWithstands(t *testing.T) {
	s := start(t)
	s.serve("chat", nil)
	s.play("chat")
	s.load("chat", 30)
	s.settled("chat", 2, 6)

	t.Run("manifests are accepted by the API server", func(t *testing.T) { s.t = t; manifestsAreAccepted(t, s, "samples") })
	t.Run("strangers are refused on every port", func(t *testing.T) { s.t = t; refusesStrangers(s) })
	t.Run("accounts may do what they must and no more", func(t *testing.T) { s.t = t; rightsHold(s) })
	t.Run("two adapters agree", func(t *testing.T) { s.t = t; twoAdaptersAgree(s) })
	t.Run("one of two optimizers leads", func(t *testing.T) { s.t = t; oneOptimizerLeads(s) })
	t.Run("a node autoscaler buys the planned type", func(t *testing.T) { s.t = t; buysThePlannedType(s) })
	t.Run("kills in the midst of a migration", func(t *testing.T) { s.t = t; killsDuringMigration(s) })
}

// killsDuringMigration makes the other accelerator the cheaper one, round by round, and meanwhile kills every program in random order: each
// time pods end up where the plan wants them, none too many, and ready ones never fall below what was ready before
// or the least that any plan on the way wanted.
func killsDuringMigration(s *system) {
	products := map[string]string{"h100": controlplane.H100.Product, "l40s": controlplane.L40S.Product}
	random := rand.New(rand.NewPCG(1, 2))
	for round := range *killRounds {
		history := s.settledHistory("chat", 1, 24)
		server, err := s.server(s.t.Context(), "chat")
		if err != nil {
			s.t.Fatal(err)
		}
		from := server.Status.Desired.Parts[0].Accelerator
		to := map[string]string{"h100": "l40s", "l40s": "h100"}[from]
		s.patch(accelerator(from), `{"spec":{"costPerHour":1000}}`)
		s.patch(accelerator(to), `{"spec":{"costPerHour":1}}`)
		victims := []string{"kube-scheduler", "inferno-adapter", "inferno-optimizer", "kube-apiserver"}
		random.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
		for _, victim := range victims {
			time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond)
			s.kill(victim)
		}
		s.eventually(fmt.Sprintf("round %d: all pods on %s after killing %v", round, to, victims), func(ctx context.Context) error {
			server, err := s.server(ctx, "chat")
			if err != nil {
				return err
			}
			d := server.Status.Desired
			if d == nil || len(d.Parts) != 1 || d.Parts[0].Accelerator != to || d.Surge > 0 {
				return fmt.Errorf("the plan is %+v", d)
			}
			pods, err := s.pods(ctx, "chat")
			if err != nil {
				return err
			}
			if len(pods) != d.Replicas {
				return fmt.Errorf("%d pods, planned are %d", len(pods), d.Replicas)
			}
			placement, err := s.Placement(ctx, namespace, "chat", product)
			if err == nil && placement[products[to]] != d.Replicas {
				err = fmt.Errorf("ready pods are %v, the plan %+v", placement, d.Parts)
			}
			return err
		})
		s.wantNeverShort(history)
	}
}

// buysThePlannedType plans a type that no node carries yet. The test stands for Karpenter or the Cluster Autoscaler: it looks at pending pods
// and their node affinity, and at nothing of inferno's.
func buysThePlannedType(s *system) {
	s.apply(`
apiVersion: inferno.platform.ai/v1alpha1
kind: Accelerator
metadata: {name: a100}
spec: {type: A100, costPerHour: 20}
---
apiVersion: inferno.platform.ai/v1alpha1
kind: Model
metadata: {name: big}
spec:
  performance:
    - {accelerator: a100, maxBatchSize: 64, atTokens: 100, work: {alpha: "12.0", beta: "0.05", gamma: "0.0001"}}
    - {accelerator: h100, maxBatchSize: 64, atTokens: 100, work: {alpha: "7.0", beta: "0.0325", gamma: "0.000049"}}
`)
	s.patch(&v1alpha1.ServiceClass{ObjectMeta: named("premium")}, `{"spec":{"targets":[{"model":"llama","itl":"60ms","ttft":"2s"},{"model":"big","itl":"60ms","ttft":"2s"}]}}`)
	s.patch(optimizer(), `{"spec":{"capacity":"Unlimited"}}`)
	server := &v1alpha1.Server{ObjectMeta: named("big")}
	server.Namespace = namespace
	server.Spec = v1alpha1.ServerSpec{Model: "big", ServiceClass: "premium"}
	for _, a := range []string{"a100", "h100"} {
		server.Spec.Variants = append(server.Spec.Variants, jsonspec.Variant{
			Name: a, Accelerators: []string{a}, ScaleTargetRef: jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: "big-" + a},
		})
	}
	if err := s.Client.Create(s.t.Context(), server); err != nil {
		s.t.Fatal(err)
	}
	for a, gpu := range map[string]controlplane.GPU{"a100": controlplane.A100, "h100": controlplane.H100} {
		s.deployVariant(server, a, gpu.Product)
	}

	s.eventually("the plan wants an A100, and a pod waits for a node", func(ctx context.Context) error {
		current, err := s.server(ctx, "big")
		if err != nil {
			return err
		}
		d := current.Status.Desired
		if d == nil || len(d.Parts) == 0 || d.Parts[0].Accelerator != "a100" {
			return fmt.Errorf("the plan is %+v", d)
		}
		for _, p := range current.Status.Current {
			if p.Accelerator == "" && p.Starting == d.Parts[0].Replicas {
				return nil
			}
		}
		return fmt.Errorf("pods are %+v, the plan %+v", current.Status.Current, d)
	})
	wanted, err := s.wantedProducts(s.t.Context())
	if err != nil || len(wanted) != 1 || wanted[0] != controlplane.A100.Product {
		s.t.Fatalf("pending pods ask for %v, %v; want %s alone", wanted, err, controlplane.A100.Product)
	}
	if err := s.AddNodes(s.t.Context(), controlplane.NodePool{Name: "a100", Count: 1, GPU: controlplane.A100, GPUsPerNode: 4}); err != nil {
		s.t.Fatal(err)
	}
	// A pod that began on the other variant, before there was a plan, serves until then.
	s.eventually("the server runs on what was bought alone", func(ctx context.Context) error {
		placement, err := s.Placement(ctx, namespace, "big", product)
		if err == nil && (len(placement) != 1 || placement[controlplane.A100.Product] < 1) {
			err = fmt.Errorf("ready pods are %v", placement)
		}
		return err
	})
	s.patch(optimizer(), `{"spec":{"capacity":"Limited"}}`)
	if err := s.Client.Delete(s.t.Context(), server); err != nil {
		s.t.Fatal(err)
	}
	for _, a := range []string{"a100", "h100"} {
		d := &appsv1.Deployment{ObjectMeta: named("big-" + a)}
		d.Namespace = namespace
		if err := s.Client.Delete(s.t.Context(), d); err != nil {
			s.t.Fatal(err)
		}
	}
}

// deployVariant creates the workload of a variant with required node affinity, and an autoscaler that follows the variant's part, from zero.
func (s *system) deployVariant(server *v1alpha1.Server, variant, productName string) {
	s.t.Helper()
	workload := server.DeepCopy()
	workload.Name = server.Name + "-" + variant
	d := stack.Deployment(workload, 1)
	d.Spec.Template.Labels[v1alpha1.ServerLabel] = server.Name
	d.Spec.Template.Labels[v1alpha1.VariantLabel] = variant
	d.Spec.Template.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: product, Operator: corev1.NodeSelectorOpIn, Values: []string{productName}}},
		}}},
	}}
	h := stack.Autoscaler(workload)
	h.Spec.MinReplicas = new(int32(0))
	h.Spec.Metrics[0].External.Metric.Selector.MatchLabels = map[string]string{"server": server.Name, "variant": variant}
	if err := errors.Join(s.Client.Create(s.t.Context(), d), s.Client.Create(s.t.Context(), h)); err != nil {
		s.t.Fatal(err)
	}
}

// wantedProducts are the products that the affinity of pending pods asks for.
func (s *system) wantedProducts(ctx context.Context) ([]string, error) {
	var pods corev1.PodList
	if err := s.Client.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	var wanted []string
	for _, p := range pods.Items {
		if p.Spec.NodeName != "" || p.Spec.Affinity == nil {
			continue
		}
		for _, term := range p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
			for _, e := range term.MatchExpressions {
				wanted = append(wanted, e.Values...)
			}
		}
	}
	return wanted, nil
}
