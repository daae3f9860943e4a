package simulation

import "container/list"

// prefixes are the contexts of sessions that an engine still holds in blocks that nobody uses, until these are needed: the longest unused goes first, as in
// vLLM's block pool. The zero value holds none.
type prefixes struct {
	blocks int        // of all
	oldest *list.List // of context, front to back
	of     map[uint64]*list.Element
}

type context struct {
	session uint64
	blocks  int
}

// keep the context of a session that ended a turn.
func (p *prefixes) keep(session uint64, blocks int) {
	if p.of == nil {
		p.oldest, p.of = list.New(), map[uint64]*list.Element{}
	}
	p.drop(session)
	p.of[session] = p.oldest.PushBack(context{session, blocks})
	p.blocks += blocks
}

// take the context of a session for its next turn, where so many free blocks left it; false where it is gone, or never was here.
func (p *prefixes) take(session uint64, free int) bool {
	for p.blocks > free {
		p.drop(p.oldest.Front().Value.(context).session)
	}
	return p.drop(session)
}

func (p *prefixes) drop(session uint64) bool {
	e, held := p.of[session]
	if held {
		p.blocks -= p.oldest.Remove(e).(context).blocks
		delete(p.of, session)
	}
	return held
}
