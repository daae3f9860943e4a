package sign

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func encode(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// keys of every kind that is allowed.
func keys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	private, _, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]crypto.Signer{}
	for name, data := range map[string][]byte{"ECDSA": private, "Ed25519": encode(t, edwards)} {
		if all[name], err = ParseKey(data); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestSignaturesVerify(t *testing.T) {
	for name, key := range keys(t) {
		t.Run(name, func(t *testing.T) {
			public, err := PublicPEM(key)
			if err != nil {
				t.Fatal(err)
			}
			first, err := Blob(key, []byte("data"))
			if err != nil {
				t.Fatal(err)
			}
			second, err := Blob(key, []byte("data"))
			if err != nil || !bytes.Equal(first, second) {
				t.Errorf("the second signature differs, %v", err)
			}
			if err := Verify(public, []byte("data"), first); err != nil {
				t.Error(err)
			}
			if Verify(public, []byte("Data"), first) == nil {
				t.Error("other data verify")
			}
			checkImage(t, key, public)
			checkProvenance(t, key, public)
		})
	}
}

func checkImage(t *testing.T, key crypto.Signer, public []byte) {
	t.Helper()
	digest := v1.Hash{Algorithm: "sha256", Hex: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
	if got, want := Tag(digest), "sha256-"+digest.Hex+".sig"; got != want {
		t.Errorf("tag %s, want %s", got, want)
	}
	image, err := Image(key, "ghcr.io/x/y", digest)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	payload, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := base64.StdEncoding.DecodeString(manifest.Layers[0].Annotations[signatureAnnotation])
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(public, payload, signature); err != nil {
		t.Error(err)
	}
	var said struct {
		Critical struct{ Image map[string]string }
	}
	if err := json.Unmarshal(payload, &said); err != nil || said.Critical.Image["docker-manifest-digest"] != digest.String() {
		t.Errorf("%s: %v", payload, err)
	}
}

func checkProvenance(t *testing.T, key crypto.Signer, public []byte) {
	t.Helper()
	data, err := Provenance(key, []Subject{{"x", map[string]string{"sha256": "00"}}}, "https://example.com", "abc", "v1.2.3", "go1.26")
	if err != nil {
		t.Fatal(err)
	}
	var e Envelope
	if err := json.Unmarshal(data, &e); err != nil {
		t.Fatal(err)
	}
	statement, err := base64.StdEncoding.DecodeString(e.Payload)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := base64.StdEncoding.DecodeString(e.Signatures[0].Sig)
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(public, preAuthentication(statement), signature); err != nil {
		t.Error(err)
	}
	if !bytes.Contains(statement, []byte(`"gitCommit":"abc"`)) {
		t.Errorf("the statement names no commit: %s", statement)
	}
}

// The example of the DSSE specification, protocol.md.
func TestPreAuthenticationEncoding(t *testing.T) {
	want := "DSSEv1 28 application/vnd.in-toto+json 11 hello world"
	if got := string(preAuthentication([]byte("hello world"))); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestBadKeys(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"none": nil, "not PEM": []byte("x"), "RSA": encode(t, weak), "not PKCS 8": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY"}),
		"damaged": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}}),
	} {
		if _, err := ParseKey(data); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
