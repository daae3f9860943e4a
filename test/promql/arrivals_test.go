package promql

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

const (
	rqTotal      = "envoy_cluster_upstream_rq_total"
	clusterLabel = "envoy_cluster_name"
	ofCluster    = `outbound\|[0-9]+\|\|[^.]+\.$(namespace)\..*`
)

func counting(namespace, name, counter string, labels map[string]jsonspec.LabelValue) v1alpha1.Server {
	s := v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	s.Spec.Arrivals = &jsonspec.ArrivalCounter{Counter: counter, Labels: labels}
	return s
}

// playCounters stores counters that rise by so much a second, of a pod in a namespace, by the value of their label.
func (p *prometheus) playCounters(namespace, counter, label string, perSecond map[string]float64) {
	p.t.Helper()
	for ago := length; ago >= 0; ago -= scrape {
		app := p.db.Appender(context.Background())
		for value, rate := range perSecond {
			l := labels.FromStrings("__name__", counter, label, value, "namespace", namespace, "pod", "gateway")
			if _, err := app.Append(0, l, end.Add(-ago).UnixMilli(), 10_000-rate*ago.Seconds()); err != nil {
				p.t.Fatal(err)
			}
		}
		if err := app.Commit(); err != nil {
			p.t.Fatal(err)
		}
	}
}

// What a gateway counts for a server is read by the counter that the server names, in the server's namespace; elsewhere only where the Optimizer declares
// the gateway, and only what goes to the server's namespace.
func TestArrivals(t *testing.T) {
	p := newPrometheus(t)
	p.playCounters("llm", rqTotal, clusterLabel, map[string]float64{"chat": 3, "other": 5})
	p.playCounters("istio-system", rqTotal, clusterLabel, map[string]float64{
		"outbound|8000||shared.llm.svc.cluster.local": 7, "outbound|8000||chat.victim.svc.cluster.local": 11,
	})
	p.playCounters("forger", rqTotal, clusterLabel, map[string]float64{"outbound|8000||shared.llm.svc.cluster.local": 100})
	p.playCounters("kube-system", "apiserver_request_total", "job", map[string]float64{"apiserver": 1000})
	to := func(value jsonspec.LabelValue) map[string]jsonspec.LabelValue {
		return map[string]jsonspec.LabelValue{clusterLabel: value}
	}
	const shared, victims = "outbound|8000||shared.llm.svc.cluster.local", "outbound|8000||chat.victim.svc.cluster.local"
	servers := []v1alpha1.Server{
		{ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: "silent"}},
		counting("llm", "chat", rqTotal, to("chat")), counting("llm", "other", rqTotal, map[string]jsonspec.LabelValue{clusterLabel: "other", "pod": "gateway"}),
		counting("llm", "gone", rqTotal, to("gone")), counting("llm", "shared", rqTotal, to(shared)),
		// Attacks.
		counting("llm", "victims", rqTotal, to(victims)),
		counting("llm", "apiserver", "apiserver_request_total", map[string]jsonspec.LabelValue{"job": "apiserver"}),
		counting("llm", "twice-named", rqTotal, map[string]jsonspec.LabelValue{"__name__": "apiserver_request_total"}),
		counting("llm", "elsewhere", rqTotal, map[string]jsonspec.LabelValue{"namespace": "istio-system"}),
		counting("llm", "ends", `x"}[1m]) or vector(1`, to("a")), counting("llm", "ends-in-label", rqTotal, map[string]jsonspec.LabelValue{"}": "a"}),
		counting("llm", "ends-in-value", rqTotal, to(`"} or vector(1) #`)), counting("llm", "everyone", rqTotal, nil),
	}
	gateways := []v1alpha1.GatewayCounter{{Counter: rqTotal, Namespace: "istio-system", Label: clusterLabel, Value: ofCluster}}
	for _, c := range []struct {
		gateways []v1alpha1.GatewayCounter
		want     map[string]float64
	}{
		{nil, map[string]float64{"chat": 3, "other": 5}},
		{gateways, map[string]float64{"chat": 3, "other": 5, "shared": 7}},
	} {
		var counters observe.Counters
		got, faults := map[string]float64{}, 0
		for server, counted := range counters.Read(context.Background(), p.source(&v1alpha1.PrometheusSource{Gateways: c.gateways}), servers, end, window) {
			if counted.Known {
				got[server.Name] = counted.Rate
			}
			if counted.Err != nil {
				faults++
			}
		}
		if diff := cmp.Diff(c.want, got, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
			t.Error(diff)
		}
		if faults != 5 {
			t.Errorf("%d counters are refused, want 5", faults)
		}
	}
	var counters observe.Counters
	if got := counters.Read(context.Background(), p.source(nil), servers[:1], end, window); got != nil {
		t.Errorf("without a counter %v", got)
	}
}

// listener writes down what is asked.
type listener struct{ asked []string }

func (l *listener) Query(_ context.Context, query string, _ time.Time, _ func(observe.Series)) (observe.Answer, error) {
	l.asked = append(l.asked, query)
	return observe.Answer{Type: model.ValVector}, nil
}

// Whatever a user writes into a counter and its labels, Prometheus' own parser finds in the question nothing but rates of series of the Server's namespace,
// and of the gateway's that tell of that namespace.
func FuzzArrivalsStayInTheirNamespace(f *testing.F) {
	for _, s := range [][3]string{
		{"rq_total", "cluster", "chat"}, {"rq_total", "__name__", "x"}, {"rq_total", "namespace", "victim"}, {`x{namespace="victim"}`, "a", "b"},
		{"rq_total", "a", `"} or up{a="`}, {"rq_total", "a", "\\\"} or up"}, {"rq_total", "a", "`} or up"}, {"rq_total", "a", "\xff\u2028\n"}, {"rq_total", `"namespace"`, "b"},
		{"rq_total offset -1d", "a", "b"}, {"or", "by", "on"}, {"sum", "without", "\x00"}, {"NaN", "a", "b"}, {"inf", "bool", "ü"}, {"rq_total", "a=~\".*\",b", "c"}, {"", "", ""},
	} {
		f.Add(s[0], s[1], s[2])
	}
	gateways := []v1alpha1.GatewayCounter{{Counter: "rq_total", Namespace: "gateways", Label: clusterLabel, Value: ofCluster}}
	f.Fuzz(func(t *testing.T, counter, label, value string) {
		l := &listener{}
		var counters observe.Counters
		server := counting("a-b", "chat", counter, map[string]jsonspec.LabelValue{label: jsonspec.LabelValue(value)})
		source, err := observe.NewSource(l, &v1alpha1.PrometheusSource{Gateways: gateways})
		if err != nil {
			t.Fatal(err)
		}
		answers := counters.Read(context.Background(), source, []v1alpha1.Server{server}, end, window)
		refused := answers[types.NamespacedName{Namespace: "a-b", Name: "chat"}].Err != nil
		if refused != (len(l.asked) == 0) {
			t.Fatalf("refused %t, and asked %q", refused, l.asked)
		}
		for _, question := range l.asked {
			stays(t, question, counter, label, value)
		}
	})
}

// stays in its namespace.
func stays(t *testing.T, question, counter, label, value string) {
	t.Helper()
	expression, err := parser.NewParser(parser.Options{}).ParseExpr(question)
	if err != nil {
		t.Fatalf("%s: %v", question, err) // what is accepted can be asked
	}
	selectors := 0
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			selectors++
			own, gateway, tells, theirs, names := false, false, false, false, 0
			for _, m := range n.LabelMatchers {
				own = own || (m.Name == "namespace" && m.Type == labels.MatchEqual && m.Value == "a-b")
				gateway = gateway || (m.Name == "namespace" && m.Type == labels.MatchEqual && m.Value == "gateways")
				tells = tells || (m.Name == clusterLabel && m.Type == labels.MatchRegexp && m.Value == strings.ReplaceAll(ofCluster, "$(namespace)", "a-b"))
				if m.Name == "__name__" && m.Type == labels.MatchEqual && m.Value == counter {
					names++
				}
				theirs = theirs || (m.Name == label && m.Type == labels.MatchEqual && m.Value == value)
			}
			if names != 1 || !theirs || len(n.LabelMatchers) < 3 || !(own || (gateway && tells)) || n.OriginalOffset != 0 || n.Timestamp != nil {
				t.Fatalf("%s asks for %s", question, n)
			}
		case *parser.MatrixSelector, *parser.Call, *parser.AggregateExpr, *parser.BinaryExpr, parser.Expressions:
		default:
			if n != nil {
				t.Fatalf("%s has a %T", question, n)
			}
		}
		return nil
	})
	want := 1
	if counter == "rq_total" {
		want = 2
	}
	if selectors != want {
		t.Fatalf("%s has %d selectors", question, selectors)
	}
}
