package console

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/forecast"
	"github.com/llm-inferno/inferno/optimizer/loopback"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/stability"
	"github.com/llm-inferno/inferno/optimizer/view"
	"github.com/llm-inferno/inferno/optimizer/whatif"
)

//go:embed assets
var assets embed.FS

// policy of content: nothing but what this server has, and no script or style within a page.
const policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"

// Options of a console.
type Options struct {
	Store *Store
	// Evaluation has results.json and pictures of scenarios; nil for none.
	Evaluation fs.FS
	// Rights of who asks; nil where everybody who reaches the console may see all.
	Rights Rights
}

// Rights tells what somebody may see.
type Rights interface {
	// Of who asks. An error is theirs: they are not known.
	Of(r *http.Request) (Allowed, error)
}

// Allowed is what somebody may see.
type Allowed interface {
	// All tells whether they may see all servers.
	All() bool
	// Namespace tells whether they may see the servers of one.
	Namespace(name string) bool
}

// everything may be seen.
type everything struct{}

func (everything) All() bool             { return true }
func (everything) Namespace(string) bool { return true }

type server struct {
	Options
	decider decider
}

// Handler serves the console. It answers requests for a loopback host alone: a page of another site that has its name lead here is refused, as are
// questions that such a page asks.
func Handler(o Options) http.Handler {
	s := &server{Options: o}
	files, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) // the folder is embedded
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	for path, answer := range map[string]func(*request) (any, error){
		"GET /api/about": s.about, "GET /api/cycles": s.cycles, "GET /api/fleet": s.fleet, "GET /api/server": s.server, "GET /api/history": s.history,
		"GET /api/supply": s.supply, "GET /api/compare": s.compare, "POST /api/ask": s.ask, "GET /api/evaluation": s.evaluation,
	} {
		mux.HandleFunc(path, s.answer(answer))
	}
	for name, table := range s.tables() {
		mux.HandleFunc("GET /csv/"+name+".csv", s.csv(name, table))
	}
	if o.Evaluation != nil {
		mux.Handle("GET /picture/", http.StripPrefix("/picture/", http.FileServerFS(pictures{o.Evaluation})))
	}
	return guard(http.NewCrossOriginProtection().Handler(mux))
}

// guard refuses requests for other hosts, and says what a browser may do with what it gets.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !loopback.Host(r.Host) {
			http.Error(w, fmt.Sprintf("host %q is not allowed, must be localhost or a loopback address", r.Host), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// request with what who asks may see.
type request struct {
	*http.Request
	allowed Allowed
}

// unknown is an error of who asks: nobody knows them, or they may not.
type unknown struct {
	error
	status int
}

func (s *server) request(r *http.Request) (*request, error) {
	if s.Rights == nil {
		return &request{r, everything{}}, nil
	}
	allowed, err := s.Rights.Of(r)
	if err != nil {
		return nil, unknown{err, http.StatusUnauthorized}
	}
	return &request{r, allowed}, nil
}

// answer as JSON.
func (s *server) answer(what func(*request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q, err := s.request(r)
		var v any
		if err == nil {
			v, err = what(q)
		}
		if err != nil {
			v = map[string]string{"error": err.Error()}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status(err))
		_ = json.NewEncoder(w).Encode(v) // who asked is gone
	}
}

// status of an error: most are of what was asked for.
func status(err error) int {
	var u unknown
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &u):
		return u.status
	case errors.As(err, &notFound{}):
		return http.StatusNotFound
	}
	return http.StatusBadRequest
}

// cycle that is asked for, as who asks may see it, and whole.
func (s *server) cycle(r *request, id string) (own, whole *view.Cycle, err error) {
	whole, err = s.Store.cycle(id)
	if err != nil || r.allowed.All() {
		return whole, whole, err
	}
	return whole.Only(r.allowed.Namespace), whole, nil
}

// About is what the page asks first, and again to see what is new.
type About struct {
	Source
	Cycles int           `json:"cycles"`
	Last   *view.Summary `json:"last,omitempty"`
	// Everything tells whether who asks may see all servers, and so ask what if.
	Everything bool `json:"everything"`
	Evaluation bool `json:"evaluation"`
	// Plugs that can be asked for, by stage.
	Plugs map[string][]string `json:"plugs"`
	Kinds []string            `json:"kinds"`
}

func (s *server) about(r *request) (any, error) {
	source, n, last := s.Store.about()
	a := &About{Source: source, Cycles: n, Last: last, Everything: r.allowed.All(), Evaluation: s.Evaluation != nil, Kinds: whatif.Kinds(), Plugs: map[string][]string{
		"solver": solver.Solvers().Names(), "queueModel": queueing.Models().Names(), "forecaster": forecast.Forecasters().Names(), "stability": stability.Stabilisers().Names(),
	}}
	if last != nil && !a.Everything {
		a.Last = &view.Summary{ID: last.ID, Time: last.Time}
	}
	return a, nil
}

func (s *server) cycles(r *request) (any, error) {
	if err := s.whole(r, "the timeline"); err != nil {
		return nil, err
	}
	from := 0
	if text := r.FormValue("from"); text != "" {
		var err error
		if from, err = strconv.Atoi(text); err != nil {
			return nil, fmt.Errorf("from: %q is not allowed, must be a whole number", text)
		}
	}
	return s.Store.summaries(from), nil
}

// whole refuses what is about the whole fleet to who may not see all of it.
func (s *server) whole(r *request, what string) error {
	if r.allowed.All() {
		return nil
	}
	return unknown{fmt.Errorf("%s is of all servers: that needs the right to list servers.inferno.platform.ai in all namespaces", what), http.StatusForbidden}
}

func (s *server) fleet(r *request) (any, error) {
	c, _, err := s.cycle(r, r.FormValue("cycle"))
	if err != nil {
		return nil, err
	}
	return view.NewFleet(c), nil
}

func (s *server) supply(r *request) (any, error) {
	c, whole, err := s.cycle(r, r.FormValue("cycle"))
	if err != nil {
		return nil, err
	}
	return view.NewSupply(c, whole), nil
}

func (s *server) server(r *request) (any, error) {
	c, whole, err := s.cycle(r, r.FormValue("cycle"))
	if err != nil {
		return nil, err
	}
	name := r.FormValue("name")
	known := false
	for i := range c.Snapshot.System.Servers.Spec {
		known = known || c.Snapshot.System.Servers.Spec[i].Name == name
	}
	if !known {
		return nil, notFound{fmt.Errorf("server %q is not in cycle %q", name, c.ID)}
	}
	d := s.decider.of(r.Context(), whole)
	return view.NewServer(c, name, s.Store.loads(name, c.ID), d.stages, d.decision, d.err)
}

// mostHistory of a server that is shown.
//
// Tuned: samples; guard against a picture with more points than a screen has pixels
const mostHistory = 4000

func (s *server) history(r *request) (any, error) {
	name := r.FormValue("name")
	if err := s.visible(r, name); err != nil {
		return nil, err
	}
	return s.Store.historyOf(name, r.FormValue("cycle"), mostHistory), nil
}

// visible tells whether who asks may see a server: where it is in the newest cycle.
func (s *server) visible(r *request, name string) error {
	if r.allowed.All() {
		return nil
	}
	c, _, err := s.cycle(r, "")
	if err != nil {
		return err
	}
	for i := range c.Snapshot.System.Servers.Spec {
		if c.Snapshot.System.Servers.Spec[i].Name == name {
			return nil
		}
	}
	return notFound{fmt.Errorf("server %q is not in cycle %q", name, c.ID)}
}

func (s *server) compare(r *request) (any, error) {
	a, _, err := s.cycle(r, r.FormValue("a"))
	if err != nil {
		return nil, err
	}
	b, _, err := s.cycle(r, r.FormValue("b"))
	if err != nil {
		return nil, err
	}
	return &Answer{PlanDifference: control.Difference([]string{}, &a.Decision.Plan, &b.Decision.Plan), Before: a.Decision.Plan.TotalCost}, nil
}

// longestQuestion in bytes.
//
// Tuned: bytes; guard against a question that fills the memory
const longestQuestion = 1 << 20

func (s *server) ask(r *request) (any, error) {
	if err := s.whole(r, "what if"); err != nil {
		return nil, err
	}
	var q struct {
		Cycle string `json:"cycle"`
		whatif.Question
	}
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, longestQuestion))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return nil, fmt.Errorf("no question: %w", err)
	}
	c, err := s.Store.cycle(q.Cycle)
	if err != nil {
		return nil, err
	}
	return s.decider.ask(r.Context(), c, &q.Question)
}

// Serve the console until the listener is closed.
func Serve(l net.Listener, o Options) error {
	h := &http.Server{Handler: Handler(o), ReadHeaderTimeout: headerTimeout}
	if err := h.Serve(l); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// headerTimeout bounds the headers of a request.
//
// Tuned: s; guard against connections that say nothing
const headerTimeout = 10 * time.Second

// CheckAddress says what is wrong with an address to listen on: it must be of this machine alone.
func CheckAddress(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !loopback.Host(host) {
		return fmt.Errorf("%q is not allowed, must be HOST:PORT with localhost or a loopback address: the console shows a cluster to whoever reaches it", address)
	}
	return nil
}

// Listen on an address of this machine alone.
func Listen(address string) (net.Listener, error) {
	if err := CheckAddress(address); err != nil {
		return nil, err
	}
	return net.Listen("tcp", address)
}
