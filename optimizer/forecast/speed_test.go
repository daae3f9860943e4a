package forecast_test

import (
	"testing"

	"github.com/llm-inferno/inferno/optimizer/forecast"
)

// BenchmarkCycle is a cycle's forecast of one server with two weeks of history behind it, followed sample by sample.
func BenchmarkCycle(b *testing.B) {
	for _, name := range forecast.Forecasters().Names() {
		b.Run(name, func(b *testing.B) {
			k := mustNew(b, name, "").Track(1800)
			samples := daily(14, 1)
			for _, s := range samples {
				k.Observe(s)
			}
			last := samples[len(samples)-1]
			for i := 0; b.Loop(); i++ {
				last.Time += 60
				k.Observe(last)
				k.Forecast()
			}
		})
	}
}

// BenchmarkReplay is the forecast of one server from two weeks of history alone, as after a restart.
func BenchmarkReplay(b *testing.B) {
	for _, name := range forecast.Forecasters().Names() {
		b.Run(name, func(b *testing.B) {
			f := mustNew(b, name, "")
			samples := daily(14, 1)
			for b.Loop() {
				f.Forecast(samples, 1800)
			}
		})
	}
}
