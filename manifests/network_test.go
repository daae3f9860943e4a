package manifests

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// A party to traffic: a pod, or what is none and has only an address.
type party struct {
	namespace string
	labels    labels.Set
	address   string // of what is no pod
}

// network is what NetworkPolicies let through, as https://kubernetes.io/docs/concepts/services-networking/network-policies says that they are read.
type network []*networking.NetworkPolicy

// allows a connection: the sender's policies must let it out, and the receiver's in.
func (n network) allows(from, to party, protocol core.Protocol, port int) bool {
	return n.passes(from, networking.PolicyTypeEgress, to, protocol, port) && n.passes(to, networking.PolicyTypeIngress, from, protocol, port)
}

// passes is whether the policies of a party let it talk with a peer in a direction: where none selects it everything passes, else what any of them
// names.
func (n network) passes(p party, direction networking.PolicyType, peer party, protocol core.Protocol, port int) bool {
	if p.address != "" {
		return true
	}
	selected := false
	for _, policy := range n {
		if policy.Namespace != p.namespace || !slices.Contains(policy.Spec.PolicyTypes, direction) || !selects(&policy.Spec.PodSelector, p.labels) {
			continue
		}
		selected = true
		for _, rule := range rules(policy, direction) {
			if rule.has(policy.Namespace, peer) && rule.opens(protocol, port) {
				return true
			}
		}
	}
	return !selected
}

// opening is a rule of either direction.
type opening struct {
	peers []networking.NetworkPolicyPeer
	ports []networking.NetworkPolicyPort
}

func rules(p *networking.NetworkPolicy, direction networking.PolicyType) (list []opening) {
	if direction == networking.PolicyTypeIngress {
		for _, r := range p.Spec.Ingress {
			list = append(list, opening{r.From, r.Ports})
		}
		return list
	}
	for _, r := range p.Spec.Egress {
		list = append(list, opening{r.To, r.Ports})
	}
	return list
}

func (r opening) has(namespace string, p party) bool {
	return len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(peer networking.NetworkPolicyPeer) bool {
		if peer.IPBlock != nil {
			return p.address != "" && netip.MustParsePrefix(peer.IPBlock.CIDR).Contains(netip.MustParseAddr(p.address))
		}
		there := p.namespace == namespace
		if peer.NamespaceSelector != nil {
			there = selects(peer.NamespaceSelector, labels.Set{"kubernetes.io/metadata.name": p.namespace})
		}
		return p.address == "" && there && (peer.PodSelector == nil || selects(peer.PodSelector, p.labels))
	})
}

func (r opening) opens(protocol core.Protocol, port int) bool {
	return len(r.ports) == 0 || slices.ContainsFunc(r.ports, func(p networking.NetworkPolicyPort) bool {
		return ptr.Deref(p.Protocol, core.ProtocolTCP) == protocol && (p.Port == nil || p.Port.IntValue() == port)
	})
}

func selects(selector *metav1.LabelSelector, set labels.Set) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		panic(err)
	}
	return s.Matches(set)
}

// Who may reach whom is what is needed, and nothing else. What a policy forbids the network of the cluster has to enforce: this is what it is told.
func TestWhoMayReachWhom(t *testing.T) {
	for name, c := range map[string]struct {
		installation installation
		// where Prometheus runs.
		namespace string
		port      int
		// more connections than by default.
		more func(from, to, port string) bool
	}{
		"by default": {namespace: "monitoring", port: 9090},
		"Prometheus elsewhere": {
			installation: installation{values: "prometheus: {namespace: observability, port: 8080}"}, namespace: "observability", port: 8080,
		},
		"everything": {
			installation: installations["chart with everything"], namespace: "monitoring", port: 9091,
			more: func(from, to, port string) bool {
				return from == "keda" && to == "adapter" && port == "TCP 9443" || from == "optimizer" && to == "elsewhere"
			},
		},
	} {
		objects := decode(t, c.installation.mustRender(t))
		n := network(of[*networking.NetworkPolicy](objects))
		needed := func(from, to, port string) bool {
			switch {
			case to == "adapter" && port == "TCP 6443": // the API server asks from wherever it runs; who asks it, the adapter checks itself
				return true
			case isOurs(from) && !isOurs(to): // names, and the API server, which no selector can name, for it is no pod
				return slices.Contains([]string{"UDP 53", "TCP 53", "TCP 443", "TCP 6443"}, port) ||
					from == "optimizer" && to == "prometheus" && port == fmt.Sprint("TCP ", c.port)
			}
			return from == "prometheus" && (to == "optimizer" && port == "TCP 8443" || to == "scheduler" && port == "TCP 10259")
		}
		parties := partiesOf(t, objects, c.namespace)
		for from, sender := range parties {
			for to, receiver := range parties {
				if from == to || !isOurs(from) && !isOurs(to) {
					continue
				}
				for _, number := range []int{53, 80, 443, 6060, 6443, 8000, 8080, 8081, 8443, 9090, 9091, 9443, 10251, 10259} {
					for _, protocol := range []core.Protocol{core.ProtocolTCP, core.ProtocolUDP} {
						port := fmt.Sprint(protocol, " ", number)
						want := needed(from, to, port) || c.more != nil && c.more(from, to, port)
						if got := n.allows(sender, receiver, protocol, number); got != want {
							t.Errorf("%s: %s → %s %s: allowed %v, want %v", name, from, to, port, got, want)
						}
					}
				}
			}
		}
	}
}

func isOurs(name string) bool { return name == "optimizer" || name == "adapter" || name == "scheduler" }

// partiesOf an installation: its programs, those who have to do with them, and strangers.
func partiesOf(t *testing.T, objects []runtime.Object, prometheus string) map[string]party {
	t.Helper()
	parties := map[string]party{
		"prometheus": {namespace: prometheus, labels: labels.Set{"app.kubernetes.io/name": "prometheus"}},
		"keda":       {namespace: "keda", labels: labels.Set{"app": "keda-operator"}},
		"dns":        {namespace: "kube-system", labels: labels.Set{"k8s-app": "kube-dns"}},
		"tenant":     {namespace: "llm", labels: labels.Set{"app.kubernetes.io/part-of": "inferno", "app.kubernetes.io/name": "prometheus"}},
		"neighbour":  {namespace: Namespace, labels: labels.Set{"app": "something"}},
		"API server": {address: "192.0.2.1"},
		"elsewhere":  {address: "10.1.2.3"},
	}
	ports := map[string][]int32{"optimizer": {8443}, "adapter": {6443}, "scheduler": {10259}}
	for _, d := range of[*apps.Deployment](objects) {
		name := containers(d)[0].Name
		parties[name] = party{namespace: d.Namespace, labels: d.Spec.Template.Labels}
		for _, port := range ports[name] { // policies name numbers, which must be those that the programs listen on
			if !slices.ContainsFunc(containers(d)[0].Ports, func(p core.ContainerPort) bool { return p.ContainerPort == port }) {
				t.Errorf("%s does not listen on %d", name, port)
			}
		}
	}
	return parties
}

// The evaluator itself reads policies as Kubernetes does.
func TestNetworkOfPolicies(t *testing.T) {
	a, b := party{namespace: "x", labels: labels.Set{"app": "a"}}, party{namespace: "y", labels: labels.Set{"app": "b"}}
	tcp, port := core.ProtocolTCP, intstr.FromInt32(80)
	on := func(selector map[string]string, ingress ...networking.NetworkPolicyIngressRule) *networking.NetworkPolicy {
		return &networking.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: "x"},
			Spec: networking.NetworkPolicySpec{
				PodSelector: metav1.LabelSelector{MatchLabels: selector}, PolicyTypes: []networking.PolicyType{networking.PolicyTypeIngress}, Ingress: ingress,
			},
		}
	}
	from := func(peers ...networking.NetworkPolicyPeer) networking.NetworkPolicyIngressRule {
		return networking.NetworkPolicyIngressRule{From: peers, Ports: []networking.NetworkPolicyPort{{Protocol: &tcp, Port: &port}}}
	}
	y := &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "y"}}
	for name, c := range map[string]struct {
		n    network
		want bool
	}{
		"no policy":                    {nil, true},
		"one that selects others":      {network{on(map[string]string{"app": "other"})}, true},
		"one that lets nothing in":     {network{on(nil)}, false},
		"one of several that lets in":  {network{on(nil), on(nil, from())}, true},
		"of pods of the own namespace": {network{on(nil, from(networking.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{}}))}, false},
		"of that namespace":            {network{on(nil, from(networking.NetworkPolicyPeer{NamespaceSelector: y}))}, true},
		"of other pods of it": {network{on(nil, from(networking.NetworkPolicyPeer{
			NamespaceSelector: y, PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}},
		}))}, false},
		"of addresses": {network{on(nil, from(networking.NetworkPolicyPeer{IPBlock: &networking.IPBlock{CIDR: "0.0.0.0/0"}}))}, false},
	} {
		if got := c.n.allows(b, a, core.ProtocolTCP, 80); got != c.want {
			t.Errorf("%s: allowed %v, want %v", name, got, c.want)
		}
		if c.n.allows(b, a, core.ProtocolTCP, 81) && len(c.n) > 0 && len(rules(c.n[len(c.n)-1], networking.PolicyTypeIngress)) > 0 {
			t.Errorf("%s: another port is open", name)
		}
		if !c.n.allows(a, b, core.ProtocolTCP, 80) {
			t.Errorf("%s: what goes out is not free", name)
		}
	}
}
