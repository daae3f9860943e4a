// Package certificate makes certificates that need no authority beside them: each is signed by one made for it alone, or by itself.
package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"
)

// backdate of certificates, which are valid from a little in the past because clocks differ.
const backdate = 5 * time.Minute

// Issued is a certificate with its key and the authority that signed it, in PEM.
type Issued struct {
	Certificate, Key, Authority []byte
}

// ForHost makes an authority, lets it sign one certificate for the host, and forgets its key.
func ForHost(host string, now, until time.Time) (Issued, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Issued{}, err
	}
	ca, err := template("inferno-adapter-ca", now, until)
	if err != nil {
		return Issued{}, err
	}
	ca.IsCA, ca.BasicConstraintsValid, ca.MaxPathLenZero = true, true, true
	ca.KeyUsage = x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return Issued{}, err
	}
	if ca, err = x509.ParseCertificate(caDER); err != nil {
		return Issued{}, err
	}
	leaf, err := template(host, now, until)
	if err != nil {
		return Issued{}, err
	}
	leaf.DNSNames = []string{host}
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	issued, err := sign(leaf, ca, caKey)
	issued.Authority = inPEM(caDER)
	return issued, err
}

// ForClient makes a certificate of a client that is its own authority: whoever trusts it trusts nothing else.
func ForClient(name string, now, until time.Time) (Issued, error) {
	leaf, err := template(name, now, until)
	if err != nil {
		return Issued{}, err
	}
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	issued, err := sign(leaf, leaf, nil)
	issued.Authority = issued.Certificate
	return issued, err
}

// sign a leaf with the key of its parent; nil: with its own.
func sign(leaf, parent *x509.Certificate, by *ecdsa.PrivateKey) (Issued, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Issued{}, err
	}
	if by == nil {
		by = key
	}
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, leaf, parent, key.Public(), by)
	if err != nil {
		return Issued{}, err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return Issued{}, err
	}
	return Issued{Certificate: inPEM(der), Key: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})}, nil
}

func inPEM(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }

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
