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
		missing := c.Units() - d.left[c.Type]
		if from != nil && from.Type == c.Type {
			missing -= from.Units()
		}
		if missing > 0 {
			other, alternative, price := d.makeWay(r, c.Type, missing, on[c.Type])
			if other == nil || from != nil && price >= saves-minGain {
				continue
			}
			d.move(other, alternative)
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
		if o == r || from == nil || from.Type != kind || from.Units() < units {
			continue
		}
		for _, j := range o.candidates {
			c := &d.p.Servers[o.server].Candidates[j]
			p := c.Value - from.Value
			if other != nil && p >= price {
				break
			}
			if c.Type != kind && d.fits(c) {
				other, candidate, price = o, j, p
				break
			}
		}
	}
	return other, candidate, price
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
