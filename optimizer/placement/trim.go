package placement

import (
	corev1 "k8s.io/api/core/v1"
)

// waiting is the reason for which a container waits, of its state.
func waiting(s corev1.ContainerState) corev1.ContainerState {
	if s.Waiting == nil {
		return corev1.ContainerState{}
	}
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: s.Waiting.Reason}}
}

// Trim takes out of a pod, in place, what neither planning nor scheduling reads, which is most of it: what its containers run and how they are
// probed, who wrote which field, and the state of its containers but for what they hold and the reason for which they wait. Resources, ports, images,
// volumes, constraints of placement, labels, annotations and conditions stay. Trimming twice is trimming once.
func Trim(pod *corev1.Pod) {
	pod.ManagedFields = nil
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			c := &containers[i]
			containers[i] = corev1.Container{
				Name: c.Name, Image: c.Image, Ports: c.Ports, Resources: c.Resources, ResizePolicy: c.ResizePolicy,
				RestartPolicy: c.RestartPolicy, RestartPolicyRules: c.RestartPolicyRules,
			}
		}
	}
	pod.Spec.EphemeralContainers = nil
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			s := &statuses[i]
			statuses[i] = corev1.ContainerStatus{
				State: waiting(s.State), Name: s.Name, Ready: s.Ready, Started: s.Started, RestartCount: s.RestartCount, AllocatedResources: s.AllocatedResources, Resources: s.Resources,
			}
		}
	}
	pod.Status.EphemeralContainerStatuses = nil
}
