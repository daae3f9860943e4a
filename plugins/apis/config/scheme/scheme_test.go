package scheme

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"github.com/llm-inferno/inferno/plugins/apis/config"
	configv1 "github.com/llm-inferno/inferno/plugins/apis/config/v1"
)

func defaults() *config.InfernoArgs {
	return &config.InfernoArgs{
		Fallback:      config.FallbackWait,
		FallbackAfter: metav1.Duration{Duration: 5 * time.Minute},
		SyncTimeout:   metav1.Duration{Duration: 30 * time.Second},
		GroupTimeout:  metav1.Duration{Duration: time.Minute},
	}
}

func TestDecode(t *testing.T) {
	all := defaults()
	all.Fallback, all.FallbackAfter.Duration, all.SyncTimeout.Duration, all.GroupTimeout.Duration = config.FallbackAnyFeasible, 90*time.Second, 0, 2*time.Minute
	tests := []struct {
		name, yaml string
		want       *config.InfernoArgs
	}{
		{"nothing", "", defaults()},
		{"empty", "{}", defaults()},
		{"version given", "apiVersion: config.inferno.platform.ai/v1\nkind: InfernoArgs\n", defaults()},
		{"everything; zero is not absent", "fallback: AnyFeasible\nfallbackAfter: 90s\nsyncTimeout: 0s\ngroupTimeout: 2m\n", all},
		{"JSON", `{"fallback":"AnyFeasible","fallbackAfter":"90s","syncTimeout":"0s","groupTimeout":"2m"}`, all},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Decode([]byte(tt.yaml))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Decode (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct {
		name, yaml string
		want       []string
	}{
		{"every fault, by path", "fallback: Never\nfallbackAfter: 0s\nsyncTimeout: -1s\ngroupTimeout: 0s\n", []string{
			`fallback: Unsupported value: "Never": supported values: "AnyFeasible", "Wait"`,
			`fallbackAfter: Invalid value: "0s": must be more than zero`,
			`syncTimeout: Invalid value: "-1s": must not be negative`,
			`groupTimeout: Invalid value: "0s": must be more than zero`,
		}},
		{"unknown fields", "fallbak: Wait\nfallbackafter: 1s\n", []string{`unknown field "fallbak"`, `unknown field "fallbackafter"`}},
		{"repeated field", "fallback: Wait\nfallback: AnyFeasible\n", []string{`"fallback" already set`}},
		{"wrong type", "fallbackAfter: soon\n", []string{"soon"}},
		{"other version", "apiVersion: config.inferno.platform.ai/v9\nkind: InfernoArgs\n", []string{"v9"}},
		{"other kind", "apiVersion: config.inferno.platform.ai/v1\nkind: OtherArgs\n", []string{"OtherArgs"}},
		{"not a mapping", "- 1\n", []string{"InfernoArgs"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Decode([]byte(tt.yaml))
			if err == nil {
				t.Fatalf("accepted as %+v", got)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q: %v", want, err)
				}
			}
		})
	}
}

func TestRoundTrip(t *testing.T) {
	s, err := New()
	if err != nil {
		t.Fatal(err)
	}
	codec := serializer.NewCodecFactory(s, serializer.EnableStrict).LegacyCodec(configv1.SchemeGroupVersion)
	want := &config.InfernoArgs{
		Fallback: config.FallbackAnyFeasible, FallbackAfter: metav1.Duration{Duration: time.Hour}, SyncTimeout: metav1.Duration{Duration: time.Second}, GroupTimeout: metav1.Duration{Duration: time.Second},
	}
	raw, err := runtime.Encode(codec, want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s came back changed (-want +got):\n%s", raw, diff)
	}
}

func TestFromObject(t *testing.T) {
	bad := defaults()
	bad.FallbackAfter.Duration = -time.Second
	for name, tt := range map[string]struct {
		in runtime.Object
		ok bool
	}{
		"nothing":       {nil, true},
		"raw":           {&runtime.Unknown{Raw: []byte(`{"fallback":"Wait"}`)}, true},
		"empty raw":     {&runtime.Unknown{}, true},
		"typed":         {defaults(), true},
		"typed, faulty": {bad, false},
		"foreign":       {&metav1.Status{}, false},
	} {
		if _, err := FromObject(tt.in); (err == nil) != tt.ok {
			t.Errorf("%s: error %v, want accepted: %v", name, err, tt.ok)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("fallback: AnyFeasible\nfallbackAfter: 90s\n"))
	f.Add([]byte(`{"syncTimeout":"1h","kind":"InfernoArgs"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		args, err := Decode(raw)
		if (args == nil) == (err == nil) {
			t.Fatalf("arguments %v with error %v", args, err)
		}
	})
}
