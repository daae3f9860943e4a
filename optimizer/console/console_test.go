package console

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/loop"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// hostile is a name as no cluster has it, but a log may.
const hostile = `<script>alert(1)</script>`

// record of a cycle of a small system.
func record(t testing.TB, id string, change func(*jsonspec.System)) *loop.Record {
	t.Helper()
	s, err := specification.Load("../../test/data/systems/small")
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(s)
	}
	stages, err := control.NewStages(&s.Optimizer.Spec)
	if err != nil {
		t.Fatal(err)
	}
	snapshot := specification.Snapshot{Time: metav1.NewMicroTime(time.Unix(1_700_000_000, 0)), HorizonSeconds: 90, System: *s}
	d, err := stages.Decide(context.Background(), snapshot.Core(), control.State{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &loop.Record{ID: id, Snapshot: snapshot, Decision: specification.Report(s, &d.Decision)}
}

func line(t testing.TB, r *loop.Record) string {
	t.Helper()
	var out bytes.Buffer
	if err := loop.NewDecisionLog(&out).Write(r); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// opened is a log with the given text, read once.
func opened(t *testing.T, text string) (*Log, *Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "decisions.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	l, store, err := OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.readOn(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l, store, path
}

func get(t *testing.T, h http.Handler, path string, into any) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://localhost:7411"+path, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if into != nil {
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			t.Fatalf("%s: %v: %s", path, err, w.Body)
		}
	}
	return w
}

// What is damaged or foreign in a log is said and left out; the rest is shown, what is added later too, and each cycle can be read again.
func TestLogs(t *testing.T) {
	one, two := line(t, record(t, "one", nil)), line(t, record(t, "two", nil))
	l, store, path := opened(t, one+"{\"id\":\"broken\n"+"\x00\x01\n{\"foreign\": true}\n\n"+two[:len(two)/2])
	source, n, last := store.about()
	if n != 1 || last.ID != "one" || len(source.Unread) != 3 {
		t.Fatalf("%d cycles, last %+v, unread %q", n, last, source.Unread)
	}
	for i, want := range []string{"line 2", "line 3", "line 4"} {
		if !strings.HasPrefix(source.Unread[i], want) {
			t.Errorf("%q does not name %s", source.Unread[i], want)
		}
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(two[len(two)/2:]); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := l.readOn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, n, last = store.about(); n != 2 || last.ID != "two" {
		t.Fatalf("after the log grew: %d cycles, last %v", n, last)
	}
	for _, id := range []string{"one", "two", ""} {
		if c, err := store.cycle(id); err != nil || len(c.Snapshot.System.Servers.Spec) == 0 {
			t.Errorf("cycle %q: %v", id, err)
		}
	}
	if err := os.Truncate(path, 10); err != nil {
		t.Fatal(err)
	}
	if err := l.readOn(t.Context()); err == nil {
		t.Error("a log that became shorter is no fault")
	}
}

// Pages and answers come to this machine's own names alone, and no other site's page asks anything.
func TestWhoIsAnswered(t *testing.T) {
	_, store, _ := opened(t, line(t, record(t, "one", nil)))
	h := Handler(Options{Store: store})
	for host, want := range map[string]int{
		"localhost": 200, "localhost:7411": 200, "127.0.0.1:7411": 200, "127.8.9.1": 200, "[::1]:7411": 200, "[::1]": 200,
		"evil.example": 403, "localhost.evil.example:7411": 403, "127.0.0.1.evil.example": 403, "10.0.0.1:7411": 403, "": 403, "[::2]:1": 403,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("host %q: status %d, want %d", host, w.Code, want)
		}
		if got := w.Header().Get("Content-Security-Policy"); got != policy {
			t.Errorf("host %q: content security policy %q", host, got)
		}
	}
	for origin, want := range map[string]int{"http://localhost:7411": 200, "http://evil.example": 403, "null": 403} {
		r := httptest.NewRequest(http.MethodPost, "http://localhost:7411/api/ask", strings.NewReader(`{"changes":["load.*=*2"]}`))
		r.Header.Set("Origin", origin)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("origin %q: status %d, want %d: %s", origin, w.Code, want, w.Body)
		}
	}
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodPost} {
		r := httptest.NewRequest(method, "http://localhost:7411/api/fleet", nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusMethodNotAllowed && w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d", method, w.Code)
		}
	}
	if _, err := Listen("0.0.0.0:0"); err == nil {
		t.Error("listens on all addresses")
	}
}

// Each table is CSV with as many columns in every row, and no cell of text is a formula.
func TestTables(t *testing.T) {
	_, store, _ := opened(t, line(t, record(t, "one", func(s *jsonspec.System) {
		s.Servers.Spec[0].Name, s.Servers.Spec[1].Name, s.Servers.Spec[2].Name = "=cmd|' /C calc'!A0", "@SUM(A1)", hostile
	})))
	evaluation := os.DirFS("../../docs/evaluation")
	h := Handler(Options{Store: store, Evaluation: evaluation})
	for name := range (&server{}).tables() {
		w := get(t, h, "/csv/"+name+".csv?name=%3Dcmd%7C%27+%2FC+calc%27%21A0", nil)
		rows, err := csv.NewReader(w.Body).ReadAll()
		if err != nil || w.Code != 200 || len(rows) < 2 && name != "forecast" {
			t.Errorf("%s: status %d, %d rows, %v", name, w.Code, len(rows), err)
		}
		for _, row := range rows {
			for _, cell := range row {
				if cell != "" && strings.ContainsAny(cell[:1], "=@") {
					t.Errorf("%s: cell %q is a formula", name, cell)
				}
			}
		}
	}
}

// What if answers with the difference to the same cycle, and says what is wrong with a question.
func TestWhatIf(t *testing.T) {
	_, store, _ := opened(t, line(t, record(t, "one", nil)))
	h := Handler(Options{Store: store})
	ask := func(body string) (int, *Answer, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "http://localhost/api/ask", strings.NewReader(body)))
		var a Answer
		_ = json.Unmarshal(w.Body.Bytes(), &a)
		return w.Code, &a, w.Body.String()
	}
	if code, a, text := ask(`{"changes":[]}`); code != 200 || a.CostChange != 0 || len(a.Changed) != 0 || a.Drift != 0 {
		t.Errorf("without a change: status %d: %s", code, text)
	}
	if code, a, text := ask(`{"changes":["load.*=*2"]}`); code != 200 || !(a.CostChange > 0) || len(a.Changed) == 0 || len(a.Changes) != 1 {
		t.Errorf("twice the load: status %d: %s", code, text)
	}
	if code, _, text := ask(`{"solver":"greedy"}`); code != 200 {
		t.Errorf("another solver: status %d: %s", code, text)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(gone, http.MethodPost, "http://localhost/api/ask", strings.NewReader(`{"changes":["load.*=*3"]}`)))
	if !strings.Contains(w.Body.String(), context.Canceled.Error()) {
		t.Errorf("a question that nobody waits for is decided: %s", w.Body)
	}
	for body, want := range map[string]string{
		`{"changes":["load.nobody=*2","price.H1=*0"]}`: `server \"nobody\" does not exist`, `{"solver":"none such"}`: "none such", `{"cycle":"never"}`: `cycle \"never\" does not exist`,
		`{"bogus":1}`: "bogus", `[]`: "no question", `{"changes":["load.*=-1e300"]}`: "at least 0",
	} {
		if code, _, text := ask(body); code < 400 || code >= 500 || !strings.Contains(text, want) {
			t.Errorf("%s: status %d: %s, want %q", body, code, text, want)
		}
	}
}

// A history that grows too long keeps its newest samples and both ends; cycles that are not held say so, and their sums stay.
func TestMemoryIsBounded(t *testing.T) {
	r := record(t, "", nil)
	servers := len(r.System.Servers.Spec)
	store := NewStore(Source{}, 3*servers)
	store.history.most = 400 * servers
	const cycles = 1000
	for k := range cycles {
		c := FromRecord(r)
		c.ID = fmt.Sprint(k)
		store.Add(c)
	}
	if store.history.total > store.history.most || store.kept > store.keep {
		t.Errorf("%d samples of %d, %d servers of %d", store.history.total, store.history.most, store.kept, store.keep)
	}
	h := store.historyOf(r.System.Servers.Spec[0].Name, "", cycles)
	if n := len(h.Cycle); n < recent || h.Cycle[n-1] != fmt.Sprint(cycles-1) || h.Cycle[n-recent] != fmt.Sprint(cycles-recent) || h.Cycle[0] != "0" {
		t.Errorf("%d samples from cycle %s to %s", n, h.Cycle[0], h.Cycle[n-1])
	}
	if len(store.summaries(0)) != cycles {
		t.Errorf("%d sums of %d cycles", len(store.summaries(0)), cycles)
	}
	if _, err := store.cycle("5"); err == nil || !strings.Contains(err.Error(), "no longer held") {
		t.Errorf("a cycle that is not held: %v", err)
	}
	if _, err := store.cycle(fmt.Sprint(cycles - 1)); err != nil {
		t.Error(err)
	}
}

// mine may see one namespace.
type mine struct{}

func (mine) All() bool                  { return false }
func (mine) Namespace(name string) bool { return name == "mine" }

type rights struct{}

func (rights) Of(r *http.Request) (Allowed, error) {
	if r.Header.Get("Authorization") != "Bearer me" {
		return nil, fmt.Errorf("a token is needed")
	}
	return mine{}, nil
}

// Whoever may see one namespace finds no word of a server of another in any answer, and is nobody without a token.
func TestRightsOfWhoAsks(t *testing.T) {
	_, store, _ := opened(t, line(t, record(t, "one", func(s *jsonspec.System) {
		for i := range s.Servers.Spec {
			e := &s.Servers.Spec[i]
			e.Namespace, e.Name = "mine", fmt.Sprintf("own-%d", i)
			if i%2 == 1 {
				e.Namespace, e.Name = "theirs", fmt.Sprintf("secret-%d", i)
			}
		}
	})))
	h := Handler(Options{Store: store, Rights: rights{}})
	paths := []string{"/api/about", "/api/fleet", "/api/supply", "/api/compare?a=one&b=one", "/api/server?name=own-0", "/api/history?name=own-0", "/csv/fleet.csv", "/csv/nodes.csv", "/csv/supply.csv", "/csv/curves.csv?name=own-0",
		"/api/server?name=secret-1", "/api/history?name=secret-1", "/csv/history.csv?name=secret-1", "/api/cycles", "/csv/timeline.csv"}
	for i, path := range paths {
		if w := get(t, h, path, nil); w.Code != http.StatusUnauthorized {
			t.Errorf("%s without a token: status %d", path, w.Code)
		}
		r := httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil)
		r.Header.Set("Authorization", "Bearer me")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if own := i < 10; own != (w.Code == 200) {
			t.Errorf("%s: status %d: %s", path, w.Code, w.Body)
		}
		if text := strings.ReplaceAll(w.Body.String(), `server \"secret-1\" is not in`, ""); strings.Contains(text, "secret-") && w.Code == 200 {
			t.Errorf("%s tells of others: %s", path, text)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "http://localhost/api/ask", strings.NewReader(`{}`))
	r.Header.Set("Authorization", "Bearer me")
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusForbidden {
		t.Errorf("what if of all servers: status %d", w.Code)
	}
}

// thousand servers, no two of which have the same load, with percentiles and the queueing model that sees budgets: what takes longest to decide.
func thousand(s *jsonspec.System) {
	few := s.Servers.Spec
	s.Servers.Spec = nil
	for i := range 1000 {
		e := few[i%len(few)]
		e.Name = fmt.Sprintf("server-%d", i)
		load := *e.CurrentAlloc.Load
		vary := 1 + float64(i)/2000
		load.ArrivalRate, load.AvgInTokens, load.AvgOutTokens = load.ArrivalRate*vary, load.AvgInTokens*vary, load.AvgOutTokens*vary
		current := *e.CurrentAlloc
		current.Load = &load
		e.CurrentAlloc = &current
		s.Servers.Spec = append(s.Servers.Spec, e)
	}
	for i := range s.Capacity.Count {
		s.Capacity.Count[i].Count *= 1000 / len(few)
	}
	for i := range s.ServiceClasses.Spec {
		for j := range s.ServiceClasses.Spec[i].ModelTargets {
			s.ServiceClasses.Spec[i].ModelTargets[j].Percentile = 95
		}
	}
	s.Optimizer.Spec.QueueModel = &jsonspec.Plug{Name: "continuous-batching"}
}

// settled is the state after a decision: what it remembers, such as token budgets, stands.
func settled(t testing.TB, r *loop.Record) control.State {
	t.Helper()
	stages, err := control.NewStages(&r.System.Optimizer.Spec)
	if err != nil {
		t.Fatal(err)
	}
	d, err := stages.Decide(context.Background(), r.Snapshot.Core(), control.State{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d.State
}

// BenchmarkPages of a thousand servers: what the server does for the pages, and what if.
func BenchmarkPages(b *testing.B) {
	store := NewStore(Source{}, 0)
	r := record(b, "one", thousand)
	r.State = settled(b, r)
	store.Add(FromRecord(r))
	h := Handler(Options{Store: store})
	serve := func(method, path, body string) func(*testing.B) {
		return func(b *testing.B) {
			for b.Loop() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body)))
				if w.Code != 200 {
					b.Fatal(w.Body)
				}
			}
		}
	}
	b.Run("fleet", serve(http.MethodGet, "/api/fleet", ""))
	b.Run("server", serve(http.MethodGet, "/api/server?name=server-7", ""))
	for _, change := range []string{"price.A100=*1.5", "capacity.A100=*0.5", "load.*=*1.5", "slo-itl.Premium=*1.5"} {
		b.Run("ask/"+change, serve(http.MethodPost, "/api/ask", fmt.Sprintf(`{"changes":[%q]}`, change)))
	}
}
