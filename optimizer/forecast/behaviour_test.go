package forecast_test

import (
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/forecast"
)

func follow(f forecast.Forecaster, horizon float64, samples []forecast.Sample) *tracker {
	return track(f, horizon, 0).observe(samples...)
}

// An outage is not load: while data are missing, and in the window after them that is counted in part, the forecast is for the load before.
func TestOutagesAreHeld(t *testing.T) {
	samples := daily(7, 1)
	for _, name := range []string{"adaptive", "holt", "holt-winters"} {
		k := follow(mustNew(t, name, ""), 600, samples)
		last := samples[len(samples)-1]
		before := k.forecast().Upper
		k.now = last.Time + 6*window
		if p := k.forecast(); math.Abs(p.Upper/before-1) > 0.5 {
			t.Errorf("%s: an hour without data: %v after %v", name, p.Upper, before)
		}
		k.observe(forecast.Sample{Time: last.Time + 7*window, Rate: last.Rate / 100})
		if p := k.forecast(); p.Upper < before/2 {
			t.Errorf("%s: the first window after missing ones: %v after %v", name, p.Upper, before)
		}
	}
}

// A load that stays low is the load, after half the horizon and at the latest after six hours.
func TestLastingDropsAreFollowed(t *testing.T) {
	samples := daily(7, 1)
	last := samples[len(samples)-1]
	k := follow(mustNew(t, "adaptive", ""), 1800, samples)
	for i := range 40 {
		k.observe(forecast.Sample{Time: last.Time + float64(i+1)*window, Rate: 1})
		switch p := k.forecast(); {
		case i == 0 && p.Upper < 20:
			t.Errorf("followed at once: %v", p.Upper)
		case i == 3 && p.Upper > 20, i == 39 && p.Upper > 5:
			t.Errorf("not followed after %d windows: %v", i+1, p.Upper)
		}
	}
}

// wave is the same every day.
func wave(i int) float64 { return 0.5 * math.Sin(2*math.Pi*float64(i)/144) }

// What outages and spikes did yesterday must not be expected today.
func TestAccidentsDoNotEnterTheSeason(t *testing.T) {
	accident := func(i int) float64 {
		switch at := i - 5*144; {
		case at >= 20 && at < 32:
			return math.Log(0.001)
		case at == 40:
			return math.Log(50)
		case at >= 70 && at < 80:
			return math.NaN()
		}
		return wave(i)
	}
	for _, name := range []string{"adaptive", "holt-winters"} {
		for _, now := range []int{10, 18, 25, 28, 35, 60, 65, 75} {
			until := 6*144 + now + 1
			want := 100 * math.Exp(wave(until-1+12))
			got := follow(mustNew(t, name, ""), 7200, build(7, accident)[:until-10]).forecast().Mean
			if math.Abs(got/want-1) > 0.15 {
				t.Errorf("%s, %d windows into the day: %v, want %v", name, now, got, want)
			}
		}
	}
}

// Holt's method continues a steady growth exactly.
func TestHoltContinuesGrowth(t *testing.T) {
	f := mustNew(t, "holt", `{"damping": 1, "trend": 0.3}`)
	p := follow(f, 1800, build(3, func(i int) float64 { return 0.01 * float64(i) })).forecast()
	if want := 100 * math.Exp(0.01*(431+3)); math.Abs(p.Mean/want-1) > 1e-3 {
		t.Errorf("%v, want %v", p.Mean, want)
	}
}

func TestHoltWintersFindsTheDay(t *testing.T) {
	f := mustNew(t, "holt-winters", "")
	samples := build(6, wave)
	for _, now := range []int{5*144 + 10, 5*144 + 40, 5*144 + 75, 5*144 + 110} {
		want := 100 * math.Exp(wave(now+12))
		if p := follow(f, 7200, samples[:now+1]).forecast(); math.Abs(p.Mean/want-1) > 0.02 {
			t.Errorf("window %d: %v, want %v", now, p.Mean, want)
		}
	}
}

// An hour before the third weekend, what follows Friday is known.
func TestHoltWintersFindsTheWeek(t *testing.T) {
	week := func(i int) float64 {
		if i/144%7 >= 5 {
			return wave(i) - 0.5
		}
		return wave(i)
	}
	now := 19*144 - 6
	want := 100 * math.Exp(week(now+12))
	if p := follow(mustNew(t, "holt-winters", ""), 7200, build(20, week)[:now+1]).forecast(); math.Abs(p.Mean/want-1) > 0.2 {
		t.Errorf("%v, want %v", p.Mean, want)
	}
}

// Without a season Holt–Winters is Holt: what was not found is not used.
func TestHoltWintersIsHoltWithoutSeason(t *testing.T) {
	noise := build(14, func(i int) float64 { return 0.1 * math.Sin(float64(i*i)*0.7) })
	holt := follow(mustNew(t, "holt", ""), 600, noise).forecast()
	winters := follow(mustNew(t, "holt-winters", ""), 600, noise).forecast()
	if holt != winters {
		t.Errorf("Holt says %v, Holt-Winters %v", holt, winters)
	}
}

// A new server has nothing to take quantiles from: the rate is forecast to stay.
func TestSilentWhileNew(t *testing.T) {
	for _, name := range forecast.Forecasters().Names() {
		k := track(mustNew(t, name, ""), 1800, 0)
		for i := range 9 {
			rate := float64(10 + i%3)
			k.observe(forecast.Sample{Time: float64(i) * window, Rate: rate})
			if p := k.forecast(); math.Abs(p.Upper-rate) > 1e-9 {
				t.Errorf("%s: %v after %d windows, the last of %v", name, p.Upper, i+1, rate)
			}
		}
	}
}

// A start-up time that is measured anew makes another horizon. What was learned for the old one is of use for the new one at once, and a horizon between
// two whole windows is not another at every measurement.
func TestAnotherHorizonGoesOn(t *testing.T) {
	samples := daily(10, 4)
	f := mustNew(t, "adaptive", "")
	for _, c := range []struct{ before, after float64 }{{600, 1800}, {1800, 600}, {1200, 3600}} {
		changed, want := follow(f, c.before, samples), follow(f, c.after, samples).forecast()
		changed.Predictor = f.For(c.after, 0)
		got := changed.forecast()
		if margin := want.Upper/want.Mean - 1; math.Abs(got.Upper/want.Mean-1-margin) > 0.5*margin {
			t.Errorf("learned for %v s, asked for %v s: %+v, want about %+v", c.before, c.after, got, want)
		}
	}
	between := follow(f, 880, samples)
	before := between.memory
	between.Predictor = f.For(920, 0)
	if got, want := between.forecast(), follow(f, 880, samples).forecast(); got != want || between.memory.By != before.By {
		t.Errorf("%+v at 920 s after 880 s, want as before %+v", got, want)
	}
}
