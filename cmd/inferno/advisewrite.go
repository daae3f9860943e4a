package main

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/evaluation/advise"
	"github.com/llm-inferno/inferno/optimizer/specification"
	"github.com/llm-inferno/inferno/optimizer/workload"
)

// chosen are the servers to write manifests of: those that are named as NAMESPACE/NAME, else all. The error joins every name that is none of them, with the
// reason where it is known.
func chosen(r *advise.Report, named []string) ([]advise.Server, error) {
	var servers []advise.Server
	var faults []error
	for i := range r.Servers {
		if s := r.Servers[i].Server; len(named) == 0 || slices.Contains(named, s.ID()) {
			servers = append(servers, *s)
		}
	}
	for _, name := range named {
		if slices.ContainsFunc(servers, func(s advise.Server) bool { return s.ID() == name }) {
			continue
		}
		why := "there is no such Deployment or StatefulSet that holds cards"
		for _, s := range r.Skipped {
			if s.Workload == name {
				why = s.Why
			}
		}
		faults = append(faults, fmt.Errorf("--workload: %s: %s", name, why))
	}
	for i := 1; i < len(servers); i++ { // which are sorted
		if servers[i].ID() == servers[i-1].ID() {
			faults = append(faults, fmt.Errorf("--write: %s is a %s and a %s, and a Server can be of one", servers[i].ID(), servers[i-1].Kind, servers[i].Kind))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, badInput{err}
	}
	return servers, nil
}

// adoption is what lets inferno plan workloads as they are, by file: a component of kustomize with what they share, a Server and an autoscaler for each, and a
// patch of each that copies nothing of it.
func adoption(q *advise.Question, fits []advise.Fit) (map[string][]any, error) {
	servers, system := q.Servers, q.System()
	tellLaws(system, fits)
	nameForKubernetes(system)
	resources, err := specification.ToResources(system, "")
	if err != nil {
		return nil, err
	}
	files := map[string][]any{"cluster.yaml": sharedObjects(&resources)}
	component := map[string]any{"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
	written, patches := []any{"cluster.yaml"}, []any{}
	for i := range servers {
		s, server := &servers[i], &resources.Servers[i]
		server.Annotations = nil // it has the workload's name
		if seqs := s.Serves.MaxNumSeqs; seqs.Known() {
			server.Spec.MaxBatchSize = seqs.Value
		}
		if tokens := s.Serves.MaxNumBatchedTokens; tokens.Known() {
			server.Spec.MaxBatchedTokens = tokens.Value
		}
		hpa := new(autoscalingv2.HorizontalPodAutoscaler)
		if err := likeSample(hpa, s.Name); err != nil {
			return nil, err
		}
		hpa.Namespace, hpa.Spec.ScaleTargetRef.Kind = s.Namespace, s.Kind
		patch, err := workloadPatch(s)
		if err != nil {
			return nil, err
		}
		own, change := path.Join(s.Namespace, s.Name+".yaml"), path.Join(s.Namespace, s.Name+"-patch.yaml")
		files[own], files[change] = []any{server, hpa}, []any{&patch}
		written, patches = append(written, own), append(patches, map[string]any{"path": change})
	}
	component["resources"], component["patches"] = written, patches
	files["kustomization.yaml"] = []any{&component}
	return files, nil
}

// tellLaws puts what was learned into the Models. Of a pair of which nothing was, plans begin with the prior from physics.
func tellLaws(system *jsonspec.System, fits []advise.Fit) {
	for i := range system.Models.Spec {
		e := &system.Models.Spec[i]
		for k := range fits {
			if f := &fits[k]; f.Model == e.Name && f.Accelerator == e.Acc && f.Observations > 0 {
				e.Performance = f.Performance
			}
		}
	}
}

// workloadPatch is a strategic merge patch that makes a workload's pods those of its Server: what the samples' templates have of inferno. It says limits that the
// engine is started with by its own arguments; those that are not known it does not say.
func workloadPatch(s *advise.Server) (map[string]any, error) {
	sample := new(appsv1.Deployment)
	if err := likeSample(sample, s.Name); err != nil {
		return nil, err
	}
	pods := map[string]any{"labels": map[string]any{v1alpha1.ServerLabel: sample.Spec.Template.Labels[v1alpha1.ServerLabel]}}
	annotations := map[string]any{}
	if seqs := s.Serves.MaxNumSeqs; seqs.Known() {
		annotations[v1alpha1.MaxNumSeqsAnnotation] = strconv.Itoa(seqs.Value)
	}
	if tokens := s.Serves.MaxNumBatchedTokens; tokens.Known() {
		annotations[v1alpha1.MaxNumBatchedTokensAnnotation] = strconv.Itoa(tokens.Value)
	}
	if len(annotations) > 0 {
		pods["annotations"] = annotations
	}
	return map[string]any{
		"apiVersion": "apps/v1", "kind": s.Kind, "metadata": map[string]any{"name": s.Name, "namespace": s.Namespace},
		"spec": map[string]any{"template": map[string]any{"metadata": pods, "spec": map[string]any{"schedulerName": sample.Spec.Template.Spec.SchedulerName}}},
	}, nil
}

// nameForKubernetes gives the accelerators and models of a system names that people would give them in Kubernetes. Where a model's is taken, its precision and
// number of cards are added; what is not unique then keeps its own.
func nameForKubernetes(s *jsonspec.System) {
	names := map[string]string{} // of models, by those that they had
	taken := map[string]bool{}
	for i := range s.Models.Info {
		m := &s.Models.Info[i]
		name := m.Name
		for _, candidate := range []string{workload.ResourceName(m.ServedName), workload.ResourceName(m.Name)} {
			if !taken[candidate] {
				name = candidate
				break
			}
		}
		names[m.Name], taken[name] = name, true
		m.Name = name
	}
	for i := range s.Accelerators.Spec {
		s.Accelerators.Spec[i].Name = strings.ToLower(s.Accelerators.Spec[i].Name)
	}
	for i := range s.Models.Spec {
		p := &s.Models.Spec[i]
		p.Name, p.Acc = names[p.Name], strings.ToLower(p.Acc)
	}
	for i := range s.ServiceClasses.Spec {
		for j := range s.ServiceClasses.Spec[i].ModelTargets {
			t := &s.ServiceClasses.Spec[i].ModelTargets[j]
			t.Model = names[t.Model]
		}
	}
	for i := range s.Servers.Spec {
		s.Servers.Spec[i].Model = names[s.Servers.Spec[i].Model]
	}
}

// afterwards says what is left to do by hand once manifests are written.
func afterwards(dir string, servers []advise.Server) string {
	var text strings.Builder
	text.WriteString(wrapped(fmt.Sprintf("written: %s, a component of kustomize: look at it, then add it to the components of your kustomization; or apply it:", dir)))
	fmt.Fprintf(&text, "  kubectl apply -f %s\n", path.Join(dir, "cluster.yaml"))
	for i := range servers {
		s := &servers[i]
		fmt.Fprintf(&text, "  kubectl apply -f %s\n", path.Join(dir, s.Namespace, s.Name+".yaml"))
		fmt.Fprintf(&text, "  kubectl patch %s %s -n %s --patch-file %s\n", strings.ToLower(s.Kind), s.Name, s.Namespace, path.Join(dir, s.Namespace, s.Name+"-patch.yaml"))
	}
	text.WriteString(wrapped("to do: take away autoscalers that these workloads have, and replicas from their manifests; inferno-scheduler must run, for it places their pods"))
	return text.String()
}
