package placement

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

func TestGroupOf(t *testing.T) {
	ours, size := v1alpha1.GroupLabel, v1alpha1.GroupSizeAnnotation
	lws := map[string]string{LWSName: "chat", LWSGroup: "3"}
	for name, tt := range map[string]struct {
		labels, annotations map[string]string
		want                Group
		missing             string // of two pods
	}{
		"a pod by itself":      {want: Group{}},
		"of three":             {map[string]string{ours: "g"}, map[string]string{size: "3"}, Group{Name: "g", Size: 3}, "its replica g has 2 of its 3 pods"},
		"of two":               {map[string]string{ours: "g"}, map[string]string{size: "2"}, Group{Name: "g", Size: 2}, ""},
		"of one":               {map[string]string{ours: "g"}, map[string]string{size: "1"}, Group{}, ""},
		"of nobody knows":      {map[string]string{ours: "g"}, nil, Group{Name: "g", Size: 0}, "its replica g is a group of pods, and annotation inferno.platform.ai/group-size does not say of how many: a number from 1 on"},
		"of no number":         {map[string]string{ours: "g"}, map[string]string{size: "two"}, Group{Name: "g", Size: 0}, "its replica g is a group of pods, and annotation inferno.platform.ai/group-size does not say of how many: a number from 1 on"},
		"of fewer than none":   {map[string]string{ours: "g"}, map[string]string{size: "-2"}, Group{Name: "g", Size: 0}, "its replica g is a group of pods, and annotation inferno.platform.ai/group-size does not say of how many: a number from 1 on"},
		"of a LeaderWorkerSet": {lws, map[string]string{LWSSize: "4"}, Group{Name: "LeaderWorkerSet/chat/3", Size: 4}, "its replica LeaderWorkerSet/chat/3 has 2 of its 4 pods"},
		"of one that is to be alone in its rack": {lws, map[string]string{LWSSize: "4", LWSExclusive: "rack"}, Group{Name: "LeaderWorkerSet/chat/3", Size: 4, Exclusive: "rack"},
			"its replica LeaderWorkerSet/chat/3 has 2 of its 4 pods, and its LeaderWorkerSet makes no others before these have a node (annotation leaderworkerset.sigs.k8s.io/exclusive-topology); name rack as topologyKey in the Model instead"},
		"of one without worker": {lws, map[string]string{LWSSize: "1"}, Group{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := GroupOf(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: tt.labels, Annotations: tt.annotations}})
			if got != tt.want {
				t.Errorf("is of %+v, want %+v", got, tt.want)
			}
			if missing := got.Missing(2); missing != tt.missing {
				t.Errorf("with two pods it waits because %q, want %q", missing, tt.missing)
			}
		})
	}
}

// A replica of several pods is counted by its first.
func TestLeaders(t *testing.T) {
	of := func(name, set, group string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if set != "" {
			p.Labels, p.Annotations = map[string]string{LWSName: set, LWSGroup: group}, map[string]string{LWSSize: "2"}
		}
		return p
	}
	left := of("chat-2-1", "chat", "2") // its leader is gone already
	left.Labels[LWSWorker] = "1"
	var names []string
	for _, p := range Leaders([]*corev1.Pod{
		of("chat-0", "chat", "0"), of("chat-0-1", "chat", "0"), of("chat-1", "chat", "1"), of("chat-1-1", "chat", "1"), left, of("other", "", ""), of("single", "", ""),
	}) {
		names = append(names, p.Name)
	}
	if diff := cmp.Diff([]string{"chat-0", "chat-1", "other", "single"}, names); diff != "" {
		t.Errorf("leaders (-want +got):\n%s", diff)
	}
}
