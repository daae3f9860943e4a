// Package simulation imitates model servers that batch continuously, one
// iteration at a time, in virtual time.
//
// An [Engine] is one replica. It follows the scheduler of vLLM (version 1 of
// its engine): every iteration takes all decoding sequences first, one token
// each, then fills what is left of the token budget with prompt tokens, in
// order of arrival; a prompt longer than what is left is computed in chunks.
// The KV cache is held in blocks; when it is full the youngest sequence gives
// its blocks back and is computed again later.
//
// How long an iteration takes is the truth of a simulation, a [StepTime]. It is
// deliberately no part of the planner's models, so that a planner tried here
// faces something it was not built from.
//
// The package is pure: no wall clock, no goroutine, no global state. Equal
// configurations, seeds and submissions give equal results, bit by bit.
//
// Units: seconds, tokens, bytes, floating point operations (FLOP).
package simulation
