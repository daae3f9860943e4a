package fitting

import (
	"errors"
	"fmt"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Predictor answers points: from fitted model data, and where there are none for a pair, from the prior.
type Predictor struct {
	// Uncalibrated leaves out what measured points say beyond the law.
	Uncalibrated bool

	model     queueing.Model
	knowledge Knowledge
	fitted    map[string]learned
	// replicas are the fits of replicas that do both, roles those of servers with roles.
	replicas []jsonspec.PerformanceEntry
	roles    map[string]learnedRoles
}

// learned is a law with its calibration.
type learned struct {
	law         queueing.Law
	calibration Calibration
}

// NewPredictor prepares the laws of all fitted entries, which say by Match (and by name and accelerator where that is absent) what they
// hold for. The error joins every fault.
func NewPredictor(model queueing.Model, knowledge Knowledge, data jsonspec.ModelData) (*Predictor, error) {
	p := &Predictor{model: model, knowledge: knowledge, fitted: map[string]learned{}, replicas: data.Spec, roles: map[string]learnedRoles{}}
	var faults []error
	for i, e := range data.Roles {
		l, err := loadRoles(e)
		if err != nil {
			faults = append(faults, fmt.Errorf("roles[%d] (%s): %w", i, Group(e.Match).Key(), err))
		}
		p.roles[Group(e.Match).Key()] = l
	}
	for i, e := range data.Spec {
		law, err := queueing.NewLaw(e.Performance)
		if err != nil {
			faults = append(faults, fmt.Errorf("models[%d] (%s on %s): %w", i, e.Name, e.Acc, err))
			continue
		}
		l := learned{law: law}
		if e.Law != nil {
			if l.calibration, err = loadCalibration(e.Law.Parameters); err != nil {
				faults = append(faults, fmt.Errorf("models[%d] (%s on %s): %w", i, e.Name, e.Acc, err))
			}
		}
		g := Group(e.Match)
		if len(g) == 0 {
			g = Group{"model": e.Name, "accelerator": e.Acc}
		}
		p.fitted[g.Key()] = l
	}
	return p, errors.Join(faults...)
}

// Law is the service-time law that holds for a point, and the limits of its engine with what the law knows of the KV cache.
func (p *Predictor) Law(at Point) (queueing.Law, queueing.Limits, error) {
	l, err := p.learned(at)
	if err != nil {
		return nil, at.Limits, err
	}
	if r, ok := l.law.(queueing.Roofline); ok && at.Limits.KVTokens == 0 {
		at.Limits.KVTokens = int(r.KVTokens)
	}
	return l.law, at.Limits, nil
}

// learned is what was fitted to the pair of a point, or its prior.
func (p *Predictor) learned(at Point) (learned, error) {
	if l, ok := p.fitted[at.Group.Key()]; ok {
		return l, nil
	}
	law, err := p.knowledge.Prior(at.Group)
	return learned{law: law}, err
}

// Predict answers one point.
func (p *Predictor) Predict(at Point) (queueing.Prediction, error) {
	if at.Roles != nil {
		return p.predictRoles(at)
	}
	if at.Clients == 0 {
		law, limits, err := p.Law(at)
		if err != nil {
			return queueing.Prediction{}, err
		}
		replica, err := p.model.Replica(law, at.Requests, limits)
		if err != nil {
			return queueing.Prediction{}, err
		}
		return replica.Open(at.Rate)
	}
	l, err := p.learned(at)
	if err != nil {
		return queueing.Prediction{}, err
	}
	q, err := queueing.Closed(l.law, at.Requests, at.Limits, at.Clients)
	if !p.Uncalibrated {
		itl, ttft := l.calibration.correct(at)
		q.ITL.Mean *= itl
		q.TTFT.Mean *= ttft
	}
	return q, err
}

// predictRoles answers a point whose prompts and decodes run apart: from a fit to such servers, else from those of replicas of the pair that do both, else from
// the prior.
func (p *Predictor) predictRoles(point Point) (queueing.Prediction, error) {
	e := &p.knowledge.Experience
	l, fitted := p.roles[point.Group.Key()]
	prefill, decode := l.at, l.at
	if !fitted {
		h, err := p.knowledge.hardwareOf(point.Group)
		if err != nil {
			return queueing.Prediction{}, err
		}
		l.hardware = h
		mean, _ := e.roles(h, &p.knowledge.Roles)
		shown := p.knowledge.shown(p.replicas, point.Group)
		prefill = mean.with(h.shared(shown, point.Roles.Prefill))
		decode = mean.with(h.shared(shown, point.Roles.Decode))
	}
	if err := l.allows(point); err != nil {
		return queueing.Prediction{}, err
	}
	q, err := l.expect(e, prefill, decode, point)
	if err == nil && fitted && point.Clients > 0 && !p.Uncalibrated {
		itl, ttft := l.calibration.correct(point)
		q.ITL.Mean *= itl
		q.TTFT.Mean *= ttft
	}
	return q, err
}
