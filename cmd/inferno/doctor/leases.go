package doctor

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// partLabel marks what inferno consists of.
const partLabel = "app.kubernetes.io/part-of"

// Lease by which the replicas of a program elect the one that works.
type Lease struct {
	// Name of the lease, and the Deployment (namespace/name) whose replicas elect by it.
	Name       string `json:"name"`
	Deployment string `json:"deployment"`
	// Holder that renewed it last; empty where nobody ever held it, or it was given up.
	Holder string `json:"holder"`
	// Renewed is when, and Duration how long a renewal holds.
	Renewed  time.Time     `json:"renewed"`
	Duration time.Duration `json:"-"`
}

// held says whether somebody leads by it.
func (l Lease) held(now time.Time) bool { return l.Holder != "" && now.Sub(l.Renewed) <= l.Duration }

// describe says who holds it, and when it was renewed.
func (l Lease) describe(now time.Time) string {
	if l.Holder == "" {
		return "nobody holds it"
	}
	return fmt.Sprintf("held by %s, renewed %s ago", l.Holder, max(0, now.Sub(l.Renewed)).Round(time.Second))
}

// DescribeLeases says of each lease who holds it and when it was renewed, a line each.
func DescribeLeases(c *Cluster) []string {
	var lines []string
	for _, l := range c.Leases {
		lines = append(lines, fmt.Sprintf("lease %s of deployment/%s: %s", l.Name, l.Deployment, l.describe(c.Now)))
	}
	return lines
}

// electionLease is the name of the lease that a container elects by; empty where it does not elect.
func electionLease(c *corev1.Container) string {
	given := map[string]string{}
	for _, arg := range c.Args {
		flag, value, _ := strings.Cut(arg, "=")
		given[flag] = value
	}
	if value, elects := given["--leader-elect"]; !elects || value == "false" {
		return ""
	}
	return cmp.Or(given["--leader-elect-resource-name"], given["--leader-election-id"], "inferno-optimizer")
}

// readLeases of inferno's Deployments in the namespace. Programs that run outside the cluster need none.
func readLeases(ctx context.Context, c client.Client, namespace string) ([]Lease, error) {
	var deployments appsv1.DeploymentList
	if err := c.List(ctx, &deployments, client.InNamespace(namespace), client.MatchingLabels{partLabel: "inferno"}); err != nil {
		return nil, fmt.Errorf("listing Deployments of %s: %w", namespace, err)
	}
	var leases []Lease
	for i := range deployments.Items {
		d := &deployments.Items[i]
		for j := range d.Spec.Template.Spec.Containers {
			name := electionLease(&d.Spec.Template.Spec.Containers[j])
			if name == "" {
				continue
			}
			lease, err := readLease(ctx, c, namespace, name)
			if err != nil {
				return nil, err
			}
			lease.Name, lease.Deployment = name, namespace+"/"+d.Name
			leases = append(leases, lease)
		}
	}
	return leases, nil
}

func readLease(ctx context.Context, c client.Client, namespace, name string) (Lease, error) {
	var found coordinationv1.Lease
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &found); apierrors.IsNotFound(err) {
		return Lease{}, nil
	} else if err != nil {
		return Lease{}, fmt.Errorf("reading lease %s/%s: %w", namespace, name, err)
	}
	var lease Lease
	if found.Spec.HolderIdentity != nil && found.Spec.RenewTime != nil && found.Spec.LeaseDurationSeconds != nil {
		lease.Holder, lease.Renewed = *found.Spec.HolderIdentity, found.Spec.RenewTime.Time
		lease.Duration = time.Duration(*found.Spec.LeaseDurationSeconds) * time.Second
	}
	return lease, nil
}

// leases tells which programs nobody leads: their pods may all be ready, and nothing is done.
func (r *report) leases(c *Cluster) {
	if c.LeasesFault != nil {
		r.warn("lease", "who leads inferno's programs is not known: "+c.LeasesFault.Error(), "run with an account that may list Deployments and get leases there")
	}
	for _, l := range c.Leases {
		if !l.held(c.Now) {
			r.fault("deployment/"+l.Deployment, fmt.Sprintf("none of its pods leads: of the lease %s, %s", l.Name, l.describe(c.Now)),
				"see its pods' logs, and whether their account may get, create and update that lease")
		}
	}
}
