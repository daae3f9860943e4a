// Package sign signs what a release consists of with a key of the releaser's own, offline: images as cosign does, files, and statements of
// in-toto about where they come from. What it writes is checked by `cosign verify --key --insecure-ignore-tlog`, `cosign verify-blob` and
// `cosign verify-attestation`, or by the functions here.
package sign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Media types and annotations of cosign, and of DSSE.
const (
	simpleSigning       = "application/vnd.dev.cosign.simplesigning.v1+json"
	signatureAnnotation = "dev.cosignproject.cosign/signature"
	payloadType         = "application/vnd.in-toto+json"
)

// NewKey makes a key and returns it and its public half in PEM.
func NewKey() (private, public []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	public, err = PublicPEM(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), public, err
}

// ParseKey reads a private key, PKCS #8 in PEM: ECDSA on P-256, or Ed25519.
func ParseKey(data []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("the key is not allowed, must be PKCS #8 in PEM (BEGIN PRIVATE KEY), without a password")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	switch key := parsed.(type) {
	case *ecdsa.PrivateKey:
		if key.Curve == elliptic.P256() {
			return key, nil
		}
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("the key is a %T that is not allowed, must be ECDSA on P-256 or Ed25519", parsed)
}

// PublicPEM is the public half of the key, as those who verify need it.
func PublicPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// Blob signs bytes. The same bytes and key give the same signature: of ECDSA by RFC 6979.
func Blob(key crypto.Signer, data []byte) ([]byte, error) {
	if _, is := key.(ed25519.PrivateKey); is {
		return key.Sign(nil, data, crypto.Hash(0))
	}
	sum := sha256.Sum256(data)
	return key.Sign(nil, sum[:], crypto.SHA256)
}

// Verify tells whether the signature is one of the data by the public key (PEM).
func Verify(public, data, signature []byte) error {
	block, _ := pem.Decode(public)
	if block == nil {
		return errors.New("the public key is not PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	valid := false
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		valid = ecdsa.VerifyASN1(key, sum[:], signature)
	case ed25519.PublicKey:
		valid = ed25519.Verify(key, data, signature)
	}
	if !valid {
		return errors.New("the signature is not one of these bytes by this key")
	}
	return nil
}

// Tag under which cosign looks for the signature of a digest.
func Tag(digest v1.Hash) string { return strings.Replace(digest.String(), ":", "-", 1) + ".sig" }

// Image is the signature of an image, or an index, that has this digest in a repository (registry/path), as an image of cosign's.
func Image(key crypto.Signer, repository string, digest v1.Hash) (v1.Image, error) {
	payload, err := json.Marshal(map[string]any{
		"critical": map[string]any{
			"identity": map[string]string{"docker-reference": repository},
			"image":    map[string]string{"docker-manifest-digest": digest.String()},
			"type":     "cosign container image signature",
		},
		"optional": nil,
	})
	if err != nil {
		return nil, err
	}
	signature, err := Blob(key, payload)
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	return mutate.Append(image, mutate.Addendum{
		Layer:       static.NewLayer(payload, simpleSigning),
		Annotations: map[string]string{signatureAnnotation: base64.StdEncoding.EncodeToString(signature)},
	})
}

// A Subject of a statement: a file or an image, and its SHA-256 in hexadecimal.
type Subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// Envelope of DSSE around a statement.
type Envelope struct {
	PayloadType string              `json:"payloadType"`
	Payload     string              `json:"payload"`
	Signatures  []EnvelopeSignature `json:"signatures"`
}

// EnvelopeSignature is one signature in an envelope.
type EnvelopeSignature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
}

// Provenance says of the subjects, as SLSA provenance v1 in a signed envelope, from which commit of which repository they were built, and how.
func Provenance(key crypto.Signer, subjects []Subject, source, revision, version, goVersion string) ([]byte, error) {
	statement, err := json.Marshal(map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "subject": subjects, "predicateType": "https://slsa.dev/provenance/v1",
		"predicate": map[string]any{
			"buildDefinition": map[string]any{
				"buildType":            source + "/make-release@v1",
				"externalParameters":   map[string]string{"version": version, "command": "make release VERSION=" + version},
				"internalParameters":   map[string]string{"go": goVersion},
				"resolvedDependencies": []map[string]any{{"uri": "git+" + source, "digest": map[string]string{"gitCommit": revision}}},
			},
			"runDetails": map[string]any{"builder": map[string]string{"id": source + "/release"}},
		},
	})
	if err != nil {
		return nil, err
	}
	signature, err := Blob(key, preAuthentication(statement))
	if err != nil {
		return nil, err
	}
	return json.Marshal(Envelope{
		PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString(statement),
		Signatures: []EnvelopeSignature{{Sig: base64.StdEncoding.EncodeToString(signature)}},
	})
}

// preAuthentication encoding of DSSE: what is signed of a payload.
func preAuthentication(payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}
