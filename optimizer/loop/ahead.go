package loop

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/realise"
)

// capacityBuffer is as much of a CapacityBuffer of the Cluster Autoscaler's API as is read and written: room for so many pods of a PodTemplate of its name.
type capacityBuffer struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              bufferSpec `json:"spec"`
	Status            struct {
		Conditions []metav1.Condition `json:"conditions"`
	} `json:"status"`
}

type bufferSpec struct {
	ProvisioningStrategy string                      `json:"provisioningStrategy"`
	PodTemplateRef       corev1.LocalObjectReference `json:"podTemplateRef"`
	Replicas             int32                       `json:"replicas"`
}

// activeCapacity is the strategy that every autoscaler with buffers has: nodes that run.
const activeCapacity = "buffer.x-k8s.io/active-capacity"

// Conditions of a CapacityBuffer: whether the pods are known, whether quotas leave it all that it asks for, and whether its autoscaler can help.
const (
	bufferReady       = "ReadyForProvisioning"
	bufferLimited     = "LimitedByQuotas"
	bufferProvisioned = "Provisioning"
)

var bufferKind = schema.GroupKind{Group: "autoscaling.x-k8s.io", Kind: "CapacityBuffer"}

// rooms are what node autoscalers are told of pods that are needed ahead of time, and what is needed to tell them.
type rooms struct {
	// asked says that they are to be told; else all is taken back.
	asked bool
	// kind of the buffers, in the newest version that the API server has.
	kind schema.GroupVersionKind
	// buffers and templates that are there, by name.
	buffers   map[types.NamespacedName]*capacityBuffer
	templates map[types.NamespacedName]*corev1.PodTemplate
	kinds     *catalogue.Classifier
	// labels of the nodes.
	labels map[string]map[string]string
	// unread says why they could not be read; nil where they were.
	unread error
	// left says that something could not be taken back.
	mu   sync.Mutex
	left bool
}

// readRooms reads what node autoscalers are told, where the Optimizer asks for it or has asked before: then it is taken back.
func (c *cycle) readRooms(ctx context.Context, r *observe.Readings) {
	asked := c.optimizer.Spec.CapacityAhead == v1alpha1.CapacityAheadBuffer
	if !asked && meta.FindStatusCondition(c.optimizer.Status.Conditions, v1alpha1.ConditionCapacityAhead) == nil {
		return
	}
	c.rooms = &rooms{
		asked: asked, buffers: map[types.NamespacedName]*capacityBuffer{}, templates: map[types.NamespacedName]*corev1.PodTemplate{},
		kinds: catalogue.ClassifierOf(r.Resources.Accelerators), labels: map[string]map[string]string{},
	}
	for i := range r.Nodes {
		c.rooms.labels[r.Nodes[i].Name] = r.Nodes[i].Labels
	}
	ctx, cancel := context.WithTimeout(ctx, c.QueryTimeout)
	defer cancel()
	c.rooms.unread = c.rooms.read(ctx, c.Client, c.direct())
}

func (r *rooms) read(ctx context.Context, api client.Client, reader client.Reader) error {
	mapping, err := api.RESTMapper().RESTMapping(bufferKind, "v1beta1", "v1alpha1")
	if meta.IsNoMatchError(err) {
		return fmt.Errorf("the API server knows no CapacityBuffers: %w", err)
	} else if err != nil {
		return err
	}
	r.kind = mapping.GroupVersionKind
	var buffers []capacityBuffer
	if err := listAs(ctx, reader, r.kind, &buffers, client.HasLabels{v1alpha1.ServerLabel}); err != nil {
		return err
	}
	var templates corev1.PodTemplateList
	if err := reader.List(ctx, &templates, client.HasLabels{v1alpha1.ServerLabel}); err != nil {
		return err
	}
	for i := range buffers {
		r.buffers[types.NamespacedName{Namespace: buffers[i].Namespace, Name: buffers[i].Name}] = &buffers[i]
	}
	for i := range templates.Items {
		r.templates[client.ObjectKeyFromObject(&templates.Items[i])] = &templates.Items[i]
	}
	return nil
}

// sayRooms says of the Optimizer whether autoscalers can be told, for as long as they are to be or something is left of it.
func (c *cycle) sayRooms() {
	switch r := c.rooms; {
	case r == nil:
	case r.unread != nil:
		words := fmt.Sprintf("spec.capacityAhead: %s: %v", v1alpha1.CapacityAheadBuffer, r.unread)
		if apierrors.IsForbidden(r.unread) {
			words += "; capacityAhead.enabled of the chart gives the right to it"
		}
		c.conditions = append(c.conditions, sound(v1alpha1.ConditionCapacityAhead, "", "", v1alpha1.ReasonBuffersUnread, words))
	case r.asked || r.left || c.dryRun():
		c.conditions = append(c.conditions, sound(v1alpha1.ConditionCapacityAhead, v1alpha1.ReasonAutoscalersTold, "node autoscalers are told of capacity that is needed ahead of time", "", ""))
	default:
		meta.RemoveStatusCondition(&c.optimizer.Status.Conditions, v1alpha1.ConditionCapacityAhead)
	}
}

// makeRoom tells node autoscalers what the plan of a server needs ahead of time, takes back what it does not need, and says in its next status what
// they make of it.
func (c *cycle) makeRoom(ctx context.Context, s *v1alpha1.Server, next *v1alpha1.ServerStatus) {
	var condition *metav1.Condition
	if r := c.rooms; r != nil && r.unread == nil && !c.dryRun() {
		var wanted []jsonspec.AllocationPart
		if r.asked {
			wanted = realise.Ahead(next.Desired)
		}
		condition = c.tellRooms(ctx, s, wanted)
	} else if r != nil && r.asked {
		condition = meta.FindStatusCondition(next.Conditions, v1alpha1.ConditionCapacityAhead) // it is not known
	}
	if condition == nil {
		meta.RemoveStatusCondition(&next.Conditions, v1alpha1.ConditionCapacityAhead)
		return
	}
	condition.Type, condition.ObservedGeneration, condition.LastTransitionTime = v1alpha1.ConditionCapacityAhead, s.Generation, c.report.Time
	meta.SetStatusCondition(&next.Conditions, *condition)
}

// tellRooms has a buffer and its template for each part, and no others. Nil where there is nothing to say.
func (c *cycle) tellRooms(ctx context.Context, s *v1alpha1.Server, parts []jsonspec.AllocationPart) *metav1.Condition {
	var faults, waiting, limited, refused, kept []string
	named := map[string]bool{}
	for _, p := range parts {
		kind, known := c.rooms.kinds.Kind(p.Accelerator)
		if !known {
			faults = append(faults, fmt.Sprintf("there is no Accelerator %s", p.Accelerator))
			continue
		}
		name := roomName(s.Name, strings.Trim(kind.Name+"-"+p.Variant, "-"))
		named[name] = true
		of := fmt.Sprintf("%d × %s", p.Ahead, p.On())
		b, err := c.tellRoom(ctx, s, name, kind, p)
		if err != nil {
			faults = append(faults, fmt.Sprintf("%s: %v", of, err))
			continue
		}
		about := func(kind string, status metav1.ConditionStatus) string {
			if x := meta.FindStatusCondition(b.Status.Conditions, kind); x != nil && x.Status == status {
				return fmt.Sprintf("%s: %s (%s)", of, x.Message, x.Reason)
			}
			return ""
		}
		switch {
		case about(bufferReady, metav1.ConditionFalse) != "":
			refused = append(refused, about(bufferReady, metav1.ConditionFalse))
		case about(bufferLimited, metav1.ConditionTrue) != "":
			limited = append(limited, about(bufferLimited, metav1.ConditionTrue))
		case about(bufferProvisioned, metav1.ConditionFalse) != "":
			refused = append(refused, about(bufferProvisioned, metav1.ConditionFalse))
		case about(bufferProvisioned, metav1.ConditionTrue) != "":
			kept = append(kept, of)
		default:
			waiting = append(waiting, of)
		}
	}
	faults = append(faults, c.takeBack(ctx, s, named)...)
	for _, x := range []struct {
		list           []string
		status         metav1.ConditionStatus
		reason, before string
	}{
		{faults, metav1.ConditionFalse, v1alpha1.ReasonRefused, "node autoscalers are not told of all that is needed ahead of time: "},
		{refused, metav1.ConditionFalse, v1alpha1.ReasonRoomRefused, "the node autoscaler makes no room: "},
		{limited, metav1.ConditionFalse, v1alpha1.ReasonRoomLimited, "quotas leave less room than is needed ahead of time: "},
		{waiting, metav1.ConditionUnknown, v1alpha1.ReasonRoomAwaited, "no node autoscaler has said that it makes room: "},
		{kept, metav1.ConditionTrue, v1alpha1.ReasonRoomKept, "the node autoscaler makes room ahead of time: "},
	} {
		if len(x.list) > 0 {
			return &metav1.Condition{Status: x.status, Reason: x.reason, Message: listed(x.before, x.list)}
		}
	}
	return nil
}

// roomName of the buffer and the template for a server on an accelerator, with a variant of its model where it has several.
func roomName(server, on string) string {
	name := server + "-ahead-" + on
	if len(name) <= validation.DNS1123SubdomainMaxLength {
		return name
	}
	sum := fnv.New64a()
	sum.Write([]byte(name))
	return fmt.Sprintf("%s-%x", strings.TrimRight(name[:validation.DNS1123SubdomainMaxLength-17], ".-"), sum.Sum64())
}

// tellRoom writes a buffer and its template where they are not as they should be, and returns the buffer as it was read.
func (c *cycle) tellRoom(ctx context.Context, s *v1alpha1.Server, name string, kind catalogue.Kind, p jsonspec.AllocationPart) (*capacityBuffer, error) {
	ref := s.Spec.ScaleTargetRef
	for i := range s.Spec.Variants {
		if v := &s.Spec.Variants[i]; v.Name == s.Spec.VariantOf(p.Accelerator, p.Variant) {
			ref = &v.ScaleTargetRef
		}
	}
	if ref == nil {
		return nil, fmt.Errorf("spec.scaleTargetRef names no workload whose pods could be told of")
	}
	template, err := c.template(ctx, s.Namespace, ref)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the pods are not known: %w", err)
	case template == nil:
		return nil, fmt.Errorf("the pods of a %s are not known, those of a Deployment or a StatefulSet are", ref.Kind)
	case template.Annotations[v1alpha1.GroupSizeAnnotation] != "":
		return nil, fmt.Errorf("a replica of several pods cannot be told of")
	}
	shape := realise.Shape(template, placement.Requirements(c.rooms.kinds, kind, c.rooms.labels))
	key := types.NamespacedName{Namespace: s.Namespace, Name: name}
	if err := c.writeTemplate(ctx, s, key, shape); err != nil {
		return nil, err
	}
	have, want := c.rooms.buffers[key], bufferSpec{activeCapacity, corev1.LocalObjectReference{Name: name}, int32(min(p.Ahead, 1<<30))}
	if have != nil && owned(have, s) && have.Spec == want {
		return have, nil
	}
	if have == nil {
		have = &capacityBuffer{}
	}
	return have, c.applyOwned(ctx, s, c.rooms.kind, key, have.UID, map[string]any{"spec": want}, nil)
}

func (c *cycle) writeTemplate(ctx context.Context, s *v1alpha1.Server, key types.NamespacedName, shape corev1.PodTemplateSpec) error {
	text, err := json.Marshal(shape)
	if err != nil {
		return err
	}
	sum := fnv.New64a()
	sum.Write(text)
	annotations := map[string]string{v1alpha1.ShapeAnnotation: fmt.Sprintf("%x", sum.Sum64())}
	have := c.rooms.templates[key]
	if have != nil && owned(have, s) && have.Annotations[v1alpha1.ShapeAnnotation] == annotations[v1alpha1.ShapeAnnotation] && equality.Semantic.DeepDerivative(shape, have.Template) {
		return nil
	}
	var uid types.UID
	if have != nil {
		uid = have.UID
	}
	return c.applyOwned(ctx, s, corev1.SchemeGroupVersion.WithKind("PodTemplate"), key, uid, map[string]any{"template": shape}, annotations)
}

// owned says whether an object is a Server's: what is not is not written, whatever its labels say.
func owned(o metav1.Object, s *v1alpha1.Server) bool {
	return o.GetLabels()[v1alpha1.ServerLabel] == s.Name && slices.ContainsFunc(o.GetOwnerReferences(), func(r metav1.OwnerReference) bool { return r.UID == s.UID })
}

// applyOwned writes an object of a Server's by server-side apply: one that is not there, or the one that was read. Another of its name stays as it is.
func (c *cycle) applyOwned(
	ctx context.Context, s *v1alpha1.Server, kind schema.GroupVersionKind, key types.NamespacedName, uid types.UID, content map[string]any, annotations map[string]string,
) error {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: key.Namespace, Name: key.Name, UID: uid, Annotations: annotations, Labels: map[string]string{v1alpha1.ServerLabel: s.Name},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Server", Name: s.Name, UID: s.UID}},
	}})
	if err != nil {
		return err
	}
	text, err := json.Marshal(content)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &object); err != nil {
		return err
	}
	unstructured.RemoveNestedField(object, "metadata", "creationTimestamp")
	u := &unstructured.Unstructured{Object: object}
	u.SetGroupVersionKind(kind)
	return c.try(ctx, kind.Kind+" "+key.String(), func(ctx context.Context) error {
		there := &unstructured.Unstructured{}
		there.SetGroupVersionKind(kind)
		switch err := c.direct().Get(ctx, key, there); {
		case err == nil && !owned(there, s):
			return fmt.Errorf("there is another %s %s: it stays as it is", kind.Kind, key)
		case client.IgnoreNotFound(err) != nil:
			return err
		}
		return c.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(FieldOwner), client.ForceOwnership)
	})
}

// takeBack removes what there is of a Server's but for the names, buffers first, and says what could not be removed.
func (c *cycle) takeBack(ctx context.Context, s *v1alpha1.Server, named map[string]bool) (faults []string) {
	remove := func(kind schema.GroupVersionKind, o metav1.Object) {
		if o.GetNamespace() != s.Namespace || named[o.GetName()] || !owned(o, s) {
			return
		}
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(kind)
		u.SetNamespace(o.GetNamespace())
		u.SetName(o.GetName())
		uid := o.GetUID()
		if err := c.try(ctx, kind.Kind+" "+client.ObjectKeyFromObject(u).String(), func(ctx context.Context) error {
			return c.Client.Delete(ctx, u, client.Preconditions{UID: &uid})
		}); err != nil {
			faults = append(faults, fmt.Sprintf("%s %s cannot be taken back: %v", kind.Kind, o.GetName(), err))
		}
	}
	for _, b := range c.rooms.buffers {
		remove(c.rooms.kind, b)
	}
	for _, t := range c.rooms.templates {
		remove(corev1.SchemeGroupVersion.WithKind("PodTemplate"), t)
	}
	slices.Sort(faults)
	if len(faults) > 0 {
		c.rooms.mu.Lock()
		defer c.rooms.mu.Unlock()
		c.rooms.left = true
	}
	return faults
}
