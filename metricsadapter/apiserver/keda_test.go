package apiserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/llm-inferno/inferno/metricsadapter/keda/externalscaler"
)

// startForKEDA runs an adapter that answers KEDA's certificates "keda" of the authority, at the returned address.
func startForKEDA(t *testing.T, clients *authority, servers ...map[string]any) (*running, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, clients.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	r := startWith(t, func(o *Options) {
		o.KEDA = KEDAOptions{Address: listener.Addr().String(), ClientCAFile: file, AllowedNames: []string{"keda"}, listener: listener}
	}, servers...)
	return r, listener.Addr().String()
}

// ask the adapter for the replicas of llm/chat as KEDA does.
func ask(t *testing.T, r *running, address string, maxTLS uint16, certificates ...tls.Certificate) (float64, error) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(r.authority.cert)
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		RootCAs: roots, ServerName: host, Certificates: certificates, MinVersion: tls.VersionTLS10, MaxVersion: maxTLS,
	})))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	answer, err := externalscaler.NewExternalScalerClient(connection).GetMetrics(ctx, &externalscaler.GetMetricsRequest{
		MetricName: "inferno_desired_replicas",
		ScaledObjectRef: &externalscaler.ScaledObjectRef{
			Name: "chat", Namespace: "llm", ScalerMetadata: map[string]string{"server": "chat", "scalerAddress": address},
		},
	})
	if err != nil {
		return 0, err
	}
	return answer.GetMetricValues()[0].GetMetricValueFloat(), nil
}

func TestKEDAIsAnsweredAndNobodyElse(t *testing.T) {
	clients := newAuthority(t, "keda-ca")
	r, address := startForKEDA(t, clients, serverObject("llm", "chat", 5))
	keda := clients.client(t, "keda")
	if _, err := ask(t, r, address, 0, keda); status.Code(err) != codes.Unavailable {
		t.Errorf("before the Servers are read: %v", err)
	}
	r.synced(t)
	if n, err := ask(t, r, address, 0, keda); err != nil || n != 5 {
		t.Errorf("%v, %v; want 5", n, err)
	}
	for name, certificates := range map[string][]tls.Certificate{
		"nobody":                          nil,
		"another authority's certificate": {newAuthority(t, "impostor").client(t, "keda")},
		"another name":                    {clients.client(t, "somebody")},
	} {
		if n, err := ask(t, r, address, 0, certificates...); err == nil {
			t.Errorf("%s was answered %v", name, n)
		}
	}
	if n, err := ask(t, r, address, tls.VersionTLS11, keda); err == nil {
		t.Errorf("TLS 1.1 was answered %v", n)
	}
	if n, err := ask(t, r, address, tls.VersionTLS12, keda); err != nil || n != 5 {
		t.Errorf("TLS 1.2: %v, %v", n, err)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

func TestKEDAOptionsNameEveryFault(t *testing.T) {
	err := (&KEDAOptions{Address: "9443", Secret: "keda", ClientCAFile: "ca.crt"}).validate()
	for _, want := range []string{`--keda-bind-address: "9443"`, "--keda-client-ca-file, --keda-secret: give one", `--keda-secret: "keda" is not allowed, must be NAMESPACE/NAME`, "--keda-authority-file: give both"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}
