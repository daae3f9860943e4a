package workload

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/fitting"
)

// read what a container serves.
func (s *serving) read() *Workload {
	w := &Workload{Container: s.spec.Name, Engine: Fact[string]{Value: s.engine.name, From: s.from}}
	for _, what := range s.unreadable {
		w.unread(what, "is not in the template of the pod")
	}
	for _, name := range slices.Sorted(maps.Keys(s.engine.variables)) {
		if v, ok := s.environment[name]; ok {
			s.take(w, argument{s.engine.variables[name], "variable " + name, []word{v}})
		}
	}
	for _, a := range s.arguments() { // they win over variables
		s.take(w, a)
	}
	s.source(w)
	s.cards(w)
	s.assume(w)
	s.judge(w)
	return w
}

// take one argument into the facts.
func (s *serving) take(w *Workload, a argument) {
	from := fmt.Sprintf("container %q, %s", s.spec.Name, a.name)
	for _, v := range a.values {
		if v.missing != "" {
			w.unread(string(a.field), "%s: %s", from, v.missing)
			return
		}
	}
	if a.field == spreads || a.field == inTensor { // flags
		if len(a.values) == 0 || strings.EqualFold(a.values[0].text, "true") {
			s.flag(w, a.field, from)
		}
		return
	}
	if len(a.values) == 0 || a.values[0].text == "" {
		w.unread(string(a.field), "%s: has no value", from)
		return
	}
	text := a.values[0].text
	switch a.field {
	case file:
		w.unread(string(file), "%s: what file %s says is not in the template", from, text)
	case model:
		w.Model = Fact[string]{Value: text, From: from}
	case servedNames:
		w.ServedNames = Fact[[]string]{From: from}
		for _, v := range a.values {
			w.ServedNames.Value = append(w.ServedNames.Value, strings.FieldsFunc(v.text, func(r rune) bool { return r == ',' || r == ' ' })...)
		}
	case dtype:
		w.DType = Fact[string]{Value: text, From: from}
	case quantization:
		w.Quantization = Fact[string]{Value: text, From: from}
	default:
		number(w, a.field, text, from)
	}
}

// flag that was set. Experts are spread over all cards that share layers, which are counted when all arguments are read.
func (s *serving) flag(w *Workload, f field, from string) {
	if f == spreads {
		w.Expert = Fact[int]{From: from}
	} else {
		w.Data.Assumed = true // within tensor parallelism; settled by assume
	}
}

// number of a field.
func number(w *Workload, f field, text, from string) {
	into := map[field]*Fact[int]{
		tensor: &w.Tensor, pipeline: &w.Pipeline, data: &w.Data, expert: &w.Expert, modelLen: &w.MaxModelLen, seqs: &w.MaxNumSeqs, tokens: &w.MaxNumBatchedTokens, port: &w.Port,
	}[f]
	n, err := count(text)
	if f == modelLen && (text == "auto" || text == "-1") || f == tokens && text == "-1" { // the engine chooses
		return
	}
	if err != nil || f == port && n > math.MaxUint16 {
		w.unread(string(f), "%s: %q is no whole number that is allowed", from, text)
		return
	}
	into.Value, into.From = n, from
}

// count is a whole number of at least 1, which vLLM lets be written as 32k (thousands) or 32K (1024).
func count(text string) (int, error) {
	factor := 1.0
	for suffix, times := range map[string]float64{"k": 1e3, "K": 1 << 10, "m": 1e6, "M": 1 << 20} {
		if rest, is := strings.CutSuffix(text, suffix); is {
			text, factor = rest, times
			break
		}
	}
	v, err := strconv.ParseFloat(text, 64)
	if v *= factor; err != nil || !(v >= 1 && v <= math.MaxInt32) || v != math.Trunc(v) {
		return 0, fmt.Errorf("%q is not a whole number of at least 1", text)
	}
	return int(v), nil
}

// addresses that say where a model was fetched from, by their scheme.
var addresses = []string{"hf://", "s3://", "gs://", "oci://", "pvc://", "https://"}

// sourceAnnotation names the address of a model that KServe's storage initializer fetches (pkg/constants of github.com/kserve/kserve).
const sourceAnnotation = "internal.serving.kserve.io/storage-initializer-sourceuri"

// source of a model that is given as a path: where an init container or KServe fetches it from.
func (s *serving) source(w *Workload) {
	if !w.Model.Known() {
		w.unread(string(model), "container %q: neither an argument nor a variable names it", s.spec.Name)
		return
	}
	w.Model.Value = strings.TrimPrefix(w.Model.Value, "hf://")
	if !isPath(w.Model.Value) {
		return
	}
	take := func(text, from string) bool {
		i := slices.IndexFunc(addresses, func(scheme string) bool { return strings.HasPrefix(text, scheme) })
		if i < 0 {
			return false
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(text, "hf://"), ":") // a revision may follow
		if i > 0 {
			name = text
		}
		w.Model = Fact[string]{Value: name, From: from}
		return true
	}
	if take(s.template.Annotations[sourceAnnotation], "annotation "+sourceAnnotation) {
		return
	}
	if v, ok := s.environment["STORAGE_URI"]; ok && take(v.text, fmt.Sprintf("container %q, variable STORAGE_URI", s.spec.Name)) {
		return
	}
	for i := range s.template.Spec.InitContainers {
		init := readContainer(s.template, &s.template.Spec.InitContainers[i])
		for _, words := range init.commands {
			for _, word := range words {
				if take(word.text, fmt.Sprintf("init container %q, its arguments", init.spec.Name)) {
					return
				}
			}
		}
	}
	w.unread("what the model is", "%s: %s is a path in the pod", w.Model.From, w.Model.Value)
}

// cards that the container requests. A pod with claims of dynamic resource allocation has them by those.
func (s *serving) cards(w *Workload) {
	for _, list := range []struct {
		what      string
		resources corev1.ResourceList
	}{{"limits", s.spec.Resources.Limits}, {"requests", s.spec.Resources.Requests}} {
		for _, name := range slices.Sorted(maps.Keys(list.resources)) {
			if q := list.resources[name]; catalogue.IsCard(string(name)) && q.Value() > 0 && q.Value() <= math.MaxInt32 {
				from := fmt.Sprintf("container %q, %s of resources", s.spec.Name, list.what)
				w.Cards, w.Resource = Fact[int]{Value: int(q.Value()), From: from}, Fact[string]{Value: string(name), From: from}
				return
			}
		}
	}
	if len(s.spec.Resources.Claims) > 0 {
		w.unread(WhatCards, "container %q: has them by the claim %q of dynamic resource allocation", s.spec.Name, s.spec.Resources.Claims[0].Name)
		return
	}
	w.unread(WhatCards, "container %q: requests no resource of cards", s.spec.Name)
}

// assume what the engine does by default where nothing is said.
func (s *serving) assume(w *Workload) {
	byDefault := "default of " + s.engine.name
	assume := func(f *Fact[int], value int) {
		if !f.Known() {
			*f = Fact[int]{Value: value, From: byDefault, Assumed: true}
		}
	}
	within := w.Data.Assumed
	w.Data.Assumed = false
	switch {
	case s.engine.tensor > 0:
		assume(&w.Tensor, s.engine.tensor)
	case w.Cards.Known():
		assume(&w.Tensor, w.Cards.Value)
	}
	assume(&w.Pipeline, 1)
	if within && w.Data.Known() {
		w.Data = Fact[int]{Value: 1, From: w.Data.From + ", within tensor parallelism"}
	}
	assume(&w.Data, 1)
	if w.Expert.Known() && w.Expert.Value == 0 {
		w.Expert.Value = product(w.Tensor.Value, w.Data.Value)
	}
	assume(&w.Expert, 1)
	if !w.Port.Known() {
		w.Port = s.declaredPort(byDefault)
	}
	if !w.DType.Known() {
		w.DType = Fact[string]{Value: "auto", From: byDefault, Assumed: true}
	}
	w.Precision = precision(w)
}

// product of two numbers of cards, at most what an int32 holds.
func product(a, b int) int { return int(min(int64(a)*int64(b), math.MaxInt32)) }

// declaredPort is the engine's default, if the container declares it or no other.
func (s *serving) declaredPort(byDefault string) Fact[int] {
	for _, p := range s.spec.Ports {
		if int(p.ContainerPort) == s.engine.port {
			break
		}
		if len(s.spec.Ports) == 1 && p.ContainerPort > 0 {
			return Fact[int]{Value: int(p.ContainerPort), From: fmt.Sprintf("container %q, its only port", s.spec.Name)}
		}
	}
	return Fact[int]{Value: s.engine.port, From: byDefault, Assumed: true}
}

// quantised are the precisions of methods whose names do not say them (docs.vllm.ai, features/quantization; TGI's launcher).
var quantised = map[string]string{"bitsandbytes": "int4", "bitsandbytes-nf4": "int4", "marlin": "int4", "eetq": "int8", "modelopt": "fp8"}

// precision of the weights: as they are quantised, else as the model's name says, else that of activations.
func precision(w *Workload) Fact[string] {
	if w.Quantization.Known() {
		if p := cmp.Or(quantised[w.Quantization.Value], string(fitting.PrecisionOf(w.Quantization.Value))); p != "" {
			return Fact[string]{Value: p, From: w.Quantization.From}
		}
		w.unread("precision of the weights", "%s: what %q makes of them is not known", w.Quantization.From, w.Quantization.Value)
	}
	if p := fitting.PrecisionOf(w.Model.Value); p != "" {
		return Fact[string]{Value: string(p), From: "the name of the model"}
	}
	if w.DType.Known() && !w.DType.Assumed && w.DType.Value != "auto" {
		return Fact[string]{Value: "bf16", From: w.DType.From}
	}
	return Fact[string]{Value: "bf16", From: "what most models are published in", Assumed: true}
}

// judge whether facts fit together.
func (s *serving) judge(w *Workload) {
	replica := product(product(w.Tensor.Value, w.Pipeline.Value), w.Data.Value)
	if w.Cards.Known() && replica > 0 && replica != w.Cards.Value {
		w.doubt("%d cards are requested, and parallelism takes %d (tensor %d, pipeline %d, data %d)",
			w.Cards.Value, replica, w.Tensor.Value, w.Pipeline.Value, w.Data.Value)
	}
	if w.MaxNumSeqs.Known() && w.MaxNumBatchedTokens.Known() && w.MaxNumBatchedTokens.Value < w.MaxNumSeqs.Value && s.engine.name == v1alpha1.EngineVLLM {
		w.doubt("a batch of %d requests does not fit %d tokens of an iteration", w.MaxNumSeqs.Value, w.MaxNumBatchedTokens.Value)
	}
	if w.DType.Value == "float32" {
		w.doubt("weights are in float32, which takes twice the memory and time that is assumed")
	}
}
