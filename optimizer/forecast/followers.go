package forecast

import (
	"math"
	"slices"
	"sync"
)

// Followers forecast many servers from their histories and remember how far they have read, so that a cycle costs microseconds per server
// instead of the milliseconds of reading weeks again. They are a memo and no state: the answer is the one that the forecaster gives for the
// history, whatever was asked before. They may be used concurrently.
type Followers struct {
	forecaster Forecaster
	horizon    float64

	mutex sync.Mutex
	by    map[string]*follower
}

// NewFollowers makes followers for a forecaster and a horizon in seconds.
func NewFollowers(f Forecaster, horizon float64) *Followers {
	return &Followers{forecaster: f, horizon: horizon, by: map[string]*follower{}}
}

// Forecast gives the forecast for the history of the named server, of which there is at least one sample. The history must not be changed
// afterwards; Remember does not.
func (f *Followers) Forecast(name string, history []Sample) Prediction {
	f.mutex.Lock()
	known := f.by[name]
	if known == nil {
		known = new(follower)
		f.by[name] = known
	}
	f.mutex.Unlock()
	return known.forecast(f.forecaster, f.horizon, history)
}

// Keep forgets all servers but those named.
func (f *Followers) Keep(names []string) {
	kept := map[string]bool{}
	for _, n := range names {
		kept[n] = true
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for n := range f.by {
		if !kept[n] {
			delete(f.by, n)
		}
	}
}

// follower is a tracker that has observed a history.
type follower struct {
	mutex   sync.Mutex
	tracker Tracker
	history []Sample
}

func (f *follower) forecast(by Forecaster, horizon float64, history []Sample) Prediction {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	next, continues := f.news(history)
	if !continues {
		f.tracker, next = by.Track(horizon), history
	}
	for _, s := range next {
		f.tracker.Observe(s)
	}
	f.history = history
	return f.tracker.Forecast()
}

// news are the samples of a history that were not observed yet. It is false where the history is not what was observed and more.
func (f *follower) news(history []Sample) ([]Sample, bool) {
	n := len(f.history)
	if f.tracker == nil || n == 0 || len(history) < n || !slices.Equal(history[:n-1], f.history[:n-1]) {
		return nil, false
	}
	was, is := f.history[n-1], history[n-1]
	if was == is {
		return history[n:], true
	}
	// The last sample is now the mean of itself and others of its window: what came is the difference.
	count := is.weight() - was.weight()
	if count < 1 || is.Time <= was.Time {
		return nil, false
	}
	rate := (is.Rate*is.weight() - was.Rate*was.weight()) / count
	return append([]Sample{{Time: is.Time, Rate: math.Max(rate, 0), Count: int(count)}}, history[n:]...), true
}
