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
}

// learned is a law with its calibration.
type learned struct {
	law         queueing.Law
	calibration Calibration
}

// NewPredictor prepares the laws of all fitted entries, which say by Match (and by name and accelerator where that is absent) what they
// hold for. The error joins every fault.
func NewPredictor(model queueing.Model, knowledge Knowledge, fitted []jsonspec.PerformanceEntry) (*Predictor, error) {
	p := &Predictor{model: model, knowledge: knowledge, fitted: map[string]learned{}}
	var faults []error
	for i, e := range fitted {
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
