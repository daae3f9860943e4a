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
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Knowledge is what priors are derived from.
type Knowledge struct {
	Architectures Architectures
	Accelerators  Accelerators
	Experience    Experience
	// Roles is the experience with servers whose prompts and decodes run apart.
	Roles RoleExperience
}

// BuiltIn is the knowledge that comes with the program.
func BuiltIn() Knowledge {
	return Knowledge{Architectures: BuiltInArchitectures(), Accelerators: BuiltInAccelerators(), Experience: BuiltInExperience(), Roles: BuiltInRoleExperience()}
}

// UnknownAccelerator says that nothing is known of a card.
type UnknownAccelerator struct{ Name string }

// Error implements error.
func (u *UnknownAccelerator) Error() string {
	return fmt.Sprintf("accelerator %q is not in the catalogue: give its memory, bandwidth and FLOP/s", u.Name)
}

// setting is a pair with everything its prior rests on.
type setting struct {
	physics
	kind kind
	// vague widens the prior of what depends on an architecture or a card that is only guessed.
	vague float64
}

const (
	// guess is by how much what depends on an architecture or a card may be off, where either is guessed.
	//
	// Tuned: logarithm; measured by ITL and TTFT of other points of silicon.csv where a third is fitted and no card is known, 9.9 and 55.4 %;
	// at half: 11.8, 61.1 %; at twice: 11.5, 51.5 %
	guess = 1
	// typicalCard stands for a card that nothing is known of.
	typicalCard = "h100_sxm"
)

// setting of a pair; a card that is not known is an error.
func (k Knowledge) setting(g Group) (setting, error) {
	card, ok := k.Accelerators.Find(g["accelerator"])
	if !ok {
		return setting{}, &UnknownAccelerator{g["accelerator"]}
	}
	return k.settingOn(g, card), nil
}

// Cards of a replica that the points of a group were measured on. A card that is not known is an error.
func (k Knowledge) Cards(g Group) (int, error) {
	s, err := k.setting(g)
	return int(s.cards), err
}

// measuredSetting of a pair of which there are measurements; a card that is not known is guessed, for they will tell.
func (k Knowledge) measuredSetting(g Group) setting {
	if s, err := k.setting(g); err == nil {
		return s
	}
	card, ok := k.Accelerators.Find(typicalCard)
	if !ok {
		card, _ = BuiltInAccelerators().Find(typicalCard)
	}
	s := k.settingOn(g, card)
	s.vague = guess
	return s
}

func (k Knowledge) settingOn(g Group, card Accelerator) setting {
	arch, guessed := k.Architectures.Find(g["model"])
	degree := func(column string) int {
		n, err := parseDegree(g[column])
		if err != nil {
			return 0 // absent
		}
		return n
	}
	precision := Precision(g["precision"])
	par := parallelism(degree("tensor_parallel"), degree("attention_dp"), degree("expert_parallel"))
	par.Pipeline = degree("pipeline_parallel")
	s := scales(arch, card, precision, par, cacheBytes(g["engine"], precision))
	all := setting{
		physics: s,
		kind:    kind{engine: g["engine"], moe: s.moe, cards: float64(par.stage()), precision: precision, accelerator: card.Name},
	}
	if guessed {
		all.vague = guess
	}
	return all
}

// Prior is the law that physics and experience with other pairs give a pair that was never measured.
func (k Knowledge) Prior(g Group) (queueing.Roofline, error) {
	s, err := k.setting(g)
	if err != nil {
		return queueing.Roofline{}, err
	}
	mean, _ := k.Experience.prior(s.kind, s.vague)
	return s.law(mean), nil
}

const (
	// outlying is the number of those errors beyond which a point is reported.
	//
	// Tuned: 1; guard against a list of points that nobody reads: no fit depends on it
	outlying = 5
	// blind is the share of the prior's variance that must be left for a multiplier to count as not identified.
	//
	// Tuned: share; guard against a parameter that is believed because it has a value: no fit depends on it
	blind = 0.8
)

// Residual is how far one point is from the law, as logarithms of predicted over measured.
type Residual struct {
	Line      int
	TTFT, ITL float64
	// Outlier is true where the point is so far off that the fit gave it up.
	Outlier bool
}

// Fit is what was learned of one group.
type Fit struct {
	Group  Group
	Points int
	Law    queueing.Law
	// Order names the parameters whose logarithms Covariance is of.
	Order      []string
	Covariance [][]float64
	// Unseen are the parameters that the data say next to nothing about, so that the prior decides.
	Unseen    []string
	Residuals []Residual
	// Calibration corrects the law near measured points.
	Calibration Calibration
	// Guessed is true where the architecture is guessed from the model's name, or the card is not known.
	Guessed bool
}

// Options of a fit.
type Options struct {
	// Law is the name of the law; empty for the roofline.
	Law string
	// OpenLoop uses measurements of open arrivals too.
	OpenLoop bool
}

// FitAll fits every group of points, in the order of their keys. The error joins those of all groups.
func (k Knowledge) FitAll(points *Points, o Options) ([]*Fit, error) {
	var fits []*Fit
	var faults []error
	for _, group := range points.Groups(func(p Point) bool { return p.Roles == nil && (p.Clients > 0 || o.OpenLoop) }) {
		f, err := k.fit(group, o)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		fits = append(fits, f)
	}
	if len(fits) == 0 && len(faults) == 0 && !slices.ContainsFunc(points.Rows, func(p Point) bool { return p.Roles != nil && p.Clients > 0 }) {
		faults = append(faults, errors.New("no points to fit: no row has a concurrency"))
	}
	return fits, errors.Join(faults...)
}

func (k Knowledge) fit(points []Point, o Options) (*Fit, error) {
	group := points[0].Group
	s := k.measuredSetting(group)
	l, err := s.form(o.Law, &k.Experience)
	if err != nil {
		return nil, err
	}
	m := len(points)
	x, jac := l.fit(points)
	f := &Fit{Group: group, Points: m, Law: l.law(x), Order: l.names, Covariance: covariance(jac), Guessed: s.vague > 0}
	for j, name := range l.names {
		if f.Covariance[j][j] > blind*l.sd[j]*l.sd[j] {
			f.Unseen = append(f.Unseen, name)
		}
	}
	for _, p := range points {
		itl, ttft := predicted(f.Law, p)
		r := Residual{Line: p.Line, ITL: math.Log(itl / p.ITL), TTFT: math.Log(ttft / p.TTFT)}
		r.Outlier = math.Abs(r.ITL) > outlying*itlNoise || math.Abs(r.TTFT) > outlying*ttftNoise
		f.Residuals = append(f.Residuals, r)
	}
	if _, ours := f.Law.(queueing.Roofline); ours {
		f.Calibration = calibrate(points, f.Residuals)
	}
	return f, nil
}

// fit finds the parameters of a form that explain the points best, given their prior, and the Jacobian there: by the noise that is believed, and
// once more by what that leaves. Further rounds change nothing that the accuracy on silicon.csv or open-loop.csv shows.
func (l form) fit(points []Point) ([]float64, *mat.Dense) {
	x := append([]float64(nil), l.mean...)
	jac := l.explain(points, x, l.believed(points))
	return x, l.explain(points, x, l.noise(points, x, jac))
}

// skewed is a residual of TTFT, less where the measured one is longer and roles have workers of their own.
func (l form) skewed(r float64) float64 {
	if l.split != nil && r < 0 {
		return r / rolesSkew
	}
	return r
}

// explain moves parameters to those that explain the points best under a noise, and returns the Jacobian there.
func (l form) explain(points []Point, x []float64, n noise) *mat.Dense {
	m := len(points)
	return leastSquares(x, 2*m+len(x), func(x, r []float64) {
		expected := l.at(x)
		for i, p := range points {
			itl, ttft := expected(p)
			r[i] = robust(math.Log(itl/p.ITL), n.itl)
			r[m+i] = robust(l.skewed(math.Log(ttft/p.TTFT)), n.ttft[i])
		}
		for j := range x {
			r[2*m+j] = (x[j] - l.mean[j]) / l.sd[j]
		}
	})
}

// Errors are the mean relative errors of the law alone on its own points.
func (f *Fit) Errors() (itl, ttft float64) { return meanErrors(f.Residuals) }

func meanErrors(residuals []Residual) (itl, ttft float64) {
	n := float64(len(residuals))
	for _, r := range residuals {
		itl += math.Abs(math.Expm1(r.ITL)) / n
		ttft += math.Abs(math.Expm1(r.TTFT)) / n
	}
	return itl, ttft
}

// Describe lists the parameters as model data give them.
func (f *Fit) Describe() string {
	parameters := f.parms().Parameters
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		parts = append(parts, fmt.Sprintf("%s=%.4g", name, parameters[name]))
	}
	return strings.Join(parts, " ")
}

// predicted latencies of a point that was validated when it was read; what still cannot be predicted is NaN.
func predicted(law queueing.Law, p Point) (itl, ttft float64) {
	var q queueing.Prediction
	var err error
	if p.Clients > 0 {
		q, err = queueing.ClosedGiven(law, p.Requests, p.Limits, p.Clients, p.waits())
	} else if replica, failed := (queueing.ContinuousBatching{}).Replica(law, p.Requests, p.Limits); failed == nil {
		q, err = replica.Open(p.Rate)
	} else {
		err = failed
	}
	if err != nil {
		return math.NaN(), math.NaN()
	}
	return q.ITL.Mean, q.TTFT.Mean
}

// waits is the measured time to first token that the time between tokens of the same requests is explained with, NaN where a table does not say
// how many they were: such means are of different runs, and too noisy to lean on.
func (p Point) waits() float64 {
	if p.Samples == 0 {
		return math.NaN()
	}
	return p.TTFT
}

// covariance is the inverse of the normal matrix: Gauss–Newton's approximation of the posterior.
func covariance(jac *mat.Dense) [][]float64 {
	var normal mat.SymDense
	normal.SymOuterK(1, jac.T())
	k := normal.SymmetricDim()
	var chol mat.Cholesky
	var inverse mat.SymDense
	ok := chol.Factorize(&normal) && chol.InverseTo(&inverse) == nil
	c := make([][]float64, k)
	for i := range c {
		c[i] = make([]float64, k)
		for j := range c[i] {
			if ok {
				c[i][j] = inverse.At(i, j)
			}
		}
	}
	return c
}

// parms are the law as performance data.
func (f *Fit) parms() jsonspec.LawParms {
	parms, err := queueing.ParmsOf(f.Law)
	if err != nil {
		panic(fmt.Sprintf("fitting: %v", err)) // form makes no other
	}
	return parms
}

// Performance is the fit as model data.
func (f *Fit) Performance() jsonspec.PerformanceEntry {
	law := f.parms()
	law.Order, law.Covariance = f.Order, f.Covariance
	f.Calibration.store(law.Parameters)
	e := jsonspec.PerformanceEntry{
		Name:        f.Group["model"],
		Performance: jsonspec.Performance{Acc: f.Group["accelerator"], AccCount: 1, Match: maps.Clone(f.Group), Law: &law},
	}
	if l, ok := f.Law.(queueing.Roofline); ok {
		e.KVTokens = int(l.KVTokens)
	}
	return e
}
