package keda

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	clocks "k8s.io/utils/clock/testing"

	"github.com/llm-inferno/inferno/metricsadapter"
	"github.com/llm-inferno/inferno/metricsadapter/certificate"
	"github.com/llm-inferno/inferno/metricsadapter/keda/externalscaler"
)

// pair is a serving certificate.
type pair struct{ certificate, key []byte }

func (p pair) CurrentCertKeyContent() (cert, key []byte) { return p.certificate, p.key }

func read(t *testing.T, secrets typed.SecretInterface) map[string][]byte {
	t.Helper()
	s, err := secrets.Get(t.Context(), "inferno-keda-client", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s.Data
}

// A certificate for KEDA is made in an empty Secret and renewed there long before its end, without a restart of anybody: the one before it is good to its
// end, each replica trusts what another one made, and nobody else is answered.
func TestTheKeyIsRenewed(t *testing.T) {
	secrets := fake.NewClientset(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "keda", Name: "inferno-keda-client"}}).CoreV1().Secrets("keda")
	// TLS goes by the real time, at which the first certificate and the second are both to be valid.
	clock := clocks.NewFakePassiveClock(time.Now().Add(keyRenewed/2 - keyValid))
	serving, err := certificate.ForHost("inferno-adapter.inferno-system.svc", clock.Now(), clock.Now().Add(10*keyValid))
	if err != nil {
		t.Fatal(err)
	}
	replica := func() *Key {
		return NewKey(secrets, "inferno-keda-client", func() ([]byte, error) { return serving.Authority, nil }, clock)
	}
	one, two := replica(), replica()
	look := func() map[string][]byte {
		t.Helper()
		for _, k := range []*Key{one, two, one} {
			if err := k.keep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return read(t, secrets)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &servers{}
	s.set(server("chat", 0, on("H100", 3)))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- New(metricsadapter.New(s, func() time.Time { return now }), time.Second).Serve(ctx, Serving{
			Listener: listener, Certificate: pair{serving.Certificate, serving.Key}, Clients: two, AllowedNames: []string{ClientName},
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	// answered says whether who shows what a Secret has, and trusts what it has, gets an answer.
	answered := func(data map[string][]byte) bool {
		t.Helper()
		config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "inferno-adapter.inferno-system.svc", MinVersion: tls.VersionTLS12}
		config.RootCAs.AppendCertsFromPEM(data[corev1.ServiceAccountRootCAKey])
		if own, err := tls.X509KeyPair(data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey]); err == nil {
			config.Certificates = []tls.Certificate{own}
		}
		connection, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(config)))
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = externalscaler.NewExternalScalerClient(connection).IsActive(ctx, ref("llm", "server", "chat"))
		return err == nil
	}
	with := func(data map[string][]byte, i certificate.Issued) map[string][]byte {
		return map[string][]byte{corev1.ServiceAccountRootCAKey: data[corev1.ServiceAccountRootCAKey], corev1.TLSCertKey: i.Certificate, corev1.TLSPrivateKeyKey: i.Key}
	}

	first := look()
	impostor, err := certificate.ForClient(ClientName, clock.Now(), clock.Now().Add(keyValid))
	if err != nil {
		t.Fatal(err)
	}
	if !answered(first) || answered(with(first, impostor)) || answered(with(first, certificate.Issued{})) {
		t.Error("not KEDA alone is answered")
	}
	clock.SetTime(clock.Now().Add(keyValid - keyRenewed - time.Minute))
	if again := look(); !bytes.Equal(again[corev1.TLSCertKey], first[corev1.TLSCertKey]) {
		t.Error("renewed before its time")
	}
	clock.SetTime(clock.Now().Add(2 * time.Minute))
	second := look()
	if bytes.Equal(second[corev1.TLSCertKey], first[corev1.TLSCertKey]) || !answered(second) || !answered(first) {
		t.Error("not renewed, or one of the two is not trusted")
	}
	clock.SetTime(clock.Now().Add(keyRenewed))
	if look(); answered(first) || !answered(second) {
		t.Error("what has ended is trusted, or what has not is not")
	}
	clock.SetTime(time.Now())
	// What others break is mended, and another authority of the serving certificate is passed on.
	broken, err := secrets.Get(t.Context(), "inferno-keda-client", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	broken.Data[corev1.TLSPrivateKeyKey], broken.Data[corev1.ServiceAccountRootCAKey] = []byte("rubbish"), nil
	if _, err := secrets.Update(t.Context(), broken, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if third := look(); !answered(third) {
		t.Error("not mended")
	}
	// While the Secret cannot be read, what was trusted stays so.
	last := read(t, secrets)
	if err := secrets.Delete(t.Context(), "inferno-keda-client", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := two.keep(t.Context()); err == nil || !answered(last) {
		t.Errorf("without the Secret: %v", err)
	}
}
