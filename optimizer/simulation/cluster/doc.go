// Package cluster imitates what stands between a decision and the replicas that serve: the HorizontalPodAutoscaler's sync period, pods that
// take time to start and to drain, nodes that take time to come and that fail, and a Prometheus that sees counters only when it scrapes.
//
// Time is virtual and moves in ticks of a second; within a tick requests arrive and engines iterate at their exact times. Equal
// configurations and seeds give equal runs, bit by bit.
//
// Units: seconds, requests/second, tokens, cents/hour.
package cluster
