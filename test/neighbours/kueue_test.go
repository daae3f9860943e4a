package neighbours

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
)

// What Kueue reads of workloads and writes to pods.
const (
	queueLabel    = "kueue.x-k8s.io/queue-name"
	priorityLabel = "kueue.x-k8s.io/priority-class"
	admissionGate = "kueue.x-k8s.io/admission"
	productLabel  = "nvidia.com/gpu.product"
)

// flavors of Kueue: the cards that nodes carry.
var flavors = map[string]controlplane.GPU{"h100": controlplane.H100, "a100": controlplane.A100}

// quotas of a queue that the pods of namespace llm and batch jobs share, where what is urgent takes the place of what is not.
func quotas(h100, a100 int) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: batch}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ResourceFlavor
metadata: {name: h100}
spec: {nodeLabels: {%[1]s: %[2]s}}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ResourceFlavor
metadata: {name: a100}
spec: {nodeLabels: {%[1]s: %[3]s}}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: {name: gpus}
spec:
  namespaceSelector: {}
  preemption: {withinClusterQueue: LowerPriority}
  resourceGroups:
  - coveredResources: [nvidia.com/gpu]
    flavors:
    - {name: h100, resources: [{name: nvidia.com/gpu, nominalQuota: %[4]d}]}
    - {name: a100, resources: [{name: nvidia.com/gpu, nominalQuota: %[5]d}]}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: LocalQueue
metadata: {name: serving, namespace: llm}
spec: {clusterQueue: gpus}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: LocalQueue
metadata: {name: jobs, namespace: batch}
spec: {clusterQueue: gpus}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: WorkloadPriorityClass
metadata: {name: urgent}
value: 1000
`, productLabel, controlplane.H100.Product, controlplane.A100.Product, h100, a100)
}

// startKueue starts a stack in which pods of Server chat need Kueue's admission, with eight cards of each type, more than any quota, and load that takes
// more than one of each. There is a Deployment for each type, so that Kueue's flavor is the plan's accelerator.
func startKueue(t *testing.T, h100, a100 int) *site {
	t.Helper()
	s := start(t, stack.Options{
		Kueue: true, Policies: true, Nodes: []controlplane.NodePool{{Name: "h100", Count: 1, GPU: controlplane.H100, GPUsPerNode: 8}, {Name: "a100", Count: 1, GPU: controlplane.A100, GPUsPerNode: 8}},
	}, cluster(map[string]carried{"h100": {kind: "H100"}, "a100": {kind: "A100"}}, fmt.Sprintf(`  interval: %s
  staleAfter: 5m
  acceleratorsPerServer: Several
  saturationPolicy: PriorityExhaustive
  prometheus: {window: 8s}
  sharesFrom: Kueue
  stability: {damped: {scaleInHoldDown: 5s, minimalGain: "0.1"}}
`, interval)))
	s.must(s.Apply(t.Context(), []byte(quotas(h100, a100))))
	s.play(map[string]string{controlplane.H100.Product: "H100", controlplane.A100.Product: "A100"})
	server := &v1alpha1.Server{
		ObjectMeta: metav1.ObjectMeta{Name: "chat", Namespace: namespace},
		Spec: v1alpha1.ServerSpec{
			Model: "llama", ServiceClass: "premium", MaxBatchSize: 8, MaxBatchedTokens: 1024,
		},
	}
	for _, name := range slices.Sorted(maps.Keys(flavors)) {
		d, hpa := stack.Deployment(server, 1), stack.Autoscaler(server)
		d.Name, hpa.Name, hpa.Spec.ScaleTargetRef.Name = "chat-"+name, "chat-"+name, "chat-"+name
		hpa.Spec.MinReplicas = new(int32(0))
		hpa.Spec.Metrics[0].External.Metric.Selector.MatchLabels["variant"] = name
		d.Labels = map[string]string{queueLabel: "serving"}
		d.Spec.Selector.MatchLabels["app"] = d.Name
		d.Spec.Template.Labels["app"], d.Spec.Template.Labels[v1alpha1.VariantLabel] = d.Name, name
		d.Spec.Template.Spec.NodeSelector = map[string]string{productLabel: flavors[name].Product}
		server.Spec.Variants = append(server.Spec.Variants, jsonspec.Variant{
			Name: name, Accelerators: []string{name}, ScaleTargetRef: jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: d.Name},
		})
		s.must(errors.Join(s.Client.Create(t.Context(), d), s.Client.Create(t.Context(), hpa)))
	}
	s.must(s.Client.Create(t.Context(), server))
	s.traffic(26)
	return s
}

// admitted are the pods of Server chat that Kueue has let go, by its flavor, ready ones alone; and how many it holds back.
func (s *site) admitted(ctx context.Context) (at map[string]int, held int, err error) {
	pods, err := s.pods(ctx, "chat")
	at = map[string]int{}
	for i := range pods {
		p := &pods[i]
		if slices.ContainsFunc(p.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool { return g.Name == admissionGate }) {
			held++
		}
		for name, gpu := range flavors {
			if ready(p) && p.Spec.NodeSelector[productLabel] == gpu.Product {
				at[name]++
			}
		}
	}
	return at, held, err
}

// served waits until the server is served within these quotas by a plan of which each flavor has at least so many: Kueue has admitted all of it, every pod is ready,
// and none waits.
func (s *site) served(when string, least, quota map[string]int) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%s the plan is within %v, admitted and ready", when, quota), func(ctx context.Context) error {
		server := &v1alpha1.Server{}
		err := s.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "chat"}, server)
		got, held, errPods := s.admitted(ctx)
		if err := errors.Join(err, errPods); err != nil {
			return err
		}
		plan := map[string]int{}
		if server.Status.Desired != nil {
			for _, p := range server.Status.Desired.Parts {
				plan[p.Accelerator] += p.Replicas
			}
		}
		within := true
		for name := range flavors {
			within = within && plan[name] >= least[name] && plan[name] <= quota[name]
		}
		if !within || !maps.Equal(got, plan) || held > 0 || !meta.IsStatusConditionTrue(server.Status.Conditions, v1alpha1.ConditionPlanned) {
			return fmt.Errorf("the plan is %v, %v are ready, Kueue holds %d back; conditions are %v", plan, got, held, conditions(server))
		}
		s.t.Logf("%s: within %v the plan is %v", when, quota, plan)
		return nil
	})
}

// conditions of a Server that are not True.
func conditions(s *v1alpha1.Server) []string {
	var list []string
	for _, c := range s.Status.Conditions {
		if c.Status != metav1.ConditionTrue {
			list = append(list, fmt.Sprintf("%s: %s: %s", c.Type, c.Reason, c.Message))
		}
	}
	return list
}

// quota of a flavor of the queue, from now on.
func (s *site) quota(h100, a100 int) {
	s.t.Helper()
	s.must(s.Apply(s.t.Context(), []byte(quotas(h100, a100))))
}

// The plan of a Server whose pods Kueue admits is what the quotas of its queue are enough for, by type, whatever the load: all of it is admitted and no pod waits.
// When quotas change, plan and pods follow.
func TestPlansAndQuotasAgree(t *testing.T) {
	s := startKueue(t, 2, 3)
	s.served("at first", map[string]int{"h100": 2, "a100": 1}, map[string]int{"h100": 2, "a100": 3})
	optimizer := &v1alpha1.Optimizer{}
	s.must(s.Client.Get(t.Context(), client.ObjectKey{Name: "default"}, optimizer))
	shares := optimizer.Status.LastCycle.Shares
	if len(shares) != 1 || shares[0].Name != "gpus" {
		t.Errorf("the shares are %+v, want that of the ClusterQueue", shares)
	}
	if c := meta.FindStatusCondition(optimizer.Status.Conditions, v1alpha1.ConditionSharesKept); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("the shares are not as asked for: %+v", c)
	}
	s.quota(4, 1)
	s.served("after a change of quotas", map[string]int{"h100": 3}, map[string]int{"h100": 4, "a100": 1})
	s.traffic(1)
	s.served("with little load", nil, map[string]int{"h100": 1, "a100": 1})
}

// job that takes cards of a flavor, of an urgency or none.
func (s *site) job(flavor, urgency string, cards int64) *batchv1.Job {
	s.t.Helper()
	gpus := corev1.ResourceList{"nvidia.com/gpu": *resource.NewQuantity(cards, resource.DecimalSI)}
	j := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "train", Namespace: "batch", Labels: map[string]string{queueLabel: "jobs"}},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, AutomountServiceAccountToken: new(false), NodeSelector: map[string]string{productLabel: flavors[flavor].Product},
			Containers: []corev1.Container{{Name: "train", Image: "train:simulated", Resources: corev1.ResourceRequirements{Requests: gpus, Limits: gpus}}},
		}}},
	}
	if urgency != "" {
		j.Labels[priorityLabel] = urgency
	}
	s.must(s.Client.Create(s.t.Context(), j))
	return j
}

// An urgent job takes the place of a replica: Kueue's preemption is said of the Server as such, with what Kueue says, and not as a pod that fails. The plan does
// with what is left of the quota, and takes the rest back when the job is gone.
func TestPreemptionIsSeenAsSuch(t *testing.T) {
	s := startKueue(t, 3, 3)
	s.served("at first", map[string]int{"h100": 3}, map[string]int{"h100": 3, "a100": 3})
	job := s.job("h100", "urgent", 1)
	s.eventually("the preemption is said of the Server", func(ctx context.Context) error {
		var events eventsv1.EventList
		if err := s.Client.List(ctx, &events, client.InNamespace(namespace)); err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Regarding.Kind == "Server" && e.Reason == v1alpha1.ReasonQueueEvicted && strings.Contains(e.Note, "Preempted to accommodate a workload") {
				t.Logf("event of the Server: %s", e.Note)
				return nil
			}
		}
		return fmt.Errorf("no such event among %d", len(events.Items))
	})
	s.served("beside the job", map[string]int{"h100": 2}, map[string]int{"h100": 2, "a100": 3})
	s.eventually("the job runs, and nothing of the Server fails or waits", func(ctx context.Context) error {
		server := &v1alpha1.Server{}
		err := errors.Join(
			s.Client.Get(ctx, client.ObjectKeyFromObject(job), job), s.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "chat"}, server),
		)
		if err == nil && (job.Status.Ready == nil || *job.Status.Ready != 1) {
			err = fmt.Errorf("the job's status is %+v", job.Status)
		}
		for _, c := range []string{v1alpha1.ConditionPodsStart, v1alpha1.ConditionQueueAdmits} {
			if meta.IsStatusConditionFalse(server.Status.Conditions, c) {
				err = errors.Join(err, fmt.Errorf("conditions are %v", conditions(server)))
			}
		}
		return err
	})
	s.must(s.Client.Delete(t.Context(), job, client.PropagationPolicy(metav1.DeletePropagationBackground)))
	s.served("without the job", map[string]int{"h100": 3}, map[string]int{"h100": 3, "a100": 3})
}
