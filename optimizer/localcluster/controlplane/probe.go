package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
)

// HTTPReady returns a readiness probe that wants status 200 from url; nothing less will do, since the page of an
// unready API server also reads "ok" in places. An https server must present a certificate for its host that one of
// roots signed; without roots its certificate is not checked.
func HTTPReady(url string, roots *x509.CertPool) func(context.Context) error {
	transport := &http.Transport{
		DisableKeepAlives: true, // each probe meets the present incarnation of the server
		TLSClientConfig:   &tls.Config{RootCAs: roots, InsecureSkipVerify: roots == nil},
	}
	client := &http.Client{Transport: transport}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s, want 200", url, resp.Status)
		}
		return nil
	}
}
