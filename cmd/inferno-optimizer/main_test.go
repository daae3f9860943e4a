package main

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/loop"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

func command(args ...string) *cobra.Command {
	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	return cmd
}

// What the flags say is told at once, all of it, before anything is connected to.
func TestFlagsAreChecked(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"--prometheus-url=prometheus:9090", "--prometheus-timeout=0s", "--log-format=xml", "--watch-namespaces=a,B_"}, []string{
			`--watch-namespaces: "B_" is not allowed, must be the name of a namespace`,
			`--prometheus-url: "prometheus:9090" is not allowed, must be an http or https URL`, "--prometheus-timeout: 0s is not allowed, must be above 0",
			`--log-format: "xml" is not allowed, must be text or json`,
		}},
		{[]string{"--prometheus-url=ftp://x"}, []string{`"ftp://x" is not allowed`}},
		{[]string{"--prometheus-url=http://"}, []string{`"http://" is not allowed`}},
		{[]string{"--decision-log-size=0", "--decision-log-files=-1"}, []string{
			"--decision-log-size: 0 is not allowed, must be at least 1 (MB)", "--decision-log-files: -1 is not allowed, must be at least 1",
		}},
		{[]string{"--log-level=loud"}, []string{"--log-level"}},
		{[]string{"--console-bind-address=:7411"}, []string{`--console-bind-address: ":7411" is not allowed, must be HOST:PORT with localhost or a loopback address`}},
		{[]string{"--prometheus-timeout=soon"}, []string{"prometheus-timeout"}},
		{[]string{"--no-such-flag"}, []string{"--no-such-flag"}},
		{[]string{"extra"}, []string{`"extra"`}},
	} {
		err := command(c.args...).Execute()
		if err == nil || exitStatus(err) != 2 {
			t.Errorf("%v: error %v, want one with status 2", c.args, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v: %q does not say %q", c.args, err, want)
			}
		}
	}
}

// Failures that flags do not cause have another status.
func TestOtherFailures(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "no", "such", "place")
	err := command("--decision-log=" + missing).Execute()
	if err == nil || exitStatus(err) != 1 || !strings.Contains(err.Error(), "--decision-log") {
		t.Errorf("a log that cannot be opened: %v", err)
	}
	t.Setenv("KUBECONFIG", missing)
	if err := command("--kubeconfig=" + missing).Execute(); err == nil || exitStatus(err) != 1 || !strings.Contains(err.Error(), missing) {
		t.Errorf("a kubeconfig that is not there: %v", err)
	}
}

// Decisions are appended to what a log holds already.
func TestDecisionLogIsAppendedTo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "decisions.jsonl")
	for _, id := range []string{"a", "b"} {
		o := options{decisionLog: file, decisionLogSize: 1, decisionLogFiles: 1}
		log, err := o.openDecisionLog()
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Write(&loop.Record{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"id":"a"`) || !strings.Contains(lines[1], `"id":"b"`) {
		t.Errorf("the log holds\n%s", data)
	}
}

// A log that grows beyond its size is begun anew, and as many older files are kept as was asked for.
func TestDecisionLogIsRotated(t *testing.T) {
	dir := t.TempDir()
	o := options{decisionLog: filepath.Join(dir, "decisions.jsonl"), decisionLogSize: 1, decisionLogFiles: 2}
	log, err := o.openDecisionLog()
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 1<<19)
	for range 12 {
		if err := log.Write(&loop.Record{ID: long}); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		if compressed, _ := filepath.Glob(filepath.Join(dir, "*.gz")); len(files) == 3 && len(compressed) == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("there are %v, want the log and two older files, compressed", files)
		}
	}
	if info, err := os.Stat(o.decisionLog); err != nil || info.Size() > 1<<20 {
		t.Errorf("the log has %v, %v", info, err)
	}
}

// A signal makes the log say more, and the next one as much as before.
func TestLogLevelChanges(t *testing.T) {
	for _, asked := range []slog.Level{slog.LevelInfo, slog.LevelError} {
		o := options{level: new(slog.LevelVar)}
		o.level.Set(asked)
		changes := make(chan os.Signal)
		go o.changeLevel(changes)
		for _, want := range []slog.Level{slog.LevelDebug, asked, slog.LevelDebug} {
			changes <- syscall.SIGUSR1
			for deadline := time.Now().Add(time.Minute); o.level.Level() != want; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("the level is %v, want %v", o.level.Level(), want)
				}
			}
		}
		close(changes)
	}
}

// prometheus answers queries with the value 1 and notes what it was asked with.
func prometheus(t *testing.T) (server *httptest.Server, asked *[]*http.Request) {
	asked = new([]*http.Request)
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"status":"success","data":{"resultType":"scalar","result":[0,"1"]}}`)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that do not trust it are part of the test
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, asked
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Over TLS the server must show a certificate that is trusted, and gets the token, the new one when it changes.
func TestPrometheusOverTLS(t *testing.T) {
	server, asked := prometheus(t)
	ca := write(t, "ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	token := write(t, "token", "first\n")
	query := func(o options) error {
		q, err := o.queriers()(&v1alpha1.PrometheusSource{URL: server.URL})
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err = q.Query(ctx, "1", time.Time{}, func(observe.Series) {})
		return err
	}
	if err := query(options{}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
	if len(*asked) > 0 {
		t.Error("a server that is not trusted was asked")
	}
	o := options{prometheusURL: server.URL, prometheusCA: ca, prometheusToken: token}
	for _, want := range []string{"first", "second"} {
		if err := os.WriteFile(token, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := query(o); err != nil {
			t.Fatal(err)
		}
		if got := (*asked)[len(*asked)-1].Header.Get("Authorization"); got != "Bearer "+want {
			t.Errorf("authorization %q, want the token %q", got, want)
		}
	}
	if err := query(options{prometheusURL: server.URL, prometheusCA: filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("certificates that are not there were trusted")
	}
}

// The Optimizer's own Prometheus comes before the flag's; clients are kept.
func TestQueriers(t *testing.T) {
	o := options{prometheusURL: "http://flag:9090"}
	querier := o.queriers()
	at := func(url string) *v1alpha1.PrometheusSource { return &v1alpha1.PrometheusSource{URL: url} }
	first, err := querier(at(""))
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := querier(at("http://flag:9090")); again != first {
		t.Error("the same Prometheus has two clients, and so two sets of connections")
	}
	if other, _ := querier(at("http://other:9090")); other == first {
		t.Error("two Prometheus share a client")
	}
	if _, err := (&options{}).queriers()(at("")); err == nil || !strings.Contains(err.Error(), "--prometheus-url") {
		t.Errorf("no Prometheus at all: %v", err)
	}
}

// Who asks is what the Optimizer says; what the flags say is for their Prometheus alone, so that no other is sent their token.
func TestPrometheusAccess(t *testing.T) {
	server, asked := prometheus(t)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"ca.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})), "token": "mine", "password": "secret", "flag": "flags",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ca := filepath.Join(dir, "ca.crt")
	for _, c := range []struct {
		name          string
		o             options
		access        v1alpha1.PrometheusAccess
		authorization string
		header, value string
	}{
		{name: "another Prometheus than the flags'", o: options{prometheusURL: "https://elsewhere", prometheusCA: ca, prometheusToken: filepath.Join(dir, "flag")}},
		{name: "the flags'", o: options{prometheusURL: server.URL, prometheusCA: ca, prometheusToken: filepath.Join(dir, "flag")}, authorization: "Bearer flags"},
		{name: "token", access: v1alpha1.PrometheusAccess{BearerTokenFile: "token"}, authorization: "Bearer mine"},
		{name: "token for the flags'", o: options{prometheusURL: server.URL, prometheusToken: filepath.Join(dir, "flag")}, access: v1alpha1.PrometheusAccess{BearerTokenFile: "token"}, authorization: "Bearer mine"},
		{name: "basic", access: v1alpha1.PrometheusAccess{Username: "u", PasswordFile: "password"}, authorization: "Basic dTpzZWNyZXQ="},
		{name: "tenant", access: v1alpha1.PrometheusAccess{Tenant: "a|b"}, header: "X-Scope-OrgID", value: "a|b"},
		{name: "tenant of Thanos", access: v1alpha1.PrometheusAccess{Tenant: "a", TenantHeader: "THANOS-TENANT"}, header: "Thanos-Tenant", value: "a"},
	} {
		c.o.credentialsDir, c.access.CAFile = dir, "ca.crt"
		q, err := c.o.queriers()(&v1alpha1.PrometheusSource{URL: server.URL, Access: c.access})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if _, err := q.Query(t.Context(), "1", time.Time{}, func(observe.Series) {}); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		sent := (*asked)[len(*asked)-1].Header
		if got := sent.Get("Authorization"); got != c.authorization {
			t.Errorf("%s: authorization %q, want %q", c.name, got, c.authorization)
		}
		if got := sent.Get(c.header); c.header != "" && got != c.value {
			t.Errorf("%s: %s is %q, want %q", c.name, c.header, got, c.value)
		}
	}
	without := options{}
	if _, err := without.queriers()(&v1alpha1.PrometheusSource{URL: server.URL, Access: v1alpha1.PrometheusAccess{BearerTokenFile: "token"}}); err == nil {
		t.Error("a file of credentials was read from nowhere")
	}
}

// Ports, TLS and leases are as the manifests expect them.
func TestDefaults(t *testing.T) {
	flags := newCommand().Flags()
	for name, want := range map[string]string{
		"metrics-secure": "true", "metrics-bind-address": ":8443", "health-bind-address": ":8081", "leader-elect": "false", "log-format": "text",
		"prometheus-timeout": "10s", "prometheus-url": "", "decision-log": "", "pprof-bind-address": "0", "log-level": "INFO",
	} {
		if f := flags.Lookup(name); f == nil || f.DefValue != want {
			t.Errorf("--%s: %+v, want the default %q", name, f, want)
		}
	}
	if flags.Lookup("kubeconfig") == nil {
		t.Error("--kubeconfig is missing")
	}
}
