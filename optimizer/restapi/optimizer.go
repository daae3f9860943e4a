package restapi

import (
	"context"
	"net/http"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// optimizer keeps the system that was last given to it.
type optimizer struct {
	*service
	system jsonspec.System
}

// Optimizer answers the endpoints of llm-inferno's optimizer: /optimizeOne, which brings its system along, and those that read and change the system that
// is kept, which is the last one.
func Optimizer() http.Handler {
	o := &optimizer{service: newService()}
	o.handle("POST /optimizeOne", o.optimizeOne)
	o.handle("POST /optimize", o.optimize)
	o.handle("GET /applyAllocation", o.applyAllocation)
	o.resources()
	return o.mux
}

// optimizeOne plans for the system of the request, and keeps it.
func (o *optimizer) optimizeOne(r *http.Request) (any, error) {
	var f jsonspec.SystemFile
	if err := object(r, &f); err != nil {
		return nil, err
	}
	withoutBlanks(&f.System)
	return o.plan(r.Context(), f.System)
}

// optimize plans for the system that is kept, by the options of the request.
func (o *optimizer) optimize(r *http.Request) (any, error) {
	s := o.system
	s.Optimizer.Spec = jsonspec.OptimizerEntry{}
	if err := object(r, &s.Optimizer.Spec); err != nil {
		return nil, err
	}
	return o.plan(r.Context(), s)
}

// plan for a system, which is kept with what is desired for its servers.
func (o *optimizer) plan(ctx context.Context, s jsonspec.System) (*jsonspec.Solution, error) {
	if _, err := specification.Validate(&s); err != nil {
		return nil, err
	}
	stages, err := control.NewStages(&s.Optimizer.Spec)
	if err != nil {
		return nil, err
	}
	d, err := stages.Decide(ctx, (&specification.Snapshot{System: s}).Core(), control.State{}, nil)
	switch {
	case ctx.Err() != nil:
		return nil, refused{http.StatusServiceUnavailable, ctx.Err()}
	case err != nil:
		return nil, notFound("optimization error: %w", err)
	}
	plan := specification.Solution(&s, &d.Plan)
	servers := make([]jsonspec.ServerEntry, len(s.Servers.Spec))
	for i, e := range s.Servers.Spec {
		e.DesiredAlloc = nil
		if a, served := plan.Allocations[e.Name]; served {
			e.DesiredAlloc = &a
		}
		servers[i] = e
	}
	s.Servers.Spec = servers
	o.system = s
	return &plan, nil
}

// applyAllocation has every server run on what is desired for it; one that nothing is desired for runs on nothing. Loads stay.
func (o *optimizer) applyAllocation(*http.Request) (any, error) {
	for i := range o.system.Servers.Spec {
		e := &o.system.Servers.Spec[i]
		next := jsonspec.Allocation{}
		if e.DesiredAlloc != nil {
			next = *e.DesiredAlloc
		}
		if e.CurrentAlloc != nil {
			next.Load = e.CurrentAlloc.Load
		}
		e.CurrentAlloc = &next
	}
	return "Done", nil
}

// withoutBlanks takes out what a Go program writes of a struct that it has not filled in: nothing there is not the same as zero. Performance that is all
// zero was not learned yet, and is assumed; a desired allocation that is all zero is none.
func withoutBlanks(s *jsonspec.System) {
	for i := range s.Models.Spec {
		m := &s.Models.Spec[i]
		if m.PerfParms != nil && *m.PerfParms == (jsonspec.PerfParms{}) {
			m.PerfParms = nil
		}
	}
	for i := range s.Servers.Spec {
		e := &s.Servers.Spec[i]
		if d := e.DesiredAlloc; d != nil && d.Accelerator == "" && d.NumReplicas == 0 && len(d.Parts) == 0 {
			e.DesiredAlloc = nil
		}
	}
}
