package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
)

// adapterTime is how long the adapter is asked while plans change; half an hour shows whether its memory grows.
var adapterTime = flag.Duration("adapter-time", 30*time.Second, "how long the benchmark of the adapter asks it")

// Size of the cluster that the adapter serves, and how it is asked: by autoscalers with two metrics each, at the default period.
const (
	benchNamespaces = 10
	benchServers    = 10_000
	benchHPAs       = 1_000
	hpaMetrics      = 2
	hpaPeriod       = 15 * time.Second
	hpaWorkers      = 5  // of the autoscaler's controller, by default
	plansPerSecond  = 20 // that change meanwhile
	// Servers that are deleted and made anew meanwhile.
	serversPerSecond = 1
)

// unhurried is a client without a limit of its own.
func (s *system) unhurried() client.Client {
	config := rest.CopyConfig(s.Config())
	config.QPS = -1
	c, _, err := stack.Clients(config)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func planFor(replicas int) *v1alpha1.DesiredState {
	now := metav1.Now()
	return &v1alpha1.DesiredState{
		DecidedAt: now, ConfirmedAt: now, Replicas: replicas, CostPerHour: 1, Reason: "what a plan says of itself to people, in a line of this length or so",
		Parts: []jsonspec.AllocationPart{
			{Accelerator: "h100", Replicas: replicas - 1, MaxBatchSize: 96, MaxBatchedTokens: 2048, Share: 0.7}, {Accelerator: "l40s", Replicas: 1, MaxBatchSize: 32, MaxBatchedTokens: 1024, Share: 0.3},
		},
		Predicted: &v1alpha1.Latencies{TTFT: new(200.), ITL: new(20.)}, Load: &jsonspec.Load{ArrivalRate: 600, AvgInTokens: 500, AvgOutTokens: 200},
	}
}

// BenchmarkAdapter asks the adapter of a cluster with 10,000 Servers as 1,000 autoscalers would, while plans change, and reports how long
// answers take, the largest memory of the process, and how much more it was in the last third of the time than in the second. An autoscaler
// asks through the API server, which adds its own time; here the adapter is asked itself, with a token that it has to have reviewed.
func BenchmarkAdapter(b *testing.B) {
	s := start(b)
	if err := s.Client.Delete(b.Context(), optimizer()); err != nil {
		b.Fatal(err)
	}
	c := s.unhurried()
	s.createServers(c)
	token := s.metricsReader()
	address, pid := s.portOf("inferno-adapter"), s.Process("inferno-adapter").PID()
	web := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, MaxIdleConnsPerHost: hpaWorkers, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	get := func(path string) (time.Duration, error) {
		began := time.Now()
		request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "https://"+address+path, nil)
		if err != nil {
			return 0, err
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := web.Do(request)
		if err != nil {
			return 0, err
		}
		_, err = io.Copy(io.Discard, response.Body)
		if response.Body.Close(); response.StatusCode != http.StatusOK {
			err = errors.Join(err, fmt.Errorf("%s: status %d", path, response.StatusCode))
		}
		return time.Since(began), err
	}
	ask := func(i int) (time.Duration, error) {
		metric := []string{"inferno_desired_replicas", "inferno_max_batch_size"}[i%hpaMetrics]
		n := i / hpaMetrics % benchHPAs
		return get(fmt.Sprintf("/apis/external.metrics.k8s.io/v1beta1/namespaces/llm-%d/%s?labelSelector=server%%3Dserver-%d", n%benchNamespaces, metric, n))
	}
	s.eventually("the adapter answers", func(context.Context) error { _, err := ask(0); return err })
	var resident []float64
	weigh := func() error {
		mb, err := residentMB(pid)
		resident = append(resident, mb)
		return err
	}
	if err := weigh(); err != nil {
		b.Skip(err) // no such file system
	}
	for b.Loop() {
		// The time of a health check, asked in turn with the questions, is what machine, network and TLS take.
		took := s.askFor(*adapterTime, c, weigh, ask, func(int) (time.Duration, error) { return get("/livez") })
		for i, name := range []string{"", "health-"} {
			slices.Sort(took[i])
			b.ReportMetric(took[i][len(took[i])/2].Seconds()*1e3, name+"p50-ms")
			b.ReportMetric(took[i][len(took[i])*99/100].Seconds()*1e3, name+"p99-ms")
		}
	}
	b.ReportMetric(slices.Max(resident), "MB-max")
	third := len(resident) / 3
	b.ReportMetric(mean(resident[2*third:])-mean(resident[third:2*third]), "MB-growth")
	b.ReportMetric(0, "ns/op")
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// askFor a time, each question at the pace of the autoscalers and in turn with the others, while plans change and Servers come and go, and
// call something every second. The answer is how long the answers to each question took.
func (s *system) askFor(d time.Duration, c client.Client, everySecond func() error, ask ...func(int) (time.Duration, error)) [][]time.Duration {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), d)
	defer cancel()
	var mu sync.Mutex
	took := make([][]time.Duration, len(ask))
	questions := make(chan int)
	group, groupCtx := errgroup.WithContext(ctx)
	every := func(period time.Duration, do func(i int) error) error {
		ticks := time.NewTicker(period)
		defer ticks.Stop()
		for i := 0; ; i++ {
			select {
			case <-groupCtx.Done():
				return nil
			case <-ticks.C:
				if err := do(i); err != nil && groupCtx.Err() == nil {
					return err
				}
			}
		}
	}
	group.Go(func() error {
		defer close(questions)
		return every(hpaPeriod/time.Duration(benchHPAs*hpaMetrics*len(ask)), func(i int) error {
			select {
			case questions <- i:
			case <-groupCtx.Done():
			}
			return nil
		})
	})
	for range hpaWorkers {
		group.Go(func() error {
			for i := range questions {
				t, err := ask[i%len(ask)](i / len(ask))
				if err != nil {
					return err
				}
				mu.Lock()
				took[i%len(ask)] = append(took[i%len(ask)], t)
				mu.Unlock()
			}
			return nil
		})
	}
	group.Go(func() error { return every(time.Second, func(int) error { return everySecond() }) })
	group.Go(func() error {
		return every(time.Second/plansPerSecond, func(i int) error { return client.IgnoreNotFound(writePlan(groupCtx, c, i%benchServers, 2+i%7)) })
	})
	group.Go(func() error {
		return every(time.Second/serversPerSecond, func(i int) error {
			// One that no autoscaler asks for.
			n := benchHPAs + i%(benchServers-benchHPAs)
			if err := c.Delete(groupCtx, benchServer(n)); err != nil {
				return err
			}
			return createServer(groupCtx, c, n)
		})
	})
	if err := group.Wait(); err != nil {
		s.t.Fatal(err)
	}
	return took
}

func benchKey(i int) client.ObjectKey {
	return client.ObjectKey{Namespace: fmt.Sprintf("llm-%d", i%benchNamespaces), Name: fmt.Sprintf("server-%d", i)}
}

func writePlan(ctx context.Context, c client.Client, i, replicas int) error {
	server := &v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Namespace: benchKey(i).Namespace, Name: benchKey(i).Name}}
	patched := server.DeepCopy()
	patched.Status.Desired, patched.Status.ReadyReplicas = planFor(replicas), replicas
	return c.Status().Patch(ctx, patched, client.MergeFrom(server))
}

func benchServer(i int) *v1alpha1.Server {
	key := benchKey(i)
	server := &v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	server.Spec = v1alpha1.ServerSpec{Model: "llama", ServiceClass: "premium"}
	server.Spec.ScaleTargetRef = &jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: key.Name}
	return server
}

// createServer with a plan.
func createServer(ctx context.Context, c client.Client, i int) error {
	if err := c.Create(ctx, benchServer(i)); err != nil {
		return err
	}
	return writePlan(ctx, c, i, 2+i%7)
}

// createServers with a plan each.
func (s *system) createServers(c client.Client) {
	s.t.Helper()
	for i := range benchNamespaces {
		if err := c.Create(s.t.Context(), &corev1.Namespace{ObjectMeta: named(fmt.Sprintf("llm-%d", i))}); err != nil {
			s.t.Fatal(err)
		}
	}
	group, ctx := errgroup.WithContext(s.t.Context())
	group.SetLimit(32)
	for i := range benchServers {
		group.Go(func() error { return createServer(ctx, c, i) })
	}
	if err := group.Wait(); err != nil {
		s.t.Fatal(err)
	}
}

// metricsReader is the token of an account that may read the metrics of all namespaces.
func (s *system) metricsReader() string {
	s.t.Helper()
	ctx := s.t.Context()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "autoscaler", Namespace: namespace}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: named("autoscaler"), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "inferno-view"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: account.Name, Namespace: namespace}},
	}
	if err := errors.Join(s.Client.Create(ctx, account), s.Client.Create(ctx, binding)); err != nil {
		s.t.Fatal(err)
	}
	r, err := s.Kube.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return r.Status.Token
}

// residentMB is the resident memory of a process in MB.
func residentMB(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "VmRSS:" {
			kb, err := strconv.ParseFloat(fields[1], 64)
			return kb * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("process %d says nothing of its memory", pid)
}

// BenchmarkPlanToDeployment is the time from the change of a plan to the Deployment's new number of replicas: through the watch of the
// adapter and a stock autoscaler that looks every second.
func BenchmarkPlanToDeployment(b *testing.B) {
	s := start(b)
	if err := s.Client.Delete(b.Context(), optimizer()); err != nil {
		b.Fatal(err)
	}
	server := s.serve("chat", nil)
	c := s.unhurried()
	change := func(replicas int) time.Duration {
		patched := server.DeepCopy()
		patched.Status.Desired = planFor(replicas)
		began := time.Now()
		if err := c.Status().Patch(b.Context(), patched, client.MergeFrom(server)); err != nil {
			b.Fatal(err)
		}
		deadline := began.Add(soon)
		for {
			n, err := s.replicas(b.Context(), "chat")
			switch {
			case err != nil:
				b.Fatal(err)
			case n == replicas:
				return time.Since(began)
			case time.Now().After(deadline):
				b.Fatalf("the Deployment has %d replicas, planned are %d", n, replicas)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	change(2)
	const changes = 20
	var took []time.Duration
	for b.Loop() {
		for i := range changes {
			took = append(took, change(3+i%5))
			time.Sleep(137 * time.Millisecond) // not in step with the autoscaler
		}
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds(), "s-p50")
	b.ReportMetric(took[len(took)-1].Seconds(), "s-max")
	b.ReportMetric(0, "ns/op")
}
