package jsonspec

import "slices"

// ServerBinding says which workloads a server is.
type ServerBinding struct {
	// ScaleTargetRef is the workload whose replicas the server is.
	// +optional
	ScaleTargetRef *ScaleTargetRef `json:"scaleTargetRef,omitempty"`
	// Variants are workloads of the server for accelerators, or for variants and roles of its model, that need a pod template of their own.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Variants []Variant `json:"variants,omitempty"`
	// RouteRef names the HTTPRoute whose weights follow the plan: in each of its rules that splits requests over backends of the variants, the weights of
	// these are written, and nothing else of it. Absent: no route is read or written.
	// +optional
	RouteRef *RouteRef `json:"routeRef,omitempty"`
	// Arrivals is the counter by which a gateway counts the requests that come to the server. Absent: what the endpoint picker of the Gateway
	// API inference extension counts for the model alone, or else what the engines see.
	// +optional
	Arrivals *ArrivalCounter `json:"arrivals,omitempty"`
}

// VariantOf returns the variant that runs a variant of the model, or the model that has none, on an accelerator: the first that lists it, so that variants never
// count a part of a plan twice; empty where none does.
func (b *ServerBinding) VariantOf(accelerator, ofModel string) string {
	for i := range b.Variants {
		if v := &b.Variants[i]; v.ModelVariant == ofModel && slices.Contains(v.Accelerators, accelerator) {
			return v.Name
		}
	}
	return ""
}

// Meant returns the variant that pods mean by what they say: that of the name, or else the only one that runs a variant or role of the model of that name.
// Nil where there is none, and where several could be meant.
func (b *ServerBinding) Meant(said string) *Variant {
	if b == nil || said == "" {
		return nil
	}
	var running []*Variant
	for i := range b.Variants {
		switch v := &b.Variants[i]; said {
		case v.Name:
			return v
		case v.ModelVariant:
			running = append(running, v)
		}
	}
	if len(running) != 1 {
		return nil
	}
	return running[0]
}

// Runs says which variant of the model pods run by the variant that they say they are of; empty for a model that has none, and of a variant that is not listed.
func (b *ServerBinding) Runs(said string) string {
	if v := b.Meant(said); v != nil {
		return v.ModelVariant
	}
	return ""
}

// ScaleTargetRef names the workload whose replicas are the server's, in the server's namespace.
type ScaleTargetRef struct {
	// APIVersion of the workload, such as apps/v1.
	// +kubebuilder:validation:MinLength=1
	APIVersion string `json:"apiVersion"`
	// Kind of the workload, such as Deployment.
	// +kubebuilder:validation:MinLength=1
	Kind string `json:"kind"`
	// Name of the workload.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
}

// Variant is a workload of a server for accelerators, or for a variant or role of its model, that need a pod template of their own.
type Variant struct {
	// Name of the variant; pods carry it as the label inferno.platform.ai/variant. Pods without the label that labels of llm-d, KServe, Dynamo or a
	// DisaggregatedSet give the role prefill or decode are of the variant of that name, or of the only one whose modelVariant it is.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// ModelVariant is the variant of the Model that the pods run, or the role of one that has no name, such as prefill. Absent: the only one there is.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	ModelVariant string `json:"modelVariant,omitempty"`
	// Accelerators that the variant's template fits.
	// +kubebuilder:validation:MinItems=1
	// +listType=set
	Accelerators []string `json:"accelerators"`
	// ScaleTargetRef of the variant.
	ScaleTargetRef ScaleTargetRef `json:"scaleTargetRef"`
	// BackendRef is what the HTTPRoute of spec.routeRef sends the variant's requests to: a Service or an InferencePool of its pods, and of no others.
	// +optional
	BackendRef *BackendRef `json:"backendRef,omitempty"`
}

// RouteRef names an HTTPRoute (gateway.networking.k8s.io/v1) in the server's namespace.
type RouteRef struct {
	// Name of the HTTPRoute.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// Kinds of backends.
const (
	KindService       = "Service"
	KindInferencePool = "InferencePool"
)

// BackendRef names what a route sends the requests of a variant to, in the server's namespace, as backendRefs of an HTTPRoute do.
// +kubebuilder:validation:XValidation:rule="self.kind != 'Service' || self.group.size() == 0",message="the group of a Service must be empty"
// +kubebuilder:validation:XValidation:rule="self.kind != 'InferencePool' || self.group in ['inference.networking.k8s.io', 'inference.networking.x-k8s.io']",message="the group of an InferencePool must be inference.networking.k8s.io, or inference.networking.x-k8s.io"
type BackendRef struct {
	// Group of the kind; empty for a Service.
	// +kubebuilder:default=""
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Group string `json:"group"`
	// Kind of the backend: Service or InferencePool. Defaults to Service.
	// +kubebuilder:default=Service
	// +kubebuilder:validation:Enum=Service;InferencePool
	// +optional
	Kind string `json:"kind,omitempty"`
	// Name of the backend.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// ArrivalCounter names the series in Prometheus that count the requests of one server, such as envoy_cluster_upstream_rq_total with the
// envoy_cluster_name of its service. They must count requests when they come: those that count answers, as istio_requests_total does, fall
// short while the server saturates.
//
// Only series with the label namespace of the Server's own namespace count, and those of gateways elsewhere that spec.prometheus.gateways of the
// Optimizer declares.
type ArrivalCounter struct {
	// Counter is the name of the metric.
	// +kubebuilder:validation:Pattern=`^[a-zA-Z_:][a-zA-Z0-9_:]*$`
	// +kubebuilder:validation:MaxLength=256
	Counter string `json:"counter"`
	// Labels of the series, by name; at least one, so that no other server's requests are counted. The label namespace, and those that begin
	// with two underscores, are not the user's to choose.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(name, name.matches('^[a-zA-Z_][a-zA-Z0-9_]*$'))",message="names of labels have letters, digits and _, and no digit first"
	// +kubebuilder:validation:XValidation:rule="self.all(name, !name.startsWith('__') && name != 'namespace')",message="the label namespace and names that begin with __ are reserved"
	Labels map[string]LabelValue `json:"labels"`
}

// LabelValue of a series in Prometheus.
// +kubebuilder:validation:MaxLength=1024
type LabelValue string

// AllocationPart is the part of a plan that runs on one accelerator.
type AllocationPart struct {
	// Accelerator names the accelerator.
	Accelerator string `json:"accelerator"`
	// Variant of the model that runs on it, where it has several, and its role, where prompts and decodes run apart.
	// +kubebuilder:default=""
	// +optional
	Variant string `json:"variant,omitempty"`
	// +optional
	Role string `json:"role,omitempty"`
	// TopologyKey of the label of which the nodes of a replica's pods have one value.
	// +optional
	TopologyKey string `json:"topologyKey,omitempty"`
	// Replicas on it.
	// +kubebuilder:validation:Minimum=0
	Replicas int `json:"replicas"`
	// Surge is the number of pods on it beyond its replicas for the time being: those that serve until the plan's are ready elsewhere, or new
	// ones that replace pods with other limits.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Surge int `json:"surge,omitempty"`
	// Ahead is the number of replicas on it, beyond those above, that the load will need by the time a node asked for now has come (lookAhead of the
	// Optimizer): room is to be made for them, and no pods yet.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Ahead int `json:"ahead,omitempty"`
	// MaxBatchSize that pods on it are started with (vLLM: --max-num-seqs); 0 leaves the engine's default.
	// +optional
	MaxBatchSize int `json:"maxBatchSize,omitempty"`
	// MaxBatchedTokens is the token budget per iteration that pods on it are started with (vLLM: --max-num-batched-tokens); 0 leaves the
	// engine's default.
	// +optional
	MaxBatchedTokens int `json:"maxBatchedTokens,omitempty"`
	// Share of the server's load that the plan assumes for this part, 0 to 1.
	// +optional
	Share float64 `json:"share,omitempty"`
}
