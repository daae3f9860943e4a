package inferno

import (
	"slices"

	fwk "k8s.io/kube-scheduler/framework"

	"github.com/llm-inferno/inferno/optimizer/placement"
)

// Widths of the fields of a raw score: rank, then slots lost, then cards left over, each less than 2^fieldBits.
const (
	fieldBits = 20
	fieldMax  = 1<<fieldBits - 1
)

// rawScore orders nodes: by the rank of the option the pod takes there, then by the harm that it does there. Larger is better.
func rawScore(rank int, harm placement.Harm) int64 {
	field := func(v int64) int64 { return min(max(v, 0), fieldMax) }
	return -(field(int64(rank))<<(2*fieldBits) | field(harm.Lost)<<fieldBits | field(harm.Left))
}

// normalise turns raw scores into 0 … fwk.MaxScore. Only their order counts: the steps between distinct raw scores are even. The best
// node, the first by name among equals, alone has the maximum, so that a tie ends the same every time.
func normalise(scores fwk.NodeScoreList) {
	if len(scores) == 0 {
		return
	}
	// There are few distinct scores: as many as ways in which nodes are filled.
	raw := make([]int64, 0, 32)
	best := 0
	for i, s := range scores {
		if at, found := slices.BinarySearch(raw, s.Score); !found {
			raw = slices.Insert(raw, at, s.Score)
		}
		if s.Score > scores[best].Score || s.Score == scores[best].Score && s.Name < scores[best].Name {
			best = i
		}
	}
	top := fwk.MaxScore - 1
	for i := range scores {
		position, _ := slices.BinarySearch(raw, scores[i].Score)
		scores[i].Score = top
		if len(raw) > 1 {
			scores[i].Score = top * int64(position) / int64(len(raw)-1)
		}
	}
	scores[best].Score = fwk.MaxScore
}
