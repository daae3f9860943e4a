package keda

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// Certificate is a pair that may be renewed while it is served.
type Certificate interface {
	CurrentCertKeyContent() (cert, key []byte)
}

// Authorities are certificates that may be renewed while they are trusted.
type Authorities interface {
	CurrentCABundleContent() []byte
}

// Serving says where, as whom, and to whom a scaler answers.
type Serving struct {
	Listener    net.Listener
	Certificate Certificate
	// Clients must have a certificate of one of these authorities.
	Clients Authorities
	// AllowedNames are the common names that clients may have; empty allows every one that the authorities signed.
	AllowedNames []string
}

// drain is how long answers under way may take when the scaler ends.
const drain = 5 * time.Second

// Serve until the context ends. Nobody is answered but over TLS 1.2 or later, with a certificate that the authorities signed: what KEDA asks
// about, it asks with the rights of the cluster's autoscaler.
func (s *Scaler) Serve(ctx context.Context, v Serving) error {
	g := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(v.tls())),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 10 * time.Minute}), // so that clients spread over new replicas
		grpc.MaxRecvMsgSize(64<<10),
		grpc.MaxConcurrentStreams(10_000),
	)
	s.Register(g)
	stop := context.AfterFunc(ctx, func() {
		// Streams end by themselves never: a graceful end waits for them in vain.
		timer := time.AfterFunc(drain, g.Stop)
		defer timer.Stop()
		g.GracefulStop()
	})
	defer stop()
	if err := g.Serve(v.Listener); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serving KEDA: %w", err)
	}
	return nil
}

// tls reads certificate and authorities anew for every connection.
func (v *Serving) tls() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			pair, err := tls.X509KeyPair(v.Certificate.CurrentCertKeyContent())
			if err != nil {
				return nil, err
			}
			authorities := x509.NewCertPool()
			if !authorities.AppendCertsFromPEM(v.Clients.CurrentCABundleContent()) {
				return nil, errors.New("there is no authority of clients")
			}
			return &tls.Config{
				MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}, Certificates: []tls.Certificate{pair},
				ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authorities, VerifyConnection: v.verify,
			}, nil
		},
	}
}

func (v *Serving) verify(c tls.ConnectionState) error {
	name := c.PeerCertificates[0].Subject.CommonName
	if len(v.AllowedNames) > 0 && !slices.Contains(v.AllowedNames, name) {
		return fmt.Errorf("client %q is not allowed", name)
	}
	return nil
}
