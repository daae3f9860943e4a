package fleet

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/fleet/page"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
)

// pod is a pod that the fleet plays.
type pod struct {
	name        types.NamespacedName
	uid         types.UID
	node        string
	server      string // key
	accelerator string
	role        serving.Role
	link        serving.Link
	config      simulation.Config
	page        *page.Page
}

// serves tells whether a pod takes requests: it is bound, Ready and not going.
func serves(p *corev1.Pod) bool {
	if p.DeletionTimestamp != nil || p.Spec.NodeName == "" {
		return false
	}
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// together tells of pods whether one serves: where several are a replica, all of them must.
func together(pods []*corev1.Pod) (whole func(*corev1.Pod) bool) {
	type name struct{ namespace, group string }
	of := func(p *corev1.Pod) name { return name{p.Namespace, placement.GroupOf(p).Name} }
	serving := map[name]int{}
	for _, p := range pods {
		if serves(p) {
			serving[of(p)]++
		}
	}
	return func(p *corev1.Pod) bool {
		return serves(p) && (of(p).group == "" || serving[of(p)] >= placement.GroupOf(p).Size)
	}
}

// start makes what plays a pod on a node, or says all that is wrong with the pod.
// Its container would not start either with such limits.
func (f *Fleet) start(p *corev1.Pod, node *corev1.Node) (*pod, error) {
	key := p.Namespace + "/" + p.Labels[v1alpha1.ServerLabel]
	server, known := f.servers[key]
	if !known {
		return nil, fmt.Errorf("label %s: server %s is not one of the fleet's", v1alpha1.ServerLabel, key)
	}
	accelerator, acceleratorErr := f.config.accelerator(node)
	limits, limitsErr := f.config.limits(p.Annotations)
	if err := errors.Join(acceleratorErr, limitsErr); err != nil {
		return nil, err
	}
	role, _ := placement.RoleOf(p)
	which := truthKey{server.Model, accelerator, role}
	i := slices.IndexFunc(f.config.Truths, func(t Truth) bool { return truthKey{t.Model, t.Accelerator, t.Role} == which })
	if i < 0 {
		return nil, fmt.Errorf("no truth for %s", which)
	}
	played := &pod{
		name: types.NamespacedName{Namespace: p.Namespace, Name: p.Name}, uid: p.UID, node: p.Spec.NodeName,
		server: key, accelerator: accelerator, role: roles[role], link: f.config.Truths[i].Link, config: f.config.Truths[i].engine(limits), page: page.New(server.Model),
	}
	played.config.Seed = seed(f.config.Seed, played.name)
	played.config.Hooks = played.page.Hooks()
	return played, nil
}

// accelerator names the accelerator of a node by its product.
func (c Config) accelerator(node *corev1.Node) (string, error) {
	for _, label := range c.ProductLabels {
		product, present := node.Labels[label]
		if !present {
			continue
		}
		if accelerator, known := c.Accelerators[product]; known {
			return accelerator, nil
		}
		return "", fmt.Errorf("node %s: label %s: product %q is none of the fleet's accelerators", node.Name, label, product)
	}
	return "", fmt.Errorf("node %s: has none of the product labels %v", node.Name, c.ProductLabels)
}

// limits are what the container of a pod would be started with.
func (c Config) limits(annotations map[string]string) (simulation.Limits, error) {
	limits := c.Defaults
	var faults []error
	for _, a := range []struct {
		name  string
		field *int
	}{{v1alpha1.MaxNumSeqsAnnotation, &limits.MaxNumSeqs}, {v1alpha1.MaxNumBatchedTokensAnnotation, &limits.MaxNumBatchedTokens}} {
		text, present := annotations[a.name]
		if !present {
			continue
		}
		value, err := strconv.Atoi(text)
		if err != nil || value < 1 {
			faults = append(faults, fmt.Errorf("annotation %s: %q, want a whole number of at least 1", a.name, text))
			continue
		}
		*a.field = value
	}
	if len(faults) == 0 {
		faults = append(faults, limits.Validate())
	}
	return limits, errors.Join(faults...)
}

// seed gives every pod its own noise, the same in every run.
func seed(fleet uint64, name types.NamespacedName) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name.String()))
	return fleet ^ h.Sum64()
}
