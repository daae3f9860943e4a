package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/pflag"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/klog/v2"

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
	// AllowedNames are the common names clients may have; empty allows all that the authorities signed.
	AllowedNames []string

	listener net.Listener // for tests
}

func (o *KEDAOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.Address, "keda-bind-address", o.Address, "Address to answer KEDA at as an external scaler (gRPC over TLS, with the serving certificate). Empty: not at all.")
	f.StringVar(&o.ClientCAFile, "keda-client-ca-file", o.ClientCAFile, "Authorities whose certificates KEDA must present; needed with --keda-bind-address.")
	f.StringSliceVar(&o.AllowedNames, "keda-allowed-names", o.AllowedNames, "Common names that certificates of KEDA may have. Empty: any that the authorities signed.")
}

func (o *KEDAOptions) validate() error {
	var faults []error
	if o.Address != "" {
		if _, _, err := net.SplitHostPort(o.Address); err != nil {
			faults = append(faults, fmt.Errorf("--keda-bind-address: %q; must be HOST:PORT: %w", o.Address, err))
		}
		if o.ClientCAFile == "" {
			faults = append(faults, errors.New("--keda-client-ca-file: is missing; KEDA is not answered without a certificate"))
		}
	}
	return errors.Join(faults...)
}

// prepare what answers KEDA from the provider, with the serving certificate; nil where it is not to be answered.
func (o *KEDAOptions) prepare(p *counted, serving *genericapiserver.SecureServingInfo) (func(context.Context) error, error) {
	if o.Address == "" {
		return nil, nil
	}
	clients, err := dynamiccertificates.NewDynamicCAContentFromFile("keda-client-ca", o.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("--keda-client-ca-file: %w", err)
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
		go clients.Run(ctx, 1)
		klog.InfoS("Answering KEDA", "address", o.listener.Addr().String())
		return scaler.Serve(ctx, keda.Serving{Listener: o.listener, Certificate: serving.Cert, Clients: clients, AllowedNames: o.AllowedNames})
	}, nil
}
