package e2e

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
)

// prefills are the variant whose engines compute prompts for others.
const prefills = "prefills"

// A model that computes prompts and decodes apart runs as two Deployments, each with a stock autoscaler that follows the replicas of its role. Their pods are told
// apart on one type of accelerator, and a request that goes through both counts once.
func TestRolesOfAServer(t *testing.T) {
	const least, rate = 4, 6.0
	s := start(t)
	s.apply(`
apiVersion: inferno.platform.ai/v1alpha1
kind: Model
metadata: {name: apart}
spec:
  servedName: llama
  performance:
    - {accelerator: h100, role: prefill, maxBatchSize: 64, atTokens: 100, work: {alpha: "7.0", beta: "0.0325", gamma: "0.000049"}, transfer: {bandwidth: 50G, delay: 2ms, bytesPerToken: "131072"}}
    - {accelerator: h100, role: decode, variant: decode-tp1, maxBatchSize: 64, atTokens: 100, work: {alpha: "7.0", beta: "0.0325", gamma: "0.000049"}, transfer: {bandwidth: 50G, bytesPerToken: "131072"}}
`)
	alone := &v1alpha1.Model{ObjectMeta: named("alone"), Spec: v1alpha1.ModelSpec{Performance: []v1alpha1.Performance{{Accelerator: "h100", Role: jsonspec.RolePrefill}}}}
	if err := s.Client.Create(t.Context(), alone); err == nil || !strings.Contains(err.Error(), "serve nobody without one with the role decode") {
		t.Errorf("a role without a partner: %v", err)
	}
	s.patch(&v1alpha1.ServiceClass{ObjectMeta: named("premium")}, `{"spec":{"targets":[{"model":"llama","itl":"60ms","ttft":"2s"},{"model":"apart","itl":"60ms","ttft":"2s"}]}}`)
	server := newServer("apart", func(server *v1alpha1.Server) {
		server.Spec.Model, server.Spec.MinReplicas, server.Spec.ScaleTargetRef = "apart", new(least), nil
		for name, of := range map[string]string{prefills: "prefill", "decodes": "decode-tp1"} {
			server.Spec.Variants = append(server.Spec.Variants, jsonspec.Variant{
				Name: name, ModelVariant: of, Accelerators: []string{"h100"}, ScaleTargetRef: jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: "apart-" + name},
			})
		}
	})
	if err := s.Client.Create(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{prefills, "decodes"} {
		s.deployVariant(server, name, controlplane.H100.Product)
	}
	e := s.startEngines(play{rate: map[string]float64{namespace + "/apart": rate}, cluster: "here"})

	runs := func(prefill, decode int) func(context.Context) error {
		return func(ctx context.Context) error {
			current, err := s.server(ctx, "apart")
			if err != nil {
				return err
			}
			d := current.Status.Desired
			if d == nil || len(d.Parts) != 2 {
				return fmt.Errorf("the plan is %+v", d)
			}
			want := map[string]int{"prefill": prefill, "decode-tp1": decode}
			ready := map[string]int{}
			for _, p := range current.Status.Current {
				ready[p.Variant] += p.Ready
			}
			for _, p := range d.Parts {
				name := map[string]string{"prefill": "apart-" + prefills, "decode-tp1": "apart-decodes"}[p.Variant]
				n, err := s.replicas(ctx, name)
				if err != nil || p.Role == "" || p.Replicas < want[p.Variant] || n != p.Replicas || ready[p.Variant] != p.Replicas {
					return fmt.Errorf("%s has %d replicas, %d of them ready, of the plan %+v: %v", name, n, ready[p.Variant], d.Parts, err)
				}
			}
			return nil
		}
	}
	s.eventually("each role has its replicas", runs(least/2, least/2))
	load := func(rate float64) func(context.Context) error {
		return func(ctx context.Context) error {
			current, err := s.server(ctx, "apart")
			if err != nil {
				return err
			}
			if l := current.Status.Load; l == nil || math.Abs(jsonspec.PerSecond(l.ArrivalRate)/rate-1) > 0.2 || l.AvgOutTokens != tokensOut {
				return fmt.Errorf("its load is %+v", l)
			}
			return nil
		}
	}
	s.eventually("a request counts once", load(rate))

	// Ten times the requests want more of either role, and each Deployment follows its own.
	e.change(func(p *play) { p.rate[namespace+"/apart"] = 20 * rate })
	s.eventually("it grows", func(ctx context.Context) error {
		if err := runs(least/2, least/2+1)(ctx); err != nil {
			return err
		}
		return load(20 * rate)(ctx)
	})
}
