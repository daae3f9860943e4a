package fitting

import (
	"errors"

	"gonum.org/v1/gonum/mat"
)

// roleInnocent is what is believed of the multipliers of roles before any server was measured.
var roleInnocent = [roleMultipliers]struct{ mean, sd float64 }{
	overhead: {0, 0.3}, weights: {0, 0.2}, compute: {0, 0.4}, kv: {0, 0.4}, sequence: {0, 0.7}, bunch: {0.7, 0.5}, step: {-0.3, 0.5}, delay: {0, 1},
	spread: {0, 0.3}, room: {0, 0.3}, serial: {0, 0.7}, prefill: {0, 0.7}, prompt: {0, 1}, wide: {0, 0.7}, accepted: {0, 0.25},
}

func innocentRoles() RoleExperience {
	var e RoleExperience
	for j, b := range roleInnocent {
		e[j].Spread = b.sd
	}
	return e
}

// LearnRoles derives the experience with roles from measured servers, group by group, as [Knowledge.Learn] does that with replicas: in turn it fits every group
// under the prior so far, and regresses the multipliers on the features of the engines. The error joins groups that could not be set up.
func (k Knowledge) LearnRoles(groups [][]Point) (RoleExperience, error) {
	e := innocentRoles()
	var all []*roleLesson
	var faults []error
	for _, points := range groups {
		if len(points) < leastPoints {
			continue
		}
		h, err := k.hardwareOf(points[0].Group)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		all = append(all, &roleLesson{hardware: h, points: points, features: h.worker(single).kind.roleFeatures()})
	}
	for range learnRounds {
		for _, l := range all {
			mean, sd := k.Experience.roles(l.hardware, &e)
			f := l.rolesForm(&k.Experience, mean, sd)
			x, jac := f.fit(l.points)
			c := covariance(jac)
			for j := range l.at {
				l.at[j], l.variance[j] = x[j], c[j][j]
			}
		}
		for j := range e {
			e.regress(j, all)
		}
	}
	return e, errors.Join(faults...)
}

// roleLesson is one group that is learned from.
type roleLesson struct {
	hardware
	points       []Point
	features     [roleFeatures]float64
	at, variance roleTheta
}

// regress updates the mean and the spread of one multiplier.
func (e *RoleExperience) regress(j int, all []*roleLesson) {
	b, t := roleInnocent[j], &e[j]
	normal, right := mat.NewSymDense(roleFeatures, nil), mat.NewVecDense(roleFeatures, nil)
	for _, l := range all {
		x := mat.NewVecDense(roleFeatures, append([]float64(nil), l.features[:]...))
		w := 1 / (t.Spread * t.Spread)
		normal.SymRankOne(normal, w, x)
		right.AddScaledVec(right, w*l.at[j], x)
	}
	coefficients, ok := believed(normal, right, b.sd, func(i int) (share, mean float64) {
		if i == 0 {
			return 1, b.mean
		}
		return engineShare, 0
	})
	if !ok {
		return // keeps what was believed; cannot happen, the prior alone is positive definite
	}
	copy(t.Mean[:], coefficients)
	sum := 0.0
	for _, l := range all {
		r := l.at[j]
		for i, x := range l.features {
			r -= x * t.Mean[i]
		}
		sum += r*r + l.variance[j]
	}
	t.Spread = spreadOf(sum, float64(len(all)), b.sd)
}

// BuiltInRoleExperience was learned by [Knowledge.LearnRoles] from all servers of test/data/measured/disagg.csv that say whether they speculate;
// `go run ./test/accuracy -learn` prints it anew.
func BuiltInRoleExperience() RoleExperience {
	return RoleExperience{
		overhead: {[roleFeatures]float64{0.04, 0.09, -0.08}, 0.18},
		weights:  {[roleFeatures]float64{0.54, 0.01, -0.02}, 0.15},
		compute:  {[roleFeatures]float64{0.45, -0.03, 0.00}, 0.32},
		kv:       {[roleFeatures]float64{0.06, 0.17, -0.06}, 0.37},
		sequence: {[roleFeatures]float64{-0.78, 0.06, -0.05}, 1.43},
		bunch:    {[roleFeatures]float64{0.82, -0.03, 0.02}, 0.31},
		step:     {[roleFeatures]float64{-0.10, 0.02, -0.01}, 0.52},
		delay:    {[roleFeatures]float64{1.05, 0.04, -0.28}, 0.94},
		spread:   {[roleFeatures]float64{-0.43, 0.05, -0.05}, 0.29},
		room:     {[roleFeatures]float64{0.00, 0.00, 0.00}, 0.30},
		serial:   {[roleFeatures]float64{0.70, 0.13, 0.07}, 0.71},
		prefill:  {[roleFeatures]float64{0.13, -0.06, 0.05}, 0.64},
		prompt:   {[roleFeatures]float64{-0.24, -0.12, -0.15}, 0.53},
		wide:     {[roleFeatures]float64{1.20, -0.03, 0.02}, 0.47},
		accepted: {[roleFeatures]float64{-0.09, 0.08, -0.02}, 0.13},
	}
}
