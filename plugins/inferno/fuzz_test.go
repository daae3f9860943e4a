package inferno

import (
	"encoding/json"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// FuzzPod has the labels, annotations and owners of a pod say anything at all.
func FuzzPod(f *testing.F) {
	f.Add("chat", "big", "h100", "chat-abc", "abc", 4)
	f.Add("", "", "", "", "", 0)
	f.Add("chat", "", "no such", "-abc", "abc", -1)
	fl := newFleet()
	fl.setAccelerators([]*v1alpha1.Accelerator{accelerator("a100", "", 1), accelerator("4xa100", "A100", 4)})
	fl.setNode(node("a100-1", "a100", 8))
	f.Fuzz(func(t *testing.T, server, variant, claimed, owner, hash string, cards int) {
		yes := true
		p := pod("p", "r1")
		p.Labels = map[string]string{v1alpha1.ServerLabel: server, v1alpha1.VariantLabel: variant, "pod-template-hash": hash}
		p.Annotations = map[string]string{v1alpha1.AcceleratorAnnotation: claimed}
		p.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: owner, Controller: &yes}}
		p.Spec.NodeName = "a100-1"
		if got := fl.locate(p, "a100-1"); got != "a100" && got != "4xa100" {
			t.Fatalf("located on %q", got)
		}
		l := seats.NewLedger(fl.locate)
		l.Observe(p)
		key, ours := seats.ServerOf(p)
		if ours != (server != "") {
			t.Fatalf("label %q makes the pod ours: %v", server, ours)
		}
		seated := 0
		for _, n := range l.Seated(key, seats.RevisionOf(p)) {
			seated += n
		}
		if ours && seated != 1 || !ours && seated > 0 {
			t.Fatalf("%d seats for a pod that is ours: %v", seated, ours)
		}
		l.Forget(p.UID)
		if left := l.Seated(key, seats.RevisionOf(p)); len(left)+len(l.ServersWaiting()) > 0 {
			t.Fatal("the pod left something behind")
		}
	})
}

// FuzzAnnotations checks that what is written is well-formed, whatever the plan says.
func FuzzAnnotations(f *testing.F) {
	f.Add("H100", 96, 1024, "uid-1")
	f.Add("\"}\x00", -1, 0, "")
	f.Fuzz(func(t *testing.T, label string, batch, tokens int, uid string) {
		part := &jsonspec.AllocationPart{MaxBatchSize: batch, MaxBatchedTokens: tokens}
		annotations := (&seats.Option{Label: label, Part: part}).Annotations()
		if _, ok := annotations[v1alpha1.MaxNumSeqsAnnotation]; ok != (batch > 0) {
			t.Fatalf("max batch size %d is written: %v", batch, ok)
		}
		if _, ok := annotations[v1alpha1.MaxNumBatchedTokensAnnotation]; ok != (tokens > 0) {
			t.Fatalf("token budget %d is written: %v", tokens, ok)
		}
		if !contains(annotations, annotations) || contains(nil, annotations) {
			t.Fatal("contains is wrong")
		}
		patch, err := annotationPatch(types.UID(uid), annotations)
		if err != nil {
			t.Fatal(err)
		}
		var back struct {
			Metadata struct {
				UID         *string           `json:"uid"`
				Annotations map[string]string `json:"annotations"`
			} `json:"metadata"`
		}
		if err := json.Unmarshal(patch, &back); err != nil {
			t.Fatal(err)
		}
		if len(back.Metadata.Annotations) != len(annotations) || (back.Metadata.UID != nil) != (uid != "") {
			t.Fatalf("patch %s does not say %v for uid %q", patch, annotations, uid)
		}
	})
}
