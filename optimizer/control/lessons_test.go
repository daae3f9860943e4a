package control

import (
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/fleet"
)

// Replicas that decode teach the ITL of iterations without prompts, and nothing of first tokens; those that compute prompts teach how long these take, but where most
// of that is wait; the size of their cache is theirs all the same.
func TestWhatRolesTeach(t *testing.T) {
	group := func(accelerator string) fleet.Group {
		return fleet.Group{
			Accelerator: accelerator, Replicas: 1, Running: fleet.Known(8), InputTokens: fleet.Known(4000), OutputTokens: fleet.Known(200), Admissions: fleet.Known(1), KVTokens: fleet.Known(1e5),
			TTFT: fleet.Latency{Mean: fleet.Known(0.5)}, ITL: fleet.Latency{Mean: fleet.Known(0.02)},
		}
	}
	snap := &fleet.Snapshot{
		Models:  []fleet.Model{{Name: "m", Performance: []jsonspec.Performance{{Acc: "A"}, {Acc: "A/prefill", Role: jsonspec.RolePrefill}, {Acc: "A/decode", Role: jsonspec.RoleDecode}}}},
		Servers: []fleet.Server{{Name: "s", Model: "m", Seen: &fleet.Observation{Groups: []fleet.Group{group("A"), group("A/prefill"), group("A/decode")}}}},
	}
	snap.Servers[0].Load = &fleet.Load{Arrivals: 1}
	snap.Servers[0].Seen.GivenUp = fleet.Known(0.5)
	if taught := lessonsOf(snap)[Pair{Model: "m", Accelerator: "A"}].seen; len(taught) > 0 {
		t.Errorf("while half of the requests are given up, after their prompts were computed or before, replicas teach %+v", taught)
	}
	snap.Servers[0].Seen.GivenUp = fleet.Known(0.01)
	lessons := lessonsOf(snap)
	of := func(accelerator string) []estimation.Observation {
		return lessons[Pair{Model: "m", Accelerator: accelerator}].seen
	}
	if both, prefill, decode := of("A"), of("A/prefill"), of("A/decode"); len(both) != 1 || len(prefill) != 1 || len(decode) != 1 || both[0].TTFT != 0.5 ||
		decode[0].PrefixHitRate != 1 || decode[0].ITL != 0.02 || !math.IsNaN(decode[0].TTFT) ||
		!prefill[0].PromptsOnly || prefill[0].TTFT != 0.5 || !math.IsNaN(prefill[0].ITL) {
		t.Errorf("both %+v, prefill %+v, decode %+v", both, prefill, decode)
	}
	crowded := group("A/prefill")
	crowded.Waiting = fleet.Known(9)
	snap.Servers[0].Seen.Groups = []fleet.Group{crowded}
	if taught := lessonsOf(snap)[Pair{Model: "m", Accelerator: "A/prefill"}].seen; len(taught) > 0 {
		t.Errorf("prompts of which more wait than run teach %+v", taught)
	}
	if cache := lessons[Pair{Model: "m", Accelerator: "A/prefill"}].cache; cache != 1e5 {
		t.Errorf("a prefill's cache holds %d tokens", cache)
	}
}
