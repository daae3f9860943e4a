package solver

import "container/heap"

// turn is a server waiting for its candidate at a position of its ranking.
type turn struct {
	server *ranked
	at     int
}

// queue is a priority queue of turns.
type queue struct {
	turns   []turn
	compare func(a, b turn) int
}

func newQueue(servers []ranked, compare func(a, b turn) int) *queue {
	q := &queue{turns: make([]turn, len(servers)), compare: compare}
	for i := range servers {
		q.turns[i].server = &servers[i]
	}
	heap.Init(q)
	return q
}

func (q *queue) push(t turn) { heap.Push(q, t) }
func (q *queue) pop() turn   { return heap.Pop(q).(turn) }

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (q *queue) Len() int           { return len(q.turns) }
func (q *queue) Less(i, j int) bool { return q.compare(q.turns[i], q.turns[j]) < 0 }
func (q *queue) Swap(i, j int)      { q.turns[i], q.turns[j] = q.turns[j], q.turns[i] }
func (q *queue) Push(x any)         { q.turns = append(q.turns, x.(turn)) }
func (q *queue) Pop() any {
	last := len(q.turns) - 1
	t := q.turns[last]
	q.turns = q.turns[:last]
	return t
}
