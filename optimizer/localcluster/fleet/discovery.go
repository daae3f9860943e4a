package fleet

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

const discoveryPath = "/sd"

// URL is the address of the fleet, without a path.
func (f *Fleet) URL() string { return "http://" + f.listener.Addr().String() }

// MetricsURL is the address of the metrics page of a pod while that is played.
func (f *Fleet) MetricsURL(namespace, pod string) string {
	return f.URL() + metricsPath(types.NamespacedName{Namespace: namespace, Name: pod})
}

func metricsPath(name types.NamespacedName) string {
	return "/pods/" + name.Namespace + "/" + name.Name + "/metrics"
}

// handler serves the pages of the pods, and the list of them for Prometheus's
// HTTP service discovery.
func (f *Fleet) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+discoveryPath, func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		content := f.targets()
		f.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.Write(content)
	})
	mux.HandleFunc("GET /pods/{namespace}/{name}/metrics", func(w http.ResponseWriter, r *http.Request) {
		name := types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
		f.mu.Lock()
		p, played := f.pods[name]
		f.mu.Unlock()
		if !played {
			http.Error(w, "no such pod is served", http.StatusNotFound)
			return
		}
		promhttp.HandlerFor(f.locked(p.page.Registry()), promhttp.HandlerOpts{}).ServeHTTP(w, r)
	})
	return mux
}

// locked gathers while nothing moves, so that a page is of one moment.
func (f *Fleet) locked(registry *prometheus.Registry) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return registry.Gather()
	})
}

// targetGroup is an entry of Prometheus's HTTP and file service discovery.
type targetGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// targets lists the pods played, by name.
func (f *Fleet) targets() []byte {
	groups := []targetGroup{}
	for _, name := range slices.SortedFunc(maps.Keys(f.pods), compareNames) {
		p := f.pods[name]
		groups = append(groups, targetGroup{
			Targets: []string{f.listener.Addr().String()},
			Labels: map[string]string{
				model.MetricsPathLabel: metricsPath(name),
				"instance":             name.String(), // all have the same address
				"namespace":            name.Namespace,
				"pod":                  name.Name,
				"node":                 p.node,
				"server":               f.servers[p.server].Name,
				"accelerator":          p.accelerator,
			},
		})
	}
	content, err := json.Marshal(groups)
	if err != nil {
		panic(fmt.Sprintf("fleet: %v", err)) // strings can be marshalled
	}
	return content
}

// writeFileSD replaces the file with the targets, at once and as a whole.
func (f *Fleet) writeFileSD() error {
	if f.config.FileSD == "" {
		return nil
	}
	temporary, err := os.CreateTemp(filepath.Dir(f.config.FileSD), ".targets-*")
	if err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	defer os.Remove(temporary.Name())
	if _, err = temporary.Write(f.targets()); err == nil {
		err = temporary.Chmod(0o644)
	}
	if closed := temporary.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temporary.Name(), f.config.FileSD)
	}
	if err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	return nil
}

type scrapeConfig struct {
	JobName        string   `json:"job_name"`
	ScrapeInterval string   `json:"scrape_interval"`
	ScrapeTimeout  string   `json:"scrape_timeout"`
	HTTPDiscovery  []httpSD `json:"http_sd_configs"`
}

type httpSD struct {
	URL             string `json:"url"`
	RefreshInterval string `json:"refresh_interval"`
}

// ScrapeConfig renders an entry of scrape_configs in Prometheus's configuration,
// as a YAML list of one, that finds and scrapes all pods at the given interval.
func (f *Fleet) ScrapeConfig(job string, interval time.Duration) ([]byte, error) {
	if job == "" || interval <= 0 {
		return nil, fmt.Errorf("fleet: job %q, interval %v: want a name and a time above 0", job, interval)
	}
	every := model.Duration(interval).String()
	return yaml.Marshal([]scrapeConfig{{
		JobName: job, ScrapeInterval: every, ScrapeTimeout: every,
		HTTPDiscovery: []httpSD{{URL: f.URL() + discoveryPath, RefreshInterval: every}},
	}})
}
