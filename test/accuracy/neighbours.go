package main

import (
	"math"

	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// leastOfNeighbours is the number of points between others that a pair must have to be scored.
const leastOfNeighbours = 4

// neighbours predicts every point from the two of the same tokens with the next fewer and more clients, by a straight line on logarithms. It
// knows no law, and sees points that are closer than any protocol leaves: what it misses is mostly the scatter of the measurements.
func neighbours(pairs [][]fitting.Point) (*score, error) {
	s := &score{}
	for _, g := range pairs {
		points := merged(g)
		var inner []fitting.Point
		beside := map[int][2]fitting.Point{}
		for i := 1; i+1 < len(points); i++ {
			a, p, b := points[i-1], points[i], points[i+1]
			if sameTokens(a, p) && sameTokens(p, b) {
				beside[p.Line] = [2]fitting.Point{a, b}
				inner = append(inner, p)
			}
		}
		if len(inner) < leastOfNeighbours {
			continue
		}
		err := s.add(inner, func(p fitting.Point) (queueing.Prediction, error) {
			a, b := beside[p.Line][0], beside[p.Line][1]
			t := math.Log(p.Clients/a.Clients) / math.Log(b.Clients/a.Clients)
			between := func(x, y float64) queueing.Quantity { return queueing.Quantity{Mean: x * math.Pow(y/x, t)} }
			return queueing.Prediction{ITL: between(a.ITL, b.ITL), TTFT: between(a.TTFT, b.TTFT)}, nil
		})
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

func sameTokens(a, b fitting.Point) bool {
	return a.Requests.InputTokens == b.Requests.InputTokens && a.Requests.OutputTokens == b.Requests.OutputTokens
}
