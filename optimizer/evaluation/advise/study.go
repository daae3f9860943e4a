package advise

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/sizing"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// Question is what is known of a time that has passed.
type Question struct {
	Servers []Server
	// Past are the measurements at each multiple of the Window, oldest first.
	Past   []observe.MetricsAt
	Window time.Duration
	// Targets of servers whose class has none of its own, in seconds, and the Classes that have, the most important first.
	Targets   sizing.Targets
	Classes   []Class
	Prices    catalogue.Prices
	Knowledge fitting.Knowledge
}

// Class of servers with targets of its own.
type Class struct {
	Name    string
	Targets sizing.Targets
}

// class of a server: the one that it names where that has targets, else the one of all others.
func (q *Question) class(s *Server) Class {
	for _, c := range q.Classes {
		if c.Name == s.Class {
			return c
		}
	}
	return Class{className, q.Targets}
}

// Moment is the load of a server at a time. A NaN was not measured.
type Moment struct {
	Time time.Time
	// Rate of arrivals in requests per second, CV of the times between them, lengths in tokens.
	Rate, CV, InputTokens, OutputTokens float64
	// InputCV and OutputCV are coefficients of variation of the lengths.
	InputCV, OutputCV float64
	// Ready replicas.
	Ready int
	// Attainment is the share of requests within both targets, where buckets tell it.
	Attainment float64
}

// History of a server.
type History struct {
	*Server
	Moments []Moment
	// Unknown says how many moments are without a load, by reason.
	Unknown map[string]int
}

// Fit is what was learned of a model on an accelerator.
type Fit struct {
	Model       string `json:"model"`
	Accelerator string `json:"accelerator"`
	Cards       int    `json:"cards"`
	// Observations that it was learned from, and Checked the later ones that its errors are of.
	Observations int `json:"observations"`
	Checked      int `json:"checked"`
	// ITLChecked and TTFTChecked are how many of those tell of the law at all. In the others requests waited for a place in the batch or the cache, or were
	// preempted and computed anew: what was measured there is a queue, which no law of iterations predicts. Or nothing that makes sense was measured.
	ITLChecked  int `json:"itlChecked"`
	TTFTChecked int `json:"ttftChecked"`
	// ITLError and TTFTError are the medians of the relative errors of predictions for what was not learned from, absent where none was measured.
	ITLError  *float64 `json:"itlError,omitempty"`
	TTFTError *float64 `json:"ttftError,omitempty"`
	// From says what the prior rests on.
	From string `json:"from"`
	// ITL and TTFT are what the errors are of, in order of time; of many some, evenly.
	ITL  []Check `json:"itl,omitempty"`
	TTFT []Check `json:"ttft,omitempty"`

	// Performance that was learned, as a Model says it.
	Performance jsonspec.Performance `json:"performance"`
	// prefixHitRate is the median share of prompt tokens that were found in the prefix cache, 0 to 1.
	prefixHitRate float64
}

// Check is a latency that was not learned from, and what was predicted of it, in seconds, above 0.
type Check struct {
	Measured  float64 `json:"measured"`
	Predicted float64 `json:"predicted"`
}

// Studied is what came of a question, before it is played again.
type Studied struct {
	Histories []History
	Fits      []Fit
	system    *jsonspec.System
}

// learnedShare of the time is learned from, the rest checks.
//
// Tuned: share; guard against a fit that is checked by what it was made of: the last quarter of a day holds hours of each load
const learnedShare = 0.75

// className is the class that servers are taken to be of whose own has no targets.
const className = "advised"

// Study makes the load anew and fits the laws. The error joins every fault of the question.
func Study(q *Question) (*Studied, error) {
	if err := q.validate(); err != nil {
		return nil, err
	}
	s := &Studied{system: q.System()}
	resources, err := specification.ToResources(s.system, "")
	if err != nil {
		return nil, err
	}
	for i := range q.Servers {
		s.Histories = append(s.Histories, History{Server: &q.Servers[i], Unknown: map[string]int{}})
	}
	lessons := map[control.Pair][]estimation.Observation{}
	caches := map[control.Pair]float64{}
	hits := map[control.Pair][]float64{}
	since := map[types.NamespacedName]time.Time{}
	for i := range q.Past {
		o := observe.Observe(q.readings(&q.Past[i], resources, since))
		s.note(&q.Past[i], &o.Snapshot.System)
		core := o.Snapshot.Core()
		for pair, seen := range control.Observations(core) {
			pair.Namespace = ""
			lessons[pair] = append(lessons[pair], seen...)
		}
		for k := range core.Servers {
			if seen := core.Servers[k].Seen; seen != nil {
				for _, g := range seen.Groups {
					pair := control.Pair{Model: core.Servers[k].Model, Accelerator: g.Accelerator}
					if v := g.KVTokens.Or(0); v >= 1 {
						caches[pair] = v
					}
					if v := g.PrefixHitRate.OrNaN(); v >= 0 && v < 1 {
						hits[pair] = append(hits[pair], v)
					}
				}
			}
		}
	}
	err = s.fit(q, lessons, caches)
	for i := range s.Fits {
		if typical := median(hits[control.Pair{Model: s.Fits[i].Model, Accelerator: s.Fits[i].Accelerator}]); typical != nil {
			s.Fits[i].prefixHitRate = *typical
		}
	}
	return s, err
}

func (q *Question) validate() error {
	var faults []error
	if len(q.Servers) == 0 {
		faults = append(faults, errors.New("servers: there are none"))
	}
	if len(q.Past) == 0 {
		faults = append(faults, errors.New("past: nothing was measured"))
	}
	for _, c := range append(slices.Clone(q.Classes), Class{className, q.Targets}) {
		if !(c.Targets.TTFT > 0) || !(c.Targets.ITL > 0) {
			faults = append(faults, fmt.Errorf("class %s: ttft, itl: %v and %v s are not allowed, must be above 0", c.Name, c.Targets.TTFT, c.Targets.ITL))
		}
		faults = append(faults, c.Targets.Validate())
	}
	for i := range q.Servers {
		if _, priced := q.Prices.Find(q.Servers[i].Accelerator); !priced {
			faults = append(faults, fmt.Errorf("price: %s, which %s runs on, has none", q.Servers[i].Accelerator, q.Servers[i].ID()))
		}
	}
	return errors.Join(faults...)
}

// ModelName of a server: models that are loaded in another precision or on other numbers of cards are others.
func ModelName(s *Server) string {
	return fmt.Sprintf("%s %s ×%d", s.Serves.Name(), s.Serves.Precision.Value, s.Cards)
}

// System that inferno would be told: what is found, prices and targets, no law.
func (q *Question) System() *jsonspec.System {
	s := new(jsonspec.System)
	types, models := map[string]bool{}, map[string]bool{}
	for i, c := range append(slices.Clone(q.Classes), Class{className, q.Targets}) { // the order is that of importance
		s.ServiceClasses.Spec = append(s.ServiceClasses.Spec, jsonspec.ServiceClassEntry{Name: c.Name, ServiceClassSpec: jsonspec.ServiceClassSpec{Priority: i + 1}})
	}
	for i := range q.Servers {
		server := &q.Servers[i]
		if typ := server.Accelerator; !types[typ] {
			types[typ] = true
			price, _ := q.Prices.Find(typ)
			properties := jsonspec.AcceleratorProperties{Type: typ, Cost: price.CentsPerHour}
			s.Accelerators.Spec = append(s.Accelerators.Spec, jsonspec.AcceleratorEntry{Name: typ, AcceleratorSpec: jsonspec.AcceleratorSpec{AcceleratorProperties: properties}})
		}
		model := ModelName(server)
		if !models[model] {
			models[model] = true
			s.Models.Info = append(s.Models.Info, jsonspec.ModelInfo{Name: model, ModelProperties: jsonspec.ModelProperties{ServedName: server.Serves.Name()}})
		}
		class := q.class(server)
		entered := &s.ServiceClasses.Spec[slices.IndexFunc(s.ServiceClasses.Spec, func(e jsonspec.ServiceClassEntry) bool { return e.Name == class.Name })]
		if t := class.Targets; !slices.ContainsFunc(entered.ModelTargets, func(m jsonspec.ModelTarget) bool { return m.Model == model }) {
			entered.ModelTargets = append(entered.ModelTargets, jsonspec.ModelTarget{Model: model, TTFT: jsonspec.Milliseconds(t.TTFT), ITL: jsonspec.Milliseconds(t.ITL), Percentile: t.Percentile})
		}
		if !slices.ContainsFunc(s.Models.Spec, func(p jsonspec.PerformanceEntry) bool { return p.Name == model && p.Acc == server.Accelerator }) {
			s.Models.Spec = append(s.Models.Spec, jsonspec.PerformanceEntry{Name: model, Performance: jsonspec.Performance{
				Acc: server.Accelerator, AccCount: server.Cards,
				Match: server.Serves.Match(),
			}})
		}
		entry := jsonspec.ServerEntry{Name: server.Name, Namespace: server.Namespace, Class: class.Name, Model: model, MinNumReplicas: 1}
		entry.ScaleTargetRef = &jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: server.Kind, Name: server.Name}
		s.Servers.Spec = append(s.Servers.Spec, entry)
	}
	s.ServiceClasses.Spec = slices.DeleteFunc(s.ServiceClasses.Spec, func(c jsonspec.ServiceClassEntry) bool { return len(c.ModelTargets) == 0 })
	return s
}

// readings as the loop would have had them: pods are those that Prometheus had samples of, ready since it had the first.
func (q *Question) readings(at *observe.MetricsAt, resources specification.Resources, since map[types.NamespacedName]time.Time) *observe.Readings {
	r := &observe.Readings{
		Now: at.Time, Window: q.Window, StaleAfter: q.Window, Resources: resources, Metrics: at.Metrics, Departed: map[types.NamespacedName]observe.Workload{},
	}
	for typ := range carriers(q.Servers) {
		r.Nodes = append(r.Nodes, carrier(typ))
	}
	for _, key := range slices.SortedFunc(maps.Keys(at.Metrics), func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) }) {
		s := q.owner(key)
		if s == nil {
			continue
		}
		if !at.Metrics.Fresh(key, q.Window) {
			r.Departed[key] = observe.Workload{Server: types.NamespacedName{Namespace: s.Namespace, Name: s.Name}}
			continue
		}
		if _, known := since[key]; !known {
			since[key] = at.Time
		}
		r.Pods = append(r.Pods, s.pod(key, since[key]))
	}
	return r
}

// owner of a pod: of servers whose names begin alike the one with the longest.
func (q *Question) owner(pod types.NamespacedName) *Server {
	var found *Server
	for i := range q.Servers {
		s := &q.Servers[i]
		if s.Namespace == pod.Namespace && s.pods.MatchString(pod.Name) && (found == nil || len(s.Name) > len(found.Name)) {
			found = s
		}
	}
	return found
}

func carriers(servers []Server) map[string]bool {
	types := map[string]bool{}
	for i := range servers {
		types[servers[i].Accelerator] = true
	}
	return types
}

// carrier is a node with cards of a type.
func carrier(typ string) corev1.Node {
	e, _ := catalogue.Lookup(typ)
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: typ, Labels: map[string]string{catalogue.ProductLabels(e.ResourceName)[0]: e.ProductNames[0]}}}
	n.Status.Allocatable = corev1.ResourceList{corev1.ResourceName(e.ResourceName): *resource.NewQuantity(1<<20, resource.DecimalSI)}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	return n
}

// pod of a server as it was.
func (s *Server) pod(key types.NamespacedName, since time.Time) corev1.Pod {
	e, _ := catalogue.Lookup(s.Accelerator)
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: key.Namespace, Name: key.Name, UID: types.UID(key.String()), Labels: map[string]string{v1alpha1.ServerLabel: s.Name}, Annotations: map[string]string{},
		CreationTimestamp: metav1.NewTime(since),
	}}
	for annotation, fact := range map[string]int{v1alpha1.MaxNumSeqsAnnotation: s.Serves.MaxNumSeqs.Value, v1alpha1.MaxNumBatchedTokensAnnotation: s.Serves.MaxNumBatchedTokens.Value} {
		if fact > 0 {
			p.Annotations[annotation] = strconv.Itoa(fact)
		}
	}
	cards := corev1.ResourceList{corev1.ResourceName(e.ResourceName): *resource.NewQuantity(int64(s.Cards), resource.DecimalSI)}
	p.Spec = corev1.PodSpec{NodeName: s.Accelerator, Containers: []corev1.Container{{Name: s.Serves.Container, Resources: corev1.ResourceRequirements{Requests: cards, Limits: cards}}}}
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(since)}}}
	return p
}

// note what was seen of each server at a time.
func (s *Studied) note(at *observe.MetricsAt, seen *jsonspec.System) {
	for i := range seen.Servers.Spec {
		e := &seen.Servers.Spec[i]
		k := slices.IndexFunc(s.Histories, func(h History) bool {
			return h.Namespace == e.Namespace && (h.Name == e.Name || h.ID() == e.Name)
		})
		if k < 0 {
			continue
		}
		nan := math.NaN()
		m := Moment{Time: at.Time, Rate: nan, CV: nan, InputTokens: nan, OutputTokens: nan, InputCV: nan, OutputCV: nan, Attainment: nan}
		for _, p := range e.Observation.Parts {
			m.Ready += p.Ready
		}
		if e.CurrentAlloc != nil && e.CurrentAlloc.Load != nil {
			l := e.CurrentAlloc.Load
			m.Rate = jsonspec.PerSecond(l.ArrivalRate)
			if l.AvgOutTokens > 0 {
				m.InputTokens, m.OutputTokens = l.AvgInTokens, l.AvgOutTokens
			}
		} else {
			s.Histories[k].Unknown[cmp.Or(e.Observation.Fault, "NoLoad")]++
		}
		if e.Observation.ArrivalCV != nil {
			m.CV = *e.Observation.ArrivalCV
		}
		for _, g := range e.Observation.Groups { // of which there is one while limits do not change
			if g.InputTokensSD != nil && g.OutputTokensSD != nil && g.InputTokens != nil && g.OutputTokens != nil {
				m.InputCV, m.OutputCV = *g.InputTokensSD / *g.InputTokens, *g.OutputTokensSD / *g.OutputTokens
			}
		}
		if e.Observation.Attainment != nil {
			m.Attainment = *e.Observation.Attainment
		}
		s.Histories[k].Moments = append(s.Histories[k].Moments, m)
	}
}

// fit the law of every pair: from the prior, by the estimator that inferno learns with.
func (s *Studied) fit(q *Question, lessons map[control.Pair][]estimation.Observation, caches map[control.Pair]float64) error {
	estimator, err := estimation.Estimators().New(estimation.Default, nil)
	if err != nil {
		return err
	}
	var faults []error
	for i := range s.system.Models.Spec {
		e := &s.system.Models.Spec[i]
		info := s.system.Models.Info[slices.IndexFunc(s.system.Models.Info, func(m jsonspec.ModelInfo) bool { return m.Name == e.Name })]
		assumed, err := q.Knowledge.Assume(e.Name, info.ModelProperties, e.Acc, jsonspec.AcceleratorProperties{Type: e.Acc}, e.Performance)
		if err != nil && assumed.Law == nil { // what runs fits, whatever is assumed
			faults = append(faults, fmt.Errorf("%s on %s: %w", e.Name, e.Acc, err))
			continue
		}
		pair := control.Pair{Model: e.Name, Accelerator: e.Acc}
		f := Fit{Model: e.Name, Accelerator: e.Acc, Cards: e.Accelerators(), From: assumed.From, Performance: assumed.Performance}
		f.Performance.KVTokens = assumed.KVTokens
		if size := caches[pair]; size >= 1 {
			f.Performance.KVTokens = int(min(size, math.MaxInt32))
		}
		if err := f.learn(estimator, lessons[pair], q.until()); err != nil {
			faults = append(faults, fmt.Errorf("%s on %s: %w", e.Name, e.Acc, err))
		}
		e.Performance = f.Performance
		s.Fits = append(s.Fits, f)
	}
	return errors.Join(faults...)
}

// until when is learned from before the check, in seconds since the Unix epoch.
func (q *Question) until() float64 {
	first, last := q.Past[0].Time, q.Past[len(q.Past)-1].Time
	return float64(first.Unix()) + learnedShare*last.Sub(first).Seconds()
}

// learn from observations. Those after a time check what was learned before it; then they are learned from as well.
func (f *Fit) learn(estimator estimation.Estimator, seen []estimation.Observation, until float64) error {
	given := f.Performance
	var learned *v1alpha1.PairMemory
	var itl, ttft []Check
	checking := (*v1alpha1.PairMemory)(nil)
	for i := range seen {
		one := seen[i : i+1]
		if seen[i].Time > until {
			if checking == nil {
				checking = learned
			}
			check, err := estimator.Estimate(given, checking, one)
			if err != nil {
				return err
			}
			for _, j := range check.Judgements {
				itl, ttft = within(itl, j.PredictedITL, j.InnovationITL), within(ttft, j.PredictedTTFT, j.InnovationTTFT)
			}
			f.Checked++
		} else {
			f.Observations++
		}
		next, err := estimator.Estimate(given, learned, one)
		if err != nil {
			return err
		}
		learned, f.Performance = next.Learned, next.Performance
	}
	f.ITLError, f.TTFTError = median(relative(itl)), median(relative(ttft))
	f.ITLChecked, f.TTFTChecked = len(itl), len(ttft)
	f.ITL, f.TTFT = some(itl), some(ttft)
	return nil
}

// within adds a prediction and what was measured, which is so much above it as a logarithm, where the estimator has both: it has none of a latency that it
// would not learn from, whatever it was, for it is not the law's. What only surprises it counts.
func within(checks []Check, predicted, innovation float64) []Check {
	measured := predicted * math.Exp(innovation)
	if measured > 0 && predicted > 0 && predicted/measured < math.Inf(1) {
		return append(checks, Check{measured, predicted})
	}
	return checks
}

// relative errors.
func relative(checks []Check) []float64 {
	var errors []float64
	for _, c := range checks {
		errors = append(errors, math.Abs(c.Predicted/c.Measured-1))
	}
	return errors
}

// some of many checks, evenly.
func some(checks []Check) []Check {
	const most = 200 // that a picture of them can show
	if len(checks) <= most {
		return checks
	}
	few := make([]Check, most)
	for i := range few {
		few[i] = checks[i*len(checks)/most]
	}
	return few
}

func median(x []float64) *float64 {
	if len(x) == 0 {
		return nil
	}
	slices.Sort(x)
	return &x[len(x)/2]
}
