package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/manifests"
)

// The Secret that is printed holds a server certificate which the APIServices that are printed trust, for the name that the API server asks
// for.
func TestCertificateIsTrustedByItsAPIServices(t *testing.T) {
	now := time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	for services, options := range map[int]certificateOptions{
		0: {valid: time.Hour, namespace: manifests.Namespace, service: manifests.AdapterService},
		1: {valid: time.Hour, externalMetrics: true, namespace: manifests.Namespace, service: manifests.AdapterService},
		3: {valid: time.Hour, externalMetrics: true, customMetrics: true, namespace: "elsewhere", service: "second-inferno-adapter"},
	} {
		var out bytes.Buffer
		if err := options.print(&out, now); err != nil {
			t.Fatal(err)
		}
		documents := strings.Split(out.String(), "---\n")
		var secret core.Secret
		if err := yaml.UnmarshalStrict([]byte(documents[0]), &secret); err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(secret.Data["tls.crt"], secret.Data["tls.key"])
		if err != nil {
			t.Fatal(err)
		}
		if len(documents) != 1+services {
			t.Fatalf("%d documents, want a Secret and %d APIServices", len(documents), services)
		}
		for _, document := range documents[1:] {
			var service apiregistration.APIService
			if err := yaml.UnmarshalStrict([]byte(document), &service); err != nil {
				t.Fatal(err)
			}
			if ref := service.Spec.Service; ref.Name != options.service || ref.Namespace != options.namespace || secret.Name != options.service+"-tls" || secret.Namespace != options.namespace {
				t.Errorf("%s leads to %s/%s, the secret is %s/%s", service.Name, ref.Namespace, ref.Name, secret.Namespace, secret.Name)
			}
			roots := x509.NewCertPool()
			if !roots.AppendCertsFromPEM(service.Spec.CABundle) {
				t.Fatalf("%s has no authority", service.Name)
			}
			for at, valid := range map[time.Time]bool{now: true, now.Add(59 * time.Minute): true, now.Add(61 * time.Minute): false} {
				_, err := pair.Leaf.Verify(x509.VerifyOptions{
					Roots: roots, DNSName: options.service + "." + options.namespace + ".svc", CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
				})
				if (err == nil) != valid {
					t.Errorf("%s at %v: %v, want valid: %v", service.Name, at, err, valid)
				}
			}
		}
	}
}

func TestWrongCommandLines(t *testing.T) {
	for _, args := range [][]string{
		{"certificate", "--valid=0s"}, {"certificate", "--valid=soon"}, {"certificate", "extra"}, {"certificate", "--namespace=A_b"}, {"certificate", "--service="}, {"--no-such-flag"}, {"serve"},
		{"--tls-min-version=VersionTLS10"}, {"--logging-format=xml"},
	} {
		cmd := command()
		cmd.SetArgs(args)
		cmd.SetOut(&bytes.Buffer{})
		cmd.SetErr(&bytes.Buffer{})
		if err := cmd.Execute(); !errors.Is(err, errUsage) {
			t.Errorf("%v: %v, want an error of usage", args, err)
		}
	}
}

func TestHelpNamesTheFlagsThatMatter(t *testing.T) {
	for _, test := range []struct {
		args   []string
		named  []string
		absent string
	}{
		{[]string{"--help"}, []string{
			"--kubeconfig", "--secure-port", "--tls-cert-file", "--logging-format", "--shutdown-delay", `"inferno-adapter certificate"`,
		}, "--valid"},
		{[]string{"certificate", "--help"}, []string{"--valid", "--custom-metrics"}, "--kubeconfig"},
	} {
		cmd := command()
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetArgs(test.args)
		if err := cmd.Execute(); err != nil {
			t.Fatal(err)
		}
		for _, text := range test.named {
			if !strings.Contains(out.String(), text) {
				t.Errorf("%v does not name %s", test.args, text)
			}
		}
		if strings.Contains(out.String(), test.absent) {
			t.Errorf("%v names %s", test.args, test.absent)
		}
	}
}
