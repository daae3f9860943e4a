package stack

import (
	"context"

	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
)

// startKueue runs Kueue as its own manifests have it.
func (s *Stack) startKueue(ctx context.Context) error {
	return s.startManager(ctx, manager{
		binary: controlplane.Kueue, module: "sigs.k8s.io/kueue", namespace: "kueue-system", account: "kueue-controller-manager",
		service: "kueue-webhook-service", certificate: "kueue-webhook-server-cert", configMap: "kueue-manager-config",
		config: map[string]any{"featureGates": map[string]any{"VisibilityOnDemand": false}}, // an API of its own, whose Service is left out
	})
}
