// Package promql tests the queries of optimizer/observe in Prometheus' own engine, in this process, against pages of metrics of several
// versions of each inference engine. A benchmark asks the real Prometheus. It is a module of its own, so that nobody who builds inferno builds Prometheus.
package promql
