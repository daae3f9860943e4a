package control

import (
	"fmt"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/estimation"
)

// Pair is a model on an accelerator.
type Pair struct{ Model, Accelerator string }

// Observations that a snapshot teaches, in the order of the servers. Replicas of a server that differ are told apart; each pair learns from
// all servers that run it. What was measured of a server as a whole teaches nothing: it may hold replicas that came within the window.
func Observations(snap *Snapshot) map[Pair][]estimation.Observation {
	seen := map[Pair][]estimation.Observation{}
	for i := range snap.System.Servers.Spec {
		s := &snap.System.Servers.Spec[i]
		if s.Observation == nil {
			continue
		}
		for j := range s.Observation.Groups {
			g := &s.Observation.Groups[j]
			pair := Pair{s.Model, g.Accelerator}
			seen[pair] = append(seen[pair], ofGroup(s, g))
		}
	}
	return seen
}

// ofGroup is what was measured of replicas that are alike, and were there for the whole window.
func ofGroup(s *v1alpha1.ServerEntry, g *v1alpha1.ObservedGroup) estimation.Observation {
	e := estimation.Unmeasured(fmt.Sprintf("%s %d/%d", s.Name, g.MaxBatchSize, g.MaxBatchedTokens))
	e.Time = float64(s.Observation.Time.UnixMilli())/1e3 - g.AgeSeconds
	e.Window, e.Replicas, e.Settled = g.WindowSeconds, float64(g.Replicas), true
	e.MaxBatch, e.MaxBatchedTokens = g.MaxBatchSize, g.MaxBatchedTokens
	set := func(to *float64, v *float64) {
		if v != nil {
			*to = *v
		}
	}
	rate := func(to *float64, perMinute *float64) {
		if perMinute != nil {
			*to = v1alpha1.PerSecond(*perMinute)
		}
	}
	set(&e.Running, g.Running)
	set(&e.RunningSD, g.RunningSD)
	set(&e.Waiting, g.Waiting)
	rate(&e.ArrivalRate, g.Admissions)
	rate(&e.Admissions, g.Admissions)
	rate(&e.Throughput, g.Throughput)
	rate(&e.Preemptions, g.Preemptions)
	// The prompts that the window's latencies are of are those that were computed in it. Others are those of requests that finished.
	set(&e.InputTokens, g.InputTokens)
	set(&e.InputTokens, g.AdmittedTokens)
	set(&e.OutputTokens, g.OutputTokens)
	set(&e.PrefixHitRate, g.PrefixHitRate)
	set(&e.Requests, g.Requests)
	latency := func(mean, p90 *float64, l *v1alpha1.ObservedLatency) {
		if l == nil {
			return
		}
		*mean = v1alpha1.Seconds(l.Mean)
		if l.P90 != nil {
			*p90 = v1alpha1.Seconds(*l.P90)
		}
	}
	latency(&e.TTFT, &e.TTFTP90, g.TTFT)
	latency(&e.ITL, &e.ITLP90, g.ITL)
	return e
}
