package main

import (
	"errors"
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

const simulatedData = "../data/simulated"

// played is the grid with what the simulator did there.
func playedGrid(t *testing.T) ([]gridPoint, []truth) {
	t.Helper()
	points, err := grid(gridSize)
	if err != nil {
		t.Fatal(err)
	}
	truths, err := readTruths(simulatedData+"/grid.csv", points)
	if err != nil {
		t.Fatal(err)
	}
	return points, truths
}

// TestModelHoldsOverTheGrid judges the queueing model by the half of the grid that it was not tuned on, up to load 0.9. Medians have the bounds that
// planning asks for. The 90th percentiles are those of few places under bursts, where single runs scatter by a fifth; see the map in docs/models.md.
func TestModelHoldsOverTheGrid(t *testing.T) {
	points, truths := playedGrid(t)
	all, err := judge(points, truths)
	if err != nil {
		t.Fatal(err)
	}
	s := summarise(all, judged(true))
	for _, m := range []struct {
		name               string
		errors             [2]float64
		median, percentile float64
	}{{"ITL", s.itl, 0.05, 0.18}, {"TTFT", s.ttft, 0.08, 0.3}, {"P90 TTFT", s.ttft90, 0.1, 0.35}, {"P99 ITL of requests", s.request99, 0.1, 0.4}} {
		t.Logf("%s: median error %.3f, 90th percentile %.3f of %d points", m.name, m.errors[0], m.errors[1], s.n)
		if m.errors[0] > m.median || m.errors[1] > m.percentile {
			t.Errorf("%s: median error %.3f, 90th percentile %.3f, want at most %v and %v", m.name, m.errors[0], m.errors[1], m.median, m.percentile)
		}
	}
}

// TestPlansHold compares plans over both halves with the least replicas that hold when they are played. Those that do not hold miss a target by a few
// percent, most of them where wide prompts or full caches make requests wait.
func TestPlansHold(t *testing.T) {
	points, truths := playedGrid(t)
	work := tasks(points, truths)
	least, err := readLeast(simulatedData+"/plans.csv", work)
	if err != nil {
		t.Fatal(err)
	}
	plans, held, ratio := 0, 0, 0.0
	for _, half := range []bool{false, true} {
		n, holds, r, err := judgePlans(work, least, half)
		if err != nil {
			t.Fatal(err)
		}
		plans, held, ratio = plans+n, held+holds, ratio+r*float64(n)
	}
	share, mean := float64(held)/float64(plans), ratio/float64(plans)
	t.Logf("%d plans, %.3f hold, %.3f times the least replicas", plans, share, mean)
	if share < 0.95 || mean > 1.06 {
		t.Errorf("of %d plans %.3f hold, with %.3f times the least replicas; want at least 0.95 and at most 1.06", plans, share, mean)
	}
}

// TestTablesAreWhatIsPlayed plays a few points again that take little time: the tables must not be older than the simulator.
func TestTablesAreWhatIsPlayed(t *testing.T) {
	points, truths := playedGrid(t)
	for _, i := range []int{14, 26} {
		got, err := points[i].play()
		if err != nil {
			t.Fatal(err)
		}
		a, _ := got.measures()
		b, _ := truths[i].measures()
		for k := range a {
			if math.Abs(*a[k]-*b[k]) > 1e-4*math.Abs(*b[k]) {
				t.Errorf("point %d, %s: %v played, %v in the table", i, gridColumns[firstTruth+k], *a[k], *b[k])
			}
		}
	}
	work := tasks(points, truths)
	least, err := readLeast(simulatedData+"/plans.csv", work)
	if err != nil {
		t.Fatal(err)
	}
	for i := range work {
		if work[i].index == 204 {
			if n, err := work[i].least(); err != nil || n != least[i] {
				t.Errorf("point 204: at least %d replicas played, %d in the table, %v", n, least[i], err)
			}
		}
	}
}

// TestEngineIsANaiveOne plays some of the grid, dear prompts among it, in thirty lines that know nothing of the simulator: the same requests must get
// their tokens at the same times.
func TestEngineIsANaiveOne(t *testing.T) {
	points, err := grid(60)
	if err != nil {
		t.Fatal(err)
	}
	played, dear := 0, 0
	for i := range points {
		p := &points[i]
		if p.limits.KVTokens > 0 { // where memory is short, engines preempt, which naive ones do not
			continue
		}
		played++
		if p.prompts() > 0.4 {
			dear++
		}
		requests := p.come(400, 3)
		var got []simulation.Completion
		engine, err := newEngine(p.law, p.limits, p.requests.PrefixHitRate, simulation.Hooks{Completed: func(c simulation.Completion) { got = append(got, c) }})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range requests {
			engine.Advance(r.ArrivedAt, nil)
			if err := engine.Submit(r.ArrivedAt, r); err != nil {
				t.Fatal(err)
			}
		}
		engine.Advance(math.Inf(1), nil)
		first, last := naive(p, requests)
		for _, c := range got {
			if math.Abs(c.FirstTokenAt-first[c.ID]) > 1e-9*first[c.ID] || math.Abs(c.FinishedAt-last[c.ID]) > 1e-9*last[c.ID] {
				t.Fatalf("point %d, request %d: tokens from %v to %v s, want %v to %v", p.index, c.ID, c.FirstTokenAt, c.FinishedAt, first[c.ID], last[c.ID])
			}
		}
		if len(got) != len(requests) {
			t.Errorf("point %d: %d of %d requests completed", p.index, len(got), len(requests))
		}
	}
	if played < 20 || dear < 3 {
		t.Errorf("%d points played, %d with dear prompts: too few to say anything", played, dear)
	}
}

// naive are the times of first and last tokens: every iteration decodes all that have their prompt, and computes prompts in order of arrival with
// what the budget leaves.
func naive(p *gridPoint, requests []simulation.Request) (first, last []float64) {
	type request struct{ computed, tokens int }
	states := make([]request, len(requests))
	first, last = make([]float64, len(requests)), make([]float64, len(requests))
	var running []int
	now, next := 0.0, 0
	for next < len(requests) || len(running) > 0 {
		if len(running) == 0 {
			now = max(now, requests[next].ArrivedAt)
		}
		for next < len(requests) && requests[next].ArrivedAt <= now && len(running) < p.limits.MaxBatch {
			hit := int(p.requests.PrefixHitRate * float64(requests[next].InputTokens))
			states[next].computed = hit - hit%blockSize
			running, next = append(running, next), next+1
		}
		var b queueing.Batch
		left := p.limits.MaxBatchedTokens
		for _, i := range running {
			if s := states[i]; s.tokens > 0 {
				b.Decodes, b.DecodeContext, left = b.Decodes+1, b.DecodeContext+float64(requests[i].InputTokens+s.tokens), left-1
			}
		}
		var yields []int
		for _, i := range running {
			s := &states[i]
			if chunk := min(left, requests[i].InputTokens-s.computed); s.tokens == 0 && chunk > 0 {
				b.Prefills, b.PrefillTokens, b.PrefillContext = b.Prefills+1, b.PrefillTokens+float64(chunk), b.PrefillContext+float64(s.computed+chunk)
				b.PrefillPairs += float64(chunk) * (float64(s.computed) + float64(chunk+1)/2)
				s.computed, left = s.computed+chunk, left-chunk
			}
			if s.computed == requests[i].InputTokens {
				yields = append(yields, i)
			}
		}
		now += p.law.IterationTime(b)
		var stay []int
		for _, i := range yields {
			if states[i].tokens++; states[i].tokens == 1 {
				first[i] = now
			}
			last[i] = now
		}
		for _, i := range running {
			if states[i].tokens < requests[i].OutputTokens {
				stay = append(stay, i)
			}
		}
		running = stay
	}
	return first, last
}

// TestChosenLimitsAreNearTheBest compares the choice of batch and token budget with the best of a fine grid of both, by the queueing model itself, for
// the tasks of some points: it takes at most 3 % more replicas. The smallest batch within 2 % is what sizing is to choose.
func TestChosenLimitsAreNearTheBest(t *testing.T) {
	points, truths := playedGrid(t)
	work := tasks(points, truths)
	sizer, fine := sizing.Sizer{Model: queueing.ContinuousBatching{}}, sizing.Sizer{Model: queueing.ContinuousBatching{}}
	for i := 1; i < len(work); i += 7 {
		x := &work[i]
		choice, err := sizer.Choose(x.law, x.requests, x.limits, x.targets, sizing.Free{Batch: true, Budget: true})
		if errors.As(err, new(*sizing.Infeasible)) {
			choice.Rate = 0
		} else if err != nil {
			t.Fatal(err)
		}
		best, at := 0.0, x.limits
		for budget := float64(x.limits.MaxBatchedTokens); budget >= 64; budget /= 1.15 {
			for batch := float64(x.limits.MaxBatch); batch >= 1; batch /= 1.3 {
				l := x.limits
				l.MaxBatchedTokens, l.MaxBatch = int(budget), int(batch)
				rate, _, err := fine.RatePerReplica(x.law, x.requests, l, x.targets)
				if err == nil && rate > best {
					best, at = rate, l
				}
			}
		}
		t.Logf("point %d: %.4g requests/s chosen at %d, %d; best %.4g at %d, %d", x.index, choice.Rate, choice.Limits.MaxBatch, choice.Limits.MaxBatchedTokens,
			best, at.MaxBatch, at.MaxBatchedTokens)
		if choice.Rate < best/1.03 {
			t.Errorf("point %d: %.4g requests/s chosen at batch %d and budget %d, %.4g at %d and %d", x.index, choice.Rate, choice.Limits.MaxBatch,
				choice.Limits.MaxBatchedTokens, best, at.MaxBatch, at.MaxBatchedTokens)
		}
	}
}
