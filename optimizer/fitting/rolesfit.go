package fitting

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// RolesFit is what was learned of one group of servers with roles.
type RolesFit struct {
	Group  Group
	Points int
	// Unsaid is the number of points that were left out because they do not say whether decodes speculate.
	Unsaid     int
	Covariance [][]float64
	Unseen     []string
	Residuals  []Residual
	Guessed    bool

	hardware    hardware
	at          roleTheta
	calibration rolesCalibration
}

// FitRoles fits every group of points with roles, in the order of their keys; fits are those of replicas of the same pairs, from which they begin. The error
// joins those of all groups.
func (k Knowledge) FitRoles(points *Points, fits []*Fit, o Options) ([]*RolesFit, error) {
	var replicas []jsonspec.PerformanceEntry
	for _, f := range fits {
		replicas = append(replicas, f.Performance())
	}
	var all []*RolesFit
	var faults []error
	for _, group := range points.Groups(func(p Point) bool { return p.Roles != nil && (p.Clients > 0 || o.OpenLoop) }) {
		f, err := k.fitRoles(group, replicas)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", group[0].Group.Key(), err))
			continue
		}
		all = append(all, f)
	}
	return all, errors.Join(faults...)
}

func (k Knowledge) fitRoles(points []Point, replicas []jsonspec.PerformanceEntry) (*RolesFit, error) {
	h, err := k.hardwareOf(points[0].Group)
	if err != nil {
		return nil, err
	}
	f := &RolesFit{Group: points[0].Group, hardware: h, Guessed: h.vague > 0}
	var used []Point
	var faults []error
	for _, p := range points {
		if err := h.allows(p); err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", p.Line, err))
		}
		if p.Roles.Unsaid {
			f.Unsaid++
		} else {
			used = append(used, p)
		}
	}
	if len(used) == 0 && len(faults) == 0 {
		faults = append(faults, errors.New("no row says whether decodes speculate (column speculative: none or mtp)"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	f.Points = len(used)
	mean, sd := k.Experience.roles(h, &k.Roles)
	if shown := k.shown(replicas, f.Group); len(shown) > 0 {
		mean = mean.with(h.shared(shown, used[len(used)/2].Roles.Decode))
	}
	l := h.rolesForm(&k.Experience, mean, sd)
	x, jac := l.fit(used)
	f.at, f.Covariance = roleTheta(x), covariance(jac)
	for j, name := range l.names {
		if f.Covariance[j][j] > blind*l.sd[j]*l.sd[j] {
			f.Unseen = append(f.Unseen, name)
		}
	}
	expected := l.at(x)
	for _, p := range used {
		itl, ttft := expected(p)
		r := Residual{Line: p.Line, ITL: math.Log(itl / p.ITL), TTFT: math.Log(ttft / p.TTFT)}
		r.Outlier = math.Abs(r.ITL) > outlying*rolesITLNoise || math.Abs(l.skewed(r.TTFT)) > outlying*rolesTTFTNoise
		f.Residuals = append(f.Residuals, r)
	}
	f.calibration = calibrateRoles(used, f.Residuals)
	return f, nil
}

// Errors are the mean relative errors of the law alone on its own points.
func (f *RolesFit) Errors() (itl, ttft float64) { return meanErrors(f.Residuals) }

// Describe lists the factors by which engines differ from what is known of replicas.
func (f *RolesFit) Describe() string {
	var parts []string
	for j, name := range roleMultiplierNames {
		parts = append(parts, fmt.Sprintf("%s=×%.3g", name, math.Exp(f.at[j])))
	}
	return strings.Join(parts, " ")
}

// RolesVersion is the version of what entries of roles mean; it changes with [Experience], beside which they are kept.
//
// Exact: it is a name.
const RolesVersion = 1

// Entry is the fit as model data.
func (f *RolesFit) Entry() jsonspec.RolesEntry {
	c := f.hardware.card
	e := jsonspec.RolesEntry{
		Version: RolesVersion, Match: maps.Clone(f.Group), Architecture: f.hardware.architecture, Guessed: f.Guessed,
		Card:        jsonspec.CardProperties{Name: c.Name, Memory: c.Memory, Bandwidth: c.Bandwidth, Link: c.Link, BF16: c.BF16, FP8: c.FP8, FP4: c.FP4},
		Multipliers: map[string]float64{}, Order: roleMultiplierNames, Covariance: f.Covariance, Reach: f.calibration.reach, Points: f.calibration.points,
	}
	for j, name := range roleMultiplierNames {
		e.Multipliers[name] = f.at[j]
	}
	return e
}

// learnedRoles is an entry as it is used.
type learnedRoles struct {
	hardware
	at          roleTheta
	calibration rolesCalibration
}

// loadRoles reads what Entry wrote. The error joins every fault.
func loadRoles(e jsonspec.RolesEntry) (learnedRoles, error) {
	c := e.Card
	l := learnedRoles{
		hardware: hardware{
			architecture: e.Architecture, precision: Precision(e.Match["precision"]), engine: e.Match["engine"],
			card: Accelerator{Name: c.Name, Memory: c.Memory, Bandwidth: c.Bandwidth, Link: c.Link, BF16: c.BF16, FP8: c.FP8, FP4: c.FP4},
		},
		calibration: rolesCalibration{reach: e.Reach, points: e.Points},
	}
	if e.Guessed {
		l.vague = guess
	}
	var faults []error
	if e.Version != RolesVersion {
		faults = append(faults, fmt.Errorf("version: %d is not the known version %d: fit again", e.Version, RolesVersion))
	}
	if !(c.Memory > 0 && c.Bandwidth > 0 && c.BF16 > 0) {
		faults = append(faults, fmt.Errorf("card: memory %v, bandwidth %v and bf16 %v must be above 0", c.Memory, c.Bandwidth, c.BF16))
	}
	if a := e.Architecture; a.NumHiddenLayers < 1 || a.HiddenSize < 1 || a.NumAttentionHeads < 1 {
		faults = append(faults, errors.New("architecture: num_hidden_layers, hidden_size and num_attention_heads must be at least 1"))
	}
	known := map[string]bool{}
	for j, name := range roleMultiplierNames {
		known[name] = true
		v, ok := e.Multipliers[name]
		if !ok || !(math.Abs(v) < farthest) {
			faults = append(faults, fmt.Errorf("multipliers: %s: %v must be given, within ± %v", name, v, float64(farthest)))
		}
		l.at[j] = v
	}
	for _, name := range slices.Sorted(maps.Keys(e.Multipliers)) {
		if !known[name] {
			faults = append(faults, fmt.Errorf("multipliers: %s: is unknown", name))
		}
	}
	for i, p := range e.Points {
		if len(p.At) != len(rolesLengths) {
			faults = append(faults, fmt.Errorf("points[%d]: at: %d coordinates, must be %d", i, len(p.At), len(rolesLengths)))
		}
	}
	return l, errors.Join(faults...)
}

// farthest that the logarithm of a multiplier can be.
//
// Tuned: logarithm; guard against a number that is a mistake
const farthest = 50

// rolesCalibration is what measured points say beyond the law of roles, as [Calibration] does of a replica's.
type rolesCalibration struct {
	reach  float64
	points []jsonspec.RolesPoint
}

// rolesLengths are the factors, as logarithms, over which what the law misses is alike: of clients, prompts, answers, and of workers, cards and ranks of either role.
//
// Tuned: logarithm; measured by ITL and TTFT of other points of disagg.csv, 6.4 and 35.4 %; at half: 6.7, 37.5 %; at twice: 6.4, 35.4 %
var rolesLengths = [...]float64{1, 1, 1.5, 0.3, 0.3, 0.45, 0.3, 0.3, 0.45}

const (
	// rolesITLMiss is how far the law is off in ITL.
	//
	// Tuned: logarithm; measured by ITL and TTFT of other points of disagg.csv, 6.4 and 35.4 %; at half: 6.8, 35.4 %; at twice: 6.4, 35.4 %
	rolesITLMiss = 0.1
	// lasting is the share of a TTFT that is longer than expected which is expected of the next.
	//
	// Tuned: share; measured by ITL and TTFT of other points of disagg.csv, 6.4 and 35.4 %; at half: 6.4, 39.5 %; at twice: 6.4, 35.3 %, the median group 37.5 in the place of 34.6 %
	lasting = 0.5
	// rolesITLPointNoise is how far a measured ITL is.
	//
	// Tuned: logarithm; measured by ITL and TTFT of other points of disagg.csv, 6.4 and 35.4 %; at half: 6.3, 35.4 %; at twice: 6.5, 35.4 %
	rolesITLPointNoise = 0.03
)

// coordinates of a point in units of those lengths.
func coordinates(p Point) []float64 {
	r := p.Roles
	all := []float64{p.Clients, 1 + p.Requests.InputTokens, p.Requests.OutputTokens}
	for _, role := range []Role{r.Prefill, r.Decode} {
		all = append(all, float64(role.Workers), float64(role.cards()), float64(role.Data))
	}
	for i := range all {
		all[i] = math.Log(all[i]) / rolesLengths[i]
	}
	return all
}

// alike is the correlation of what the law misses at two points.
func alike(a, b []float64, reach float64) float64 {
	d := 0.0
	for i := range a {
		d += square(a[i] - b[i])
	}
	return math.Exp(-d / (2 * reach * reach))
}

// calibrateRoles by the points of closed loops without speculation, of which there are most.
func calibrateRoles(points []Point, residuals []Residual) rolesCalibration {
	var c rolesCalibration
	var itl, ttft []float64
	for i, p := range points {
		if p.Clients > 0 {
			c.points = append(c.points, jsonspec.RolesPoint{At: coordinates(p)})
			longer := -residuals[i].TTFT
			if longer > 0 {
				longer *= lasting
			}
			itl, ttft = append(itl, -residuals[i].ITL), append(ttft, longer)
		}
	}
	if len(c.points) == 0 {
		return c
	}
	likeness := func(reach float64) *mat.SymDense {
		k := mat.NewSymDense(len(c.points), nil)
		for i := range c.points {
			for j := i; j < len(c.points); j++ {
				k.SetSym(i, j, alike(c.points[i].At, c.points[j].At, reach))
			}
		}
		return k
	}
	weights, _ := process(likeness(1), itl, rolesITLMiss, rolesITLPointNoise)
	for i, w := range weights {
		c.points[i].ITL = w
	}
	weights, c.reach = adaptive(likeness, ttft)
	for i, w := range weights {
		c.points[i].TTFT = w
	}
	return c
}

// correct returns the factors by which to multiply the law's ITL and TTFT at a point.
func (c rolesCalibration) correct(p Point) (itl, ttft float64) {
	at := coordinates(p)
	for _, q := range c.points {
		itl += q.ITL * alike(q.At, at, 1)
		ttft += q.TTFT * alike(q.At, at, math.Max(c.reach, 1e-3))
	}
	return math.Exp(itl), math.Exp(ttft)
}
