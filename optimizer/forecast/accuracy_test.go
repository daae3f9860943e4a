package forecast_test

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/forecast"
)

const quantile = 0.9

// score is what a forecaster's quantiles cost against those of the baseline, on the windows where both speak: persistence times the 0.9
// quantile of its own ratios of the last 400 windows.
type score struct{ loss, baseline, hits, count float64 }

func (s score) ratio() float64    { return s.loss / s.baseline }
func (s score) coverage() float64 { return s.hits / s.count }

func (s *score) add(o score) {
	s.loss, s.baseline, s.hits, s.count = s.loss+o.loss, s.baseline+o.baseline, s.hits+o.hits, s.count+o.count
}

// backtest forecasts each window from day 4 on from those up to a horizon before it.
func backtest(f forecast.Forecaster, quantile float64, samples []forecast.Sample, steps int) score {
	rates := map[int]float64{}
	last := 0
	for _, s := range samples {
		last = int(s.Time / window)
		rates[last] = s.Rate
	}
	k := track(f, float64(steps)*window, quantile)
	ratios := map[int]float64{}
	var s score
	for origin := range last + 1 - steps {
		now, seen := rates[origin]
		if !seen {
			continue
		}
		k.observe(forecast.Sample{Time: float64(origin) * window, Rate: now})
		if before, seen := rates[origin-steps]; seen {
			ratios[origin] = now / math.Max(before, 0.5)
		}
		target := origin + steps
		rate, seen := rates[target]
		if !seen || target < 432+30 {
			continue
		}
		var lately []float64
		for i := origin - 400; i <= origin; i++ {
			if r, ok := ratios[i]; ok {
				lately = append(lately, r)
			}
		}
		slices.Sort(lately)
		base := now * lately[int(quantile*float64(len(lately)-1))]
		upper := k.forecast().Upper
		s.loss += pinball(rate, upper)
		s.baseline += pinball(rate, base)
		s.count++
		if rate <= upper {
			s.hits++
		}
	}
	return s
}

func pinball(rate, forecast float64) float64 {
	return math.Max(quantile*(rate-forecast), (1-quantile)*(forecast-rate))
}

// without are series in which there is nothing to find beyond the last rate, and series broken by outages.
var without = map[string]func(r *rand.Rand) func(i int) float64{
	"random walk": func(r *rand.Rand) func(int) float64 {
		x := 0.0
		return func(int) float64 { x += 0.06 * r.NormFloat64(); return x }
	},
	"returns slowly": func(r *rand.Rand) func(int) float64 {
		x := 0.0
		return func(int) float64 { x = 0.95*x + 0.1*r.NormFloat64(); return x }
	},
	"bursts": func(r *rand.Rand) func(int) float64 {
		left, height := 0, 0.0
		return func(int) float64 {
			if left--; left < 0 && r.IntN(80) == 0 {
				left, height = 3+r.IntN(27), 0.3+1.2*r.Float64()
			}
			if left < 0 {
				return 0.06 * r.NormFloat64()
			}
			return height + 0.06*r.NormFloat64()
		}
	},
	"outages": func(r *rand.Rand) func(int) float64 {
		x, left, gone := 0.0, 0, false
		return func(int) float64 {
			x = 0.97*x + 0.06*r.NormFloat64()
			if left--; left < 0 && r.IntN(150) == 0 {
				left, gone = 2+r.IntN(18), r.IntN(2) == 0
			}
			switch {
			case left < 0:
				return x
			case gone:
				return math.NaN()
			}
			return math.Log(0.005 + 0.01*r.Float64())
		}
	},
}

func TestAdaptiveIsNeverMuchWorseThanPersistence(t *testing.T) {
	f := mustNew(t, forecast.NameAdaptive, "")
	for name, make := range without {
		for _, steps := range []int{1, 3, 12} {
			var s score
			for seed := range uint64(4) {
				s.add(backtest(f, quantile, build(14, make(rand.New(rand.NewPCG(seed, 5)))), steps))
			}
			t.Logf("%-15s %2d windows: %.3f of persistence, coverage %.3f", name, steps, s.ratio(), s.coverage())
			if s.ratio() > 1.02 {
				t.Errorf("%s, %d windows ahead: %.3f of the loss of persistence", name, steps, s.ratio())
			}
			if c := s.coverage(); c < 0.88 || c > 0.92 {
				t.Errorf("%s, %d windows ahead: coverage %.3f", name, steps, c)
			}
		}
	}
}

func TestAdaptiveFindsSeasons(t *testing.T) {
	f := mustNew(t, forecast.NameAdaptive, "")
	for steps, limit := range map[int]float64{1: 0.9, 3: 0.85, 12: 0.7} {
		var s score
		for seed := range uint64(6) {
			s.add(backtest(f, quantile, daily(14, seed), steps))
		}
		t.Logf("%2d windows: %.3f of persistence, coverage %.3f", steps, s.ratio(), s.coverage())
		if s.ratio() > limit {
			t.Errorf("%d windows ahead: %.3f of the loss of persistence, want %v", steps, s.ratio(), limit)
		}
		if c := s.coverage(); c < 0.88 || c > 0.92 {
			t.Errorf("%d windows ahead: coverage %.3f", steps, c)
		}
	}
}

// office load comes on five days of the week, between morning and evening.
func office(days int, seed uint64) []forecast.Sample {
	r, slow := rand.New(rand.NewPCG(seed, 9)), 0.0
	step := func(x float64) float64 { return 1.5 / (1 + math.Exp(-2*x)) }
	return build(days, func(i int) float64 {
		slow = 0.97*slow + 0.03*r.NormFloat64()
		x := 0.3*math.Sin(2*math.Pi*float64(i)/144-2) + slow + 0.06*r.NormFloat64()
		if hour := float64(i%144) / 6; i/144%7 < 5 {
			x += step(hour-8) - step(hour-18)
		}
		return x
	})
}

func TestAdaptiveKnowsTheDayOfTheWeek(t *testing.T) {
	f := mustNew(t, forecast.NameAdaptive, "")
	for steps, limit := range map[int]float64{1: 0.83, 3: 0.6, 12: 0.27} {
		var s score
		for seed := range uint64(3) {
			s.add(backtest(f, quantile, office(28, seed), steps))
		}
		t.Logf("%2d windows: %.3f of persistence, coverage %.3f", steps, s.ratio(), s.coverage())
		if c := s.coverage(); s.ratio() > limit || c < 0.88 || c > 0.92 {
			t.Errorf("%d windows ahead: %.3f of the loss of persistence, want %v, coverage %.3f", steps, s.ratio(), limit, c)
		}
	}
}

func production(t *testing.T, name string) []forecast.Sample {
	t.Helper()
	file, err := os.Open("../../test/data/traces/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	samples, err := forecast.ReadSamples(file)
	if err != nil {
		t.Fatal(err)
	}
	return samples
}

func TestAdaptiveOnProductionLoad(t *testing.T) {
	f := mustNew(t, forecast.NameAdaptive, "")
	samples := production(t, "servegen-m-mid-14d.csv")
	for steps, limit := range map[int]float64{1: 0.9, 3: 0.85, 12: 0.7} {
		s := backtest(f, quantile, samples, steps)
		t.Logf("%2d windows: %.3f of persistence, coverage %.3f", steps, s.ratio(), s.coverage())
		if c := s.coverage(); s.ratio() > limit || c < 0.88 || c > 0.92 {
			t.Errorf("%d windows ahead: %.3f of the loss of persistence, want %v, coverage %.3f", steps, s.ratio(), limit, c)
		}
	}
}

// Load that is nothing but noise drops to a fifth by chance. Whether such windows are outages need not be known to forecast it.
func TestAdaptiveOnNoise(t *testing.T) {
	f := mustNew(t, forecast.NameAdaptive, "")
	var s score
	for seed := range uint64(2) {
		r := rand.New(rand.NewPCG(seed, 12))
		s.add(backtest(f, quantile, build(14, func(int) float64 { return r.NormFloat64() }), 1))
	}
	t.Logf("%.3f of persistence, coverage %.3f", s.ratio(), s.coverage())
	if c := s.coverage(); s.ratio() > 0.6 || c < 0.88 || c > 0.92 {
		t.Errorf("%.3f of the loss of persistence, want 0.6, coverage %.3f", s.ratio(), c)
	}
}

// Quantiles of independent values are known; each forecaster must cover them.
func TestQuantilesAreCalibrated(t *testing.T) {
	for _, c := range []struct {
		name string
		want float64
	}{
		{"none", 0.5}, {"none", 0.9}, {"none", 0.99},
		{"holt", 0.9}, {"holt-winters", 0.9}, {"adaptive", 0.5}, {"adaptive", 0.9}, {"adaptive", 0.99},
	} {
		f := mustNew(t, c.name, "")
		var s score
		for seed := range uint64(3) {
			r := rand.New(rand.NewPCG(seed, 7))
			s.add(backtest(f, c.want, build(14, func(int) float64 { return 0.2 * r.NormFloat64() }), 1))
		}
		// Three standard errors, for errors that are not quite independent.
		if d := math.Abs(s.coverage() - c.want); d > 0.005+3*math.Sqrt(c.want*(1-c.want)/s.count) {
			t.Errorf("%s at %v: covers %.4f of %.0f", c.name, c.want, s.coverage(), s.count)
		}
	}
}
