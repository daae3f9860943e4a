package manifests

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbac "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/llm-inferno/inferno/metricsadapter"
)

func quantity(s string) *resource.Quantity {
	q := resource.MustParse(s)
	return &q
}

// rights of a service account in a namespace, as lines "scope: verb group/resource[=name]", or the role of the cluster that it is bound to.
func rights(objects []runtime.Object, in, account string) []string {
	rules := map[string][]rbac.PolicyRule{}
	for _, role := range of[*rbac.ClusterRole](objects) {
		rules["ClusterRole/"+role.Name] = role.Rules
	}
	for _, role := range of[*rbac.Role](objects) {
		rules[role.Namespace+"/Role/"+role.Name] = role.Rules
	}
	var lines []string
	add := func(scope, namespace string, ref rbac.RoleRef, subjects []rbac.Subject) {
		if !slices.ContainsFunc(subjects, func(s rbac.Subject) bool {
			return s.Kind == rbac.ServiceAccountKind && s.Namespace == in && s.Name == account
		}) {
			return
		}
		key := "ClusterRole/" + ref.Name
		if ref.Kind == "Role" {
			key = namespace + "/Role/" + ref.Name
		}
		ours, known := rules[key]
		if !known {
			lines = append(lines, scope+": "+ref.Kind+" "+ref.Name)
		}
		for _, rule := range ours {
			lines = append(lines, flatten(scope, rule)...)
		}
	}
	for _, b := range of[*rbac.ClusterRoleBinding](objects) {
		add("cluster", "", b.RoleRef, b.Subjects)
	}
	for _, b := range of[*rbac.RoleBinding](objects) {
		add(b.Namespace, b.Namespace, b.RoleRef, b.Subjects)
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

func flatten(scope string, rule rbac.PolicyRule) []string {
	var lines []string
	for _, verb := range rule.Verbs {
		for _, group := range rule.APIGroups {
			for _, kind := range rule.Resources {
				line := fmt.Sprintf("%s: %s %s/%s", scope, verb, group, kind)
				if len(rule.ResourceNames) > 0 {
					line += "=" + strings.Join(rule.ResourceNames, ",")
				}
				lines = append(lines, line)
			}
		}
		for _, url := range rule.NonResourceURLs {
			lines = append(lines, fmt.Sprintf("%s: %s %s", scope, verb, url))
		}
	}
	return lines
}

// spell writes out "scope: verb,verb group/resource,resource".
func spell(compact ...string) []string {
	var lines []string
	for _, c := range compact {
		scope, rest, _ := strings.Cut(c, ": ")
		verbs, where, _ := strings.Cut(rest, " ")
		group, kinds, found := strings.Cut(where, "/")
		if !found {
			lines = append(lines, c)
			continue
		}
		for _, verb := range strings.Split(verbs, ",") {
			for _, kind := range strings.Split(kinds, ",") {
				lines = append(lines, fmt.Sprintf("%s: %s %s/%s", scope, verb, group, kind))
			}
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// optimizerRights and adapterRights are all that these programs may do.
var (
	optimizerRights = []string{
		"cluster: get,list,watch inferno.platform.ai/accelerators,estimates,models,optimizers,servers,serviceclasses",
		"cluster: create,delete,update inferno.platform.ai/estimates",
		"cluster: patch inferno.platform.ai/accelerators/status,models/status,optimizers/status,servers/status,serviceclasses/status",
		"cluster: get,list,watch /limitranges,namespaces,nodes,pods,resourcequotas",
		"cluster: get,list,watch scheduling.k8s.io/priorityclasses",
		"cluster: get,list,watch apps/deployments,statefulsets",
		"cluster: create,patch,delete inferno.platform.ai/servers",
		"cluster: create,patch inferno.platform.ai/models",
		"cluster: create inferno.platform.ai/accelerators",
		"cluster: list,create,patch,delete autoscaling/horizontalpodautoscalers",
		"cluster: get,list,watch resource.k8s.io/deviceclasses,resourceclaims,resourceslices",
		"cluster: list kueue.x-k8s.io/clusterqueues,cohorts,localqueues,resourceflavors,workloads",
		"cluster: patch /pods",
		"cluster: create,patch /events",
		"cluster: create,patch events.k8s.io/events",
		"cluster: ClusterRole system:auth-delegator",
		"inferno-system: create coordination.k8s.io/leases",
		"inferno-system: get,update,patch coordination.k8s.io/leases=inferno-optimizer",
	}
	adapterRights = []string{
		"cluster: get,list,watch inferno.platform.ai/servers",
		"cluster: ClusterRole system:auth-delegator",
		"kube-system: Role extension-apiserver-authentication-reader",
	}
	schedulerRights = []string{
		"cluster: get,list,watch inferno.platform.ai/accelerators,models,servers",
		"cluster: patch /pods",
		"cluster: ClusterRole system:kube-scheduler",
		"cluster: ClusterRole system:volume-scheduler",
		"kube-system: Role extension-apiserver-authentication-reader",
		"inferno-system: create coordination.k8s.io/leases",
		"inferno-system: get,update,patch coordination.k8s.io/leases=inferno-scheduler",
	}
)

func TestAccountsHaveTheirRightsAndNoOthers(t *testing.T) {
	lifts := decode(t, installation{values: "gates: {enabled: true}"}.mustRender(t))
	shows := decode(t, installation{values: "console: {enabled: true}"}.mustRender(t))
	buys := decode(t, installation{values: "karpenter: {enabled: true}"}.mustRender(t))
	tells := decode(t, installation{values: "capacityAhead: {enabled: true}"}.mustRender(t))
	weighs := decode(t, installation{values: "routes: {enabled: true}"}.mustRender(t))
	adoptsNone := decode(t, installation{values: "adoption: {enabled: false}"}.mustRender(t))
	answersKEDA := decode(t, installation{values: "keda: {enabled: true}"}.mustRender(t))
	for _, test := range []struct {
		name    string
		objects []runtime.Object
		account string
		want    []string
	}{
		{"optimizer", decode(t, RBAC()), OptimizerAccount, optimizerRights},
		{"optimizer that adopts no workloads", adoptsNone, OptimizerAccount, slices.DeleteFunc(spell(optimizerRights...), func(right string) bool {
			_, what, _ := strings.Cut(right, ": ")
			verb, object, _ := strings.Cut(what, " ")
			group, _, _ := strings.Cut(object, "/")
			return group == "autoscaling" || group == "apps" && verb != "get" || group == "inferno.platform.ai" && !strings.HasSuffix(object, "/estimates") && slices.Contains([]string{"create", "delete"}, verb) ||
				slices.Contains([]string{"patch inferno.platform.ai/servers", "patch inferno.platform.ai/models"}, what)
		})},
		{"optimizer with a console", shows, OptimizerAccount, optimizerRights},
		{"optimizer that lifts gates", lifts, OptimizerAccount, append(slices.Clone(optimizerRights), "cluster: delete /pods")},
		{"optimizer that counts on Karpenter", buys, OptimizerAccount, append(slices.Clone(optimizerRights), "cluster: list karpenter.sh/nodepools", "default: list /events")},
		{"optimizer that tells node autoscalers", tells, OptimizerAccount, append(slices.Clone(optimizerRights),
			"cluster: create,delete,get,list,patch autoscaling.x-k8s.io/capacitybuffers", "cluster: create,delete,get,list,patch /podtemplates")},
		{"optimizer that weighs routes", weighs, OptimizerAccount, append(slices.Clone(optimizerRights), "cluster: get,patch gateway.networking.k8s.io/httproutes")},
		{"adapter", decode(t, RBAC()), AdapterAccount, adapterRights},
		{"adapter that watches gates", lifts, AdapterAccount, append(slices.Clone(adapterRights), "cluster: patch inferno.platform.ai/servers/status", "cluster: list /pods", "cluster: create,patch events.k8s.io/events")},
		{"adapter that answers KEDA", answersKEDA, AdapterAccount, append(slices.Clone(adapterRights), "keda: get,update /secrets=inferno-keda-client")},
		{"scheduler", decode(t, RBAC()), SchedulerAccount, schedulerRights},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(spell(test.want...), rights(test.objects, Namespace, test.account)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// No role of ours has a wildcard, reads secrets, or reaches what would make it more than it is.
func TestRolesStayWithinBounds(t *testing.T) {
	forbiddenKinds := []string{
		"secrets", "serviceaccounts", "serviceaccounts/token", "pods/exec", "pods/eviction", "roles", "rolebindings", "clusterroles",
		"clusterrolebindings",
	}
	forbiddenVerbs := []string{"*", "escalate", "bind", "impersonate", "deletecollection"}
	roles := 0
	for name, objects := range builds(t) {
		rules := map[string][]rbac.PolicyRule{}
		for _, role := range of[*rbac.ClusterRole](objects) {
			rules[role.Name] = append(rules[role.Name], role.Rules...)
		}
		for _, role := range of[*rbac.Role](objects) {
			rules[role.Name] = append(rules[role.Name], role.Rules...)
		}
		for role, all := range rules {
			roles++
			for _, rule := range all {
				if slices.Contains(rule.APIGroups, "*") || slices.ContainsFunc(rule.NonResourceURLs, func(u string) bool { return strings.Contains(u, "*") }) {
					t.Errorf("%s: %s has a wildcard: %v", name, role, rule)
				}
				for _, verb := range rule.Verbs {
					if slices.Contains(forbiddenVerbs, verb) {
						t.Errorf("%s: %s may %s", name, role, verb)
					}
				}
				if name == "chart with everything" && slices.Equal(rule.ResourceNames, []string{"inferno-keda-client"}) && slices.Equal(rule.Verbs, []string{"get", "update"}) {
					continue // the one Secret that the adapter fills in for KEDA
				}
				for _, kind := range rule.Resources {
					if strings.Contains(kind, "*") || slices.Contains(forbiddenKinds, kind) {
						t.Errorf("%s: %s reaches %s", name, role, kind)
					}
				}
			}
		}
	}
	if roles == 0 {
		t.Error("no roles were checked")
	}
}

// Whoever may view a namespace may see every metric of it.
func TestViewersSeeEveryMetric(t *testing.T) {
	var served []string
	for _, info := range metricsadapter.New(nil, nil).ListAllExternalMetrics() {
		served = append(served, info.Metric)
	}
	for _, role := range of[*rbac.ClusterRole](decode(t, RBAC())) {
		for _, rule := range role.Rules {
			if slices.Contains(rule.APIGroups, "external.metrics.k8s.io") {
				if diff := cmp.Diff(served, rule.Resources); diff != "" {
					t.Errorf("%s (-served +visible)\n%s", role.Name, diff)
				}
				return
			}
		}
	}
	t.Error("nobody may see metrics")
}
