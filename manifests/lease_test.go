package manifests

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// argument of a container by its flag; found is false where it is not given.
func argument(c core.Container, flag string) (value string, found bool) {
	for _, arg := range c.Args {
		if name, value, _ := strings.Cut(arg, "="); name == flag {
			return value, true
		}
	}
	return "", false
}

// electionLease is the lease, as namespace/name, by which the replicas of a container elect their leader; empty where they do not.
func electionLease(namespace string, c core.Container) string {
	switch value, elects := argument(c, "--leader-elect"); {
	case !elects || value == "false":
		return ""
	case c.Name == "scheduler":
		in, _ := argument(c, "--leader-elect-resource-namespace")
		name, _ := argument(c, "--leader-elect-resource-name")
		return in + "/" + name
	default:
		name, _ := argument(c, "--leader-election-id")
		return namespace + "/" + name
	}
}

// elections are the leases of all containers, and the account of each.
func elections(objects []runtime.Object) map[string]string {
	leases := map[string]string{}
	for _, d := range of[*apps.Deployment](objects) {
		for _, c := range d.Spec.Template.Spec.Containers {
			if lease := electionLease(d.Namespace, c); lease != "" {
				leases[lease] = d.Spec.Template.Spec.ServiceAccountName
			}
		}
	}
	return leases
}

// In what is applied, whoever elects a leader may take and renew the lease that it names. kustomize rewrites names, so the files alone do not
// tell.
func TestLeadersMayHaveTheirLeases(t *testing.T) {
	for name, objects := range builds(t) {
		leases, secrets := elections(objects), map[string]bool{}
		for _, s := range of[*core.Secret](objects) {
			secrets[s.Namespace+"/"+s.Name] = true
		}
		if len(of[*apps.Deployment](objects)) > 0 && strings.HasPrefix(name, "overlays/") && len(leases) < 2 {
			t.Errorf("%s: %d leases, the scheduler and the optimizer have one each", name, len(leases))
		}
		for lease, account := range leases {
			namespace, leaseName, _ := strings.Cut(lease, "/")
			have := rights(objects, namespace, account)
			for _, verb := range []string{"get", "update"} {
				if want := fmt.Sprintf("%s: %s coordination.k8s.io/leases=%s", namespace, verb, leaseName); !slices.Contains(have, want) {
					t.Errorf("%s: account %s lacks %q; it has\n%s", name, account, want, strings.Join(have, "\n"))
				}
			}
			if want := namespace + ": create coordination.k8s.io/leases"; !slices.Contains(have, want) {
				t.Errorf("%s: account %s lacks %q", name, account, want)
			}
		}
	}
}

// A right to an object by name is to one that is there: a lease that somebody elects by, or a Secret that is installed.
func TestNamedResourcesExist(t *testing.T) {
	for name, objects := range builds(t) {
		leases, secrets := elections(objects), map[string]bool{}
		for _, s := range of[*core.Secret](objects) {
			secrets[s.Namespace+"/"+s.Name] = true
		}
		if len(of[*apps.Deployment](objects)) == 0 {
			continue // the programs run elsewhere
		}
		for _, role := range of[*rbac.Role](objects) {
			for _, rule := range role.Rules {
				for _, named := range rule.ResourceNames {
					key := role.Namespace + "/" + named
					if !(slices.Equal(rule.Resources, []string{"leases"}) && leases[key] != "") && !(slices.Equal(rule.Resources, []string{"secrets"}) && secrets[key]) {
						t.Errorf("%s: %s names %s %q, which is not there", name, identify(role), rule.Resources, named)
					}
				}
			}
		}
		for _, role := range of[*rbac.ClusterRole](objects) {
			for _, rule := range role.Rules {
				if len(rule.ResourceNames) > 0 {
					t.Errorf("%s: %s names %v, which nothing checks", name, identify(role), rule.ResourceNames)
				}
			}
		}
	}
}
