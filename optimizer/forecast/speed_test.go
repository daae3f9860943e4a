package forecast_test

import (
	"testing"

	"github.com/llm-inferno/inferno/optimizer/forecast"
)

// BenchmarkCycle is a cycle's forecast of one server with two weeks of history behind it, followed sample by sample.
func BenchmarkCycle(b *testing.B) {
	for _, name := range forecast.Forecasters().Names() {
		b.Run(name, func(b *testing.B) {
			samples := daily(14, 1)
			k := follow(mustNew(b, name, ""), 1800, samples)
			last := samples[len(samples)-1]
			for b.Loop() {
				last.Time += 60
				k.observe(last)
				k.forecast()
			}
			b.ReportMetric(float64(len(k.memory.Data)), "B")
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
				follow(f, 1800, samples)
			}
		})
	}
}
