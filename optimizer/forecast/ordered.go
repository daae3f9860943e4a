package forecast

import (
	"math"
	"slices"
)

// ordered keeps the values of a moving window in order of size, so that ranks are read off.
type ordered struct {
	queue  []stamped
	sorted []float64
}

type stamped struct {
	at    int
	value float64
}

// add takes a value into the window; at must not decrease.
func (o *ordered) add(at int, value float64) {
	o.queue = append(o.queue, stamped{at, value})
	i, _ := slices.BinarySearch(o.sorted, value)
	o.sorted = slices.Insert(o.sorted, i, value)
}

// forget drops what was added before the given place.
func (o *ordered) forget(before int) {
	for len(o.queue) > 0 && o.queue[0].at < before {
		i, _ := slices.BinarySearch(o.sorted, o.queue[0].value)
		o.sorted = slices.Delete(o.sorted, i, i+1)
		o.queue = o.queue[1:]
	}
}

func (o *ordered) len() int { return len(o.sorted) }

// quantile is the value of rank ceil((n+1)·q): with exchangeable values the next one is at most this with probability at least q (split
// conformal prediction; Vovk, Gammerman and Shafer 2005, chapter 4), unless the rank lies beyond n and the largest value must do. There is
// at least one value.
func (o *ordered) quantile(q float64) float64 {
	n := len(o.sorted)
	rank := int(math.Ceil(float64(n+1) * q))
	return o.sorted[min(max(rank, 1), n)-1]
}

// spread is half the distance between the quartiles: for symmetric values the median of their distances from the centre.
func (o *ordered) spread() float64 { return (o.quantile(0.75) - o.quantile(0.25)) / 2 }

// sums answers sums over stretches of a series with missing values. The newest place can be set again and again before the next follows.
type sums struct {
	total []float64 // of the places before
	count []float64
}

// set puts a value, NaN where it is missing, at a place: the newest or the one after it.
func (s *sums) set(at int, value float64) {
	if len(s.total) == 0 {
		s.total, s.count = []float64{0}, []float64{0}
	}
	total, count := s.total[at], s.count[at]
	if !math.IsNaN(value) {
		total, count = total+value, count+1
	}
	s.total = append(s.total[:at+1], total)
	s.count = append(s.count[:at+1], count)
}

// over gives sum and number of the values at from, …, to−1; places outside the series are as missing.
func (s *sums) over(from, to int) (total, count float64) {
	from, to = max(from, 0), min(to, len(s.total)-1)
	if from >= to {
		return 0, 0
	}
	return s.total[to] - s.total[from], s.count[to] - s.count[from]
}

// mean of the values at from, …, to−1, and whether there is any.
func (s *sums) mean(from, to int) (float64, bool) {
	total, count := s.over(from, to)
	return total / count, count > 0
}
