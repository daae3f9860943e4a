package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/adoption"
	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
	"github.com/llm-inferno/inferno/optimizer/placement"
)

const (
	rack = "example.com/rack"
	// groupTimeout is the scheduler's by default: how long a node is kept for a replica that is not whole.
	groupTimeout = time.Minute
)

// groups are a Server whose replicas are two pods of one rack, and the LeaderWorkerSet that makes them.
const groups = `
apiVersion: inferno.platform.ai/v1alpha1
kind: Model
metadata: {name: big}
spec:
  servedName: llama
  performance:
    - {accelerator: h100, acceleratorsPerReplica: 8, podsPerReplica: 2, topologyKey: example.com/rack, maxBatchSize: 64, atTokens: 100, work: {alpha: "7.0", beta: "0.0325", gamma: "0.000049"}}
---
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {name: big, namespace: llm}
spec:
  leaderWorkerTemplate:
    size: 2
    workerTemplate:
      metadata:
        labels: {inferno.platform.ai/server: big}
        annotations: {inferno.platform.ai/max-num-seqs: "64", inferno.platform.ai/max-num-batched-tokens: "1024"}
      spec:
        schedulerName: inferno-scheduler
        containers:
        - {name: engine, image: "vllm/vllm-openai:simulated", resources: {limits: {nvidia.com/gpu: "4"}}}
`

// Replicas of two pods on two nodes of one rack, made by the controller of LeaderWorkerSets: seated whole or not at all, also where two compete for the last nodes;
// started again as a whole, scaled in as a whole, and counted as one by all who count.
func TestGroupsOfPods(t *testing.T) {
	s := start(t, func(o *stack.Options) {
		o.LeaderWorkerSet, o.PodStartup = true, 4*time.Second
		o.Nodes = []controlplane.NodePool{
			{Name: "r1", Count: 3, GPU: controlplane.H100, GPUsPerNode: 4, Labels: map[string]string{rack: "r1"}},
			{Name: "r2", Count: 2, GPU: controlplane.H100, GPUsPerNode: 4, Labels: map[string]string{rack: "r2"}},
		}
	})
	s.apply(groups)
	s.patch(&v1alpha1.ServiceClass{ObjectMeta: named("premium")}, `{"spec":{"targets":[{"model":"llama","itl":"60ms","ttft":"2s"},{"model":"big","itl":"60ms","ttft":"2s"}]}}`)
	server := newServer("big", func(server *v1alpha1.Server) {
		server.Spec.Model, server.Spec.MinReplicas, server.Spec.MaxBatchSize = "big", new(2), 64
		server.Spec.ScaleTargetRef = &jsonspec.ScaleTargetRef{APIVersion: "leaderworkerset.x-k8s.io/v1", Kind: "LeaderWorkerSet", Name: "big"}
	})
	hpa := adoption.Autoscaler(server, adoption.External)
	hpa.Spec.MinReplicas = new(int32(1))
	if err := errors.Join(s.Client.Create(t.Context(), server), s.Client.Create(t.Context(), hpa)); err != nil {
		t.Fatal(err)
	}
	s.play("big")
	s.load("big", 2)
	judge := s.judgeGroups("big")

	s.eventually("two replicas run, each within a rack", s.groupsRun("big", 2))
	s.eventually("all count groups", func(ctx context.Context) error { return s.countGroups(ctx, "big", 2) })
	s.groupRestarts("big", "a worker is deleted", func(worker *corev1.Pod) error { return s.Client.Delete(t.Context(), worker) })
	s.groupRestarts("big", "a worker's container ends", func(worker *corev1.Pod) error {
		status := worker.DeepCopy()
		status.Status.ContainerStatuses[0].RestartCount++
		return s.Client.Status().Patch(t.Context(), status, client.MergeFrom(worker))
	})
	s.groupsCompete("big")

	stays := s.groupsOf("big")["0"]
	s.patch(server, `{"spec":{"minReplicas":1}}`)
	s.eventually("one replica is left", s.groupsRun("big", 1))
	s.eventually("all count groups", func(ctx context.Context) error { return s.countGroups(ctx, "big", 1) })
	if left := s.groupsOf("big")["0"]; !maps.EqualFunc(stays, left, func(a, b *corev1.Pod) bool { return a.UID == b.UID }) {
		t.Errorf("of the replica that stays there were the pods %v, and are %v", slices.Sorted(maps.Keys(stays)), slices.Sorted(maps.Keys(left)))
	}
	judge()
}

// groupsCompete for the last nodes: there is no optimizer that would plan for fewer when a node of one rack is closed, and both start anew. One gets all that it needs, the
// other nothing; and when there is room for it, all.
func (s *system) groupsCompete(server string) {
	s.t.Helper()
	optimizer := s.Process("inferno-optimizer")
	optimizer.Stop()
	closed := &corev1.Node{ObjectMeta: named("r2-0")}
	s.patch(closed, `{"spec":{"unschedulable":true}}`)
	before := map[types.UID]bool{}
	for _, group := range s.groupsOf(server) {
		for name, p := range group {
			before[p.UID] = true
			if p.Labels[placement.LWSWorker] == "0" {
				if err := s.Client.Delete(s.t.Context(), p); err != nil {
					s.t.Fatalf("%s: %v", name, err)
				}
			}
		}
	}
	s.eventually("one of two replicas that compete has its nodes, the other none and is told why", func(ctx context.Context) error {
		pods, err := s.pods(ctx, server)
		if err != nil {
			return err
		}
		onNodes, told := map[string]int{}, 0
		for _, p := range pods {
			switch {
			case before[p.UID]:
				return fmt.Errorf("%s is still there", p.Name)
			case p.Spec.NodeName != "":
				onNodes[p.Labels[placement.LWSGroup]]++
			case strings.Contains(whyPending(&p), "no domain by "+rack):
				told++
			}
		}
		if len(pods) != 4 || len(onNodes) != 1 || onNodes["0"]+onNodes["1"] != 2 || told == 0 {
			return fmt.Errorf("of %d pods %v have nodes, by replica, and %d are told why they have none", len(pods), onNodes, told)
		}
		return nil
	})
	s.patch(closed, `{"spec":{"unschedulable":null}}`)
	s.eventually("the other has its nodes when there is room for it", func(ctx context.Context) error {
		pods, err := s.pods(ctx, server)
		for _, p := range pods {
			if p.Spec.NodeName == "" {
				err = errors.Join(err, fmt.Errorf("%s waits: %s", p.Name, whyPending(&p)))
			}
		}
		return err
	})
	if err := optimizer.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("both run", s.groupsRun(server, 2))
}

// whyPending is what a pod without a node is told.
func whyPending(p *corev1.Pod) string {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return c.Message
		}
	}
	return ""
}

// groupRestarts harms the worker of the first replica: the whole replica starts again, and counts as ready when its leader is.
func (s *system) groupRestarts(server, how string, harm func(worker *corev1.Pod) error) {
	s.t.Helper()
	before := s.groupsOf(server)["0"]
	for _, p := range before {
		if p.Labels[placement.LWSWorker] == "1" {
			if err := harm(p); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	s.eventually("one replica is ready when "+how, func(ctx context.Context) error {
		now, err := s.server(ctx, server)
		if err == nil && now.Status.ReadyReplicas != 1 {
			err = fmt.Errorf("there are %d", now.Status.ReadyReplicas)
		}
		return err
	})
	s.eventually("it starts again after "+how, s.groupsRun(server, 2))
	for name, p := range s.groupsOf(server)["0"] {
		if old := before[name]; old != nil && old.UID == p.UID {
			s.t.Errorf("when %s %s stays", how, name)
		}
	}
}

// groupsOf a server: the pods that are not going, by number of the group and name.
func (s *system) groupsOf(server string) map[string]map[string]*corev1.Pod {
	s.t.Helper()
	pods, err := s.pods(s.t.Context(), server)
	if err != nil {
		s.t.Fatal(err)
	}
	return byGroup(pods)
}

func byGroup(pods []corev1.Pod) map[string]map[string]*corev1.Pod {
	groups := map[string]map[string]*corev1.Pod{}
	for i := range pods {
		p := &pods[i]
		number := p.Labels[placement.LWSGroup]
		if p.DeletionTimestamp != nil {
			continue
		}
		if groups[number] == nil {
			groups[number] = map[string]*corev1.Pod{}
		}
		groups[number][p.Name] = p
	}
	return groups
}

// groupsRun tells whether a server is planned, and runs, on so many replicas of two ready pods, and no other pod is there.
func (s *system) groupsRun(name string, n int) func(context.Context) error {
	return func(ctx context.Context) error {
		server, err := s.server(ctx, name)
		if err != nil {
			return err
		}
		pods, err := s.pods(ctx, name)
		if err != nil {
			return err
		}
		ready := 0
		for i := range pods {
			if p := &pods[i]; p.DeletionTimestamp == nil && isReady(p) {
				ready++
			}
		}
		d := server.Status.Desired
		if d == nil || d.Replicas != n || server.Status.ReadyReplicas != n || len(pods) != 2*n || ready != 2*n {
			return fmt.Errorf("the plan is %+v, %d replicas are ready, of %d pods %d", d, server.Status.ReadyReplicas, len(pods), ready)
		}
		return nil
	}
}

func isReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue })
}

// countGroups compares what the scale subresource and the autoscaler have with the number of groups.
func (s *system) countGroups(ctx context.Context, name string, n int32) error {
	var scale autoscalingv1.Scale
	err := s.Kube.CoreV1().RESTClient().Get().AbsPath("/apis/leaderworkerset.x-k8s.io/v1/namespaces/" + namespace + "/leaderworkersets/" + name + "/scale").Do(ctx).Into(&scale)
	var hpa autoscalingv2.HorizontalPodAutoscaler
	if err := errors.Join(err, s.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &hpa)); err != nil {
		return err
	}
	if scale.Spec.Replicas != n || scale.Status.Replicas != n || hpa.Status.CurrentReplicas != n || hpa.Status.DesiredReplicas != n {
		return fmt.Errorf("scale has %d of %d replicas, the autoscaler %d of %d", scale.Status.Replicas, scale.Spec.Replicas, hpa.Status.CurrentReplicas, hpa.Status.DesiredReplicas)
	}
	return nil
}

// judgeGroups watches the pods of a server until the function that it returns is called, which fails the test where a replica was in two racks, or half of it had nodes for
// longer than the scheduler keeps them. What goes with its leader is no replica.
func (s *system) judgeGroups(server string) (end func()) {
	racks := map[string]string{}
	var nodes corev1.NodeList
	if err := s.Client.List(s.t.Context(), &nodes); err != nil {
		s.t.Fatal(err)
	}
	for _, n := range nodes.Items {
		racks[n.Name] = n.Labels[rack]
	}
	ctx, stop := context.WithCancel(s.t.Context())
	half, overdue, apart := map[types.UID]time.Time{}, map[types.UID]time.Duration{}, map[types.UID]string{}
	longest := time.Duration(0)
	look := func(now time.Time) {
		pods, err := s.pods(ctx, server)
		if err != nil {
			return // it ends, or looks again
		}
		for _, group := range byGroup(pods) {
			var leader *corev1.Pod
			at, on := map[string]bool{}, 0
			for _, p := range group {
				if p.Labels[placement.LWSWorker] == "0" {
					leader = p
				}
				if p.Spec.NodeName != "" {
					on++
					at[racks[p.Spec.NodeName]] = true
				}
			}
			if leader == nil {
				continue
			}
			if len(at) > 1 {
				apart[leader.UID] = fmt.Sprint(slices.Sorted(maps.Keys(at)))
			}
			if on != 1 {
				delete(half, leader.UID)
				continue
			}
			if _, known := half[leader.UID]; !known {
				half[leader.UID] = now
			}
			since := now.Sub(half[leader.UID])
			longest = max(longest, since)
			if since > groupTimeout {
				overdue[leader.UID] = since
			}
		}
	}
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			look(time.Now())
			time.Sleep(50 * time.Millisecond)
		}
	})
	return func() {
		stop()
		done.Wait()
		if len(overdue) > 0 || len(apart) > 0 {
			s.t.Errorf("replicas half seated for more than %v: %v; in more than one rack: %v", groupTimeout, overdue, apart)
		}
		s.t.Logf("replicas half seated: %d; the longest while that one was not whole was %v", len(overdue), longest.Round(50*time.Millisecond))
	}
}
