// Package metricsadapter answers the Kubernetes metrics APIs from the plans that Servers carry in their status, so that a stock
// HorizontalPodAutoscaler follows the plan.
//
// Three rules make the answers safe to scale on:
//
//   - One value per target. The autoscaler adds up whatever an external metric returns, so a value is given at the level of detail that the
//     selector asks for and at no other: a selector by server gets the server's total, one that also names a variant or an accelerator gets
//     that part of it, and never a total together with its parts.
//   - Missing is an error. A server that is unknown, has no plan yet or has a plan past its staleAfterSeconds yields an error that says which
//     of these it is; the autoscaler then holds what it has. A zero is answered only where the plan says zero.
//   - Answers come from a watched cache, through an index, and carry the time at which a cycle last stood by the plan.
//
// This package is pure: it reads [Servers] and a clock. The API server around it is in the package apiserver below.
package metricsadapter
