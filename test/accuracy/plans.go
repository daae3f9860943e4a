package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// task is a load for several replicas of a point that take turns, with targets for nine in ten requests: what one of them does under its load, and
// some more.
type task struct {
	*gridPoint
	rate    float64 // of all replicas
	targets sizing.Targets
}

const (
	taskLoad               = 6.0 // in loads of one replica
	taskTTFT, taskITL      = 1.5, 1.2
	taskRequests           = 2500 // a replica
	taskTolerance          = 0.02 // what a percentile of so many requests scatters by
	everyTask, taskMaximum = 4, 12
)

// tasks of every fourth point, of both halves of the grid.
func tasks(points []gridPoint, truths []truth) []task {
	var all []task
	for i := range points {
		if i%everyTask < 2 {
			p, t := &points[i], &truths[i]
			all = append(all, task{p, taskLoad * p.rate, sizing.Targets{TTFT: taskTTFT * t.ttft90, ITL: taskITL * t.request90, Percentile: 90}})
		}
	}
	return all
}

// plan is the least number of replicas whose sustainable rates add up to the load; 0 where none does.
func (t *task) plan() (int, error) {
	for n := 1; n <= taskMaximum; n++ {
		at := t.requests
		at.ArrivalCV /= math.Sqrt(float64(n)) // of what comes to a replica that takes its turn
		rate, _, err := sizing.RatePerReplica(queueing.ContinuousBatching{}, t.law, at, t.limits, t.targets)
		if errors.As(err, new(*sizing.Infeasible)) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if rate*float64(n) >= t.rate {
			return n, nil
		}
	}
	return 0, nil
}

// holds plays so many replicas that take turns.
func (t *task) holds(replicas int) (bool, error) {
	all := *t.gridPoint
	all.rate = t.rate
	requests := all.come(taskRequests*replicas, 11)
	first := uint64(len(requests) / 4)
	var ttft, itl []float64
	for k := range replicas {
		engine, err := newEngine(t.law, t.limits, t.requests.PrefixHitRate, simulation.Hooks{Completed: func(c simulation.Completion) {
			if c.ID < first {
				return
			}
			ttft = append(ttft, c.TTFT())
			if v, ok := c.ITL(); ok {
				itl = append(itl, v)
			}
		}})
		if err != nil {
			return false, err
		}
		for i := k; i < len(requests); i += replicas {
			engine.Advance(requests[i].ArrivedAt, nil)
			if err := engine.Submit(requests[i].ArrivedAt, requests[i]); err != nil {
				return false, err
			}
		}
		engine.Advance(math.Inf(1), nil)
	}
	slices.Sort(ttft)
	slices.Sort(itl)
	most := 1 + taskTolerance
	return quantile(ttft, 0.9) <= most*t.targets.TTFT && quantile(itl, 0.9) <= most*t.targets.ITL, nil
}

// least is the smallest number of replicas that holds.
func (t *task) least() (int, error) {
	n := int(taskLoad) - 1
	ok, err := t.holds(n)
	step := 1
	if ok {
		step = -1
	}
	for err == nil && n+step >= 1 && n+step <= taskMaximum {
		var next bool
		if next, err = t.holds(n + step); next != ok {
			break
		}
		n += step
	}
	if !ok {
		n++
	}
	return n, err
}

// playTasks finds the least numbers of replicas in simulated engines, and writes them.
func playTasks(name string, all []task) error {
	least, errs := make([]int, len(all)), make([]error, len(all))
	parallel(len(all), func(i int) { least[i], errs[i] = all[i].least() })
	if err := errors.Join(errs...); err != nil {
		return err
	}
	rows := [][]string{{"point", "request_rate", "ttft_p90_ms", "request_itl_p90_ms", "least_replicas"}}
	for i, t := range all {
		text := func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
		rows = append(rows, []string{strconv.Itoa(t.index), text(t.rate), text(1e3 * t.targets.TTFT), text(1e3 * t.targets.ITL), strconv.Itoa(least[i])})
	}
	return writeRows(name, rows)
}

// readLeast reads the least numbers of replicas of the tasks.
func readLeast(name string, all []task) ([]int, error) {
	rows, err := readRows(name, len(all))
	if err != nil {
		return nil, err
	}
	least := make([]int, len(all))
	for i, row := range rows[1:] {
		if least[i], err = strconv.Atoi(row[4]); err != nil {
			return nil, fmt.Errorf("%s, line %d: least_replicas: %w", name, i+2, err)
		}
	}
	return least, nil
}
