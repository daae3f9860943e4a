package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// gridColumns are those of the table of what was played; latencies are in milliseconds.
var gridColumns = []string{
	"point", "law", "input_tokens", "output_tokens", "input_tokens_sd", "output_tokens_sd", "interarrival_cv", "prefix_hit_rate", "max_num_seqs",
	"max_num_batched_tokens", "kv_tokens", "load", "prompts", "request_rate", "ttft_ms", "ttft_p90_ms", "ttft_p99_ms", "itl_ms", "itl_p90_ms",
	"itl_p99_ms", "request_itl_p90_ms", "request_itl_p99_ms", "itl_scatter", "ttft_scatter", "preempted",
}

// firstTruth is the first of the columns that were played.
const firstTruth = 14

// measures are pointers to what was played, in the order of the columns; scale is what they are multiplied by there.
func (t *truth) measures() (of []*float64, scale []float64) {
	l := &t.latencies
	of = []*float64{&l.ttft, &l.ttft90, &l.ttft99, &l.itl, &l.itl90, &l.itl99, &l.request90, &l.request99, &t.itlScatter, &t.ttftScatter, &t.preempted}
	scale = []float64{1e3, 1e3, 1e3, 1e3, 1e3, 1e3, 1e3, 1e3, 1, 1, 1}
	return of, scale
}

// writeTruths writes a row for each point.
func writeTruths(name string, points []gridPoint, truths []truth) error {
	rows := [][]string{gridColumns}
	for i := range points {
		p := &points[i]
		law := "roofline"
		if _, ok := p.law.(queueing.Work); ok {
			law = "work"
		}
		row := []string{strconv.Itoa(p.index), law}
		for _, v := range []float64{
			p.requests.InputTokens, p.requests.OutputTokens, p.requests.InputTokensSD, p.requests.OutputTokensSD, p.requests.ArrivalCV,
			p.requests.PrefixHitRate, float64(p.limits.MaxBatch), float64(p.limits.MaxBatchedTokens), float64(p.limits.KVTokens), p.load, p.prompts(), p.rate,
		} {
			row = append(row, strconv.FormatFloat(v, 'g', 6, 64))
		}
		of, scale := truths[i].measures()
		for k := range of {
			row = append(row, strconv.FormatFloat(*of[k]*scale[k], 'g', 6, 64))
		}
		rows = append(rows, row)
	}
	return writeRows(name, rows)
}

func writeRows(name string, rows [][]string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := csv.NewWriter(f).WriteAll(rows); err != nil {
		return err
	}
	return f.Close()
}

// readRows reads as many rows as there are, and their header.
func readRows(name string, rows int) ([][]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(all) != rows+1 {
		return nil, fmt.Errorf("%s: %d rows, the grid has %d: play it again (make accuracy-grid)", name, len(all)-1, rows)
	}
	return all, nil
}

// readTruths reads what was played at the points.
func readTruths(name string, points []gridPoint) ([]truth, error) {
	rows, err := readRows(name, len(points))
	if err != nil {
		return nil, err
	}
	truths := make([]truth, len(points))
	for i, row := range rows[1:] {
		of, scale := truths[i].measures()
		for k := range of {
			v, err := strconv.ParseFloat(row[firstTruth+k], 64)
			if err != nil {
				return nil, fmt.Errorf("%s, line %d: %s: %w", name, i+2, gridColumns[firstTruth+k], err)
			}
			*of[k] = v / scale[k]
		}
	}
	return truths, nil
}

// playGrid plays the grid and the plans on it, and writes what came of them. Where the grid is already there, what it says is taken.
func playGrid(folder string) error {
	points, err := grid(gridSize)
	if err != nil {
		return err
	}
	truths, err := readTruths(folder+"/grid.csv", points)
	if errors.Is(err, os.ErrNotExist) {
		if truths, err = playAll(points); err == nil {
			err = writeTruths(folder+"/grid.csv", points, truths)
		}
	}
	if err != nil {
		return err
	}
	return playTasks(folder+"/plans.csv", tasks(points, truths))
}
