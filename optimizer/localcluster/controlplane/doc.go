// Package controlplane runs a real Kubernetes control plane on the local machine, without containers and without
// privileges: etcd, kube-apiserver, kube-controller-manager (with the stock HorizontalPodAutoscaler), a scheduler, kwok
// for simulated GPU nodes and, when asked for, Prometheus. Every component is the upstream program, built from pinned
// Go modules and cached; nothing is mocked.
//
//	plane, err := controlplane.Start(ctx, controlplane.Options{Progress: os.Stderr})
//	if err != nil { ... }
//	defer plane.Stop()
//	err = plane.AddNodes(ctx, controlplane.NodePool{Name: "h100", Count: 4, Product: controlplane.H100, GPUsPerNode: 8})
//
// Everything a plane owns is in one instance directory and on free loopback ports, so several planes run side by side.
// A process that dies is restarted (see [Process]); no process outlives its parent on Linux, even when the parent is
// killed; and Stop leaves no process and no directory behind.
//
// Programs of our own run under the same supervision with [Plane.Run], with the identity that
// [Plane.Kubeconfig] or [Plane.ServiceAccountKubeconfig] gives them, so that their RBAC rules are exercised.
package controlplane
