package oci

import (
	"bytes"
	"encoding/pem"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// Certificates are Mozilla's authorities in PEM, as the Go module x509roots/fallback has them: pinned by go.sum, the same on every machine.
// Authorities that Mozilla trusts under a constraint are left out, since a PEM file cannot hold the constraint.
func Certificates() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer takes everything
		}
	}
	return out.Bytes()
}
