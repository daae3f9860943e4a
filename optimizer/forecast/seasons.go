package forecast

import "math"

const (
	// seasonWeight is what a new day weighs in the daily season, and a new week in the weekly one.
	seasonWeight = 0.3
	// seasonFound is the share of the variance that a season must explain one period ahead before it is believed; seasonLost is where it
	// is given up again.
	seasonFound, seasonLost = 0.25, 0.1
	// wholePeriod is the share of a day's or a week's windows that its mean needs.
	wholePeriod = 0.9
	// strengthMemory is in periods: what was explained is forgotten that fast.
	strengthMemory = 3
)

// seasons are the deviations of logarithms from the mean of the day before by time of day, and what remains of those from the mean of the
// week before by time of week; each is zero until it was found in the data: until the profile of the past predicts a good part of the
// variance of what follows.
type seasons struct {
	perDay    int
	day, week season
}

func newSeasons(perDay int) *seasons {
	return &seasons{perDay: perDay, day: newSeason(perDay), week: newSeason(7 * perDay)}
}

func (s *seasons) at(t int) float64 { return s.day.at(t) + s.week.at(t) }

// close learns from the newest window.
func (s *seasons) close(x *series) {
	t := x.newest()
	if !x.accepted[t] {
		return
	}
	if mean, known := whole(x, s.perDay); known {
		s.day.learn(t, x.sober()-mean, s.perDay)
	}
	if mean, known := whole(x, 7*s.perDay); known {
		s.week.learn(t, x.sober()-mean-s.day.profile[t%s.perDay], s.perDay)
	}
}

// whole is the mean of the last windows, if nearly all of them are there.
func whole(x *series, windows int) (float64, bool) {
	t := x.newest()
	sum, count := x.sobered.over(t+1-windows, t+1)
	return sum / count, count >= wholePeriod*float64(windows)
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

// learn takes in a deviation; whether there is a season is not said before that many were predicted.
func (s *season) learn(t int, deviation float64, needed int) {
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
	if s.count < float64(needed)/2 {
		return
	}
	switch explained := 1 - s.rest/math.Max(s.total, math.SmallestNonzeroFloat64); {
	case explained >= seasonFound:
		s.found = true
	case explained < seasonLost:
		s.found = false
	}
}
