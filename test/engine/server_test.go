package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llm-inferno/inferno/optimizer/simulation"
)

func start(t *testing.T, config simulation.Config, startup time.Duration) string {
	t.Helper()
	config.Cache = simulation.Cache{BlockSize: 16, Blocks: 1000}
	s, err := newServer("llama", config, startup)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s.handler())
	ctx, stop := context.WithCancel(context.Background())
	go s.play(ctx, time.Millisecond)
	t.Cleanup(func() { stop(); web.Close() })
	return web.URL
}

func ask(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// With one sequence at a time two requests take twice as long as one, and the metrics tell of both.
func TestRequestsTakeTheirTime(t *testing.T) {
	const step, tokens = 0.01, 20
	url := start(t, simulation.Config{Limits: simulation.Limits{MaxNumSeqs: 1, MaxNumBatchedTokens: 512}, StepTime: simulation.Linear{Base: step}}, 0)
	began := time.Now()
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			code, text := ask(t, http.MethodPost, url+"/v1/completions", `{"model":"llama","prompt":[1,2,3],"max_tokens":20}`)
			var got struct{ Usage map[string]int }
			if err := json.Unmarshal([]byte(text), &got); err != nil || code != http.StatusOK || got.Usage["prompt_tokens"] != 3 || got.Usage["completion_tokens"] != tokens {
				t.Errorf("%d %s %v", code, text, err)
			}
		})
	}
	both.Wait()
	if took := time.Since(began).Seconds(); took < 2*tokens*step {
		t.Errorf("two requests of %d steps of %v s took %v s together", tokens, step, took)
	}
	_, metrics := ask(t, http.MethodGet, url+"/metrics", "")
	for _, want := range []string{`vllm:request_success_total{engine="0",finished_reason="stop",model_name="llama"} 2`, `vllm:generation_tokens_total{engine="0",model_name="llama"} 40`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}
}

func TestRefusals(t *testing.T) {
	url := start(t, simulation.Config{Limits: simulation.Limits{MaxNumSeqs: 8, MaxNumBatchedTokens: 512}, StepTime: simulation.Linear{Base: 0.001}}, time.Hour)
	for _, c := range []struct {
		body, fault string
		code        int
	}{
		{`{`, "unexpected", http.StatusBadRequest},
		{`{"prompt":"x","max_tokens":-1,"stream":true}`, `max_tokens: -1 is not allowed, must be at least 1\nstream: true`, http.StatusBadRequest},
		{`{"max_tokens":1}`, "missing", http.StatusBadRequest},
		{`{"prompt":"x","model":"other"}`, `\"other\" is not served`, http.StatusNotFound},
		{`{"prompt":"x","max_tokens":100000}`, "does not fit into the KV cache", http.StatusBadRequest},
	} {
		if code, text := ask(t, http.MethodPost, url+"/v1/completions", c.body); code != c.code || !strings.Contains(text, c.fault) {
			t.Errorf("%s: %d %s, want %d %q", c.body, code, text, c.code, c.fault)
		}
	}
	if code, text := ask(t, http.MethodGet, url+"/health", ""); code != http.StatusServiceUnavailable || !strings.Contains(text, "loading") {
		t.Errorf("health while it starts: %d %s", code, text)
	}
	if code, text := ask(t, http.MethodPost, url+"/v1/chat/completions", `{"messages":[{"role":"user","content":"hello"}],"max_tokens":2}`); code != http.StatusOK {
		t.Errorf("a chat: %d %s", code, text)
	}
	if err := (&options{tick: time.Second, startup: -1}).run(t.Context()); err == nil {
		t.Error("a negative start-up time is accepted")
	}
}
