package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"k8s.io/client-go/kubernetes"
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
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	l, err := console.Listen(o.consoleAddress)
	if err != nil {
		return fmt.Errorf("--console-bind-address: %w", err)
	}
	store := console.NewStore(console.Source{Kind: console.KindCluster, Name: "optimizer", Live: true}, consoleServers)
	decisions.Tell(func(r *loop.Record) { store.Add(console.FromRecord(r)) })
	return m.Add(&page{l, console.Options{Store: store, Rights: &access.Reviewer{Client: client, Now: time.Now}}})
}

// Start serves until the context ends.
func (p *page) Start(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { p.listener.Close() })()
	return console.Serve(p.listener, p.options)
}

// NeedLeaderElection is false: who does not lead says that it has no cycle.
func (p *page) NeedLeaderElection() bool { return false }
