package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/metricsadapter/certificate"
)

const servicePort = 443

// certificateOptions of the command certificate.
type certificateOptions struct {
	valid time.Duration
	// externalMetrics and customMetrics are the APIs that the adapter is registered for.
	externalMetrics, customMetrics bool
	namespace, service             string
}

func certificateCommand() *cobra.Command {
	options := certificateOptions{valid: 365 * 24 * time.Hour}
	cmd := &cobra.Command{
		Use:   "certificate",
		Short: "Print a Secret with a new certificate for the adapter, and the APIServices that trust it",
		Long: `For clusters without cert-manager. The certificate is signed by an authority made for it alone, whose key is thrown away: nothing else
can ever be issued by what the APIServices trust. To renew, do it again; running adapters read the new certificate within about a minute,
and while the two differ autoscalers hold what they have.

  inferno-adapter certificate | kubectl apply -f -

An API of metrics has one owner in a cluster, and this takes it from whoever has it: where kubectl get apiservice
v1beta1.external.metrics.k8s.io finds another, --external-metrics=false leaves it alone.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if options.valid <= 0 {
				return fmt.Errorf("%w: --valid: %s; must be more than 0s", errUsage, options.valid)
			}
			for flag, value := range map[string]string{"--namespace": options.namespace, "--service": options.service} {
				if faults := validation.IsDNS1123Label(value); len(faults) > 0 {
					return fmt.Errorf("%w: %s: %q is not allowed: %s", errUsage, flag, value, strings.Join(faults, ", "))
				}
			}
			return options.print(cmd.OutOrStdout(), time.Now())
		},
	}
	cmd.Flags().DurationVar(&options.valid, "valid", options.valid, "How long the certificate is valid.")
	cmd.Flags().BoolVar(&options.externalMetrics, "external-metrics", true, "Register the adapter for external.metrics.k8s.io.")
	cmd.Flags().BoolVar(&options.customMetrics, "custom-metrics", false, "Register the adapter for custom.metrics.k8s.io too.")
	cmd.Flags().StringVar(&options.namespace, "namespace", manifests.Namespace, "Namespace that the adapter is installed in.")
	cmd.Flags().StringVar(&options.service, "service", manifests.AdapterService, "Name of the adapter's Service; its Secret has that name with -tls.")
	return cmd
}

// print writes the objects as a stream of YAML.
func (o certificateOptions) print(out io.Writer, now time.Time) error {
	issued, err := certificate.ForHost(o.service+"."+o.namespace+".svc", now, now.Add(o.valid))
	if err != nil {
		return fmt.Errorf("issue a certificate: %w", err)
	}
	secret, err := yaml.Marshal(core.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: o.namespace, Name: o.service + "-tls"},
		Type:       core.SecretTypeTLS,
		Data: map[string][]byte{
			core.TLSCertKey: issued.Certificate, core.TLSPrivateKeyKey: issued.Key, core.ServiceAccountRootCAKey: issued.Authority,
		},
	})
	if err != nil {
		return err
	}
	reference := manifests.ServiceReference{Name: o.service, Namespace: o.namespace, Port: servicePort}
	objects := [][]byte{secret}
	for _, api := range []struct {
		name   string
		wanted bool
	}{{"external", o.externalMetrics}, {"custom", o.customMetrics}} {
		if !api.wanted {
			continue
		}
		services, err := manifests.MetricsAPI(api.name, reference, issued.Authority)
		if err != nil {
			return err
		}
		objects = append(objects, services)
	}
	_, err = out.Write(manifests.Join(objects...))
	return err
}
