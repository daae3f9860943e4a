package solver

import (
	"fmt"
	"iter"
	"maps"
	"slices"
)

// Cohort bounds what several shares take together, beside what each of them may:
//
//	Σ_{n ∈ cohort} max(used_n, due_n) ≤ most.
//
// So what one of them is guaranteed and does not need is lent within the cohort first of all, and no more than the cohort may have is lent to it. Cohorts may
// overlap, and one may hold all shares of another.
type Cohort struct {
	// Name is unique among the cohorts of a problem.
	Name string
	// Shares are the names of its members.
	Shares []string
	// Most cards by type; a type that is absent has no bound.
	Most map[string]int
}

// countCohorts makes the counts of a problem's cohorts, where shares are indexed by name.
func (l *shares) countCohorts(index map[string]int) {
	for i := range l.p.Cohorts {
		c := &l.p.Cohorts[i]
		members := make([]bool, len(l.cards))
		for _, name := range c.Shares {
			members[index[name]] = true
		}
		for t, most := range c.Most {
			k := l.count(kind{name: t, size: 1}, most)
			k.cohort, k.members = c.Name, members
			l.cohorts[t] = append(l.cohorts[t], k)
		}
	}
}

// bearing are the counts of a type that bear on a share: those of what there is, and those of the cohorts that it is a member of.
func (l *shares) bearing(share int, name string) iter.Seq[*count] {
	return func(yield func(*count) bool) {
		for _, k := range l.counts[name] {
			if !yield(k) {
				return
			}
		}
		for _, k := range l.cohorts[name] {
			if k.members[share] && !yield(k) {
				return
			}
		}
	}
}

// within makes the bounds of a share's cohorts its own, as they are where it is the only one.
func (s *Share) within(cohorts []Cohort) {
	for i := range cohorts {
		if !slices.Contains(cohorts[i].Shares, s.Name) {
			continue
		}
		for t, n := range cohorts[i].Most {
			if most, bounded := s.Most[t]; !bounded || n < most {
				s.Most[t] = n
			}
		}
	}
}

// among are the cohorts of a problem with those of some shares.
func (l *shares) among(some []int) []Cohort {
	var list []Cohort
	for i := range l.p.Cohorts {
		c := l.p.Cohorts[i]
		c.Shares = slices.DeleteFunc(slices.Clone(c.Shares), func(name string) bool {
			return !slices.ContainsFunc(some, func(n int) bool { return l.p.Shares[n].Name == name })
		})
		if len(c.Shares) > 0 {
			list = append(list, c)
		}
	}
	return list
}

// cohortRows makes the rows of cohorts, as ownRows those of what there is: one that all members take of, and below it what each of them is still due.
func (f *pool) cohortRows(l *shares, add func(left float64, above int) int) {
	for _, t := range slices.Sorted(maps.Keys(l.cohorts)) {
		for _, k := range l.cohorts[t] {
			left := k.capacity - k.sum
			all := add(float64(left), -1)
			for n, member := range k.members {
				if !member {
					continue
				}
				row := all
				if due := k.due[n] - k.used[n]; due > 0 {
					row = add(float64(due), all)
				}
				f.own[n].bounds[t] = append(f.own[n].bounds[t], row)
			}
		}
	}
}

// forbids says that so many cards of a type more are beyond what the others of a share's cohorts leave to it; empty where they are not.
func (l *shares) forbids(share int, name string, cards int) string {
	for _, k := range l.cohorts[name] {
		if k.members[share] && k.used[share]+cards > k.limit(share) {
			others := k.sum - max(k.used[share], k.due[share])
			return fmt.Sprintf("cohort %s: %d × %s at most, where with the %d of its other shares it would be %d", k.cohort, k.capacity, name, others, others+k.used[share]+cards)
		}
	}
	return ""
}
