package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
)

// another process of a program, with some flags replaced.
func (s *system) another(program, name string, replace map[string]string, more ...string) *controlplane.Process {
	s.t.Helper()
	of := s.Process(program)
	args := slices.Clone(of.Args)
	for i, a := range args {
		flag, _, _ := strings.Cut(a, "=")
		if value, ok := replace[flag]; ok {
			args[i] = flag + "=" + value
		}
	}
	p := &controlplane.Process{Name: name, Path: of.Path, Args: append(args, more...)}
	if err := s.Run(s.t.Context(), p); err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *system) freePort() string {
	s.t.Helper()
	port, err := s.FreePort()
	if err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprint(port)
}

// twoAdaptersAgree has a second adapter answer what the first one does.
func twoAdaptersAgree(s *system) {
	port := s.freePort()
	second := s.another("inferno-adapter", "second-adapter", map[string]string{"--secure-port": port})
	defer second.Stop()
	pair, err := s.Kubeconfig("system:serviceaccount:kube-system:horizontal-pod-autoscaler", "system:serviceaccounts", "system:authenticated")
	if err != nil {
		s.t.Fatal(err)
	}
	web, err := webClient(pair)
	if err != nil {
		s.t.Fatal(err)
	}
	ask := func(address string) (string, error) {
		response, err := web.Get("https://" + address + "/apis/external.metrics.k8s.io/v1beta1/namespaces/" + namespace + "/inferno_desired_replicas?labelSelector=server%3Dchat")
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		var list struct {
			Items []struct{ Value string }
		}
		if err = errors.Join(err, json.Unmarshal(body, &list)); err != nil || len(list.Items) != 1 {
			return "", fmt.Errorf("status %d, %s: %w", response.StatusCode, body, err)
		}
		return list.Items[0].Value, nil
	}
	s.eventually("both adapters say what the plan says", func(ctx context.Context) error {
		server, err := s.server(ctx, "chat")
		if err != nil {
			return err
		}
		for _, address := range []string{s.portOf("inferno-adapter"), "127.0.0.1:" + port} {
			switch got, err := ask(address); {
			case err != nil:
				return err
			case got != fmt.Sprint(server.Status.Desired.Replicas):
				return fmt.Errorf("%s says %s, the plan %d", address, got, server.Status.Desired.Replicas)
			}
		}
		return nil
	})
}

// oneOptimizerLeads runs two with leader election in place of the one: one of them plans, and when it dies the other takes over.
func oneOptimizerLeads(s *system) {
	alone := s.Process("inferno-optimizer")
	alone.Stop()
	flags := func() map[string]string {
		return map[string]string{"--health-bind-address": "127.0.0.1:" + s.freePort(), "--metrics-bind-address": "127.0.0.1:" + s.freePort()}
	}
	election := []string{"--leader-elect", "--leader-election-namespace=" + manifests.Namespace}
	first := s.another("inferno-optimizer", "first-optimizer", flags(), election...)
	holder := func(ctx context.Context) (string, error) {
		var lease coordinationv1.Lease
		if err := s.Client.Get(ctx, client.ObjectKey{Namespace: manifests.Namespace, Name: "inferno-optimizer"}, &lease); err != nil {
			return "", err
		}
		if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
			return "", errors.New("nobody leads")
		}
		return *lease.Spec.HolderIdentity, nil
	}
	confirmedAfter := func(t time.Time) func(context.Context) error {
		return func(ctx context.Context) error {
			server, err := s.server(ctx, "chat")
			if err == nil && !server.Status.Desired.ConfirmedAt.After(t) {
				err = fmt.Errorf("the plan was last confirmed at %s", server.Status.Desired.ConfirmedAt)
			}
			return err
		}
	}
	s.eventually("the first leads and plans", confirmedAfter(time.Now()))
	leader, err := holder(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	second := s.another("inferno-optimizer", "second-optimizer", flags(), election...)
	s.eventually("the second wants to lead", func(context.Context) error {
		log, err := os.ReadFile(second.Log)
		if err == nil && !bytes.Contains(log, []byte("ttempting to acquire leader lease")) {
			err = errors.New("its log does not say so")
		}
		return err
	})
	s.cycles(turns) // of the first, which renews its lease meanwhile
	if now, err := holder(s.t.Context()); err != nil || now != leader {
		s.t.Errorf("the lease went from %s to %s, %v, while its holder runs", leader, now, err)
	}
	first.Stop() // which gives the lease back
	s.eventually("the second leads", func(ctx context.Context) error {
		now, err := holder(ctx)
		if err == nil && now == leader {
			err = errors.New("the first still does")
		}
		return err
	})
	s.eventually("the second plans", confirmedAfter(time.Now()))
	second.Stop()
	if err := alone.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// rightsHold asks the API server itself what the programs' accounts may and may not do.
func rightsHold(s *system) {
	type right struct {
		account, verb, group, resource, subresource string
		allowed                                     bool
	}
	var rights []right
	add := func(allowed bool, account, verbs, group, resources string) {
		for _, verb := range strings.Split(verbs, ",") {
			for _, resource := range strings.Split(resources, ",") {
				name, sub, _ := strings.Cut(resource, "/")
				rights = append(rights, right{account, verb, group, name, sub, allowed})
			}
		}
	}
	everyone := []string{manifests.OptimizerAccount, manifests.AdapterAccount, manifests.SchedulerAccount}
	for _, a := range everyone {
		add(true, a, "get,list,watch", v1alpha1.Group, "servers")
		add(false, a, "get,list,watch,create,update,patch,delete", "", "secrets")
		add(false, a, "create,update,patch,delete", v1alpha1.Group, "optimizers,serviceclasses")
		add(false, a, "create,update,patch,delete", "apps", "deployments,statefulsets,replicasets")
		add(false, a, "update,patch", "apps", "deployments/scale")
		add(false, a, "create,update,patch,delete,bind,escalate", "rbac.authorization.k8s.io", "roles,clusterroles,rolebindings,clusterrolebindings")
		add(false, a, "create,delete", "", "pods,nodes,namespaces,serviceaccounts")
		add(false, a, "create", "", "pods/eviction,pods/exec,serviceaccounts/token")
		add(false, a, "impersonate", "", "users,groups,serviceaccounts")
	}
	add(true, manifests.OptimizerAccount, "get,list,watch", v1alpha1.Group, "accelerators,estimates,models,optimizers,serviceclasses")
	add(true, manifests.OptimizerAccount, "create,update,delete", v1alpha1.Group, "estimates")
	// What is made of labelled workloads; an admission policy holds it to objects that say so.
	add(true, manifests.OptimizerAccount, "create,patch,delete", v1alpha1.Group, "servers")
	add(true, manifests.OptimizerAccount, "create,patch", v1alpha1.Group, "models")
	add(true, manifests.OptimizerAccount, "create", v1alpha1.Group, "accelerators")
	add(true, manifests.OptimizerAccount, "list,create,patch,delete", "autoscaling", "horizontalpodautoscalers")
	add(false, manifests.OptimizerAccount, "update", v1alpha1.Group, "servers,models,accelerators")
	add(false, manifests.OptimizerAccount, "delete", v1alpha1.Group, "models,accelerators")
	add(false, manifests.OptimizerAccount, "patch", v1alpha1.Group, "accelerators")
	add(false, manifests.OptimizerAccount, "update", "autoscaling", "horizontalpodautoscalers")
	for _, a := range []string{manifests.AdapterAccount, manifests.SchedulerAccount} {
		add(false, a, "create,update,patch,delete", v1alpha1.Group, "servers,models,accelerators")
		add(false, a, "create,update,patch,delete", "autoscaling", "horizontalpodautoscalers")
		add(false, a, "get,list,watch,create,update,patch,delete", v1alpha1.Group, "estimates")
	}
	add(true, manifests.OptimizerAccount, "patch", v1alpha1.Group, "servers/status,models/status,accelerators/status,optimizers/status,serviceclasses/status")
	add(true, manifests.OptimizerAccount, "get,list,watch", "", "nodes,pods")
	add(true, manifests.OptimizerAccount, "patch", "", "pods")
	add(false, manifests.OptimizerAccount, "create", "", "pods/binding")
	add(false, manifests.AdapterAccount, "get,list,watch,patch,update", "", "pods,nodes")
	add(false, manifests.AdapterAccount, "patch,update", v1alpha1.Group, "servers/status")
	add(true, manifests.AdapterAccount, "create", "authentication.k8s.io", "tokenreviews")
	add(true, manifests.AdapterAccount, "create", "authorization.k8s.io", "subjectaccessreviews")
	add(true, manifests.SchedulerAccount, "get,list,watch", v1alpha1.Group, "accelerators,models")
	add(true, manifests.SchedulerAccount, "create", "", "pods/binding")
	add(true, manifests.SchedulerAccount, "patch", "", "pods")
	add(false, manifests.SchedulerAccount, "patch,update", v1alpha1.Group, "servers/status")
	for _, r := range rights {
		// What Kubernetes' own scheduler may do, ours may: it preempts.
		if r.account == manifests.SchedulerAccount && r.verb == "delete" && r.resource == "pods" {
			continue
		}
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:   "system:serviceaccount:" + manifests.Namespace + ":" + r.account,
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + manifests.Namespace, "system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: r.verb, Group: r.group, Resource: r.resource, Subresource: r.subresource, Namespace: namespace,
			},
		}}
		answer, err := s.Kube.AuthorizationV1().SubjectAccessReviews().Create(s.t.Context(), review, metav1.CreateOptions{})
		if err != nil {
			s.t.Fatal(err)
		}
		if answer.Status.Allowed != r.allowed {
			s.t.Errorf("%+v: the API server says %v (%s)", r, answer.Status.Allowed, answer.Status.Reason)
		}
	}
}

// webClient is a client with the certificate of a kubeconfig, which believes every server.
func webClient(kubeconfig string) (*http.Client, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.TLSClientConfig.CAData, config.TLSClientConfig.CAFile, config.TLSClientConfig.Insecure = nil, "", true
	transport, err := rest.TransportFor(config)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}, err
}
