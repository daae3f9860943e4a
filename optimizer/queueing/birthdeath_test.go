package queueing

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exact solves the same chain state by state in 200 bits.
func exact(lambda float64, times []float64, queue int) (throughput, inSystem, inService float64) {
	const bits = 200
	num := func(x float64) *big.Float { return new(big.Float).SetPrec(bits).SetFloat64(x) }
	w, sum, system, service, flow := num(1), num(1), num(0), num(0), num(0)
	for n := 1; n <= len(times)+queue; n++ {
		b := min(n, len(times))
		w = new(big.Float).Mul(w, new(big.Float).Mul(num(lambda), num(times[b-1])))
		sum.Add(sum, w)
		system.Add(system, new(big.Float).Mul(w, num(float64(n))))
		service.Add(service, new(big.Float).Mul(w, num(float64(b))))
		flow.Add(flow, new(big.Float).Quo(w, num(times[b-1])))
	}
	part := func(x *big.Float) float64 { v, _ := new(big.Float).Quo(x, sum).Float64(); return v }
	return part(flow), part(system), part(service)
}

func TestBirthDeathAgreesWithExactSolution(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		times := make([]float64, 1+r.IntN(300))
		base := math.Pow(10, -3+4*r.Float64())
		for i := range times {
			times[i] = base * (1 + 0.1*float64(i)) / float64(i+1)
		}
		queue := []int{0, 1, r.IntN(50), r.IntN(3000)}[r.IntN(4)]
		load := []float64{1e-6, 0.5, 0.99, 1, 1 + 1e-9, 1 - 1e-7, 1.001, 1.5, 1e3, 1e9}[r.IntN(10)]
		lambda := load / times[len(times)-1]
		got := birthDeath(lambda, times, queue)
		x, system, service := exact(lambda, times, queue)
		for name, pair := range map[string][2]float64{
			"throughput": {got.throughput, x}, "in system": {got.inSystem, system}, "in service": {got.inService, service},
		} {
			if math.Abs(pair[0]/pair[1]-1) > 1e-7 {
				t.Errorf("batch %d, queue %d, load %v: %s %v, exactly %v", len(times), queue, load, name, pair[0], pair[1])
			}
		}
	}
}

// TestKnownQueues compares with textbook formulas: M/M/1/K and Erlang's loss formula.
func TestKnownQueues(t *testing.T) {
	const rho, room = 0.8, 10
	got := birthDeath(rho, []float64{1}, room-1)
	loss := (1 - rho) * math.Pow(rho, room) / (1 - math.Pow(rho, room+1))
	if want := rho * (1 - loss); math.Abs(got.throughput-want) > 1e-9 {
		t.Errorf("M/M/1/%d: throughput %v, want %v", room, got.throughput, want)
	}
	const servers, offered = 10, 7.0
	times := make([]float64, servers)
	b := 1.0
	for i := range times {
		times[i] = 1 / float64(i+1)
		b = offered * b / (float64(i+1) + offered*b)
	}
	if got, want := birthDeath(offered, times, 0).throughput, offered*(1-b); math.Abs(got-want) > 1e-9 {
		t.Errorf("M/M/%d/%d: throughput %v, want %v", servers, servers, got, want)
	}
}
