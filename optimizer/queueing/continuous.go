package queueing

// ContinuousBatching is a placeholder.
type ContinuousBatching struct{ StateDependent }

// ModelContinuousBatching is the registered name of [ContinuousBatching].
const ModelContinuousBatching = "continuous-batching"
