package forecast

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
)

// Columns that samples are read from; others are ignored.
const (
	columnTime = "seconds"
	columnRate = "request_rate_per_s"
)

// maxFaults is how many faults are reported before reading stops.
// Tuned: faults; guard against a file that is wrong in every line
const maxFaults = 20

// ReadSamples reads samples from CSV with the columns seconds and request_rate_per_s, in ascending order of time. A rate that is empty or NaN
// is missing, and so is its sample. The error joins what is wrong with each line, up to a limit.
func ReadSamples(content io.Reader) ([]Sample, error) {
	records := csv.NewReader(content)
	records.ReuseRecord = true
	header, err := records.Read()
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	at, of := slices.Index(header, columnTime), slices.Index(header, columnRate)
	if at < 0 || of < 0 {
		return nil, fmt.Errorf("header: %q, want the columns %s and %s", header, columnTime, columnRate)
	}
	var (
		samples []Sample
		faults  []error
	)
	last := math.Inf(-1)
	for len(faults) < maxFaults {
		record, err := records.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			faults = append(faults, err)
			break
		}
		s, err := readSample(record[at], record[of], last)
		if err != nil {
			line, _ := records.FieldPos(0)
			faults = append(faults, fmt.Errorf("line %d: %w", line, err))
			continue
		}
		last = s.Time
		if !math.IsNaN(s.Rate) {
			samples = append(samples, s)
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return samples, nil
}

func readSample(at, of string, after float64) (Sample, error) {
	time, err := strconv.ParseFloat(at, 64)
	if err != nil || !(time > after && math.Abs(time) <= maxTime) {
		return Sample{}, fmt.Errorf("%s: %q, want a number above that of the line before and at most %g", columnTime, at, maxTime)
	}
	if of == "" {
		return Sample{Time: time, Rate: math.NaN()}, nil
	}
	rate, err := strconv.ParseFloat(of, 64)
	if err != nil || rate < 0 || rate > maxRate {
		return Sample{}, fmt.Errorf("%s: %q, want nothing or a number of 0 to %g", columnRate, of, maxRate)
	}
	return Sample{Time: time, Rate: rate}, nil
}
