package realise

import "github.com/llm-inferno/inferno/optimizer/api/jsonspec"

// inOrder has the roles of a plan change so that whoever computes a prompt finds who decodes it: where there are to be more, decodes come first,
// and where there are to be fewer, prefills go first. While decodes lack their nodes there are no more prefills than there are or the ratio allows,
//
//	max(prefills there, ⌈prefills planned · decodes there / decodes planned⌉),
//
// but for a server of which none decodes yet. It notes in the parts which replicas are to be made later and returns how many these are, and in the surge which
// decodes stay until the prefills beyond the plan are gone.
func inOrder(plan []jsonspec.AllocationPart, current []jsonspec.ObservedPart, surge Count) (later int) {
	want, bound, ready := PlanBy(plan), boundBy(current), ReadyBy(current)
	for i := range plan {
		prefill := &plan[i]
		if prefill.Role != jsonspec.RolePrefill {
			continue
		}
		for j := range plan {
			decode := &plan[j]
			if decode.Role != jsonspec.RoleDecode {
				continue
			}
			p, d := prefill.On(), decode.On()
			if there := bound[d]; there > 0 && there < want[d] {
				kept := (want[p]*there + want[d] - 1) / want[d]
				prefill.Later = max(want[p]-max(bound[p], kept), 0)
				later += prefill.Later
			}
			if ready[p] > want[p] && surge[p] == 0 {
				if n := max(surge[d], ready[d]-want[d]); n > 0 {
					surge[d] = n
				}
			}
		}
	}
	return later
}
