package observe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Series of an answer: its labels, and its values, of which there is one at an instant. The next one overwrites both.
type Series struct {
	Metric model.Metric
	Values []model.SamplePair
}

// Answer is what Prometheus says of an answer as a whole.
type Answer struct {
	Type     model.ValueType
	Warnings []string
}

// Querier is what is asked of Prometheus.
type Querier interface {
	// Query asks PromQL at a time, or at that of Prometheus where it is zero, and gives the series of the answer to take, one after the other. Whether
	// they are the whole answer is known when it returns. A scalar is a series without labels.
	Query(ctx context.Context, promql string, at time.Time, take func(Series)) (Answer, error)
}

// Prometheus is asked over HTTP. Answers are decoded as they come, series by series: the buckets of a histogram of 10,000 pods are 30 MB of text, and
// several times that as values with maps of labels.
type Prometheus struct {
	endpoint string
	http     http.Client
}

// NewPrometheus at an address, which may have a path.
func NewPrometheus(address string, transport http.RoundTripper) (*Prometheus, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	return &Prometheus{u.JoinPath("api/v1/query").String(), http.Client{Transport: transport}}, nil
}

// Query implements [Querier]. Prometheus is told when nobody waits for the answer any more.
func (p *Prometheus) Query(ctx context.Context, promql string, at time.Time, take func(Series)) (Answer, error) {
	form := url.Values{"query": {promql}}
	if !at.IsZero() {
		form.Set("time", decimal(float64(at.Unix())+float64(at.Nanosecond())/1e9))
	}
	if deadline, bounded := ctx.Deadline(); bounded {
		form.Set("timeout", decimal(max(time.Until(deadline), time.Millisecond).Seconds()))
	}
	response, err := p.post(ctx, form.Encode())
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	answer, err := decode(response.Body, take)
	if ctx.Err() != nil {
		return answer, ctx.Err()
	}
	var refused *refusedError
	if err != nil && !errors.As(err, &refused) && response.StatusCode/100 != 2 { // a proxy's page
		return answer, fmt.Errorf("the status is %s", response.Status)
	}
	if err == nil && response.StatusCode/100 != 2 {
		return answer, fmt.Errorf("the status is %s, of an answer that says success", response.Status)
	}
	return answer, err
}

func decimal(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

// post a form, for questions are too long for some proxies' URLs; those who refuse that are asked by URL.
func (p *Prometheus) post(ctx context.Context, form string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.endpoint, strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header["Idempotency-Key"] = nil // not sent: it tells net/http that it may ask again over another connection
	response, err := p.http.Do(request)
	if err != nil || (response.StatusCode != http.StatusMethodNotAllowed && response.StatusCode != http.StatusNotImplemented) {
		return response, err
	}
	response.Body.Close()
	request, err = http.NewRequestWithContext(ctx, http.MethodGet, p.endpoint+"?"+form, nil)
	if err != nil {
		return nil, err
	}
	return p.http.Do(request)
}

// refusedError is Prometheus' own.
type refusedError struct{ kind, message string }

func (e *refusedError) Error() string { return e.kind + ": " + e.message }

// decode an answer of Prometheus' API, https://prometheus.io/docs/prometheus/latest/querying/api.
func decode(body io.Reader, take func(Series)) (Answer, error) {
	var a Answer
	var status string
	var refused refusedError
	r := newReader(body)
	err := r.members(func(name string) (err error) {
		switch name {
		case "status":
			status, err = r.word()
		case "errorType":
			refused.kind, err = r.word()
		case "error":
			refused.message, err = r.word()
		case "warnings":
			err = r.list(func() error {
				warning, err := r.word()
				a.Warnings = append(a.Warnings, warning)
				return err
			})
		case "data":
			err = a.decodeData(r, take)
		default:
			_, err = r.raw()
		}
		return err
	})
	switch {
	case err != nil:
		return a, fmt.Errorf("bad_response: %w", err)
	case status == "error":
		return a, &refused
	case status != "success":
		return a, fmt.Errorf("bad_response: the status is %q, neither success nor error", status)
	}
	// What follows is a line feed: read, so that the connection can be used again.
	_, err = io.Copy(io.Discard, io.LimitReader(r.in, 1024))
	return a, err
}

func (a *Answer) decodeData(r *reader, take func(Series)) error {
	var early []byte // a result that comes before its type
	err := r.members(func(name string) (err error) {
		switch {
		case name == "resultType":
			var kind string
			kind, err = r.word()
			err = errors.Join(err, a.Type.UnmarshalJSON([]byte(strconv.Quote(kind))))
		case name == "result" && a.Type == model.ValNone:
			early, err = r.raw()
		case name == "result":
			err = decodeResult(r, a.Type, take)
		default:
			_, err = r.raw()
		}
		return err
	})
	if err != nil || early == nil {
		return err
	}
	return decodeResult(newReader(bytes.NewReader(early)), a.Type, take)
}

// decodeResult of a type. Native histograms are no values: no question of ours asks for them.
func decodeResult(r *reader, t model.ValueType, take func(Series)) error {
	if t == model.ValScalar {
		var s Series
		err := r.sample(&s)
		if err == nil {
			take(s)
		}
		return err
	}
	s := Series{Metric: model.Metric{}}
	return r.list(func() error {
		clear(s.Metric)
		s.Values = s.Values[:0]
		err := r.series(&s)
		if err == nil && len(s.Values) > 0 {
			take(s)
		}
		return err
	})
}
