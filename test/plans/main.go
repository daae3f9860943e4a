// Command plans measures the solvers on the sample systems, perturbed and at several capacities, and on generated fleets, and prints a table as
// Markdown. All runs are on one core; every plan is checked by package conformance, which shares no code with the solvers.
//
//	go run ./test/plans                the table
//	go run ./test/plans -servers 1000  fleets of at most so many servers
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/solver/conformance"
)

func main() {
	log.SetFlags(0)
	data := flag.String("data", "test/data", "folder of the data")
	servers := flag.Int("servers", 5000, "most servers of an instance")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	list, err := instancesOf(*data, *servers)
	if err != nil {
		log.Fatal(err)
	}
	if err := table(os.Stdout, list); err != nil {
		log.Fatal(err)
	}
}

// contenders are the solvers with their options, and the largest instance that they are asked: lp_solve takes its whole timeout beyond.
var contenders = []struct {
	name, options string
	most          int
}{
	{solver.ExactName, "", math.MaxInt},
	{solver.GreedyName, "", math.MaxInt},
	{solver.MILPName, `{"timeout": 2}`, 50},
}

func table(out io.Writer, list []instance) error {
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', tabwriter.Debug)
	fmt.Fprintln(w, "| instance\tservers\tsolver\tserved by priority\tvalue ¢/h\tproven gap\tms\tpasses\tMB\tequal runs\t")
	fmt.Fprintln(w, "|---\t--:\t---\t---\t--:\t--:\t--:\t--:\t--:\t--:\t")
	for _, in := range list {
		log.Printf("%s, %d servers", in.name, len(in.problem.Servers))
		pass := passTime(in.problem)
		for _, c := range contenders {
			if len(in.problem.Servers) > c.most {
				continue
			}
			s, err := solver.Solvers().New(c.name, []byte(c.options))
			if err != nil {
				log.Print(err)
				continue
			}
			m, err := measure(s, in.problem)
			if err != nil {
				return errors.Join(fmt.Errorf("%s, %s", in.name, c.name), err)
			}
			gap := "–"
			if !math.IsNaN(m.solution.Gap) {
				gap = fmt.Sprintf("%.3f %%", 100*m.solution.Gap)
			}
			standing := conformance.Of(in.problem, m.solution)
			fmt.Fprintf(w, "| %s\t%d\t%s\t%s\t%.0f\t%s\t%.2f\t%.0f\t%.0f\t%d of %d\t\n", in.name, len(in.problem.Servers), c.name, strings.Trim(fmt.Sprint(standing.Served), "[]"),
				standing.Value, gap, m.best.Seconds()*1e3, float64(m.best)/float64(pass), m.megabytes, m.equal, m.runs)
		}
	}
	return w.Flush()
}

// measurement of a solver on an instance.
type measurement struct {
	solution *solver.Solution
	// best time of the runs, of which equal gave the same bytes as the first.
	best        time.Duration
	runs, equal int
	// megabytes that the first run allocated in all: more than it ever held.
	megabytes float64
}

// slow is the time of a run from which on it is repeated once only.
const slow = time.Second

func measure(s solver.Solver, p *solver.Problem) (measurement, error) {
	m := measurement{best: math.MaxInt64}
	first := ""
	for m.runs < 5 && (m.best < slow || m.runs < 2) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		got, err := s.Solve(context.Background(), p)
		if err != nil {
			return m, err
		}
		m.best = min(m.best, time.Since(start))
		runtime.ReadMemStats(&after)
		text := fmt.Sprintf("%+v", *got)
		if m.runs++; m.solution == nil {
			first, m.solution, m.megabytes = text, got, float64(after.TotalAlloc-before.TotalAlloc)/1e6
			if err := conformance.Check(p, got); err != nil {
				return m, err
			}
		}
		if text == first {
			m.equal++
		}
	}
	return m, nil
}

// passTime is the time of one pass over all candidates that looks at value and units: the least of many.
func passTime(p *solver.Problem) time.Duration {
	times := make([]time.Duration, 50)
	total := 0.0
	for k := range times {
		start := time.Now()
		for i := range p.Servers {
			for j := range p.Servers[i].Candidates {
				c := &p.Servers[i].Candidates[j]
				total += c.Value + float64(c.Units())
			}
		}
		times[k] = time.Since(start)
	}
	if total < 0 {
		panic("values are not negative")
	}
	return max(1, slices.Min(times))
}
