// Package serving imitates a model server of several replicas behind a gateway,
// in virtual time, and keeps the record of what its clients saw.
//
// The gateway spreads requests over the replicas. While there is none it holds
// them; when one goes away, what it had not finished starts over elsewhere. Both
// count as latency, because clients feel both. Replicas may also compute prompts
// for others, which make the tokens, and hand KV caches over to them. The record
// is the observed truth against which a planner is judged: it comes from the
// requests themselves, not from metrics.
package serving
