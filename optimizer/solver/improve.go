package solver

// minGain is the least gain in value, in cents per hour, that a move is made for: what is less is rounding.
//
// Tuned: ¢/h; guard against rounding that is taken for a gain, and moves that do not end
const minGain = 1e-9

// improve looks, for every server of the group, for a better candidate that fits, or that fits once another server makes way by moving to
// a candidate of other types; unserved servers take any. A move must lower the value or serve one server more. It says whether any moved.
func (d *draft) improve(group []ranked) bool {
	on := byType{}
	for i := range group {
		on.note(d, &group[i])
	}
	moved := false
	for i := range group {
		if d.advance(&group[i], on) {
			moved = true
		}
	}
	return moved
}

// byType are servers by the types that they are or were on.
type byType map[string][]*ranked

// note the server under the types that it is on.
func (on byType) note(d *draft, r *ranked) {
	if c := d.candidate(r.server); c != nil {
		c.types(func(kind string, _ int) { on[kind] = append(on[kind], r) })
	}
}

// types calls f for each type that the candidate takes cards of, once.
func (c *Candidate) types(f func(kind string, cards int)) {
	for i := range c.Parts {
		kind, first := c.Parts[i].Type, true
		for k := range i {
			first = first && c.Parts[k].Type != kind
		}
		if n := c.cards(kind); first && n > 0 {
			f(kind, n)
		}
	}
}

// advance moves the server to its best reachable candidate, and says whether it moved.
func (d *draft) advance(r *ranked, on byType) bool {
	from := d.candidate(r.server)
	for _, j := range r.candidates {
		c := &d.p.Servers[r.server].Candidates[j]
		saves := 0.0
		if from != nil {
			if saves = from.Value - c.Value; saves <= minGain {
				return false
			}
		}
		if d.p.Unlimited {
			continue
		}
		missing := d.missing(c, from)
		if len(missing) == 0 && !d.wouldFit(r.server, c) {
			continue
		}
		if len(missing) > 0 {
			other, alternative, price := d.makeWay(r, missing, on)
			if other == nil || from != nil && price >= saves-minGain {
				continue
			}
			was := d.choices[other.server].Candidate
			d.move(other, alternative)
			if !d.wouldFit(r.server, c) {
				d.move(other, was)
				continue
			}
			on.note(d, other)
		}
		d.move(r, j)
		on.note(d, r)
		return true
	}
	return false
}

// shortage is a number of cards of a type that are missing.
type shortage struct {
	kind  string
	cards int
}

// missing are the cards that a candidate needs beyond those that are left and those that it would take the place of.
func (d *draft) missing(c, from *Candidate) []shortage {
	var list []shortage
	c.types(func(kind string, cards int) {
		if cards -= d.left(kind); from != nil {
			cards -= from.cards(kind)
		}
		if cards > 0 {
			list = append(list, shortage{kind, cards})
		}
	})
	return list
}

// makeWay finds, among servers that are or were on the types of which cards are missing, the one that frees at least so many of all of them by
// moving to a candidate that takes none, at the least price.
func (d *draft) makeWay(r *ranked, missing []shortage, on byType) (other *ranked, candidate int, price float64) {
	for _, o := range on[missing[0].kind] {
		from := d.candidate(o.server)
		if o == r || from == nil || !from.covers(missing) {
			continue
		}
		for _, j := range o.candidates {
			c := &d.p.Servers[o.server].Candidates[j]
			p := c.Value - from.Value
			if other != nil && p >= price {
				break
			}
			if c.avoids(missing) && d.fits(o.server, c) {
				other, candidate, price = o, j, p
				break
			}
		}
	}
	return other, candidate, price
}

// covers says whether the candidate takes at least as many cards as are missing.
func (c *Candidate) covers(missing []shortage) bool {
	for _, m := range missing {
		if c.cards(m.kind) < m.cards {
			return false
		}
	}
	return true
}

// avoids says whether the candidate takes no cards of the types of which some are missing.
func (c *Candidate) avoids(missing []shortage) bool {
	for _, m := range missing {
		if c.cards(m.kind) > 0 {
			return false
		}
	}
	return true
}

// wouldFit says whether the server could have the candidate in exchange for what it has.
func (d *draft) wouldFit(server int, c *Candidate) bool {
	had := d.choices[server]
	d.take(server)
	ok := d.fits(server, c)
	if had.Candidate >= 0 {
		d.give(server, had.Candidate, had.Replicas)
	}
	return ok
}

func (d *draft) move(r *ranked, candidate int) {
	d.take(r.server)
	d.give(r.server, candidate, d.p.Servers[r.server].Candidates[candidate].Replicas())
}

// candidate is what the server is served with in full, nil where it is not.
func (d *draft) candidate(server int) *Candidate {
	if !d.served(server) {
		return nil
	}
	return &d.p.Servers[server].Candidates[d.choices[server].Candidate]
}
