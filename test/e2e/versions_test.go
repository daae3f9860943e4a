package e2e

import (
	"context"
	"flag"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/cmd/inferno/doctor"
	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
)

var (
	versions = flag.String("versions", controlplane.Versions()[0], "minor versions of Kubernetes to test on, with commas between; all other tests run on the newest")
	own      = flag.Bool("own-controller-manager", false, "on the oldest version, run the controller manager that is built from its source, in place of the newest that behaves as it")
)

// On each version what is installed and the samples are accepted, pods follow the plan, by device plugin and by claims of dynamic resource
// allocation, and the doctor says what the version lacks.
func TestVersions(t *testing.T) {
	for _, version := range strings.Split(*versions, ",") {
		t.Run(version, func(t *testing.T) {
			fromSource := *own && version == controlplane.Versions()[0]
			s := start(t, func(o *stack.Options) { o.Kubernetes, o.OwnControllerManager, o.Policies = version, fromSource, true })
			if said, err := exec.Command(s.Process(string(controlplane.ControllerManager)).Path, "--version").Output(); err != nil || strings.HasPrefix(string(said), "Kubernetes v"+version) != (fromSource || has(version, "1.37")) {
				t.Errorf("the controller manager is of %s (%v)", said, err)
			}
			samples := "samples"
			if !has(version, "1.37") {
				samples = "samples-before-1.37"
			}
			t.Run("manifests are accepted", func(t *testing.T) { manifestsAreAccepted(t, s, samples) })
			s.serve("chat", nil)
			s.play("chat", "claims")
			s.load("chat", 4)
			s.settled("chat", 1, 2)
			s.load("chat", 70)
			s.settled("chat", 5, 10)
			s.load("chat", 25)
			s.settled("chat", 2, 4)
			whatIsLacking(t, s, version)
			t.Run("devices by claims", func(t *testing.T) { followsByClaims(t, s) })
		})
	}
}

// has tells whether a version is at least another.
func has(version, least string) bool {
	for _, v := range controlplane.Versions() {
		if v == least {
			return true
		}
		if v == version {
			return false
		}
	}
	return false
}

// whatIsLacking compares what the doctor says of the autoscaler, whose tolerance is 0 as it was applied, with what the API server makes of it.
func whatIsLacking(t *testing.T, s *system, version string) {
	var kept autoscalingv2.HorizontalPodAutoscaler
	if err := s.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "chat"}, &kept); err != nil {
		t.Fatal(err)
	}
	tolerates := kept.Spec.Behavior.ScaleUp.Tolerance != nil
	server, err := s.server(t.Context(), "chat")
	if err != nil {
		t.Fatal(err)
	}
	zero := stack.Autoscaler(server)
	zero.Name, zero.Spec.MinReplicas = "zero", new(int32(0))
	err = s.Client.Create(t.Context(), zero, client.DryRunAll)
	if err != nil && !apierrors.IsInvalid(err) {
		t.Fatal(err)
	}
	scalesToZero := err == nil
	if tolerates != has(version, "1.35") || scalesToZero != has(version, "1.37") {
		t.Errorf("tolerance is kept: %v, an autoscaler to zero accepted: %v", tolerates, scalesToZero)
	}
	s.patch(server, `{"spec":{"minReplicas":0}}`)
	for problem, want := range map[string]bool{"drops behavior.scaleUp.tolerance": !tolerates, "go no lower than 1": !scalesToZero} {
		s.eventually(fmt.Sprintf("the doctor says %q: %v", problem, want), func(ctx context.Context) error {
			cluster, err := doctor.Read(ctx, doctor.Source{Client: s.Client, Version: s.Kube.Discovery(), Now: time.Now(), Namespace: namespace, Installed: manifests.Namespace})
			if err != nil {
				return err
			}
			said := false
			findings := doctor.Examine(cluster, doctor.Options{SchedulerNames: []string{"inferno-scheduler"}})
			for _, f := range findings {
				said = said || strings.Contains(f.Problem, problem)
			}
			if said != want {
				return fmt.Errorf("it says %+v", findings)
			}
			return nil
		})
	}
}
