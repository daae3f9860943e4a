package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/llm-inferno/inferno/optimizer/console"
	"github.com/llm-inferno/inferno/optimizer/console/access"
	"github.com/llm-inferno/inferno/optimizer/loop"
)

// consoleServers is how many servers of cycles the console holds, over all cycles.
//
// Tuned: servers; guard against memory: some 10 kB each; at half: half as many past cycles can be looked at; at twice: twice as many
const consoleServers = 5000

// page serves the console over the loop's own cycles to whom the API server knows.
type page struct {
	listener net.Listener
	options  console.Options
}

var _ manager.LeaderElectionRunnable = &page{}

// addConsole to a manager, and have the log tell it of cycles.
func (o *options) addConsole(m manager.Manager, config *rest.Config, decisions *loop.DecisionLog) error {
	if o.consoleAddress == "0" {
		return nil
	}
	tokens, errTokens := authenticationclient.NewForConfig(config)
	reviews, errReviews := authorizationclient.NewForConfig(config)
	if err := errors.Join(errTokens, errReviews); err != nil {
		return err
	}
	l, err := console.Listen(o.consoleAddress)
	if err != nil {
		return fmt.Errorf("--console-bind-address: %w", err)
	}
	store := console.NewStore(console.Source{Kind: console.KindCluster, Name: "optimizer", Live: true}, consoleServers)
	decisions.Tell(func(r *loop.Record) { store.Add(console.FromRecord(r)) })
	return m.Add(&page{l, console.Options{Store: store, Rights: &access.Reviewer{Tokens: tokens, Reviews: reviews, Now: time.Now}}})
}

// Start serves until the context ends.
func (p *page) Start(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { p.listener.Close() })()
	return console.Serve(p.listener, p.options)
}

// NeedLeaderElection is false: who does not lead says that it has no cycle.
func (p *page) NeedLeaderElection() bool { return false }
