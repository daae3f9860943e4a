package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	coordination "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

var now = time.Unix(1_000_000, 0)

func lease(holder string, age time.Duration) *coordination.Lease {
	return &coordination.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "inferno-system", Name: "inferno-scheduler"},
		Spec: coordination.LeaseSpec{
			HolderIdentity: &holder, RenewTime: &metav1.MicroTime{Time: now.Add(-age)}, LeaseDurationSeconds: new(int32(15)),
		},
	}
}

func TestStanding(t *testing.T) {
	for _, c := range []struct {
		name  string
		lease *coordination.Lease
		state string
		fault string
	}{
		{"its own", lease("pod-a_1234", time.Second), "leads", ""},
		{"another's", lease("pod-b_1234", 15*time.Second), "stands by: pod-b_1234 leads", ""},
		{"of a host whose name begins alike", lease("pod-a2_1234", 0), "stands by: pod-a2_1234 leads", ""},
		{"a renewal ahead of this clock", lease("pod-b_1234", -5*time.Second), "stands by: pod-b_1234 leads", ""},
		{"ended", lease("pod-a_1234", 16*time.Second), "", "nobody leads: pod-a_1234 renewed the lease inferno-system/inferno-scheduler last 16s ago"},
		{"released", lease("", 0), "", "nobody holds the lease inferno-system/inferno-scheduler"},
		{"empty", &coordination.Lease{}, "", "nobody holds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			state, err := standing(c.lease, "pod-a", now)
			if state != c.state || (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%q, %v; want %q, %q", state, err, c.state, c.fault)
			}
		})
	}
}

// A scheduler that may not read its lease is not ready, whatever kube-scheduler says.
func TestReadinessAsksForTheLease(t *testing.T) {
	held := lease("elsewhere_1", 0)
	held.Spec.RenewTime = &metav1.MicroTime{Time: time.Now()}
	client := fake.NewClientset(held)
	forbidden := false
	client.PrependReactor("get", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		return forbidden, nil, errors.New(`leases "inferno-scheduler" is forbidden`)
	})
	ready := &readiness{}
	newCommand(ready)
	if err := ready.flags.Parse([]string{"--leader-elect", "--leader-elect-resource-namespace=inferno-system", "--leader-elect-resource-name=inferno-scheduler", "--secure-port=0"}); err != nil {
		t.Fatal(err)
	}
	ask := func() (int, string) {
		answer := httptest.NewRecorder()
		ready.serve(answer, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		return answer.Code, answer.Body.String()
	}
	if code, text := ask(); code != http.StatusServiceUnavailable || !strings.Contains(text, "no profile") {
		t.Errorf("before there is a plugin: %d %s", code, text)
	}
	var c kubernetes.Interface = client
	ready.client.Store(&c)
	if code, text := ask(); code != http.StatusOK || !strings.Contains(text, "stands by: elsewhere_1 leads") {
		t.Errorf("while another leads: %d %s", code, text)
	}
	forbidden = true
	if code, text := ask(); code != http.StatusServiceUnavailable || !strings.Contains(text, "is forbidden") {
		t.Errorf("without a right to the lease: %d %s", code, text)
	}
	forbidden = false
	if err := ready.flags.Set("secure-port", "1"); err != nil {
		t.Fatal(err)
	}
	if code, text := ask(); code != http.StatusServiceUnavailable {
		t.Errorf("while kube-scheduler does not answer: %d %s", code, text)
	}
}

func TestReadinessNeedsTheElection(t *testing.T) {
	command := newCommand(&readiness{})
	if err := command.Flags().Parse([]string{"--readiness-bind-address=127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	if err := command.PreRunE(command, nil); err == nil || !strings.Contains(err.Error(), "--leader-elect") {
		t.Errorf("error %v", err)
	}
}
