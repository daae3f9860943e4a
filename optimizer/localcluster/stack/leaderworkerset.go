package stack

import (
	"context"

	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
)

// startLeaderWorkerSet runs the controller of LeaderWorkerSets as its own manifests have it.
func (s *Stack) startLeaderWorkerSet(ctx context.Context) error {
	return s.startManager(ctx, manager{
		binary: controlplane.LeaderWorkerSet, module: "sigs.k8s.io/lws", namespace: "lws-system", account: "lws-controller-manager",
		service: "lws-webhook-service", certificate: "lws-webhook-server-cert", configMap: "lws-manager-config",
	})
}
