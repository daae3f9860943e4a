package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/loop"
)

// What shows that nothing happens is that those who could have done it had their turn, however long they take: the loop decides (cycles), the
// autoscalers look (syncs).

// turns that something must have had before it counts as having left all as it was.
const turns = 5

// lastCycle of the loop.
func (s *system) lastCycle(ctx context.Context) (*v1alpha1.CycleReport, error) {
	o := optimizer()
	if err := s.Client.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
		return nil, err
	}
	if o.Status.LastCycle == nil {
		return nil, errors.New("no cycle ran yet")
	}
	return o.Status.LastCycle, nil
}

// cycles waits until the loop has ended so many cycles that began after the call.
func (s *system) cycles(n int) {
	s.t.Helper()
	last := ""
	// The first that is seen may have begun before.
	for i := range n + 2 {
		s.eventually(fmt.Sprintf("cycle %d of %d", i, n+1), func(ctx context.Context) error {
			c, err := s.lastCycle(ctx)
			if err == nil && c.ID == last {
				err = fmt.Errorf("the last one is still %s", last)
			}
			if err == nil {
				last = c.ID
			}
			return err
		})
	}
}

// syncs waits until every autoscaler has looked so many times.
func (s *system) syncs(n int) {
	s.t.Helper()
	var list autoscalingv2.HorizontalPodAutoscalerList
	if err := s.Client.List(s.t.Context(), &list); err != nil {
		s.t.Fatal(err)
	}
	var before float64
	s.eventually("the number of times that autoscalers looked is known", func(ctx context.Context) (err error) {
		before, err = s.looks(ctx)
		return err
	})
	// They take turns. One more round for those that were about to when the call came.
	want := float64((n + 1) * len(list.Items))
	s.eventually(fmt.Sprintf("autoscalers look %d times", n), func(ctx context.Context) error {
		now, err := s.looks(ctx)
		if err == nil && now-before < want {
			err = fmt.Errorf("%v of %v times", now-before, want)
		}
		return err
	})
}

// looks is how often autoscalers looked, all together.
func (s *system) looks(ctx context.Context) (float64, error) {
	web, err := webClient(s.AdminKubeconfig())
	if err != nil {
		return 0, err
	}
	defer web.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+s.portOf(string(controlplane.ControllerManager))+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	response, err := web.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("the controller manager answers %s", response.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, m := range families["horizontal_pod_autoscaler_controller_reconciliations_total"].GetMetric() {
		sum += m.GetCounter().GetValue()
	}
	return sum, nil
}

// decisions that were logged. A line that a killed process began stays out.
func (s *system) decisions() ([]loop.Record, error) {
	data, err := os.ReadFile(s.DecisionLog)
	if err != nil {
		return nil, err
	}
	var records []loop.Record
	for line := range bytes.Lines(data) {
		var r loop.Record
		if json.Unmarshal(line, &r) == nil {
			records = append(records, r)
		}
	}
	return records, nil
}

// settledHistory of a server begins when it runs as planned.
func (s *system) settledHistory(name string, min, max int) *history {
	s.t.Helper()
	s.settled(name, min, max)
	return s.watchReplicas(name)
}

// wantNeverShort fails where ready pods were fewer than the Deployment asked for, or that less than the plan, ever. Those that were to come when
// the history began are not missed.
func (s *system) wantNeverShort(h *history) {
	s.t.Helper()
	first, least := h.end()
	// A watch that an API server's death ended misses plans until it is there again. The log knows them.
	for _, n := range s.plansSince(h.moments[0].at, h.of) {
		least.planned = min(least.planned, n)
	}
	if least.ready < min(first.ready, least.asked) || least.asked < min(first.asked, least.planned) {
		s.t.Errorf("at the least %v", least)
	}
	s.t.Logf("the history of %s:%s", h.of, h)
}

// wantPlanKept fails where a plan fell at once to less than half of the one before, which no cycle does that knows of it: a plan that is lost begins
// anew with one replica.
func (s *system) wantPlanKept(h *history) {
	s.t.Helper()
	first, _ := h.end()
	before := first.planned
	for i, n := range s.plansSince(h.moments[0].at, h.of) {
		if 2*n < before {
			s.t.Errorf("plan %d since then fell from %d to %d replicas", i, before, n)
		}
		before = n
	}
}

// plansSince a time are the replicas that the cycles since then decided for a server.
func (s *system) plansSince(since time.Time, name string) []int {
	s.t.Helper()
	records, err := s.decisions()
	if err != nil {
		s.t.Fatal(err)
	}
	var plans []int
	for _, r := range records {
		if a, ok := r.Plan.Allocations[namespace+"/"+name]; ok && r.Time.After(since) {
			plans = append(plans, a.NumReplicas)
		}
	}
	return plans
}
