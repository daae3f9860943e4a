package keda

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/llm-inferno/inferno/metricsadapter"
	"github.com/llm-inferno/inferno/metricsadapter/keda/externalscaler"
	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

var now = time.Unix(1_000_000, 0)

// servers that can be changed while they are read.
type servers struct {
	mu   sync.Mutex
	list []*v1alpha1.Server
}

func (s *servers) HasSynced() bool { return true }

func (s *servers) Get(namespace, name string) (*v1alpha1.Server, bool) {
	for _, server := range s.List(namespace) {
		if server.Name == name {
			return server, true
		}
	}
	return nil, false
}

func (s *servers) List(namespace string) []*v1alpha1.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*v1alpha1.Server
	for _, server := range s.list {
		if server.Namespace == namespace {
			found = append(found, server)
		}
	}
	return found
}

func (s *servers) ScaledBy(string, schema.GroupResource, string) []*v1alpha1.Server { return nil }

func (s *servers) set(list ...*v1alpha1.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = list
}

func server(name string, age time.Duration, parts ...jsonspec.AllocationPart) *v1alpha1.Server {
	s := &v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: name}}
	s.Spec.Variants = []jsonspec.Variant{{Name: "big", Accelerators: []string{"H100"}}, {Name: "small", Accelerators: []string{"L40S"}}}
	s.Status.Desired = &v1alpha1.DesiredState{ConfirmedAt: metav1.NewTime(now.Add(-age)), StaleAfterSeconds: 60, Parts: parts}
	for _, p := range parts {
		s.Status.Desired.Replicas += p.Replicas
	}
	return s
}

func on(accelerator string, replicas int) jsonspec.AllocationPart {
	return jsonspec.AllocationPart{Accelerator: accelerator, Replicas: replicas}
}

// dial serves a scaler in memory.
func dial(t *testing.T, s *servers) externalscaler.ExternalScalerClient {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	g := grpc.NewServer()
	New(metricsadapter.New(s, func() time.Time { return now }), time.Millisecond).Register(g)
	go g.Serve(listener)
	t.Cleanup(g.Stop)
	connection, err := grpc.NewClient("passthrough:scaler", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return externalscaler.NewExternalScalerClient(connection)
}

func ref(namespace string, pairs ...string) *externalscaler.ScaledObjectRef {
	r := &externalscaler.ScaledObjectRef{Name: "scaled", Namespace: namespace, ScalerMetadata: map[string]string{"scalerAddress": "inferno-adapter:9443", "enableTLS": "true"}}
	for i := 0; i < len(pairs); i += 2 {
		r.ScalerMetadata[pairs[i]] = pairs[i+1]
	}
	return r
}

func TestAnswers(t *testing.T) {
	planless := server("planless", 0)
	planless.Status.Desired = nil
	s := &servers{}
	s.set(server("chat", 0, on("H100", 3), on("L40S", 2)), server("idle", 0), server("stale", time.Hour, on("H100", 3)), planless)
	client := dial(t, s)
	for _, c := range []struct {
		name string
		ref  *externalscaler.ScaledObjectRef
		want int64
		code codes.Code
	}{
		{"all of a server", ref("llm", "server", "chat"), 5, codes.OK},
		{"a variant", ref("llm", "server", "chat", "variant", "small"), 2, codes.OK},
		{"a variant without a part", ref("llm", "server", "idle", "variant", "small"), 0, codes.OK},
		{"scaled to zero", ref("llm", "server", "idle"), 0, codes.OK},
		{"stale", ref("llm", "server", "stale"), 0, codes.Unavailable},
		{"no plan", ref("llm", "server", "planless"), 0, codes.Unavailable},
		{"no such server", ref("llm", "server", "nobody"), 0, codes.NotFound},
		{"no such variant", ref("llm", "server", "chat", "variant", "huge"), 0, codes.NotFound},
		{"of another namespace", ref("other", "server", "chat"), 0, codes.NotFound},
		{"no namespace", ref("", "server", "chat"), 0, codes.InvalidArgument},
		{"a namespace in the metadata", ref("other", "server", "chat", "namespace", "llm"), 0, codes.InvalidArgument},
		{"no server", ref("llm"), 0, codes.InvalidArgument},
		{"a selector for a name", ref("llm", "server", "chat,idle"), 0, codes.InvalidArgument},
		{"misspelt", ref("llm", "server", "chat", "varaint", "small"), 0, codes.InvalidArgument},
		{"an empty variant", ref("llm", "server", "chat", "variant", ""), 0, codes.InvalidArgument},
		{"nothing", nil, 0, codes.InvalidArgument},
	} {
		metrics, err := client.GetMetrics(t.Context(), &externalscaler.GetMetricsRequest{ScaledObjectRef: c.ref, MetricName: metricsadapter.DesiredReplicas})
		if got := status.Code(err); got != c.code {
			t.Errorf("%s: %v, want %s", c.name, err, c.code)
			continue
		}
		active, activeErr := client.IsActive(t.Context(), c.ref)
		if status.Code(activeErr) != c.code {
			t.Errorf("%s: active is %v", c.name, activeErr)
		}
		if err != nil {
			continue
		}
		if v := metrics.GetMetricValues(); len(v) != 1 || v[0].GetMetricValue() != c.want || v[0].GetMetricValueFloat() != float64(c.want) || v[0].GetMetricName() != metricsadapter.DesiredReplicas {
			t.Errorf("%s: %v, want %d", c.name, v, c.want)
		}
		if active.GetResult() != (c.want > 0) {
			t.Errorf("%s: active %v with %d replicas", c.name, active.GetResult(), c.want)
		}
	}
	if _, err := client.GetMetrics(t.Context(), &externalscaler.GetMetricsRequest{ScaledObjectRef: ref("llm", "server", "chat"), MetricName: "cpu"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("another metric: %v", err)
	}
}

func TestMetricSpec(t *testing.T) {
	client := dial(t, &servers{})
	spec, err := client.GetMetricSpec(t.Context(), ref("llm", "server", "chat"))
	if err != nil || len(spec.GetMetricSpecs()) != 1 {
		t.Fatal(spec, err)
	}
	if m := spec.GetMetricSpecs()[0]; m.GetMetricName() != metricsadapter.DesiredReplicas || m.GetTargetSize() != 1 || m.GetTargetSizeFloat() != 1 {
		t.Errorf("%v", m)
	}
	if _, err := client.GetMetricSpec(t.Context(), ref("llm")); status.Code(err) != codes.InvalidArgument {
		t.Errorf("without a server: %v", err)
	}
}

// A stream says at once what is, then what changes, and nothing while there is no plan.
func TestStream(t *testing.T) {
	s := &servers{}
	s.set(server("chat", 0, on("H100", 3)))
	stream, err := dial(t, s).StreamIsActive(t.Context(), ref("llm", "server", "chat"))
	if err != nil {
		t.Fatal(err)
	}
	for _, next := range []struct {
		want bool
		list []*v1alpha1.Server
	}{
		{true, []*v1alpha1.Server{server("chat", time.Hour, on("H100", 3))}},
		{false, []*v1alpha1.Server{server("chat", 0, on("H100", 1))}},
		{true, nil},
	} {
		got, err := stream.Recv()
		if err != nil || got.GetResult() != next.want {
			t.Fatalf("%v, %v; want %v", got, err, next.want)
		}
		s.set(next.list...)
		if len(next.list) == 1 && !next.list[0].Status.Desired.Fresh(now) {
			s.set(server("chat", 0)) // after a stale plan, which says nothing, one of zero
		}
	}
	bad, err := dial(t, s).StreamIsActive(t.Context(), ref("llm"))
	if err == nil {
		_, err = bad.Recv()
	}
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("without a server: %v", err)
	}
}

// The numbers of the fields are KEDA's: what it sends, byte by byte, is understood, and it understands what is sent.
func TestWire(t *testing.T) {
	field := func(b []byte, n protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), content)
	}
	entry := field(field(nil, 1, []byte("server")), 2, []byte("chat"))
	scaled := field(field(field(nil, 1, []byte("scaled")), 2, []byte("llm")), 3, entry)
	var request externalscaler.GetMetricsRequest
	if err := proto.Unmarshal(field(field(nil, 1, scaled), 2, []byte(metricsadapter.DesiredReplicas)), &request); err != nil {
		t.Fatal(err)
	}
	if r := request.GetScaledObjectRef(); r.GetName() != "scaled" || r.GetNamespace() != "llm" || r.GetScalerMetadata()["server"] != "chat" || request.GetMetricName() != metricsadapter.DesiredReplicas {
		t.Errorf("%v", &request)
	}
	value := field(nil, 1, []byte("m"))
	value = protowire.AppendVarint(protowire.AppendTag(value, 2, protowire.VarintType), 5)
	value = protowire.AppendFixed64(protowire.AppendTag(value, 3, protowire.Fixed64Type), 0x4014000000000000) // 5.0
	got, err := proto.MarshalOptions{Deterministic: true}.Marshal(&externalscaler.GetMetricsResponse{MetricValues: []*externalscaler.MetricValue{{MetricName: "m", MetricValue: 5, MetricValueFloat: 5}}})
	if err != nil || !slices.Equal(got, field(nil, 1, value)) {
		t.Errorf("%x, %v; want %x", got, err, field(nil, 1, value))
	}
	if name := externalscaler.ExternalScaler_ServiceDesc.ServiceName; name != "externalscaler.ExternalScaler" {
		t.Errorf("the service is %s", name)
	}
}

// FuzzMetadata has the metadata of a trigger say anything at all: one server's answer or an error, never another namespace's.
func FuzzMetadata(f *testing.F) {
	f.Add("llm", "server", "chat", "variant", "small")
	f.Add("llm", "server", "chat,server!=x", "", "")
	f.Add("other", "inferno.platform.ai/server", "chat", "namespace", "llm")
	s := &servers{}
	foreign := server("chat", 0, on("H100", 1000))
	foreign.Namespace = "secret"
	s.set(server("chat", 0, on("H100", 3), on("L40S", 2)), foreign)
	scaler := New(metricsadapter.New(s, func() time.Time { return now }), time.Second)
	f.Fuzz(func(t *testing.T, namespace, key1, value1, key2, value2 string) {
		if namespace == "secret" {
			return
		}
		n, err := scaler.replicas(t.Context(), ref(namespace, key1, value1, key2, value2))
		if err != nil && status.Code(err) == codes.Unknown {
			t.Errorf("an error without a code: %v", err)
		}
		if n > 5 {
			t.Errorf("%d replicas of another namespace", n)
		}
	})
}
