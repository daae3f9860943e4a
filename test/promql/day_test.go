package promql

import (
	"context"
	"fmt"
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

	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/observe"
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

// fillDay writes what Prometheus would have of a day until then to a directory, and says how many samples that are: every pod serves what a recorded page
// shows every five minutes.
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
			name := fmt.Sprintf("server-%d-5d9f8c7b6d-abcd%d", server, pod)
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
				value *= float64(at.Sub(until.Add(-2*day))) / float64(length)
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
