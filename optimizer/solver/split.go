package solver

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Rated is a candidate of one accelerator with the rate that one of its replicas carries within the targets, in requests per second.
type Rated struct {
	Candidate
	Rate float64
}

// Splits are the candidates that share a load, in requests per second, between two of the given ones, which are left out themselves. At most
// points splits are made of each pair, evenly spread from little of the first to little of the second.
//
// What a split carries depends on the routing. With round robin every replica gets the same share, so all n replicas carry what the
// weaker carries: n·min(r₁, r₂). With least request and with weights, load follows capacity: n₁r₁ + n₂r₂. Shares of the parts are
// nᵢ/n and nᵢrᵢ/(n₁r₁ + n₂r₂). Empty routing is least request.
func Splits(rated []Rated, load float64, routing string, points int) ([]Candidate, error) {
	if math.IsNaN(load) || math.IsInf(load, 0) || load < 0 {
		return nil, fmt.Errorf("load: %v is not a number of at least 0", load)
	}
	equal := routing == v1alpha1.RoutingRoundRobin
	if !equal && routing != "" && routing != v1alpha1.RoutingLeastRequest && routing != v1alpha1.RoutingWeighted {
		return nil, fmt.Errorf("routing: %q is unknown, allowed are %s, %s and %s", routing, v1alpha1.RoutingRoundRobin, v1alpha1.RoutingLeastRequest, v1alpha1.RoutingWeighted)
	}
	sorted := slices.Clone(rated)
	for i, r := range sorted {
		if math.IsNaN(r.Rate) || math.IsInf(r.Rate, 0) || r.Rate <= 0 {
			return nil, fmt.Errorf("rated[%d].rate: %v is not a number above 0", i, r.Rate)
		}
	}
	slices.SortFunc(sorted, func(a, b Rated) int {
		return cmp.Or(cmp.Compare(a.Types(), b.Types()), compareCandidates(&a.Candidate, &b.Candidate))
	})
	var all []Candidate
	for i := range sorted {
		for j := range i {
			if a, b := &sorted[j], &sorted[i]; a.Types() != b.Types() && a.Replicas() > 0 && b.Replicas() > 0 && len(a.Parts) == 1 && len(b.Parts) == 1 {
				all = append(all, pairSplits(a, b, load, equal, points)...)
			}
		}
	}
	return all, nil
}

func pairSplits(a, b *Rated, load float64, equal bool, points int) []Candidate {
	most := int(math.Ceil(load/a.Rate)) - 1
	weakest := min(a.Rate, b.Rate)
	total := int(math.Ceil(load / weakest))
	if equal {
		most = total - 1
	}
	var all []Candidate
	last := 0
	for k := 1; k <= points; k++ {
		n := (most*k + points/2) / (points + 1)
		if points >= most {
			n = k
		}
		if n <= last || n > most {
			continue
		}
		last = n
		m := total - n
		share := float64(n) / float64(total)
		if !equal {
			m = int(math.Ceil((load - float64(n)*a.Rate) / b.Rate))
			share = float64(n) * a.Rate / (float64(n)*a.Rate + float64(m)*b.Rate)
		}
		if m >= 1 {
			all = append(all, split(a, b, n, m, share))
		}
	}
	return all
}

func split(a, b *Rated, n, m int, share float64) Candidate {
	per := func(v float64, c *Rated) float64 { return v / float64(c.Replicas()) }
	one, other := a.Parts[0], b.Parts[0]
	one.Replicas, one.Share = n, share
	other.Replicas, other.Share = m, 1-share
	return Candidate{
		ID:    a.ID + "+" + b.ID,
		Parts: []Part{one, other},
		Cost:  float64(n)*per(a.Cost, a) + float64(m)*per(b.Cost, b),
		Value: float64(n)*per(a.Value, a) + float64(m)*per(b.Value, b),
	}
}
