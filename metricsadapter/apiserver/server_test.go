package apiserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	cliflag "k8s.io/component-base/cli/flag"
	custommetrics "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	externalmetrics "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
)

const host = "inferno-adapter.inferno-system.svc"

// running is an adapter that serves a fake cluster.
type running struct {
	cluster           *fakeCluster
	authority         *authority
	address           string
	certFile, keyFile string
	registry          *prometheus.Registry
	stop              func() error
}

// start runs an adapter for a cluster with these Servers until the test ends.
func start(t *testing.T, servers ...map[string]any) *running {
	t.Helper()
	return startWith(t, nil, servers...)
}

// startWith does so with changed options.
func startWith(t *testing.T, change func(*Options), servers ...map[string]any) *running {
	t.Helper()
	r := &running{cluster: newFakeCluster(t), authority: newAuthority(t, "inferno-ca"), registry: prometheus.NewRegistry()}
	r.cluster.servers = servers
	dir := t.TempDir()
	r.certFile, r.keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	r.authority.write(t, host, r.certFile, r.keyFile)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = listener.Addr().String()
	o := NewOptions()
	o.Kubeconfig = r.cluster.kubeconfig(t)
	o.Library.SecureServing.Listener = listener
	o.Library.SecureServing.ServerCert.CertKey.CertFile = r.certFile
	o.Library.SecureServing.ServerCert.CertKey.KeyFile = r.keyFile
	if change != nil {
		change(o)
	}
	server, err := New(o, r.registry)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	stopped := false
	r.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("the adapter ended with: %v", err)
		}
	})
	return r
}

// synced lets the cluster serve, and waits until the adapter is ready.
func (r *running) synced(t *testing.T) *running {
	t.Helper()
	close(r.cluster.mayServe)
	eventually(t, func() bool { code, _ := r.get(t, "/readyz", caller{}); return code == http.StatusOK })
	return r
}

// caller is who asks: by a token, or by a client certificate with a user in a header.
type caller struct {
	token  string
	user   string
	cert   *tls.Certificate
	minTLS uint16
	maxTLS uint16
}

var alice = caller{token: "token-of-alice"}

// get asks for a path, and returns the status code and the body; the code is 0 where no connection came about.
func (r *running) get(t *testing.T, path string, by caller) (int, []byte) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(r.authority.cert)
	config := &tls.Config{RootCAs: roots, ServerName: host, MinVersion: by.minTLS, MaxVersion: by.maxTLS}
	if by.cert != nil {
		config.Certificates = []tls.Certificate{*by.cert}
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	request, err := http.NewRequest(http.MethodGet, "https://"+r.address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if by.token != "" {
		request.Header.Set("Authorization", "Bearer "+by.token)
	}
	if by.user != "" {
		request.Header.Set("X-Remote-User", by.user)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Logf("%s: %v", path, err)
		return 0, nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

func externalPath(namespace, metric, selector string) string {
	return "/apis/external.metrics.k8s.io/v1beta1/namespaces/" + namespace + "/" + metric + "?labelSelector=" + selector
}

// replicas asks for the desired replicas of a server, as the autoscaler does.
func (r *running) replicas(t *testing.T, name string) (string, int) {
	t.Helper()
	code, body := r.get(t, externalPath("llm", "inferno_desired_replicas", "server%3D"+name), alice)
	if code != http.StatusOK {
		return "", code
	}
	var list externalmetrics.ExternalMetricValueList
	if err := json.Unmarshal(body, &list); err != nil || len(list.Items) != 1 {
		t.Fatalf("want one value, got %s (%v)", body, err)
	}
	if age := time.Since(list.Items[0].Timestamp.Time); age < 0 || age > time.Hour {
		t.Errorf("timestamp %v, want that of the plan", list.Items[0].Timestamp)
	}
	return list.Items[0].Value.String(), code
}

func TestServesValuesFromTheWatch(t *testing.T) {
	r := start(t, serverObject("llm", "chat", 5), serverObject("other", "chat", 7)).synced(t)
	if got, code := r.replicas(t, "chat"); got != "5" {
		t.Errorf("got %q (%d), want 5", got, code)
	}

	code, body := r.get(t, "/apis/custom.metrics.k8s.io/v1beta2/namespaces/llm/deployments.apps/chat/inferno_desired_replicas", alice)
	var list custommetrics.MetricValueList
	if err := json.Unmarshal(body, &list); err != nil || len(list.Items) != 1 || list.Items[0].Value.String() != "5" {
		t.Errorf("custom metric of the Deployment: %d %s (%v)", code, body, err)
	}

	r.cluster.watched(t)
	r.cluster.notify("MODIFIED", serverObject("llm", "chat", 9))
	eventually(t, func() bool { got, _ := r.replicas(t, "chat"); return got == "9" })

	// A Server that does not decode leaves the others alone and says what is wrong.
	r.cluster.notify("MODIFIED", serverObject("llm", "chat", "many"))
	r.cluster.notify("ADDED", serverObject("llm", "next", 2))
	eventually(t, func() bool { got, _ := r.replicas(t, "next"); return got == "2" })
	code, body = r.get(t, externalPath("llm", "inferno_desired_replicas", "server%3Dchat"), alice)
	if code != http.StatusServiceUnavailable || !strings.Contains(string(body), "InvalidSpec") {
		t.Errorf("a Server that cannot be read: %d %s", code, body)
	}

	r.cluster.notify("DELETED", serverObject("llm", "next", 2))
	eventually(t, func() bool { _, code := r.replicas(t, "next"); return code == http.StatusNotFound })
}

// An error of the provider reaches the client as an API status, which is what kubectl and the events of an autoscaler show.
func TestErrorsAreStatuses(t *testing.T) {
	stale := serverObject("llm", "stale", 5)
	stale["status"].(map[string]any)["desired"].(map[string]any)["confirmedAt"] = "2020-01-01T00:00:00Z"
	r := start(t, stale).synced(t)
	for _, test := range []struct {
		path    string
		code    int32
		message string
	}{
		{externalPath("llm", "inferno_desired_replicas", "server%3Dstale"), http.StatusServiceUnavailable, "the plan of server llm/stale is stale"},
		{externalPath("llm", "inferno_desired_replicas", "server%3Dnobody"), http.StatusNotFound, "no server"},
		{externalPath("llm", "inferno_desired_replicas", "app%3Dx"), http.StatusBadRequest, "no value has the label app"},
		{externalPath("llm", "inferno_desired_replicas", "((("), http.StatusBadRequest, "found '('"},
		{externalPath("llm", "inferno_x", ""), http.StatusNotFound, "inferno_x"},
	} {
		code, body := r.get(t, test.path, alice)
		var status metav1.Status
		if err := json.Unmarshal(body, &status); err != nil {
			t.Errorf("%s: %d %s", test.path, code, body)
			continue
		}
		if status.Kind != "Status" || status.Code != test.code || code != int(test.code) || !strings.Contains(status.Message, test.message) {
			t.Errorf("%s: %d %s, want %d with %q", test.path, code, body, test.code, test.message)
		}
	}
}

func TestIsReadyOnceTheServersAreRead(t *testing.T) {
	r := start(t, serverObject("llm", "chat", 5))
	eventually(t, func() bool { code, _ := r.get(t, "/livez", caller{}); return code == http.StatusOK })
	if code, body := r.get(t, "/readyz", caller{}); code != http.StatusInternalServerError || !strings.Contains(string(body), "servers-synced failed") {
		t.Errorf("before the Servers are read: %d %s", code, body)
	}
	if _, code := r.replicas(t, "chat"); code != http.StatusServiceUnavailable {
		t.Errorf("an answer before the Servers are read: %d", code)
	}
	if families, err := r.registry.Gather(); err != nil || len(families) != 1 {
		t.Errorf("a number of servers before they are read: %v (%v)", families, err)
	}
	r.synced(t)
	if got, code := r.replicas(t, "chat"); got != "5" {
		t.Errorf("got %q (%d), want 5", got, code)
	}
}

func TestOnlyThoseWhoMay(t *testing.T) {
	r := start(t, serverObject("llm", "chat", 5), serverObject("other", "chat", 7)).synced(t)
	proxy := r.cluster.frontProxy.client(t, "front-proxy-client")
	impostor := newAuthority(t, "impostor").client(t, "front-proxy-client")
	misnamed := r.cluster.frontProxy.client(t, "another-client")
	llm, other := externalPath("llm", "inferno_desired_replicas", ""), externalPath("other", "inferno_desired_replicas", "")
	for _, test := range []struct {
		name string
		path string
		by   caller
		code int
	}{
		{"a user", llm, alice, http.StatusOK},
		{"a user in a namespace that is not theirs", other, alice, http.StatusForbidden},
		{"a user without rights", llm, caller{token: "token-of-scraper"}, http.StatusForbidden},
		{"nobody", llm, caller{}, http.StatusForbidden},
		{"a token that the cluster does not know, or of another audience", llm, caller{token: "stranger"}, http.StatusUnauthorized},
		{"the API server on behalf of a user", llm, caller{cert: &proxy, user: "alice"}, http.StatusOK},
		{"the API server on behalf of a user elsewhere", other, caller{cert: &proxy, user: "alice"}, http.StatusForbidden},
		{"a header without the API server", llm, caller{user: "alice"}, http.StatusForbidden},
		{"a header with another authority's certificate", llm, caller{cert: &impostor, user: "alice"}, http.StatusForbidden},
		{"a header with another client's certificate", llm, caller{cert: &misnamed, user: "alice"}, http.StatusUnauthorized},
		{"the metrics page, for a scraper", "/metrics", caller{token: "token-of-scraper"}, http.StatusOK},
		{"the metrics page, for nobody", "/metrics", caller{}, http.StatusForbidden},
		{"health, for the kubelet", "/livez", caller{}, http.StatusOK},
		{"profiles, for those who may read all else", "/debug/pprof/", alice, http.StatusNotFound},
	} {
		if code, body := r.get(t, test.path, test.by); code != test.code {
			t.Errorf("%s: %d, want %d: %.300s", test.name, code, test.code, body)
		}
	}
}

// A right is to a metric in a namespace: autoscalers with selectors of their own do not wait for reviews of their own.
func TestAsksOnceForARight(t *testing.T) {
	r := start(t, serverObject("llm", "chat", 5), serverObject("llm", "next", 2)).synced(t)
	ask := func() int {
		t.Helper()
		for _, name := range []string{"chat", "next", "nobody", "chat"} {
			r.replicas(t, name)
		}
		r.cluster.mu.Lock()
		defer r.cluster.mu.Unlock()
		return r.cluster.reviews
	}
	if n := ask(); n != 1 {
		t.Errorf("%d reviews for one metric in one namespace, want 1", n)
	}
	if code, _ := r.get(t, externalPath("other", "inferno_desired_replicas", "server%3Dchat"), alice); code != http.StatusForbidden {
		t.Errorf("with a selector, in a namespace that is not theirs: %d", code)
	}
}

func TestRefusesOldTLS(t *testing.T) {
	r := start(t).synced(t)
	for version, accepted := range map[uint16]bool{
		tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true,
	} {
		if code, _ := r.get(t, "/livez", caller{minTLS: version, maxTLS: version}); (code == http.StatusOK) != accepted {
			t.Errorf("%s: status %d, want accepted: %v", tls.VersionName(version), code, accepted)
		}
	}
}

func TestReadsARenewedCertificate(t *testing.T) {
	r := start(t).synced(t)
	r.authority = newAuthority(t, "the next authority")
	if code, _ := r.get(t, "/livez", caller{}); code != 0 {
		t.Fatal("the certificate is trusted before it is renewed")
	}
	r.authority.write(t, host, r.certFile, r.keyFile)
	eventually(t, func() bool { code, _ := r.get(t, "/livez", caller{}); return code == http.StatusOK })
}

func TestStopsWhenTold(t *testing.T) {
	r := start(t).synced(t)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if code, _ := r.get(t, "/livez", caller{}); code != 0 {
		t.Errorf("still answers: %d", code)
	}
}

func TestCountsWhatItAnswers(t *testing.T) {
	stale := serverObject("llm", "stale", 5)
	stale["status"].(map[string]any)["desired"].(map[string]any)["confirmedAt"] = "2020-01-01T00:00:00Z"
	planless := serverObject("llm", "planless", 5)
	delete(planless, "status")
	r := start(t, serverObject("llm", "chat", 5), stale, planless).synced(t)
	for _, name := range []string{"chat", "chat", "stale", "planless", "nobody"} {
		r.replicas(t, name)
	}
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("names of metrics: %v (%v)", problems, err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, sample := range family.GetMetric() {
			var labels []string
			for _, label := range sample.GetLabel() {
				labels = append(labels, label.GetValue())
			}
			got[family.GetName()+" "+strings.Join(labels, " ")] = sample.GetCounter().GetValue() + sample.GetGauge().GetValue()
		}
	}
	want := map[string]float64{
		"inferno_adapter_answers_total external value":      2,
		"inferno_adapter_answers_total external stale_plan": 1,
		"inferno_adapter_answers_total external no_plan":    1,
		"inferno_adapter_answers_total external no_server":  1,
		"inferno_adapter_servers fresh":                     1,
		"inferno_adapter_servers stale":                     1,
		"inferno_adapter_servers none":                      1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDiscoveryListsTheMetrics(t *testing.T) {
	r := start(t).synced(t)
	for path, want := range map[string]int{"/apis/external.metrics.k8s.io/v1beta1": 6, "/apis/custom.metrics.k8s.io/v1beta2": 12} {
		code, body := r.get(t, path, alice)
		var list metav1.APIResourceList
		if err := json.Unmarshal(body, &list); err != nil || len(list.APIResources) != want {
			t.Errorf("%s: %d %s (%v), want %d resources", path, code, body, err, want)
		}
	}
}

func TestOptionsNameEveryFault(t *testing.T) {
	var groups cliflag.NamedFlagSets
	o := NewOptions()
	o.AddFlags(&groups)
	for group, args := range map[string][]string{
		"adapter": {"--shutdown-delay=-1s"}, "secure serving": {"--tls-min-version=VersionTLS11", "--secure-port=70000"},
	} {
		if err := groups.FlagSet(group).Parse(args); err != nil {
			t.Fatal(err)
		}
	}
	err := o.Validate()
	for _, want := range []string{"--shutdown-delay: -1s", `--tls-min-version: "VersionTLS11"`, "70000"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
	if err := NewOptions().Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}

func TestAKubeconfigThatIsNotThere(t *testing.T) {
	o := NewOptions()
	o.Kubeconfig = "/nowhere/kubeconfig"
	if _, err := New(o, prometheus.NewRegistry()); err == nil || !strings.Contains(err.Error(), "/nowhere/kubeconfig") {
		t.Errorf("want an error that names the file, got %v", err)
	}
}
