package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
)

// What KEDA's own manifests call things, and the Secret that the adapter keeps KEDA's certificate in.
const (
	kedaNamespace = "keda"
	kedaAccount   = "keda-operator"
	kedaAPI       = "keda-metrics-apiserver"
	kedaSecret    = "inferno-keda-client"
)

// kedaRights are the Secret of KEDA's certificate and the adapter's right to it, as the chart has them with keda.enabled.
const kedaRights = `
apiVersion: v1
kind: Secret
metadata: {name: %[1]s, namespace: %[2]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: %[1]s, namespace: %[2]s}
rules:
- {apiGroups: [""], resources: [secrets], resourceNames: [%[1]s], verbs: [get, update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: %[1]s, namespace: %[2]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: %[1]s}
subjects: [{kind: ServiceAccount, name: %[3]s, namespace: %[4]s}]
`

// startKEDA runs KEDA's operator and its adapter, which holds external.metrics.k8s.io, as its own manifests have them, with certificates of the control plane. Its
// admission webhooks are left out.
func (s *Stack) startKEDA(ctx context.Context) error {
	paths, err := controlplane.Binaries(ctx, "", s.Options.Progress, controlplane.KEDAOperator, controlplane.KEDAAdapter)
	if err != nil {
		return err
	}
	objects, err := s.neighbourManifests(ctx, paths[controlplane.KEDAOperator], "github.com/kedacore/keda/v2", "config/minimal")
	if err != nil {
		return err
	}
	var api, internal, health, operatorMetrics, adapterMetrics int
	if err := s.freePorts(&api, &internal, &health, &operatorMetrics, &adapterMetrics, &s.kedaPort); err != nil {
		return err
	}
	install, errInstall := atLocalhost(objects, map[string]int{kedaAPI: api}, s.CA())
	kubeconfig, errConfig := s.ServiceAccountKubeconfig(kedaNamespace, kedaAccount)
	pair, errPair := s.ServingCert(kedaAPI + "." + kedaNamespace + ".svc")
	if err := errors.Join(errInstall, errConfig, errPair); err != nil {
		return err
	}
	rights := fmt.Appendf(nil, kedaRights, kedaSecret, kedaNamespace, manifests.AdapterAccount, manifests.Namespace)
	if err := s.Apply(ctx, manifests.Join(install, rights)); err != nil {
		return fmt.Errorf("installing KEDA: %w", err)
	}
	certificates := filepath.Join(s.Dir(), "keda")
	in := func(name string) string { return filepath.Join(certificates, name) }
	if err := errors.Join(
		os.MkdirAll(certificates, 0o700), os.WriteFile(in("ca.crt"), s.CA(), 0o600), os.WriteFile(in("tls.crt"), pair.Cert, 0o600), os.WriteFile(in("tls.key"), pair.Key, 0o600),
	); err != nil {
		return err
	}
	env := []string{"KUBECONFIG=" + kubeconfig, "POD_NAMESPACE=" + kedaNamespace, "KEDA_CLUSTER_OBJECT_NAMESPACE=" + kedaNamespace, "WATCH_NAMESPACE="}
	if err := s.Run(ctx, &controlplane.Process{
		Name: string(controlplane.KEDAOperator), Path: paths[controlplane.KEDAOperator], Env: env,
		Args: []string{
			"--cert-dir=" + certificates, fmt.Sprintf("--metrics-service-bind-address=127.0.0.1:%d", internal),
			fmt.Sprintf("--metrics-bind-address=127.0.0.1:%d", operatorMetrics), fmt.Sprintf("--health-probe-bind-address=127.0.0.1:%d", health),
		},
		Ready: controlplane.HTTPReady(fmt.Sprintf("http://127.0.0.1:%d/readyz", health), nil),
	}); err != nil {
		return err
	}
	return s.Run(ctx, &controlplane.Process{
		Name: string(controlplane.KEDAAdapter), Path: paths[controlplane.KEDAAdapter], Env: env,
		Args: []string{
			"--lister-kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
			"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", api), fmt.Sprintf("--port=%d", adapterMetrics),
			"--client-ca-file=" + in("ca.crt"), "--tls-cert-file=" + in("tls.crt"), "--tls-private-key-file=" + in("tls.key"), "--cert-dir=" + certificates,
			fmt.Sprintf("--metrics-service-address=localhost:%d", internal),
		},
		Ready: func(ctx context.Context) error { return s.metricsServed(ctx, "external") },
	})
}

// ScalerAddress is where the adapter answers KEDA, for the metadata of triggers.
func (s *Stack) ScalerAddress() string { return fmt.Sprintf("localhost:%d", s.kedaPort) }

// kedaFlags of the adapter, which answers KEDA's certificate alone.
func (s *Stack) kedaFlags() ([]string, error) {
	if !s.Options.KEDA {
		return nil, nil
	}
	authority := filepath.Join(s.Dir(), "adapter-ca.crt")
	return []string{
		fmt.Sprintf("--keda-bind-address=127.0.0.1:%d", s.kedaPort), "--keda-allowed-names=keda",
		"--keda-secret=" + kedaNamespace + "/" + kedaSecret, "--keda-authority-file=" + authority,
	}, os.WriteFile(authority, s.CA(), 0o600)
}
