package queueing

import "github.com/llm-inferno/inferno/optimizer/plug"

// Models are the registered queueing models.
func Models() plug.Registry[Model] {
	return plug.NewRegistry("queueing model",
		constant(ModelStateDependent, StateDependent{}),
		constant(ModelContinuousBatching, ContinuousBatching{}),
		constant(ModelBound, Bound{}),
	)
}

// constant is a model without options.
func constant(name string, m Model) plug.Entry[Model] {
	return plug.Of(name, func() plug.NoOptions { return plug.NoOptions{} }, func(plug.NoOptions) (Model, error) { return m, nil })
}
