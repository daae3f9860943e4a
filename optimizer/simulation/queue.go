package simulation

// queue is a double-ended queue in a ring, so that a preempted sequence returns
// to the head without moving the others.
type queue[T any] struct {
	ring  []T
	first int
	count int
}

func (q *queue[T]) len() int { return q.count }

// at returns the i-th element from the head.
func (q *queue[T]) at(i int) T { return q.ring[(q.first+i)%len(q.ring)] }

func (q *queue[T]) pushBack(element T) {
	q.grow()
	q.ring[(q.first+q.count)%len(q.ring)] = element
	q.count++
}

func (q *queue[T]) pushFront(element T) {
	q.grow()
	q.first = (q.first - 1 + len(q.ring)) % len(q.ring)
	q.ring[q.first] = element
	q.count++
}

func (q *queue[T]) popFront() T {
	var zero T
	element := q.ring[q.first]
	q.ring[q.first] = zero
	q.first = (q.first + 1) % len(q.ring)
	q.count--
	return element
}

// remove the i-th element from the head; those behind it move up.
func (q *queue[T]) remove(i int) {
	var zero T
	for ; i < q.count-1; i++ {
		q.ring[(q.first+i)%len(q.ring)] = q.at(i + 1)
	}
	q.ring[(q.first+q.count-1)%len(q.ring)] = zero
	q.count--
}

func (q *queue[T]) grow() {
	if q.count < len(q.ring) {
		return
	}
	larger := make([]T, max(16, 2*len(q.ring)))
	for i := range q.count {
		larger[i] = q.at(i)
	}
	q.ring, q.first = larger, 0
}
