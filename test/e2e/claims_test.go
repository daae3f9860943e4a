package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
)

// claimed are the nodes whose cards a driver of dynamic resource allocation publishes, and how many of each.
const claimed, devicesEach = 2, 2

// serveByClaims publishes devices of a driver, without a device plugin, and serves a Server whose pods get theirs by a claim each.
func (s *system) serveByClaims(name string) {
	s.t.Helper()
	const driver = "gpu.nvidia.com"
	pool := controlplane.NodePool{Name: "claimed", Count: claimed, Labels: map[string]string{product: controlplane.L40S.Product}}
	if err := s.AddNodes(s.t.Context(), pool); err != nil {
		s.t.Fatal(err)
	}
	s.apply(`
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: ` + driver + `}
spec: {selectors: [{cel: {expression: "device.driver == '` + driver + `'"}}]}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {namespace: ` + namespace + `, name: card}
spec: {spec: {devices: {requests: [{name: card, exactly: {deviceClassName: ` + driver + `}}]}}}
`)
	for i := range claimed {
		node, label := fmt.Sprintf("claimed-%d", i), "NVIDIA L40S"
		slice := &resourcev1.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: node}, Spec: resourcev1.ResourceSliceSpec{
			Driver: driver, NodeName: &node, Pool: resourcev1.ResourcePool{Name: node, ResourceSliceCount: 1},
		}}
		for k := range devicesEach {
			slice.Spec.Devices = append(slice.Spec.Devices, resourcev1.Device{
				Name: fmt.Sprint("gpu-", k), Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{"productName": {StringValue: &label}},
			})
		}
		if err := s.Client.Create(s.t.Context(), slice); err != nil {
			s.t.Fatal(err)
		}
	}
	server := newServer(name, nil)
	d := stack.Deployment(server, 1)
	pod := &d.Spec.Template.Spec
	pod.ResourceClaims = []corev1.PodResourceClaim{{Name: "card", ResourceClaimTemplateName: new("card")}}
	pod.Containers[0].Resources = corev1.ResourceRequirements{Claims: []corev1.ResourceClaim{{Name: "card"}}}
	if err := errors.Join(s.Client.Create(s.t.Context(), server), s.Client.Create(s.t.Context(), d), s.Client.Create(s.t.Context(), stack.Autoscaler(server))); err != nil {
		s.t.Fatal(err)
	}
}

// holdsDevices waits until every ready pod of a server holds a device of its own, on its node.
func (s *system) holdsDevices(name string) {
	s.t.Helper()
	s.eventually("each pod of "+name+" holds a device", func(ctx context.Context) error {
		pods, err := s.pods(ctx, name)
		if err != nil {
			return err
		}
		nodes := map[types.UID]string{}
		for _, p := range pods {
			nodes[p.UID] = p.Spec.NodeName
		}
		var claims resourcev1.ResourceClaimList
		if err := s.Client.List(ctx, &claims, client.InNamespace(namespace)); err != nil {
			return err
		}
		held := map[string]bool{}
		for _, c := range claims.Items {
			if c.Status.Allocation == nil || len(c.Status.ReservedFor) == 0 {
				continue
			}
			for _, r := range c.Status.Allocation.Devices.Results {
				if node := nodes[c.Status.ReservedFor[0].UID]; node != r.Pool || held[r.Pool+"/"+r.Device] {
					return fmt.Errorf("device %s of %s is held by a pod on %q", r.Device, r.Pool, node)
				}
				held[r.Pool+"/"+r.Device] = true
			}
		}
		if len(held) != len(pods) {
			return fmt.Errorf("%d devices are held by %d pods", len(held), len(pods))
		}
		return nil
	})
}

// followsByClaims plays a Server whose pods get their cards by claims: its plan counts the devices that the driver publishes, and no cards of device plugins.
func followsByClaims(t *testing.T, s *system) {
	s.t = t
	const name = "claims"
	// All devices may be too few for a moment, while what waited is counted as load too: the server is then to run on what there is.
	s.patch(&v1alpha1.Optimizer{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, `{"spec":{"saturationPolicy":"PriorityExhaustive"}}`)
	s.serveByClaims(name)
	s.load(name, 4)
	s.settled(name, 1, 2)
	s.holdsDevices(name)
	s.load(name, 55)
	s.settled(name, 3, claimed*devicesEach)
	s.holdsDevices(name)
	s.eventually("devices and cards of plugins are counted", func(ctx context.Context) error {
		a := &v1alpha1.Accelerator{}
		if err := s.Client.Get(ctx, client.ObjectKey{Name: "l40s"}, a); err != nil {
			return err
		}
		if want := 4*4 + claimed*devicesEach; a.Status.Capacity != want || a.Status.Nodes != 4+claimed {
			return fmt.Errorf("the l40s are %+v, want %d cards", a.Status, want)
		}
		return nil
	})
	s.load(name, 4)
	s.settled(name, 1, 2)
	s.holdsDevices(name)
}
