package fitting

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// AssumeRole completes what is given of replicas of one role, which names no law: by what was fitted to servers with roles of the same model, card, engine and
// precision, as far as that is said, whatever their parallelism; else by physics and experience. The parallelism is that of the columns tensor_parallel and
// expert_parallel that the entry matches and of its ranks; without the first all cards of a rank share each layer. What is fitted of other pairs is passed over.
func (k Knowledge) AssumeRole(model string, m jsonspec.ModelProperties, accelerator string, a jsonspec.AcceleratorProperties, given jsonspec.Performance, fitted []jsonspec.RolesEntry) (Assumed, error) {
	p, err := k.rolePrior(model, m, accelerator, a, given, fitted)
	if err != nil {
		return Assumed{}, err
	}
	h, r, mean, sd := p.hardware, p.role, p.mean, p.sd
	law := h.roleLaw(&k.Experience, given.Role, r, mean)
	parms, err := queueing.ParmsOf(law)
	if err != nil {
		return Assumed{}, err
	}
	if given.Role == jsonspec.RolePrefill {
		sd[compute] = math.Hypot(sd[compute], sd[prompt])
	}
	unsure(&parms, theta(sd[:multipliers]))
	given.Law, given.Ranks = &parms, r.Data
	if given.Transfer == nil {
		given.Transfer = &jsonspec.Transfer{Bandwidth: h.bandwidth(r) / giga, BytesPerToken: h.tokenBytes()}
	}
	if given.Role == jsonspec.RoleDecode && given.Match["speculative"] == "mtp" {
		given.TokensPerIteration = cmp.Or(given.TokensPerIteration, mean.accepts())
	}
	return Assumed{given, int(math.Min(law.KVTokens, math.MaxInt32)), fmt.Sprintf("%s, in %s on %d × %s", p.from, precisionName(string(h.precision)), r.cards(), h.card.Name)}, p.full
}

// DrawRole of so many laws from what AssumeRole takes for possible, the first its mean. Draws of one number are of the same engine and model: those of two roles go
// together.
func (k Knowledge) DrawRole(model string, m jsonspec.ModelProperties, accelerator string, a jsonspec.AcceleratorProperties, given jsonspec.Performance, n int) ([]queueing.Roofline, error) {
	p, err := k.rolePrior(model, m, accelerator, a, given, nil)
	if err = cmp.Or(err, p.full); err != nil {
		return nil, err
	}
	source := rand.New(rand.NewPCG(1, 2))
	laws := make([]queueing.Roofline, n)
	for i := range laws {
		drawn := p.mean
		for j := range drawn {
			if z := source.NormFloat64(); i > 0 {
				drawn[j] += z * p.sd[j]
			}
		}
		laws[i] = p.hardware.roleLaw(&k.Experience, given.Role, p.role, drawn)
	}
	return laws, nil
}

// rolePrior is what is taken for possible of replicas of a role.
type rolePrior struct {
	hardware hardware
	role     Role
	mean, sd roleTheta
	from     string // what it rests on
	full     error  // why the weights do not fit; nil where they do
}

func (k Knowledge) rolePrior(model string, m jsonspec.ModelProperties, accelerator string, a jsonspec.AcceleratorProperties, given jsonspec.Performance, fitted []jsonspec.RolesEntry) (p rolePrior, err error) {
	card, err := k.Accelerators.Card(accelerator, a)
	if err != nil {
		return p, err
	}
	if p.role, err = roleOf(given, max(1, a.Multiplicity)); err != nil {
		return p, err
	}
	group, s, err := k.unmeasured(model, m, card, p.role.cards(), given.Match)
	if err != nil {
		return p, err
	}
	p.hardware = hardware{card: card, precision: Precision(group["precision"]), engine: group["engine"]}
	if m.Architecture != nil {
		p.hardware.architecture = *m.Architecture
	} else {
		p.hardware.architecture, _ = k.Architectures.Find(group["model"])
		p.hardware.vague = s.vague
	}
	p.mean, p.sd = k.Experience.roles(p.hardware, &k.Roles)
	p.from = "physics and experience with roles"
	if l, name, ok := k.fittedRoles(group["model"], given.Match, card, fitted); ok {
		p.hardware, p.mean, p.sd = l.hardware, l.at, l.sd
		p.from = "what was fitted to servers with roles, " + name
	}
	if w := p.hardware.worker(p.role); !w.fits {
		p.full = tooLarge(model, w.bytes, string(p.hardware.precision), p.role.cards(), card)
	}
	return p, nil
}

// roleOf the replicas of an entry.
func roleOf(given jsonspec.Performance, multiplicity int) (Role, error) {
	cards, ranks := given.Accelerators()*multiplicity, max(1, given.Ranks)
	stages, err := matchedDegree(given.Match, "pipeline_parallel", 1)
	if err != nil {
		return Role{}, err
	}
	tensor, err := matchedDegree(given.Match, "tensor_parallel", max(1, cards/ranks/stages))
	if err != nil {
		return Role{}, err
	}
	expert, err := matchedDegree(given.Match, "expert_parallel", 1)
	if err != nil {
		return Role{}, err
	}
	if tensor*ranks*stages != cards {
		return Role{}, fmt.Errorf("%d stages of %d ranks of %d cards (match.pipeline_parallel, ranks, match.tensor_parallel) are not the %d cards of a replica", stages, ranks, tensor, cards)
	}
	return Role{Workers: 1, Tensor: tensor, Data: ranks, Expert: expert, Pipeline: stages}, nil
}

// matchedDegree of parallelism that an entry matches.
func matchedDegree(match map[string]string, column string, otherwise int) (int, error) {
	text := match[column]
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("match.%s: %q is not a whole number of at least 1", column, text)
	}
	return n, nil
}

// fittedRoles is the first entry by its key that was fitted to a model on a card, with its name; false where there is none. Engine and precision count where the
// pair says them.
func (k Knowledge) fittedRoles(model string, match map[string]string, card Accelerator, fitted []jsonspec.RolesEntry) (l sureRoles, name string, ok bool) {
	here, _ := k.Accelerators.Find(card.Name)
	sorted := slices.Clone(fitted)
	slices.SortStableFunc(sorted, func(a, b jsonspec.RolesEntry) int { return cmp.Compare(Group(a.Match).Key(), Group(b.Match).Key()) })
	for _, e := range sorted {
		on, known := k.Accelerators.Find(e.Match["accelerator"])
		differs := func(column string) bool { return match[column] != "" && match[column] != e.Match[column] }
		if e.Match["model"] != model || !known || on.Name != here.Name || differs("engine") || differs("precision") {
			continue
		}
		learned, err := loadRoles(e)
		if err != nil {
			continue
		}
		l = sureRoles{learnedRoles: learned}
		for j := range l.sd {
			if j < len(e.Covariance) && j < len(e.Covariance[j]) {
				l.sd[j] = math.Sqrt(math.Max(0, e.Covariance[j][j]))
			}
		}
		return l, Group(e.Match).Key(), true
	}
	return l, "", false
}

// sureRoles is what was learned, and how sure it is.
type sureRoles struct {
	learnedRoles
	sd roleTheta
}
