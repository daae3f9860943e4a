package observe

import (
	"bytes"
	"context"
	"encoding/json"
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
	d := json.NewDecoder(body)
	err := members(d, func(name string) error {
		switch name {
		case "status":
			return d.Decode(&status)
		case "errorType":
			return d.Decode(&refused.kind)
		case "error":
			return d.Decode(&refused.message)
		case "warnings":
			return d.Decode(&a.Warnings)
		case "data":
			return a.decodeData(d, take)
		}
		return d.Decode(&json.RawMessage{})
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
	_, err = io.Copy(io.Discard, io.LimitReader(body, 1024))
	return a, err
}

// members calls for each member of an object with its name, to decode its value; null has none.
func members(d *json.Decoder, value func(name string) error) error {
	switch token, err := d.Token(); {
	case err != nil:
		return err
	case token == nil:
		return nil
	case token != json.Delim('{'):
		return fmt.Errorf("%v is no object", token)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		if err := value(name.(string)); err != nil { // names are strings, or the decoder complains
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	_, err := d.Token()
	return err
}

func (a *Answer) decodeData(d *json.Decoder, take func(Series)) error {
	var early json.RawMessage // a result that comes before its type
	err := members(d, func(name string) error {
		switch {
		case name == "resultType":
			return d.Decode(&a.Type)
		case name == "result" && a.Type == model.ValNone:
			return d.Decode(&early)
		case name == "result":
			return decodeResult(d, a.Type, take)
		}
		return d.Decode(&json.RawMessage{})
	})
	if err != nil || early == nil {
		return err
	}
	return decodeResult(json.NewDecoder(bytes.NewReader(early)), a.Type, take)
}

// decodeResult of a type. Native histograms are no values: no question of ours asks for them.
func decodeResult(d *json.Decoder, t model.ValueType, take func(Series)) error {
	if t == model.ValScalar {
		var p pair
		if err := d.Decode(&p); err != nil {
			return err
		}
		take(Series{Values: []model.SamplePair{p.SamplePair}})
		return nil
	}
	if token, err := d.Token(); err != nil || token != json.Delim('[') {
		return errors.Join(err, fmt.Errorf("%v is no list", token))
	}
	s := struct {
		Metric model.Metric
		Value  pair
		Values []pair
	}{Metric: model.Metric{}}
	var values []model.SamplePair
	for d.More() {
		clear(s.Metric)
		s.Value, s.Values, values = pair{}, s.Values[:0], values[:0]
		if err := d.Decode(&s); err != nil {
			return err
		}
		if s.Value.given {
			values = append(values, s.Value.SamplePair)
		}
		for _, v := range s.Values {
			values = append(values, v.SamplePair)
		}
		if len(values) > 0 {
			take(Series{s.Metric, values})
		}
	}
	_, err := d.Token()
	return err
}

// pair is a value with its time, as in [1435781451.781, "1"].
type pair struct {
	model.SamplePair
	given bool
}

func (p *pair) UnmarshalJSON(text []byte) error {
	at, value, _ := bytes.Cut(bytes.Trim(text, "[] \t\r\n"), []byte(","))
	v, err := strconv.ParseFloat(string(bytes.Trim(value, "\" \t\r\n")), 64)
	if err := errors.Join(err, p.Timestamp.UnmarshalJSON(bytes.TrimSpace(at))); err != nil {
		return fmt.Errorf("%s is no value with its time: %w", text, err)
	}
	p.Value, p.given = model.SampleValue(v), true
	return nil
}
