package observe

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// serving is a Prometheus that answers with a status and a text.
func serving(t testing.TB, status int, text string) *Prometheus {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(server.Close)
	p, err := NewPrometheus(server.URL, http.DefaultTransport)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// collected are all series of an answer.
func collected(p Querier) (all []Series, a Answer, err error) {
	a, err = p.Query(context.Background(), "up", time.Time{}, func(s Series) {
		all = append(all, Series{maps.Clone(s.Metric), slices.Clone(s.Values)})
	})
	return all, a, err
}

func TestAnswersAreDecoded(t *testing.T) {
	at := func(ms int64, v float64) []model.SamplePair {
		return []model.SamplePair{{Timestamp: model.Time(ms), Value: model.SampleValue(v)}}
	}
	for name, c := range map[string]struct {
		text     string
		want     []Series
		kind     model.ValueType
		warnings []string
	}{
		"vector": {
			`{"status":"success","data":{"resultType":"vector","result":[
				{"metric":{"pod":"a","le":"+Inf"},"value":[1.5,"7"]}, {"metric":{"pod":"\"b\"\u00e9"},"value":[ 2 , "+Inf" ]}, {"metric":{},"value":[3,"NaN"]}]},"infos":["x"]}` + "\n",
			[]Series{{model.Metric{"pod": "a", "le": "+Inf"}, at(1500, 7)}, {model.Metric{"pod": `"b"é`}, at(2000, math.Inf(1))}, {model.Metric{}, at(3000, math.NaN())}}, model.ValVector, nil,
		},
		"matrix": {
			`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"pod":"a"},"values":[[1,"1"],[2,"2"]]},{"metric":{"pod":"b"},"values":[[3,"3"]]}]}}`,
			[]Series{{model.Metric{"pod": "a"}, append(at(1000, 1), at(2000, 2)...)}, {model.Metric{"pod": "b"}, at(3000, 3)}}, model.ValMatrix, nil,
		},
		"scalar":               {`{"status":"success","data":{"resultType":"scalar","result":[1.25,"1.25"]}}`, []Series{{Values: at(1250, 1.25)}}, model.ValScalar, nil},
		"empty, with warnings": {`{"status":"success","warnings":["one","two"],"data":{"resultType":"vector","result":[]}}`, nil, model.ValVector, []string{"one", "two"}},
		"the type comes last": {
			`{"data":{"result":[{"value":[1,"1"],"metric":{"pod":"a"}}],"resultType":"vector"},"status":"success"}`,
			[]Series{{model.Metric{"pod": "a"}, at(1000, 1)}}, model.ValVector, nil,
		},
		"what is not known is skipped": {
			`{"status":"success","stats":{"a":[1,{}]},"data":{"analysis":{"x":1},"resultType":"vector","result":[{"metric":{"pod":"a"},"value":[1,"1"],"more":[{}]}]}}`,
			[]Series{{model.Metric{"pod": "a"}, at(1000, 1)}}, model.ValVector, nil,
		},
		"a native histogram is no value": {
			`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"pod":"a"},"histogram":[1,{"count":"1","sum":"1","buckets":[]}]}]}}`, nil, model.ValVector, nil,
		},
	} {
		got, answer, err := collected(serving(t, 200, c.text))
		if diff := cmp.Diff(c.want, got, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); err != nil || diff != "" || answer.Type != c.kind || !slices.Equal(answer.Warnings, c.warnings) {
			t.Errorf("%s: %+v %v %s", name, answer, err, diff)
		}
	}
}

// Whatever is no answer is an error, which says what was wrong.
func TestAnswersThatAreNone(t *testing.T) {
	for _, c := range []struct {
		status     int
		text, want string
	}{
		{400, `{"status":"error","errorType":"bad_data","error":"parse error at char 3"}`, "bad_data: parse error at char 3"},
		{422, `{"status":"error","errorType":"execution","error":"too many samples","data":null}`, "execution: too many samples"},
		{503, `{"status":"error","errorType":"timeout","error":"query timed out"}`, "timeout: query timed out"},
		{200, `{"status":"error","errorType":"internal","error":"no"}`, "internal: no"},
		{502, `<html>bad gateway</html>`, "502 Bad Gateway"},
		{403, ``, "403 Forbidden"},
		{500, `{"status":"success","data":{"resultType":"vector","result":[]}}`, "500 Internal Server Error"},
		{200, ``, "bad_response"},
		{200, `[]`, "bad_response"},
		{200, `{"status":"fine"}`, `"fine"`},
		{200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"pod":"a"},"value":[1,"1"]}`, "bad_response"},
		{200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"pod":"a"},"value":[1,"one"]}]}}`, "one"},
		{200, `{"status":"success","data":{"resultType":"vector","result":{}}}`, "no list"},
	} {
		if _, _, err := collected(serving(t, c.status, c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d %s: %v, want %q", c.status, c.text, err, c.want)
		}
	}
}

// A question is a form; who takes none is asked by URL. Prometheus is told how long it is waited for, in seconds: it reads "2.5" and not "2.5s".
func TestQuestionsAreForms(t *testing.T) {
	for _, refuses := range []bool{false, true} {
		var methods []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			methods = append(methods, r.Method)
			if refuses && r.Method == http.MethodPost {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return
			}
			var seconds float64
			if _, err := fmt.Sscanf(r.FormValue("timeout"), "%g", &seconds); err != nil || seconds <= 0 || seconds > 60 || r.FormValue("query") != `up{a="b"}` || r.FormValue("time") != "10000.5" || r.URL.Path != "/prefix/api/v1/query" {
				t.Errorf("%s asked %s with %v", r.Method, r.URL, r.Form)
			}
			_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"vector","result":[]}}`)
		}))
		p, err := NewPrometheus(server.URL+"/prefix/", http.DefaultTransport)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if _, err := p.Query(ctx, `up{a="b"}`, now.Add(time.Second/2), func(Series) {}); err != nil {
			t.Error(err)
		}
		cancel()
		server.Close()
		want := []string{http.MethodPost}
		if refuses {
			want = append(want, http.MethodGet)
		}
		if !slices.Equal(methods, want) {
			t.Errorf("asked by %v, want %v", methods, want)
		}
	}
}

// FuzzDecode compares with the client of Prometheus itself: what that can read means the same here, and nothing makes the decoder panic.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"pod":"a","le":"0.5"},"value":[1.5,"7e-3"]},{"metric":{"pod":"b"},"value":[2,"NaN"]}]}}`,
		`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"pod":"a"},"values":[[1,"1"],[2.25,"-Inf"]]}]},"warnings":["w"]}`,
		`{"status":"success","data":{"resultType":"scalar","result":[1435781451.781,"1"]}}`, `{"status":"error","errorType":"bad_data","error":"no"}`, `{"data":null}`, `{`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got []Series
		answer, err := decode(strings.NewReader(text), func(s Series) { got = append(got, Series{maps.Clone(s.Metric), slices.Clone(s.Values)}) })
		value, _, fault := promv1.NewAPI(fixed(text)).Query(context.Background(), "up", time.Time{})
		if err != nil || fault != nil || value == nil || answer.Type != value.Type() {
			return // either is stricter here or there
		}
		var want []Series
		_, _ = Whole(func(context.Context, string, time.Time) (model.Value, []string, error) { return value, nil, nil }).Query(context.Background(), "", time.Time{}, func(s Series) { want = append(want, s) })
		if diff := cmp.Diff(want, got, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	})
}

// fixed is the transport of a client that is answered with a text.
func fixed(text string) api.Client {
	c, err := api.NewClient(api.Config{Address: "http://none", RoundTripper: roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(text))}, nil
	})})
	if err != nil {
		panic(err)
	}
	return c
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// BenchmarkDecode reads the buckets of 1,000 pods: in 16 ms of processor time, where a decoder for all JSON takes 51.
func BenchmarkDecode(b *testing.B) {
	var text bytes.Buffer
	text.WriteString(`{"status":"success","data":{"resultType":"vector","result":[`)
	for i := range 21_000 {
		fmt.Fprintf(&text, `%s{"metric":{"namespace":"llm-0","pod":"server-%d-7d4b9c6f5d-00001","le":"%d"},"value":[1764400000.123,"12.5"]}`, strings.Repeat(",", min(i, 1)), i/21, i%21)
	}
	text.WriteString(`]}}`)
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if _, err := decode(bytes.NewReader(text.Bytes()), func(Series) { n++ }); err != nil || n != 21_000 {
			b.Fatal(n, err)
		}
	}
}
