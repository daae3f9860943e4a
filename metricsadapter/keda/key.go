package keda

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/llm-inferno/inferno/metricsadapter/certificate"
)

const (
	// ClientName is the common name of the certificate that KEDA shows.
	ClientName = "keda"
	// previousKey of the Secret has the certificate before the present one, which KEDA shows until it reads the Secret again.
	previousKey = "previous.crt"
	// keyValid is how long a certificate is valid, and keyRenewed how long before its end there is a new one. KEDA reads the Secret again when an answer
	// fails, at the latest when its certificate has ended.
	keyValid, keyRenewed = 90 * 24 * time.Hour, 30 * 24 * time.Hour
	// keyLooks is how often the Secret is read: so soon every replica trusts a certificate that one of them made.
	keyLooks = 15 * time.Second
)

// Key keeps the certificate that KEDA shows, with its key, in a Secret of the namespace that KEDA runs in, where a ClusterTriggerAuthentication finds it:
// nobody has to copy it, or to renew it. The replicas of the adapter trust what is in the Secret and nothing else.
type Key struct {
	secrets typed.SecretInterface
	name    string
	// authority of the certificate that the adapter serves with, in PEM, which KEDA is to trust.
	authority func() ([]byte, error)
	clock     clock.PassiveClock
	trusted   atomic.Pointer[[]byte]
}

// NewKey keeps a key in a Secret, which is there, be it empty.
func NewKey(secrets typed.SecretInterface, name string, authority func() ([]byte, error), c clock.PassiveClock) *Key {
	k := &Key{secrets: secrets, name: name, authority: authority, clock: c}
	k.trusted.Store(new([]byte))
	return k
}

// CurrentCABundleContent are the certificates that are trusted, each its own authority.
func (k *Key) CurrentCABundleContent() []byte { return *k.trusted.Load() }

// Run until the context ends.
func (k *Key) Run(ctx context.Context) {
	said := ""
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		err := k.keep(ctx)
		if err == nil {
			said = ""
		} else if said != err.Error() && ctx.Err() == nil {
			said = err.Error()
			klog.ErrorS(err, "KEDA's certificate is not kept, what was trusted stays so", "secret", k.name)
		}
	}, keyLooks)
}

// keep the Secret as it should be, and trust what is in it. Of several replicas that renew it at the same time one is first, and the others take its word.
func (k *Key) keep(ctx context.Context) error {
	secret, err := k.secrets.Get(ctx, k.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	authority, err := k.authority()
	if err != nil {
		return err
	}
	if next, err := k.renewed(secret, authority); err != nil {
		return err
	} else if next != nil {
		if secret, err = k.secrets.Update(ctx, next, metav1.UpdateOptions{}); err != nil {
			return err
		}
		klog.InfoS("KEDA's certificate is written", "secret", k.name)
	}
	trusted := bytes.Clone(secret.Data[corev1.TLSCertKey])
	if k.valid(secret.Data[previousKey]) > 0 {
		trusted = append(trusted, secret.Data[previousKey]...)
	}
	k.trusted.Store(&trusted)
	return nil
}

// renewed is the Secret as it should be; nil where it is so.
func (k *Key) renewed(secret *corev1.Secret, authority []byte) (*corev1.Secret, error) {
	if len(authority) == 0 {
		return nil, errors.New("the authority of the adapter's certificate is not known")
	}
	next := secret.DeepCopy()
	if next.Data == nil {
		next.Data = map[string][]byte{}
	}
	_, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if left := k.valid(secret.Data[corev1.TLSCertKey]); err != nil || left < keyRenewed {
		now := k.clock.Now()
		issued, err := certificate.ForClient(ClientName, now, now.Add(keyValid))
		if err != nil {
			return nil, fmt.Errorf("issue a certificate: %w", err)
		}
		next.Data[previousKey] = secret.Data[corev1.TLSCertKey]
		next.Data[corev1.TLSCertKey], next.Data[corev1.TLSPrivateKeyKey] = issued.Certificate, issued.Key
	} else if bytes.Equal(secret.Data[corev1.ServiceAccountRootCAKey], authority) {
		return nil, nil
	}
	next.Data[corev1.ServiceAccountRootCAKey] = authority
	return next, nil
}

// valid is how long a certificate in PEM still is; not above 0 where it is not, or is none.
func (k *Key) valid(certificate []byte) time.Duration {
	list, err := certutil.ParseCertsPEM(certificate)
	if err != nil || len(list) == 0 {
		return 0
	}
	return list[0].NotAfter.Sub(k.clock.Now())
}
