package specification

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// SaturationPolicies that a specification may name.
var saturationPolicies = []string{
	jsonspec.SaturationNone, jsonspec.SaturationPriorityExhaustive, jsonspec.SaturationPriorityRoundRobin, jsonspec.SaturationRoundRobin,
}

var routings = []string{jsonspec.RoutingRoundRobin, jsonspec.RoutingLeastRequest, jsonspec.RoutingWeighted}

// Validate checks the values of a system. The error joins every fault; each names the field, the value and what is allowed. Warnings are
// things that are probably not meant but harm nobody, such as capacity of a type that no accelerator has. A server that names a model or a
// class that does not exist is neither: it is that server's own trouble, and the plan says so.
func Validate(s *jsonspec.System) (warnings []string, err error) { return validate(s, nil) }

// validate all but what could not be read, which is named as in servers[3], in lower case.
func validate(s *jsonspec.System, unread map[string]bool) (warnings []string, err error) {
	v := &validator{unread: unread}
	types := v.accelerators(s.Accelerators.Spec)
	v.models(s)
	v.classes(s.ServiceClasses.Spec)
	v.servers(s)
	v.capacity(s.Capacity.Count, types)
	v.nodes(s.Capacity.Nodes, types)
	v.elastic(s, types)
	if c := s.Capacity; len(c.Count)+len(c.Nodes)+len(c.Elastic) == 0 && !s.Optimizer.Spec.Unlimited && len(s.Servers.Spec) > 0 {
		v.warn("capacity", "is missing, so that nothing can be served; optimizer.unlimited plans without limits")
	}
	if !unread["optimizer"] {
		v.optimizer(&s.Optimizer.Spec)
		v.energy(s)
		v.shares(s, types)
	}
	return v.warnings, errors.Join(v.faults...)
}

type validator struct {
	unread   map[string]bool
	faults   []error
	warnings []string
}

func (v *validator) fault(path, format string, args ...any) {
	v.faults = append(v.faults, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
}

func (v *validator) warn(path, format string, args ...any) {
	v.warnings = append(v.warnings, path+": "+fmt.Sprintf(format, args...))
}

// read is whether entry i of a list could be read.
func (v *validator) read(list string, i int) bool { return !v.unread[fmt.Sprintf("%s[%d]", list, i)] }

// number is a value with the range it must lie in.
type number struct {
	field    string
	value    float64
	low, top float64
}

// atLeast makes a number that must be finite and not below low.
func atLeast[T int | float64](field string, value T, low float64) number {
	return number{field, float64(value), low, math.MaxFloat64}
}

func (v *validator) numbers(path string, ns ...number) {
	for _, n := range ns {
		switch {
		case n.value >= n.low && n.value <= n.top:
		case n.top == math.MaxFloat64:
			v.fault(path+"."+n.field, "%v is not allowed, must be a finite number of at least %v", n.value, n.low)
		default:
			v.fault(path+"."+n.field, "%v is not allowed, must be from %v to %v", n.value, n.low, n.top)
		}
	}
}

func (v *validator) oneOf(path, value string, allowed []string) {
	if value != "" && !slices.Contains(allowed, value) {
		v.fault(path, "%q is not allowed, must be one of %s", value, strings.Join(allowed, ", "))
	}
}

// unique reports a name that is empty or was seen before.
func (v *validator) unique(path, name string, seen map[string]bool) {
	switch {
	case name == "":
		v.fault(path, "is missing")
	case seen[name]:
		v.fault(path, "%q is given twice", name)
	}
	seen[name] = true
}

func (v *validator) accelerators(list []jsonspec.AcceleratorEntry) (types map[string]bool) {
	types = map[string]bool{}
	seen := map[string]bool{}
	for i, a := range list {
		if !v.read("accelerators", i) {
			continue
		}
		path := fmt.Sprintf("accelerators[%d]", i)
		v.unique(path+".name", a.Name, seen)
		if a.Name != "" {
			path = fmt.Sprintf("accelerators[%s]", a.Name)
		}
		v.numbers(path,
			atLeast("multiplicity", a.Multiplicity, 0), atLeast("memSize", a.MemSize, 0), atLeast("memBW", a.MemBW, 0), atLeast("cost", a.Cost, 0),
			atLeast("power.idle", a.Power.Idle, 0), atLeast("power.full", a.Power.Full, 0), atLeast("power.midPower", a.Power.MidPower, 0),
			number{"power.midUtil", a.Power.MidUtil, 0, 1}, number{"interruptionsPerHour", a.InterruptionsPerHour, 0, 60})
		types[a.CardType(a.Name)] = true
	}
	return types
}

func (v *validator) models(s *jsonspec.System) {
	known := map[string]bool{}
	for _, a := range s.Accelerators.Spec {
		known[a.Name] = true
	}
	architectures := map[string]*jsonspec.Architecture{}
	for _, m := range s.Models.Info {
		architectures[m.Name] = m.Architecture
	}
	seen := map[[3]string]bool{}
	for i, m := range s.Models.Spec {
		if !v.read("models", i) {
			continue
		}
		path := fmt.Sprintf("models[%d]", i)
		if m.Name == "" {
			v.fault(path+".name", "is missing")
		}
		if m.Acc == "" {
			v.fault(path+".acc", "is missing")
		}
		if m.Name != "" && m.Acc != "" {
			path = fmt.Sprintf("models[%s on %s]", m.Name, m.Acc)
			if m.Way() != "" {
				path = fmt.Sprintf("models[%s on %s as %s]", m.Name, m.Acc, m.Way())
			}
			if way := [3]string{m.Name, m.Acc, m.Way()}; seen[way] {
				v.fault(path, "is given twice; entries of a model on one accelerator differ by variant or role")
			} else {
				seen[way] = true
			}
			if !known[m.Acc] {
				v.warn(path+".acc", "%q is not an accelerator of this system; the entry is not used", m.Acc)
			}
		}
		v.performance(path, &m.Performance)
		v.degrees(path, &m.Performance, architectures[m.Name])
	}
	v.partners(s.Models.Spec)
	v.domains(s)
}

// domains that the pods of a replica need must be large enough to hold them, of what is given.
func (v *validator) domains(s *jsonspec.System) {
	of := map[string]*jsonspec.AcceleratorEntry{}
	for i := range s.Accelerators.Spec {
		of[s.Accelerators.Spec[i].Name] = &s.Accelerators.Spec[i]
	}
	for i := range s.Models.Spec {
		m := &s.Models.Spec[i]
		a := of[m.Acc]
		if a == nil || m.Domain() == "" || m.Accelerators()%m.Pods() != 0 {
			continue
		}
		kind, cards := a.CardType(a.Name), m.Accelerators()/m.Pods()*a.Cards()
		places, most, nodes := map[string]int{}, 0, 0
		for _, n := range s.Capacity.Nodes {
			if n.Type != kind {
				continue
			}
			nodes++
			if name := n.Domains[m.Domain()]; name != "" {
				places[name] += n.Free / cards
				most = max(most, places[name])
			}
		}
		bought := slices.ContainsFunc(s.Capacity.Elastic, func(e jsonspec.ElasticCapacity) bool {
			return e.Type == kind && e.NodeSelector[m.Domain()] != ""
		})
		path := fmt.Sprintf("models[%s on %s].topologyKey", m.Name, m.On())
		switch {
		case nodes == 0 && !bought:
			v.warn(path, "%q binds nothing: no nodes of type %q are given, and replicas are placed on any cards", m.TopologyKey, kind)
		case most < m.Pods() && !bought:
			v.warn(path, "the %d pods of a replica, each with %d cards, fit into no domain by %q: the largest of %d holds %d; the entry is not used", m.Pods(), cards, m.TopologyKey, len(places), most)
		}
	}
}

// variantName is what variants may be named.
var variantName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)

// way that an entry runs its model in.
func (v *validator) way(path string, p *jsonspec.Performance) {
	if p.Variant != "" && !variantName.MatchString(p.Variant) {
		v.fault(path+".variant", "%q is not allowed, must be of lower-case letters, digits, - and ., and begin and end with a letter or digit", p.Variant)
	}
	v.oneOf(path+".role", p.Role, []string{jsonspec.RolePrefill, jsonspec.RoleDecode})
	v.numbers(path, atLeast("podsPerReplica", p.PodsPerReplica, 0), atLeast("ranks", p.Ranks, 0))
	if pods := p.Pods(); pods > 0 && p.Accelerators()%pods != 0 {
		v.fault(path+".podsPerReplica", "%d pods cannot have %d accelerators between them evenly; possible are %s", pods, p.Accelerators(), divisors(p.Accelerators()))
	}
	if p.TopologyKey != "" {
		for _, why := range validation.IsQualifiedName(p.TopologyKey) {
			v.fault(path+".topologyKey", "%q is no key of a node label: %s", p.TopologyKey, why)
		}
		if p.Pods() == 1 {
			v.fault(path+".topologyKey", "%q is not allowed where a replica is one pod; podsPerReplica must be above 1", p.TopologyKey)
		}
	}
	if p.Role == "" && p.Ranks > 0 {
		v.fault(path+".ranks", "%d is not allowed without a role", p.Ranks)
	}
	if n := p.TokensPerIteration; n != 0 && (p.Role != jsonspec.RoleDecode || !(n >= 1) || math.IsInf(n, 0)) {
		v.fault(path+".tokensPerIteration", "%v is not allowed, must be a finite number of at least 1, of the role decode", n)
	}
	if p.Role == "" && p.Transfer != nil {
		v.fault(path+".transfer", "is not allowed without a role: nothing is transferred")
	}
	if t := p.Transfer; t != nil {
		v.numbers(path+".transfer", atLeast("delay", t.Delay, 0), atLeast("bytesPerToken", t.BytesPerToken, 0))
		if !(t.Bandwidth > 0) || math.IsInf(t.Bandwidth, 0) {
			v.fault(path+".transfer.bandwidth", "%v is not allowed, must be a finite number above 0", t.Bandwidth)
		}
	}
}

// degrees of parallelism that an entry says it was measured with must divide what they share out. Stages need not have as many layers each, but one.
func (v *validator) degrees(path string, p *jsonspec.Performance, a *jsonspec.Architecture) {
	if a == nil {
		return
	}
	const pipeline = "pipeline_parallel"
	if n, err := strconv.Atoi(p.Match[pipeline]); err == nil && a.NumHiddenLayers > 0 && n > a.NumHiddenLayers {
		v.fault(fmt.Sprintf("%s.match.%s", path, pipeline), "%d stages are more than the %d layers of the model", n, a.NumHiddenLayers)
	}
	for _, d := range []struct {
		column, what string
		of           int
	}{
		{"tensor_parallel", "attention heads", a.NumAttentionHeads},
		{"expert_parallel", "experts", a.Experts()},
	} {
		text, given := p.Match[d.column]
		if n, err := strconv.Atoi(text); given && err == nil && n > 0 && d.of > 0 && d.of%n != 0 {
			v.fault(fmt.Sprintf("%s.match.%s", path, d.column), "%d does not divide the %d %s of the model; possible are %s", n, d.of, d.what, divisors(d.of))
		}
	}
}

// divisors of a number, for a message.
func divisors(n int) string {
	var list []string
	for d := 1; d <= n; d++ {
		if n%d == 0 {
			list = append(list, strconv.Itoa(d))
		}
	}
	return strings.Join(list, ", ")
}

// onlyApart says that all entries of a model have a role.
func onlyApart(s *jsonspec.System, model string) bool {
	apart := false
	for i := range s.Models.Spec {
		if p := &s.Models.Spec[i]; p.Name == model {
			if p.Role == "" {
				return false
			}
			apart = true
		}
	}
	return apart
}

// partners of roles: a prefill without a decode serves nobody, nor the other way round.
func (v *validator) partners(list []jsonspec.PerformanceEntry) {
	roles := map[string]map[string]bool{}
	for i := range list {
		p := &list[i]
		if roles[p.Name] == nil {
			roles[p.Name] = map[string]bool{}
		}
		roles[p.Name][p.Role] = true
	}
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		has := roles[name]
		for _, pair := range [][2]string{{jsonspec.RolePrefill, jsonspec.RoleDecode}, {jsonspec.RoleDecode, jsonspec.RolePrefill}} {
			if has[pair[0]] && !has[pair[1]] {
				v.fault(fmt.Sprintf("models[%s]", name), "has entries with the role %s and none with the role %s, without which they serve nobody", pair[0], pair[1])
			}
		}
	}
}

func (v *validator) performance(path string, p *jsonspec.Performance) {
	v.way(path, p)
	v.numbers(path, atLeast("accCount", p.AccCount, 0), atLeast("maxBatchSize", p.MaxBatchSize, 0), atLeast("atTokens", p.AtTokens, 0),
		atLeast("kvTokens", p.KVTokens, 0))
	if w := p.PerfParms; w != nil {
		v.numbers(path+".perfParms", atLeast("alpha", w.Alpha, 0), atLeast("beta", w.Beta, 0), atLeast("gamma", w.Gamma, 0))
	}
	if d := p.DecodeParms; d != nil {
		v.numbers(path+".decodeParms", atLeast("alpha", d.Alpha, 0), atLeast("beta", d.Beta, 0))
	}
	if f := p.PrefillParms; f != nil {
		v.numbers(path+".prefillParms", atLeast("gamma", f.Gamma, 0), atLeast("delta", f.Delta, 0))
	}
	if (p.DecodeParms == nil) != (p.PrefillParms == nil) {
		v.fault(path, "decodeParms and prefillParms are given together or not at all")
	}
	if p.PerfParms != nil && p.DecodeParms != nil {
		v.fault(path, "perfParms and decodeParms are parameters of different laws, give one of them")
	}
}

func (v *validator) classes(list []jsonspec.ServiceClassEntry) {
	seen := map[string]bool{}
	for i, c := range list {
		if !v.read("serviceclasses", i) {
			continue
		}
		path := fmt.Sprintf("serviceClasses[%d]", i)
		v.unique(path+".name", c.Name, seen)
		if c.Name != "" {
			path = fmt.Sprintf("serviceClasses[%s]", c.Name)
		}
		v.numbers(path, number{"priority", float64(c.Priority), 1, 100})
		v.quantile(path, c.ForecastQuantile)
		if x := c.ViolationCost; x != nil && (!(*x > 0) || math.IsInf(*x, 0)) {
			v.fault(path+".violationCost", "%v is not allowed, must be a finite number above 0", *x)
		}
		for j, precision := range c.Precisions {
			if precision == "" || slices.Contains(c.Precisions[:j], precision) {
				v.fault(fmt.Sprintf("%s.precisions[%d]", path, j), "%q is empty or given twice", precision)
			}
		}
		if c.ForecastQuantile != nil && c.ViolationCost != nil {
			v.fault(path, "forecastQuantile follows from violationCost; give one of them")
		}
		models := map[string]bool{}
		for j, t := range c.ModelTargets {
			at := fmt.Sprintf("%s.modelTargets[%d]", path, j)
			v.unique(at+".model", t.Model, models)
			v.numbers(at, atLeast("slo-itl", t.ITL, 0), atLeast("slo-ttft", t.TTFT, 0), atLeast("slo-tps", t.TPS, 0))
			if !(t.Percentile >= 0 && t.Percentile < 100) {
				v.fault(at+".slo-percentile", "%v is not allowed, must be at least 0 (the mean) and below 100", t.Percentile)
			}
		}
	}
}

// quantile that loads are forecast with.
func (v *validator) quantile(path string, q *float64) {
	if q != nil && !(*q > 0 && *q < 1) {
		v.fault(path+".forecastQuantile", "%v is not allowed, must be above 0 and below 1", *q)
	}
}

func (v *validator) servers(system *jsonspec.System) {
	seen, accelerators := map[string]bool{}, map[string]bool{}
	for _, a := range system.Accelerators.Spec {
		accelerators[a.Name] = true
	}
	for i, s := range system.Servers.Spec {
		if !v.read("servers", i) {
			continue
		}
		path := fmt.Sprintf("servers[%d]", i)
		v.unique(path+".name", s.Name, seen)
		if s.Name != "" {
			path = fmt.Sprintf("servers[%s]", s.Name)
		}
		if s.Class == "" {
			v.fault(path+".class", "is missing")
		}
		if s.Model == "" {
			v.fault(path+".model", "is missing")
		}
		v.numbers(path, atLeast("minNumReplicas", s.MinNumReplicas, 0), atLeast("maxNumReplicas", s.MaxNumReplicas, 0),
			atLeast("maxBatchSize", s.MaxBatchSize, 0), atLeast("maxBatchedTokens", s.MaxBatchedTokens, 0),
			atLeast("maxQueueSize", s.MaxQueueSize, 0))
		if s.MaxNumReplicas > 0 && s.MaxNumReplicas < s.MinNumReplicas {
			v.fault(path+".maxNumReplicas", "%d is below minNumReplicas %d", s.MaxNumReplicas, s.MinNumReplicas)
		}
		if s.MaxNumReplicas == 1 && onlyApart(system, s.Model) {
			v.fault(path+".maxNumReplicas", "1 is not allowed: model %s has performance data for a prefill and a decode role alone, which are at least 2 replicas", s.Model)
		}
		for _, name := range slices.Sorted(maps.Keys(s.Scopes)) {
			if !accelerators[name] {
				v.fault(path+".scopes", "%q is no accelerator, known are %s", name, strings.Join(slices.Sorted(maps.Keys(accelerators)), ", "))
			}
		}
		v.oneOf(path+".routing", s.Routing, routings)
		v.arrivals(path+".arrivals", s.Arrivals)
		v.allocation(path+".currentAlloc", s.CurrentAlloc)
		v.allocation(path+".desiredAlloc", s.DesiredAlloc)
	}
}

func (v *validator) allocation(path string, a *jsonspec.Allocation) {
	if a == nil {
		return
	}
	v.numbers(path, atLeast("numReplicas", a.NumReplicas, 0), atLeast("ahead", a.Ahead, 0), atLeast("maxBatch", a.MaxBatch, 0), atLeast("cost", a.Cost, 0),
		atLeast("itlAverage", a.ITLAverage, 0), atLeast("ttftAverage", a.TTFTAverage, 0))
	if rate := a.AdmissibleRate; rate != nil {
		v.numbers(path, number{"admissibleRate", *rate, 0, jsonspec.MaxArrivalRate})
	}
	if l := a.Load; l != nil {
		v.numbers(path+".load", number{"arrivalRate", l.ArrivalRate, 0, jsonspec.MaxArrivalRate}, atLeast("throughput", l.Throughput, 0),
			atLeast("avgInTokens", l.AvgInTokens, 0), atLeast("avgOutTokens", l.AvgOutTokens, 0))
	}
}

func (v *validator) capacity(list []jsonspec.AcceleratorCount, types map[string]bool) {
	seen := map[string]bool{}
	for i, c := range list {
		if !v.read("count", i) {
			continue
		}
		path := fmt.Sprintf("capacity.count[%d]", i)
		v.unique(path+".type", c.Type, seen)
		v.numbers(path, atLeast("count", c.Count, 0))
		v.usedType(path, c.Type, types)
	}
}

func (v *validator) nodes(list []jsonspec.NodeCapacity, types map[string]bool) {
	seen := map[string]bool{}
	for i, n := range list {
		if !v.read("nodes", i) {
			continue
		}
		path := fmt.Sprintf("capacity.nodes[%d]", i)
		if n.Name == "" {
			v.fault(path+".name", "is missing")
		} else {
			path = fmt.Sprintf("capacity.nodes[%s]", n.Name)
		}
		if n.Type == "" {
			v.fault(path+".type", "is missing")
		}
		if key := n.Name + "\x00" + n.Type; seen[key] {
			v.fault(path, "is given twice with type %q", n.Type)
		} else {
			seen[key] = true
		}
		v.numbers(path, number{"free", float64(n.Free), 0, maxCards})
		v.usedType(path, n.Type, types)
		for _, scope := range slices.Sorted(maps.Keys(n.Portions)) {
			for k, share := range n.Portions[scope] {
				v.numbers(path, number{fmt.Sprintf("portions[%s][%d]", scope, k), share, 0, 1})
			}
			if !slices.Contains(n.Scopes, scope) {
				v.fault(fmt.Sprintf("%s.portions[%s]", path, scope), "is of a scope that the node does not have: %v", n.Scopes)
			}
		}
		lengths := map[int]bool{}
		for _, list := range n.Portions {
			lengths[len(list)] = true
		}
		if len(lengths) > 1 {
			v.fault(path+".portions", "has lists of different lengths; each scope has one of as many resources")
		}
	}
}

const (
	// maxCards is more than any node or pool has.
	// Tuned: cards; guard against a number of cards that is a mistake
	maxCards = 1 << 20
	// maxPurchases bounds what is bought from a pool, and the cards of a purchase: each is a decision of its own.
	// Tuned: purchases; guard against a number that is a mistake and fills the memory
	maxPurchases = 10_000
)

func (v *validator) elastic(s *jsonspec.System, types map[string]bool) {
	seen := map[string]bool{}
	longest := s.Optimizer.Spec.MaxDelaySeconds
	for i, e := range s.Capacity.Elastic {
		if !v.read("elastic", i) {
			continue
		}
		path := fmt.Sprintf("capacity.elastic[%d]", i)
		v.unique(path+".name", e.Name, seen)
		if e.Name != "" {
			path = fmt.Sprintf("capacity.elastic[%s]", e.Name)
		}
		if e.Type == "" {
			v.fault(path+".type", "is missing")
		}
		v.numbers(path, number{"cards", float64(e.Cards), 1, maxPurchases}, number{"limit", float64(e.Limit), 0, maxPurchases},
			atLeast("price", e.Price, 0), atLeast("delaySeconds", e.DelaySeconds, 0),
			atLeast("deadlineSeconds", e.DeadlineSeconds, 0), number{"arrived", float64(e.Arrived), 0, maxPurchases})
		v.usedType(path, e.Type, types)
		if longest > 0 && e.DelaySeconds > longest {
			v.warn(path+".delaySeconds", "%v is above optimizer.maxDelaySeconds %v; nothing is bought from the pool", e.DelaySeconds, longest)
		}
	}
}

// usedType warns of capacity that nothing can use.
func (v *validator) usedType(path, t string, types map[string]bool) {
	if t != "" && !types[t] {
		v.warn(path+".type", "%q is the type of no accelerator of this system; the capacity is not used", t)
	}
}

func (v *validator) optimizer(o *jsonspec.OptimizerEntry) {
	v.oneOf("optimizer.saturationPolicy", o.SaturationPolicy, saturationPolicies)
	v.oneOf("optimizer.objective", o.Objective, []string{jsonspec.ObjectiveLexicographic, jsonspec.ObjectiveWeightedSum})
	v.oneOf("optimizer.counting", o.Counting, []string{jsonspec.CountingServers, jsonspec.CountingLoad})
	v.numbers("optimizer", atLeast("unservedCost", o.UnservedCost, 0), atLeast("priorityFactor", o.PriorityFactor, 0))
	if o.Objective == jsonspec.ObjectiveWeightedSum && o.UnservedCost == 0 {
		v.fault("optimizer.unservedCost", "0 is not allowed where the objective is %s: nothing would be served", jsonspec.ObjectiveWeightedSum)
	}
	v.numbers("optimizer", number{"confidence", o.Confidence, 0, 0.999})
	v.quantile("optimizer", o.ForecastQuantile)
	v.oneOf("optimizer.probing", o.Probing, []string{jsonspec.ProbingSuggest, jsonspec.ProbingAct})
	v.numbers("optimizer", atLeast("probingCooldownSeconds", o.ProbingCooldownSeconds, 0))
	v.numbers("optimizer", atLeast("maxDelaySeconds", o.MaxDelaySeconds, 0), number{"aheadSeconds", o.AheadSeconds, 0, jsonspec.MaxAheadSeconds})
	if c := o.Change; c != nil {
		v.numbers("optimizer.change", atLeast("startupSeconds", c.StartupSeconds, 0), atLeast("start", c.Start, 0), atLeast("switch", c.Switch, 0))
		if !(c.HorizonSeconds > 0) || math.IsInf(c.HorizonSeconds, 0) {
			v.fault("optimizer.change.horizonSeconds", "%v is not allowed, must be a finite number above 0", c.HorizonSeconds)
		}
	}
	if o.UseCplex {
		v.fault("optimizer.useCplex", "true is not allowed: CPLEX is not supported; the solver \"milp\" uses lp_solve")
	}
}

// energy needs a price, and power curves: an accelerator without one draws nothing.
func (v *validator) energy(s *jsonspec.System) {
	o := &s.Optimizer.Spec
	v.numbers("optimizer", number{"energyShare", o.EnergyShare, 0, 1}, atLeast("centsPerKWh", o.CentsPerKWh, 0))
	if !(o.EnergyShare > 0) {
		return
	}
	if o.CentsPerKWh == 0 {
		v.fault("optimizer.centsPerKWh", "0 is not allowed where energyShare is %v, must be above 0", o.EnergyShare)
	}
	for _, a := range s.Accelerators.Spec {
		if a.Power == (jsonspec.PowerCurve{}) {
			v.warn(fmt.Sprintf("accelerators[%s].power", a.Name), "is missing; its energy costs nothing")
		}
	}
}
