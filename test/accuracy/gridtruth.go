package main

import (
	"errors"
	"math"
	"runtime"
	"sync"
)

// truth is what simulated engines did at a point, and how far it scatters: the standard errors of the means of ITL and TTFT, as shares of them.
type truth struct {
	latencies
	itlScatter, ttftScatter float64
	preempted               float64 // preemptions per request
}

// gridRuns are the engines played for each point.
const gridRuns = 4

// play plays a point until enough requests have come: more where bursts make a run say less, and where a large batch is slow to fill.
func (p *gridPoint) play() (truth, error) {
	requests := int(4000*math.Max(1, p.requests.ArrivalCV)) + 20*p.limits.MaxBatch
	all := &played{intervals: map[float64]int{}}
	var itl, ttft []float64
	for seed := range uint64(gridRuns) {
		one := &played{intervals: map[float64]int{}}
		if err := one.play(p.law, p.limits, p.requests.PrefixHitRate, p.come(requests, seed)); err != nil {
			return truth{}, err
		}
		l := one.latencies()
		itl, ttft = append(itl, l.itl), append(ttft, l.ttft)
		all.add(one)
	}
	return truth{all.latencies(), scatter(itl), scatter(ttft), float64(all.preemptions) / float64(len(all.ttft))}, nil
}

// add the observations of another.
func (o *played) add(other *played) {
	for v, n := range other.intervals {
		o.intervals[v] += n
	}
	o.ttft, o.requestITL = append(o.ttft, other.ttft...), append(o.requestITL, other.requestITL...)
	o.preemptions += other.preemptions
}

// scatter is the standard error of the mean as a share of it.
func scatter(v []float64) float64 {
	m, s := mean(v), 0.0
	for _, x := range v {
		s += square(x - m)
	}
	n := float64(len(v))
	return math.Sqrt(s/(n-1)/n) / m
}

// playAll plays the points.
func playAll(points []gridPoint) ([]truth, error) {
	all, errs := make([]truth, len(points)), make([]error, len(points))
	parallel(len(points), func(i int) { all[i], errs[i] = points[i].play() })
	return all, errors.Join(errs...)
}

// parallel does so many things, as many at a time as there are processors.
func parallel(n int, do func(i int)) {
	var wait sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wait.Wait()
}
