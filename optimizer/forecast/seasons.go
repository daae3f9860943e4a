package forecast

import "math"

const (
	// seasonWeight is what a new day weighs in the daily season, and a new week in the weekly one.
	// Tuned: share; measured by Holt–Winters on office hours, 0.59 at half an hour and 0.28 at 2 h;
	// at half: 0.58, 0.27, and twice the days to follow a change; at twice: 0.63, 0.29
	seasonWeight = 0.3
	// seasonShare of the variance is what a season must explain one period ahead to be believed.
	// Tuned: share; measured by Holt–Winters on office hours, 0.59 at half an hour and 0.28 at 2 h;
	// at half: no difference; at twice: 0.63, 0.33
	seasonShare = 0.25
	// wholePeriod is the share of a day's or a week's hours that its mean needs.
	// Tuned: share; measured by Holt–Winters on office hours, 0.59 at half an hour and 0.28 at 2 h;
	// at half: 0.59, 0.26; at twice: no difference with 0.95, half as far from 1
	wholePeriod = 0.9
	// strengthMemory is in periods: what was explained is forgotten that fast.
	// Tuned: periods; measured by Holt–Winters on office hours, 0.59 at half an hour and 0.28 at 2 h;
	// at half: 0.63, 0.33; at twice: no difference
	strengthMemory = 3
)

// seasons are the deviations of logarithms from the mean of the day before by time of day, and what remains of those from the mean of the
// week before by time of week, by hours; each is zero until it was found in the data: until the profile of the past predicts a good part of the
// variance of what follows.
type seasons struct {
	day, week season
}

func newSeasons() *seasons {
	return &seasons{day: newSeason(hours), week: newSeason(7 * hours)}
}

// at a place among the middles of hours.
func (s *seasons) at(place float64) float64 { return s.day.at(place) + s.week.at(place) }

// close learns from the hour that ends with a window, if one does.
func (s *seasons) close(v *view) {
	t := v.hourOf(v.at)
	if v.hourOf(v.at+1) == t {
		return
	}
	sum, count := v.sum, v.count
	if v.accepted {
		sum, count = sum+v.sober(), count+1
	}
	if count == 0 {
		return
	}
	here := math.Round(sum/count*coarseGrain) / coarseGrain // as the others are remembered
	if mean, known := v.whole(here, hours); known {
		s.day.learn(int(t), here-mean)
	}
	if mean, known := v.whole(here, 7*hours); known {
		s.week.learn(int(t), here-mean-s.day.profileAt(int(t)))
	}
}

// whole is the mean of the last hours, of which the newest is given, if nearly all of them are there.
func (s *series) whole(newest float64, period int) (float64, bool) {
	sum, count := newest, 1.0
	for _, x := range s.past[max(0, len(s.past)-period+1):] {
		if x != missing {
			sum, count = sum+float64(x)/coarseGrain, count+1
		}
	}
	return sum / count, count >= wholePeriod*float64(period)
}

type season struct {
	profile []int32
	// Faded sums of squares, of what was to be explained and of what was not, and their number.
	total, rest, count float64
}

func newSeason(period int) season {
	s := season{profile: make([]int32, period)}
	for i := range s.profile {
		s.profile[i] = missing
	}
	return s
}

func (s *season) slot(hour int) *int32 {
	n := len(s.profile)
	return &s.profile[(hour%n+n)%n]
}

func (s *season) profileAt(hour int) float64 {
	if x := *s.slot(hour); x != missing {
		return float64(x) / fineGrain
	}
	return 0
}

func (s *season) at(place float64) float64 {
	if !s.found() {
		return 0
	}
	low := math.Floor(place)
	a, b := s.profileAt(int(low)), s.profileAt(int(low)+1)
	return a + (place-low)*(b-a)
}

// learn takes in a deviation.
func (s *season) learn(hour int, deviation float64) {
	x := s.slot(hour)
	if *x == missing {
		*x = grain(deviation, fineGrain)
		return
	}
	keep := 1 - 1/float64(strengthMemory*len(s.profile))
	was := float64(*x) / fineGrain
	miss := deviation - was
	s.total, s.rest, s.count = keep*s.total+deviation*deviation, keep*s.rest+miss*miss, keep*s.count+1
	*x = grain(was+seasonWeight*miss, fineGrain)
}

// found tells whether there is a season, which is not said before half a day was predicted.
func (s *season) found() bool {
	return s.count >= hours/2 && s.total-s.rest >= seasonShare*s.total && s.total > 0
}

func (s *seasons) walk(c *codec) {
	for _, x := range []*season{&s.day, &s.week} {
		n := len(x.profile)
		c.curve(&x.profile, n)
		c.check(len(x.profile) == n)
		for _, sum := range []*float64{&x.total, &x.rest, &x.count} {
			c.number(sum)
			c.check(*sum >= 0)
		}
	}
}
