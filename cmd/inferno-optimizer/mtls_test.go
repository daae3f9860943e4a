package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/llm-inferno/inferno/metricsadapter/certificate"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

// A real Prometheus that wants a certificate of who asks gets the one that the Optimizer names, and the new one when it is renewed, without a restart.
func TestPrometheusWantsACertificate(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the binary of Prometheus")
	}
	paths, err := controlplane.Binaries(t.Context(), "", t.Output(), controlplane.Prometheus)
	if err != nil {
		t.Fatal(err)
	}
	dir, credentials := t.TempDir(), t.TempDir()
	put := func(dir, name string, text []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	until := time.Now().Add(time.Hour)
	server, err := certificate.ForHost("localhost", time.Now(), until)
	if err != nil {
		t.Fatal(err)
	}
	client := func() certificate.Issued {
		issued, err := certificate.ForClient("inferno-optimizer", time.Now(), until)
		if err != nil {
			t.Fatal(err)
		}
		return issued
	}
	show := func(c certificate.Issued) {
		put(credentials, "client.crt", c.Certificate)
		put(credentials, "client.key", c.Key)
	}
	put(credentials, "ca.crt", server.Authority)
	authorities := put(dir, "clients.crt", nil)
	web := put(dir, "web.yml", fmt.Appendf(nil, "tls_server_config: {cert_file: %q, key_file: %q, client_auth_type: RequireAndVerifyClientCert, client_ca_file: %q}\n",
		put(dir, "server.crt", server.Certificate), put(dir, "server.key", server.Key), authorities))
	address := free(t)
	process := &controlplane.Process{
		Name: "prometheus", Path: paths[controlplane.Prometheus], Log: filepath.Join(dir, "log"),
		Args: []string{"--config.file=" + put(dir, "prometheus.yml", []byte("scrape_configs: []\n")), "--web.config.file=" + web, "--web.listen-address=" + address, "--storage.tsdb.path=" + filepath.Join(dir, "data")},
		Ready: func(ctx context.Context) error {
			connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			if err == nil {
				err = connection.Close()
			}
			return err
		},
	}
	// trust starts Prometheus anew, so that no connection of before is left, with who may ask it.
	trust := func(c certificate.Issued) {
		process.Stop()
		put(dir, "clients.crt", c.Certificate)
		if err := process.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(process.Stop)
	first, second := client(), client()
	show(first)
	trust(first)
	o := options{credentialsDir: credentials}
	q, err := o.queriers()(&v1alpha1.PrometheusSource{URL: "https://" + address, Access: v1alpha1.PrometheusAccess{
		CAFile: "ca.crt", CertificateFile: "client.crt", KeyFile: "client.key", ServerName: "localhost",
	}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		// It listens before it answers.
		for {
			_, err := q.Query(ctx, "vector(1)", time.Now(), func(observe.Series) {})
			if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "503") {
				return err
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	if err := ask(); err != nil {
		t.Fatalf("with the certificate that it wants: %v", err)
	}
	trust(second)
	if err := ask(); err == nil {
		t.Error("answered with a certificate that is good no more")
	}
	show(second)
	if err := ask(); err != nil {
		t.Errorf("with the new certificate: %v", err)
	}
}

// free address of this machine.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
