package seats

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/placement/seats/seatstest"
)

// What tests make.
var (
	accelerator     = seatstest.Accelerator
	part            = seatstest.Part
	server          = seatstest.Server
	unplannedServer = seatstest.UnplannedServer
	gpus            = seatstest.GPUs
	pod             = seatstest.Pod
	on              = seatstest.On
	chat            = seatstest.Chat
)

// chosen are the options by preference, rank and limit included.
type chosen struct {
	Accelerator string
	Rank, Quota int
	Outcome     Outcome
}

func inOrder(d Decision) []chosen {
	var list []chosen
	for _, o := range d.Options {
		list = append(list, chosen{o.Accelerator, o.Rank, o.Quota, o.Outcome})
	}
	slices.SortFunc(list, func(a, b chosen) int {
		if a.Rank != b.Rank {
			return a.Rank - b.Rank
		}
		return strings.Compare(a.Accelerator, b.Accelerator)
	})
	return list
}

func TestDecide(t *testing.T) {
	withVariants := server(part("h100", 2), part("l40s", 2))
	withVariants.Spec.Variants = []jsonspec.Variant{{Name: "big", Accelerators: []string{"h100"}}, {Name: "small", Accelerators: []string{"l40s"}}}
	apart := server(part("h100", 2), part("h100", 3), part("h100", 1))
	apart.Status.Desired.Parts[0].Variant, apart.Status.Desired.Parts[1].Variant = "prefill", "decode"
	apart.Spec.Variants = []jsonspec.Variant{
		{Name: "prompts", ModelVariant: "prefill", Accelerators: []string{"h100"}}, {Name: "tokens", ModelVariant: "decode", Accelerators: []string{"h100"}},
		{Name: "more-tokens", ModelVariant: "decode", Accelerators: []string{"h100"}},
	}
	taken := Seats{{"h100", "prompts"}: 1, {"h100", "tokens"}: 2, {"h100", "more-tokens"}: 1}
	renewing, leaving := part("h100", 2), jsonspec.AllocationPart{Accelerator: "a100", Surge: 2}
	renewing.Surge = 1
	tests := []struct {
		name string
		s    Situation
		want []chosen
		// anywhere and reason are expected of the Decision; a reason is a part of the message.
		anywhere bool
		reason   string
	}{
		{
			name: "a surge is room for pods that replace others, and none on an accelerator that the plan leaves",
			s:    Situation{Server: server(renewing, leaving), Seated: seatsOn(map[string]int{"h100": 2, "a100": 1})},
			want: []chosen{{"h100", 0, 3, OutcomePlanned}},
		},
		{
			name: "a role has a quota of its own, beside the other's on the same accelerator",
			s:    Situation{Server: apart, Variant: "prompts", Seated: taken},
			want: []chosen{{"h100", 0, 2, OutcomePlanned}},
		},
		{
			name:   "which workloads of one role have together",
			s:      Situation{Server: apart, Variant: "tokens", Seated: taken},
			reason: "Server llm/chat: all replicas planned for it have their place (h100/decode 3)",
		},
		{
			name: "a role that another project's labels tell means the one variant that runs it",
			s:    Situation{Server: apart, Variant: "prefill", Seated: Seats{{"h100", "prompts"}: 1, {"h100", "decode"}: 4}},
			want: []chosen{{"h100", 0, 2, OutcomePlanned}},
		},
		{
			name:   "and none where several run it",
			s:      Situation{Server: apart, Variant: "decode", Seated: Seats{{"h100", ""}: 1}},
			reason: "Server llm/chat: all replicas planned for it have their place (h100 1)",
		},
		{
			name: "and those that do both have theirs",
			s:    Situation{Server: apart, Seated: taken},
			want: []chosen{{"h100", 0, 1, OutcomePlanned}},
		},
		{
			name: "a pod that was let go keeps its seat, whatever the plan says now",
			s:    Situation{Server: server(part("a100", 1)), Held: "h100", Seated: seatsOn(map[string]int{"h100": 1})},
			want: []chosen{{"h100", 0, Unlimited, OutcomePlanned}},
		},
		{
			name: "the least fulfilled part first",
			s:    Situation{Server: server(part("h100", 8), part("a100", 2)), Seated: seatsOn(map[string]int{"h100": 5, "a100": 1})},
			want: []chosen{{"a100", 0, 2, OutcomePlanned}, {"h100", 1, 8, OutcomePlanned}},
		},
		{
			name: "equally fulfilled: more left first",
			s:    Situation{Server: server(part("a100", 2), part("h100", 8))},
			want: []chosen{{"h100", 0, 8, OutcomePlanned}, {"a100", 1, 2, OutcomePlanned}},
		},
		{
			name: "all equal: by name",
			s:    Situation{Server: server(part("h100", 3), part("a100", 3))},
			want: []chosen{{"a100", 0, 3, OutcomePlanned}, {"h100", 1, 3, OutcomePlanned}},
		},
		{
			name: "a quota that is used up is no option, nor one that is exceeded",
			s:    Situation{Server: server(part("h100", 1), part("a100", 1), part("l40s", 1)), Seated: seatsOn(map[string]int{"h100": 1, "a100": 4})},
			want: []chosen{{"l40s", 0, 1, OutcomePlanned}},
		},
		{
			name:   "everything seated: wait, and say what is planned",
			s:      Situation{Server: server(part("h100", 2), part("a100", 1)), Seated: seatsOn(map[string]int{"h100": 2, "a100": 1})},
			reason: "Server llm/chat: all replicas planned for it have their place (h100 2, a100 1)",
		},
		{
			name:   "scaled to zero: wait",
			s:      Situation{Server: server(part("h100", 0))},
			reason: "the plan has no replica",
		},
		{
			name:   "a plan on an accelerator that is not described",
			s:      Situation{Server: server(part("b200", 1))},
			reason: `no Accelerator describes "b200"`,
		},
		{
			name: "the plan may use the name of the specification",
			s:    Situation{Server: server(part("MI300X", 1)), Requests: v1.ResourceList{"amd.com/gpu": resource.MustParse("1")}},
			want: []chosen{{"mi300x-0a1b2c3d", 0, 1, OutcomePlanned}},
		},
		{
			name:   "the pod requests another vendor's cards",
			s:      Situation{Server: server(part("MI300X", 1)), Requests: gpus("1")},
			reason: `the pod's request of amd.com/gpu does not make up "MI300X"`,
		},
		{
			name: "one accelerator of four cards needs four cards",
			s:    Situation{Server: server(part("4xa100", 1), part("a100", 1)), Requests: gpus("2")},
			want: []chosen{{"a100", 0, 1, OutcomePlanned}},
		},
		{
			name: "eight cards make up two accelerators of four",
			s:    Situation{Server: server(part("4xa100", 1)), Requests: gpus("8")},
			want: []chosen{{"4xa100", 0, 1, OutcomePlanned}},
		},
		{
			name: "a pod without cards fits everything",
			s:    Situation{Server: server(part("4xa100", 1)), Requests: v1.ResourceList{}},
			want: []chosen{{"4xa100", 0, 1, OutcomePlanned}},
		},
		{
			name: "a variant goes to its own accelerators",
			s:    Situation{Server: withVariants, Variant: "small"},
			want: []chosen{{"l40s", 0, 2, OutcomePlanned}},
		},
		{
			name: "a variant nobody listed limits nothing",
			s:    Situation{Server: withVariants, Variant: "medium"},
			want: []chosen{{"h100", 0, 2, OutcomePlanned}, {"l40s", 1, 2, OutcomePlanned}},
		},
		{
			name:   "no server: any accelerator that is described and there",
			s:      Situation{},
			want:   []chosen{{"a100", 0, Unlimited, OutcomeUnplanned}, {"h100", 0, Unlimited, OutcomeUnplanned}, {"l40s", 0, Unlimited, OutcomeUnplanned}},
			reason: "Server llm/chat does not exist",
		},
		{
			name:   "never planned: what the model has data for",
			s:      Situation{Server: unplannedServer(), Measured: []string{"l40s", "b200"}},
			want:   []chosen{{"l40s", 0, Unlimited, OutcomeUnplanned}},
			reason: "has no plan yet",
		},
		{
			name:   "never planned, and others are: wait",
			s:      Situation{Server: unplannedServer(), Measured: []string{"l40s"}, Expected: true},
			reason: "has no plan yet, and others have",
		},
		{
			name:   "never planned, and no node carries what the model has data for",
			s:      Situation{Server: unplannedServer(), Measured: []string{"MI300X"}},
			want:   []chosen{{"a100", 0, Unlimited, OutcomeUnplanned}, {"h100", 0, Unlimited, OutcomeUnplanned}, {"l40s", 0, Unlimited, OutcomeUnplanned}},
			reason: "has no plan yet",
		},
		{
			name:     "never planned, and no accelerator anywhere",
			s:        Situation{Server: unplannedServer(), Carried: func(string) bool { return false }},
			anywhere: true,
			reason:   "has no plan yet",
		},
		{
			name:   "overdue beyond the plan",
			s:      Situation{Server: server(part("h100", 1)), Seated: seatsOn(map[string]int{"h100": 1}), Measured: []string{"h100", "l40s"}, Overdue: true},
			want:   []chosen{{"h100", 0, Unlimited, OutcomeFallback}, {"l40s", 0, Unlimited, OutcomeFallback}},
			reason: "waited too long for the plan",
		},
		{
			name:   "overdue with quota left: the plan still comes first",
			s:      Situation{Server: server(part("h100", 1)), Measured: []string{"h100", "l40s"}, Overdue: true},
			want:   []chosen{{"h100", 0, 1, OutcomePlanned}, {"l40s", 1, Unlimited, OutcomeFallback}},
			reason: "no node of a planned accelerator has room",
		},
		{
			name:   "overdue, but no accelerator is there: wait, do not go just anywhere",
			s:      Situation{Server: server(part("h100", 1)), Seated: seatsOn(map[string]int{"h100": 1}), Overdue: true, Carried: func(string) bool { return false }},
			reason: "all replicas planned for it have their place",
		},
	}
	mi300x := accelerator("mi300x-0a1b2c3d", "MI300X", 1)
	mi300x.Annotations = map[string]string{v1alpha1.NameAnnotation: "MI300X"}
	kinds := catalogue.NewClassifier([]*v1alpha1.Accelerator{
		accelerator("h100", "", 1), accelerator("a100", "", 1), accelerator("4xa100", "A100", 4), accelerator("l40s", "", 1), mi300x,
	})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.s
			s.Key, s.Kinds = types.NamespacedName{Namespace: "llm", Name: "chat"}, kinds
			if s.Requests == nil {
				s.Requests = gpus("1")
			}
			if s.Carried == nil {
				s.Carried = func(a string) bool { return a != "mi300x-0a1b2c3d" }
			}
			got := Decide(s)
			if diff := cmp.Diff(tt.want, inOrder(got)); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
			if got.Anywhere != tt.anywhere {
				t.Errorf("anywhere: %v, want %v", got.Anywhere, tt.anywhere)
			}
			if !strings.Contains(got.Reason, tt.reason) {
				t.Errorf("reason %q lacks %q", got.Reason, tt.reason)
			}
			if len(got.Options) == 0 && got.Reason == "" {
				t.Error("no option and no reason")
			}
		})
	}
}

func TestRoom(t *testing.T) {
	limited := Option{Quota: 3, Left: 2}
	free := Option{Quota: Unlimited}
	for name, tt := range map[string]struct {
		d    Decision
		want int
	}{
		"none":      {Decision{}, 0},
		"sum":       {Decision{Options: map[string]Option{"a": limited, "b": limited}}, 4},
		"unlimited": {Decision{Options: map[string]Option{"a": limited, "b": free}}, Unlimited},
		"anywhere":  {Decision{Anywhere: true}, Unlimited},
	} {
		if got := tt.d.Room(); got != tt.want {
			t.Errorf("%s: room %d, want %d", name, got, tt.want)
		}
	}
}

func TestBestOnANode(t *testing.T) {
	d := Decision{Options: index([]Option{
		{Accelerator: "a100", Rank: 1, Kind: catalogue.Kind{Name: "a100", Multiplicity: 1}},
		{Accelerator: "4xa100", Rank: 1, Kind: catalogue.Kind{Name: "4xa100", Multiplicity: 4}},
		{Accelerator: "b100", Rank: 1, Kind: catalogue.Kind{Name: "b100", Multiplicity: 4}},
		{Accelerator: "h100", Rank: 0, Kind: catalogue.Kind{Name: "h100", Multiplicity: 1}},
	})}
	for _, tt := range []struct {
		carried []string
		want    string
	}{
		{[]string{"4xa100", "a100", "b100", "h100"}, "h100"}, // the rank first
		{[]string{"b100", "a100", "4xa100"}, "4xa100"},       // then the larger accelerator, then the name
		{[]string{"a100"}, "a100"},
		{[]string{"l4"}, ""},
		{nil, ""},
	} {
		if got, ok := d.Best(tt.carried); got.Accelerator != tt.want || ok != (tt.want != "") {
			t.Errorf("best of %v is %q (%v), want %q", tt.carried, got.Accelerator, ok, tt.want)
		}
	}
}
