package loop

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// learnedPair is what an Estimate is about: the name of the model in the specification, and the key of what was learned of it.
type learnedPair struct{ model, key string }

// LearnedOf is what Estimates say was learned of models, by model and key: what a new leader, or a restart, begins with.
func LearnedOf(r *specification.Resources) map[string]map[string]*v1alpha1.PairMemory {
	all, names := map[string]map[string]*v1alpha1.PairMemory{}, modelNames(r)
	for i := range r.Estimates {
		e := &r.Estimates[i]
		name, ok := names[e.Model]
		if !ok {
			continue
		}
		if all[name] == nil {
			all[name] = map[string]*v1alpha1.PairMemory{}
		}
		all[name][e.Learned.Key()] = e.Learned.DeepCopy()
	}
	return all
}

// modelNames are those of models in the specification, by those of their resources.
func modelNames(r *specification.Resources) map[string]string {
	names := map[string]string{}
	for i := range r.Models {
		names[r.Models[i].Name] = specification.Name(&r.Models[i])
	}
	return names
}

// takeUp what Estimates say that is newer than what this process remembers, as after a restart, or where another leader was at work meanwhile. A pair whose
// Estimate was there in the last cycle, and was deleted since, is forgotten: that is how people have it learned anew.
func (c *cycle) takeUp(r *specification.Resources) {
	theirs := LearnedOf(r)
	learned, names := latest(c.state.Learned, theirs), modelNames(r)
	now := map[string]learnedPair{}
	for i := range r.Estimates {
		e := &r.Estimates[i]
		now[e.Name] = learnedPair{cmp.Or(names[e.Model], c.estimates[e.Name].model), e.Learned.Key()}
	}
	for _, p := range c.estimates {
		if theirs[p.model][p.key] == nil {
			delete(learned[p.model], p.key)
		}
	}
	c.state.Learned, c.estimates = learned, now
}

// latest of what this process remembers and what Estimates say, pair by pair. They differ after a restart, and where another leader was
// at work meanwhile: what it learned is taken up, and not overwritten.
func latest(ours, theirs map[string]map[string]*v1alpha1.PairMemory) map[string]map[string]*v1alpha1.PairMemory {
	all := map[string]map[string]*v1alpha1.PairMemory{}
	for _, side := range []map[string]map[string]*v1alpha1.PairMemory{ours, theirs} {
		for model, pairs := range side {
			if all[model] == nil {
				all[model] = map[string]*v1alpha1.PairMemory{}
			}
			for acc, p := range pairs {
				if known := all[model][acc]; known == nil || (p.UpdatedAt != nil && (known.UpdatedAt == nil || known.UpdatedAt.Before(p.UpdatedAt))) {
					all[model][acc] = p
				}
			}
		}
	}
	return all
}

// writeEstimates keeps one Estimate for each pair that was learned of, and deletes those of pairs that were forgotten, and of Models that went. One whose Model
// was never seen may have been restored before it, and stays.
func (c *cycle) writeEstimates(ctx context.Context, r *specification.Resources) {
	have := map[string]*v1alpha1.Estimate{}
	for i := range r.Estimates {
		have[r.Estimates[i].Name] = &r.Estimates[i]
	}
	for i := range r.Models {
		m := &r.Models[i]
		learned := c.state.Learned[specification.Name(m)]
		for _, key := range slices.Sorted(maps.Keys(learned)) {
			e := estimateOf(m, key, learned[key])
			old := have[e.Name]
			delete(have, e.Name)
			if old != nil && equality.Semantic.DeepEqual(old.Learned, e.Learned) {
				continue
			}
			_ = c.try(ctx, "Estimate "+e.Name, func(ctx context.Context) error { // try notes it
				if old == nil {
					return c.Client.Create(ctx, e)
				}
				e.ObjectMeta = old.ObjectMeta
				return c.Client.Update(ctx, e)
			})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if e := have[name]; c.estimates[name].model != "" {
			_ = c.try(ctx, "Estimate "+name, func(ctx context.Context) error {
				return c.Client.Delete(ctx, e, client.Preconditions{UID: &e.UID})
			})
		}
	}
}

// estimateOf a model has no owner: what is restored from a backup would have one that is gone, and go too.
func estimateOf(m *v1alpha1.Model, key string, learned *v1alpha1.PairMemory) *v1alpha1.Estimate {
	return &v1alpha1.Estimate{
		TypeMeta:   v1alpha1.TypeMeta("Estimate"),
		ObjectMeta: metav1.ObjectMeta{Name: specification.ResourceName(m.Name + "/" + key)},
		Model:      m.Name, Learned: *learned,
	}
}
