package placement

import "cmp"

// LeastFulfilled orders accelerators of a plan by what is left of their quotas as a share of these, the most first, then by what is left: a server
// that is still growing grows in the proportions of its plan.
func LeastFulfilled(leftA, quotaA, leftB, quotaB int) int {
	// leftA/quotaA > leftB/quotaB without division
	return cmp.Or(cmp.Compare(int64(leftB)*int64(quotaA), int64(leftA)*int64(quotaB)), cmp.Compare(leftB, leftA))
}

// Harm that a pod does to a node's room for others.
type Harm struct {
	// Lost is how much room for larger replicas it destroys.
	Lost int64
	// Left is how many cards it leaves over.
	Left int64
}

// HarmOf a pod of `request` cards on a node with `free` of `capacity` cards. Lost are the cards in slots of 2, 4, 8, … cards, larger than the
// request and not larger than the node, that can be formed before and no longer after,
//
//	Σ s · (⌊free/s⌋ − ⌊(free−request)/s⌋)  over s = 2^k, request < s ≤ capacity.
//
// It is 0 where no larger replica loses a place. Larger replicas come in powers of two because tensor parallelism does.
func HarmOf(free, request, capacity int64) Harm {
	h := Harm{Left: free - request}
	for s := int64(2); s <= capacity; s *= 2 {
		if s > request {
			h.Lost += s * (free/s - max(free-request, 0)/s)
		}
	}
	return h
}

// Compare orders nodes: the one whose room for larger replicas suffers least comes first, then the one that is left fullest.
func (h Harm) Compare(o Harm) int {
	return cmp.Or(cmp.Compare(h.Lost, o.Lost), cmp.Compare(h.Left, o.Left))
}
