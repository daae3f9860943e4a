package promql

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/evaluation/advise"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// A day of a fleet as inferno advise reads it by default.
const (
	fleetServers, podsOfEach = 20, 4

	day       = 24 * time.Hour
	dayScrape = 15 * time.Second
	dayWindow = 2 * time.Minute
)

// Reading a day of 20 servers of four vLLM pods each, scraped every 15 s, from the real Prometheus over HTTP, with one core for Prometheus and one for who
// asks. cpu-s is the time of a core that asking takes by itself.
func BenchmarkReadDay(b *testing.B) {
	until := time.Now().Truncate(dayWindow)
	data := b.TempDir()
	b.Logf("%d samples", fillDay(b, data, until))
	querier, err := observe.NewPrometheus(startPrometheus(b, data), http.DefaultTransport)
	if err != nil {
		b.Fatal(err)
	}
	source, err := observe.NewSource(querier, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	runtime.GC()
	before := used(b)
	for b.Loop() {
		past, err := observe.ReadMetricsOver(b.Context(), source, until.Add(-day), until, dayWindow, nil)
		if err != nil {
			b.Fatal(err)
		}
		if last := past[len(past)-1]; len(past) != int(day/dayWindow) || len(last.Metrics) != fleetServers*podsOfEach {
			b.Fatalf("read %d times, at the last %d pods", len(past), len(last.Metrics))
		}
	}
	b.ReportMetric((used(b)-before).Seconds()/float64(b.N), "cpu-s/op")
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/op")
}

// The whole of inferno advise, with one core for it and one for Prometheus, on a day of 20 servers of four vLLM pods each: read-s reads it, fit-s learns the laws,
// replay-s plays the last hour again under all policies and searches the settings of rules, and says what servers would need on other cards.
func BenchmarkAdviseDay(b *testing.B) {
	until := time.Now().Truncate(dayWindow)
	data := b.TempDir()
	fillDay(b, data, until)
	querier, err := observe.NewPrometheus(startPrometheus(b, data), http.DefaultTransport)
	if err != nil {
		b.Fatal(err)
	}
	source, err := observe.NewSource(querier, nil)
	if err != nil {
		b.Fatal(err)
	}
	cluster := dayCluster()
	servers, skipped := advise.Find(cluster)
	if len(servers) != fleetServers || len(skipped) > 0 {
		b.Fatalf("found %d servers, skipped %v", len(servers), skipped)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	took := map[string]time.Duration{}
	for b.Loop() {
		began := time.Now()
		lap := func(what string) { took[what], began = took[what]+time.Since(began), time.Now() }
		past, err := observe.ReadMetricsOver(b.Context(), source, until.Add(-day), until, dayWindow, nil)
		if err != nil {
			b.Fatal(err)
		}
		lap("read")
		q := &advise.Question{
			Servers: servers, Past: past, Window: dayWindow, Targets: sizing.Targets{TTFT: 1, ITL: 0.05, Percentile: 90}, Prices: catalogue.BuiltInPrices(), Knowledge: fitting.BuiltIn(),
		}
		studied, err := advise.Study(q)
		if err != nil {
			b.Fatal(err)
		}
		lap("fit")
		report, err := studied.Replay(q, advise.Options{Pools: advise.PoolsOf(cluster.Nodes), StartUp: 120, Span: 3600, TuneSpan: 900})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := studied.Elsewhere(q, report, []string{"H100", "L40S"}); err != nil {
			b.Fatal(err)
		}
		lap("replay")
		if len(report.Servers) != fleetServers || len(report.Rows) < 5 || report.Fits[0].Observations < int(day/dayWindow)*7/10 {
			b.Fatalf("%d servers, %d rows, %+v", len(report.Servers), len(report.Rows), report.Fits)
		}
		for _, row := range report.Rows {
			b.Logf("%s %s: %.2f %% at %.0f ¢/h", row.Policy, row.Settings, 100*row.Attainment, row.CostPerHour)
		}
	}
	for what, time := range took {
		b.ReportMetric(time.Seconds()/float64(b.N), what+"-s")
	}
}

// dayCluster is the cluster that the day is of.
func dayCluster() *advise.Cluster {
	c := new(advise.Cluster)
	for server := range fleetServers {
		name, node := fmt.Sprintf("server-%d", server), fmt.Sprintf("node-%d", server/2)
		if server%2 == 0 {
			n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node, Labels: map[string]string{"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}}}
			n.Status.Allocatable = corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("8")}
			c.Nodes = append(c.Nodes, n)
		}
		c.Workloads = append(c.Workloads, advise.Workload{Namespace: "llm", Name: name, Kind: "Deployment", Replicas: podsOfEach, Template: &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "vllm", Image: "vllm/vllm-openai:v0.10.2", Args: []string{"--model=meta-llama/Llama-3.1-8B-Instruct", "--max-num-seqs=256", "--max-num-batched-tokens=8192"},
			Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("1")}},
		}}}}})
		for pod := range podsOfEach {
			c.Pods = append(c.Pods, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: dayPod(server, pod)}, Spec: corev1.PodSpec{NodeName: node}})
		}
	}
	return c
}

// dayPod is the name of a pod of a server.
func dayPod(server, pod int) string { return fmt.Sprintf("server-%d-5d9f8c7b6d-abcd%d", server, pod) }

// fillDay writes what Prometheus would have of a day until then to a directory, and says how many samples that are: every pod serves what a recorded page
// shows every five minutes, half as much more and less over the day.
func fillDay(b *testing.B, dir string, until time.Time) int {
	b.Helper()
	db, err := tsdb.Open(dir, nil, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		b.Fatal(err)
	}
	type series struct {
		sample
		ref storage.SeriesRef
	}
	var all []series
	for server := range fleetServers {
		for pod := range podsOfEach {
			name := dayPod(server, pod)
			for _, s := range readPage(b, pages+"/vllm-0.10.2.end.prom") {
				s.labels = labels.NewBuilder(s.labels).Set("namespace", "llm").Set("pod", name).Set("instance", name+":8000").Set("job", "models").Labels()
				all = append(all, series{sample: s})
			}
		}
	}
	samples := 0
	for at := until.Add(-day - 10*time.Minute); !at.After(until); at = at.Add(dayScrape) {
		app := db.Appender(context.Background())
		for i := range all {
			s := &all[i]
			value := s.value
			if s.counter {
				ago, turn := until.Sub(at).Seconds(), day.Seconds()/(2*math.Pi)
				value *= (2*day.Seconds() - ago + turn/2*math.Sin(ago/turn)) / length.Seconds()
			}
			if s.ref, err = app.Append(s.ref, s.labels, at.UnixMilli(), value); err != nil {
				b.Fatal(err)
			}
			samples++
		}
		if err := app.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	return samples
}

// startPrometheus over data that are there, on one core, and returns its address.
func startPrometheus(b *testing.B, data string) string {
	b.Helper()
	paths, err := controlplane.Binaries(b.Context(), "", b.Output(), controlplane.Prometheus)
	if err != nil {
		b.Fatal(err)
	}
	config := filepath.Join(b.TempDir(), "prometheus.yml")
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		b.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		b.Fatal(err)
	}
	p := &controlplane.Process{
		Name: "prometheus", Path: paths[controlplane.Prometheus], Env: []string{"GOMAXPROCS=1"}, Log: filepath.Join(b.TempDir(), "prometheus.log"),
		Args:  []string{"--config.file=" + config, "--storage.tsdb.path=" + data, "--web.listen-address=" + address, "--log.level=warn"},
		Ready: controlplane.HTTPReady("http://"+address+"/-/ready", nil),
	}
	if err := p.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.Stop)
	return "http://" + address
}

// used is the time that this process has had a core.
func used(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
