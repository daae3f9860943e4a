package doctor

import (
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/metricsadapter"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// autoscalerAccount is that of Kubernetes' own HorizontalPodAutoscaler controller.
const autoscalerAccount = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"

// neededRights are those without which a plan gets stuck somewhere on its way.
func neededRights(c *Cluster, installed string) []Right {
	account := func(name string) string { return "system:serviceaccount:" + installed + ":" + name }
	var list []Right
	need := func(who, purpose, verb, group, resource, subresource, namespace string) {
		list = append(list, Right{Who: who, For: purpose, Attributes: authorizationv1.ResourceAttributes{
			Verb: verb, Group: group, Resource: resource, Subresource: subresource, Namespace: namespace,
		}})
	}
	// As a sidecar the loop has the adapter's account; asking for its own would be wrong there. The adapter's rights are the least common.
	need(account(manifests.AdapterAccount), "to serve plans", "watch", v1alpha1.Group, "servers", "", "")
	need(account(manifests.AdapterAccount), "to know who asks for metrics", "create", "authentication.k8s.io", "tokenreviews", "", "")
	need(account(manifests.SchedulerAccount), "to place pods by the plan", "watch", v1alpha1.Group, "servers", "", "")
	need(account(manifests.SchedulerAccount), "to know the nodes that a plan means", "watch", v1alpha1.Group, "accelerators", "", "")
	need(account(manifests.SchedulerAccount), "to bind pods", "create", "", "pods", "binding", "")
	for _, namespace := range namespaces(c) {
		external, custom := usedAPIs(c, namespace)
		if external {
			need(autoscalerAccount, "to read plans", "list", "external.metrics.k8s.io", metricsadapter.DesiredReplicas, "", namespace)
		}
		if custom {
			need(autoscalerAccount, "to read plans", "get", "custom.metrics.k8s.io", "servers."+v1alpha1.Group, metricsadapter.DesiredReplicas, namespace)
		}
	}
	return list
}

func namespaces(c *Cluster) []string {
	var names []string
	for i := range c.Servers {
		names = append(names, c.Servers[i].Namespace)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// rights tells which of the needed ones are missing.
func (r *report) rights(c *Cluster) {
	unknown := map[string]bool{}
	for _, n := range c.Rights {
		object := "account/" + strings.ReplaceAll(strings.TrimPrefix(n.Who, "system:serviceaccount:"), ":", "/")
		switch {
		case n.Unknown != nil && !unknown[n.Unknown.Error()]:
			unknown[n.Unknown.Error()] = true
			r.warn(object, "what it may do is not known: "+n.Unknown.Error(), "run with an account that may create subjectaccessreviews")
		case n.Unknown != nil || n.Allowed:
		default:
			a := n.Attributes
			resource := strings.Trim(a.Group+"/"+strings.Trim(a.Resource+"/"+a.Subresource, "/"), "/")
			where := ""
			if a.Namespace != "" {
				where = " in namespace " + a.Namespace
			}
			r.fault(object, fmt.Sprintf("may not %s %s%s, which it needs %s", a.Verb, resource, where, n.For), "install the chart again, or apply the overlay")
		}
	}
}
