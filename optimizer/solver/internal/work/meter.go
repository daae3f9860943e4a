// Package work counts what a solver does, so that a search ends at the same point on a fast machine and on a slow one.
package work

import "context"

// Meter counts units of work and says when it is time to end. A unit is what it takes to look at one column of a program: see Charge. A nil
// Meter counts nothing and never ends anything.
type Meter struct {
	ctx   context.Context
	limit int64
	stop  int64
	spent int64
	ended Ended
	at    int64
}

// Ended says what has ended the work.
type Ended int

const (
	// Not yet.
	Not Ended = iota
	// Limit: all the work there was is done.
	Limit
	// Deadline: the context ended, or so much work was done as when it once did.
	Deadline
)

// NewMeter is a meter of so many units, which also ends with the context, or after stop units as if the context had ended there; 0 is no stop.
func NewMeter(ctx context.Context, limit, stop int64) *Meter {
	return &Meter{ctx: ctx, limit: limit, stop: stop}
}

// Charge counts so many units.
func (m *Meter) Charge(units int) {
	if m != nil {
		m.spent += int64(units)
	}
}

// Over says whether to end; once it is true it stays true. To ask is a unit of work: no two answers are at the same amount, so that a stop at
// the amount where the context had ended ends at the very same question.
func (m *Meter) Over() bool {
	if m == nil {
		return false
	}
	m.spent++
	switch {
	case m.ended != Not:
	case m.spent >= m.limit:
		m.ended, m.at = Limit, m.spent
	case m.stop > 0 && m.spent >= m.stop, m.ctx.Err() != nil:
		m.ended, m.at = Deadline, m.spent
	}
	return m.ended != Not
}

// Spent is the number of units so far.
func (m *Meter) Spent() int64 {
	if m == nil {
		return 0
	}
	return m.spent
}

// Left is the number of units until the limit.
func (m *Meter) Left() int {
	if m == nil {
		return 0
	}
	return int(max(0, m.limit-m.spent))
}

// Ended says what has ended the work, and after how many units; where nothing has, how many there were so far.
func (m *Meter) Ended() (Ended, int64) {
	if m == nil || m.ended == Not {
		return Not, m.Spent()
	}
	return m.ended, m.at
}
