package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"

	"github.com/spf13/cobra"
	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/manifests"
)

const (
	servicePort = 443
	// A certificate is valid from a little in the past, because clocks differ.
	backdate = 5 * time.Minute
)

// certificateOptions of the command certificate.
type certificateOptions struct {
	valid              time.Duration
	customMetrics      bool
	namespace, service string
}

func certificateCommand() *cobra.Command {
	options := certificateOptions{valid: 365 * 24 * time.Hour}
	cmd := &cobra.Command{
		Use:   "certificate",
		Short: "Print a Secret with a new certificate for the adapter, and the APIServices that trust it",
		Long: `For clusters without cert-manager. The certificate is signed by an authority made for it alone, whose key is thrown away: nothing else
can ever be issued by what the APIServices trust. To renew, do it again; running adapters read the new certificate within about a minute,
and while the two differ autoscalers hold what they have.

  inferno-adapter certificate | kubectl apply -f -`,
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
	cmd.Flags().BoolVar(&options.customMetrics, "custom-metrics", false, "Register the adapter for custom.metrics.k8s.io too.")
	cmd.Flags().StringVar(&options.namespace, "namespace", manifests.Namespace, "Namespace that the adapter is installed in.")
	cmd.Flags().StringVar(&options.service, "service", manifests.AdapterService, "Name of the adapter's Service; its Secret has that name with -tls.")
	return cmd
}

// print writes the objects as a stream of YAML.
func (o certificateOptions) print(out io.Writer, now time.Time) error {
	issued, err := issue(o.service+"."+o.namespace+".svc", now, now.Add(o.valid))
	if err != nil {
		return fmt.Errorf("issue a certificate: %w", err)
	}
	secret, err := yaml.Marshal(core.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: o.namespace, Name: o.service + "-tls"},
		Type:       core.SecretTypeTLS,
		Data: map[string][]byte{
			core.TLSCertKey: issued.certificate, core.TLSPrivateKeyKey: issued.key, core.ServiceAccountRootCAKey: issued.authority,
		},
	})
	if err != nil {
		return err
	}
	reference := manifests.ServiceReference{Name: o.service, Namespace: o.namespace, Port: servicePort}
	services, err := manifests.MetricsAPI("external", reference, issued.authority)
	if err != nil {
		return err
	}
	if o.customMetrics {
		custom, err := manifests.MetricsAPI("custom", reference, issued.authority)
		if err != nil {
			return err
		}
		services = manifests.Join(services, custom)
	}
	_, err = out.Write(manifests.Join(secret, services))
	return err
}

// An issuedCertificate is one with its key and the authority that signed it, in PEM.
type issuedCertificate struct {
	certificate, key, authority []byte
}

// issue makes an authority, lets it sign one certificate for the host, and forgets its key.
func issue(host string, now, until time.Time) (issuedCertificate, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issuedCertificate{}, err
	}
	ca, err := template("inferno-adapter-ca", now, until)
	if err != nil {
		return issuedCertificate{}, err
	}
	ca.IsCA, ca.BasicConstraintsValid, ca.MaxPathLenZero = true, true, true
	ca.KeyUsage = x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return issuedCertificate{}, err
	}
	if ca, err = x509.ParseCertificate(caDER); err != nil {
		return issuedCertificate{}, err
	}

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issuedCertificate{}, err
	}
	leaf, err := template(host, now, until)
	if err != nil {
		return issuedCertificate{}, err
	}
	leaf.DNSNames = []string{host}
	leaf.KeyUsage, leaf.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return issuedCertificate{}, err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return issuedCertificate{}, err
	}
	return issuedCertificate{
		certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leafDER}),
		key:         pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
		authority:   pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}),
	}, nil
}

// template of a certificate with a random serial number.
func template(name string, now, until time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-backdate), NotAfter: until,
	}, nil
}
