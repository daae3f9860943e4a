// Package apiserver serves a metricsadapter.Provider as an aggregated API server: external.metrics.k8s.io and custom.metrics.k8s.io over
// TLS, with authentication and authorization delegated to the API server of the cluster, from a watch on all Servers.
package apiserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/client-go/dynamic"
	openapi "k8s.io/kube-openapi/pkg/common"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver"
	generatedcore "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/core"
	generatedcustom "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/custommetrics"
	generatedexternal "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/externalmetrics"

	"github.com/llm-inferno/inferno/metricsadapter"
)

const name = "inferno-adapter"

// A Server is an adapter that is ready to run.
type Server struct {
	generic *genericapiserver.GenericAPIServer
	// keda answers KEDA; nil where it is not to be answered.
	keda func(context.Context) error
}

// New prepares an adapter. Its metrics are added to the registry; the page /metrics shows those of component-base's legacy registry.
func New(o *Options, registry prometheus.Registerer) (*Server, error) {
	clientConfig, err := o.complete()
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(clientConfig)
	if err != nil {
		return nil, fmt.Errorf("create the client of the API server: %w", err)
	}
	servers, err := newServerCache(client)
	if err != nil {
		return nil, err
	}
	provider := newCounted(metricsadapter.New(servers, time.Now))
	if err := errors.Join(registry.Register(provider.answers), registry.Register(newPlans(servers, time.Now))); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}

	config := genericapiserver.NewRecommendedConfig(apiserver.Codecs)
	config.ClientConfig = clientConfig
	config.ShutdownDelayDuration = o.ShutdownDelay
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, openapinamer.NewDefinitionNamer(apiserver.Scheme))
	config.OpenAPIConfig.Info.Title = name
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, openapinamer.NewDefinitionNamer(apiserver.Scheme))
	config.OpenAPIV3Config.Info.Title = name
	if err := o.Library.ApplyTo(config); err != nil {
		return nil, fmt.Errorf("configure the API server: %w", err)
	}
	config.Authorization.Authorizer = regardlessOfSelectors(config.Authorization.Authorizer)
	server, err := (&apiserver.Config{GenericConfig: &config.Config}).Complete(nil).New(name, provider, provider)
	if err != nil {
		return nil, fmt.Errorf("create the API server: %w", err)
	}
	generic := server.GenericAPIServer
	if err := errors.Join(
		generic.AddPostStartHook("watch-servers", func(hook genericapiserver.PostStartHookContext) error {
			go servers.informer.RunWithContext(hook)
			return nil
		}),
		generic.AddReadyzChecks(
			healthz.NamedCheck("servers-synced", func(*http.Request) error { return checkSynced(servers) }),
			healthz.NamedCheck("front-proxy-known", func(*http.Request) error { return checkFrontProxy(config.Authentication.RequestHeaderConfig) }),
		),
	); err != nil {
		return nil, fmt.Errorf("prepare the watch on Servers: %w", err)
	}
	watch, err := watchGates(clientConfig, client, servers, o.GatesOverdueAfter, registry)
	if err != nil {
		return nil, err
	}
	if watch != nil {
		if err := generic.AddPostStartHook("watch-gates", func(hook genericapiserver.PostStartHookContext) error {
			go watch(hook)
			return nil
		}); err != nil {
			return nil, fmt.Errorf("prepare the watch on gates: %w", err)
		}
	}
	answerKEDA, err := o.KEDA.prepare(provider, config.SecureServing, clientConfig)
	if err != nil {
		return nil, err
	}
	return &Server{generic: generic, keda: answerKEDA}, nil
}

func checkSynced(servers *serverCache) error {
	if !servers.HasSynced() {
		return errors.New("the Servers are not read yet")
	}
	return nil
}

// checkFrontProxy tells whether requests that the API server passes on would be believed. The library reads the authority for it from a
// watch and serves meanwhile, which would greet the first requests of the autoscaler as anonymous.
func checkFrontProxy(config *authenticatorfactory.RequestHeaderConfig) error {
	if config != nil && len(config.CAContentProvider.CurrentCABundleContent()) == 0 {
		return errors.New("the authority of the API server's front proxy is not read yet")
	}
	return nil
}

// Run serves until the context ends, and then until the answers under way are given.
func (s *Server) Run(ctx context.Context) error {
	if s.keda == nil {
		return s.generic.PrepareRun().RunWithContext(ctx)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.keda(ctx) })
	group.Go(func() error { return s.generic.PrepareRun().RunWithContext(ctx) })
	return group.Wait()
}

// definitions of the types that the adapter serves.
func definitions(ref openapi.ReferenceCallback) map[string]openapi.OpenAPIDefinition {
	all := generatedcore.GetOpenAPIDefinitions(ref)
	maps.Copy(all, generatedcustom.GetOpenAPIDefinitions(ref))
	maps.Copy(all, generatedexternal.GetOpenAPIDefinitions(ref))
	return all
}
