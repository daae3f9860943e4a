package inferno

import (
	"os"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/kubernetes/cmd/kube-scheduler/app"
	"sigs.k8s.io/yaml"
)

// staticPod is the scheduler's manifest as kubeadm writes it (kubernetes v1.37.2, cmd/kubeadm/app/phases/controlplane), without probes and resources.
const staticPod = `
apiVersion: v1
kind: Pod
metadata:
  name: kube-scheduler
  namespace: kube-system
  labels: {component: kube-scheduler, tier: control-plane}
spec:
  hostNetwork: true
  priorityClassName: system-node-critical
  containers:
  - name: kube-scheduler
    image: registry.k8s.io/kube-scheduler:v1.37.2
    command: [kube-scheduler, --authentication-kubeconfig=/etc/kubernetes/scheduler.conf, --authorization-kubeconfig=/etc/kubernetes/scheduler.conf,
      --bind-address=127.0.0.1, --kubeconfig=/etc/kubernetes/scheduler.conf, --leader-elect=true]
    volumeMounts:
    - {name: kubeconfig, mountPath: /etc/kubernetes/scheduler.conf, readOnly: true}
  volumes:
  - name: kubeconfig
    hostPath: {path: /etc/kubernetes/scheduler.conf, type: FileOrCreate}
`

// The patch for kubeadm makes of its static pod one that runs inferno-scheduler, with flags that there are.
func TestPatchForKubeadm(t *testing.T) {
	patch, err := os.ReadFile("../config/kubeadm/patches/kube-scheduler+strategic.yaml")
	if err != nil {
		t.Fatal(err)
	}
	before, err := yaml.YAMLToJSON([]byte(staticPod))
	if err != nil {
		t.Fatal(err)
	}
	change, err := yaml.YAMLToJSON(patch)
	if err != nil {
		t.Fatal(err)
	}
	after, err := strategicpatch.StrategicMergePatch(before, change, v1.Pod{})
	if err != nil {
		t.Fatal(err)
	}
	var p v1.Pod
	if err := yaml.UnmarshalStrict(after, &p); err != nil {
		t.Fatal(err)
	}
	if len(p.Spec.Containers) != 1 || len(p.Spec.Volumes) != 2 || len(p.Spec.Containers[0].VolumeMounts) != 2 || !p.Spec.HostNetwork {
		t.Fatalf("the pod is %s", after)
	}
	command := p.Spec.Containers[0].Command
	if command[0] != "/inferno-scheduler" {
		t.Errorf("it runs %v", command)
	}
	if err := app.NewSchedulerCommand().ParseFlags(command[1:]); err != nil {
		t.Errorf("flags %v: %v", command[1:], err)
	}
	if !slices.ContainsFunc(p.Spec.Volumes, func(v v1.Volume) bool { return v.HostPath != nil && v.HostPath.Path == "/etc/kubernetes/inferno" }) {
		t.Errorf("its configuration is not mounted: %+v", p.Spec.Volumes)
	}
}
