package inferno

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
)

func accelerator(name, typ string, multiplicity int) *v1alpha1.Accelerator {
	a := &v1alpha1.Accelerator{ObjectMeta: metav1.ObjectMeta{Name: name}}
	a.Spec.Type, a.Spec.Multiplicity = typ, multiplicity
	return a
}

func part(accelerator string, replicas int) v1alpha1.AllocationPart {
	return v1alpha1.AllocationPart{Accelerator: accelerator, Replicas: replicas}
}

// server chat/llm with a plan of these parts.
func server(parts ...v1alpha1.AllocationPart) *v1alpha1.Server {
	s := &v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: "chat"}}
	s.Spec.Model = "llama"
	s.Status.Desired = &v1alpha1.DesiredState{Parts: parts}
	return s
}

func unplannedServer() *v1alpha1.Server {
	s := server()
	s.Status.Desired = nil
	return s
}

func gpus(n string) v1.ResourceList { return v1.ResourceList{"nvidia.com/gpu": resource.MustParse(n)} }

// chosen are the options by preference, rank and limit included.
type chosen struct {
	Accelerator string
	Rank, Quota int
	Outcome     outcome
}

func inOrder(d decision) []chosen {
	var list []chosen
	for _, o := range d.options {
		list = append(list, chosen{o.accelerator, o.rank, o.quota, o.outcome})
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
	withVariants.Spec.Variants = []v1alpha1.Variant{{Name: "big", Accelerators: []string{"h100"}}, {Name: "small", Accelerators: []string{"l40s"}}}
	renewing, leaving := part("h100", 2), v1alpha1.AllocationPart{Accelerator: "a100", Surge: 2}
	renewing.Surge = 1
	tests := []struct {
		name string
		s    situation
		want []chosen
		// anywhere and reason are expected of the decision; a reason is a part of the message.
		anywhere bool
		reason   string
	}{
		{
			name: "a surge is room for pods that replace others, and none on an accelerator that the plan leaves",
			s:    situation{server: server(renewing, leaving), seated: map[string]int{"h100": 2, "a100": 1}},
			want: []chosen{{"h100", 0, 3, outcomePlanned}},
		},
		{
			name: "the least fulfilled part first",
			s:    situation{server: server(part("h100", 8), part("a100", 2)), seated: map[string]int{"h100": 5, "a100": 1}},
			want: []chosen{{"a100", 0, 2, outcomePlanned}, {"h100", 1, 8, outcomePlanned}},
		},
		{
			name: "equally fulfilled: more left first",
			s:    situation{server: server(part("a100", 2), part("h100", 8))},
			want: []chosen{{"h100", 0, 8, outcomePlanned}, {"a100", 1, 2, outcomePlanned}},
		},
		{
			name: "all equal: by name",
			s:    situation{server: server(part("h100", 3), part("a100", 3))},
			want: []chosen{{"a100", 0, 3, outcomePlanned}, {"h100", 1, 3, outcomePlanned}},
		},
		{
			name: "a quota that is used up is no option, nor one that is exceeded",
			s:    situation{server: server(part("h100", 1), part("a100", 1), part("l40s", 1)), seated: map[string]int{"h100": 1, "a100": 4}},
			want: []chosen{{"l40s", 0, 1, outcomePlanned}},
		},
		{
			name:   "everything seated: wait, and say what is planned",
			s:      situation{server: server(part("h100", 2), part("a100", 1)), seated: map[string]int{"h100": 2, "a100": 1}},
			reason: "Server llm/chat: all replicas planned for it have their place (h100 2, a100 1)",
		},
		{
			name:   "scaled to zero: wait",
			s:      situation{server: server(part("h100", 0))},
			reason: "the plan has no replica",
		},
		{
			name:   "a plan on an accelerator that is not described",
			s:      situation{server: server(part("b200", 1))},
			reason: `no Accelerator describes "b200"`,
		},
		{
			name: "the plan may use the name of the specification",
			s:    situation{server: server(part("MI300X", 1)), requests: v1.ResourceList{"amd.com/gpu": resource.MustParse("1")}},
			want: []chosen{{"mi300x-0a1b2c3d", 0, 1, outcomePlanned}},
		},
		{
			name:   "the pod requests another vendor's cards",
			s:      situation{server: server(part("MI300X", 1)), requests: gpus("1")},
			reason: `the pod's request of amd.com/gpu does not make up "MI300X"`,
		},
		{
			name: "one accelerator of four cards needs four cards",
			s:    situation{server: server(part("4xa100", 1), part("a100", 1)), requests: gpus("2")},
			want: []chosen{{"a100", 0, 1, outcomePlanned}},
		},
		{
			name: "eight cards make up two accelerators of four",
			s:    situation{server: server(part("4xa100", 1)), requests: gpus("8")},
			want: []chosen{{"4xa100", 0, 1, outcomePlanned}},
		},
		{
			name: "a pod without cards fits everything",
			s:    situation{server: server(part("4xa100", 1)), requests: v1.ResourceList{}},
			want: []chosen{{"4xa100", 0, 1, outcomePlanned}},
		},
		{
			name: "a variant goes to its own accelerators",
			s:    situation{server: withVariants, variant: "small"},
			want: []chosen{{"l40s", 0, 2, outcomePlanned}},
		},
		{
			name: "a variant nobody listed limits nothing",
			s:    situation{server: withVariants, variant: "medium"},
			want: []chosen{{"h100", 0, 2, outcomePlanned}, {"l40s", 1, 2, outcomePlanned}},
		},
		{
			name:   "no server: any accelerator that is described and there",
			s:      situation{},
			want:   []chosen{{"a100", 0, unlimited, outcomeUnplanned}, {"h100", 0, unlimited, outcomeUnplanned}, {"l40s", 0, unlimited, outcomeUnplanned}},
			reason: "Server llm/chat does not exist",
		},
		{
			name:   "never planned: what the model has data for",
			s:      situation{server: unplannedServer(), measured: []string{"l40s", "b200"}},
			want:   []chosen{{"l40s", 0, unlimited, outcomeUnplanned}},
			reason: "has no plan yet",
		},
		{
			name:   "never planned, and others are: wait",
			s:      situation{server: unplannedServer(), measured: []string{"l40s"}, expected: true},
			reason: "has no plan yet, and others have",
		},
		{
			name:   "never planned, and no node carries what the model has data for",
			s:      situation{server: unplannedServer(), measured: []string{"MI300X"}},
			want:   []chosen{{"a100", 0, unlimited, outcomeUnplanned}, {"h100", 0, unlimited, outcomeUnplanned}, {"l40s", 0, unlimited, outcomeUnplanned}},
			reason: "has no plan yet",
		},
		{
			name:     "never planned, and no accelerator anywhere",
			s:        situation{server: unplannedServer(), carried: func(string) bool { return false }},
			anywhere: true,
			reason:   "has no plan yet",
		},
		{
			name:   "overdue beyond the plan",
			s:      situation{server: server(part("h100", 1)), seated: map[string]int{"h100": 1}, measured: []string{"h100", "l40s"}, overdue: true},
			want:   []chosen{{"h100", 0, unlimited, outcomeFallback}, {"l40s", 0, unlimited, outcomeFallback}},
			reason: "waited too long for the plan",
		},
		{
			name:   "overdue with quota left: the plan still comes first",
			s:      situation{server: server(part("h100", 1)), measured: []string{"h100", "l40s"}, overdue: true},
			want:   []chosen{{"h100", 0, 1, outcomePlanned}, {"l40s", 1, unlimited, outcomeFallback}},
			reason: "no node of a planned accelerator has room",
		},
		{
			name:   "overdue, but no accelerator is there: wait, do not go just anywhere",
			s:      situation{server: server(part("h100", 1)), seated: map[string]int{"h100": 1}, overdue: true, carried: func(string) bool { return false }},
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
			s.key, s.kinds = types.NamespacedName{Namespace: "llm", Name: "chat"}, kinds
			if s.requests == nil {
				s.requests = gpus("1")
			}
			if s.carried == nil {
				s.carried = func(a string) bool { return a != "mi300x-0a1b2c3d" }
			}
			got := decide(s)
			if diff := cmp.Diff(tt.want, inOrder(got)); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
			if got.anywhere != tt.anywhere {
				t.Errorf("anywhere: %v, want %v", got.anywhere, tt.anywhere)
			}
			if !strings.Contains(got.reason, tt.reason) {
				t.Errorf("reason %q lacks %q", got.reason, tt.reason)
			}
			if len(got.options) == 0 && got.reason == "" {
				t.Error("no option and no reason")
			}
		})
	}
}

func TestRoom(t *testing.T) {
	limited := option{quota: 3, left: 2}
	free := option{quota: unlimited}
	for name, tt := range map[string]struct {
		d    decision
		want int
	}{
		"none":      {decision{}, 0},
		"sum":       {decision{options: map[string]option{"a": limited, "b": limited}}, 4},
		"unlimited": {decision{options: map[string]option{"a": limited, "b": free}}, unlimited},
		"anywhere":  {decision{anywhere: true}, unlimited},
	} {
		if got := tt.d.room(); got != tt.want {
			t.Errorf("%s: room %d, want %d", name, got, tt.want)
		}
	}
}

func TestBestOnANode(t *testing.T) {
	d := decision{options: index([]option{
		{accelerator: "a100", rank: 1, kind: catalogue.Kind{Name: "a100", Multiplicity: 1}},
		{accelerator: "4xa100", rank: 1, kind: catalogue.Kind{Name: "4xa100", Multiplicity: 4}},
		{accelerator: "b100", rank: 1, kind: catalogue.Kind{Name: "b100", Multiplicity: 4}},
		{accelerator: "h100", rank: 0, kind: catalogue.Kind{Name: "h100", Multiplicity: 1}},
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
		if got, ok := d.best(tt.carried); got.accelerator != tt.want || ok != (tt.want != "") {
			t.Errorf("best of %v is %q (%v), want %q", tt.carried, got.accelerator, ok, tt.want)
		}
	}
}
