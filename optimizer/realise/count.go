package realise

import (
	"maps"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// Count of pods, or of replicas, by what they run on: an accelerator, and the variant of the model where it has several.
type Count map[string]int

// ReadyBy accelerator are the pods that are ready.
func ReadyBy(parts []jsonspec.ObservedPart) Count {
	c := Count{}
	for _, p := range parts {
		c[p.On()] += p.Ready
	}
	return c
}

// leavingBy accelerator are the pods that are ready on nodes which go.
func leavingBy(parts []jsonspec.ObservedPart) Count {
	c := Count{}
	for _, p := range parts {
		c[p.On()] += p.Leaving
	}
	return c
}

// failingBy accelerator are the pods that will not become ready.
func failingBy(parts []jsonspec.ObservedPart) Count {
	c := Count{}
	for _, p := range parts {
		c[p.On()] += p.Failing
	}
	return c
}

// boundBy accelerator are the pods that have a node, ready or not. Whether a pod that starts on no known accelerator has one is not known.
func boundBy(parts []jsonspec.ObservedPart) Count {
	c := ReadyBy(parts)
	for _, p := range parts {
		if p.Accelerator != "" {
			c[p.On()] += p.Starting
		}
	}
	return c
}

// PlanBy accelerator are the replicas that a plan wants, surges left out.
func PlanBy(parts []jsonspec.AllocationPart) Count {
	c := Count{}
	for _, p := range parts {
		c[p.On()] += p.Replicas
	}
	return c
}

func (c Count) plus(other Count) Count {
	sum := maps.Clone(c)
	for a, n := range other {
		sum[a] += n
	}
	return sum
}

// Beyond is how much of c lies above the other count, accelerator by accelerator.
func (c Count) Beyond(other Count) int {
	n := 0
	for a, have := range c {
		n += max(have-other[a], 0)
	}
	return n
}
