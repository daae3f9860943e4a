package forecast_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/forecast"
)

// FuzzObserve feeds any samples at all: pairs of a step in time and a rate.
func FuzzObserve(f *testing.F) {
	var seed bytes.Buffer
	for i := range 300 {
		_ = binary.Write(&seed, binary.LittleEndian, [2]float32{600, float32(i % 30)})
	}
	f.Add(seed.Bytes(), 1800.0)
	f.Add([]byte("any text will do as numbers, too"), -1.0)
	f.Fuzz(func(t *testing.T, raw []byte, horizon float64) {
		raw = raw[:min(len(raw), 8*300)]
		for _, name := range forecast.Forecasters().Names() {
			k, time := track(mustNew(t, name, ""), horizon, 0), 0.0
			for r := bytes.NewReader(raw); r.Len() >= 8; {
				var x [2]float32
				_ = binary.Read(r, binary.LittleEndian, &x)
				time += float64(x[0])
				k.observe(forecast.Sample{Time: time, Rate: float64(x[1])})
			}
			if p := k.forecast(); !k.memory.IsZero() && !sane(p) {
				t.Errorf("%s: %+v", name, p)
			}
		}
	})
}

func sane(p forecast.Prediction) bool {
	return p.Upper >= 0 && p.Mean >= 0 && !math.IsInf(p.Upper, 0) && !math.IsInf(p.Mean, 0)
}

// FuzzMemory gives forecasters memories that they did not write: such a server is begun anew, or goes on from what could have been.
func FuzzMemory(f *testing.F) {
	names := forecast.Forecasters().Names()
	for i, name := range names {
		memory := follow(mustNew(f, name, ""), 7200, daily(3, 1)).memory
		f.Add(i, memory.Since, memory.Data, 7200.0)
		f.Add(i, memory.Since, memory.Data[:len(memory.Data)/2], 600.0)
		f.Add(i, math.NaN(), bytes.Repeat([]byte{0xff}, 300), -1.0)
	}
	f.Fuzz(func(t *testing.T, i int, since float64, data []byte, horizon float64) {
		fc := mustNew(t, names[uint(i)%uint(len(names))], "")
		k := track(fc, horizon, 0).observe(forecast.Sample{Time: 1, Rate: 1})
		k.memory.Since, k.memory.Data = since, data
		if p := k.forecast(); !sane(p) && !math.IsNaN(p.Upper) {
			t.Errorf("%+v", p)
		}
		for range 20 {
			k.observe(forecast.Sample{Time: k.now + 700, Rate: 3})
			if p := k.forecast(); !sane(p) && !math.IsNaN(p.Upper) {
				t.Errorf("%+v", p)
			}
		}
	})
}
