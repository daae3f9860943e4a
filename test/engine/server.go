package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/llm-inferno/inferno/optimizer/localcluster/fleet/page"
	"github.com/llm-inferno/inferno/optimizer/simulation"
)

// server plays one engine in real time.
type server struct {
	model string
	begun time.Time
	ready time.Time
	page  *page.Page

	mu      sync.Mutex // guards everything below
	engine  *simulation.Engine
	last    uint64
	waiting map[uint64]chan<- simulation.Completion
}

func newServer(model string, config simulation.Config, startup time.Duration) (*server, error) {
	s := &server{model: model, begun: time.Now(), page: page.New(model), waiting: map[uint64]chan<- simulation.Completion{}}
	s.ready = s.begun.Add(startup)
	config.Hooks = s.page.Hooks()
	engine, err := simulation.New(config)
	if err != nil {
		return nil, err
	}
	s.engine = engine
	s.page.Attach(engine, config)
	return s, nil
}

// play keeps the engine at the present until the context ends and all requests are answered.
func (s *server) play(ctx context.Context, tick time.Duration) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for range ticker.C {
		s.mu.Lock()
		s.advance()
		idle := len(s.waiting) == 0
		s.mu.Unlock()
		if idle && ctx.Err() != nil {
			return
		}
	}
}

// advance to the present and answer what is done; the lock is held.
func (s *server) advance() {
	for _, c := range s.engine.Advance(time.Since(s.begun).Seconds(), nil) {
		s.waiting[c.ID] <- c
		delete(s.waiting, c.ID)
	}
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		if left := time.Until(s.ready); left > 0 {
			http.Error(w, fmt.Sprintf("loading the model for another %s", left.Round(time.Second)), http.StatusServiceUnavailable)
		}
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer(s.gather), promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"object": "list", "data": []any{map[string]any{"id": s.model, "object": "model"}}})
	})
	mux.HandleFunc("POST /v1/completions", s.complete)
	mux.HandleFunc("POST /v1/chat/completions", s.complete)
	return mux
}

type gatherer func() ([]*dto.MetricFamily, error)

func (g gatherer) Gather() ([]*dto.MetricFamily, error) { return g() }

// gather while nothing moves, so that a page is of one moment.
func (s *server) gather() ([]*dto.MetricFamily, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance()
	return prometheus.Gatherer(s.page.Registry()).Gather()
}

// question of a client: of the two interfaces of OpenAI's that vLLM serves, what an engine's time depends on.
type question struct {
	Model     string          `json:"model"`
	Prompt    json.RawMessage `json:"prompt"`
	Messages  json.RawMessage `json:"messages"`
	MaxTokens int             `json:"max_tokens"`
	Stream    bool            `json:"stream"`
}

// bytesPerToken is what English text comes to, by OpenAI's rule of thumb.
const bytesPerToken = 4

// request that the question is. A prompt may be a list of tokens, whose number is exact; text is estimated.
func (q question) request() (simulation.Request, error) {
	prompt := append(q.Prompt, q.Messages...)
	r := simulation.Request{InputTokens: (len(prompt) + bytesPerToken - 1) / bytesPerToken, OutputTokens: q.MaxTokens}
	if q.MaxTokens == 0 {
		r.OutputTokens = 16 // OpenAI's default
	}
	var tokens []int
	if json.Unmarshal(q.Prompt, &tokens) == nil && len(tokens) > 0 {
		r.InputTokens = len(tokens)
	}
	var faults []error
	if len(prompt) == 0 {
		faults = append(faults, errors.New("prompt, messages: missing"))
	}
	if q.MaxTokens < 0 {
		faults = append(faults, fmt.Errorf("max_tokens: %d is not allowed, must be at least 1", q.MaxTokens))
	}
	if q.Stream {
		faults = append(faults, errors.New("stream: true is not allowed: the simulated engine answers at the end"))
	}
	return r, errors.Join(faults...)
}

func (s *server) complete(w http.ResponseWriter, r *http.Request) {
	var q question
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<20)).Decode(&q); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if q.Model != "" && q.Model != s.model {
		refuse(w, http.StatusNotFound, fmt.Errorf("model: %q is not served, only %q", q.Model, s.model))
		return
	}
	request, err := q.request()
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	done, err := s.submit(request)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	// The engine goes on with what a client has left: the simulation cannot abort one request.
	c := <-done
	answer(w, map[string]any{
		"object": "text_completion", "model": s.model,
		"choices": []any{map[string]any{"index": 0, "text": "", "finish_reason": "length"}},
		"usage":   map[string]int{"prompt_tokens": c.InputTokens, "completion_tokens": c.OutputTokens, "total_tokens": c.InputTokens + c.OutputTokens},
	})
}

// submit a request now; what the channel gives is how it went.
func (s *server) submit(r simulation.Request) (<-chan simulation.Completion, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance()
	s.last++
	now := max(time.Since(s.begun).Seconds(), s.engine.Now())
	r.ID, r.ArrivedAt = s.last, now
	if err := s.engine.Submit(now, r); err != nil {
		return nil, err
	}
	done := make(chan simulation.Completion, 1)
	s.waiting[r.ID] = done
	return done, nil
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // the client has left
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": err.Error(), "code": status}})
}
