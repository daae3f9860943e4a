package forecast

import "math"

const (
	// seasonWeight is what a new day weighs in the daily season, and a new week in the weekly one.
	seasonWeight = 0.3
	// seasonFound is the share of the variance that a season must explain one period ahead before it is believed; seasonLost is where it
	// is given up again.
	seasonFound, seasonLost = 0.25, 0.1
	// strengthMemory is in periods: what was explained is forgotten that fast.
	strengthMemory = 3
)

// seasons are the deviations from the daily mean by time of day, and what remains by time of week; each is zero until it was found in the
// data: until the profile of the past predicts a good part of the variance of what follows.
type seasons struct {
	perDay    int
	day, week season
}

func newSeasons(perDay int) *seasons {
	return &seasons{perDay: perDay, day: newSeason(perDay), week: newSeason(7 * perDay)}
}

func (s *seasons) at(t int) float64 { return s.day.at(t) + s.week.at(t) }

// close learns from the newest window. The daily mean is that of the day before it.
func (s *seasons) close(x *series) {
	t := x.newest()
	mean, known := x.mean(t+1-s.perDay, t+1)
	if !known || !x.accepted[t] || t+1 < s.perDay {
		return
	}
	d := x.logs[t] - mean
	s.week.learn(t, d-s.day.profile[t%s.perDay])
	s.day.learn(t, d)
}

type season struct {
	profile []float64
	visited []bool
	// Faded sums of squares, of what was to be explained and of what was not, and their number.
	total, rest, count float64
	found              bool
}

func newSeason(period int) season {
	return season{profile: make([]float64, period), visited: make([]bool, period)}
}

func (s *season) at(t int) float64 {
	if !s.found {
		return 0
	}
	return s.profile[t%len(s.profile)]
}

func (s *season) learn(t int, deviation float64) {
	period := len(s.profile)
	i := t % period
	if !s.visited[i] {
		s.visited[i], s.profile[i] = true, deviation
		return
	}
	keep := 1 - 1/float64(strengthMemory*period)
	miss := deviation - s.profile[i]
	s.total, s.rest, s.count = keep*s.total+deviation*deviation, keep*s.rest+miss*miss, keep*s.count+1
	s.profile[i] += seasonWeight * miss
	if s.count < float64(period)/2 {
		return
	}
	switch explained := 1 - s.rest/math.Max(s.total, math.SmallestNonzeroFloat64); {
	case explained >= seasonFound:
		s.found = true
	case explained < seasonLost:
		s.found = false
	}
}
