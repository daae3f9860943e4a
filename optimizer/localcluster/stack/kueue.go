package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
)

// What Kueue's own manifests call things.
const (
	kueueNamespace   = "kueue-system"
	kueueAccount     = "kueue-controller-manager"
	kueueService     = "kueue-webhook-service"
	kueueCertificate = "kueue-webhook-server-cert"
	kueueConfigMap   = "kueue-manager-config"
	kueueConfigKey   = "controller_manager_config.yaml"
)

// startKueue runs Kueue as its own manifests have it: the configuration of its release, its rights, its webhooks with the certificate that it makes itself.
func (s *Stack) startKueue(ctx context.Context) error {
	paths, err := controlplane.Binaries(ctx, "", s.Options.Progress, controlplane.Kueue)
	if err != nil {
		return err
	}
	path := paths[controlplane.Kueue]
	objects, err := s.neighbourManifests(ctx, path, "sigs.k8s.io/kueue", "config/default")
	if err != nil {
		return err
	}
	var health, metrics, webhook int
	if err := s.freePorts(&health, &metrics, &webhook); err != nil {
		return err
	}
	install, errInstall := atLocalhost(objects, map[string]int{kueueService: webhook}, s.CA())
	kubeconfig, errConfig := s.ServiceAccountKubeconfig(kueueNamespace, kueueAccount)
	if err := errors.Join(errInstall, errConfig); err != nil {
		return err
	}
	if err := s.Apply(ctx, install); err != nil {
		return fmt.Errorf("installing Kueue: %w", err)
	}
	certificates := filepath.Join(s.Dir(), "kueue")
	config, err := kueueConfig(objects, map[string]any{
		"health":         map[string]any{"healthProbeBindAddress": fmt.Sprintf("127.0.0.1:%d", health)},
		"metrics":        map[string]any{"bindAddress": fmt.Sprintf("127.0.0.1:%d", metrics)},
		"webhook":        map[string]any{"host": "127.0.0.1", "port": webhook, "certDir": certificates},
		"leaderElection": map[string]any{"leaderElect": false},
		"featureGates":   map[string]any{"VisibilityOnDemand": false}, // an API of its own, whose Service is left out
	})
	if err != nil {
		return err
	}
	file := filepath.Join(s.Dir(), "kueue.yaml")
	if err := errors.Join(os.MkdirAll(certificates, 0o700), os.WriteFile(file, config, 0o644)); err != nil {
		return err
	}
	healthy := controlplane.HTTPReady(fmt.Sprintf("http://127.0.0.1:%d/readyz", health), nil)
	return s.Run(ctx, &controlplane.Process{
		Name: string(controlplane.Kueue), Path: path, Args: []string{"--config=" + file}, Env: []string{"KUBECONFIG=" + kubeconfig},
		Ready: func(ctx context.Context) error {
			if err := s.mount(ctx, kueueNamespace, kueueCertificate, certificates); err != nil {
				return err
			}
			return healthy(ctx)
		},
	})
}

// kueueConfig is the configuration of Kueue's release, but for these values.
func kueueConfig(objects []*unstructured.Unstructured, values map[string]any) ([]byte, error) {
	i := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool {
		return o.GetKind() == "ConfigMap" && o.GetName() == kueueConfigMap
	})
	if i < 0 {
		return nil, fmt.Errorf("the manifests of Kueue have no ConfigMap %s", kueueConfigMap)
	}
	text, _, err := unstructured.NestedString(objects[i].Object, "data", kueueConfigKey)
	config := map[string]any{}
	if err := errors.Join(err, yaml.Unmarshal([]byte(text), &config)); err != nil {
		return nil, fmt.Errorf("the configuration of Kueue: %w", err)
	}
	for key, value := range values {
		config[key] = value
	}
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
	return errors.Join(err, replaceFile(certificate, secret.Data[corev1.TLSCertKey])) // which Kueue waits for
}
