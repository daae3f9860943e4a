// Package workload reads the template of a pod and says which LLM it serves and how: engine, model, parallelism, precision, limits, cards. Of every fact
// it says where it was read, or on what ground it is assumed; what cannot be read is listed with the reason. Nothing is executed or asked.
package workload

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Fact is something that a template says, or that follows from it.
type Fact[T any] struct {
	Value T `json:"value"`
	// From says where it was read, such as `container "vllm", --model`; empty where it is not known.
	From string `json:"from,omitempty"`
	// Assumed says that it was not read but follows from a default, which From names.
	Assumed bool `json:"assumed,omitempty"`
}

// Known says that the fact was read or assumed.
func (f Fact[T]) Known() bool { return f.From != "" }

// What must be known of a workload for it to be planned, as Unread names it.
const (
	WhatModel = string(model)
	WhatCards = "cards"
)

// Unread is something that a template says in a way that cannot be read.
type Unread struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// Workload is what one template serves. Facts that are not known have no value: an engine's own choice by its card is not a fact.
type Workload struct {
	// Container that serves.
	Container string `json:"container"`
	// Engine is one of the engines of the API: vLLM, SGLang, TGI, TensorRT-LLM.
	Engine Fact[string] `json:"engine"`
	// Model that is loaded: its name on a hub, or a path or address where nothing tells more.
	Model Fact[string] `json:"model"`
	// ServedNames under which clients ask for it and metrics show it.
	ServedNames Fact[[]string] `json:"servedNames"`
	// Tensor, Pipeline and Data parallelism and, where experts are spread, over how many cards; at least 1.
	Tensor   Fact[int] `json:"tensorParallel"`
	Pipeline Fact[int] `json:"pipelineParallel"`
	Data     Fact[int] `json:"dataParallel"`
	Expert   Fact[int] `json:"expertParallel"`
	// DType of activations as the engine calls it, and Quantization of the weights as it calls that.
	DType        Fact[string] `json:"dtype"`
	Quantization Fact[string] `json:"quantization"`
	// Precision of the weights as priors know it: bf16, fp8, int8, int4, fp4.
	Precision Fact[string] `json:"precision"`
	// MaxModelLen is the most tokens of a request, MaxNumSeqs the most requests in a batch, MaxNumBatchedTokens the most tokens of an iteration; at least 1.
	MaxModelLen         Fact[int] `json:"maxModelLen"`
	MaxNumSeqs          Fact[int] `json:"maxNumSeqs"`
	MaxNumBatchedTokens Fact[int] `json:"maxNumBatchedTokens"`
	// Cards that a pod requests, at least 1, and the Resource under which it does.
	Cards    Fact[int]    `json:"cards"`
	Resource Fact[string] `json:"resource"`
	// Port of the server, 1 to 65535.
	Port Fact[int] `json:"port"`
	// Others are containers that look like an engine too, and are left out.
	Others []string `json:"others,omitempty"`
	// Unread is what could not be read, Doubts are what does not fit together.
	Unread []Unread `json:"unread,omitempty"`
	Doubts []string `json:"doubts,omitempty"`
}

// NotServing says that a template serves no LLM, as far as can be seen.
type NotServing struct{ Reasons []string }

// Error implements error.
func (e *NotServing) Error() string {
	return "serves no LLM that is known: " + strings.Join(e.Reasons, "; ")
}

// Read says what a template serves. The error is a [*NotServing] where no container of it is an inference engine.
func Read(template *corev1.PodTemplateSpec) (*Workload, error) {
	if template == nil || len(template.Spec.Containers) == 0 {
		return nil, &NotServing{[]string{"there are no containers"}}
	}
	var found []*serving
	not := &NotServing{}
	for i := range template.Spec.Containers {
		c := readContainer(template, &template.Spec.Containers[i])
		if s, why := recognise(c); s != nil {
			found = append(found, s)
		} else {
			not.Reasons = append(not.Reasons, fmt.Sprintf("container %q: %s", c.spec.Name, why))
		}
	}
	if len(found) == 0 {
		return nil, not
	}
	// A container that names its engine in its command is it rather than one whose image does.
	slices.SortStableFunc(found, func(a, b *serving) int { return cmp.Compare(a.certainty, b.certainty) })
	w := found[0].read()
	for _, other := range found[1:] {
		w.Others = append(w.Others, other.spec.Name)
		w.doubt("container %q looks like %s too, and is left out", other.spec.Name, other.engine.name)
	}
	return w, nil
}

func (w *Workload) doubt(format string, args ...any) {
	w.Doubts = append(w.Doubts, fmt.Sprintf(format, args...))
}

func (w *Workload) unread(what, format string, args ...any) {
	w.Unread = append(w.Unread, Unread{what, fmt.Sprintf(format, args...)})
}

// Name of the model for people and for catalogues: the model's own where that is a name, else the first that it is served under.
func (w *Workload) Name() string {
	if w.Model.Known() && !isPath(w.Model.Value) {
		return w.Model.Value
	}
	if len(w.ServedNames.Value) > 0 {
		return w.ServedNames.Value[0]
	}
	return w.Model.Value
}

// Shown is the name under which metrics show the model: the first that it is served under, else that of the model.
func (w *Workload) Shown() string {
	if len(w.ServedNames.Value) > 0 {
		return w.ServedNames.Value[0]
	}
	return w.Model.Value
}

// priors is what priors call engines.
var priors = map[string]string{v1alpha1.EngineVLLM: "vllm", v1alpha1.EngineSGLang: "sglang", v1alpha1.EngineTensorRTLLM: "trtllm"}

// Match is what of it a law depends on, as spec.performance[].match of a Model says it.
func (w *Workload) Match() map[string]string {
	match := map[string]string{"engine": priors[w.Engine.Value], "precision": w.Precision.Value}
	if w.Pipeline.Value > 1 {
		match["pipeline_parallel"] = strconv.Itoa(w.Pipeline.Value)
	}
	return match
}

// unfit is what no name of Kubernetes may have.
var unfit = regexp.MustCompile(`[^a-z0-9]+`)

// ResourceName is what people would call the resource of a model in Kubernetes: its name without its publisher, as a DNS label to which something may be added.
func ResourceName(model string) string {
	name := strings.Trim(unfit.ReplaceAllString(strings.ToLower(model[strings.LastIndexByte(model, '/')+1:]), "-"), "-")
	// Exact: with 13 characters added it is a label still, of 63.
	const most = 50
	if len(name) > most {
		name = strings.Trim(name[:most], "-")
	}
	return cmp.Or(name, "model")
}

// isPath says that a model is given by a path in the file system.
func isPath(model string) bool { return strings.HasPrefix(model, "/") || strings.HasPrefix(model, ".") }
