package stack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
)

// manager is a neighbour of one program, with webhooks whose certificate it makes itself, and what its own manifests call things.
type manager struct {
	binary               controlplane.Binary
	module               string
	namespace, account   string
	service, certificate string // of its webhooks: the certificate is a Secret
	configMap            string
	config               map[string]any // what differs from its release's, beside addresses
}

// managerConfigKey of the ConfigMap of a manager.
const managerConfigKey = "controller_manager_config.yaml"

// startManager runs a neighbour as its own manifests have it: the configuration of its release, its rights, its webhooks.
func (s *Stack) startManager(ctx context.Context, m manager) error {
	paths, err := controlplane.Binaries(ctx, "", s.Options.Progress, m.binary)
	if err != nil {
		return err
	}
	objects, err := s.neighbourManifests(ctx, paths[m.binary], m.module, "config/default")
	if err != nil {
		return err
	}
	var health, metrics, webhook int
	if err := s.freePorts(&health, &metrics, &webhook); err != nil {
		return err
	}
	install, errInstall := atLocalhost(objects, map[string]int{m.service: webhook}, s.CA())
	kubeconfig, errConfig := s.ServiceAccountKubeconfig(m.namespace, m.account)
	if err := errors.Join(errInstall, errConfig); err != nil {
		return err
	}
	if err := s.Apply(ctx, install); err != nil {
		return fmt.Errorf("installing %s: %w", m.binary, err)
	}
	certificates := filepath.Join(s.Dir(), string(m.binary))
	values := map[string]any{
		"health":         map[string]any{"healthProbeBindAddress": fmt.Sprintf("127.0.0.1:%d", health)},
		"metrics":        map[string]any{"bindAddress": fmt.Sprintf("127.0.0.1:%d", metrics)},
		"webhook":        map[string]any{"host": "127.0.0.1", "port": webhook, "certDir": certificates},
		"leaderElection": map[string]any{"leaderElect": false},
	}
	maps.Copy(values, m.config)
	config, err := m.configOf(objects, values)
	if err != nil {
		return err
	}
	file := filepath.Join(s.Dir(), string(m.binary)+".yaml")
	if err := errors.Join(os.MkdirAll(certificates, 0o700), os.WriteFile(file, config, 0o644)); err != nil {
		return err
	}
	healthy := controlplane.HTTPReady(fmt.Sprintf("http://127.0.0.1:%d/readyz", health), nil)
	return s.Run(ctx, &controlplane.Process{
		Name: string(m.binary), Path: paths[m.binary], Args: []string{"--config=" + file}, Env: []string{"KUBECONFIG=" + kubeconfig},
		Ready: func(ctx context.Context) error {
			if err := s.mount(ctx, m.namespace, m.certificate, certificates); err != nil {
				return err
			}
			return healthy(ctx)
		},
	})
}

// configOf a manager is that of its release, but for these values.
func (m *manager) configOf(objects []*unstructured.Unstructured, values map[string]any) ([]byte, error) {
	i := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool {
		return o.GetKind() == "ConfigMap" && o.GetName() == m.configMap
	})
	if i < 0 {
		return nil, fmt.Errorf("the manifests of %s have no ConfigMap %s", m.binary, m.configMap)
	}
	text, _, err := unstructured.NestedString(objects[i].Object, "data", managerConfigKey)
	config := map[string]any{}
	if err := errors.Join(err, yaml.Unmarshal([]byte(text), &config)); err != nil {
		return nil, fmt.Errorf("the configuration of %s: %w", m.binary, err)
	}
	maps.Copy(config, values)
	return yaml.Marshal(config)
}

// mount a Secret with a certificate in a folder, as a kubelet does for a pod, once there is one in it.
func (s *Stack) mount(ctx context.Context, namespace, name, folder string) error {
	certificate := filepath.Join(folder, corev1.TLSCertKey)
	if _, err := os.Stat(certificate); err == nil {
		return nil
	}
	secret, err := s.Kube.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if len(secret.Data[corev1.TLSCertKey]) == 0 {
		return fmt.Errorf("there is no certificate in Secret %s/%s yet", namespace, name)
	}
	err = os.WriteFile(filepath.Join(folder, corev1.TLSPrivateKeyKey), secret.Data[corev1.TLSPrivateKeyKey], 0o600)
	return errors.Join(err, replaceFile(certificate, secret.Data[corev1.TLSCertKey])) // which the program waits for
}
