package main

import (
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// mapLoad is the load up to which the map looks.
const mapLoad = 0.9

// gridErrors are the errors of a prediction at a point, as shares of what was played.
type gridErrors struct {
	*gridPoint
	truth
	of latencies
}

// judge predicts every point.
func judge(points []gridPoint, truths []truth) ([]gridErrors, error) {
	all := make([]gridErrors, len(points))
	for i := range points {
		p, t := &points[i], truths[i]
		replica, err := queueing.ContinuousBatching{}.Replica(p.law, p.requests, p.limits)
		if err != nil {
			return nil, err
		}
		q, err := replica.Open(p.rate)
		if err != nil {
			return nil, err
		}
		w := predicted(q)
		off := func(a, b float64) float64 { return math.Abs(a/b - 1) }
		all[i] = gridErrors{p, t, latencies{
			off(w.ttft, t.ttft), off(w.ttft90, t.ttft90), off(w.ttft99, t.ttft99), off(w.itl, t.itl), off(w.itl90, t.itl90), off(w.itl99, t.itl99),
			off(w.request90, t.request90), off(w.request99, t.request99),
		}}
	}
	return all, nil
}

// summary is the median and the 90th percentile of errors.
type summary struct {
	n         int
	itl       [2]float64
	ttft      [2]float64
	ttft90    [2]float64
	request99 [2]float64
}

func summarise(all []gridErrors, in func(*gridErrors) bool) (s summary) {
	of := func(pick func(*latencies) float64) (r [2]float64) {
		var v []float64
		for i := range all {
			if in(&all[i]) {
				v = append(v, pick(&all[i].of))
			}
		}
		if s.n = len(v); s.n > 0 {
			slices.Sort(v)
			r = [2]float64{quantile(v, 0.5), quantile(v, 0.9)}
		}
		return r
	}
	s.itl, s.ttft = of(func(l *latencies) float64 { return l.itl }), of(func(l *latencies) float64 { return l.ttft })
	s.ttft90, s.request99 = of(func(l *latencies) float64 { return l.ttft90 }), of(func(l *latencies) float64 { return l.request99 })
	return s
}

// judged are the points of one half up to the load of the map.
func judged(heldOut bool) func(*gridErrors) bool {
	return func(e *gridErrors) bool { return e.heldOut() == heldOut && e.load <= mapLoad }
}

// regions of the map: a name, and what lies in it.
func regions() []struct {
	name string
	in   func(*gridErrors) bool
} {
	type region = struct {
		name string
		in   func(*gridErrors) bool
	}
	heldOut := judged(true)
	var all []region
	add := func(name string, in func(*gridErrors) bool) {
		all = append(all, region{name, func(e *gridErrors) bool { return heldOut(e) && in(e) }})
	}
	between := func(name string, bounds []float64, of func(*gridErrors) float64) {
		for i, low := range bounds[:len(bounds)-1] {
			high := bounds[i+1]
			text := fmt.Sprintf("%s %g to %g", name, low, high)
			if math.IsInf(high, 1) {
				text = fmt.Sprintf("%s from %g", name, low)
			}
			add(text, func(e *gridErrors) bool { v := of(e); return v >= low && v < high })
		}
	}
	inf := math.Inf(1)
	all = append(all, region{"half for tuning", judged(false)}, region{"**held-out half**", heldOut})
	between("load", []float64{0.2, 0.5, 0.7, mapLoad}, func(e *gridErrors) float64 { return e.load })
	all = append(all, region{"load above 0.9 (both halves)", func(e *gridErrors) bool { return e.load > mapLoad }})
	between("CV of arrivals", []float64{0, 1, 1.5, 3, inf}, func(e *gridErrors) float64 { return e.requests.ArrivalCV })
	between("time spent on prompts", []float64{0.05, 0.2, 0.4, 0.8}, func(e *gridErrors) float64 { return e.prompts() })
	between("prompt / token budget", []float64{0, 0.5, 2, 8, inf}, func(e *gridErrors) float64 {
		return e.requests.InputTokens * (1 - e.requests.PrefixHitRate) / float64(e.limits.MaxBatchedTokens)
	})
	between("batch", []float64{8, 32, 128, inf}, func(e *gridErrors) float64 { return float64(e.limits.MaxBatch) })
	between("CV of prompts", []float64{0, 0.7, 1.2, inf}, func(e *gridErrors) float64 { return e.requests.InputTokensSD / e.requests.InputTokens })
	between("CV of outputs", []float64{0, 0.7, 1.2, inf}, func(e *gridErrors) float64 { return e.requests.OutputTokensSD / e.requests.OutputTokens })
	add("prefix hits", func(e *gridErrors) bool { return e.requests.PrefixHitRate > 0 })
	add("tight KV cache", func(e *gridErrors) bool { return e.limits.KVTokens > 0 })
	add("one in a hundred requests is preempted, or more", func(e *gridErrors) bool { return e.preempted >= 0.01 })
	return all
}

// drawMap writes the map of errors, and how plans fare.
func drawMap(w io.Writer, folder string) error {
	points, err := grid(gridSize)
	if err != nil {
		return err
	}
	truths, err := readTruths(folder+"/grid.csv", points)
	if err != nil {
		return err
	}
	all, err := judge(points, truths)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\n### A grid of simulated engines with known laws, errors of the queueing model alone, up to load %g: median / 90th percentile\n\n"+
		"| where | points | ITL | TTFT | P90 TTFT | P99 ITL of requests |\n|---|---|---|---|---|---|\n", mapLoad)
	for _, r := range regions() {
		s := summarise(all, r.in)
		if s.n < 2 {
			continue
		}
		fmt.Fprintf(w, "| %s | %d |", r.name, s.n)
		for _, v := range [][2]float64{s.itl, s.ttft, s.ttft90, s.request99} {
			fmt.Fprintf(w, " %.1f / %.1f %% |", 100*v[0], 100*v[1])
		}
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "\n### Plans on that grid, replicas that take turns, played\n\n| half | plans | hold | replicas / least that hold, mean |\n|---|---|---|---|\n")
	work := tasks(points, truths)
	least, err := readLeast(folder+"/plans.csv", work)
	if err != nil {
		return err
	}
	for _, half := range []struct {
		name    string
		heldOut bool
	}{{"tuning", false}, {"held out", true}} {
		n, holds, ratio, err := judgePlans(work, least, half.heldOut)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "| %s | %d | %.0f %% | %.3f |\n", half.name, n, 100*float64(holds)/float64(n), ratio)
	}
	return nil
}

// judgePlans counts the plans of one half, how many of them hold, and the mean of their replicas over the least that hold.
func judgePlans(work []task, least []int, heldOut bool) (n, holds int, ratio float64, err error) {
	for i := range work {
		t := &work[i]
		if t.load > mapLoad || t.heldOut() != heldOut {
			continue
		}
		planned, err := t.plan()
		if err != nil {
			return 0, 0, 0, err
		}
		n++
		if planned >= least[i] {
			holds++
		}
		ratio += float64(planned) / float64(least[i])
	}
	return n, holds, ratio / float64(n), nil
}
