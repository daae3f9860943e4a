package main

import (
	"context"
	"fmt"
	"time"

	"github.com/llm-inferno/inferno/optimizer/console"
	"github.com/llm-inferno/inferno/optimizer/evaluation/contest"
	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
	"github.com/llm-inferno/inferno/optimizer/loop"
)

// playScenario into a store, so many times faster than its clock.
func playScenario(name string, speedUp float64) (*console.Store, func(context.Context), error) {
	s, err := scenario.Open(name)
	if err != nil {
		return nil, nil, badInput{fmt.Errorf("--scenario: %w", err)}
	}
	f, err := policy.NewFleet(s)
	if err != nil {
		return nil, nil, badInput{fmt.Errorf("--scenario: %w", err)}
	}
	inferno, err := policy.Find(policy.NameInferno)
	if err != nil {
		return nil, nil, err
	}
	store := console.NewStore(console.Source{Kind: console.KindScenario, Name: s.Name, Live: true}, 0)
	return store, func(ctx context.Context) {
		var began, first time.Time
		f.Record = func(r *loop.Record) error {
			store.Add(console.FromRecord(r))
			if first.IsZero() {
				began, first = time.Now(), r.Time.Time
			}
			due := began.Add(time.Duration(float64(r.Time.Sub(first)) / speedUp))
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Until(due)):
				return nil
			}
		}
		_, err := contest.Run(f, inferno, nil)
		store.Say(func(s *console.Source) {
			s.Live = false
			if err != nil && ctx.Err() == nil {
				s.Unread = append(s.Unread, "the scenario ended: "+err.Error())
			}
		})
	}, nil
}
