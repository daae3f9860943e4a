package specification

import (
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// models writes the entries of the JSON specification as Models, sorted by name.
func models(d *jsonspec.ModelData) []v1alpha1.Model {
	byName := map[string]*v1alpha1.Model{}
	var names []string
	get := func(name string) *v1alpha1.Model {
		m, ok := byName[name]
		if !ok {
			m = &v1alpha1.Model{TypeMeta: v1alpha1.TypeMeta("Model"), ObjectMeta: objectMeta(name, "")}
			byName[name] = m
			names = append(names, name)
		}
		return m
	}
	for i := range d.Spec {
		m := get(d.Spec[i].Name)
		m.Spec.Performance = append(m.Spec.Performance, performance(&d.Spec[i].Performance))
	}
	for i := range d.Info {
		p, m := &d.Info[i].ModelProperties, get(d.Info[i].Name)
		m.Spec.ServedName, m.Spec.TrustedNamespaces, m.Spec.Architecture = p.ServedName, p.TrustedNamespaces, architecture(p.Architecture)
	}
	slices.Sort(names)
	list := make([]v1alpha1.Model, 0, len(names))
	for _, n := range names {
		list = append(list, *byName[n])
	}
	return list
}

// fromModel writes a Model as entries of the JSON specification.
func fromModel(m *v1alpha1.Model, d *jsonspec.ModelData) {
	name := Name(m)
	for i := range m.Spec.Performance {
		d.Spec = append(d.Spec, jsonspec.PerformanceEntry{Name: name, Performance: fromPerformance(&m.Spec.Performance[i])})
	}
	p := jsonspec.ModelProperties{
		ServedName: m.Spec.ServedName, TrustedNamespaces: m.Spec.TrustedNamespaces, Architecture: fromArchitecture(m.Spec.Architecture),
	}
	if !p.IsZero() || len(m.Spec.Performance) == 0 {
		d.Info = append(d.Info, jsonspec.ModelInfo{Name: name, ModelProperties: p})
	}
}

// performance of a pair. Where the JSON specification has a law beside parameters of its own, the law is what is used, and what is written.
func performance(p *jsonspec.Performance) v1alpha1.Performance {
	out := v1alpha1.Performance{
		Accelerator: p.Acc, Variant: p.Variant, Role: p.Role, AcceleratorsPerReplica: p.AccCount, PodsPerReplica: p.PodsPerReplica, TopologyKey: p.TopologyKey, Ranks: p.Ranks,
		TokensPerIteration: positive(p.TokensPerIteration), MaxBatchSize: p.MaxBatchSize, AtTokens: p.AtTokens, KVTokens: p.KVTokens, Match: p.Match,
	}
	of := v1alpha1.DecimalOf
	if t := p.Transfer; t != nil {
		out.Transfer = &v1alpha1.Transfer{Delay: ofMilliseconds(t.Delay), BytesPerToken: of(t.BytesPerToken)}
		if width := gigabytes(t.Bandwidth); width != nil {
			out.Transfer.Bandwidth = *width
		}
	}
	switch {
	case p.Law != nil:
		out.Law = &v1alpha1.Law{Name: p.Law.Name, Version: p.Law.Version, Order: p.Law.Order}
		for name, x := range p.Law.Parameters {
			if out.Law.Parameters == nil {
				out.Law.Parameters = map[string]v1alpha1.Decimal{}
			}
			out.Law.Parameters[name] = of(x)
		}
		for _, row := range p.Law.Covariance {
			out.Law.Covariance = append(out.Law.Covariance, each(row, of))
		}
	case p.PerfParms != nil:
		out.Work = &v1alpha1.WorkLaw{Alpha: of(p.PerfParms.Alpha), Beta: of(p.PerfParms.Beta), Gamma: of(p.PerfParms.Gamma)}
	case p.DecodeParms != nil && p.PrefillParms != nil:
		out.Linear = &v1alpha1.LinearLaw{
			Decode:  v1alpha1.DecodeLaw{Alpha: of(p.DecodeParms.Alpha), Beta: of(p.DecodeParms.Beta)},
			Prefill: v1alpha1.PrefillLaw{Gamma: of(p.PrefillParms.Gamma), Delta: of(p.PrefillParms.Delta)},
		}
	}
	return out
}

func fromPerformance(p *v1alpha1.Performance) jsonspec.Performance {
	out := jsonspec.Performance{
		Acc: p.Accelerator, Variant: p.Variant, Role: p.Role, AccCount: p.AcceleratorsPerReplica, PodsPerReplica: p.PodsPerReplica, TopologyKey: p.TopologyKey, Ranks: p.Ranks,
		TokensPerIteration: orZero(p.TokensPerIteration), MaxBatchSize: p.MaxBatchSize, AtTokens: p.AtTokens, KVTokens: p.KVTokens, Match: p.Match,
	}
	if t := p.Transfer; t != nil {
		out.Transfer = &jsonspec.Transfer{Bandwidth: inGigabytes(&t.Bandwidth), Delay: inMilliseconds(t.Delay), BytesPerToken: t.BytesPerToken.Float()}
	}
	if w := p.Work; w != nil {
		out.PerfParms = &jsonspec.PerfParms{Alpha: w.Alpha.Float(), Beta: w.Beta.Float(), Gamma: w.Gamma.Float()}
	}
	if l := p.Linear; l != nil {
		out.DecodeParms = &jsonspec.DecodeParms{Alpha: l.Decode.Alpha.Float(), Beta: l.Decode.Beta.Float()}
		out.PrefillParms = &jsonspec.PrefillParms{Gamma: l.Prefill.Gamma.Float(), Delta: l.Prefill.Delta.Float()}
	}
	if l := p.Law; l != nil {
		out.Law = &jsonspec.LawParms{Name: l.Name, Version: l.Version, Order: l.Order}
		for name, x := range l.Parameters {
			if out.Law.Parameters == nil {
				out.Law.Parameters = map[string]float64{}
			}
			out.Law.Parameters[name] = x.Float()
		}
		for _, row := range l.Covariance {
			out.Law.Covariance = append(out.Law.Covariance, each(row, v1alpha1.Decimal.Float))
		}
	}
	return out
}

func each[A, B any](list []A, f func(A) B) []B {
	out := make([]B, 0, len(list))
	for _, x := range list {
		out = append(out, f(x))
	}
	return out
}

func architecture(a *jsonspec.Architecture) *v1alpha1.Architecture {
	if a == nil {
		return nil
	}
	return &v1alpha1.Architecture{
		Architectures: a.Architectures, NumHiddenLayers: a.NumHiddenLayers, HiddenSize: a.HiddenSize, IntermediateSize: a.IntermediateSize,
		NumAttentionHeads: a.NumAttentionHeads, NumKeyValueHeads: a.NumKeyValueHeads, HeadDim: a.HeadDim, VocabSize: a.VocabSize,
		TieWordEmbeddings: a.TieWordEmbeddings, NumExperts: a.Experts(),
		NumExpertsPerToken: a.NumExpertsPerTok, NumSharedExperts: a.NSharedExperts, MoEIntermediateSize: a.MoEIntermediateSize,
		FirstKDenseReplace: a.FirstKDenseReplace, KVLoRARank: a.KVLoraRank, QLoRARank: a.QLoraRank, QKRoPEHeadDim: a.QKRopeHeadDim,
		QKNoPEHeadDim: a.QKNopeHeadDim, VHeadDim: a.VHeadDim,
	}
}

func fromArchitecture(a *v1alpha1.Architecture) *jsonspec.Architecture {
	if a == nil {
		return nil
	}
	return &jsonspec.Architecture{
		Architectures: a.Architectures, NumHiddenLayers: a.NumHiddenLayers, HiddenSize: a.HiddenSize, IntermediateSize: a.IntermediateSize,
		NumAttentionHeads: a.NumAttentionHeads, NumKeyValueHeads: a.NumKeyValueHeads, HeadDim: a.HeadDim, VocabSize: a.VocabSize,
		TieWordEmbeddings: a.TieWordEmbeddings, NumExperts: a.NumExperts, NumExpertsPerTok: a.NumExpertsPerToken, NSharedExperts: a.NumSharedExperts,
		MoEIntermediateSize: a.MoEIntermediateSize, FirstKDenseReplace: a.FirstKDenseReplace, KVLoraRank: a.KVLoRARank, QLoraRank: a.QLoRARank,
		QKRopeHeadDim: a.QKRoPEHeadDim, QKNopeHeadDim: a.QKNoPEHeadDim, VHeadDim: a.VHeadDim,
	}
}
