package fleet

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/routing"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

// Config says what the fleet plays. Fields without a default must be given.
type Config struct {
	Client  kubernetes.Interface
	Servers []Server
	Truths  []Truth
	Traffic []Traffic // may be empty, and set later with SetTraffic

	// Accelerators names the accelerator for every product that nodes announce.
	Accelerators map[string]string
	// ProductLabels are the labels of a node that may hold its product; the first
	// one present counts. By default those of NVIDIA and AMD.
	ProductLabels []string

	// Defaults apply to a pod without the annotations; vLLM's own on a large GPU,
	// 256 sequences and 8192 tokens, where zero.
	Defaults simulation.Limits

	Listen string        // address of the listener; 127.0.0.1 and a free port by default
	FileSD string        // file that lists the targets for Prometheus; none by default
	Seed   uint64        // of the noise and the traffic splits
	Window time.Duration // width of the windows of the report; 1 s by default
	Keep   int           // windows kept; one day by default
	Tick   time.Duration // how often the engines are brought up to the present; 10 ms by default
	Logger *slog.Logger  // silent by default
}

// Server is a model server whose pods the fleet plays.
type Server struct {
	Namespace string
	Name      string // value of the label of its pods
	Model     string // name under which metrics show the model, and of its truths
	Targets   serving.Targets
	Balancer  string // see package routing; least requests by default
}

// Key names the server in shares and reports: namespace/name.
func (s Server) Key() string { return s.Namespace + "/" + s.Name }

// Truth is how a model really behaves on an accelerator.
type Truth struct {
	Model       string
	Accelerator string
	// Role of pods that compute prompts for others, or decode what others computed, by what their labels say ([placement.RoleOf]); empty for those that do
	// both. Link is their end of what caches go over.
	Role     string
	Link     serving.Link
	StepTime simulation.StepTime
	Cache    simulation.Cache

	RequestOverhead float64 // see [simulation.Config], as is the next
	NoiseCV         float64
}

// Traffic is a trace whose requests are shared out between servers, by their keys.
type Traffic struct {
	Trace   *trace.Trace
	Options trace.Options
	Shares  []trace.Share
}

func (c Config) withDefaults() Config {
	if c.ProductLabels == nil {
		c.ProductLabels = []string{"nvidia.com/gpu.product", "amd.com/gpu.product-name"}
	}
	setDefault(&c.Defaults.MaxNumSeqs, 256)
	setDefault(&c.Defaults.MaxNumBatchedTokens, 8192)
	setDefault(&c.Listen, "127.0.0.1:0")
	setDefault(&c.Window, time.Second)
	setDefault(&c.Keep, int(24*time.Hour/c.Window))
	setDefault(&c.Tick, 10*time.Millisecond)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Servers = append([]Server(nil), c.Servers...)
	for i := range c.Servers {
		setDefault(&c.Servers[i].Balancer, routing.LeastRequests)
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) validate() error {
	var faults []error
	fault := func(format string, arguments ...any) { faults = append(faults, fmt.Errorf(format, arguments...)) }
	if c.Client == nil {
		fault("client: missing")
	}
	if len(c.Servers) == 0 {
		fault("servers: none, want at least one")
	}
	if c.Window < 0 || c.Keep < 1 || c.Tick < 0 {
		fault("window %v, keep %d, tick %v: want times above 0 and at least one window", c.Window, c.Keep, c.Tick)
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		fault("listen: %w", err)
	}
	if err := c.Defaults.Validate(); err != nil {
		fault("defaults: %w", err)
	}
	seen := map[string]bool{}
	for i, s := range c.Servers {
		if s.Namespace == "" || s.Name == "" || s.Model == "" {
			fault("servers[%d]: namespace %q, name %q, model %q: want all three", i, s.Namespace, s.Name, s.Model)
		}
		if seen[s.Key()] {
			fault("servers[%d]: %s is there twice", i, s.Key())
		}
		seen[s.Key()] = true
	}
	models := map[string]bool{}
	for i, t := range c.Truths {
		key := truthKey{t.Model, t.Accelerator, t.Role}
		if _, known := roles[t.Role]; !known {
			fault("truths[%d]: role %q, want prefill, decode or none", i, t.Role)
		}
		if seen[key.String()] {
			fault("truths[%d]: %s is there twice", i, key)
		}
		seen[key.String()], models[t.Model] = true, true
		if err := t.engine(simulation.Limits{MaxNumSeqs: 1, MaxNumBatchedTokens: 1}).Validate(); err != nil {
			fault("truths[%d] (%s): %w", i, key, err)
		}
	}
	for i, s := range c.Servers {
		if s.Model != "" && !models[s.Model] {
			fault("servers[%d]: no truth for model %q", i, s.Model)
		}
	}
	return errors.Join(faults...)
}

// roles of pods.
var roles = map[string]serving.Role{"": serving.Both, jsonspec.RolePrefill: serving.Prefill, jsonspec.RoleDecode: serving.Decode}

type truthKey struct{ model, accelerator, role string }

func (k truthKey) String() string {
	return strings.TrimSpace(k.model + " on " + k.accelerator + " " + k.role)
}

func (t Truth) engine(limits simulation.Limits) simulation.Config {
	return simulation.Config{
		Limits: limits, Cache: t.Cache, StepTime: t.StepTime, RequestOverhead: t.RequestOverhead, NoiseCV: t.NoiseCV, KeepsCaches: t.Role == jsonspec.RolePrefill,
	}
}
