package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"

	"github.com/llm-inferno/inferno/optimizer/localcluster/fleet"
)

// writeResults prints the summary and writes the series and the picture.
func writeResults(dir string, w *watcher, report fleet.Report, out io.Writer) error {
	w.summary(report, out)
	requests, replicas, picture := filepath.Join(dir, "requests.csv"), filepath.Join(dir, "replicas.csv"), filepath.Join(dir, "demo.png")
	err := errors.Join(
		writeFile(requests, report.WriteCSV),
		writeFile(replicas, w.writeCSV),
		drawPicture(w, report, picture),
	)
	fmt.Fprintf(out, "\npicture: %s\nwhat clients saw, per second: %s\nreplicas, plans and cost, per second: %s\n", picture, requests, replicas)
	return err
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// summary of the run, for people.
func (w *watcher) summary(report fleet.Report, out io.Writer) {
	fmt.Fprintln(out)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SERVER\tREQUESTS\tTTFT met\tITL met\tBOTH met\tTTFT P50/P99 ms\tITL P50/P99 ms\tCHANGES\tCOST ¢")
	total := 0.0
	for _, s := range w.scenario.servers {
		r := report.Servers[namespace+"/"+s.Name].Total
		cost := w.cost(s.Name)
		total += cost
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%.0f / %.0f\t%.0f / %.0f\t%d\t%.1f\n", s.Name, r.Arrivals,
			share(r.MetTTFT, r.Completions), share(r.MetITL, r.Completions), share(r.MetBoth, r.Completions),
			1e3*r.TTFT.P50, 1e3*r.TTFT.P99, 1e3*r.ITL.P50, 1e3*r.ITL.P99, w.changes[s.Name], cost)
	}
	t.Flush()
	fmt.Fprintf(out, "\ncost of ready replicas %.1f ¢ in %.0f s\n", total, w.samples[len(w.samples)-1].seconds)
}

func share(part, whole int) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

// cost of the ready pods of a server over the run, in cents.
func (w *watcher) cost(server string) float64 {
	const secondsPerHour = 3600
	sum := 0.0
	for i := 1; i < len(w.samples); i++ {
		sum += w.samples[i-1].servers[server].cost * (w.samples[i].seconds - w.samples[i-1].seconds) / secondsPerHour
	}
	return sum
}

// writeCSV writes what the watcher saw, one line for each server, accelerator and second.
func (w *watcher) writeCSV(out io.Writer) error {
	c := csv.NewWriter(out)
	c.Write([]string{"seconds", "server", "accelerator", "ready", "planned", "surge", "observed_requests_per_s", "max_batch", "cost_cents_per_hour"})
	for _, s := range w.samples {
		for _, server := range w.scenario.servers {
			one := s.servers[server.Name]
			for _, a := range chipNames() {
				plan, batch, surge := 0, 0, 0
				if d := one.status.Desired; d != nil {
					surge = d.Surge
					for _, p := range d.Parts {
						if p.Accelerator == a {
							plan, batch = p.Replicas, p.MaxBatchSize
						}
					}
				}
				observed := ""
				if l := one.status.Load; l != nil {
					observed = strconv.FormatFloat(l.ArrivalRate/60, 'f', 3, 64)
				}
				c.Write([]string{
					strconv.FormatFloat(s.seconds, 'f', 1, 64), server.Name, a, strconv.Itoa(one.placement[a]), strconv.Itoa(plan), strconv.Itoa(surge), observed,
					strconv.Itoa(batch), strconv.FormatFloat(w.scenario.costs[a]*float64(one.placement[a]), 'f', 2, 64),
				})
			}
		}
	}
	c.Flush()
	return c.Error()
}
