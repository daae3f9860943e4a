package realise

import "github.com/llm-inferno/inferno/optimizer/api/jsonspec"

// inOrder has the decodes beyond a plan stay until the prefills beyond it are gone, so that whoever had a prompt computed finds who goes on with it. Where there
// are to be more of both, all are made at once: prefills that wait until decodes have their nodes are late where prompts are what waits.
func inOrder(plan []jsonspec.AllocationPart, current []jsonspec.ObservedPart, surge Count) {
	want, ready := PlanBy(plan), ReadyBy(current)
	for i := range plan {
		p := plan[i].On()
		if plan[i].Role != jsonspec.RolePrefill || ready[p] <= want[p] || surge[p] > 0 {
			continue
		}
		for j := range plan {
			if d := plan[j].On(); plan[j].Role == jsonspec.RoleDecode && ready[d] > want[d] {
				surge[d] = max(surge[d], ready[d]-want[d])
			}
		}
	}
}
