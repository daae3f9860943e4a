// Package browser looks at the console in a real browser. It is a module of its own, so that nobody who uses inferno depends on what drives the browser.
package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/loop"
)

var screenshots = flag.String("screenshots", "", "folder to write pictures of pages to; without it none are made")

// programs is where those are that are looked at, browserPath the browser.
var programs, browserPath string

// Programs that show a page.
const (
	commandLine = "inferno"
	optimizer   = "inferno-optimizer"
)

// patience with anything that happens at last, also on a busy machine.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	flag.Parse()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browserPath = path
			break
		}
	}
	if browserPath == "" {
		fmt.Fprintln(os.Stderr, "SKIPPED: NO BROWSER. The console is not tested: install Chromium (Debian: chromium), as make deps does where it can.")
		os.Exit(0)
	}
	dir, err := os.MkdirTemp("", "inferno-browser-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if programs = os.Getenv("INFERNO_PROGRAMS"); programs == "" {
		programs = dir
		build := exec.Command("go", "build", "-o", dir+"/", "./cmd/"+commandLine, "./cmd/"+optimizer)
		build.Dir, build.Stderr = "../..", os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "building inferno:", err)
			os.Exit(1)
		}
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// serve a console with the given flags, and return where it is.
func serve(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(programs, commandLine), append([]string{"console", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, address, found := strings.Cut(lines.Text(), "http://"); found {
			return "http://" + address
		}
	}
	t.Fatal("the console does not say where it is")
	return ""
}

// tab of a browser at a console. It notes what should not be.
type tab struct {
	testing.TB
	ctx  context.Context
	base string

	mu       sync.Mutex
	expected string
	faults   []string
	requests int
}

// open a tab of a width and a height.
func open(t testing.TB, base string, width, height int) *tab {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(browserPath), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.WindowSize(width, height), chromedp.WSURLReadTimeout(patience))
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	b := &tab{TB: t, base: base}
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithListener(b.note))
	b.ctx = ctx
	// The first action begins the browser, which lives as long as its context.
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(int64(width), int64(height)), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, network.Enable, network.EnableParams{})
		_, logs := cdp.Call(ctx, t, cdplog.Enable, cdp.Empty{})
		return errors.Join(err, logs)
	})); err != nil {
		t.Fatalf("the browser: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		cancelAllocator()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, f := range b.faults {
			t.Error(f)
		}
		if b.requests == 0 {
			t.Error("no request was seen: nothing was looked at")
		}
	})
	return b
}

// note what the browser says: errors, dialogs, and requests to anybody else.
func (b *tab) note(event any) {
	fault := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		fault = "an exception: " + e.ExceptionDetails.Text + " " + describe(e.ExceptionDetails.Exception)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			fault = "the page complains: " + describe(e.Args...)
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError && !b.expects(e.Entry.Text) {
			fault = fmt.Sprintf("the browser complains: %s %s", e.Entry.Text, e.Entry.URL)
		}
	case *page.EventJavascriptDialogOpening:
		fault = "a script from the data ran: " + e.Message
	case *network.EventRequestWillBeSent:
		b.mu.Lock()
		b.requests++
		b.mu.Unlock()
		if !strings.HasPrefix(e.Request.URL, b.base+"/") && !strings.HasPrefix(e.Request.URL, "data:") {
			fault = "a request to somebody else: " + e.Request.URL
		}
	}
	if fault != "" {
		b.mu.Lock()
		b.faults = append(b.faults, fault)
		b.mu.Unlock()
	}
}

// expect that the browser complains of something, where that is how a page learns of it.
func (b *tab) expect(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = text
}

func (b *tab) expects(text string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.expected != "" && strings.Contains(text, b.expected)
}

// describe objects of the page.
func describe(objects ...*runtime.RemoteObject) string {
	data, _ := json.Marshal(objects) // what came as JSON
	return string(data)
}

func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.Fatalf("the browser: %v", err)
	}
}

// eval an expression of the page.
func eval[T any](b *tab, expression string) T {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatalf("the browser: %s: %v", expression, err)
	}
	return v
}

// until an expression of the page is true.
func (b *tab) until(what, expression string) {
	b.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingTimeout(patience), chromedp.WithPollingInterval(50*time.Millisecond))); err != nil {
		b.Fatalf("%s: %v; the page says:\n%s", what, err, eval[string](b, `document.body.innerText.slice(0, 2000)`))
	}
}

// shown is true of a page that is filled.
const shown = `performance.getEntriesByName("inferno-shown").length > 0 && !document.querySelector("#main[aria-busy]") && document.querySelector("#main").children.length > 0`

// goTo a page and wait for it.
func (b *tab) goTo(hash string) {
	b.Helper()
	switch {
	case eval[string](b, "location.origin") == b.base && eval[string](b, "decodeURI(location.hash)") == hash:
		return
	case eval[string](b, "location.origin") != b.base:
		b.run(chromedp.Navigate(b.base + "/" + hash))
	default:
		eval[bool](b, `performance.clearMarks("inferno-shown"); location.hash = `+quoted(hash)+`; true`)
	}
	b.until(hash+" is shown", shown)
}

func quoted(text string) string {
	data, _ := json.Marshal(text) // text can be written
	return string(data)
}

// says that the text of the page has all the words.
func (b *tab) says(words ...string) {
	b.Helper()
	for _, w := range words {
		b.until("the page says "+w, `document.body.innerText.toLowerCase().includes(`+quoted(strings.ToLower(w))+`)`)
	}
}

// usable looks for what screen readers, keyboards and narrow screens need.
func (b *tab) usable(where string) {
	b.Helper()
	faults := eval[[]string](b, `(() => {
		const faults = [], visible = (e) => e.offsetParent !== null;
		for (const t of document.querySelectorAll("#main table:not(.u-legend)")) if (visible(t) && !t.caption?.textContent) faults.push("a table has no caption");
		for (const e of document.querySelectorAll("button, a, input, select")) {
			if (!visible(e)) continue;
			const name = e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent.trim();
			if (!name) faults.push("no name: " + e.outerHTML.slice(0, 120));
		}
		for (const f of document.querySelectorAll("figure")) if (!f.querySelector(".hidden-text")?.textContent) faults.push("a picture has no words");
		for (const f of document.querySelectorAll("figure")) if (f.querySelector("canvas") && !f.querySelector('a[href*=".csv"]')) faults.push("a picture has no CSV: " + f.innerText.slice(0, 60));
		for (const l of ["header", "nav", "main"]) if (!document.querySelector(l)) faults.push("no landmark " + l);
		if (document.documentElement.scrollWidth > innerWidth) faults.push("the page scrolls to the side: " + document.documentElement.scrollWidth + " of " + innerWidth + ": " +
			[...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll")).map((e) => e.tagName + "." + e.className).slice(0, 5));
		return faults;
	})()`)
	for _, f := range faults {
		b.Errorf("%s: %s", where, f)
	}
}

// hostile names, as no cluster has them, but a log may.
var hostile = []string{`<script>alert("name")</script>`, `"><img src=x onerror=alert(1)>`}

// recorded is a decision log of a scenario, played once.
var recorded = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "inferno-log-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "decisions.jsonl")
	if out, err := exec.Command(filepath.Join(programs, commandLine), "simulate", "--scenario", "rush-hour", "--log", path).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(path)
})

// logOf the recorded cycles, the last one changed and appended as one more, where change is not nil.
func logOf(t testing.TB, change func(*loop.Record)) string {
	t.Helper()
	data, err := recorded()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "decisions.jsonl")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if change == nil {
		_, err = f.Write(data)
	} else {
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		var r loop.Record
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
			t.Fatal(err)
		}
		change(&r)
		r.ID = "changed"
		err = errors.Join(func() error { _, err := f.Write(data); return err }(), loop.NewDecisionLog(f).Write(&r))
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// multiplied makes so many servers of those of a record, and cards for them.
func multiplied(n int) func(*loop.Record) {
	return func(r *loop.Record) {
		few := r.System.Servers.Spec
		plan := r.Plan.Allocations
		remembered := r.State.Servers
		r.State.Servers = map[string]control.ServerState{}
		r.System.Servers.Spec = nil
		for i := range n {
			e := few[i%len(few)]
			name := fmt.Sprintf("%s-%04d", e.Name, i)
			plan[name], r.State.Servers[name] = plan[e.Name], remembered[e.Name]
			e.Name, e.Scopes = name, nil
			r.System.Servers.Spec = append(r.System.Servers.Spec, e)
		}
		for _, e := range few {
			delete(plan, e.Name)
		}
		nodes := r.System.Capacity.Nodes
		r.System.Capacity.Nodes, r.Plan.Placement, r.Verdicts = nil, nil, nil
		for i := range n / len(few) {
			for _, node := range nodes {
				node.Name, node.Scopes, node.Portions = fmt.Sprintf("%s-%d", node.Name, i), nil, nil
				r.System.Capacity.Nodes = append(r.System.Capacity.Nodes, node)
			}
		}
	}
}

// walk all pages of a console that has a server of the name.
func walk(b *tab, server string) {
	b.Helper()
	for _, p := range []struct {
		hash  string
		words []string
	}{
		{"#/fleet", []string{"cost of the plan", "nodes and cards", server}},
		{"#/server/" + url.PathEscape(server), []string{server, "ways to serve it", "what its law says of one replica", "its decisions", "req/min"}},
		{"#/supply", []string{"cards by type", "one more saves", "holders", server}},
		{"#/ask", []string{"what if", "move a slider", "ttft targets"}},
		{"#/timeline", []string{"output tokens within targets", "cost of a million output tokens", "servers that need attention", "decide this cycle again", "set a here"}},
		{"#/evaluation", []string{"inferno on every scenario", "scarcity", "pictures"}},
	} {
		b.goTo(p.hash)
		b.says(p.words...)
		b.usable(p.hash)
		if eval[bool](b, `!!document.querySelector(".fault")`) {
			b.Errorf("%s: %s", p.hash, eval[string](b, `document.querySelector(".fault").innerText`))
		}
	}
}

// All pages over a decision log, wide and narrow, with names that are markup: they are text.
func TestDecisionLog(t *testing.T) {
	path := logOf(t, func(r *loop.Record) {
		for i, name := range hostile {
			e := &r.System.Servers.Spec[i]
			r.Plan.Allocations[name] = r.Plan.Allocations[e.Name]
			delete(r.Plan.Allocations, e.Name)
			e.Name, e.Class = name, hostile[1]
			r.System.ServiceClasses.Spec[0].Name = hostile[1]
		}
	})
	base := serve(t, "--log", path)
	for _, size := range [][2]int{{1280, 900}, {390, 844}} {
		t.Run(fmt.Sprint(size[0]), func(t *testing.T) {
			b := open(t, base, size[0], size[1])
			walk(b, hostile[0])
			if n := eval[int](b, `document.querySelectorAll("main script, main img[src='x']").length`); n > 0 {
				t.Errorf("%d elements come from names", n)
			}
		})
	}
}

// What is asked and compared is in the address, so that a link shows it again.
func TestDeepLinks(t *testing.T) {
	b := open(t, serve(t, "--log", logOf(t, nil)), 1280, 900)
	b.goTo("#/ask?cycle=3000s&set=load%3D0.5")
	b.says("decided in", "load.*")
	b.goTo("#/timeline?cycle=3000s&a=600s&b=3000s&solver=greedy")
	b.says("plans change", "by greedy")
	b.goTo("#/fleet?filter=premium")
	b.until("the filter of the link is applied", `[...document.querySelectorAll(".virtual tbody tr")].length === 2`)
}

// A chart that is given data and, before it has drawn them, none: what it draws late is its own, not what came since.
func TestChartsOutliveTheirData(t *testing.T) {
	b := open(t, serve(t, "--log", logOf(t, nil)), 1280, 900)
	b.goTo("#/fleet")
	drawn := eval[int](b, `(async () => {
		const { chart } = await import("/chart.js");
		let drawn = 0;
		const c = chart({ title: "t", unit: "ms", x: "req/min", series: [{ label: "mean" }], ceiling: (d) => { drawn++; return Math.max(...d[1].filter((v) => v !== null)); } });
		document.querySelector("#main").append(c.element);
		c.set([[1, 2], [3, 4]]);
		await new Promise((done) => setTimeout(done));
		c.set([[1, 2], [5, 6]]);
		c.set([[]]);
		await new Promise((done) => setTimeout(done));
		return drawn;
	})()`)
	if drawn < 2 {
		t.Errorf("the axis was asked for %d times, so that nothing was drawn late", drawn)
	}
}

// Everything is reached without a mouse, and where one is can be seen.
func TestKeyboard(t *testing.T) {
	b := open(t, serve(t, "--log", logOf(t, nil)), 1280, 900)
	b.goTo("#/fleet")
	eval[bool](b, `document.activeElement.blur(); document.body.focus(); true`)
	b.run(chromedp.KeyEvent(kb.Tab))
	seen := map[string]bool{}
	for range 80 {
		focused := eval[string](b, `(() => { const e = document.activeElement, s = getComputedStyle(e); return e === document.body ? "" : (e.textContent.trim() || e.id || e.getAttribute("aria-label")).slice(0, 40) + "|" + s.outlineStyle; })()`)
		name, outline, _ := strings.Cut(focused, "|")
		if name != "" && outline == "none" && !strings.HasPrefix(name, "Fleet") {
			t.Errorf("%q has the focus, and nothing shows it", name)
		}
		seen[name] = true
		b.run(chromedp.KeyEvent(kb.Tab))
	}
	for _, want := range []string{"Supply", "What if", "Timeline", "Theme", "Keys", "filter", "chat-premium", "agent-bulk"} {
		if !seen[want] {
			t.Errorf("the tab key does not reach %q", want)
		}
	}
	for _, step := range []struct{ key, what, expression string }{
		{"2", "2 leads to the supply", `location.hash.startsWith("#/supply")`},
		{"?", "? shows the keys", `document.querySelector("#keys").open`},
		{kb.Escape, "Escape closes them", `!document.querySelector("#keys").open`},
		{"[", "[ goes back a cycle", `location.hash.includes("cycle=5370s")`},
		{"l", "l follows the newest", `!location.hash.includes("cycle=")`},
		{"t", "t changes the theme", `document.documentElement.dataset.theme === "dark" || document.documentElement.dataset.theme === "light"`},
		{"1", "1 leads to the fleet", `location.hash.startsWith("#/fleet") && !!document.querySelector("#filter")`},
		{"/", "/ leads to the filter", `document.activeElement.id === "filter"`},
		{"bulk", "the filter filters", `document.querySelectorAll(".virtual tbody tr").length === 2`},
	} {
		b.run(chromedp.KeyEvent(step.key))
		b.until(step.what, step.expression)
		// A driver's key is a character too, which a person's key is not where the page takes it for itself.
		eval[bool](b, `if (document.activeElement.id === "filter" && document.activeElement.value === "/") document.activeElement.value = ""; true`)
	}
	eval[bool](b, `document.querySelector(".virtual tbody a").focus(); true`)
	b.run(chromedp.KeyEvent(kb.Enter))
	b.until("Enter opens the server", `location.hash.startsWith("#/server/")`)
}

// All pages over a scenario that runs, and what comes is shown without being asked for.
func TestRunningScenario(t *testing.T) {
	b := open(t, serve(t, "--scenario", "rush-hour", "--speed-up", "120"), 1280, 900)
	b.goTo("#/fleet")
	b.says("scenario", "chat-premium")
	before := eval[string](b, `document.querySelector("#cycle").innerText`)
	b.until("another cycle is shown", `document.querySelector("#cycle").innerText !== `+quoted(before))
	walk(b, "chat-premium")
}

// What is damaged is said, and the rest is shown; of nothing at all the page says so.
func TestDamagedLogs(t *testing.T) {
	path := logOf(t, nil)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append([]byte("not a record\n{\"alien\":true}\n"), data...), 0o644); err != nil {
		t.Fatal(err)
	}
	b := open(t, serve(t, "--log", path), 1280, 900)
	b.goTo("#/fleet")
	b.says("not all could be read", "line 1 is left out", "line 2 is left out", "chat-premium")
}

// A thousand servers are usable soon, and of five thousand the page holds those that are seen. How soon is written down, and fails nobody.
func TestManyServers(t *testing.T) {
	for _, n := range []int{1000, 5000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			base := serve(t, "--log", logOf(t, multiplied(n)))
			b := open(t, base, 1280, 900)
			b.goTo("#/fleet")
			b.until("all cycles are read", `fetch("/api/about").then((r) => r.json()).then((a) => a.last.id === "changed")`)
			b.run(chromedp.Navigate("about:blank"))
			b.goTo("#/fleet")
			b.says(fmt.Sprintf("(%d)", n))
			t.Logf("%d servers: the fleet is shown and can be used %.0f ms after its address was entered (target 1000 ms at 1000 servers, on an idle machine)", n, eval[float64](b, `performance.getEntriesByName("inferno-shown")[0].startTime`))
			if rows := eval[int](b, `document.querySelectorAll(".virtual tbody tr").length`); rows > 100 {
				t.Errorf("%d rows are in the page", rows)
			}
			eval[bool](b, `{ const s = document.querySelector(".virtual"); s.scrollTop = s.scrollHeight; } true`)
			b.until("the last row is reached", fmt.Sprintf(`document.querySelector('.virtual tr[aria-rowindex="%d"]') !== null`, n+1))
			frame := eval[float64](b, `new Promise((done) => { const s = document.querySelector(".virtual"); let worst = 0, last = performance.now(), k = 0; const step = (now) => { worst = Math.max(worst, now - last); last = now; s.scrollTop = (s.scrollHeight / 60) * k; if (k++ < 60) requestAnimationFrame(step); else done(worst); }; requestAnimationFrame(step); })`)
			t.Logf("%d servers: the longest frame while scrolling through all took %.0f ms", n, frame)
			if n > 1000 {
				return // a large fleet is decided on as long as its cycle takes
			}
			b.goTo("#/ask?set=load%3D0.25")
			b.says("decided in")
			t.Logf("%d servers: what if: %s", n, eval[string](b, `document.body.innerText.match(/Decided in [^.]*\.?[^.]*/)[0]`))
		})
	}
}

// Pictures for the documents, where asked for.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("no -screenshots: no pictures are made")
	}
	b := open(t, serve(t, "--log", logOf(t, nil)), 1280, 860)
	for name, hash := range map[string]string{
		"console-fleet": "#/fleet?cycle=3000s", "console-server": "#/server/chat-premium?cycle=3000s", "console-ask": "#/ask?cycle=3000s&set=load%3D0.5",
	} {
		b.goTo(hash)
		if name == "console-ask" {
			b.says("decided in")
		}
		b.run(chromedp.Sleep(time.Second)) // canvases are drawn when the browser is idle
		picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
