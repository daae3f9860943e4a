package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/llm-inferno/inferno/metricsadapter/keda"
)

// kedaLooks is how often an open stream of KEDA looks whether its answer changed.
const kedaLooks = time.Second

// KEDAOptions say whether and how KEDA is answered.
type KEDAOptions struct {
	// Address to answer at; empty for not at all.
	Address string
	// ClientCAFile holds the authorities whose certificates clients must have. It is read again when it changes.
	ClientCAFile string
	// Secret that the adapter keeps KEDA's certificate in, as NAMESPACE/NAME, in place of authorities; it is there, be it empty.
	Secret string
	// AuthorityFile holds the authority of the serving certificate, which goes into that Secret. It is read again when it changes.
	AuthorityFile string
	// AllowedNames are the common names clients may have; empty allows all that the authorities signed.
	AllowedNames []string

	listener net.Listener // for tests
}

func (o *KEDAOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.Address, "keda-bind-address", o.Address, "Address to answer KEDA at as an external scaler (gRPC over TLS, with the serving certificate). Empty: not at all.")
	f.StringVar(&o.ClientCAFile, "keda-client-ca-file", o.ClientCAFile, "Authorities whose certificates KEDA must present, where it has one of your own.")
	f.StringVar(&o.Secret, "keda-secret", o.Secret, "Secret, as NAMESPACE/NAME, that a certificate for KEDA is made and renewed in, which it then must present. It is there, be it empty.")
	f.StringVar(&o.AuthorityFile, "keda-authority-file", o.AuthorityFile, "Authority of the serving certificate, which goes into that Secret as ca.crt.")
	f.StringSliceVar(&o.AllowedNames, "keda-allowed-names", o.AllowedNames, "Common names that certificates of KEDA may have. Empty: any that the authorities signed.")
}

func (o *KEDAOptions) validate() error {
	var faults []error
	if o.Address != "" {
		if _, _, err := net.SplitHostPort(o.Address); err != nil {
			faults = append(faults, fmt.Errorf("--keda-bind-address: %q; must be HOST:PORT: %w", o.Address, err))
		}
		if (o.ClientCAFile == "") == (o.Secret == "") {
			faults = append(faults, errors.New("--keda-client-ca-file, --keda-secret: give one of them; KEDA is not answered without a certificate"))
		}
	}
	if namespace, name, _ := strings.Cut(o.Secret, "/"); o.Secret != "" && (len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0) {
		faults = append(faults, fmt.Errorf("--keda-secret: %q is not allowed, must be NAMESPACE/NAME", o.Secret))
	}
	if (o.Secret == "") != (o.AuthorityFile == "") {
		faults = append(faults, errors.New("--keda-secret, --keda-authority-file: give both or none"))
	}
	return errors.Join(faults...)
}

// prepare what answers KEDA from the provider, with the serving certificate; nil where it is not to be answered.
func (o *KEDAOptions) prepare(p *counted, serving *genericapiserver.SecureServingInfo, config *rest.Config) (func(context.Context) error, error) {
	if o.Address == "" {
		return nil, nil
	}
	clients, err := o.clients(config)
	if err != nil {
		return nil, err
	}
	if serving.Cert == nil {
		return nil, errors.New("--tls-cert-file: is missing; KEDA is answered with that certificate")
	}
	if o.listener == nil {
		if o.listener, err = net.Listen("tcp", o.Address); err != nil {
			return nil, fmt.Errorf("--keda-bind-address: %w", err)
		}
	}
	scaler := keda.New(p.forKEDA(), kedaLooks)
	return func(ctx context.Context) error {
		go clients.run(ctx)
		klog.InfoS("Answering KEDA", "address", o.listener.Addr().String())
		return scaler.Serve(ctx, keda.Serving{Listener: o.listener, Certificate: serving.Cert, Clients: clients, AllowedNames: o.AllowedNames})
	}, nil
}

// clients that are answered.
type clients struct {
	keda.Authorities
	run func(context.Context)
}

func (o *KEDAOptions) clients(config *rest.Config) (*clients, error) {
	if o.Secret == "" {
		given, err := dynamiccertificates.NewDynamicCAContentFromFile("keda-client-ca", o.ClientCAFile)
		if err != nil {
			return nil, fmt.Errorf("--keda-client-ca-file: %w", err)
		}
		return &clients{given, func(ctx context.Context) { given.Run(ctx, 1) }}, nil
	}
	client, err := typed.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("create the client of KEDA's Secret: %w", err)
	}
	namespace, name, _ := strings.Cut(o.Secret, "/")
	key := keda.NewKey(client.Secrets(namespace), name, func() ([]byte, error) { return os.ReadFile(o.AuthorityFile) }, clock.RealClock{})
	return &clients{key, key.Run}, nil
}
