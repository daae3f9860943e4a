// Package restapi answers the REST endpoints of llm-inferno's optimizer, queue-analysis and model-tuner by inferno's core: the same paths, methods, JSON and
// status codes, so that a control loop that was written for those runs against it. docs/rest.md says which endpoints, and where answers differ.
package restapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/llm-inferno/inferno/optimizer/loopback"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

const (
	// maxBody of a request: a system of some ten thousand servers.
	//
	// Tuned: bytes; guard against a request that fills the memory
	maxBody = 16 << 20
	// answerTime bounds how long a request waits for its turn and is worked on.
	//
	// Tuned: s; guard against requests that pile up: a plan takes seconds
	answerTime = 60 * time.Second
	// headerTime and bodyTime bound how long a client takes to ask.
	//
	// Tuned: s; guard against connections that say nothing
	headerTime, bodyTime = 10 * time.Second, 30 * time.Second
	// endTime is how long requests that are being answered have to end when the server does.
	//
	// Tuned: s; guard against a client that keeps the server from ending
	endTime = 5 * time.Second
)

// refused is an error with the status that says it.
type refused struct {
	status int
	error
}

func notFound(format string, args ...any) error {
	return refused{http.StatusNotFound, fmt.Errorf(format, args...)}
}

// problem is the answer to a request that is refused. The optimizer and queue-analysis of llm-inferno say message, its tuner error.
type problem struct {
	Message string   `json:"message"`
	Error   string   `json:"error"`
	Faults  []string `json:"faults"`
}

// service answers one request at a time: all that it keeps is changed by whoever has the turn.
type service struct {
	mux  *http.ServeMux
	turn chan struct{}
}

func newService() *service { return &service{http.NewServeMux(), make(chan struct{}, 1)} }

// handle requests of a pattern. An error that is not refused otherwise is the client's.
func (s *service) handle(pattern string, answer func(*http.Request) (any, error)) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), answerTime)
		defer cancel()
		body, err := s.inTurn(r.WithContext(ctx), answer)
		status := http.StatusOK
		if err != nil {
			status = http.StatusBadRequest
			if with := (refused{}); errors.As(err, &with) {
				status = with.status
			}
			body, _ = json.MarshalIndent(problem{err.Error(), err.Error(), strings.Split(err.Error(), "\n")}, "", "    ")
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(status)
		_, _ = w.Write(body) // who asked may be gone
	})
}

// inTurn answers once nobody else is answered. What is kept may be in the answer, which is therefore written before the next.
func (s *service) inTurn(r *http.Request, answer func(*http.Request) (any, error)) ([]byte, error) {
	if err := readBody(r); err != nil { // before the turn: others do not wait for a slow client
		return nil, err
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-r.Context().Done():
		return nil, refused{http.StatusServiceUnavailable, fmt.Errorf("other requests took all of %v", answerTime)}
	}
	v, err := answer(r)
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(v, "", "    ")
	if err != nil {
		return nil, refused{http.StatusInternalServerError, err}
	}
	return text, nil
}

// readBody replaces the body of a request by what was read of it.
func readBody(r *http.Request) error {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return refused{http.StatusRequestEntityTooLarge, fmt.Errorf("body: more than %d bytes are not allowed", maxBody)}
	}
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// object decodes the body, which must be a JSON object. Fields that are not known are passed over: the client may be newer.
func object(r *http.Request, out any) error { return decode(r, '{', "", out) }

// list decodes the body, which must be a JSON list, as the field of an object.
func list(r *http.Request, field string, out any) error { return decode(r, '[', field, out) }

func decode(r *http.Request, opens byte, field string, out any) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	if body = bytes.TrimSpace(body); len(body) == 0 || body[0] != opens {
		return fmt.Errorf("body: must be JSON that begins with %c", opens)
	}
	if field != "" {
		body = fmt.Appendf(nil, "{%q: %s}", field, body)
	}
	return specification.DecodeKnown("body", body, out)
}

// guard refuses what pages in browsers ask; no client of these endpoints is one. With own, it answers requests for this machine's own names alone, so that
// no name of another site can lead here.
func guard(next http.Handler, own bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch site := r.Header.Get("Sec-Fetch-Site"); {
		case r.Header.Get("Origin") != "", site != "" && site != "none":
			http.Error(w, "pages of browsers are not answered", http.StatusForbidden)
		case own && !loopback.Host(r.Host):
			http.Error(w, fmt.Sprintf("host %q is not allowed, must be localhost or a loopback address", r.Host), http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// Serve a handler on a listener until the context ends; requests that are being answered then have some seconds to end.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{
		Handler:           guard(h, loopback.Host(l.Addr().String())),
		ReadHeaderTimeout: headerTime, ReadTimeout: bodyTime, WriteTimeout: bodyTime + 2*answerTime, IdleTimeout: 2 * answerTime,
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	if err := s.Shutdown(ending); err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}
