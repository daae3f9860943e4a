package serving

import (
	"encoding/csv"
	"io"
	"maps"
	"slices"
	"strconv"
)

// WriteCSV writes the windows of several servers, one line for each server and
// window, servers by name. Times are in s. Latencies of a window in which no
// request completed are empty: there was nothing to measure. The last columns,
// replicas_<accelerator>, are there for every accelerator that any window has, or
// way to run the model on it, such as replicas_H100/prefill.
func WriteCSV(out io.Writer, reports map[string]Report) error {
	accelerators := acceleratorsOf(reports)
	header := []string{
		"seconds", "server", "arrivals", "input_tokens", "output_tokens", "completions", "retried", "rejected",
		"met_ttft", "met_itl", "met_both",
		"ttft_mean", "ttft_p50", "ttft_p90", "ttft_p99", "itl_mean", "itl_p50", "itl_p90", "itl_p99",
		"queued", "pending", "replicas",
	}
	for _, a := range accelerators {
		header = append(header, "replicas_"+a)
	}
	w := csv.NewWriter(out)
	if err := w.Write(header); err != nil {
		return err
	}
	for _, server := range slices.Sorted(maps.Keys(reports)) {
		for _, window := range reports[server].Windows {
			if err := w.Write(line(server, window, accelerators)); err != nil {
				return err
			}
		}
	}
	w.Flush()
	return w.Error()
}

func line(server string, w Window, accelerators []string) []string {
	fields := []string{strconv.FormatFloat(w.Start, 'f', -1, 64), server}
	whole := func(values ...int) {
		for _, v := range values {
			fields = append(fields, strconv.Itoa(v))
		}
	}
	whole(w.Arrivals, w.InputTokens, w.OutputTokens, w.Completions, w.Retried, w.Rejected, w.MetTTFT, w.MetITL, w.MetBoth)
	for _, s := range []Summary{w.TTFT, w.ITL} {
		if s.Count == 0 {
			fields = append(fields, "", "", "", "")
			continue
		}
		fields = append(fields, latency(s.Mean), latency(s.P50), latency(s.P90), latency(s.P99))
	}
	replicas := 0
	for _, n := range w.Replicas {
		replicas += n
	}
	whole(w.Queued, w.Pending, replicas)
	for _, a := range accelerators {
		whole(w.Replicas[a])
	}
	return fields
}

func latency(seconds float64) string { return strconv.FormatFloat(seconds, 'g', 6, 64) }

func acceleratorsOf(reports map[string]Report) []string {
	seen := map[string]bool{}
	for _, report := range reports {
		for _, w := range report.Windows {
			for a := range w.Replicas {
				seen[a] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}
