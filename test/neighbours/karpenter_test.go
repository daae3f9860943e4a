package neighbours

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

var (
	plans = flag.Int("plans", 50, "random plans that Karpenter buys nodes for, each from zero nodes")
	seed  = flag.Uint64("seed", 1, "seed of the random plans")
)

const (
	instanceType = "node.kubernetes.io/instance-type"
	capacityType = "karpenter.sh/capacity-type"
	doNotDisrupt = "karpenter.sh/do-not-disrupt"
	// insufficient is how long the optimizer does without what had no capacity.
	insufficient = 20 * time.Second
)

// market has machines of three GPU types. Each Accelerator of the cluster below is one of them, had in one way.
var market = stack.Market{
	{Name: "h100x1", GPU: controlplane.H100, Cards: 1, OnDemand: 4, Spot: 2}, {Name: "h100x8", GPU: controlplane.H100, Cards: 8, OnDemand: 32, Spot: 16},
	{Name: "a100x1", GPU: controlplane.A100, Cards: 1, OnDemand: 2.5, Spot: 1.2}, {Name: "l40sx1", GPU: controlplane.L40S, Cards: 1, OnDemand: 1.1, Spot: 0.6},
}

// accelerators of the cluster, and the machine and the way of each.
var accelerators = map[string]carried{
	"h100": {"h100x1", stack.OnDemand, "H100"}, "h100-spot": {"h100x1", stack.Spot, "H100"},
	"a100": {"a100x1", stack.OnDemand, "A100"}, "a100-spot": {"a100x1", stack.Spot, "A100"},
	"l40s": {"l40sx1", stack.OnDemand, "L40S"}, "l40s-spot": {"l40sx1", stack.Spot, "L40S"},
}

// startKarpenter starts a stack whose nodes Karpenter buys from the market.
func startKarpenter(t testing.TB, optimizer string) *site {
	t.Helper()
	return start(t, stack.Options{Karpenter: market}, cluster(accelerators, "  placement: Gates\n"+optimizer))
}

// serve creates a Server with a Deployment whose pods are made behind the gate, ask for no scheduler of inferno's, and are not to be disrupted by Karpenter.
func (s *site) serve(name string, replicas int) *v1alpha1.Server {
	s.t.Helper()
	server := &v1alpha1.Server{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: v1alpha1.ServerSpec{
			Model: "llama", ServiceClass: "premium", MaxBatchedTokens: 1024,
			ServerBinding: jsonspec.ServerBinding{ScaleTargetRef: &jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: name}},
		},
	}
	d := stack.Deployment(server, 1)
	d.Spec.Replicas = new(int32(replicas))
	pod := &d.Spec.Template
	pod.Spec.SchedulerName = corev1.DefaultSchedulerName
	pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: v1alpha1.PlacementGate}}
	pod.Annotations = map[string]string{doNotDisrupt: "true"}
	s.must(errors.Join(s.Client.Create(s.t.Context(), server), s.Client.Create(s.t.Context(), d)))
	return server
}

// scale the Deployment of a server.
func (s *site) scale(name string, replicas int) {
	s.t.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	s.must(s.Client.Patch(s.t.Context(), d, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas))))
}

// plan writes a plan by hand.
func (s *site) plan(name string, parts map[string]int) {
	s.t.Helper()
	s.eventually("a plan is written", func(ctx context.Context) error {
		server := &v1alpha1.Server{}
		if err := s.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, server); err != nil {
			return err
		}
		d := &v1alpha1.DesiredState{DecidedAt: metav1.Now(), ConfirmedAt: metav1.Now()}
		for _, a := range slices.Sorted(maps.Keys(parts)) {
			if parts[a] > 0 {
				d.Parts = append(d.Parts, jsonspec.AllocationPart{Accelerator: a, Replicas: parts[a]})
				d.Replicas += parts[a]
			}
		}
		server.Status.Desired = d
		return s.Client.Status().Update(ctx, server)
	})
}

// accelerator that a node carries.
func accelerator(n *corev1.Node) string {
	for name, a := range accelerators {
		if n.Labels[instanceType] == a.machine && n.Labels[capacityType] == a.way {
			return name
		}
	}
	return n.Labels[instanceType] + "/" + n.Labels[capacityType]
}

// counted are nodes by what they carry.
func counted(nodes []corev1.Node) map[string]int {
	n := map[string]int{}
	for i := range nodes {
		n[accelerator(&nodes[i])]++
	}
	return n
}

// where the ready pods of a server are, by what their nodes carry; those that wait behind their gate are under "gated", all others under "".
func (s *site) where(ctx context.Context, server string) (map[string]int, error) {
	pods, errPods := s.pods(ctx, server)
	nodes, errNodes := s.nodes(ctx)
	n := map[string]int{}
	for i := range pods {
		p := &pods[i]
		at := ""
		if k := slices.IndexFunc(nodes, func(n corev1.Node) bool { return n.Name == p.Spec.NodeName }); k >= 0 && ready(p) {
			at = accelerator(&nodes[k])
		} else if seats.Gated(p) {
			at = "gated"
		}
		n[at]++
	}
	return n, errors.Join(errPods, errNodes)
}

// clear lets all nodes go: their instances are given back.
func (s *site) clear() {
	s.t.Helper()
	claims := &unstructured.Unstructured{}
	claims.SetGroupVersionKind(nodeClaim)
	s.must(s.Client.DeleteAllOf(s.t.Context(), claims))
	s.eventually("no node is left", func(ctx context.Context) error {
		nodes, err := s.nodes(ctx)
		if err == nil && len(nodes) > 0 {
			err = fmt.Errorf("%v are left", counted(nodes))
		}
		return err
	})
}

var nodeClaim = schema.GroupVersionKind{Group: "karpenter.sh", Version: "v1", Kind: "NodeClaim"}

// Of random plans, each from zero nodes, Karpenter buys what was planned and nothing else, at no time more than two nodes beyond it; pods that the plan has no
// seat for wait, and nobody buys for them.
func TestKarpenterBuysWhatIsPlanned(t *testing.T) {
	s := startKarpenter(t, "  mode: Suspended\n")
	s.serve("chat", 0)
	rng := rand.New(rand.NewPCG(*seed, 18))
	names := slices.Sorted(maps.Keys(accelerators))
	most := 0
	for round := range *plans {
		parts, total, beyond := map[string]int{}, 0, rng.IntN(4)
		for _, a := range rng.Perm(len(names))[:1+rng.IntN(3)] {
			parts[names[a]] = 1 + rng.IntN(3)
			total += parts[names[a]]
		}
		want := maps.Clone(parts)
		if beyond > 0 {
			want["gated"] = beyond
		}
		stop := s.watch(func(ctx context.Context) {
			nodes, err := s.nodes(ctx)
			if err != nil {
				return
			}
			surplus := 0
			for a, n := range counted(nodes) {
				if parts[a] == 0 {
					t.Errorf("plan %d, %v: a node of %s", round, parts, a)
				}
				surplus += max(n-parts[a], 0)
			}
			if most = max(most, surplus); surplus > 2 {
				t.Errorf("plan %d, %v: %d nodes are surplus", round, parts, surplus)
			}
		})
		s.plan("chat", parts)
		s.scale("chat", total+beyond)
		began := time.Now()
		s.eventually(fmt.Sprintf("plan %d, %v, is there", round, parts), func(ctx context.Context) error {
			got, err := s.where(ctx, "chat")
			nodes, errNodes := s.nodes(ctx)
			if err == nil && (!maps.Equal(got, want) || !maps.Equal(counted(nodes), parts)) {
				err = fmt.Errorf("pods are at %v, should be at %v; nodes are %v", got, want, counted(nodes))
			}
			return errors.Join(err, errNodes)
		})
		t.Logf("plan %d, %v with %d beyond it: there after %.1f s", round, parts, beyond, time.Since(began).Seconds())
		stop()
		if t.Failed() {
			return
		}
		s.plan("chat", nil)
		s.scale("chat", 0)
		s.eventually("the pods are gone", func(ctx context.Context) error {
			s.must(s.Client.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(namespace), client.GracePeriodSeconds(0)))
			pods, err := s.pods(ctx, "chat")
			if err == nil && len(pods) > 0 {
				err = fmt.Errorf("%d are left", len(pods))
			}
			return err
		})
		s.clear()
	}
	t.Logf("%d plans; at most %d nodes surplus at any time", *plans, most)
}

// Karpenter would move a replica to a smaller node, but what its pod says, or a PodDisruptionBudget, keeps it; without either it is moved.
func TestConsolidationLeavesReplicasAlone(t *testing.T) {
	s := startKarpenter(t, "  mode: Suspended\n")
	small := &unstructured.Unstructured{}
	small.SetGroupVersionKind(schema.GroupVersionKind{Group: "karpenter.sh", Version: "v1", Kind: "NodePool"})
	small.SetName(market[0].NodePool(stack.OnDemand))
	s.must(s.Client.Delete(t.Context(), small))
	s.serve("chat", 1)
	s.plan("chat", map[string]int{"h100": 1})
	const large = "h100x8/on-demand"
	at := func(where string) func(context.Context) error {
		return func(ctx context.Context) error {
			got, err := s.where(ctx, "chat")
			if err == nil && !maps.Equal(got, map[string]int{where: 1}) {
				err = fmt.Errorf("pods are at %v", got)
			}
			return err
		}
	}
	s.eventually("the replica is on a node of eight cards, for there is no smaller one", at(large))
	before, err := s.pods(t.Context(), "chat")
	s.must(err)
	pools, err := market.NodePools()
	s.must(errors.Join(err, s.Apply(t.Context(), pools)))
	s.eventually("Karpenter says that it may not disrupt the node", func(ctx context.Context) error {
		var events corev1.EventList
		err := s.Client.List(ctx, &events, client.MatchingFields{"reason": "DisruptionBlocked"})
		if err == nil && len(events.Items) == 0 {
			err = errors.New("no such event")
		}
		return err
	})
	after, err := s.pods(t.Context(), "chat")
	s.must(err)
	if len(after) != 1 || after[0].UID != before[0].UID || !ready(&after[0]) {
		t.Errorf("the replica was disrupted: %v, then %v", before, after)
	}

	budget := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "chat", Namespace: namespace},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: new(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "chat"}}},
	}
	s.must(s.Client.Create(t.Context(), budget))
	s.eventually("the budget is in force", func(ctx context.Context) error {
		err := s.Client.Get(ctx, client.ObjectKeyFromObject(budget), budget)
		if err == nil && budget.Status.ExpectedPods != 1 {
			err = fmt.Errorf("it knows of %d pods", budget.Status.ExpectedPods)
		}
		return err
	})
	free := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:null}}}`, doNotDisrupt)
	s.must(s.Client.Patch(t.Context(), after[0].DeepCopy(), client.RawPatch(types.MergePatchType, free)))
	s.eventually("Karpenter says that the budget keeps it", func(ctx context.Context) error {
		var events corev1.EventList
		err := s.Client.List(ctx, &events, client.MatchingFields{"reason": "DisruptionBlocked"})
		if err == nil && !slices.ContainsFunc(events.Items, func(e corev1.Event) bool { return strings.Contains(strings.ToLower(e.Message), "pdb") }) {
			err = errors.New("no such event")
		}
		return err
	})
	if after, err := s.pods(t.Context(), "chat"); err != nil || len(after) != 1 || after[0].UID != before[0].UID || !ready(&after[0]) {
		t.Errorf("the replica was disrupted: %v, then %v, %v", before, after, err)
	}
	s.must(s.Client.Delete(t.Context(), budget))
	s.eventually("without either it is moved to a node of one card", at("h100"))
	s.eventually("the large node goes", func(ctx context.Context) error {
		nodes, err := s.nodes(ctx)
		if err == nil && !maps.Equal(counted(nodes), map[string]int{"h100": 1}) {
			err = fmt.Errorf("nodes are %v", counted(nodes))
		}
		return err
	})
}

// The whole loop: what NodePools can buy is what plans count on, from zero nodes.
func TestKarpenterFollowsTheLoop(t *testing.T) {
	var types []string
	for _, m := range market {
		types = append(types, fmt.Sprintf("{name: %s, type: %s, cards: %d}", m.Name, strings.ToUpper(strings.Split(m.Name, "x")[0]), m.Cards))
	}
	s := startKarpenter(t, fmt.Sprintf(`  interval: %s
  staleAfter: 5m
  prometheus: {window: 8s}
  elasticFrom: Karpenter
  karpenter: {deadline: 10m, insufficientFor: %s, instanceTypes: [%s]}
  stability: {damped: {scaleInHoldDown: 5s, minimalGain: "0.1"}}
`, interval, insufficient, strings.Join(types, ", ")))
	s.price("l40s", 10)
	kinds := map[string]string{}
	for _, m := range market {
		kinds[m.GPU.Product] = strings.ToUpper(strings.Split(m.Name, "x")[0])
	}
	s.play(kinds)
	server := s.serve("chat", 1)
	s.must(s.Client.Create(t.Context(), stack.Autoscaler(server)))
	s.traffic(20)

	s.settled("from zero nodes", "l40s")

	// A price changes: make before break, and the nodes that were left go.
	least := s.leastReady()
	s.price("h100", 1)
	s.settled("after a change of prices", "h100")
	if n := least(); n < 1 {
		t.Error("there was a time without a ready replica while they moved")
	}

	// A type cannot be had: the plan goes on to the next within two cycles, and comes back.
	s.must(s.Lack("a100x1"))
	least = s.leastReady()
	s.price("a100", 0.1)
	s.eventually("the plan asks for what cannot be had, and takes it back", func(ctx context.Context) error {
		o := &v1alpha1.Optimizer{}
		if err := s.Client.Get(ctx, client.ObjectKey{Name: "default"}, o); err != nil {
			return err
		}
		if c := o.Status.LastCycle; c == nil || len(c.TakenBack) == 0 || c.TakenBack[0].Pool != "a100x1-on-demand/a100x1" {
			return fmt.Errorf("the last cycle is %+v", c)
		}
		return nil
	})
	s.settled("while there is no capacity", "h100")
	if n := s.cyclesUntilTakenBack(); n > 2 {
		t.Errorf("the plan went on to the next type after %d cycles, want at most 2", n)
	}
	s.must(s.Lack())
	s.settled("when there is capacity again", "a100")
	if n := least(); n < 1 {
		t.Error("there was a time without a ready replica while they moved")
	}

	// A spot node is interrupted: its replica is replaced before it goes.
	s.price("h100-spot", 0.01)
	s.settled("on spot", "h100-spot")
	least = s.leastReady()
	s.interrupt()
	s.settled("after an interruption", "h100-spot")
	if n := least(); n < 1 {
		t.Error("there was a time without a ready replica after the interruption")
	}
}

// price of an accelerator, in cents per hour.
func (s *site) price(name string, cost float64) {
	s.t.Helper()
	a := &v1alpha1.Accelerator{ObjectMeta: metav1.ObjectMeta{Name: name}}
	s.must(s.Client.Patch(s.t.Context(), a, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"costPerHour":"%g"}}`, cost))))
}

// settled waits until all pods are ready on the accelerator as planned, and there are no other nodes than theirs.
func (s *site) settled(when, on string) {
	s.t.Helper()
	began := time.Now()
	s.eventually(fmt.Sprintf("%s the replicas are on %s, and no other nodes are there", when, on), func(ctx context.Context) error {
		server := &v1alpha1.Server{}
		err := s.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "chat"}, server)
		got, errPods := s.where(ctx, "chat")
		nodes, errNodes := s.nodes(ctx)
		if err := errors.Join(err, errPods, errNodes); err != nil {
			return err
		}
		d := server.Status.Desired
		if d == nil || d.Surge > 0 || d.Replicas < 1 || !maps.Equal(got, map[string]int{on: d.Replicas}) || !maps.Equal(got, counted(nodes)) {
			return fmt.Errorf("the plan is %+v, pods are at %v, nodes are %v", d, got, counted(nodes))
		}
		return nil
	})
	s.t.Logf("%s: on %s after %.1f s", when, on, time.Since(began).Seconds())
}

// leastReady replicas from now until the returned function is called.
func (s *site) leastReady() func() int {
	least := 1 << 20
	stop := s.watch(func(ctx context.Context) {
		if pods, err := s.pods(ctx, "chat"); err == nil {
			n := 0
			for i := range pods {
				if ready(&pods[i]) {
					n++
				}
			}
			least = min(least, n)
		}
	})
	return func() int { stop(); return least }
}

// interrupt the node of a replica as Karpenter does when a cloud says that it takes it back, and hold that its replica has another before the two minutes are over.
func (s *site) interrupt() {
	s.t.Helper()
	claims := &unstructured.UnstructuredList{}
	claims.SetGroupVersionKind(nodeClaim)
	pods, err := s.pods(s.t.Context(), "chat")
	s.must(errors.Join(err, s.Client.List(s.t.Context(), claims)))
	node := pods[0].Spec.NodeName
	i := slices.IndexFunc(claims.Items, func(c unstructured.Unstructured) bool {
		of, _, _ := unstructured.NestedString(c.Object, "status", "nodeName")
		return of == node
	})
	if i < 0 {
		s.t.Fatalf("no NodeClaim has the node %s", node)
	}
	s.must(s.Client.Delete(s.t.Context(), &claims.Items[i]))
	began := time.Now()
	s.eventually("the interrupted node goes", func(ctx context.Context) error {
		err := s.Client.Get(ctx, client.ObjectKey{Name: node}, &corev1.Node{})
		if err == nil {
			return errors.New("it is still there")
		}
		return client.IgnoreNotFound(err)
	})
	took := time.Since(began)
	s.t.Logf("the interrupted node went after %.1f s, of 120", took.Seconds())
	if took > 2*time.Minute {
		s.t.Errorf("the interrupted node was drained by force, after %v", took)
	}
}

// cyclesUntilTakenBack counts the cycles that began in the second in which Karpenter first said that there is no capacity, or later, up to the first whose plan counts on it no more.
func (s *site) cyclesUntilTakenBack() int {
	s.t.Helper()
	var events corev1.EventList
	s.must(s.Client.List(s.t.Context(), &events, client.MatchingFields{"reason": "InsufficientCapacityError"}))
	if len(events.Items) == 0 {
		s.t.Fatal("Karpenter has not said that there is no capacity")
	}
	said := events.Items[0].LastTimestamp.Time
	for _, e := range events.Items {
		if e.LastTimestamp.Time.Before(said) {
			said = e.LastTimestamp.Time
		}
	}
	data, err := os.ReadFile(s.DecisionLog)
	s.must(err)
	cycles := 0
	for line := range bytes.Lines(data) {
		var record struct {
			Time metav1.MicroTime
			Plan jsonspec.Solution
		}
		s.must(json.Unmarshal(line, &record))
		if record.Time.Time.Before(said) { // both are in whole seconds
			continue
		}
		cycles++
		if len(record.Plan.TakenBack) > 0 {
			s.t.Logf("no capacity: taken back by cycle %d", cycles)
			return cycles
		}
	}
	s.t.Fatal("no plan takes it back")
	return 0
}
