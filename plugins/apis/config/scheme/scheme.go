// Package scheme reads the arguments of the scheduler plugin: any version in, the defaults filled in, unknown and repeated fields refused,
// every fault reported.
package scheme

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"github.com/llm-inferno/inferno/plugins/apis/config"
	configv1 "github.com/llm-inferno/inferno/plugins/apis/config/v1"
	"github.com/llm-inferno/inferno/plugins/apis/config/validation"
)

// New is a scheme that knows all versions of the arguments.
func New() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	if err := config.AddToScheme(s); err != nil {
		return nil, err
	}
	if err := configv1.AddToScheme(s); err != nil {
		return nil, err
	}
	return s, s.SetVersionPriority(configv1.SchemeGroupVersion)
}

// Decode reads arguments in YAML or JSON. No arguments at all are the defaults. apiVersion and kind may be left out: they are then v1.
func Decode(raw []byte) (*config.InfernoArgs, error) {
	if len(raw) == 0 {
		raw = []byte("{}")
	}
	s, err := New()
	if err != nil {
		return nil, err
	}
	gvk := configv1.SchemeGroupVersion.WithKind("InfernoArgs")
	decoder := serializer.NewCodecFactory(s, serializer.EnableStrict).UniversalDecoder(config.SchemeGroupVersion)
	obj, _, err := decoder.Decode(raw, &gvk, nil)
	if err != nil {
		return nil, fmt.Errorf("reading InfernoArgs: %w", err)
	}
	args, ok := obj.(*config.InfernoArgs)
	if !ok {
		return nil, fmt.Errorf("reading InfernoArgs: got a %T", obj)
	}
	if err := validation.InfernoArgs(nil, args).ToAggregate(); err != nil {
		return nil, fmt.Errorf("invalid InfernoArgs: %w", err)
	}
	return args, nil
}

// FromObject reads the arguments that the scheduler hands to a plugin: nothing, or what stood in the configuration.
func FromObject(obj runtime.Object) (*config.InfernoArgs, error) {
	switch o := obj.(type) {
	case nil:
		return Decode(nil)
	case *runtime.Unknown:
		return Decode(o.Raw)
	case *config.InfernoArgs:
		if err := validation.InfernoArgs(nil, o).ToAggregate(); err != nil {
			return nil, fmt.Errorf("invalid InfernoArgs: %w", err)
		}
		return o, nil
	default:
		return nil, fmt.Errorf("invalid InfernoArgs: got a %T, want InfernoArgs", obj)
	}
}
