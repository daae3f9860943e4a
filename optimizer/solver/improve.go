package solver

// minGain is the least gain in value, in cents per hour, that a move is made for: what is less is rounding.
const minGain = 1e-9

// improve looks, for every server of the group, for a better candidate that fits, or that fits once another server makes way by moving to
// a candidate of another type; unserved servers take any. A move must lower the value or serve one server more. It says whether any moved.
func (d *draft) improve(group []ranked) bool {
	on := map[string][]*ranked{}
	for i := range group {
		if c := d.candidate(group[i].server); c != nil {
			on[c.Type] = append(on[c.Type], &group[i])
		}
	}
	moved := false
	for i := range group {
		if to := d.advance(&group[i], on); to != "" {
			on[to] = append(on[to], &group[i])
			moved = true
		}
	}
	return moved
}

// advance moves the server to its best reachable candidate, and returns the type it moved to, empty if it stays.
func (d *draft) advance(r *ranked, on map[string][]*ranked) string {
	from := d.candidate(r.server)
	for _, j := range r.candidates {
		c := &d.p.Servers[r.server].Candidates[j]
		saves := 0.0
		if from != nil {
			if saves = from.Value - c.Value; saves <= minGain {
				return ""
			}
		}
		if len(c.Parts) > 0 || d.p.Unlimited {
			continue // splits are chosen when they fit, not made room for
		}
		missing := c.Units() - d.left(c.Type)
		if from != nil && from.Type == c.Type {
			missing -= from.Units()
		}
		if missing <= 0 && !d.wouldFit(r.server, c) {
			continue
		}
		if missing > 0 {
			other, alternative, price := d.makeWay(r, c.Type, missing, on[c.Type])
			if other == nil || from != nil && price >= saves-minGain {
				continue
			}
			was := d.choices[other.server].Candidate
			d.move(other, alternative)
			if !d.wouldFit(r.server, c) {
				d.move(other, was)
				continue
			}
			kind := d.candidate(other.server).Type
			on[kind] = append(on[kind], other)
		}
		d.move(r, j)
		return c.Type
	}
	return ""
}

// makeWay finds, among servers that are or were on a type, the one that frees at least so many of its units by moving to another type at
// the least price.
func (d *draft) makeWay(r *ranked, kind string, units int, on []*ranked) (other *ranked, candidate int, price float64) {
	for _, o := range on {
		from := d.candidate(o.server)
		if o == r || from == nil || len(from.Parts) > 0 || from.Type != kind || from.Units() < units {
			continue
		}
		for _, j := range o.candidates {
			c := &d.p.Servers[o.server].Candidates[j]
			p := c.Value - from.Value
			if other != nil && p >= price {
				break
			}
			if len(c.Parts) == 0 && c.Type != kind && d.fits(c) {
				other, candidate, price = o, j, p
				break
			}
		}
	}
	return other, candidate, price
}

// wouldFit says whether the server could have the candidate in exchange for what it has.
func (d *draft) wouldFit(server int, c *Candidate) bool {
	had := d.choices[server]
	d.take(server)
	ok := d.fits(c)
	if had.Candidate >= 0 {
		d.give(server, had.Candidate, had.Replicas)
	}
	return ok
}

func (d *draft) move(r *ranked, candidate int) {
	d.take(r.server)
	d.give(r.server, candidate, d.p.Servers[r.server].Candidates[candidate].Replicas)
}

// candidate is what the server is served with in full, nil where it is not.
func (d *draft) candidate(server int) *Candidate {
	if !d.served(server) {
		return nil
	}
	return &d.p.Servers[server].Candidates[d.choices[server].Candidate]
}
