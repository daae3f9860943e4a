package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// A stock autoscaler scales a Deployment in, and the pod goes that has nothing in hand: neither the youngest nor the oldest, which serve.
func TestScaleInRemovesTheIdlePod(t *testing.T) {
	const replicas, rate = 3, 6.0
	s := start(t)
	server := s.serve("chat", func(server *v1alpha1.Server) {
		server.Spec.MinReplicas, server.Spec.MaxBatchSize = new(replicas), 32 // other limits would go first
	})
	e := s.startEngines(play{rate: map[string]float64{namespace + "/chat": rate}, cluster: "here"})
	s.settled("chat", replicas, replicas)
	pods := s.byAge("chat")
	idle := pods[1]
	e.change(func(p *play) { p.idle = map[string]bool{namespace + "/" + idle: true} })
	s.eventually("Prometheus sees that it is idle", func(ctx context.Context) error { return s.showsIdle(ctx, idle) })

	s.patch(server, fmt.Sprintf(`{"spec":{"minReplicas":%d}}`, replicas-1))
	s.settled("chat", replicas-1, replicas-1)
	want := slices.DeleteFunc(slices.Clone(pods), func(name string) bool { return name == idle })
	if got := s.byAge("chat"); !slices.Equal(got, want) {
		t.Errorf("after the scale-in there are %v, want %v: %s of %v was idle", got, want, idle, pods)
	}
	for _, name := range want {
		s.eventually("a pod that stays costs what any pod does", func(ctx context.Context) error {
			pods, err := s.pods(ctx, "chat")
			for _, p := range pods {
				if cost := p.Annotations[corev1.PodDeletionCost]; p.Name == name && cost != "" {
					err = fmt.Errorf("the deletion cost of %s is %s", p.Name, cost)
				}
			}
			return err
		})
	}
}

// showsIdle tells whether Prometheus has it that a pod runs nothing.
func (s *system) showsIdle(ctx context.Context, pod string) error {
	query := fmt.Sprintf("vllm:num_requests_running{pod=%q}", pod)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.PrometheusURL()+"/api/v1/query?query="+url.QueryEscape(query), nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return err
	}
	if r := answer.Data.Result; len(r) != 1 || r[0].Value[1] != "0" {
		return fmt.Errorf("it has %v", r)
	}
	return nil
}

// byAge are the names of a server's pods that are not going, the oldest first.
func (s *system) byAge(name string) []string {
	s.t.Helper()
	pods, err := s.pods(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	pods = slices.DeleteFunc(pods, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
	slices.SortStableFunc(pods, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	var names []string
	for _, p := range pods {
		names = append(names, p.Name)
	}
	return names
}
